//! The list as it is written.

use std::io::{self, Write};

use pipeline::Attributes;
use pipeline::telemetry::json_escaped;
use serde_json::json;

use super::glob::Glob;
use super::record::{Record, labels};

/// How a list is written.
pub(crate) trait Writer {
    /// The resource of all that is sent.
    fn resource(&mut self, resource: &Attributes) -> io::Result<()>;
    /// A line.
    fn record(&mut self, record: &Record<'_>) -> io::Result<()>;
    /// Called once, after the last record.
    fn finish(&mut self) -> io::Result<()>;
}

/// What fits a glob, written.
pub(crate) struct List<'a> {
    writer: Box<dyn Writer + 'a>,
    glob: Option<Glob>,
    is_any: bool,
    /// What receivers look for and have not found.
    missing: Vec<String>,
}

impl<'a> List<'a> {
    pub(crate) fn new(writer: Box<dyn Writer + 'a>, glob: Option<Glob>) -> List<'a> {
        List {
            writer,
            glob,
            is_any: false,
            missing: Vec::new(),
        }
    }

    pub(crate) fn resource(&mut self, resource: &Attributes) -> io::Result<()> {
        self.writer.resource(resource)
    }

    /// Whether a source is listed.
    pub(super) fn fits(&self, source: &str) -> bool {
        self.glob.as_ref().is_none_or(|glob| glob.fits(source))
    }

    /// Writes a record, if it is to be listed.
    pub(super) fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        if !self.fits(&record.source) {
            return Ok(());
        }
        self.is_any = true;
        self.writer.record(record)
    }

    /// A receiver has not found what it looks for, which may be what is asked for.
    pub(super) fn add_missing(&mut self, missing: &str) {
        self.missing.push(missing.to_owned());
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.writer.finish()
    }

    /// # Errors
    /// That nothing was listed.
    pub(crate) fn is_any(&self) -> Result<(), String> {
        if self.is_any {
            return Ok(());
        }
        let missing = match &self.missing[..] {
            [] => String::new(),
            missing => format!("; not found: {}", missing.join(", ")),
        };
        Err(format!(
            "nothing to list: no path fits, which begins with the subsystem, as `net/eth0/statistics/rx_bytes` does{missing}"
        ))
    }
}

/// One JSON object a line.
pub(crate) struct JsonLines<W>(pub(crate) W);

impl<W: Write> JsonLines<W> {
    fn line(&mut self, json: &str) -> io::Result<()> {
        writeln!(self.0, "{}", json_escaped(json))
    }
}

impl<W: Write> Writer for JsonLines<W> {
    fn resource(&mut self, resource: &Attributes) -> io::Result<()> {
        self.line(&json!({ "resource": labels(resource) }).to_string())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.line(&serde_json::to_string(record)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
