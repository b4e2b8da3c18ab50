//! What was found: as tables for people (Markdown, so that docs/performance.md takes them as they are) and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use anyhow::Result;
use serde::Serialize;

use crate::goal::Goal;
use crate::kernel;
use crate::stats::Spread;
use crate::subject::Subject;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// µs.
    Microseconds,
    /// ms.
    Milliseconds,
    /// MiB/s.
    MebibytesPerSecond,
    /// CPU seconds for each GiB.
    SecondsPerGibibyte,
    /// ns of CPU for each byte.
    NanosecondsPerByte,
    /// Bytes.
    Bytes,
    /// A plain number.
    Count,
}

/// One figure of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: &'static str,
    /// What was done.
    pub case: String,
    /// By whom.
    pub subject: Subject,
    /// What was measured.
    pub metric: &'static str,
    /// In what.
    pub unit: Unit,
    /// Over all rounds.
    pub value: Spread,
    /// To the floor in the same round, over all rounds.
    pub ratio: Option<Spread>,
    /// What is to be reached.
    pub goal: Option<Goal>,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The figures, in the order in which they were found.
    pub rows: Vec<Row>,
    /// What else is to be known: what was not measured and why.
    pub notes: Vec<String>,
    #[serde(skip)]
    machine: (u64, u64, u64),
}

impl Report {
    /// Begins; what the machine does from here on is a part of the report.
    ///
    /// # Errors
    /// The kernel says nothing of the machine.
    pub fn begin() -> Result<Report> {
        Ok(Report {
            rows: Vec::new(),
            notes: Vec::new(),
            machine: kernel::machine()?,
        })
    }

    /// Adds a figure.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a sentence, and says it.
    pub fn note(&mut self, sentence: String) {
        self.clear_progress();
        eprintln!("{sentence}");
        self.notes.push(sentence);
    }

    /// Says what is being done, on a terminal.
    pub fn progress(&self, doing: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{doing}");
            std::io::stderr().flush().ok();
        }
    }

    /// Ends the line of [`Report::progress`].
    pub fn clear_progress(&self) {
        self.progress("");
    }

    /// On which machine this was, and how noisy it was.
    ///
    /// # Errors
    /// The kernel says nothing of the machine.
    pub fn machine(&self) -> Result<String> {
        let (stolen, busy, all) = kernel::machine()?;
        let (stolen, busy, all) = (
            stolen - self.machine.0,
            busy - self.machine.1,
            (all - self.machine.2).max(1),
        );
        let percent = |ticks: u64| 100.0 * ticks as f64 / all as f64;
        let floors = self
            .rows
            .iter()
            .filter(|row| row.subject == Subject::Floor && row.value.median > 0.0);
        let spreads = floors.map(|row| (row.value.max - row.value.min) / row.value.median * 100.0);
        let noise = Spread::of(spreads.collect()).map_or_else(
            || "the floor was not measured".to_owned(),
            |noise| format!("the floor's own figures differed between rounds by {:.0} % (median; {:.0} to {:.0} %)", noise.median, noise.min, noise.max),
        );
        Ok(format!(
            "{} CPUs ({}), Linux {}; {:.1} % of the time stolen by the host, CPUs busy for {:.0} %; {noise}",
            kernel::cpus(),
            kernel::processor(),
            kernel::release(),
            percent(stolen),
            percent(busy),
        ))
    }

    /// The goals: how many were reached, and of how many.
    pub fn goals(&self) -> (usize, usize) {
        let met: Vec<bool> = self.rows.iter().filter_map(Row::is_reached).collect();
        (met.iter().filter(|reached| **reached).count(), met.len())
    }

    /// One table a workload.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let mut told = BTreeSet::new();
        for row in &self.rows {
            if told.insert(row.workload) {
                writeln!(text, "### {}\n", row.workload).ok();
                text.push_str(&self.table(row.workload));
                text.push('\n');
            }
        }
        text
    }

    fn table(&self, workload: &str) -> String {
        let mut text = String::from(
            "| case | measure | who | figure | ratio to the floor (min to max) | goal | |\n|---|---|---|---|---|---|---|\n",
        );
        for row in self.rows.iter().filter(|row| row.workload == workload) {
            let ratio = row.ratio.map_or_else(String::new, |ratio| {
                format!(
                    "**{:.2}** ({:.2} to {:.2})",
                    ratio.median, ratio.min, ratio.max
                )
            });
            let goal = row
                .goal
                .map_or_else(String::new, |goal| row.goal_text(goal));
            let verdict = match row.is_reached() {
                Some(true) => "reached",
                Some(false) => "**not reached**",
                None => "",
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {ratio} | {goal} | {verdict} |",
                row.case,
                row.metric,
                row.subject.name(),
                row.unit.show(row.value),
            )
            .ok();
        }
        text
    }
}

impl Row {
    /// Whether the goal is reached, if there is one.
    pub fn is_reached(&self) -> Option<bool> {
        self.goal?.is_reached(self.value, self.ratio)
    }

    fn goal_text(&self, goal: Goal) -> String {
        match goal {
            Goal::RatioAtMost(limit) => format!("≤ {limit}"),
            Goal::RatioAtLeast(limit) => format!("≥ {limit}"),
            Goal::AtMost(limit) => format!("≤ {}", self.unit.one(limit)),
        }
    }
}

impl Unit {
    /// The median, and how far the others are from it where there are others.
    fn show(self, value: Spread) -> String {
        if value.min == value.max {
            self.one(value.median)
        } else {
            format!(
                "{} ({} to {})",
                self.one(value.median),
                self.number(value.min),
                self.number(value.max)
            )
        }
    }

    fn one(self, value: f64) -> String {
        format!("{}{}", self.number(value), self.symbol())
    }

    fn number(self, value: f64) -> String {
        match value.abs() {
            _ if value.fract() == 0.0 => format!("{value:.0}"),
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Unit::Microseconds => " µs",
            Unit::Milliseconds => " ms",
            Unit::MebibytesPerSecond => " MiB/s",
            Unit::SecondsPerGibibyte => " s/GiB",
            Unit::NanosecondsPerByte => " ns/B",
            Unit::Bytes => " B",
            Unit::Count => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_was_reached_and_what_was_not() {
        let row = |metric, median, ratio, goal| Row {
            workload: "round-trip",
            case: "raw, 1 B".to_owned(),
            subject: Subject::Uartd,
            metric,
            unit: Unit::Microseconds,
            value: Spread {
                median,
                min: 9.0,
                max: 12.5,
            },
            ratio: Some(Spread {
                median: ratio,
                min: 0.9,
                max: 1.2,
            }),
            goal,
        };
        let report = Report {
            rows: vec![
                row("p50", 10.0, 1.01, Some(Goal::RatioAtMost(1.03))),
                row("CPU", 10.0, 1.31, Some(Goal::RatioAtMost(1.3))),
                row("p99", 123.4, 1.5, None),
            ],
            notes: Vec::new(),
            machine: (0, 0, 0),
        };
        let table = report.tables();
        assert!(table.contains("| raw, 1 B | p50 | uartd | 10 µs (9 to 12.5) | **1.01** (0.90 to 1.20) | ≤ 1.03 | reached |"), "{table}");
        assert!(table.contains("| ≤ 1.3 | **not reached** |"), "{table}");
        assert!(
            table.contains("| p99 | uartd | 123 µs (9 to 12.5) | **1.50** (0.90 to 1.20) |  |  |"),
            "{table}"
        );
        assert_eq!(report.goals(), (1, 2));
    }
}
