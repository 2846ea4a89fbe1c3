//! A job reads the files of one table in order, on a thread that may block.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Value, now_unix_nano};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::fd_cache::FdCache;
use super::reason::Reason;
use super::rows::{RowGroup, Rows};
use super::selection::Selection;
use super::syscalls::{open_file, read, read_at_start, stat_entry};
use super::value::parse;
use super::work_queue::Progress;
use crate::root::Root;

/// A table to read, or a part of one, and the readings afterwards. A source that gives many values in one read would be
/// another kind of job: the pool knows only that a job fills the rows of a table.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) rows: Arc<Rows>,
    pub(crate) root: Option<Arc<Root>>,
    /// Whether files are kept open.
    pub(crate) keep_open: bool,
    pub(crate) fds: FdCache,
    pub(crate) selection: Selection,
    pub(crate) precedence: Precedence,
    /// Rows that are not read by then are left out.
    pub(crate) deadline: Instant,
    pub(crate) readings: Readings,
}

/// When a job is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// In the order of submission.
    Normal,
    /// After the normal ones. Of a file that is known to be slow: those first that the earliest job tried last.
    Slow { last_tried: u64 },
    /// After the normal ones, and never by the last thread. Of files behind one that does not answer: the newest job first.
    Suspected,
}

/// What a job read.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// One per row of the table; of `Selection::These` one per row that was reached.
    pub(crate) values: Vec<Value>,
    /// When they were read, unix ns: one per row group, 0 where no row of it was reached; of `Selection::These` one per row.
    pub(crate) times: Vec<u64>,
    /// When the first and the last row group were read, unix ns.
    pub(crate) first_time: u64,
    pub(crate) last_time: u64,
    pub(crate) failures: Vec<(u32, ReadFailure)>,
    /// Rows whose files took long.
    pub(crate) slow: Vec<u32>,
    /// Rows whose numbers stand for no value.
    pub(crate) absent: Vec<u32>,
    /// Whether it ended after the deadline: rows may have been left out, and no time is left for others.
    pub(crate) timed_out: bool,
    pub(crate) cost: ReadCost,
}

/// Why a row has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFailure {
    /// The file is gone: the next scan ends its series, without a warning.
    Gone,
    /// It may not be opened. On debugfs and tracefs this means lockdown.
    NotPermitted,
    /// The process has no descriptor left.
    NoDescriptor,
    /// The kernel answers with an error.
    Io(Errno),
    Other(Reason),
}

/// What a job cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadCost {
    pub(crate) files: u64,
    pub(crate) syscalls: u64,
    pub(crate) bytes: u64,
    /// Values beyond `i64`, which became doubles.
    pub(crate) lossy: u64,
    pub(crate) cpu: Duration,
    pub(crate) longest: Duration,
}

/// A file that takes this long is slow: from then on it is read apart.
const SLOW_READ: Duration = Duration::from_millis(50);

impl Job {
    /// Reads the rows of its selection, until the deadline, or until it is relieved of the rest. `progress` always has the row
    /// that is being read.
    pub(crate) fn run(&mut self, number: u64, buffer: &mut [u8], progress: &Progress) {
        let cpu = cpu_time();
        let rows = Arc::clone(&self.rows);
        let row_count = rows.files.len();
        let selection = self.selection.clone();
        let is_whole = matches!(selection, Selection::All { .. });
        let kept_files = if self.keep_open { row_count } else { 0 };
        self.fds.resize(rows.groups.len(), kept_files);
        if is_whole {
            self.readings.values.resize(row_count, Value::Absent);
            self.readings.times.resize(rows.groups.len(), 0);
        }
        let mut directory = CurrentDirectory::default();
        let mut last_read = Instant::now();
        for row in selection.rows(u32::try_from(row_count).unwrap_or(u32::MAX)) {
            if !directory.rows.contains(&row) {
                self.leave(&mut directory);
                directory.enter(&rows, row);
            }
            if progress.is_relieved(number) {
                break;
            }
            if last_read > self.deadline {
                break;
            }
            progress.set_row(row);
            let read = self.read_file(&rows, row, &mut directory, buffer);
            let value = self.parse_value(&rows, row, read, buffer);
            let now = Instant::now();
            let took = now - last_read;
            self.readings.cost.longest = self.readings.cost.longest.max(took);
            if took >= SLOW_READ {
                self.readings.slow.push(row);
            }
            last_read = now;
            let value = value.unwrap_or_else(|failure| {
                self.readings.failures.push((row, failure));
                Value::Absent
            });
            if is_whole {
                self.readings.values[row as usize] = value;
            } else {
                self.readings.values.push(value);
                self.readings.times.push(now_unix_nano());
            }
        }
        self.leave(&mut directory);
        self.readings.timed_out = last_read > self.deadline && !progress.is_relieved(number);
        if self.readings.last_time == 0 {
            self.readings.last_time = now_unix_nano();
            self.readings.first_time = self.readings.last_time;
        }
        self.readings.cost.cpu = cpu_time().saturating_sub(cpu);
    }

    /// The rows of a directory are read.
    fn leave(&mut self, directory: &mut CurrentDirectory) {
        if directory.rows.is_empty() {
            return;
        }
        let is_whole = matches!(self.selection, Selection::All { .. });
        if let Some(Ok(opened)) = directory.opened.take()
            && (self.keep_open || !is_whole || !self.fds.keep_directory(directory.index, opened))
        {
            self.readings.cost.syscalls += 1;
        }
        self.readings.last_time = now_unix_nano();
        if self.readings.first_time == 0 {
            self.readings.first_time = self.readings.last_time;
        }
        if is_whole {
            self.readings.times[directory.index] = self.readings.last_time;
        }
    }

