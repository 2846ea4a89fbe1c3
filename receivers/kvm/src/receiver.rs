//! The receiver's task: ticks, and what the reading thread gives. It never blocks.

use std::sync::mpsc as blocking;
use std::time::Duration;

use pipeline::telemetry::{Counter, Counters};
use pipeline::{Error, Inspection, Outlet, Result, Shutdown, Ticks};
use tokio::sync::mpsc;

use crate::sweeper::{Sweeper, Swept};

/// How long the sweep that is under way at the shutdown is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The state of the task.
#[derive(Debug)]
pub(crate) struct KvmTask {
    requests: blocking::Sender<u64>,
    swept: mpsc::Receiver<Swept>,
    counters: Counters,
    inspection: Option<Inspection>,
}

impl KvmTask {
    /// Starts the reading thread; nothing is read yet.
    pub(crate) fn start(
        make: impl FnOnce() -> Sweeper + Send + 'static,
        tick: Duration,
        counters: Counters,
        inspection: Option<Inspection>,
    ) -> Result<KvmTask> {
        let (requests, requested) = blocking::channel();
        let (done, swept) = mpsc::channel(1);
        let read = move || {
            let mut sweeper = make();
            for number in requested {
                if done.blocking_send(sweeper.sweep(number, tick)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kvm".into()).spawn(read);
        // It ends when nobody asks any more; where the kernel does not answer it, nobody waits for it.
        drop(thread.map_err(Error::new)?);
        Ok(KvmTask {
            requests,
            swept,
            counters,
            inspection,
        })
    }

    /// Runs until the ticks end. A sweep that is under way then is still sent.
    pub(crate) async fn run(
        mut self,
        mut ticks: Ticks,
        mut out: Outlet,
        shutdown: Shutdown,
    ) -> Result<()> {
        let mut is_under_way = false;
        let mut is_ending = false;
        let mut shutdown = std::pin::pin!(shutdown.wait());
        loop {
            if is_ending && !is_under_way {
                return Ok(());
            }
            tokio::select! {
                biased;
                swept = self.swept.recv() => {
                    let broken_down = "the thread that reads KVM's statistics has broken down";
                    let swept = swept.ok_or_else(|| Error::new(broken_down))?;
                    is_under_way = false;
                    self.counters.record(Counter::SWEEPS, 1);
                    if let Some(inspection) = &self.inspection {
                        for inspected in swept.inspected {
                            inspection.say(inspected).await;
                        }
                    }
                    if let Some(report) = swept.startup {
                        out.report_startup(report);
                    }
                    if !swept.batches.is_empty() && out.send_together(swept.batches).await.is_err() {
                        return Ok(());
                    }
                }
                () = &mut shutdown, if !is_ending => is_ending = true,
                () = tokio::time::sleep(PATIENCE), if is_ending => return Ok(()),
                tick = ticks.next(), if !is_under_way && !is_ending => match tick {
                    Some(number) => is_under_way = self.requests.send(number).is_ok(),
                    None => is_ending = true,
                },
            }
        }
    }
}
