//! What an extension sees of the program that it is in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::status::Status;
use crate::telemetry::{CounterValue, Counters};

/// The program as an extension sees it: what it counts, what hangs together how, how it fares. Clones are the same.
#[derive(Clone, Debug)]
pub struct Host {
    counters: Counters,
    pipelines: Arc<[PipelineShape]>,
    extensions: Arc<[String]>,
    status: Status,
    threads: Arc<[HostThread]>,
}

/// A pipeline: the ids of what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineShape {
    /// `metrics` or `metrics/<name>`.
    pub name: String,
    /// Its receivers.
    pub receivers: Vec<String>,
    /// Its processors, in order.
    pub processors: Vec<String>,
    /// Its exporters.
    pub exporters: Vec<String>,
}

impl PipelineShape {
    /// A pipeline without components.
    #[must_use]
    pub fn new(name: impl Into<String>) -> PipelineShape {
        PipelineShape {
            name: name.into(),
            ..PipelineShape::default()
        }
    }
}

impl Host {
    /// A program without pipelines, extensions and threads.
    #[must_use]
    pub fn new(counters: Counters, status: Status) -> Host {
        Host {
            counters,
            pipelines: Arc::default(),
            extensions: Arc::default(),
            status,
            threads: Arc::default(),
        }
    }

    /// The same with these pipelines.
    #[must_use]
    pub fn with_pipelines(self, pipelines: Vec<PipelineShape>) -> Host {
        let pipelines = pipelines.into();
        Host { pipelines, ..self }
    }

    /// The same with these extensions.
    #[must_use]
    pub fn with_extensions(self, ids: Vec<String>) -> Host {
        let extensions = ids.into();
        Host { extensions, ..self }
    }

    /// The same with these threads, each one the only one of its runtime.
    #[must_use]
    pub fn with_threads(self, threads: Vec<(&'static str, Handle)>) -> Host {
        let threads = threads.into_iter();
        let threads = threads.map(|(name, handle)| HostThread::new(name, handle));
        let threads = threads.collect();
        Host { threads, ..self }
    }

    /// What all components have counted.
    #[must_use]
    pub fn counters(&self) -> Vec<CounterValue> {
        self.counters.snapshot()
    }

    /// The pipelines.
    #[must_use]
    pub fn pipelines(&self) -> &[PipelineShape] {
        &self.pipelines
    }

    /// The ids of the extensions.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// How it and its components fare.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The threads that do nothing new within this time, by what they do: something blocks them. It waits no longer than it
    /// has to; to be called from another thread.
    pub async fn stalled(&self, within: Duration) -> Vec<&'static str> {
        let pings: Vec<_> = self.threads.iter().map(|it| (it.name, it.ping())).collect();
        let mut stalled = Vec::new();
        let all = async {
            for (name, mut moved) in pings {
                stalled.push(name);
                // It cannot be closed: the thread's other end is in `self`.
                let _ = moved.changed().await;
                stalled.pop();
            }
        };
        // Behind one that stalls the others are not asked: one is enough.
        let _ = timeout(within, all).await;
        stalled
    }
}

/// A thread that runs tasks, and whether it does.
struct HostThread {
    name: &'static str,
    handle: Handle,
    /// A task is on its way, so that one that stalls does not pile them up.
    is_asked: Arc<AtomicBool>,
    moved: watch::Sender<()>,
}

impl HostThread {
    fn new(name: &'static str, handle: Handle) -> HostThread {
        HostThread {
            name,
            handle,
            is_asked: Arc::default(),
            moved: watch::Sender::new(()),
        }
    }

    /// Changes once the thread has run a task.
    fn ping(&self) -> watch::Receiver<()> {
        let seen = self.moved.subscribe();
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            let (is_asked, moved) = (Arc::clone(&self.is_asked), self.moved.clone());
            self.handle.spawn(async move {
                is_asked.store(false, Ordering::Release);
                moved.send_replace(());
            });
        }
        seen
    }
}

impl fmt::Debug for HostThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_thread_that_is_blocked_stalls_until_it_is_free() {
        let one = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .build()
        };
        let (a, b) = (one().expect("a runtime"), one().expect("a runtime"));
        let threads = vec![("b", b.handle().clone()), ("a", a.handle().clone())];
        let host = Host::new(Counters::new("test"), Status::default()).with_threads(threads);
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let own = own.expect("a runtime");
        assert!(own.block_on(host.stalled(LONG)).is_empty());
        let (blocks, blocked) = mpsc::channel();
        let (free, freed) = mpsc::channel::<()>();
        b.spawn(async move {
            blocks.send(()).expect("it is waited for");
            // An error frees it too.
            let _ = freed.recv();
        });
        blocked.recv().expect("it blocks");
        for _ in 0..3 {
            let stalled = own.block_on(host.stalled(Duration::from_millis(1)));
            assert_eq!(stalled, ["b"]);
        }
        drop(free);
        assert!(own.block_on(host.stalled(LONG)).is_empty());
    }
}
