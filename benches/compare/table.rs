//! Medians, and tables for a terminal and for Markdown.

/// A table with what there is to say below it.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// A line each.
    pub notes: Vec<String>,
}

impl Table {
    /// With this head.
    pub fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { rows: [head].into_iter().chain(rows).collect(), notes: Vec::new() }
    }

    /// For a terminal.
    pub fn text(&self, about: &[String]) -> String {
        let mut lines = about.to_vec();
        lines.push(String::new());
        lines.extend(self.padded().iter().map(|row| row.join("  ").trim_end().to_owned()));
        lines.push(String::new());
        lines.extend(self.notes.iter().cloned());
        lines.join("\n") + "\n"
    }

    /// For a page.
    pub fn markdown(&self, about: &[String]) -> String {
        let mut lines: Vec<String> = about.iter().map(|line| format!("- {line}")).collect();
        lines.push(String::new());
        let padded = self.padded();
        let mut rows = padded.iter().map(|row| format!("| {} |", row.join(" | ")));
        lines.extend(rows.next());
        let rule = |(index, cell): (usize, &String)| {
            let dashes = "-".repeat(cell.chars().count() + 1);
            if index == 0 { format!(":{dashes}") } else { format!("{dashes}:") }
        };
        let rules: Vec<String> = padded[0].iter().enumerate().map(rule).collect();
        lines.push(format!("|{}|", rules.join("|")));
        lines.extend(rows);
        lines.push(String::new());
        lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        lines.join("\n") + "\n"
    }

    /// Cells as wide as their columns: the first to the left, the others to the right.
    fn padded(&self) -> Vec<Vec<String>> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let pad = |(index, (cell, width)): (usize, (&String, &usize))| {
            if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        self.rows.iter().map(|row| row.iter().zip(&widths).enumerate().map(pad).collect()).collect()
    }
}

/// The middle of those values that there are.
pub fn median<T>(samples: &[T], field: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = samples.iter().filter_map(field).collect();
    values.sort_by(f64::total_cmp);
    let (last, middle) = (values.len().checked_sub(1)?, values.len() / 2);
    Some(f64::midpoint(values[middle], values[last - middle]))
}

/// A whole number with a comma before each three digits.
pub fn count(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits = format!("{value:.0}");
    let comma = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    digits.char_indices().flat_map(|(index, digit)| comma(index).then_some(',').into_iter().chain([digit])).collect()
}

/// A number with two decimals.
pub fn decimals(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

/// How many times the second the first is.
pub fn ratio(first: Option<f64>, second: Option<f64>) -> String {
    decimals(first.zip(second).map(|(first, second)| first / second).filter(|ratio| ratio.is_finite()))
}
