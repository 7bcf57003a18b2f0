//! A condition's text becomes an [`Expr`].
//!
//! The grammar, loosest first; `_` is a blank, and a blank may stand between any two words:
//!
//! ```text
//! or        = and { "or" ( _ and | "(" or ")" ) }
//! and       = not { "and" ( _ not | "(" or ")" ) }
//! not       = { "not" _ } ( "not(" or ")" | check )
//! check     = "(" or ")" | left "exists" | left operator right | MACRO
//! left      = field | transform
//! field     = NAME [ "[" ( QUOTED | BARE ) "]" ]
//! transform = WORD "(" argument { "," argument } ")" [ "[" ( QUOTED | BARE ) "]" ]
//! argument  = item | "(" [ item { "," item } ] ")"
//! item      = NUMBER | QUOTED | field | transform
//! right     = "val(" field ")" | transform | NUMBER | QUOTED | BARE | "(" [ value { "," value } ] ")" | WORD
//! ```
//!
//! Each function is a function of libsinsp's parser (libs, `userspace/libsinsp/filter/parser.h`, 48dfd53cd),
//! because only so are the same conditions accepted, and is the limit of nesting reached at the same depth:
//! it counts calls, and a parenthesis costs five. Two differences are meant. libsinsp reads `in ("\q")`,
//! whose escape does not exist, as an empty list, and `containsin (a)` as `in (a)`; here both are errors.

use std::error::Error;
use std::fmt::{self, Display};

use crate::ast::{Check, Expr, FieldName, Modifier, Operand, Operator, Span, Transform, Transformer};
use crate::scanner::{BadString, Scanner};

/// The deepest nesting that [`parse`] accepts.
pub const DEPTH: u32 = 100;

/// The deepest nesting of the conditions of rule files.
pub const FILE_DEPTH: u32 = 1000;

/// The longest condition, in bytes. Its tree may take thirty times as much memory.
pub const LONGEST: usize = 4 << 20;

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The byte at which the parser stopped.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
}

impl Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl Error for ParseError {}

/// Parses a condition whose nesting is at most [`DEPTH`].
pub fn parse(condition: &str) -> Result<Expr, ParseError> {
    parse_with_depth(condition, DEPTH)
}

/// Parses a condition whose nesting is at most `depth`.
///
/// Text that does not end where the condition does is an error; so is a text of more than [`LONGEST`] bytes.
pub fn parse_with_depth(condition: &str, depth: u32) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(condition, depth)?;
    let expr = parser.or()?;
    if !parser.scan.is_at_end() {
        return parser.fail("expected 'and', 'or' or the end of the condition");
    }
    Ok(expr)
}

/// Parses the field, or the transformer around fields, at the front of `text`; the number is its length in
/// bytes.
///
/// An output format has such operands behind its `%`.
pub fn parse_operand(text: &str) -> Result<(Operand, usize), ParseError> {
    let mut parser = Parser::new(text, DEPTH)?;
    match parser.field_or_transform()? {
        Some(operand) => Ok((operand, parser.scan.at())),
        None => parser.fail("expected a field or a transformer"),
    }
}

type Parsed<T> = Result<T, ParseError>;

