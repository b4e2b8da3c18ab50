//! The interpreter's entry in the list of boards, and its options. What they do is in the parent module.

use super::Interpreter;
use crate::SpecError;
use crate::backend::sim::{Board, BoardKind, OptionHelp, Options};

/// The entry in the list of boards.
#[derive(Debug)]
pub(in crate::backend::sim) struct Kind;

impl BoardKind for Kind {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn summary(&self) -> &'static str {
        "a board with a command shell; HELP lists its commands (docs/interpreter.md)"
    }

    fn options(&self) -> &'static [OptionHelp] {
        &OPTIONS
    }

    fn build(&self, options: &mut Options) -> Result<Box<dyn Board>, SpecError> {
        Ok(Box::new(Interpreter::new(Config::take(options)?)))
    }
}

/// The interpreter's options.
const OPTIONS: [OptionHelp; 4] = [
    OptionHelp {
        name: "echo",
        values: "on|off",
        default: "on",
        meaning: "whether it sends typed characters back after a start",
    },
    OptionHelp {
        name: "prompt",
        values: "on|off",
        default: "on",
        meaning: "whether it sends the prompt \"> \" after a start",
    },
    OptionHelp {
        name: "reset",
        values: "off|dtr",
        default: "off",
        meaning: "with dtr it starts again each time DTR becomes asserted, as an Arduino does",
    },
    OptionHelp {
        name: "seed",
        values: "0 to 4294967295",
        default: "0",
        meaning: "its serial number, and where its sensors' noise comes from",
    },
];

/// How an interpreter is set up when it starts.
#[derive(Debug, Clone, Copy)]
pub(in crate::backend::sim) struct Config {
    pub(super) echo: bool,
    pub(super) prompt: bool,
    pub(super) reset_on_dtr: bool,
    pub(super) seed: u32,
}

impl Config {
    pub(in crate::backend::sim) fn take(options: &mut Options) -> Result<Config, SpecError> {
        let reset_on_dtr = options.take("reset", "off or dtr", |value| match value {
            "off" => Some(false),
            "dtr" => Some(true),
            _ => None,
        })?;
        Ok(Config {
            echo: options.switch("echo", true)?,
            prompt: options.switch("prompt", true)?,
            reset_on_dtr: reset_on_dtr.unwrap_or(false),
            seed: options.seed()?,
        })
    }
}
