//! What the service gives to a component when it is built.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::blocking_threads::BlockingThreads;
use crate::budget::Budget;
use crate::build_info::BuildInfo;
use crate::color::ColorChoice;
use crate::config::InitialDelay;
use crate::data::{Attributes, Scope};
use crate::error::Result;
use crate::remark::Remark;
use crate::rights::{Needs, Right};
use crate::telemetry::{ComponentKind, Counted, Counters, RuleLog, RuleUse};
use crate::watched::{FileReader, FileWatch, Watched};

/// Descriptors to keep, where nobody says how many the process may have.
const DEFAULT_FD_BUDGET: usize = 256;

/// Half of what every kernel allows a user.
const DEFAULT_WATCH_BUDGET: usize = 4096;

/// Given to [`Component::build`](crate::Component::build).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The component's id in the configuration, `type` or `type/name`.
    pub id: Arc<str>,
    /// The crate that the component is from, and its version.
    pub scope: Arc<Scope>,
    /// The resource that is observed: this host, and what the configuration says of it.
    pub resource: Arc<Attributes>,
    /// Where this component counts.
    pub counters: Counters,
    /// What all components count, for who tells of the program itself.
    pub counted: Counted,
    /// The rules of all processors, for the warnings of those that match nothing.
    pub rules: RuleLog,
    /// The distribution that runs.
    pub build_info: BuildInfo,
    /// The descriptors that may be kept open between sweeps, all receivers together.
    pub fd_budget: Budget,
    /// The inotify watches that may be kept, likewise.
    pub watch_budget: Budget,
    /// The threads for what may block, likewise.
    pub blocking_threads: BlockingThreads,
    /// When to colour what is written for people.
    pub color: ColorChoice,
    host_root: PathBuf,
    is_once: bool,
    /// The part of its longest time that a random delay takes.
    random_part: Arc<OnceLock<f64>>,
    read: Arc<Mutex<Vec<PathBuf>>>,
    watches: Arc<Mutex<Vec<FileWatch>>>,
    remarks: Arc<Mutex<Vec<Remark>>>,
    needs: Needs,
}

impl Context {
    /// A context. `host_root` is where the host's file system is seen from here: `/`, or a mount in a container.
    #[must_use]
    pub fn new(
        resource: Arc<Attributes>,
        counters: Counters,
        host_root: impl Into<PathBuf>,
    ) -> Context {
        let id = Arc::default();
        Context {
            id,
            scope: Arc::default(),
            resource,
            counted: Counted::new(counters.clone()),
            counters,
            rules: RuleLog::default(),
            build_info: BuildInfo::default(),
            fd_budget: Budget::new(DEFAULT_FD_BUDGET),
            watch_budget: Budget::new(DEFAULT_WATCH_BUDGET),
            blocking_threads: BlockingThreads::default(),
            color: ColorChoice::default(),
            host_root: host_root.into(),
            is_once: false,
            random_part: Arc::default(),
            read: Arc::default(),
            watches: Arc::default(),
            remarks: Arc::default(),
            needs: Needs::default(),
        }
    }

    /// The same, of this distribution.
    #[must_use]
    pub fn with_build_info(self, build_info: BuildInfo) -> Context {
        Context { build_info, ..self }
    }

    /// The same, of a program with these components: their kinds and ids.
    #[must_use]
    pub fn with_components(self, components: Vec<(ComponentKind, Arc<str>)>) -> Context {
        let counted = self.counted.with_components(components);
        Context { counted, ..self }
    }

    /// The same for components whose own counts are none of the program's: those that tell of it.
    #[must_use]
    pub fn uncounted(&self, counters: Counters) -> Context {
        Context {
            counters,
            ..self.clone()
        }
    }

    /// The same, with so many descriptors to keep.
    #[must_use]
    pub fn with_fd_budget(self, fd_budget: Budget) -> Context {
        Context { fd_budget, ..self }
    }

    /// The same, with so many inotify watches to keep.
    #[must_use]
    pub fn with_watch_budget(self, watch_budget: Budget) -> Context {
        Context {
            watch_budget,
            ..self
        }
    }

    /// The same, coloured so.
    #[must_use]
    pub fn with_color(self, color: ColorChoice) -> Context {
        Context { color, ..self }
    }

    /// The same for one sweep only.
    #[must_use]
    pub fn with_once(self, is_once: bool) -> Context {
        Context { is_once, ..self }
    }

