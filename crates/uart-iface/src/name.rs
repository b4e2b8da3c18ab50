//! The name of a port, parsed once so that nothing later has to wonder what is in it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A port's name: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or a digit. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName(Arc<str>);

/// A text that cannot be a port name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a port name: {problem}")]
pub struct NameError {
    /// The text as it was given, cut at 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl PortName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PortName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |problem| {
            Err(NameError {
                text: text.chars().take(80).collect(),
                problem,
            })
        };
        match text.bytes().next() {
            None => return refuse("it is empty"),
            Some(first) if !first.is_ascii_alphanumeric() => {
                return refuse("it must begin with a letter or a digit");
            }
            Some(_) => {}
        }
        if text.len() > 64 {
            return refuse("it is longer than 64 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return refuse("only letters, digits, \".\", \"_\" and \"-\" may stand in it");
        }
        Ok(PortName(text.into()))
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_use_are_names() {
        for name in ["board0", "0", "usb-1.2", "lab_3.uart-A", &"x".repeat(64)] {
            assert_eq!(name.parse::<PortName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("-a", "begin with"),
            ("a b", "only letters"),
            ("a/b", "only letters"),
            ("bö", "only letters"),
            (&"x".repeat(65), "longer than 64"),
        ] {
            let error = text.parse::<PortName>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
