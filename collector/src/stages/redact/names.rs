//! Names of options, variables and fields whose values are secrets.

/// A longer name is none.
const LONGEST: usize = 64;

/// Whether the value of this name is a secret. Dashes in front of it do not count.
///
/// Case, `_`, `-` and `.` do not matter: `--api-key`, `API_KEY` and `apiKey` are one name. The end of the
/// name decides, so that `PASSWORD_FILE` and `--password-file` are none.
pub fn is_secret(name: &[u8]) -> bool {
    let dashes = name.iter().take_while(|byte| **byte == b'-').count();
    let name = name.get(dashes..).unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST {
        return false;
    }
    let (mut plain, mut len) = ([0; LONGEST], 0);
    for byte in name.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b'.')) {
        plain[len] = byte.to_ascii_lowercase();
        len += 1;
    }
    let plain = plain.get(..len).unwrap_or_default();
    if ENDS.iter().any(|end| plain.ends_with(end.as_bytes())) {
        return true;
    }
    // These are ends of other words too: they count as words of their own.
    let last = name.rsplit(|byte| matches!(byte, b'_' | b'-' | b'.')).next().unwrap_or_default();
    let is_alone = last.len() == name.len();
    WHOLE.iter().any(|word| plain == word.as_bytes())
        || last.eq_ignore_ascii_case(b"pass")
        || !is_alone
            && (last.eq_ignore_ascii_case(b"pwd")
                || last.eq_ignore_ascii_case(b"auth") && name.starts_with(b"_"))
}

/// How such names end.
const ENDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "accountkey",
    "authkey",
    "bearer",
    "credential",
];

/// Whole names.
const WHOLE: [&str; 2] = ["sshpass", "rediscliauth"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in [
            "password",
            "--password",
            "PGPASSWORD",
            "MYSQL_PWD",
            "DB_PASS",
            "--http-password",
            "GITHUB_TOKEN",
            "--oauth2-bearer",
            "api-key",
            "X-Api-Key",
            "apiKey",
            "AWS_SECRET_ACCESS_KEY",
            "SecretAccessKey",
            "AccountKey",
            "client_secret",
            "_authToken",
            "_auth",
            "//registry.npmjs.org/:_authToken",
            "REDISCLI_AUTH",
            "SSHPASS",
            "-pass",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_that_only_look_like_it_are_left_alone() {
        for name in [
            "",
            "--",
            "PWD",
            "OLDPWD",
            "PASSWORD_FILE",
            "--password-file",
            "--password-stdin",
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "--max-tokens",
            "SECRET_NAME",
            "COMPASS",
            "bypass",
            "key",
            "SSH_KEY",
            "GIT_AUTHOR_NAME",
            "XAUTHORITY",
            "SSH_AUTH_SOCK",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "KEYBOARD",
            "pass-through",
        ] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
    }
}
