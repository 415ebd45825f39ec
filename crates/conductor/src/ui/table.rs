//! Aligned columns, as Docker prints them: three spaces apart, none narrower than ten, the last one unpadded.

const GAP: usize = 3;
const NARROWEST: usize = 10;

/// Rows of cells that are printed in columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table whose first row is `headers`.
    pub(crate) fn with_headers(headers: &[&str]) -> Self {
        Self { rows: vec![headers.iter().map(|&header| header.to_owned()).collect()] }
    }

    /// Makes a table of rows whose cells are separated by tabs.
    pub(crate) fn from_tabbed(text: &str) -> Self {
        Self { rows: text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Returns the aligned lines.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if column < last {
                    let missing = widths[column].saturating_sub(cell.chars().count());
                    text.extend(std::iter::repeat_n(' ', missing));
                }
            }
            text.push('\n');
        }
        text
    }

    /// A cell that ends its row does not widen its column, as in Docker's (Go's) tables.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![NARROWEST; columns];
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
                widths[column] = widths[column].max(cell.chars().count() + GAP);
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_three_spaces_apart_and_ten_wide_at_least() {
        let mut table = Table::with_headers(&["CONTAINER ID", "IMAGE", "NAMES"]);
        table.push(vec!["0123456789ab".into(), "a".into(), "eg".into()]);
        assert_eq!(table.render(), "CONTAINER ID   IMAGE     NAMES\n0123456789ab   a         eg\n");
    }

    #[test]
    fn a_long_last_cell_pads_nothing() {
        let table = Table::from_tabbed("A\tB\nx\ta very long cell indeed");
        assert_eq!(table.render(), "A         B\nx         a very long cell indeed\n");
    }
}
