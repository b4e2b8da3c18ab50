//! Whether a board is the interpreter of docs/interpreter.md: `examples/firmware/conformance.txt`, asked and typed through a
//! gateway. The same for the simulated board and for the firmware.

use anyhow::{Context, Result, bail, ensure};

use crate::{Process, exit_code, uart_command};

/// What is asked and typed, and what must come. Its head says how it is written.
const SCRIPT: &str = include_str!("../../examples/firmware/conformance.txt");

/// What was tried, for those who count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conformed {
    /// Commands asked, each with its answer.
    pub commands: usize,
    /// Bytes typed and awaited, each counted.
    pub exchanges: usize,
}

/// Something that is done with the board.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Ask { command: String, answer: Answer },
    Type(String),
    AllThatComes(String),
    Comes(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Lines(Vec<String>),
    Matches(String),
}

/// Asks and types everything in the script, at a port whose board has just started. Its bytes are lost as on a wire: a simulated
/// board needs `pace=line`.
///
/// # Errors
/// The board did something else; the error says where in the script.
pub fn conformance(gateway: &str, port: &str) -> Result<Conformed> {
    let mut conformed = Conformed::default();
    let mut terminal: Option<Typing> = None;
    for (line, step) in steps(SCRIPT)? {
        let place = || format!("conformance.txt:{line}");
        if let Step::Ask { command, answer } = &step {
            terminal = None;
            ask(gateway, port, command, answer).with_context(place)?;
            conformed.commands += 1;
            continue;
        }
        let typing = match &mut terminal {
            Some(typing) => typing,
            None => terminal.insert(Typing::begin(gateway, port).with_context(place)?),
        };
        typing.step(&step).with_context(place)?;
        conformed.exchanges += 1;
    }
    Ok(conformed)
}

fn steps(script: &str) -> Result<Vec<(usize, Step)>> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    for (line, text) in script.lines().enumerate().map(|(at, text)| (at + 1, text)) {
        let place = || format!("conformance.txt:{line}: {text}");
        let bytes = |quoted: &str| serde_json::from_str::<String>(quoted).with_context(place);
        let Some(comment) = text.strip_prefix('#') else {
            if !text.is_empty() {
                let (command, answer) = (text.to_owned(), Answer::Lines(Vec::new()));
                steps.push((line, Step::Ask { command, answer }));
            }
            continue;
        };
        let step = match comment.split_once(' ') {
            Some(("=" | "?", expected)) => {
                let Some((_, Step::Ask { answer, .. })) = steps.last_mut() else {
                    bail!("{}: there is no command above it", place());
                };
                match answer {
                    Answer::Lines(lines) if comment.starts_with('=') => {
                        lines.push(expected.to_owned());
                    }
                    _ => *answer = Answer::Matches(expected.to_owned()),
                }
                continue;
            }
            Some(("->", text)) => Step::Type(bytes(text)?),
            Some(("<-", text)) => Step::AllThatComes(bytes(text)?),
            Some(("..", text)) => Step::Comes(bytes(text)?),
            _ => continue,
        };
        steps.push((line, step));
    }
    Ok(steps)
}

fn ask(gateway: &str, port: &str, command: &str, answer: &Answer) -> Result<()> {
    let mut ask = uart_command(gateway)?;
    ask.args(["ask", port, command]);
    if let Answer::Matches(regex) = answer {
        ask.args(["--expect", regex]);
    }
    let mut ask = Process::spawn(&mut ask)?;
    let code = exit_code(ask.wait()?);
    ensure!(code == 0, "\"{command}\": {}", ask.stderr.text());
    if let Answer::Lines(lines) = answer {
        let text = ask.stdout.text();
        let came: Vec<&str> = text.lines().collect();
        ensure!(came == *lines, "\"{command}\" was answered {came:?}");
    }
    Ok(())
}

/// Somebody who types at the board and reads what it sends.
struct Typing {
    attach: Process,
    /// How many of the bytes that came have been looked at.
    read: usize,
}

impl Typing {
    fn begin(gateway: &str, port: &str) -> Result<Typing> {
        let mut attach = uart_command(gateway)?;
        attach.args(["attach", port, "--linger", "forever"]);
        let attach = Process::spawn(&mut attach)?;
        Ok(Typing { attach, read: 0 })
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let unread = |text: &str, read: usize| text.get(read..).unwrap_or_default().to_owned();
        let (read, came) = (self.read, &self.attach.stdout);
        match step {
            Step::Ask { .. } => bail!("that is asked, not typed"),
            Step::Type(text) => return self.attach.type_in(text.as_bytes()),
            Step::AllThatComes(expected) => {
                let all = came.wait(&format!("{expected:?}"), |text| {
                    unread(text, read).len() >= expected.len()
                })?;
                let came = unread(&all, read);
                ensure!(came == *expected, "{came:?} came instead of {expected:?}");
                self.read += expected.len();
            }
            Step::Comes(expected) => {
                let all = came.wait(&format!("{expected:?}"), |text| {
                    unread(text, read).contains(expected)
                })?;
                let at = unread(&all, read).find(expected).unwrap_or_default();
                self.read += at + expected.len();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let script = "# why\nLED?\n#= ON\n#= OFF\n\nID?\n#? ^u\n#-> \"\\r\\u0003\"\n#<- \"a\"\n";
        let ask = |command: &str, answer| Step::Ask {
            command: command.to_owned(),
            answer,
        };
        let lines = ["ON", "OFF"].map(str::to_owned).to_vec();
        assert_eq!(
            steps(script).unwrap(),
            [
                (2, ask("LED?", Answer::Lines(lines))),
                (6, ask("ID?", Answer::Matches("^u".to_owned()))),
                (8, Step::Type("\r\u{3}".to_owned())),
                (9, Step::AllThatComes("a".to_owned())),
            ]
        );
        assert!(steps("#= OK").is_err());
        assert!(steps("#-> no quotes").is_err());
    }

    #[test]
    fn every_command_of_the_script_says_what_must_come() {
        for (line, step) in steps(SCRIPT).unwrap() {
            assert!(
                !matches!(step, Step::Ask { answer: Answer::Lines(lines), .. } if lines.is_empty()),
                "line {line}"
            );
        }
    }
}
