//! The results: one row for each figure, for a terminal or for a page of Markdown.

use std::fmt::Write;
use std::io;

/// One result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The goal that it belongs to.
    pub(crate) goal: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// The result, with its unit.
    pub(crate) result: String,
    /// How far single runs lie apart.
    pub(crate) spread: String,
    /// What it is compared with, measured in the same run.
    pub(crate) baseline: String,
    /// Result to baseline.
    pub(crate) ratio: String,
    /// What is asked for.
    pub(crate) target: String,
    /// Whether that is met; nothing is asked of some.
    pub(crate) met: Option<bool>,
}

impl Row {
    pub(crate) fn new(goal: &'static str, what: impl Into<String>, result: impl Into<String>) -> Self {
        Self { goal, what: what.into(), result: result.into(), ..Self::default() }
    }

    pub(crate) fn spread(self, spread: impl Into<String>) -> Self {
        Self { spread: spread.into(), ..self }
    }

    pub(crate) fn baseline(self, baseline: impl Into<String>) -> Self {
        Self { baseline: baseline.into(), ..self }
    }

    pub(crate) fn ratio(self, ratio: f64) -> Self {
        Self { ratio: format!("{ratio:.2}"), ..self }
    }

    pub(crate) fn target(self, target: impl Into<String>, met: bool) -> Self {
        Self { target: target.into(), met: Some(met), ..self }
    }

    /// The result, or that there is none and why, which is a goal missed.
    pub(crate) fn or_missed(goal: &'static str, what: impl Into<String>, result: io::Result<Self>) -> Self {
        result.unwrap_or_else(|error| Self::new(goal, what, error.to_string()).target("a result", false))
    }

    /// All of it in one line.
    pub(crate) fn line(&self) -> String {
        self.cells().into_iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" | ")
    }

    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn cells(&self) -> [&str; 8] {
        [self.goal, &self.what, &self.result, &self.spread, &self.baseline, &self.ratio, &self.target, self.verdict()]
    }
}

const HEAD: [&str; 8] = ["goal", "measured", "result", "spread", "baseline", "ratio", "wanted", ""];

/// The rows in columns of equal width, or as a table of Markdown.
pub(crate) fn render(rows: &[Row], markdown: bool) -> String {
    let all = || std::iter::once(HEAD).chain(rows.iter().map(Row::cells));
    let mut widths = [0; 8];
    for cells in all() {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (number, cells) in all().enumerate() {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = if markdown { format!("| {} |", padded.join(" | ")) } else { padded.join("  ") };
        let _ = writeln!(out, "{}", line.trim_end());
        if number == 0 {
            let rule = widths.map(|width| "-".repeat(width));
            let rule = if markdown { format!("| {} |", rule.join(" | ")) } else { rule.join("  ") };
            let _ = writeln!(out, "{rule}");
        }
    }
    out
}