    /// One bounded read of a file.
    fn read_file(
        &mut self,
        rows: &Rows,
        row: u32,
        current: &mut CurrentDirectory,
        buffer: &mut [u8],
    ) -> Result<usize, ReadFailure> {
        if let Some(file) = self.fds.file(row) {
            self.readings.cost.syscalls += 1;
            match read_at_start(file, buffer) {
                // Removed, and perhaps created again.
                Err(Errno::NODEV | Errno::NOENT | Errno::STALE | Errno::NXIO) => {
                    self.fds.close_file(row);
                    self.readings.cost.syscalls += 1;
                }
                done => return done.map_err(classify),
            }
        }
        let result = self.open_and_read(rows, row, current, buffer);
        let Err(errno @ (Errno::NODEV | Errno::NXIO | Errno::NOENT | Errno::STALE)) = result else {
            return result.map_err(classify);
        };
        // Of a file that goes; or of one that stays, whose driver says so of it.
        let opened = current.opened.as_ref().and_then(|it| it.as_ref().ok());
        let Some(directory) = self.fds.directory(current.index).or(opened) else {
            return Err(classify(errno));
        };
        self.readings.cost.syscalls += 1;
        stat_entry(directory.as_fd(), &rows.files[row as usize]).map_err(classify)?;
        Err(ReadFailure::Io(errno))
    }

    fn open_and_read(
        &mut self,
        rows: &Rows,
        row: u32,
        current: &mut CurrentDirectory,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let directory = match self.fds.directory(current.index) {
            Some(open) => open,
            None => current.open(rows, self.root.as_deref(), &mut self.readings.cost)?,
        };
        self.readings.cost.syscalls += 1;
        let file = open_file(directory.as_fd(), &rows.files[row as usize])?;
        let result = self.first_read(&file, buffer);
        let keep_open = result.is_ok() && self.keep_open && self.fds.seekable;
        if !keep_open || !self.fds.keep_file(row, file) {
            self.readings.cost.syscalls += 1;
        }
        result
    }

    /// The first read of an open file: with `pread` where possible, which takes no lock on the file's position.
    fn first_read(&mut self, file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.readings.cost.syscalls += 1;
        if self.fds.seekable {
            match read_at_start(file, buffer) {
                Err(Errno::SPIPE) => self.fds.seekable = false,
                done => return done,
            }
            self.readings.cost.syscalls += 1;
        }
        read(file, buffer)
    }

    fn parse_value(
        &mut self,
        rows: &Rows,
        row: u32,
        read: Result<usize, ReadFailure>,
        buffer: &[u8],
    ) -> Result<Value, ReadFailure> {
        let length = read?;
        self.readings.cost.files += 1;
        self.readings.cost.bytes += length as u64;
        if length == buffer.len() {
            return Err(ReadFailure::Other(Reason::TooLarge));
        }
        let file_format = rows.formats.get(row as usize);
        let format = file_format.map(|it| it.format).unwrap_or_default();
        let (value, lossy) = parse(&buffer[..length], format).map_err(ReadFailure::Other)?;
        if file_format.is_some_and(|it| it.absent.contains(&value)) {
            self.readings.absent.push(row);
            return Ok(Value::Absent);
        }
        self.readings.cost.lossy += u64::from(lossy);
        Ok(value)
    }
}

/// The directory of the rows that are being read.
#[derive(Default)]
struct CurrentDirectory {
    /// Its row group, and the rows of that.
    index: usize,
    rows: Range<u32>,
    /// Opened for this job where the cache has no descriptor; or the error.
    opened: Option<Result<OwnedFd, Errno>>,
}

impl CurrentDirectory {
    /// The directory of this row, most often the next one.
    fn enter(&mut self, rows: &Rows, row: u32) {
        let next = self.index + usize::from(!self.rows.is_empty());
        let is_next = |group: &RowGroup| (self.rows.end..group.end).contains(&row);
        self.index = if rows.groups.get(next).is_some_and(is_next) {
            next
        } else {
            rows.groups.partition_point(|group| group.end <= row)
        };
        let before = self.index.checked_sub(1);
        let start = before.map_or(0, |before| rows.groups[before].end);
        self.rows = start..rows.groups[self.index].end;
    }

    fn open(
        &mut self,
        rows: &Rows,
        root: Option<&Root>,
        cost: &mut ReadCost,
    ) -> Result<&OwnedFd, Errno> {
        let root = root.ok_or(Errno::NOENT)?;
        let opened = self.opened.get_or_insert_with(|| {
            cost.syscalls += 1;
            root.open_directory(&rows.groups[self.index].below)
        });
        opened.as_ref().map_err(|errno| *errno)
    }
}

fn classify(errno: Errno) -> ReadFailure {
    match errno {
        Errno::NOENT | Errno::STALE => ReadFailure::Gone,
        Errno::MFILE | Errno::NFILE => ReadFailure::NoDescriptor,
        Errno::PERM => ReadFailure::NotPermitted,
        Errno::ACCESS => ReadFailure::Other(Reason::Permission),
        errno => ReadFailure::Io(errno),
    }
}

/// The CPU time of this thread.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
