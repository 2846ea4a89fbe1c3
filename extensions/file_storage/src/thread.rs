//! A log's thread: nobody else waits for a disk.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use pipeline::telemetry::Warnings;
use pipeline::{LogEvent, now_unix_nano};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Fsync;
use crate::handle::Command;
use crate::log::{Log, Read, Settings};

/// From one `fsync: interval` to the next.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Where nothing comes, it is looked so often whether something has become too old.
const AGE_INTERVAL: Duration = Duration::from_secs(10);
/// So many times that something was asked for are worked on before what became of it is told and written down.
const MAX_TOGETHER: usize = 256;
/// What a log's thread has, which ends when the handle is dropped.
pub(crate) struct LogThread {
    log: Log,
    settings: Settings,
    commands: Receiver<Vec<Command>>,
    events: UnboundedSender<Vec<LogEvent>>,
    last_sync: Instant,
    /// Whether the last request could not be written.
    is_failing: bool,
    /// What was last told of that.
    is_full: bool,
    warnings: Warnings,
}

impl LogThread {
    pub(crate) fn new(
        log: Log,
        settings: Settings,
        commands: Receiver<Vec<Command>>,
        events: UnboundedSender<Vec<LogEvent>>,
        warnings: Warnings,
    ) -> LogThread {
        LogThread {
            log,
            settings,
            commands,
            events,
            last_sync: Instant::now(),
            is_failing: false,
            is_full: false,
            warnings,
        }
    }

    /// Works until the handle is dropped, and closes the log.
    pub(crate) fn run(mut self) {
        let full = self.note_full();
        self.tell(full.into_iter().collect());
        loop {
            let first = match self.commands.try_recv() {
                Ok(commands) => commands,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    std::thread::park_timeout(self.timeout());
                    Vec::new()
                }
            };
            let more: Vec<_> = self.commands.try_iter().take(MAX_TOGETHER).collect();
            let all = first.into_iter().chain(more.into_iter().flatten());
            let done = self.work(all);
            self.tell(done);
        }
        self.log.close();
    }

    fn timeout(&self) -> Duration {
        if self.settings.fsync == Fsync::Interval && !self.log.is_synced() {
            SYNC_INTERVAL.saturating_sub(self.last_sync.elapsed())
        } else {
            AGE_INTERVAL
        }
    }

    /// Works on commands: what was done, as far as it was not told at once.
    fn work(&mut self, commands: impl Iterator<Item = Command>) -> Vec<LogEvent> {
        let (mut appended, mut kept) = (Vec::new(), 0);
        for command in commands {
            match command {
                Command::Append(at, request) => {
                    let result = self.log.append(at, &request, now_unix_nano());
                    appended.push((at, result));
                }
                Command::Keep {
                    ranges,
                    tried,
                    is_told,
                } => {
                    self.log.keep(ranges, tried);
                    kept += usize::from(is_told);
                }
                Command::Read(range, points) => {
                    let Read {
                        requests,
                        next,
                        thinned,
                    } = self.log.read(&range, points);
                    self.tell(vec![LogEvent::Read {
                        requests,
                        next,
                        thinned,
                    }]);
                }
            }
        }
        let synced = self.sync();
        let failed = appended.iter().find_map(|(_, it)| it.as_ref().err());
        match failed.or(synced.as_ref().err()) {
            Some(error) => self.fails(error),
            None if appended.is_empty() => {}
            None => self.works(),
        }
        let mut done = Vec::new();
        done.extend(appended.into_iter().map(|(at, result)| {
            let is_stored = result.is_ok() && synced.is_ok();
            LogEvent::Appended { at, is_stored }
        }));
        let now = now_unix_nano();
        if self.log.has_to_cut(now) {
            // Nobody waits for that.
            self.tell(std::mem::take(&mut done));
        }
        let cut = self.log.cut(now);
        done.extend(cut.map(|(before, is_old)| LogEvent::Cut { before, is_old }));
        self.log.write_cursor();
        done.extend((0..kept).map(|_| LogEvent::Kept));
        done.extend(self.note_full());
        done
    }

    /// Whether it is full, where that is something else than was told.
    fn note_full(&mut self) -> Option<LogEvent> {
        let is_full = self.log.is_full();
        let was_full = std::mem::replace(&mut self.is_full, is_full);
        (was_full != is_full).then_some(LogEvent::Full(is_full))
    }

    /// Returns when what was appended is on the disk itself, as far as that is asked for. After a failure it is, at each time:
    /// what could not be forced onto the disk once is not there until that succeeds.
    fn sync(&mut self) -> io::Result<()> {
        let is_due = match self.settings.fsync {
            Fsync::Each => true,
            Fsync::Interval => self.is_failing || self.last_sync.elapsed() >= SYNC_INTERVAL,
            Fsync::Never => false,
        };
        if !is_due || self.log.is_synced() {
            return Ok(());
        }
        self.last_sync = Instant::now();
        self.log.sync()
    }

    /// Says once when the disk begins to fail.
    fn fails(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let message =
                "the queue cannot be written to the disk; what comes is kept in memory meanwhile";
            self.warnings.warn_again(message, &error.to_string());
        }
    }

    /// Says once when it works again.
    fn works(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            let message = "the queue can be written to the disk again";
            self.warnings.warn_again(message, "");
        }
    }

    fn tell(&self, events: Vec<LogEvent>) {
        if !events.is_empty() {
            // Who has gone needs to be told no more.
            let _ = self.events.send(events);
        }
    }
}
