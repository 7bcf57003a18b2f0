//! The JSON schema of configuration files, for editors: docs/glassbox.schema.json.

use serde_json::{Map, Value, json};

use super::forms::Form;
use super::keys::{KEYS, Key};
use crate::sinks::carrier::options;
use crate::sinks::formats::FORMATS;

/// The schema, as draft 7 writes it: the newest that every editor's YAML support reads.
pub fn text() -> String {
    let mut sections: Vec<(&str, Map<String, Value>)> = Vec::new();
    for key in KEYS {
        let (section, name) = key.parts();
        if sections.last().is_none_or(|(last, _)| *last != section) {
            sections.push((section, Map::new()));
        }
        if let Some((_, properties)) = sections.last_mut() {
            properties.insert(name.to_owned(), property(key));
        }
    }
    let mut all = Map::new();
    for (section, properties) in sections {
        match section {
            "" => all.extend(properties),
            _ => drop(all.insert(section.to_owned(), object(properties))),
        }
    }
    let mut schema = object(all);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The configuration file of glassbox");
    // Values of this kind are always written.
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
}

fn object(properties: Map<String, Value>) -> Value {
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties})
}

fn property(key: &Key) -> Value {
    let mut property = match key.form {
        Form::Text(_) | Form::Path => json!({"type": ["string", "null"]}),
        // A reader of YAML 1.1 makes booleans of these words.
        Form::Switch => json!({"enum": ["on", "off", true, false, "yes", "no", null]}),
        Form::Word(words) => json!({"enum": words}),
        Form::Paths => one_or_more(json!({"type": "string"})),
        Form::Outputs => one_or_more(output()),
    };
    property["description"] = json!(key.help);
    if !key.default.is_empty() {
        property["default"] = json!(key.default);
    }
    property
}

fn one_or_more(item: Value) -> Value {
    json!({"anyOf": [item, {"type": "array", "items": item}, {"type": "null"}]})
}

fn output() -> Value {
    let formats: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    let mut properties = Map::new();
    properties.insert("format".into(), json!({"enum": formats, "description": "what is written"}));
    properties
        .insert("to".into(), json!({"type": "string", "description": "where it goes, as behind -o FORMAT:"}));
    for option in options::KEYS.iter().filter(|option| option.read.is_some()) {
        let description = format!("{}: {}", option.example, option.help);
        let option_schema = json!({"type": ["string", "number"], "description": description});
        properties.insert(option.name.to_owned(), option_schema);
    }
    let mapping = json!({
        "type": "object", "additionalProperties": false, "required": ["format"], "properties": properties,
    });
    json!({"anyOf": [{"type": "string", "description": "as -o takes it"}, mapping]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_every_option_is_in_the_schema_with_its_help() {
        let schema: Value = serde_json::from_str(&text()).unwrap();

        for key in KEYS {
            let (section, name) = key.parts();
            let place = match section {
                "" => format!("/properties/{name}/description"),
                _ => format!("/properties/{section}/properties/{name}/description"),
            };
            assert_eq!(Some(&json!(key.help)), schema.pointer(&place), "{}", key.name);
        }
        let mapping = schema.pointer("/properties/outputs/anyOf/0/anyOf/1/properties").unwrap();
        for option in options::KEYS.iter().filter(|option| option.read.is_some()) {
            assert!(mapping.get(option.name).is_some(), "{}", option.name);
        }
    }

    #[test]
    fn committed_schema_is_fresh() {
        let committed = include_str!("../../../docs/glassbox.schema.json");

        assert!(committed == text(), "docs/glassbox.schema.json is stale; run: cargo xtask gen-docs");
    }
}
