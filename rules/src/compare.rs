//! Comparisons of a value with what the condition says.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use rustc_hash::FxBuildHasher;

use crate::ast::{Modifier, Operator};
use crate::field::{Answer, Success, Type};
use crate::glob::Glob;
use crate::sets::{MOST_COMPONENTS, Paths, Prefixes, Suffixes};
use crate::slot::{SlotId, Values};
use crate::tables::Relation;

/// The largest program of a regular expression, in bytes.
const REGEX_BYTES: usize = 2 << 20;

/// What a check asks, without what it asks it of. Two checks with equal questions have equal answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The type of the value.
    pub kind: Type,
    /// The operator.
    pub operator: Operator,
    /// Behind the operator.
    pub modifier: Option<Modifier>,
    /// Several values are one list, as libsinsp has them: `in` asks for all of them.
    pub is_list: bool,
    /// The slot never has several values.
    pub is_one: bool,
    /// The values of the condition, as written.
    pub values: Vec<Box<[u8]>>,
    /// The slot on the right side, in place of values.
    pub other: Option<SlotId>,
}

/// A question, made ready for many values. Small, and cheap to clone: the engine has those of all rules side
/// by side.
#[derive(Clone, Debug)]
pub struct Test {
    /// The question.
    pub question: Arc<Question>,
    matcher: Matcher,
    /// The answer is the opposite of the matcher's.
    is_negated: bool,
    /// Of several values all must pass, and not one.
    is_of_all: bool,
}

#[derive(Clone, Debug)]
enum Matcher {
    /// There is a value.
    Exists,
    /// Nothing matches.
    Never,
    /// The value is one of these.
    Equal(Arc<[u8]>),
    /// The same for more than a few.
    Set(Arc<Set>),
    Prefix(Arc<[u8]>),
    Prefixes(Arc<Prefixes>),
    Suffix(Arc<[u8]>),
    Suffixes(Arc<Suffixes>),
    Substring(Arc<Finder<'static>>),
    /// One of several substrings, or one of either case.
    Substrings(Arc<AhoCorasick>),
    Paths(Arc<Paths>),
    Globs(Arc<[Glob]>),
    Regexes(Arc<[Regex]>),
    /// In the order of bytes.
    Bytes(Operator, Arc<Box<[u8]>>),
    Numbers(Arc<HashSet<i128, FxBuildHasher>>),
    /// A number of type `i128`, without its alignment.
    Number(Operator, [u8; 16]),
    Bool {
        on: bool,
        off: bool,
    },
    Addresses(Arc<[IpAddr]>),
    Networks(Arc<[Network]>),
    /// Exactly one of them, or all of them.
    Each(Modifier, Arc<Vec<Test>>),
    /// The value of another slot.
    Slot(SlotId, Operator),
}

/// A set of texts.
#[derive(Clone, Debug)]
struct Set {
    texts: HashSet<Box<[u8]>, FxBuildHasher>,
    /// A bit for each length that a text of the set has; the last one for all from 63 on.
    lengths: u64,
}

impl Set {
    fn new(texts: &[Box<[u8]>]) -> Set {
        let lengths = texts.iter().map(|text| Set::length_bit(text)).fold(0, |bits, bit| bits | bit);
        Set { texts: texts.iter().cloned().collect(), lengths }
    }

    fn length_bit(text: &[u8]) -> u64 {
        1 << text.len().min(63)
    }

