//! The tree that the parser makes of a condition.
//!
//! Names of fields and macros are as written; [`crate::compile`] checks them.

use std::fmt::{self, Display};

use crate::scanner::{Scanner, is_space};

/// A range of bytes of the condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last one.
    pub end: usize,
}

/// A condition, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// All hold; at least two.
    And(Vec<Expr>, Span),
    /// Any holds; at least two.
    Or(Vec<Expr>, Span),
    /// It does not hold.
    Not(Box<Expr>, Span),
    /// A comparison.
    Check(Box<Check>),
    /// The name of a macro.
    Macro {
        /// As written.
        name: String,
        /// Where.
        span: Span,
    },
}

impl Expr {
    /// The bytes that it was read from, without the parentheses around it.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Expr::And(_, span) | Expr::Or(_, span) | Expr::Not(_, span) | Expr::Macro { span, .. } => *span,
            Expr::Check(check) => check.span,
        }
    }

    /// Calls `visit` for each name of a macro, from left to right.
    pub fn each_macro<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Span)) {
        match self {
            Expr::And(parts, _) | Expr::Or(parts, _) => parts.iter().for_each(|part| part.each_macro(visit)),
            Expr::Not(part, _) => part.each_macro(visit),
            Expr::Macro { name, span } => visit(name, *span),
            Expr::Check(_) => (),
        }
    }

    /// Calls `visit` for each comparison, from left to right.
    pub fn each_check<'a>(&'a self, visit: &mut dyn FnMut(&'a Check)) {
        match self {
            Expr::And(parts, _) | Expr::Or(parts, _) => parts.iter().for_each(|part| part.each_check(visit)),
            Expr::Not(part, _) => part.each_check(visit),
            Expr::Check(check) => visit(check),
            Expr::Macro { .. } => (),
        }
    }
}

/// A comparison of a field with a value, or a question whether the field has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A field, or a transformer around one.
    pub left: Operand,
    /// How to compare.
    pub operator: Operator,
    /// `oneof`, `anyof` or `allof` behind the operator.
    pub modifier: Option<Modifier>,
    /// `None` for `exists`.
    pub right: Option<Operand>,
    /// The whole comparison.
    pub span: Span,
}

/// A side of a comparison, or an argument of a transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A field by name.
    Field(Box<FieldName>),
    /// A transformer and its arguments; `val(field)` on the right side is one too.
    Transform(Box<Transform>),
    /// A word, a quoted string without its escapes, or a number as written.
    Value(String, Span),
    /// Values in parentheses; as an argument of a transformer also fields and transformers.
    List(Vec<Operand>, Span),
}

impl Operand {
    /// The bytes that it was read from.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Operand::Field(field) => field.span,
            Operand::Transform(transform) => transform.span,
            Operand::Value(_, span) | Operand::List(_, span) => *span,
        }
    }
}

/// A field as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// Such as `proc.aname`.
    pub name: String,
    /// The text between the brackets, without quotes and escapes.
    pub argument: Option<String>,
    /// Name and brackets.
    pub span: Span,
}

/// A transformer as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Such as `tolower`.
    pub name: Transformer,
    /// At least one.
    pub arguments: Vec<Operand>,
    /// The text between brackets behind the closing parenthesis: `getopt(proc.args, "t:")[t]`.
    pub selector: Option<String>,
    /// From its name to its end.
    pub span: Span,
}

/// Declares an enum whose variants are words of the language.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The word as it is written in a condition.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// How a check compares.
    Operator {
        /// The field has a value.
        Exists = "exists",
        /// Numbers, or bytes in order.
        LessOrEqual = "<=",
        /// Numbers, or bytes in order.
        Less = "<",
        /// Numbers, or bytes in order.
        GreaterOrEqual = ">=",
        /// Numbers, or bytes in order.
        Greater = ">",
        /// Also written `==`. An address lies in a network.
        Equal = "=",
        /// The opposite of `=`, for a field that has a value.
        NotEqual = "!=",
        /// The pattern of fnmatch(3) without flags: `*` also matches `/`.
        Glob = "glob",
        /// The same for letters of either case.
        IGlob = "iglob",
        /// The value has the text somewhere.
        Contains = "contains",
        /// The same for ASCII letters of either case.
        IContains = "icontains",
        /// The same for bytes that are given as hexadecimal digits.
        BContains = "bcontains",
        /// The value begins with the text.
        StartsWith = "startswith",
        /// The value begins with the bytes that are given as hexadecimal digits.
        BStartsWith = "bstartswith",
        /// The value ends with the text.
        EndsWith = "endswith",
        /// The expression matches the whole value.
        Regex = "regex",
        /// The list and the field have a value in common.
        Intersects = "intersects",
        /// The list has the value; for a field that is a list: all values.
        In = "in",
        /// A path of the list is a parent of the value, or the value itself; each component may be a pattern.
        PMatch = "pmatch",
    }
}

