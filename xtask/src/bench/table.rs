//! What was measured, beside what it may be.

use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// On which side of its budget a figure may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bound {
    #[default]
    AtMost,
    AtLeast,
}

/// One line of the table.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// Each subject and its figure.
    pub(super) subjects: Vec<(String, f64)>,
    /// The unit of the figures.
    pub(super) unit: &'static str,
    /// What is held against the budget: ours alone, or ours divided by another subject's.
    pub(super) measure: f64,
    /// How that is written, as in `x floor`.
    pub(super) measure_unit: String,
    /// The most it may be, or the least.
    pub(super) budget: f64,
    /// Which of the two.
    pub(super) bound: Bound,
    /// Why it could not be measured.
    pub(super) failed: Option<String>,
}

impl Figure {
    /// A ratio of ours, which comes last, to another subject's.
    pub(super) fn ratio(what: &str, unit: &'static str, subjects: &[(&str, f64)], to: &str, budget: f64) -> Self {
        let of = |name: &str| subjects.iter().find(|(known, _)| *known == name).map_or(f64::NAN, |(_, value)| *value);
        let measure = of("conductor") / of(to);
        let subjects = subjects.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let measure_unit = format!("x {to}");
        Self { what: what.into(), subjects, unit, measure, measure_unit, budget, ..Self::default() }
    }

    /// A figure of ours in its own unit.
    pub(super) fn plain(what: &str, unit: &'static str, subjects: &[(&str, f64)], budget: f64) -> Self {
        let mut figure = Self::ratio(what, unit, subjects, "conductor", budget);
        figure.measure = subjects.iter().find(|(name, _)| *name == "conductor").map_or(f64::NAN, |(_, value)| *value);
        figure.measure_unit = unit.into();
        figure
    }

    /// How much is moved in a second: the more the better.
    pub(super) fn rate(what: &str, subjects: &[(&str, f64)], budget: f64) -> Self {
        Self { bound: Bound::AtLeast, ..Self::plain(what, "MB/s", subjects, budget) }
    }

    /// How many times as quick as another subject ours is: the more the better.
    pub(super) fn gain(what: &str, unit: &'static str, subjects: &[(&str, f64)], than: &str, budget: f64) -> Self {
        let ratio = Self::ratio(what, unit, subjects, than, budget);
        Self { measure: 1.0 / ratio.measure, measure_unit: "x as quick".to_owned(), bound: Bound::AtLeast, ..ratio }
    }

    /// A ratio that is told beside others and has no budget.
    pub(super) fn told(what: &str, unit: &'static str, subjects: &[(&str, f64)], to: &str) -> Self {
        Self::ratio(what, unit, subjects, to, f64::INFINITY)
    }

    /// A row that could not be measured.
    pub(super) fn failed(what: &str, reason: &str) -> Self {
        Self { what: what.into(), failed: Some(reason.into()), ..Self::default() }
    }

    fn line(&self) -> String {
        let Self { what, unit, measure, measure_unit, budget, bound, .. } = self;
        if let Some(reason) = &self.failed {
            return format!("{what:<34} not measured: {reason}\n");
        }
        let subjects: Vec<_> = self.subjects.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        // What is no number has kept no budget.
        let (sign, verdict) = match bound {
            Bound::AtMost if measure <= budget => ("<=", ""),
            Bound::AtMost => ("<=", "  over"),
            Bound::AtLeast if measure >= budget => (">=", ""),
            Bound::AtLeast => (">=", "  under"),
        };
        let (subjects, measure) = (format!("{} {unit}", subjects.join(", ")), format!("{measure:.2} {measure_unit}"));
        let held = if budget.is_finite() { format!("{sign} {budget}{verdict}") } else { "-".to_owned() };
        format!("{what:<34} {subjects:<52} {measure:>14}   {held}\n")
    }
}

/// Renders the table.
pub(super) fn render(figures: &[Figure]) -> String {
    let head = format!("{:<34} {:<52} {:>14}   budget\n", "what", "medians", "measure");
    head + &figures.iter().map(Figure::line).collect::<String>()
}

/// Writes the figures as JSON, beside the commit they were measured at.
pub(super) fn write(directory: &Path, figures: &[Figure]) -> Outcome {
    let commit = crate::shell::output(&mut crate::shell::program("git", ["rev-parse", "--short", "HEAD"]));
    let document = serde_json::json!({ "commit": commit.unwrap_or_default().trim(), "figures": figures });
    let path = directory.join("figures.json");
    let text = serde_json::to_vec_pretty(&document).map_err(|error| error.to_string())?;
    std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("the figures are in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_over_its_budget_is_marked() {
        let figure = Figure::ratio("run", "ms", &[("floor", 2.0), ("conductor", 5.0)], "floor", 1.7);
        assert!(figure.line().trim_end().ends_with("2.50 x floor   <= 1.7  over"), "{}", figure.line());
    }

    #[test]
    fn a_rate_below_its_budget_is_marked() {
        let line = |rate| Figure::rate("log", &[("floor", 900.0), ("conductor", rate)], 100.0).line();
        assert!(line(99.0).trim_end().ends_with("99.00 MB/s   >= 100  under"), "{}", line(99.0));
        assert!(line(101.0).trim_end().ends_with(">= 100"), "{}", line(101.0));
    }

    #[test]
    fn a_ratio_without_a_budget_is_told_and_held_against_nothing() {
        let figure = Figure::told("pull", "ms", &[("floor", 2.0), ("conductor", 5.0)], "floor");
        assert!(figure.line().ends_with("2.50 x floor   -\n"), "{}", figure.line());
    }

    #[test]
    fn a_row_that_was_not_measured_says_why() {
        assert!(Figure::failed("ps", "no such command").line().contains("not measured: no such command"));
    }
}
