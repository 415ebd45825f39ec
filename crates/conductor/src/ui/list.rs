//! How lists (`ps`, `images`, ...) are printed: as a table, as JSON, or by a template.

use serde_json::{Value, json};

use super::table::Table;
use super::template::Template;
use crate::error::Failure;

/// What `--format` asks for.
#[derive(Debug)]
pub(crate) enum Format {
    /// The command's own table.
    Table,
    /// One JSON object a line.
    Json,
    /// A template for each row.
    Rows(Template),
    /// A template for each row, aligned, below a row of headers.
    Aligned(Template),
}

impl Format {
    /// Reads the value of `--format`; nothing means the table.
    pub(crate) fn parse(word: Option<&str>) -> Result<Self, Failure> {
        let word = word.map(|word| word.replace("\\t", "\t").replace("\\n", "\n"));
        match word.as_deref() {
            None | Some("" | "table") => Ok(Self::Table),
            Some("json") => Ok(Self::Json),
            Some(text) => match text.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t', '{'])) {
                Some(columns) => Ok(Self::Aligned(Template::parse(columns.trim_start())?)),
                None => Ok(Self::Rows(Template::parse(text)?)),
            },
        }
    }
}

/// Prints rows as `format` asks; `headers` gives each field its heading for aligned templates.
pub(crate) fn render(format: &Format, headers: &[(&str, &str)], rows: &[Value]) -> Result<String, Failure> {
    let lines = |template: &Template| -> Result<String, Failure> {
        let lines: Result<Vec<_>, _> = rows.iter().map(|row| template.render(row)).collect();
        Ok(lines?.iter().map(|line| format!("{line}\n")).collect())
    };
    match format {
        Format::Json => Ok(rows.iter().map(|row| format!("{row}\n")).collect()),
        Format::Rows(template) => lines(template),
        Format::Aligned(template) => {
            let heading = template.render(&heading_row(headers))?;
            Ok(Table::from_tabbed(&format!("{heading}\n{}", lines(template)?)).render())
        }
        Format::Table => Err(Failure::message("this list has no table")),
    }
}

fn heading_row(headers: &[(&str, &str)]) -> Value {
    let mut row: serde_json::Map<_, _> =
        headers.iter().map(|(field, heading)| ((*field).to_owned(), json!(heading))).collect();
    // `{{.Label "key"}}` looks a key up, and has no heading.
    row.insert("Label".to_owned(), json!({}));
    row.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &[(&str, &str)] = &[("ID", "CONTAINER ID"), ("Names", "NAMES")];

    fn rows(format: &str) -> String {
        let rows = [json!({"ID": "0123", "Names": "eg"}), json!({"ID": "4567", "Names": "web"})];
        render(&Format::parse(Some(format)).unwrap(), HEADERS, &rows).unwrap()
    }

    #[test]
    fn a_template_prints_a_line_for_each_row() {
        assert_eq!(rows("{{.Names}}\\t{{.ID}}"), "eg\t0123\nweb\t4567\n");
        assert_eq!(rows("json"), "{\"ID\":\"0123\",\"Names\":\"eg\"}\n{\"ID\":\"4567\",\"Names\":\"web\"}\n");
    }

    #[test]
    fn a_table_template_has_headings_and_columns() {
        assert_eq!(rows("table {{.ID}}\\t{{.Names}}"), "CONTAINER ID   NAMES\n0123           eg\n4567           web\n");
    }
}