    /// The same for one component.
    #[must_use]
    pub fn of(&self, id: &str, scope: Scope) -> Context {
        Context {
            id: id.into(),
            scope: Arc::new(scope),
            counters: self.counters.of(id),
            remarks: Arc::default(),
            needs: Needs::default(),
            ..self.clone()
        }
    }

    /// A rule of this component, which is named after the first scan if it has matched nothing by then.
    #[must_use]
    pub fn rule(&self, rule: RuleUse) -> Arc<RuleUse> {
        self.rules.rule(&self.id, rule)
    }

    /// Remarks something while this component is built.
    pub fn remark(&self, remark: Remark) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.push(remark);
    }

    /// What this component has remarked.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        let remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.clone()
    }

    /// Says what this component needs of the system while it runs; nothing is `needs(Vec::new)`. It is asked once, when all
    /// is built and before anything runs, and may look at the file system then. What [`Context::watch`] reads again need not be
    /// named. Of a receiver, an exporter or an extension that has said nothing nobody knows what it needs: then
    /// `service.sandbox: auto` takes away next to nothing of the whole program.
    pub fn needs(&self, rights: impl FnOnce() -> Vec<Right> + Send + 'static) {
        self.needs.add(rights);
    }

    /// What this component has said that it needs, for who runs it.
    #[must_use]
    pub fn said_needs(&self) -> Needs {
        self.needs.clone()
    }

    /// Reads a file that the configuration names. By this and by [`Context::watch`] a `build` opens all that it may, so that
    /// `validate` knows the paths. It is a regular file of 16 MiB at the most; nothing else is read, or waited for.
    ///
    /// # Errors
    /// What the operating system says or what it is instead, the path first.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut reader = FileReader::default();
        let bytes = reader.read(path);
        self.note(&reader);
        bytes
    }

    /// Makes a value of files that may change while the program runs, which then makes it anew: when inotify tells, and at
    /// each interval, where that is not zero. Files that cannot be used any more are warned of, and leave the value as it is.
    ///
    /// # Errors
    /// What `load` says of the files as they are now.
    pub fn watch<T: Send + Sync + 'static>(
        &self,
        interval: Duration,
        load: impl Fn(&mut FileReader) -> Result<T> + Send + 'static,
    ) -> Result<Arc<Watched<T>>> {
        let mut reader = FileReader::default();
        let loaded = load(&mut reader);
        self.note(&reader);
        let value = Arc::new(Watched::new(loaded?));
        if !reader.paths().is_empty() {
            let id = Arc::clone(&self.id);
            let watch = FileWatch::new(id, interval, &reader, Arc::clone(&value), load);
            self.lock_watches().push(watch);
        }
        Ok(value)
    }

    /// The files to be looked at again, for who does that.
    #[must_use]
    pub fn take_watches(&self) -> Vec<FileWatch> {
        std::mem::take(&mut self.lock_watches())
    }

    fn lock_watches(&self) -> MutexGuard<'_, Vec<FileWatch>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, reader: &FileReader) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.extend_from_slice(reader.paths());
    }

    /// The paths that were read by [`Context::read`] and [`Context::watch`].
    #[must_use]
    pub fn paths_read(&self) -> Vec<PathBuf> {
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A path of the host as it is reached from here. A relative one is relative to the working directory.
    #[must_use]
    pub fn host_path(&self, path: &Path) -> PathBuf {
        path.strip_prefix("/")
            .map_or_else(|_| path.to_owned(), |below| self.host_root.join(below))
    }

    /// Whether there is one sweep only (`--once`): nothing listens then, since nobody would come in time.
    #[must_use]
    pub fn is_once(&self) -> bool {
        self.is_once
    }

    /// How long a receiver waits before its first sweep. What is random of it is drawn once, and logged then: all receivers of
    /// a program wait for the same part of their longest time, so that what they sweep together still goes out together.
    /// With `--once` nobody waits for chance.
    #[must_use]
    pub fn initial_delay(&self, delay: InitialDelay) -> Duration {
        if self.is_once && matches!(delay, InitialDelay::Random { .. }) {
            return Duration::ZERO;
        }
        let draw = || {
            let part = fastrand::f64();
            let component = &*self.id;
            let first_sweep_in = delay.at(|| part);
            tracing::info!(component, ?first_sweep_in, "`initial_delay` is random");
            part
        };
        delay.at(|| *self.random_part.get_or_init(draw))
    }

    /// Whether the host is seen through this process's own root, and not through a mount in a container.
    #[must_use]
    pub fn is_own_root(&self) -> bool {
        self.host_root == Path::new("/")
    }
}