    fn has(&self, text: &[u8]) -> bool {
        self.lengths & Set::length_bit(text) != 0 && self.texts.contains(text)
    }
}

/// An IP network.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Network { address, bits })
    }

    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                (net.to_bits() ^ one.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                (net.to_bits() ^ one.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Whether a field of this type may be compared so; `is_list` is that of a [`Question`].
pub fn is_allowed(kind: Type, operator: Operator, is_list: bool) -> bool {
    use Operator as O;
    if is_list {
        return matches!(operator, O::Exists | O::In | O::Intersects);
    }
    if matches!(operator, O::Exists | O::Equal | O::NotEqual | O::In | O::Intersects) {
        return true;
    }
    match kind {
        Type::Text => !matches!(operator, O::BContains | O::BStartsWith),
        Type::Bytes => {
            matches!(operator, O::Contains | O::StartsWith | O::EndsWith | O::BContains | O::BStartsWith)
        }
        Type::Int | Type::Uint | Type::Port | Type::Time | Type::Duration => {
            matches!(operator, O::Less | O::LessOrEqual | O::Greater | O::GreaterOrEqual)
        }
        Type::Bool | Type::Address | Type::Net => false,
    }
}

impl Test {
    /// Makes a question ready. The error is the index of the value that is wrong, and what is wrong with it.
    pub fn new(question: Question) -> Result<Test, (usize, String)> {
        let is_negated = question.operator == Operator::NotEqual;
        let matcher = if let Some(other) = question.other {
            Matcher::Slot(other, question.operator)
        } else if question.operator == Operator::Exists {
            Matcher::Exists
        } else {
            match question.modifier {
                _ if question.values.is_empty() => Matcher::Never,
                // "!= allof": not one of them. "!= anyof" is not the opposite of "= allof" on several values.
                Some(Modifier::AllOf) if is_negated => any_of(&question)?,
                Some(Modifier::AnyOf) if !is_negated => any_of(&question)?,
                Some(modifier) => return Test::each(question, modifier),
                None => any_of(&question)?,
            }
        };
        let is_negated = is_negated && !matches!(matcher, Matcher::Slot(..) | Matcher::Never);
        // "fd.ip != a": neither side has the address.
        let is_of_all = (is_negated && is_of_network(question.kind))
            || (question.is_list && question.operator == Operator::In);
        Ok(Test { question: Arc::new(question), matcher, is_negated, is_of_all })
    }

    /// A test for each value alone.
    fn each(question: Question, modifier: Modifier) -> Result<Test, (usize, String)> {
        let mut tests = Vec::with_capacity(question.values.len());
        for (index, value) in question.values.iter().enumerate() {
            let one = Question {
                modifier: None,
                values: vec![value.clone()],
                kind: question.kind,
                operator: question.operator,
                is_list: false,
                is_one: true,
                other: None,
            };
            tests.push(Test::new(one).map_err(|(_, message)| (index, message))?);
        }
        let matcher = Matcher::Each(modifier, Arc::new(tests));
        Ok(Test { question: Arc::new(question), matcher, is_negated: false, is_of_all: false })
    }

    /// Whether the value of `slot` passes the test. Without a value it does not.
    pub fn passes(&self, slot: SlotId, values: &mut Values<'_, '_>) -> bool {
        match &self.matcher {
            Matcher::Slot(other, operator) => {
                let (one, other) = values.both(slot, *other);
                self.compare(*operator, one, other)
            }
            _ => self.passes_value(values.get(slot)),
        }
    }

    /// Whether a value passes a test that needs no other value.
    pub fn passes_value(&self, value: &Answer<'_>) -> bool {
        match value {
            Answer::Absent => false,
            Answer::Presumed(Success::Text(text)) => {
                self.passes_value(&Answer::Text(Cow::Borrowed(text.as_bytes())))
            }
            Answer::Presumed(Success::NotNegative) => self.passes_from_zero(),
            Answer::List(list) if list.is_empty() => false,
            Answer::List(_) if matches!(self.matcher, Matcher::Exists) => true,
            Answer::List(list) if self.is_of_all => list.iter().all(|item| self.passes_value(item)),
            Answer::List(list) => list.iter().any(|item| self.passes_value(item)),
            value => self.matches(value).is_some_and(|is| is != self.is_negated),
        }
    }

    /// Whether every number from 0 on passes the test.
    fn passes_from_zero(&self) -> bool {
        match &self.matcher {
            Matcher::Exists => true,
            Matcher::Number(operator, expected) => {
                let expected = i128::from_ne_bytes(*expected);
                match (operator, self.is_negated) {
                    (Operator::GreaterOrEqual, false) => expected <= 0,
                    (Operator::Greater, false) | (Operator::Equal, true) => expected < 0,
                    _ => false,
                }
            }
            Matcher::Numbers(set) => self.is_negated && set.iter().all(|number| *number < 0),
            Matcher::Each(Modifier::AllOf, tests) => tests.iter().all(Test::passes_from_zero),
            Matcher::Each(Modifier::AnyOf, tests) => tests.iter().any(Test::passes_from_zero),
            _ => false,
        }
    }

    /// `None` where the value is not of the type that the catalog promises.
    #[inline]
    fn matches(&self, value: &Answer<'_>) -> Option<bool> {
        if let Answer::Text(text) = value
            && let Some(is) = self.matches_text(text)
        {
            return Some(is);
        }
        Some(match (&self.matcher, value) {
            (Matcher::Exists, _) => true,
            (Matcher::Never, _) => false,
            (Matcher::Each(modifier, tests), _) => {
                let mut passed = tests.iter().filter(|test| test.passes_value(value));
                match modifier {
                    Modifier::AllOf => passed.count() == tests.len(),
                    Modifier::OneOf => passed.next().is_some() && passed.next().is_none(),
                    Modifier::AnyOf => passed.next().is_some(),
                }
            }
            (Matcher::Numbers(set), _) => set.contains(&number(value)?),
            (Matcher::Number(operator, expected), _) => {
                is_ordered(*operator, &number(value)?, &i128::from_ne_bytes(*expected))
            }
            (Matcher::Bool { on, off }, Answer::Bool(is)) => (*is && *on) || (!*is && *off),
            (Matcher::Addresses(list), Answer::Address(address)) => list.contains(address),
            (Matcher::Networks(list), Answer::Address(address)) => list.iter().any(|net| net.has(*address)),
            _ => return None,
        })
    }

    fn matches_text(&self, text: &[u8]) -> Option<bool> {
        Some(match &self.matcher {
            Matcher::Equal(expected) => **expected == *text,
            Matcher::Set(set) => set.has(text),
            Matcher::Prefix(prefix) => text.starts_with(prefix),
            Matcher::Prefixes(prefixes) => prefixes.begin(text),
            Matcher::Suffix(suffix) => text.ends_with(suffix),
            Matcher::Suffixes(suffixes) => suffixes.end(text),
            Matcher::Substring(finder) => finder.find(text).is_some(),
            Matcher::Substrings(finder) => finder.is_match(text),
            Matcher::Paths(paths) => paths.have_parent_of(text),
            Matcher::Globs(globs) => globs.iter().any(|glob| glob.matches(text)),
            Matcher::Regexes(regexes) => {
                let text = String::from_utf8_lossy(text);
                regexes.iter().any(|regex| regex.is_match(&text))
            }
            Matcher::Bytes(operator, expected) => is_ordered(*operator, text, expected),
            _ => return None,
        })
    }

    /// Compares two values.
    fn compare(&self, operator: Operator, one: &Answer<'_>, other: &Answer<'_>) -> bool {
        let equal = |one: &Answer<'_>, other: &Answer<'_>| self.compare(Operator::Equal, one, other);
        match (one, other) {
            (Answer::Absent | Answer::Presumed(_), _) | (_, Answer::Absent | Answer::Presumed(_)) => false,
            (Answer::List(ones), Answer::List(others)) => match operator {
                Operator::In => ones.iter().all(|one| others.iter().any(|other| equal(one, other))),
                _ => ones.iter().any(|one| others.iter().any(|other| equal(one, other))),
            },
            (Answer::List(ones), _) => ones.iter().any(|one| self.compare(operator, one, other)),
            (_, Answer::List(others)) => others.iter().any(|other| self.compare(operator, one, other)),
            (Answer::Text(one), Answer::Text(other)) => compare_texts(operator, one, other),
            (Answer::Bool(one), Answer::Bool(other)) => is_ordered(operator, one, other),
            (Answer::Address(one), Answer::Address(other)) => is_ordered(operator, one, other),
            _ => match (number(one), number(other)) {
                (Some(one), Some(other)) => is_ordered(operator, &one, &other),
                _ => false,
            },
        }
    }

    /// What the test asks, if it compares one text with the question's, and nothing else: for several values,
    /// it passes if one of them does.
    pub fn relation(&self) -> Option<Relation> {
        if self.is_of_all || self.question.kind != Type::Text || (self.is_negated && !self.question.is_one) {
            return None;
        }
        match (&self.matcher, self.question.operator) {
            (Matcher::Equal(_) | Matcher::Set(_), _) => Some(Relation::Equal),
            (Matcher::Prefix(_) | Matcher::Prefixes(_), Operator::StartsWith) => Some(Relation::Prefix),
            (Matcher::Suffix(_) | Matcher::Suffixes(_), _) => Some(Relation::Suffix),
            _ => None,
        }
    }

    /// Whether the answer is the opposite of that of [`Test::relation`].
    pub fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// What the test costs, about; a comparison of equality is 1.
    pub fn cost(&self) -> u32 {
        match &self.matcher {
            Matcher::Exists
            | Matcher::Never
            | Matcher::Bool { .. }
            | Matcher::Number(..)
            | Matcher::Equal(_) => 1,
            Matcher::Prefix(_) | Matcher::Suffix(_) | Matcher::Bytes(..) | Matcher::Numbers(_) => 1,
            Matcher::Set(_) | Matcher::Prefixes(_) | Matcher::Suffixes(_) | Matcher::Addresses(_) => 2,
            Matcher::Networks(list) => 2 + u32::try_from(list.len() / 4).unwrap_or(u32::MAX),
            Matcher::Substring(_) => 3,
            Matcher::Substrings(_) | Matcher::Paths(_) | Matcher::Slot(..) => 5,
            Matcher::Globs(globs) => 5 * u32::try_from(globs.len()).unwrap_or(u32::MAX),
            Matcher::Regexes(regexes) => 20 * u32::try_from(regexes.len()).unwrap_or(u32::MAX),
            Matcher::Each(_, tests) => tests.iter().map(Test::cost).fold(0, u32::saturating_add),
        }
    }
}

fn is_of_network(kind: Type) -> bool {
    matches!(kind, Type::Address | Type::Net | Type::Port)
}

/// A matcher that matches where the operator holds for one of the values, of which there is one at least.
fn any_of(question: &Question) -> Result<Matcher, (usize, String)> {
    match question.kind {
        Type::Text | Type::Bytes => text_matcher(question),
        Type::Bool => {
            let values = parsed(question, |text| match text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            });
            let values = values.map_err(|at| wrong(question, at, "is neither 'true' nor 'false'"))?;
            Ok(Matcher::Bool { on: values.contains(&true), off: values.contains(&false) })
        }
        Type::Address => {
            let list =
                parsed(question, |text| text.parse::<IpAddr>().ok().map(|address| address.to_canonical()));
            list.map(|list| Matcher::Addresses(list.into()))
                .map_err(|at| wrong(question, at, "is no IP address"))
        }
        Type::Net => {
            let list = parsed(question, Network::parse);
            list.map(|list| Matcher::Networks(list.into()))
                .map_err(|at| wrong(question, at, "is no network such as 10.0.0.0/8"))
        }
        Type::Port => numbers(question, |text| parse_number(text).or_else(|| port(text)), "is no port"),
        Type::Int | Type::Uint | Type::Time | Type::Duration => {
            numbers(question, parse_number, "is no whole number")
        }
    }
}

fn text_matcher(question: &Question) -> Result<Matcher, (usize, String)> {
    let values = &question.values;
    let texts = || values.iter().map(|value| &**value);
    Ok(match (question.operator, values.as_slice()) {
        (Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects, [one]) => {
            Matcher::Equal((&**one).into())
        }
        (Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects, many) => {
            Matcher::Set(Arc::new(Set::new(many)))
        }
        (Operator::StartsWith, [one]) => Matcher::Prefix((&**one).into()),
        (Operator::StartsWith, _) => Matcher::Prefixes(Arc::new(Prefixes::new(texts()))),
        (Operator::EndsWith, [one]) => Matcher::Suffix((&**one).into()),
        (Operator::EndsWith, _) => Matcher::Suffixes(Arc::new(Suffixes::new(texts()))),
        (Operator::Contains, [one]) => substring(one),
        (Operator::Contains, _) => substrings(values, false)?,
        (Operator::IContains, _) => substrings(values, true)?,
        (Operator::BContains | Operator::BStartsWith, _) => {
            let bytes = parsed(question, parse_hex);
            let bytes =
                bytes.map_err(|at| wrong(question, at, "is not an even number of hexadecimal digits"))?;
            match (question.operator, bytes.as_slice()) {
                (Operator::BContains, [one]) => substring(one),
                (Operator::BContains, _) => substrings(&bytes, false)?,
                _ => Matcher::Prefixes(Arc::new(Prefixes::new(bytes.iter().map(Vec::as_slice)))),
            }
        }
        (Operator::Glob | Operator::IGlob, _) => Matcher::Globs(
            texts().map(|text| Glob::new(text, question.operator == Operator::IGlob)).collect(),
        ),
        (Operator::Regex, _) => {
            let regexes: Result<Vec<_>, _> =
                values.iter().enumerate().map(|(index, value)| regex(index, value)).collect();
            Matcher::Regexes(regexes?.into())
        }
        (Operator::PMatch, _) => Matcher::Paths(Arc::new(Paths::new(texts()).map_err(|path| {
            let at = values.iter().position(|value| **value == *path).unwrap_or(0);
            (at, format!("the path has more than {MOST_COMPONENTS} components"))
        })?)),
        (operator, values) => match values.first() {
            Some(one) => Matcher::Bytes(operator, Arc::new(one.clone())),
            None => Matcher::Never,
        },
    })
}

fn substring(text: &[u8]) -> Matcher {
    Matcher::Substring(Arc::new(Finder::new(text).into_owned()))
}

fn substrings<T: AsRef<[u8]>>(texts: &[T], ignores_case: bool) -> Result<Matcher, (usize, String)> {
    let finder = AhoCorasick::builder().ascii_case_insensitive(ignores_case).build(texts);
    match finder {
        Ok(finder) => Ok(Matcher::Substrings(Arc::new(finder))),
        Err(error) => Err((0, format!("too many texts to search for: {error}"))),
    }
}

/// An expression that matches whole values.
fn regex(index: usize, value: &[u8]) -> Result<Regex, (usize, String)> {
    let text = String::from_utf8_lossy(value);
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
    // Alone first: "a)(b" is an expression only between the parentheses.
    let built = build(&text).and_then(|_| build(&format!("\\A(?:{text})\\z")));
    built.map_err(|error| {
        let reason = match &error {
            regex::Error::CompiledTooBig(_) => format!("it takes more than {REGEX_BYTES} bytes"),
            // The last line says what is wrong; those before draw where.
            other => {
                other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        };
        (index, format!("'{}' is no regular expression that can be used: {reason}", shortened(&text)))
    })
}

fn numbers(
    question: &Question,
    parse: impl Fn(&str) -> Option<i128>,
    fault: &str,
) -> Result<Matcher, (usize, String)> {
    let list = parsed(question, parse).map_err(|at| wrong(question, at, fault))?;
    Ok(match (question.operator, list.as_slice()) {
        (Operator::In | Operator::Intersects | Operator::NotEqual, [one]) => {
            Matcher::Number(Operator::Equal, one.to_ne_bytes())
        }
        (operator, [one]) => Matcher::Number(operator, one.to_ne_bytes()),
        (_, _) => Matcher::Numbers(Arc::new(list.into_iter().collect())),
    })
}

/// All values as `parse` reads them; the error is the index of the first one that it cannot read.
fn parsed<T>(question: &Question, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, usize> {
    let read = |(index, value)| str::from_utf8(value).ok().and_then(&parse).ok_or(index);
    question.values.iter().map(|value| &**value).enumerate().map(read).collect()
}

fn wrong(question: &Question, at: usize, fault: &str) -> (usize, String) {
    let value = question.values.get(at).map(|value| String::from_utf8_lossy(value)).unwrap_or_default();
    (at, format!("'{}' {fault}", shortened(&value)))
}

/// At most 60 characters of a value, for a message.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A decimal number with an optional sign, or a hexadecimal one behind `0x`.
pub fn parse_number(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if is_hex { i128::from_str_radix(digits, 16).ok() } else { None };
    }
    text.parse().ok()
}

/// The port of a service that rules are likely to name.
fn port(name: &str) -> Option<i128> {
    const SERVICES: &[(&str, i128)] = &[
        ("ftp", 21),
        ("ssh", 22),
        ("telnet", 23),
        ("smtp", 25),
        ("domain", 53),
        ("http", 80),
        ("kerberos", 88),
        ("pop3", 110),
        ("ntp", 123),
        ("imap2", 143),
        ("snmp", 161),
        ("ldap", 389),
        ("https", 443),
        ("submission", 587),
        ("ldaps", 636),
        ("imaps", 993),
        ("pop3s", 995),
        ("mysql", 3306),
        ("postgresql", 5432),
        ("redis", 6379),
    ];
    SERVICES.iter().find(|(known, _)| *known == name).map(|(_, port)| *port)
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn number(value: &Answer<'_>) -> Option<i128> {
    match value {
        Answer::Int(number) => Some((*number).into()),
        Answer::Uint(number) => Some((*number).into()),
        _ => None,
    }
}

fn is_ordered<T: Ord + ?Sized>(operator: Operator, one: &T, other: &T) -> bool {
    match operator {
        Operator::Less => one < other,
        Operator::LessOrEqual => one <= other,
        Operator::Greater => one > other,
        Operator::GreaterOrEqual => one >= other,
        Operator::NotEqual => one != other,
        _ => one == other,
    }
}

fn compare_texts(operator: Operator, one: &[u8], other: &[u8]) -> bool {
    let finds = |one: &[u8], other: &[u8]| memchr::memmem::find(one, other).is_some();
    match operator {
        Operator::StartsWith | Operator::BStartsWith => one.starts_with(other),
        Operator::EndsWith => one.ends_with(other),
        Operator::Contains | Operator::BContains => finds(one, other),
        Operator::IContains => finds(&one.to_ascii_lowercase(), &other.to_ascii_lowercase()),
        Operator::Glob => Glob::new(other, false).matches(one),
        Operator::IGlob => Glob::new(other, true).matches(one),
        operator => is_ordered(operator, one, other),
    }
}
