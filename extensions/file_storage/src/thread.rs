//! A log's thread: nobody else waits for a disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pipeline::telemetry::Warnings;
use pipeline::{
    Batch, LogEvent, LogPosition, LogRange, Replay, RequestLog, async_trait, now_unix_nano, points,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::config::Fsync;
use crate::log::{Log, Read, Settings};

/// From one `fsync: interval` to the next.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Where nothing comes, it is looked so often whether something has become too old.
const AGE_INTERVAL: Duration = Duration::from_secs(10);
/// So many commands are worked on before what became of them is told and written down.
const MAX_TOGETHER: usize = 256;
/// So many requests may wait to be written: a disk that is slower does not get more.
const MAX_WAITING: u64 = 1024;

/// What a log is asked for.
enum Command {
    Append(LogPosition, Vec<Batch>),
    Read(LogRange, u64),
    Keep(Vec<LogRange>, Vec<LogRange>),
}

/// A log as an exporter has it.
#[derive(Debug)]
pub(crate) struct LogHandle {
    found: Vec<LogRange>,
    tried: Vec<LogRange>,
    end: LogPosition,
    replay: Replay,
    /// Requests that were handed over, and not told of yet.
    waiting: u64,
    commands: Sender<Command>,
    events: UnboundedReceiver<LogEvent>,
    own_events: UnboundedSender<LogEvent>,
}

/// A log's thread, which ends when the handle is dropped.
pub(crate) struct LogThread {
    log: Log,
    settings: Settings,
    commands: Receiver<Command>,
    events: UnboundedSender<LogEvent>,
    last_sync: Instant,
    /// Whether the last request could not be written.
    is_failing: bool,
    /// What was last told of that.
    is_full: bool,
    warnings: Warnings,
}

/// A handle, and what works for it once it is [run](LogThread::run).
pub(crate) fn new(
    log: Log,
    settings: Settings,
    replay: Replay,
    warnings: Warnings,
) -> (LogHandle, LogThread) {
    let (commands, to_do) = std::sync::mpsc::channel();
    let (own_events, events) = tokio::sync::mpsc::unbounded_channel();
    let handle = LogHandle {
        found: log.cursor().pending.clone(),
        tried: log.cursor().tried.clone(),
        end: log.cursor().end,
        replay,
        waiting: 0,
        commands,
        events,
        own_events: own_events.clone(),
    };
    let thread = LogThread {
        log,
        settings,
        commands: to_do,
        events: own_events,
        last_sync: Instant::now(),
        is_failing: false,
        is_full: false,
        warnings,
    };
    (handle, thread)
}

#[async_trait]
impl RequestLog for LogHandle {
    fn found(&self) -> Vec<LogRange> {
        self.found.clone()
    }

    fn tried(&self) -> Vec<LogRange> {
        self.tried.clone()
    }

    fn end(&self) -> LogPosition {
        self.end
    }

    fn replay(&self) -> Replay {
        self.replay
    }

    fn append(&mut self, request: &[Batch]) -> LogPosition {
        let at = self.end;
        self.end = at.after(points(request));
        self.waiting += 1;
        let command = Command::Append(at, request.to_vec());
        if self.waiting > MAX_WAITING || self.commands.send(command).is_err() {
            let is_stored = false;
            // The receiver is in here too.
            let _ = self.own_events.send(LogEvent::Appended { at, is_stored });
        }
        at
    }

    fn read(&mut self, range: LogRange, points: u64) {
        let next = range.end;
        if self.commands.send(Command::Read(range, points)).is_err() {
            let (requests, thinned) = (Vec::new(), 0);
            let read = LogEvent::Read {
                requests,
                next,
                thinned,
            };
            let _ = self.own_events.send(read);
        }
    }

    fn keep(&mut self, ranges: Vec<LogRange>, tried: Vec<LogRange>) {
        if self.commands.send(Command::Keep(ranges, tried)).is_err() {
            let _ = self.own_events.send(LogEvent::Kept);
        }
    }

    async fn event(&mut self) -> LogEvent {
        match self.events.recv().await {
            Some(event) => {
                if matches!(event, LogEvent::Appended { .. }) {
                    self.waiting -= 1;
                }
                event
            }
            None => std::future::pending().await,
        }
    }
}

impl LogThread {
    /// Works until the handle is dropped, and closes the log.
    pub(crate) fn run(mut self) {
        self.tell_if_full();
        loop {
            let first = match self.commands.recv_timeout(self.timeout()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut commands = Vec::from_iter(first);
            commands.extend(self.commands.try_iter().take(MAX_TOGETHER));
            self.work(commands);
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

    fn work(&mut self, commands: Vec<Command>) {
        let (mut appended, mut kept) = (Vec::new(), 0);
        for command in commands {
            match command {
                Command::Append(at, request) => {
                    let result = self.log.append(at, &request, now_unix_nano());
                    appended.push((at, result));
                }
                Command::Keep(ranges, tried) => {
                    self.log.keep(ranges, tried);
                    kept += 1;
                }
                Command::Read(range, points) => {
                    let Read {
                        requests,
                        next,
                        thinned,
                    } = self.log.read(&range, points);
                    self.tell(LogEvent::Read {
                        requests,
                        next,
                        thinned,
                    });
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
        for (at, result) in appended {
            let is_stored = result.is_ok() && synced.is_ok();
            self.tell(LogEvent::Appended { at, is_stored });
        }
        if let Some((before, is_old)) = self.log.cut(now_unix_nano()) {
            self.tell(LogEvent::Cut { before, is_old });
        }
        self.log.write_cursor();
        (0..kept).for_each(|_| self.tell(LogEvent::Kept));
        self.tell_if_full();
    }

    fn tell_if_full(&mut self) {
        let is_full = self.log.is_full();
        if std::mem::replace(&mut self.is_full, is_full) != is_full {
            self.tell(LogEvent::Full(is_full));
        }
    }

    /// Returns when what was appended is on the disk itself, as far as that is asked for. After a failure it is, at each time:
    /// what could not be forced onto the disk once is not there until that succeeds.
    fn sync(&mut self) -> std::io::Result<()> {
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
    fn fails(&mut self, error: &std::io::Error) {
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

    fn tell(&self, event: LogEvent) {
        // Who has gone needs to be told no more.
        let _ = self.events.send(event);
    }
}
