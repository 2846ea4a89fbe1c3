//! Whether something changes at a path, by inotify: its file, or a link that it leads through, as Kubernetes has them for
//! its Secrets.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pipeline::RELOAD_INTERVAL;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::links::entries;

/// What comes together is one change; and what changes all the time is not looked at all the time.
const SETTLE: Duration = Duration::from_millis(100);

/// The changes from a moment on.
pub(super) struct Changes {
    inotify: Option<OwnedFd>,
    /// The names that matter in a directory, by its watch. A file has none.
    names: HashMap<i32, HashSet<OsString>>,
    /// Something is not watched.
    is_partial: bool,
}

impl Changes {
    /// At these paths, from now on.
    pub(super) fn of(paths: &[PathBuf]) -> Changes {
        let mut changes = Changes {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            names: HashMap::new(),
            is_partial: false,
        };
        for path in paths {
            for entry in entries(path) {
                changes.add_entry(&entry);
            }
            // Who has it by another mount may write into it as it is.
            changes.add(path, WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB);
        }
        changes
    }

    fn add_entry(&mut self, entry: &Path) {
        let events = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let (Some(directory), Some(name)) = (entry.parent(), entry.file_name()) else {
            return;
        };
        match self.add(directory, events) {
            Some(watch) => {
                let names = self.names.entry(watch).or_default();
                names.insert(name.to_owned());
            }
            None => self.is_partial = true,
        }
    }

    fn add(&self, path: &Path, events: WatchFlags) -> Option<i32> {
        inotify::add_watch(self.inotify.as_ref()?, path, events).ok()
    }

    /// Waits until there is one, for so long at the most.
    pub(super) fn wait(&self, at_most: Option<Duration>) {
        let at_most = match at_most {
            None if self.is_partial => Some(RELOAD_INTERVAL),
            at_most => at_most.map(|it| it.max(SETTLE)),
        };
        let Some(inotify) = &self.inotify else {
            return sleep(at_most.unwrap_or(RELOAD_INTERVAL));
        };
        let end = at_most.and_then(|it| Instant::now().checked_add(it));
        loop {
            let left = end.map(|it| it.saturating_duration_since(Instant::now()));
            let left = left.and_then(|it| Timespec::try_from(it).ok());
            if poll(&mut [PollFd::new(inotify, PollFlags::IN)], left.as_ref()) == Ok(0) {
                return;
            }
            sleep(SETTLE);
            if self.has_any(inotify) {
                return;
            }
        }
    }

    /// Whether there is one that matters among those that were not read yet.
    fn has_any(&self, inotify: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut has_any = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let is_overflow = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    let name = event.file_name();
                    let name = name.map(|it| OsStr::from_bytes(it.to_bytes()));
                    let names = self.names.get(&event.wd());
                    let matters = name.zip(names).is_none_or(|(it, names)| names.contains(it));
                    has_any |= is_overflow || matters;
                }
                Err(Errno::INTR) => {}
                Err(_) => return has_any,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_ends_the_wait_and_what_else_happens_in_the_directory_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, "1").unwrap();
        let changes = Changes::of(std::slice::from_ref(&path));
        fs::write(directory.path().join("other"), "1").unwrap();
        let inotify = changes.inotify.as_ref().unwrap();
        assert!(!changes.has_any(inotify));
        fs::write(directory.path().join("new"), "2").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        changes.wait(None);
        let changes = Changes::of(std::slice::from_ref(&path));
        fs::remove_file(&path).unwrap();
        changes.wait(None);
        let changes = Changes::of(std::slice::from_ref(&path));
        fs::write(&path, "3").unwrap();
        changes.wait(None);
    }
}
