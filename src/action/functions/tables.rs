//! Rows of mappings as tables, and back from CSV.

use std::collections::BTreeSet;

use super::wrong;
use crate::action::value::{Failure, Key, Mapping, Value};

/// The rows of a CSV text by the names in its first line.
pub(super) fn parse_csv(text: &str) -> Result<Value, Failure> {
    let mut records = records(text)
        .into_iter()
        .filter(|record| !record.is_empty());
    let Some(names) = records.next() else {
        return Ok(Value::list(Vec::new()));
    };
    let row = |record: Vec<String>| {
        let mut row = Mapping::new();
        let mut cells = record.into_iter().map(Value::from);
        for name in &names {
            let cell = cells.next().unwrap_or(Value::None);
            row.insert(Key::from(name.as_str()), cell);
        }
        let surplus = Vec::from_iter(cells);
        if !surplus.is_empty() {
            row.insert(Key::new(Value::None)?, Value::list(surplus));
        }
        Ok(Value::mapping(row))
    };
    Ok(Value::list(
        records.map(row).collect::<Result<_, Failure>>()?,
    ))
}

/// The cells of each line; a cell in quotes may hold commas, line ends and doubled quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut cell = String::new();
    let (mut is_quoted, mut is_started) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if is_quoted => is_quoted = false,
            '"' if cell.is_empty() => (is_quoted, is_started) = (true, true),
            ',' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                is_started = true;
            }
            '\r' | '\n' if !is_quoted => {
                if character == '\r' {
                    let _ = characters.next_if_eq(&'\n');
                }
                if is_started || !cell.is_empty() {
                    record.push(std::mem::take(&mut cell));
                }
                records.push(std::mem::take(&mut record));
                is_started = false;
            }
            character => cell.push(character),
        }
    }
    if is_started || !cell.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records
}

/// Rows as a table whose columns are all keys in order of the alphabet.
pub(super) fn tabulate(rows: &Value, format: &str) -> Result<Value, Failure> {
    let rows = rows.members()?;
    let mut columns = BTreeSet::new();
    let mut table = Vec::new();
    for row in &rows {
        let Value::Mapping(entries) = row else {
            return Err(wrong("rows are mappings", row));
        };
        columns.extend(entries.keys().map(|key| key.value().to_string()));
        table.push(entries.as_ref());
    }
    let text = match format {
        "markdown" | "html" | "csv" | "xml" if rows.is_empty() => String::new(),
        "markdown" => markdown(&columns, &table),
        "html" => html(&columns, &table),
        "csv" => csv(&columns, &table),
        "xml" => xml(&table),
        _ => return Err(Failure::new("the format is markdown, html, csv or xml")),
    };
    Ok(Value::from(text))
}

fn text(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        value => value.to_string(),
    }
}

fn cell(row: &Mapping, column: &str) -> String {
    let found = row
        .iter()
        .find(|(key, _)| key.value().to_string() == column);
    found.map(|(_, value)| text(value)).unwrap_or_default()
}

type Columns = BTreeSet<String>;

fn markdown(columns: &Columns, rows: &[&Mapping]) -> String {
    let line = |cells: Vec<String>| format!("|{}|", cells.join("|"));
    let mut lines = vec![
        line(columns.iter().cloned().collect()),
        line(vec!["-".to_owned(); columns.len()]),
    ];
    lines.extend(
        rows.iter()
            .map(|row| line(columns.iter().map(|column| cell(row, column)).collect())),
    );
    lines.join("\n")
}

fn csv(columns: &Columns, rows: &[&Mapping]) -> String {
    let quoted = |text: String| {
        if text.contains([',', '"', '\r', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    };
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells = Vec::from_iter(cells.map(quoted));
        cells.join(",") + "\r\n"
    };
    let mut out = line(&mut columns.iter().cloned());
    for row in rows {
        out.push_str(&line(&mut columns.iter().map(|column| cell(row, column))));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

fn html(columns: &Columns, rows: &[&Mapping]) -> String {
    let mut lines = vec![
        "<table>".to_owned(),
        "  <thead>".to_owned(),
        "    <tr>".to_owned(),
    ];
    lines.extend(
        columns
            .iter()
            .map(|column| format!("      <th>{}</th>", escaped(column))),
    );
    lines.extend(["    </tr>", "  </thead>", "  <tbody>"].map(str::to_owned));
    for row in rows {
        lines.push("    <tr>".to_owned());
        let cells = columns.iter().map(|column| escaped(&cell(row, column)));
        lines.extend(cells.map(|cell| format!("      <td>{cell}</td>")));
        lines.push("    </tr>".to_owned());
    }
    lines.extend(["  </tbody>", "</table>"].map(str::to_owned));
    lines.join("\n")
}

fn xml(rows: &[&Mapping]) -> String {
    let mut lines = vec!["<items>".to_owned()];
    for row in rows {
        lines.push("  <item>".to_owned());
        for (key, value) in row.iter() {
            let name = escaped(&key.value().to_string());
            lines.push(format!("    <{name}>{}</{name}>", escaped(&text(value))));
        }
        lines.push("  </item>".to_owned());
    }
    lines.push("</items>".to_owned());
    lines.join("\n")
}
