//! The signals that tell the program to end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// For so long after the first signal another one is the same wish: coreutils' `timeout` sends two, and so does what
/// passes on a signal that its whole process group has got.
const SAME_WISH: Duration = Duration::from_secs(1);

/// SIGINT, SIGTERM and SIGHUP. They are heard from when this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it was ignored when the program started, as below `nohup`: it stays so.
    hangup: Option<Signal>,
    first: Option<Instant>,
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// End.
    End,
    /// End at once.
    EndNow,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Signals> {
        let is_ignored = is_hangup_ignored();
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: (!is_ignored)
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
            first: None,
        })
    }

    /// Waits for the next signal. May be cancelled.
    pub(crate) async fn next(&mut self) -> Wish {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
        let now = Instant::now();
        let first = *self.first.get_or_insert(now);
        if now.duration_since(first) < SAME_WISH {
            Wish::End
        } else {
            Wish::EndNow
        }
    }
}

/// Whether the program was started with SIGHUP ignored.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    has_hangup(&status)
}

/// Whether SIGHUP is in `SigIgn`, a mask in which bit 0 is signal 1
/// ([proc_pid_status(5)](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html)).
fn has_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_tells_of_sighup() {
        assert!(has_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!has_hangup("SigIgn:\t0000000000001000\nSigCgt:\t01\n"));
        assert!(!has_hangup(""));
    }
}
