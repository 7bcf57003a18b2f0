//! Reads and writes the fields of a task definition in either spelling: `camelCase` in the API and Terraform,
//! `PascalCase` in CloudFormation.
//!
//! Only CloudFormation has functions (`{"Ref": …}`, `{"Fn::Sub": …}`), which may stand in place of any value.

use serde_json::{Map, Value};

use crate::Error;

/// The spelling of keys; this crate's code writes them in `camelCase`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// The API's JSON.
    Camel,
    /// CloudFormation.
    Pascal,
}

impl Case {
    /// The key as the file spells it. Not for the keys of free maps (`awslogs-group`), which have one
    /// spelling.
    pub fn key(self, camel: &str) -> String {
        match (self, camel.chars().next()) {
            (Self::Pascal, Some(first)) => {
                format!("{}{}", first.to_ascii_uppercase(), camel.get(first.len_utf8()..).unwrap_or_default())
            }
            _ => camel.to_owned(),
        }
    }

    /// A field; `None` if it is absent or null.
    pub fn get<'v>(self, of: &'v Value, camel: &str) -> Option<&'v Value> {
        of.get(self.key(camel)).filter(|value| !value.is_null())
    }

    /// A field's text; `None` also if a function gives it.
    pub fn text<'v>(self, of: &'v Value, camel: &str) -> Option<&'v str> {
        self.get(of, camel)?.as_str()
    }

    /// Whether a function gives the value.
    pub fn is_function(self, value: &Value) -> bool {
        function(value).is_some_and(|_| self == Self::Pascal)
    }

    /// The elements of a list; none if it is absent.
    ///
    /// # Errors
    /// A value that a function gives or that is not a list.
    pub fn list<'v>(self, of: &'v Value, camel: &str) -> Result<&'v [Value], Error> {
        match self.get(of, camel) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(self.no_list(camel, other)),
        }
    }

    /// A list to add to; made if it is absent.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list_mut<'v>(
        self,
        of: &'v mut Map<String, Value>,
        camel: &str,
    ) -> Result<&'v mut Vec<Value>, Error> {
        let list = of.entry(self.key(camel)).or_insert(Value::Null);
        if list.is_null() {
            *list = Value::Array(Vec::new());
        }
        match list {
            Value::Array(list) => Ok(list),
            other => Err(self.no_list(camel, other)),
        }
    }

    fn no_list(self, camel: &str, found: &Value) -> Error {
        let key = self.key(camel);
        match function(found) {
            Some(name) if self == Self::Pascal => Error::Refused(format!(
                "'{key}' is given by {name}, and its value is not known before the stack is made; write the list out"
            )),
            _ => Error::Malformed(format!("'{key}' is {}, not a list; correct it", kind(found))),
        }
    }
}

/// The name of the function that gives a value.
pub fn function(value: &Value) -> Option<&str> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    let name = map.keys().next()?;
    (name == "Ref" || name == "Condition" || name.starts_with("Fn::")).then_some(name)
}

/// The kind of a value, for a message.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_templates_have_functions_and_other_first_letters() {
        let value = json!({"Ref": "Name"});

        assert_eq!([true, false], [Case::Pascal, Case::Camel].map(|case| case.is_function(&value)));
        assert_eq!(
            "DependsOn,dependsOn",
            [Case::Pascal, Case::Camel].map(|case| case.key("dependsOn")).join(",")
        );
        assert!(!Case::Pascal.is_function(&json!({"Ref": "a", "Name": "b"})));
    }
}
