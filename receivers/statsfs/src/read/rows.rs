//! The rows of a table: which files a job reads.

use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use pipeline::config::AbsentValues;

use crate::config::ValueFormat;
use crate::directory_id::DirectoryId;

/// The files of a table, directory by directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) groups: Vec<RowGroup>,
    pub(crate) files: Vec<Arc<CString>>,
    /// One per file; empty where all are integers.
    pub(crate) formats: Vec<FileFormat>,
}

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileFormat {
    pub(crate) format: ValueFormat,
    /// Numbers that stand for no value.
    pub(crate) absent: AbsentValues,
}

impl From<ValueFormat> for FileFormat {
    fn from(format: ValueFormat) -> FileFormat {
        FileFormat {
            format,
            absent: AbsentValues::default(),
        }
    }
}

/// Consecutive rows whose files are in one directory.
#[derive(Clone, Debug)]
pub(crate) struct RowGroup {
    pub(crate) directory: DirectoryId,
    /// The path below the root.
    pub(crate) below: Arc<Path>,
    /// The row after its last one.
    pub(crate) end: u32,
}

impl Rows {
    /// Sets the format of an existing row.
    pub(crate) fn set_format(&mut self, row: u32, format: FileFormat) {
        if self.formats.is_empty() && format == FileFormat::default() {
            return;
        }
        self.formats.resize(self.files.len(), FileFormat::default());
        self.formats[row as usize] = format;
    }

    /// A copy with only the rows that stay.
    pub(crate) fn filtered(&self, stays: impl Fn(u32) -> bool) -> Rows {
        let mut rows = Rows::default();
        let mut row = 0;
        for group in &self.groups {
            for at in row..group.end {
                if stays(at) {
                    rows.files.push(Arc::clone(&self.files[at as usize]));
                    rows.formats.extend(self.formats.get(at as usize).cloned());
                }
            }
            row = group.end;
            let end = u32::try_from(rows.files.len()).unwrap_or(u32::MAX);
            if rows.groups.last().map_or(0, |last: &RowGroup| last.end) < end {
                rows.groups.push(RowGroup {
                    end,
                    ..group.clone()
                });
            }
        }
        rows
    }
}
