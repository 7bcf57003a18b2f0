//! The calls of a level as rules of libseccomp, by which an OCI runtime makes a filter (`linux.seccomp` of
//! the runtime specification). Such a rule compares arguments and knows nothing of the instruction that
//! makes the call: libc's own calls are asked about too.

use crate::calls::{CALLS, Call, NAMESPACES, PROT_EXEC, WRITING, When};
use crate::level::Level;

/// Calls whose 32-bit conventions have another one with wider ids or offsets, and its name in libseccomp.
const WIDER: [(&str, &str); 13] = [
    ("chown", "chown32"),
    ("fchown", "fchown32"),
    ("lchown", "lchown32"),
    ("setuid", "setuid32"),
    ("setgid", "setgid32"),
    ("setreuid", "setreuid32"),
    ("setregid", "setregid32"),
    ("setresuid", "setresuid32"),
    ("setresgid", "setresgid32"),
    ("setfsuid", "setfsuid32"),
    ("setfsgid", "setfsgid32"),
    ("setgroups", "setgroups32"),
    ("mmap", "mmap2"),
];

/// Calls that libseccomp makes rules for by itself (socketcall(2), from those of the calls that it stands
/// for), or knows under another call's name.
const WITHOUT_RULE: [&str; 2] = ["socketcall", "old_mmap"];

/// A call that a filter is to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in libseccomp.
    pub name: &'static str,
    /// Which arguments it is asked about; `None` for all.
    pub split: Option<Split>,
}

/// The arguments of a call, split in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// One of these holds for a call that is asked about, or several do.
    pub asked: Vec<Compare>,
    /// This holds for all other calls, and for no other ones.
    pub rest: Compare,
}

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The index of the argument, from 0.
    pub index: u8,
    /// What holds of it.
    pub is: Is,
}

/// What holds of an argument, of which all 64 bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// It is this number.
    Equal(u64),
    /// It is another one.
    Other(u64),
    /// Of the bits of a mask, it has these.
    Masked {
        /// The mask.
        mask: u64,
        /// What is left of the argument under it.
        value: u64,
    },
}

impl Compare {
    /// Whether it holds for these arguments.
    pub fn holds(self, args: &[u64; 6]) -> bool {
        let arg = args.get(usize::from(self.index)).copied().unwrap_or_default();
        match self.is {
            Is::Equal(value) => arg == value,
            Is::Other(value) => arg != value,
            Is::Masked { mask, value } => arg & mask == value,
        }
    }
}

/// What a filter by libseccomp can ask about at a level, each name once. It may ask about more than the level
/// says, where libseccomp has no rule for that: [`Call::is_told_at`] tells those apart.
pub fn rules(level: Level) -> Vec<Rule> {
    let mut all: Vec<Rule> = Vec::new();
    for call in CALLS.iter().filter(|call| call.level <= level && !WITHOUT_RULE.contains(&call.name)) {
        let wider = WIDER.iter().filter(|(name, _)| *name == call.name).map(|(_, wider)| *wider);
        for name in std::iter::once(call.name).chain(wider) {
            if all.iter().all(|rule| rule.name != name) {
                all.push(Rule { name, split: call.when_at(level).split() });
            }
        }
    }
    all
}

impl Call {
    /// Whether a level tells of a call with these arguments.
    pub fn is_told_at(&self, level: Level, args: &[u64; 6]) -> bool {
        self.level <= level && self.when_at(level).holds(args)
    }
}

impl When {
    /// The same by comparisons; `None` where there are none that say just that, or it is always.
    fn split(self) -> Option<Split> {
        let any_bit = |index, bits: u32| {
            let each = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| bits & bit != 0);
            let masked = |mask: u32, value: u32| Compare {
                index,
                is: Is::Masked { mask: mask.into(), value: value.into() },
            };
            Split { asked: each.map(|bit| masked(bit, bit)).collect(), rest: masked(bits, 0) }
        };
        let but = |index, value: u64| Split {
            asked: vec![Compare { index, is: Is::Other(value) }],
            rest: Compare { index, is: Is::Equal(value) },
        };
        match self {
            Self::OpenWrites(flags) => Some(any_bit(flags, WRITING)),
            Self::Executable(prot) => Some(any_bit(prot, PROT_EXEC)),
            Self::NamespaceFlags(flags) => Some(any_bit(flags, NAMESPACES)),
            Self::HasAddress(pointer) => Some(but(pointer, 0)),
            Self::NoneOf(index, [value]) => Some(but(index, (*value).into())),
            Self::Always | Self::NoneOf(..) | Self::OneOf(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments with each of these at each place.
    fn arguments() -> impl Iterator<Item = [u64; 6]> {
        let bits = (0..u64::BITS).map(|bit| 1 << bit);
        let numbers = [0, 3, 5, 7, 9, 23, 0o1103, u64::MAX, !u64::from(WRITING), !u64::from(NAMESPACES)];
        let all: Vec<u64> = bits.chain(numbers).collect();
        (0..6).flat_map(move |at| {
            all.clone().into_iter().map(move |word| {
                let mut args = [0; 6];
                args[at] = word;
                args
            })
        })
    }

    #[test]
    fn every_call_of_a_level_is_asked_about_by_one_name_at_least() {
        for level in Level::ALL {
            let rules = rules(level);
            for call in CALLS.iter().filter(|call| call.level <= level) {
                let has = rules.iter().any(|rule| rule.name == call.name);
                assert_ne!(has, WITHOUT_RULE.contains(&call.name), "{} at {level}", call.name);
            }
        }
        assert!(rules(Level::Off).is_empty());
    }

    #[test]
    fn a_split_asks_about_all_that_is_told_and_leaves_the_rest() {
        for level in Level::ALL {
            for rule in rules(level) {
                let Some(split) = rule.split else { continue };
                let call = CALLS.iter().find(|call| call.name == rule.name || call.name == "mmap").unwrap();
                let mut both = [0, 0];
                for args in arguments() {
                    let is_asked = split.asked.iter().any(|compare| compare.holds(&args));
                    assert_ne!(is_asked, split.rest.holds(&args), "{} {args:x?}", rule.name);
                    let of_name = CALLS.iter().find(|call| call.name == rule.name).unwrap_or(call);
                    assert!(is_asked || !of_name.is_told_at(level, &args), "{} {args:x?}", rule.name);
                    both[usize::from(is_asked)] += 1;
                }
                assert!(both.iter().all(|count| *count > 0), "{} asks about all or nothing", rule.name);
            }
        }
    }

    #[test]
    fn opens_are_asked_about_by_the_bits_that_write() {
        let rule = rules(Level::Security).into_iter().find(|rule| rule.name == "openat").unwrap();
        let masked = |mask, value| Compare { index: 2, is: Is::Masked { mask, value } };

        let asked = [1, 2, 0o100, 0o1000].map(|bit| masked(bit, bit)).to_vec();
        assert_eq!(Some(Split { asked, rest: masked(0o1103, 0) }), rule.split);
        let full = rules(Level::Full).into_iter().find(|rule| rule.name == "openat").unwrap();
        assert_eq!(None, full.split);
    }
}
