//! The options of a spec (`pace=line&seed=7`): read once, each taken by whoever knows it, what is left refused.
//! Not what an option does; that is said where it is taken.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{SpecError, suggest};

/// What one option of a spec is called and does, for help and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionHelp {
    /// What stands before the `=`.
    pub name: &'static str,
    /// What may stand after it, e.g. `on|off` or `0 to 4294967295`.
    pub values: &'static str,
    /// The value in force when it is not given.
    pub default: &'static str,
    /// What it does, as the rest of a line.
    pub meaning: &'static str,
}

/// The options of a spec (`pace=line&seed=7`), each taken by whoever knows it.
#[derive(Debug)]
pub struct Options {
    spec: String,
    /// Who is asked, as it should be named in an error (`sim:echo`).
    owner: String,
    pairs: Vec<(String, String)>,
    known: BTreeSet<&'static str>,
}

impl Options {
    /// Reads `query`, what stands behind the `?` of a spec. `spec` and `owner` are for error messages.
    ///
    /// # Errors
    /// A part without `=`, or an option given twice.
    pub fn parse(spec: &str, owner: &str, query: &str) -> Result<Options, SpecError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(SpecError::new(
                    spec,
                    format!("\"{part}\" is not an option; options are written key=value&key=value"),
                ));
            };
            if pairs.iter().any(|(earlier, _)| earlier == key) {
                return Err(SpecError::new(
                    spec,
                    format!("the option \"{key}\" is given twice"),
                ));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Options {
            spec: spec.to_owned(),
            owner: owner.to_owned(),
            pairs,
            known: BTreeSet::new(),
        })
    }

    /// The value of `key`, understood by `parse`; `None` if it was not given. From now on `key` is a known option.
    ///
    /// # Errors
    /// `parse` gave `None`: the value is not `wanted` (`on or off`).
    pub fn take<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        self.known.insert(key);
        let Some((_, value)) = self.pairs.iter().find(|(name, _)| name == key) else {
            return Ok(None);
        };
        match parse(value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(SpecError::new(
                &self.spec,
                format!("{key}={value} is not right; {key} is {wanted}"),
            )),
        }
    }

    /// An option that is `on` or `off`.
    ///
    /// # Errors
    /// Another value.
    pub fn switch(&mut self, key: &'static str, default: bool) -> Result<bool, SpecError> {
        let value = self.take(key, "on or off", |value| match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        })?;
        Ok(value.unwrap_or(default))
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// Another value.
    pub fn number(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, SpecError> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.take(key, &wanted, |value| {
            value.parse().ok().filter(|number| range.contains(number))
        })?;
        Ok(value.unwrap_or(default))
    }

    /// A time such as `500ms` or `2s`, within `range`.
    ///
    /// # Errors
    /// Another value.
    pub fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, SpecError> {
        let wanted = format!(
            "a time from {} to {}, e.g. 500ms or 2s",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        let value = self.take(key, &wanted, |value| {
            humantime::parse_duration(value)
                .ok()
                .filter(|duration| range.contains(duration))
        })?;
        Ok(value.unwrap_or(default))
    }

    /// The seed from which a simulated board draws everything that looks accidental.
    ///
    /// # Errors
    /// Not a number of 32 bits.
    pub fn seed(&mut self) -> Result<u32, SpecError> {
        let seed = self.number("seed", 0, 0..=u64::from(u32::MAX))?;
        // The range above is that of u32.
        Ok(seed as u32)
    }

    /// Every option somebody has asked for so far, in alphabetical order.
    pub fn known(&self) -> impl Iterator<Item = &'static str> {
        self.known.iter().copied()
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// The first option that is not known, what it may have been meant to be, and what is known.
    pub fn finish(self) -> Result<(), SpecError> {
        let unknown = self
            .pairs
            .iter()
            .find(|(key, _)| !self.known.contains(key.as_str()));
        let Some((key, _)) = unknown else {
            return Ok(());
        };
        let known: Vec<&str> = self.known().collect();
        let problem = format!(
            "{} has no option \"{key}\"{}; it has {}",
            self.owner,
            did_you_mean(key, known.iter().copied()),
            known.join(", "),
        );
        Err(SpecError::new(&self.spec, problem))
    }

    /// The error for a mistake between options, each of which is right by itself.
    pub fn refuse(&self, problem: impl Into<String>) -> SpecError {
        SpecError::new(&self.spec, problem)
    }
}

/// ` (did you mean "pace"?)`, when one of `known` is near to `word`; else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    suggest::closest(word, known)
        .map(|meant| format!(" (did you mean \"{meant}\"?)"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> Options {
        Options::parse(&format!("sim:x?{query}"), "sim:x", query).unwrap()
    }

    #[test]
    fn options_are_taken_by_whoever_knows_them() {
        let mut options = options("echo=off&seed=7&up=1500ms");
        assert!(!options.switch("echo", true).unwrap());
        assert!(options.switch("prompt", true).unwrap());
        assert_eq!(options.seed().unwrap(), 7);
        let range = Duration::ZERO..=Duration::from_secs(2);
        assert_eq!(
            options.duration("up", Duration::ZERO, range).unwrap(),
            Duration::from_millis(1500)
        );
        assert_eq!(
            options.known().collect::<Vec<_>>(),
            ["echo", "prompt", "seed", "up"]
        );
        options.finish().unwrap();
    }

    #[test]
    fn what_nobody_took_is_refused_with_what_is_known() {
        let mut options = options("sede=7");
        options.seed().unwrap();
        options.switch("echo", true).unwrap();
        assert_eq!(
            options.finish().unwrap_err().to_string(),
            "\"sim:x?sede=7\" is not a device: sim:x has no option \"sede\" (did you mean \"seed\"?); it has echo, seed"
        );
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_would_be_right() {
        for (query, what) in [
            ("echo=yes", "echo=yes is not right; echo is on or off"),
            ("seed=-1", "seed is a whole number from 0 to 4294967295"),
            ("seed=4294967296", "seed=4294967296 is not right"),
            ("up=1h", "up is a time from 10ms to 1m, e.g. 500ms or 2s"),
            ("up=2", "up=2 is not right"),
        ] {
            let mut options = options(query);
            let range = Duration::from_millis(10)..=Duration::from_secs(60);
            let error = options
                .switch("echo", true)
                .map(drop)
                .and_then(|()| options.seed().map(drop))
                .and_then(|()| options.duration("up", Duration::ZERO, range).map(drop))
                .unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn what_is_no_option_at_all_is_refused() {
        for (query, what) in [
            ("seed", "\"seed\" is not an option"),
            ("a=1&a=2", "\"a\" is given twice"),
        ] {
            let error = Options::parse("s", "sim:x", query).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
        options("").finish().unwrap();
    }
}
