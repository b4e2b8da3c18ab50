//! Transcripts in documents: what is typed, and what is shown below it. Reading and comparing; nothing is run here.
//!
//! A transcript is a fenced block marked `console`. A line that begins with `$ ` is typed; what follows it is what is
//! shown, standard error included, up to the next `$ ` or the end of the block. A command with nothing below it may print
//! what it likes. In what is shown, `…` stands for any text within a line, and a line that is only `…` for any number of
//! lines. A command that ends in ` &` goes on in the background. A last line `^C` means: when all above it has been shown,
//! Ctrl-C is pressed.

use super::sources::numbered;

/// One command of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Typed {
    /// The line of the document it stands in.
    pub(super) line: usize,
    /// What is typed, without the ` &`.
    pub(super) command: String,
    /// It goes on in the background.
    pub(super) background: bool,
    /// It is ended with Ctrl-C.
    pub(super) interrupted: bool,
    /// What is shown below it.
    pub(super) shown: Vec<String>,
}

/// Every command of every transcript in a document, in order.
pub(super) fn read(document: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    let mut in_transcript = false;
    let mut fenced = false;
    for (line, text) in numbered(document) {
        if let Some(mark) = text.trim_start().strip_prefix("```") {
            fenced = !fenced;
            in_transcript = fenced && mark.trim() == "console";
            continue;
        }
        if !in_transcript {
            continue;
        }
        if let Some(command) = text.strip_prefix("$ ") {
            let command = command.trim_end();
            let background = command.ends_with(" &");
            let command = command.trim_end_matches(" &").to_owned();
            commands.push(Typed {
                line,
                command,
                background,
                interrupted: false,
                shown: Vec::new(),
            });
        } else if let Some(command) = commands.last_mut() {
            if text.trim() == "^C" {
                command.interrupted = true;
            } else {
                command.shown.push(text.trim_end().to_owned());
            }
        }
    }
    for command in &mut commands {
        // A blank line before the next command is layout.
        while command.shown.last().is_some_and(String::is_empty) {
            command.shown.pop();
        }
    }
    commands
}

/// Whether the output is what was shown.
pub(super) fn matches(shown: &[String], output: &str) -> bool {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    lines_match(shown, &lines)
}

/// Whether the output begins with what was shown, in whole lines, and may go on.
pub(super) fn begins_with(shown: &[String], output: &str) -> bool {
    let complete = output.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let mut shown = shown.to_vec();
    shown.push("…".to_owned());
    matches(&shown, complete)
}

fn lines_match(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=lines.len()).any(|skip| lines_match(rest, &lines[skip..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    match shown.split_once('…') {
        None => shown == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn transcripts_are_read_and_other_blocks_are_not() {
        let document = "\
# A
```sh
$ not this
```
```console
$ uartd &
listening uartnet …

$ uart send \"Hello IoT!\"
Hello!
$ uart watch sim0
…
^C
```
$ nor this
```console
$ uart ls
```
";
        let typed = read(document);
        let commands: Vec<(&str, bool, bool, usize)> = typed
            .iter()
            .map(|typed| {
                (
                    typed.command.as_str(),
                    typed.background,
                    typed.interrupted,
                    typed.shown.len(),
                )
            })
            .collect();
        assert_eq!(
            commands,
            [
                ("uartd", true, false, 1),
                ("uart send \"Hello IoT!\"", false, false, 1),
                ("uart watch sim0", false, true, 1),
                ("uart ls", false, false, 0),
            ]
        );
        assert_eq!(typed[0].line, 6);
    }

    #[test]
    fn ellipses_stand_for_text_and_for_lines() {
        for (shown, output, right) in [
            ("a\nb", "a\nb\n", true),
            ("a\nb", "a  \nb", true),
            ("a\nb", "a\n", false),
            ("a", "a\nb\n", false),
            ("a…c", "abc\n", true),
            ("a…c", "ac\n", true),
            ("a…c…e", "abcde\n", true),
            ("a…c", "abcd\n", false),
            ("…", "", true),
            ("…\nz", "a\nb\nz\n", true),
            ("a\n…\nz", "a\nz\n", true),
            ("a\n…\nz", "a\nb\n", false),
        ] {
            assert_eq!(
                matches(&lines(shown), output),
                right,
                "{shown:?} and {output:?}"
            );
        }
    }

    #[test]
    fn a_beginning_is_made_of_whole_lines() {
        assert!(begins_with(&lines("listening …"), "listening x\nmore"));
        assert!(!begins_with(&lines("listening …"), "listening x"));
        assert!(!begins_with(&lines("listening …"), "other\n"));
    }
}
