#![doc = include_str!("../README.md")]

mod codec;
mod config;
mod cursor;
mod directory;
#[cfg(any(test, fuzzing))]
#[allow(clippy::missing_panics_doc)] // its functions are assertions
pub mod fuzzing;
mod handle;
mod inspect;
mod log;
mod segment;
mod thread;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pipeline::telemetry::Warnings;
use pipeline::{
    Batch, Component, Context, Error, Extension, Host, RequestLog, Result, Right, Shutdown,
    Storage, StoredLog, WhenFull, async_trait,
};

pub use config::Config;

use crate::log::{Log, Settings};

/// Keeps the queues of exporters on disk.
#[derive(Debug)]
pub struct FileStorage {
    directory: Arc<Directory>,
    create: bool,
    permissions: u32,
}

/// The directory, and who works in it.
struct Directory {
    path: PathBuf,
    settings: Settings,
    replay: pipeline::Replay,
    warnings: Warnings,
    /// Held from the start to the end.
    lock: Mutex<Option<File>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

pipeline::register! { extension FileStorage }

impl Component for FileStorage {
    const TYPE: &'static str = "file_storage";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<FileStorage> {
        let settings = Settings {
            max_size: config.size()?,
            max_age: config.max_age.0,
            fsync: config.fsync,
        };
        let directory = config.directory.clone();
        context.needs(move || vec![Right::Write(directory)]);
        Ok(FileStorage {
            create: config.create_directory,
            permissions: config.permissions()?,
            directory: Arc::new(Directory {
                path: config.directory,
                settings,
                replay: config.replay.into(),
                warnings: Warnings::new(context.counters.component()),
                lock: Mutex::default(),
                threads: Mutex::default(),
            }),
        })
    }
}

#[async_trait]
impl Extension for FileStorage {
    async fn start(&self, _: &Host) -> Result<()> {
        let path = &self.directory.path;
        let lock = directory::take_hold(path, self.create, self.permissions);
        *locked(&self.directory.lock) = Some(lock.map_err(Error::new)?);
        Ok(())
    }

    fn storage(&self) -> Option<Arc<dyn Storage>> {
        Some(Arc::clone(&self.directory) as Arc<dyn Storage>)
    }

    /// Everything else has ended: what it handed over last is written yet.
    async fn run(&self, end: Shutdown) -> Result<()> {
        end.wait().await;
        let threads = std::mem::take(&mut *locked(&self.directory.threads));
        let ended =
            tokio::task::spawn_blocking(|| threads.into_iter().for_each(|it| drop(it.join())));
        let _ = ended.await;
        locked(&self.directory.lock).take();
        Ok(())
    }
}

impl Storage for Directory {
    fn open(&self, exporter: &str, when_full: WhenFull) -> Result<Box<dyn RequestLog>> {
        let folder = directory::folder(&self.path, exporter);
        directory::make_folder(&folder).map_err(Error::new)?;
        let (settings, warnings) = (self.settings, self.warnings.clone());
        let log = Log::open(&folder, settings, warnings.clone(), when_full).map_err(Error::new)?;
        let spawned = handle::spawn(log, settings, self.replay, warnings);
        let (handle, thread) = spawned.map_err(Error::new)?;
        locked(&self.threads).push(thread);
        Ok(Box::new(handle))
    }

    fn directory(&self) -> &Path {
        &self.path
    }

    fn exporters(&self) -> Result<Vec<String>> {
        let all = directory::exporters(&self.path);
        all.map_err(|error| Error::new(format!("cannot read {}: {error}", self.path.display())))
    }

    fn inspect(&self, exporter: &str, visit: &mut dyn FnMut(&[Batch])) -> StoredLog {
        inspect::inspect(&self.path, exporter, visit)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// A panic elsewhere leaves it as it is.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
