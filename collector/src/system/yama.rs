//! Yama, a security module: its rule says who may trace a process, and so read its memory
//! (Documentation/admin-guide/LSM/Yama.rst).

/// A rule of Yama's that is stricter than the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rule, for people.
    pub what: &'static str,
    /// What helps somebody whom it keeps out.
    pub remedy: &'static str,
    /// CAP_SYS_PTRACE lets one in.
    pub knows_capability: bool,
}

/// By `kernel.yama.ptrace_scope`, from 1 on.
const RULES: [Rule; 3] = [
    Rule {
        what: "kernel.yama.ptrace_scope is 1, which lets only a process's ancestors in",
        remedy: "run as root",
        knows_capability: true,
    },
    Rule {
        what: "kernel.yama.ptrace_scope is 2, which lets only root in",
        remedy: "run as root",
        knows_capability: true,
    },
    Rule {
        what: "kernel.yama.ptrace_scope is 3, which lets nobody in",
        remedy: "start the system with another value",
        knows_capability: false,
    },
];

/// The rule here; `None` where there is none.
pub fn rule() -> Option<Rule> {
    rule_of(&std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?)
}

fn rule_of(scope: &str) -> Option<Rule> {
    let scope: usize = scope.trim().parse().ok()?;
    RULES.get(scope.checked_sub(1)?).copied()
}

/// The rule that keeps a process out of its own children's memory, and what helps.
pub fn forbids_children() -> Option<String> {
    let rule = rule().filter(|rule| *rule != RULES[0])?;
    Some(format!("{}; {}", rule.what, rule.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_has_its_rule() {
        assert_eq!(None, rule_of("0\n"));
        for (scope, rule) in ["1\n", "2\n", "3\n"].into_iter().zip(RULES) {
            assert_eq!(Some(rule), rule_of(scope));
            assert!(rule.what.contains(&format!("ptrace_scope is {},", scope.trim())), "{rule:?}");
        }
        assert_eq!(None, rule_of("4\n"));
    }
}
