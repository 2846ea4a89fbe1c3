//! A log as its exporter has it: what is asked for goes to the log's thread.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{SendError, Sender};
use std::thread::{JoinHandle, Thread};

use pipeline::telemetry::Warnings;
use pipeline::{Batch, LogEvent, LogPosition, LogRange, Replay, RequestLog, async_trait, points};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::log::{Log, Settings};
use crate::thread::LogThread;

/// So many requests may wait to be written, and so many points: a disk that is slower does not get more.
const MAX_WAITING: usize = 1024;
const MAX_POINTS_WAITING: u64 = 1 << 22;

/// What a log is asked for.
#[derive(Debug)]
pub(crate) enum Command {
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
    /// The points of each request that was handed over, and was not told of yet.
    waiting: VecDeque<u64>,
    /// All of them.
    points_waiting: u64,
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
    let worker = LogThread::new(log, settings, to_do, tell, warnings);
    let spawned = std::thread::Builder::new().name("storage".into());
    let spawned = spawned.spawn(|| worker.run())?;
    let handle = LogHandle {
        found,
        tried,
        end,
        replay,
        waiting: VecDeque::new(),
        points_waiting: 0,
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
        let (at, count) = (self.end, points(request));
        self.end = at.after(count);
        let has_room = self.waiting.len() < MAX_WAITING
            && (self.waiting.is_empty() || self.points_waiting + count <= MAX_POINTS_WAITING);
        self.waiting.push_back(count);
        self.points_waiting += count;
        let append = Command::Append(at, request.to_vec());
        if has_room {
            self.asked.push(append);
        } else {
            self.refuse([append]);
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
            // Which one does not matter: each is told of once.
            self.points_waiting -= self.waiting.pop_front().unwrap_or_default();
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
            waiting: VecDeque::new(),
            points_waiting: 0,
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
