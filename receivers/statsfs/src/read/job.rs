//! A job reads the files of one table in order, on a thread that may block.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pipeline::{Times, Value, now_unix_nano};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::fd_cache::FdCache;
use super::rows::{RowGroup, Rows};
use super::syscalls::{open_file, read, read_at_start};
use super::value::{Reason, parse};
use crate::root::Root;

/// One table to read, and its readings afterwards. A source that gives many values in one read would be
/// another kind of job: the pool knows only that a job fills the rows of a table.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) rows: Arc<Rows>,
    pub(crate) root: Option<Arc<Root>>,
    /// Whether files are kept open.
    pub(crate) keep_open: bool,
    pub(crate) fds: FdCache,
    /// Rows that are not read, sorted.
    pub(crate) skip: Arc<[u32]>,
    /// Rows that are not read by then time out.
    pub(crate) deadline: Instant,
    pub(crate) readings: Readings,
}

/// What a job read.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// One per row.
    pub(crate) values: Vec<Value>,
    /// When each row group was read, unix ns.
    times: Vec<u64>,
    pub(crate) failures: Vec<(u32, ReadFailure)>,
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
    /// Numbers that stand for no value.
    pub(crate) absent: u64,
    pub(crate) cpu: Duration,
    pub(crate) longest: Duration,
}

/// A table that is read within this time has one timestamp for all rows.
const SAME_TIME_NANOS: u64 = 1_000_000;

impl Job {
    /// Reads all rows but those to skip. `progress` is always the row that is being read.
    pub(crate) fn run(&mut self, buffer: &mut [u8], progress: &AtomicU32) {
        let cpu = cpu_time();
        let rows = Arc::clone(&self.rows);
        self.fds.resize(
            rows.groups.len(),
            if self.keep_open { rows.files.len() } else { 0 },
        );
        self.readings.values.resize(rows.files.len(), Value::Absent);
        let skip = Arc::clone(&self.skip);
        let mut skip = skip.iter().copied().peekable();
        let mut last_read = Instant::now();
        let mut row = 0;
        for (index, group) in rows.groups.iter().enumerate() {
            let mut directory = CurrentDirectory {
                index,
                group,
                opened: None,
            };
            while row < group.end {
                if skip.next_if_eq(&row).is_some() {
                    row += 1;
                    continue;
                }
                let value = if last_read > self.deadline {
                    Err(ReadFailure::Other(Reason::TIMEOUT))
                } else {
                    progress.store(row, Ordering::Relaxed);
                    let read = self.read_file(&rows, row, &mut directory, buffer);
                    let value = self.parse_value(&rows, row, read, buffer);
                    let now = Instant::now();
                    self.readings.cost.longest = self.readings.cost.longest.max(now - last_read);
                    last_read = now;
                    value
                };
                match value {
                    Ok(value) => self.readings.values[row as usize] = value,
                    Err(failure) => self.readings.failures.push((row, failure)),
                }
                row += 1;
            }
            if let Some(Ok(opened)) = directory.opened
                && (self.keep_open || !self.fds.keep_directory(index, opened))
            {
                self.readings.cost.syscalls += 1;
            }
            self.readings.times.push(now_unix_nano());
        }
        self.readings.cost.cpu = cpu_time().saturating_sub(cpu);
    }

    /// One bounded read of a file.
    fn read_file(
        &mut self,
        rows: &Rows,
        row: u32,
        current: &mut CurrentDirectory<'_>,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        if let Some(file) = self.fds.file(row) {
            self.readings.cost.syscalls += 1;
            match read_at_start(file, buffer) {
                // Removed, and perhaps created again.
                Err(Errno::NODEV | Errno::NOENT | Errno::STALE | Errno::NXIO) => {
                    self.fds.close_file(row);
                    self.readings.cost.syscalls += 1;
                }
                done => return done,
            }
        }
        let directory = match self.fds.directory(current.index) {
            Some(open) => open,
            None => current.open(self.root.as_deref(), &mut self.readings.cost)?,
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
        read: Result<usize, Errno>,
        buffer: &[u8],
    ) -> Result<Value, ReadFailure> {
        let length = read.map_err(classify)?;
        self.readings.cost.files += 1;
        self.readings.cost.bytes += length as u64;
        if length == buffer.len() {
            return Err(ReadFailure::Other(Reason::TOO_LARGE));
        }
        let file_format = rows.formats.get(row as usize);
        let format = file_format.map(|it| it.format).unwrap_or_default();
        let (value, lossy) = parse(&buffer[..length], format).map_err(ReadFailure::Other)?;
        if file_format.is_some_and(|it| it.absent.contains(&value)) {
            self.readings.cost.absent += 1;
            return Ok(Value::Absent);
        }
        self.readings.cost.lossy += u64::from(lossy);
        Ok(value)
    }
}

impl Readings {
    /// When the rows were read: one time for all, or one per row where the job took longer.
    pub(crate) fn times(&self, rows: &Rows) -> Times {
        let last = self.times.last().copied().unwrap_or_default();
        let first = self.times.first().copied().unwrap_or_default();
        if last.abs_diff(first) <= SAME_TIME_NANOS {
            return Times::One(last);
        }
        let mut each = Vec::with_capacity(rows.files.len());
        for (group, time) in rows.groups.iter().zip(&self.times) {
            each.resize(group.end as usize, *time);
        }
        Times::Each(each.into())
    }
}

/// The directory of the rows that are being read.
struct CurrentDirectory<'a> {
    index: usize,
    group: &'a RowGroup,
    /// Opened for this job where the cache has no descriptor; or the error.
    opened: Option<Result<OwnedFd, Errno>>,
}

impl CurrentDirectory<'_> {
    fn open(&mut self, root: Option<&Root>, cost: &mut ReadCost) -> Result<&OwnedFd, Errno> {
        let root = root.ok_or(Errno::NOENT)?;
        let opened = self.opened.get_or_insert_with(|| {
            cost.syscalls += 1;
            root.open_directory(&self.group.below)
        });
        opened.as_ref().map_err(|errno| *errno)
    }
}

fn classify(errno: Errno) -> ReadFailure {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::STALE => ReadFailure::Gone,
        Errno::MFILE | Errno::NFILE => ReadFailure::NoDescriptor,
        Errno::PERM => ReadFailure::NotPermitted,
        Errno::ACCESS => ReadFailure::Other(Reason::PERMISSION),
        _ => ReadFailure::Other(Reason::IO),
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
