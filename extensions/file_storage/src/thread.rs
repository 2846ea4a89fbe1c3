//! A log's thread: nobody else waits for a disk.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SendError, Sender, TryRecvError};
use std::thread::{JoinHandle, Thread};
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
/// So many times that something was asked for are worked on before what became of it is told and written down.
const MAX_TOGETHER: usize = 256;
/// So many requests may wait to be written: a disk that is slower does not get more.
const MAX_WAITING: u64 = 1024;

/// What a log is asked for.
#[derive(Debug)]
enum Command {
    Append(LogPosition, Vec<Batch>),
    Read(LogRange, u64),
    Keep {
        ranges: Vec<LogRange>,
        tried: Vec<LogRange>,
        is_told: bool,
    },
}

/// A log as an exporter has it. What is asked for at one time goes to the thread together, and what it has done comes back
/// together: to wake a thread costs as much as to write some thousand points.
#[derive(Debug)]
pub(crate) struct LogHandle {
    found: Vec<LogRange>,
    tried: Vec<LogRange>,
    end: LogPosition,
    replay: Replay,
    /// Requests that were handed over, and not told of yet.
    waiting: u64,
    /// What the thread does not know of yet.
    asked: Vec<Command>,
    /// What was done, and not told yet.
    done: VecDeque<LogEvent>,
    /// `None` once it is dropped.
    commands: Option<Sender<Vec<Command>>>,
    /// Parked while it waits. (A channel that is waited for wakes under a lock, for which the thread waits at once where it
    /// is woken on the same core.)
    thread: Thread,
    events: UnboundedReceiver<Vec<LogEvent>>,
}

/// What a log's thread has, which ends when the handle is dropped.
struct LogThread {
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

/// A handle, and the thread that works for it.
///
/// # Errors
/// What the kernel says where there is no thread to be had.
pub(crate) fn spawn(
    log: Log,
    settings: Settings,
    replay: Replay,
    warnings: Warnings,
) -> io::Result<(LogHandle, JoinHandle<()>)> {
    let (commands, to_do) = std::sync::mpsc::channel();
    let (tell, events) = tokio::sync::mpsc::unbounded_channel();
    let (found, tried) = (log.cursor().pending.clone(), log.cursor().tried.clone());
    let end = log.cursor().end;
    let worker = LogThread {
        log,
        settings,
        commands: to_do,
        events: tell,
        last_sync: Instant::now(),
        is_failing: false,
        is_full: false,
        warnings,
    };
    let spawned = std::thread::Builder::new().name("storage".into());
    let spawned = spawned.spawn(|| worker.run())?;
    let handle = LogHandle {
        found,
        tried,
        end,
        replay,
        waiting: 0,
        asked: Vec::new(),
        done: VecDeque::new(),
        commands: Some(commands),
        thread: spawned.thread().clone(),
        events,
    };
    Ok((handle, spawned))
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
        let append = Command::Append(at, request.to_vec());
        if self.waiting > MAX_WAITING {
            self.refuse([append]);
        } else {
            self.asked.push(append);
        }
        at
    }

    fn read(&mut self, range: LogRange, points: u64) {
        self.asked.push(Command::Read(range, points));
    }

    fn keep(&mut self, ranges: Vec<LogRange>, tried: Vec<LogRange>, is_told: bool) {
        self.asked.push(Command::Keep {
            ranges,
            tried,
            is_told,
        });
    }

    async fn event(&mut self) -> LogEvent {
        self.ask();
        let event = loop {
            if let Some(event) = self.done.pop_front() {
                break event;
            }
            match self.events.recv().await {
                Some(events) => self.done.extend(events),
                None => std::future::pending().await,
            }
        };
        if matches!(event, LogEvent::Appended { .. }) {
            self.waiting -= 1;
        }
        event
    }
}

impl LogHandle {
    /// Lets the thread know what is asked for.
    fn ask(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let asked = std::mem::take(&mut self.asked);
        let sent = self.commands.as_ref().map(|it| it.send(asked));
        if let Some(Err(SendError(commands))) = sent {
            self.refuse(commands);
        }
        self.thread.unpark();
    }

    /// Nobody works on these: that is told behind what was done before.
    fn refuse(&mut self, commands: impl IntoIterator<Item = Command>) {
        while let Ok(events) = self.events.try_recv() {
            self.done.extend(events);
        }
        let refused = commands.into_iter().filter_map(Command::refused);
        self.done.extend(refused);
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.ask();
        self.commands = None;
        self.thread.unpark();
    }
}

impl Command {
    /// What is told of it where nobody works on it.
    fn refused(self) -> Option<LogEvent> {
        match self {
            Command::Append(at, _) => Some(LogEvent::Appended {
                at,
                is_stored: false,
            }),
            Command::Read(range, _) => Some(LogEvent::Read {
                requests: Vec::new(),
                next: range.end,
                thinned: 0,
            }),
            Command::Keep { is_told, .. } => is_told.then_some(LogEvent::Kept),
        }
    }
}

impl LogThread {
    /// Works until the handle is dropped, and closes the log.
    fn run(mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_thread_has_ended_all_that_is_asked_for_is_answered_and_nothing_else() {
        let (commands, _) = std::sync::mpsc::channel();
        let (_tell, events) = tokio::sync::mpsc::unbounded_channel();
        let mut handle = LogHandle {
            found: Vec::new(),
            tried: Vec::new(),
            end: LogPosition::default(),
            replay: Replay::Oldest,
            waiting: 0,
            asked: Vec::new(),
            done: VecDeque::new(),
            commands: Some(commands),
            thread: std::thread::current(),
            events,
        };
        let first = handle.append(&[]);
        handle.keep(Vec::new(), Vec::new(), false);
        handle.read(first..handle.end(), 1);
        handle.keep(Vec::new(), Vec::new(), true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut event = || runtime.block_on(handle.event());
        assert!(
            matches!(event(), LogEvent::Appended { at, is_stored: false } if at == first),
            "it is in memory only"
        );
        assert!(
            matches!(event(), LogEvent::Read { requests, next, .. } if requests.is_empty() && next > first)
        );
        assert!(
            matches!(event(), LogEvent::Kept),
            "of the one that asked for it"
        );
        assert!(handle.done.is_empty());
    }
}
