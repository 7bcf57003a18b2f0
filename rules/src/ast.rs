//! The tree that the parser makes of a condition.
//!
//! Names of fields and macros are as written; [`crate::compile`] checks them.

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
    Check(Check),
    /// The name of a macro.
    Macro {
        /// As written.
        name: String,
        /// Where.
        span: Span,
    },
}

impl Expr {
    /// The bytes that it was read from.
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

/// A side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A field by name.
    Field(FieldName),
    /// A transformer and its arguments; `val(field)` on the right side is one too.
    Transform {
        /// Such as `tolower`.
        name: Transformer,
        /// At least one.
        arguments: Vec<Operand>,
        /// From its name to the closing parenthesis.
        span: Span,
    },
    /// A word, a quoted string without its escapes, or a number as written.
    Value(String, Span),
    /// Values in parentheses.
    List(Vec<Operand>, Span),
}

impl Operand {
    /// The bytes that it was read from.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Operand::Field(field) => field.span,
            Operand::Transform { span, .. } | Operand::Value(_, span) | Operand::List(_, span) => *span,
        }
    }
}

/// A field as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// Such as `proc.aname`.
    pub name: String,
    /// The text between the brackets.
    pub argument: Option<String>,
    /// Name and brackets.
    pub span: Span,
}

/// How a check compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the operator of the same name")]
pub enum Operator {
    Exists,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Glob,
    IGlob,
    Contains,
    IContains,
    BContains,
    StartsWith,
    BStartsWith,
    EndsWith,
    Regex,
    In,
    Intersects,
    PMatch,
}

/// A word between an operator and a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// The operator holds for one value of the list.
    OneOf,
    /// The operator holds for any value of the list.
    AnyOf,
    /// The operator holds for each value of the list.
    AllOf,
}

/// A function of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the transformer of the same name")]
pub enum Transformer {
    ToLower,
    ToUpper,
    B64,
    Basename,
    Len,
    Join,
    Concat,
    GetOpt,
    Val,
}
