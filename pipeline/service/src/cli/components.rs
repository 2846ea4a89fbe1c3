//! `components`: the component types of this binary.

use std::fmt::Write as _;

use pipeline::Registration;
use pipeline::telemetry::escaped;

/// Prints a table of all that is linked.
pub(super) fn components() {
    let header = ["TYPE", "KIND", "CRATE", "VERSION", "FILE"].map(String::from);
    let rows = Registration::all().into_iter().map(|it| {
        let kind = it.factory.kind();
        [it.type_name, kind, it.crate_name, it.version, it.file].map(|it| escaped(it).into_owned())
    });
    let table: Vec<[String; 5]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for row in &table {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:<width$} ");
        }
        let _ = writeln!(text, "{}", row[4]);
    }
    super::print(&text);
}
