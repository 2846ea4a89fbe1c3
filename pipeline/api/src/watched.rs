//! What files of the configuration hold, taken up anew when they change while the program runs: certificates, keys, tokens.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{MAX_FILE_BYTES, read_file, read_value};
use crate::error::Result;

/// How often files are looked at by the clock, where nobody says otherwise: what inotify tells is noticed at once.
pub const RELOAD_INTERVAL: Duration = Duration::from_mins(1);

/// A value that is made of files: [of the newest](crate::Context::watch) that could be used.
pub struct Watched<T> {
    value: Mutex<Arc<T>>,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Watched<T> {
        let value = Mutex::new(Arc::new(value));
        Watched { value }
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&value)
    }

    pub(crate) fn set(&self, value: T) {
        let value = Arc::new(value);
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

/// Without the value, which may be a secret.
impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// Reads files that the configuration names, and knows afterwards which they were and whether something else is in them.
#[derive(Debug, Default)]
pub struct FileReader {
    paths: Vec<PathBuf>,
    contents: DefaultHasher,
}

impl FileReader {
    /// Reads a regular file of 16 MiB at the most.
    ///
    /// # Errors
    /// What the operating system says or what it is instead, the path first.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = read_file(path, MAX_FILE_BYTES);
        self.note(path, bytes.as_deref().ok());
        bytes.map_err(|error| cannot_read(path, &error))
    }

    /// Reads a file of a value, as `${file:path}` has it.
    ///
    /// # Errors
    /// What the operating system says or what it is instead, the path first.
    pub fn read_value(&mut self, path: &Path) -> io::Result<String> {
        let text = read_value(path);
        self.note(path, text.as_ref().ok().map(String::as_bytes));
        text.map_err(|error| cannot_read(path, &error))
    }

    fn note(&mut self, path: &Path, contents: Option<&[u8]>) {
        self.paths.push(path.to_owned());
        contents.hash(&mut self.contents);
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Of all that was read: the same where nothing has changed.
    pub(crate) fn contents(&self) -> u64 {
        self.contents.finish()
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("cannot read {}: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// Files that make up a value, to be looked at again and again.
pub struct FileWatch {
    component: Arc<str>,
    interval: Duration,
    paths: Vec<PathBuf>,
    look: Box<dyn FnMut() -> Result<bool> + Send>,
}

impl FileWatch {
    /// Of a value that `load` has made of what was read.
    pub(crate) fn new<T: Send + Sync + 'static>(
        component: Arc<str>,
        interval: Duration,
        read: &FileReader,
        value: Arc<Watched<T>>,
        load: impl Fn(&mut FileReader) -> Result<T> + Send + 'static,
    ) -> FileWatch {
        let mut contents = read.contents();
        let look = move || {
            let mut reader = FileReader::default();
            let loaded = load(&mut reader);
            if reader.contents() == contents {
                return Ok(false);
            }
            value.set(loaded?);
            contents = reader.contents();
            Ok(true)
        };
        FileWatch {
            component,
            interval,
            paths: read.paths().to_vec(),
            look: Box::new(look),
        }
    }

    /// The component that they are of.
    #[must_use]
    pub fn component(&self) -> &Arc<str> {
        &self.component
    }

    /// How often they are to be looked at at the least; zero: only when they change.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Where they are.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads the files, and makes the value anew where something else is in them: whether it did.
    ///
    /// # Errors
    /// Why they cannot be used as they are now. The value stays what it was.
    pub fn look(&mut self) -> Result<bool> {
        (self.look)()
    }
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("FileWatch");
        out.field("paths", &self.paths).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Error;
    use crate::telemetry::Counters;
    use crate::{Attributes, Context};

    #[test]
    fn a_value_is_that_of_the_newest_files_that_can_be_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        let of = path.clone();
        let load = move |files: &mut FileReader| {
            let text = files.read_value(&of).map_err(Error::new)?;
            text.parse::<u32>().map_err(Error::new)
        };
        let context = Context::new(Arc::new(Attributes::default()), Counters::new("x"), "/");
        assert!(context.watch(RELOAD_INTERVAL, load.clone()).is_err());
        assert!(context.take_watches().is_empty());
        fs::write(&path, "1\n").unwrap();
        let value = context.watch(RELOAD_INTERVAL, load).unwrap();
        let mut watches = context.take_watches();
        let [watch] = &mut watches[..] else {
            panic!("one")
        };
        assert_eq!(watch.paths(), std::slice::from_ref(&path));
        assert!(!watch.look().unwrap());
        fs::write(&path, "half").unwrap();
        assert!(watch.look().is_err() && watch.look().is_err());
        assert_eq!(*value.get(), 1);
        fs::write(&path, "1\n").unwrap();
        assert!(!watch.look().unwrap(), "as before");
        fs::remove_file(&path).unwrap();
        assert!(watch.look().unwrap_err().to_string().contains("number"));
        fs::write(&path, "2\n").unwrap();
        assert!(watch.look().unwrap());
        assert_eq!(*value.get(), 2);
        assert_eq!(format!("{value:?}"), "Watched { .. }");
    }

    #[test]
    fn what_is_made_of_no_file_is_not_watched() {
        let context = Context::new(Arc::new(Attributes::default()), Counters::new("x"), "/");
        let value = context.watch(RELOAD_INTERVAL, |_| Ok(1)).unwrap();
        assert_eq!(*value.get(), 1);
        assert!(context.take_watches().is_empty());
    }
}