words! {
    /// A word between an operator and a list.
    Modifier {
        /// The operator holds for exactly one value of the list.
        OneOf = "oneof",
        /// The operator holds for at least one value of the list.
        AnyOf = "anyof",
        /// The operator holds for every value of the list, which is not empty.
        AllOf = "allof",
    }
}

words! {
    /// A function of values.
    Transformer {
        /// ASCII letters become small.
        ToLower = "tolower",
        /// ASCII letters become large.
        ToUpper = "toupper",
        /// Decodes Base64.
        B64 = "b64",
        /// The part behind the last `/`.
        Basename = "basename",
        /// The number of bytes, or of a list's elements.
        Len = "len",
        /// The elements of a list with a text between them.
        Join = "join",
        /// Texts one after the other.
        Concat = "concat",
        /// The short options of a list of arguments, by the rules of getopt(3).
        GetOpt = "getopt",
        /// The field on the right side as it is.
        Val = "val",
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Field(field) => {
                f.write_str(&field.name)?;
                bracketed(f, field.argument.as_deref())
            }
            Operand::Transform(transform) => {
                write!(f, "{}(", transform.name)?;
                separated(f, &transform.arguments, argument)?;
                f.write_str(")")?;
                bracketed(f, transform.selector.as_deref())
            }
            Operand::Value(text, _) => quoted(f, text, b"()\"'=,"),
            Operand::List(items, _) => {
                f.write_str("(")?;
                separated(f, items, |f, item| item.fmt(f))?;
                f.write_str(")")
            }
        }
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.operator)?;
        if let Some(modifier) = self.modifier {
            write!(f, " {modifier}")?;
        }
        match &self.right {
            Some(right) => write!(f, " {right}"),
            None => Ok(()),
        }
    }
}

/// Writes the condition with one blank between words, and parentheses where they are needed.
impl Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Expr::And(parts, _) => (parts, " and "),
            Expr::Or(parts, _) => (parts, " or "),
            Expr::Not(part, _) => {
                return match **part {
                    Expr::Check(_) | Expr::Macro { .. } => write!(f, "not {part}"),
                    _ => write!(f, "not ({part})"),
                };
            }
            Expr::Check(check) => return check.fmt(f),
            // Bare, it would negate what follows.
            Expr::Macro { name, .. } if name == "not" => return f.write_str("(not)"),
            Expr::Macro { name, .. } => return f.write_str(name),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            match part {
                Expr::And(..) | Expr::Or(..) => write!(f, "({part})")?,
                _ => part.fmt(f)?,
            }
        }
        Ok(())
    }
}

fn separated(
    f: &mut fmt::Formatter<'_>,
    items: &[Operand],
    each: fn(&mut fmt::Formatter<'_>, &Operand) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        each(f, item)?;
    }
    Ok(())
}

/// Writes an argument of a transformer: there only numbers stand without quotes.
fn argument(f: &mut fmt::Formatter<'_>, operand: &Operand) -> fmt::Result {
    match operand {
        Operand::Value(text, _) if is_number(text) => f.write_str(text),
        Operand::Value(text, _) => in_quotes(f, text),
        Operand::List(items, _) => {
            f.write_str("(")?;
            separated(f, items, argument)?;
            f.write_str(")")
        }
        other => other.fmt(f),
    }
}

fn is_number(text: &str) -> bool {
    let mut scan = Scanner::new(text);
    scan.number().is_some() && scan.is_at_end()
}

fn bracketed(f: &mut fmt::Formatter<'_>, argument: Option<&str>) -> fmt::Result {
    let Some(argument) = argument else { return Ok(()) };
    f.write_str("[")?;
    quoted(f, argument, b"[]\"'")?;
    f.write_str("]")
}

/// Writes a value bare where it can be read back so, otherwise in double quotes.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str, forbidden: &[u8]) -> fmt::Result {
    let is_bare = |byte: u8| !is_space(byte) && !forbidden.contains(&byte);
    if !text.is_empty() && text.bytes().all(is_bare) { f.write_str(text) } else { in_quotes(f, text) }
}

fn in_quotes(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => f.write_str("\\\"")?,
            // A backslash before the mark would hide it.
            '\\' if letters.peek().is_none() => f.write_str("\\ ")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            letter => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}
