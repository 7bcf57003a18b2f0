//! Fields of rules, for the targets that read rules.

use rules::{ArgumentRule, FieldSpec, Type};

/// A field of this name, type and argument; one whose argument may be left out has several values without it.
pub const fn spec(name: &'static str, kind: Type, argument: ArgumentRule) -> FieldSpec {
    let is_suffix = matches!(argument, ArgumentRule::Required(_));
    let is_list = matches!(argument, ArgumentRule::Optional(_));
    FieldSpec { name, kind, is_list, argument, has_suffix: is_suffix, help: "" }
}
