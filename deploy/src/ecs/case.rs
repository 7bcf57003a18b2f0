//! Reads and writes the fields of a task definition in either spelling: `camelCase` as the API and Terraform have it,
//! `PascalCase` as CloudFormation does.
//!
//! Only CloudFormation has functions (`{"Ref": …}`, `{"Fn::Sub": …}`), which may stand wherever a value is expected.

use serde_json::{Map, Value};

use crate::Error;

/// How the keys are spelt; our own code spells them `camelCase`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// The API's JSON.
    Camel,
    /// A template's.
    Pascal,
}

impl Case {
    /// The key as the file spells it. Keys of free maps (`awslogs-group`) are not for this.
    pub fn key(self, camel: &str) -> String {
        match (self, camel.chars().next()) {
            (Self::Pascal, Some(first)) => {
                format!("{}{}", first.to_ascii_uppercase(), camel.get(first.len_utf8()..).unwrap_or_default())
            }
            _ => camel.to_owned(),
        }
    }

    /// A field; `None` where it is absent or null.
    pub fn get<'v>(self, of: &'v Value, camel: &str) -> Option<&'v Value> {
        of.get(self.key(camel)).filter(|value| !value.is_null())
    }

    /// A field's text; `None` also where a function gives it.
    pub fn text<'v>(self, of: &'v Value, camel: &str) -> Option<&'v str> {
        self.get(of, camel)?.as_str()
    }

    /// Whether a function gives the value.
    pub fn is_function(self, value: &Value) -> bool {
        function(value).is_some_and(|_| self == Self::Pascal)
    }

    /// The elements of a list that is to be read; none where it is absent.
    ///
    /// # Errors
    /// A list that a function gives, and what is no list.
    pub fn list<'v>(self, of: &'v Value, camel: &str) -> Result<&'v [Value], Error> {
        match self.get(of, camel) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(self.no_list(camel, other)),
        }
    }

    /// A list that is to be added to; made where it is absent.
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
                "'{key}' is given by {name}, and nobody knows what is in it before the stack is made; write the list out"
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

/// What a value is, for a message.
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
