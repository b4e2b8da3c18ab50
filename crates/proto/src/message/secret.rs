//! A text that must not get into a log: its `Debug` form hides it. Not how it is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself. Whoever asks for it is responsible for where it goes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_print_itself() {
        let shown = format!(
            "{:?} {:#?}",
            Secret::from("hunter2"),
            Secret::from("hunter2")
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
