//! The ratios of a report as pictures: one SVG a workload and metric, a bar for each server in each case. Drawn by hand: it is
//! rectangles and words.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::report::{Report, Row};
use crate::subject::Subject;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 300.0;
const BAR: f64 = 16.0;
const GAP: f64 = 10.0;
const TOP: f64 = 56.0;
/// Ratios beyond this are drawn as long as this, with an arrow.
const LONGEST: f64 = 4.0;

/// The pictures: `(name of the file, its text)`.
pub fn plots(report: &Report) -> Vec<(String, String)> {
    let kinds: BTreeSet<_> = report
        .rows
        .iter()
        .filter(|row| row.ratio.is_some())
        .map(|row| (row.workload, row.metric))
        .collect();
    kinds
        .into_iter()
        .map(|(workload, metric)| {
            let rows: Vec<&Row> = report
                .rows
                .iter()
                .filter(|row| {
                    row.workload == workload && row.metric == metric && row.ratio.is_some()
                })
                .collect();
            let name = format!("{workload}-{metric}.svg")
                .to_lowercase()
                .replace(' ', "-");
            (
                name,
                plot(&format!("{workload}: {metric}, ratio to the floor"), &rows),
            )
        })
        .collect()
}

fn plot(title: &str, rows: &[&Row]) -> String {
    let mut cases: Vec<&str> = Vec::new();
    for row in rows {
        if !cases.contains(&row.case.as_str()) {
            cases.push(&row.case);
        }
    }
    let height = TOP + cases.len() as f64 * GAP + rows.len() as f64 * BAR + 30.0;
    let scale = (WIDTH - LEFT - 90.0) / LONGEST;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n<text x=\"10\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    for step in 0..=LONGEST as u32 {
        let x = LEFT + f64::from(step) * scale;
        let (colour, dash) = if step == 1 {
            ("#333", "")
        } else {
            ("#ccc", " stroke-dasharray=\"2 3\"")
        };
        writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\" stroke=\"{colour}\"{dash}/>",
            TOP - 6.0,
            height - 24.0
        )
        .ok();
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{step}</text>",
            TOP - 10.0
        )
        .ok();
    }
    let mut y = TOP;
    for case in cases {
        for row in rows.iter().filter(|row| row.case == case) {
            let Some(ratio) = row.ratio else { continue };
            let length = ratio.median.min(LONGEST) * scale;
            let label = format!("{case}, {}", row.subject.name());
            let beyond = if ratio.median > LONGEST { " ▸" } else { "" };
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\">{:.2}{beyond}</text>",
                LEFT - 8.0,
                y + 12.0,
                escaped(&label),
                y + 2.0,
                BAR - 4.0,
                colour(row.subject),
                LEFT + length + 6.0,
                y + 12.0,
                ratio.median,
            )
            .ok();
            y += BAR;
        }
        y += GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn colour(subject: Subject) -> &'static str {
    match subject {
        Subject::Floor => "#999999",
        Subject::Uartd => "#1f77b4",
        Subject::Before => "#9ecae1",
        Subject::Ser2net => "#d62728",
        Subject::Ser2netTuned => "#ff7f0e",
        Subject::Socat => "#2ca02c",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