#[derive(Debug)]
struct Parser<'a> {
    scan: Scanner<'a>,
    depth: u32,
    most: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, most: u32) -> Parsed<Parser<'a>> {
        let message = if text.is_empty() {
            "the condition is empty".to_owned()
        } else if text.len() > LONGEST {
            format!("the condition has {} bytes; the longest that is read has {LONGEST}", text.len())
        } else {
            return Ok(Parser { scan: Scanner::new(text), depth: 0, most });
        };
        Err(ParseError { at: 0, message })
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { at: self.scan.at(), message: message.into() })
    }

    /// Calls `part` one level deeper. After an error the depth no longer matters.
    fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth >= self.most {
            return self.fail(format!("the condition nests deeper than {} levels", self.most));
        }
        let value = part(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// What was read since `start`, without the blanks at its end.
    fn since(&self, start: usize) -> Span {
        Span { start, end: start + self.scan.read_since(start).trim_ascii_end().len() }
    }

    fn or(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.chain("or", Parser::and, Expr::Or))
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.chain("and", Parser::not, Expr::And))
    }

    /// Parses parts with `word` between them.
    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Parsed<Expr>,
        join: fn(Vec<Expr>, Span) -> Expr,
    ) -> Parsed<Expr> {
        self.scan.blanks();
        let start = self.scan.at();
        let first = part(self)?;
        let mut span = self.since(start);
        self.scan.blanks();
        if !self.scan.word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        loop {
            parts.push(if self.scan.blanks() {
                part(self)?
            } else if self.scan.word("(") {
                self.closed()?
            } else {
                return self.fail(format!("expected a blank or '(' after '{word}'"));
            });
            span = self.since(span.start);
            self.scan.blanks();
            if !self.scan.word(word) {
                return Ok(join(parts, span));
            }
        }
    }

    fn not(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            parser.scan.blanks();
            let start = parser.scan.at();
            let mut is_negated = false;
            while parser.scan.not_and_space() {
                is_negated = !is_negated;
            }
            let part = if parser.scan.word("not(") {
                is_negated = !is_negated;
                parser.closed()?
            } else {
                parser.check()?
            };
            Ok(if is_negated { Expr::Not(Box::new(part), parser.since(start)) } else { part })
        })
    }

    /// What follows an opening parenthesis.
    fn closed(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let inner = parser.or()?;
            parser.scan.blanks();
            if !parser.scan.word(")") {
                return parser.fail("expected ')'");
            }
            Ok(inner)
        })
    }

    fn check(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            parser.scan.blanks();
            if parser.scan.word("(") {
                return parser.closed();
            }
            let start = parser.scan.at();
            if let Some(left) = parser.field_or_transform()? {
                return parser.comparison(left, start);
            }
            match parser.scan.identifier() {
                Some(name) => Ok(Expr::Macro { name: name.to_owned(), span: parser.since(start) }),
                None => parser.fail("expected '(', a field, a transformer or a macro"),
            }
        })
    }

    fn field_or_transform(&mut self) -> Parsed<Option<Operand>> {
        let start = self.scan.at();
        if let Some(name) = self.scan.field_name() {
            return self.field(name, start).map(Some);
        }
        match self.transformer() {
            Some(name) => self.transform(name, start).map(Some),
            None => Ok(None),
        }
    }

    fn field(&mut self, name: &str, start: usize) -> Parsed<Operand> {
        self.nested(|parser| {
            let argument = parser.brackets()?;
            let span = parser.since(start);
            Ok(Operand::Field(Box::new(FieldName { name: name.to_owned(), argument, span })))
        })
    }

    /// Takes an argument in brackets, if there is one.
    fn brackets(&mut self) -> Parsed<Option<String>> {
        if !self.scan.word("[") {
            return Ok(None);
        }
        let Some(argument) = self.string(Scanner::bare_argument)? else {
            return self.fail("expected an argument: a quoted string, or a word without blanks and brackets");
        };
        if !self.scan.word("]") {
            return self.fail("expected ']'");
        }
        Ok(Some(argument))
    }

    /// Takes a quoted string or a bare one.
    fn string(&mut self, bare: impl FnOnce(&mut Scanner<'a>) -> Option<&'a str>) -> Parsed<Option<String>> {
        match self.scan.quoted_string() {
            Ok(text) => Ok(Some(text)),
            Err(BadString::None) => Ok(bare(&mut self.scan).map(str::to_owned)),
            Err(BadString::Escape(letter)) => {
                self.fail(format!("the string has the escape '\\{letter}', which does not exist there"))
            }
        }
    }

    /// Takes the name of a transformer and its parenthesis, between which no blank may stand.
    fn transformer(&mut self) -> Option<Transformer> {
        let start = self.scan.at();
        for name in Transformer::ALL.iter().copied().filter(|name| *name != Transformer::Val) {
            if self.scan.word(name.word()) && self.scan.word("(") {
                return Some(name);
            }
            self.scan.back_to(start);
        }
        None
    }

    /// What follows a transformer's opening parenthesis.
    fn transform(&mut self, name: Transformer, start: usize) -> Parsed<Operand> {
        self.nested(|parser| {
            let mut arguments = Vec::new();
            loop {
                arguments.push(parser.argument()?);
                parser.scan.blanks();
                if !parser.scan.word(",") {
                    break;
                }
            }
            if !parser.scan.word(")") {
                return parser.fail(format!("expected ',' or the ')' of '{name}('"));
            }
            let selector = parser.brackets()?;
            let span = parser.since(start);
            Ok(Operand::Transform(Box::new(Transform { name, arguments, selector, span })))
        })
    }

    fn argument(&mut self) -> Parsed<Operand> {
        self.nested(|parser| {
            parser.scan.blanks();
            let start = parser.scan.at();
            if !parser.scan.word("(") {
                return parser.item();
            }
            let mut items = Vec::new();
            parser.scan.blanks();
            if !parser.scan.word(")") {
                loop {
                    parser.scan.blanks();
                    items.push(parser.item()?);
                    parser.scan.blanks();
                    if !parser.scan.word(",") {
                        break;
                    }
                }
                if !parser.scan.word(")") {
                    return parser.fail("expected ',' or the ')' of the list");
                }
            }
            Ok(Operand::List(items, parser.since(start)))
        })
    }

    /// One value that a transformer takes.
    fn item(&mut self) -> Parsed<Operand> {
        let start = self.scan.at();
        if let Some(operand) = self.field_or_transform()? {
            return Ok(operand);
        }
        match self.string(Scanner::number)? {
            Some(text) => Ok(Operand::Value(text, self.since(start))),
            None => self.fail("expected a field, a transformer, a quoted string or a number"),
        }
    }

    /// What follows the left side.
    fn comparison(&mut self, left: Operand, start: usize) -> Parsed<Expr> {
        self.nested(|parser| {
            parser.scan.blanks();
            let Some(operator) = parser.operator() else { return parser.fail(operators()) };
            let mut modifier = None;
            let right = match kind(operator) {
                Kind::Unary => None,
                Kind::Number => Some(parser.number()?),
                Kind::List => Some(parser.list()?),
                Kind::Text => {
                    modifier = parser.modifier();
                    Some(if modifier.is_some() { parser.list()? } else { parser.text()? })
                }
            };
            let span = parser.since(start);
            Ok(Expr::Check(Box::new(Check { left, operator, modifier, right, span })))
        })
    }

    fn operator(&mut self) -> Option<Operator> {
        if self.scan.word("==") {
            return Some(Operator::Equal);
        }
        // No word is tried after one that it begins with; the words of text need a blank behind them.
        Operator::ALL.iter().copied().find(|operator| match kind(*operator) {
            Kind::Text if !matches!(operator, Operator::Equal | Operator::NotEqual) => {
                self.scan.word_and_blank(operator.word())
            }
            _ => self.scan.word(operator.word()),
        })
    }

    /// Takes the word before a list; without a list behind it, it is a value.
    fn modifier(&mut self) -> Option<Modifier> {
        self.scan.blanks();
        let start = self.scan.at();
        let modifier = Modifier::ALL.iter().copied().find(|modifier| self.scan.word(modifier.word()))?;
        self.scan.blanks();
        let list = self.scan.at();
        if self.scan.word("(") {
            self.scan.back_to(list);
            return Some(modifier);
        }
        self.scan.back_to(start);
        None
    }

    fn number(&mut self) -> Parsed<Operand> {
        self.nested(|parser| {
            if let Some(operand) = parser.right_field()? {
                return Ok(operand);
            }
            let start = parser.scan.at();
            match parser.scan.number() {
                Some(text) => Ok(Operand::Value(text.to_owned(), parser.since(start))),
                None => parser.fail("expected a number, 'val(field)' or a transformer"),
            }
        })
    }

    fn text(&mut self) -> Parsed<Operand> {
        self.nested(|parser| {
            if let Some(operand) = parser.right_field()? {
                return Ok(operand);
            }
            let start = parser.scan.at();
            match parser.string(Scanner::bare_string)? {
                Some(text) => Ok(Operand::Value(text, parser.since(start))),
                None => parser.fail("expected a value, 'val(field)' or a transformer"),
            }
        })
    }

    fn list(&mut self) -> Parsed<Operand> {
        self.nested(|parser| {
            parser.scan.blanks();
            let start = parser.scan.at();
            if !parser.scan.word("(") {
                if let Some(operand) = parser.right_field()? {
                    return Ok(operand);
                }
                return match parser.scan.identifier() {
                    Some(text) => Ok(Operand::Value(text.to_owned(), parser.since(start))),
                    None => parser.fail("expected a list in parentheses, 'val(field)' or a transformer"),
                };
            }
            let mut values = Vec::new();
            loop {
                parser.scan.blanks();
                let start = parser.scan.at();
                match parser.string(Scanner::bare_string)? {
                    Some(text) => values.push(Operand::Value(text, parser.since(start))),
                    None if values.is_empty() => break,
                    None => return parser.fail("expected a value after ','"),
                }
                parser.scan.blanks();
                if !parser.scan.word(",") {
                    break;
                }
            }
            if !parser.scan.word(")") {
                return parser.fail("expected ',' or the ')' of the list");
            }
            Ok(Operand::List(values, parser.since(start)))
        })
    }

    /// Takes `val(field)` or a transformer on the right side.
    fn right_field(&mut self) -> Parsed<Option<Operand>> {
        self.nested(|parser| {
            parser.scan.blanks();
            let start = parser.scan.at();
            if !parser.scan.word("val(") {
                return match parser.transformer() {
                    Some(name) => parser.transform(name, start).map(Some),
                    None => Ok(None),
                };
            }
            parser.scan.blanks();
            let at = parser.scan.at();
            let Some(name) = parser.scan.field_name() else {
                return parser.fail("expected a field in 'val('");
            };
            let field = parser.field(name, at)?;
            parser.scan.blanks();
            if !parser.scan.word(")") {
                return parser.fail("expected the ')' of 'val('");
            }
            let span = parser.since(start);
            let transform =
                Transform { name: Transformer::Val, arguments: vec![field], selector: None, span };
            Ok(Some(Operand::Transform(Box::new(transform))))
        })
    }
}

/// The message that lists all operators.
///
/// Not with `[&str]::join`: LLVM's constraint elimination takes minutes for it where it knows the array
/// (rustc 1.95).
#[cold]
fn operators() -> String {
    let mut message = "expected an operator".to_owned();
    for (index, operator) in Operator::ALL.iter().enumerate() {
        message += if index == 0 { ": " } else { ", " };
        message += operator.word();
    }
    message
}

/// What follows an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Unary,
    /// A number.
    Number,
    /// One value, or a modifier and a list.
    Text,
    /// A list.
    List,
}

fn kind(operator: Operator) -> Kind {
    match operator {
        Operator::Exists => Kind::Unary,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => Kind::Number,
        Operator::In | Operator::Intersects | Operator::PMatch => Kind::List,
        _ => Kind::Text,
    }
}
