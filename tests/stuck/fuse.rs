//! A file system of the test's own, whose files and directories can be made to hang.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEntry, ReplyOpen, Request,
};

/// Files of the value 1, mounted while this lives.
pub(crate) struct HangingFilesystem {
    pub(crate) directory: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    _session: BackgroundSession,
}

#[derive(Default)]
struct State {
    /// Paths below the root, by their numbers from 1: the root, which is empty, and all that came since.
    paths: Vec<String>,
    numbers: HashMap<String, u64>,
    files: BTreeSet<String>,
    hangs: BTreeSet<String>,
    /// Directories that give `.` for ever.
    endless: BTreeSet<String>,
    /// Files that answer so much later.
    delays: BTreeMap<String, Duration>,
    /// Files that answer so.
    errors: BTreeMap<String, Errno>,
    /// Directories that give a hundred thousand entries, one after the other.
    slow: BTreeSet<String>,
    reads: BTreeMap<String, u64>,
    /// What was asked meanwhile.
    held: HashMap<String, Vec<Held>>,
}

enum Held {
    File(ReplyData),
    Directory(u64, ReplyDirectory),
}

impl HangingFilesystem {
    /// Mounts it, with these files; `None` where that cannot be done.
    pub(crate) fn mount(files: &[String]) -> Option<HangingFilesystem> {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::<Mutex<State>>::default();
        state.lock().unwrap().number("");
        files
            .iter()
            .for_each(|file| state.lock().unwrap().add(file));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO];
        let system = System(Arc::clone(&state));
        let session = fuser::spawn_mount(system, directory.path(), &config).ok()?;
        Some(HangingFilesystem {
            directory,
            state,
            _session: session,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// A file that was not there.
    pub(crate) fn add(&self, file: &str) {
        self.state.lock().unwrap().add(file);
    }

    /// A file that goes, and its directory with the last one.
    pub(crate) fn remove(&self, file: &str) {
        self.state.lock().unwrap().files.remove(file);
    }

    /// This file or directory hangs from now on.
    pub(crate) fn hang(&self, path: &str) {
        self.state.lock().unwrap().hangs.insert(path.into());
    }

    /// This file answers so much later from now on.
    pub(crate) fn delay(&self, file: &str, delay: Duration) {
        self.state.lock().unwrap().delays.insert(file.into(), delay);
    }

    /// This file cannot be read from now on, until it is `mend`ed.
    pub(crate) fn fail(&self, file: &str, errno: Errno) {
        self.state.lock().unwrap().errors.insert(file.into(), errno);
    }

    /// It can be read again. How often it had been read by then, or tried to be.
    pub(crate) fn mend(&self, file: &str) -> u64 {
        self.state.lock().unwrap().errors.remove(file);
        self.reads(file)
    }

    /// This directory gives `.` for ever, until it `answer`s.
    pub(crate) fn list_for_ever(&self, path: &str) {
        self.state.lock().unwrap().endless.insert(path.into());
    }

    /// This directory gives a hundred thousand entries slowly, until it `answer`s.
    pub(crate) fn list_slowly(&self, path: &str) {
        self.state.lock().unwrap().slow.insert(path.into());
    }

    /// It answers again, also what was asked meanwhile.
    pub(crate) fn answer(&self, path: &str) {
        let mut state = self.state.lock().unwrap();
        state.hangs.remove(path);
        state.endless.remove(path);
        state.slow.remove(path);
        for held in state.held.remove(path).unwrap_or_default() {
            match held {
                Held::File(reply) => reply.data(b"1\n"),
                Held::Directory(offset, reply) => state.list(path, offset, reply),
            }
        }
    }

    /// All that hangs answers.
    pub(crate) fn answer_all(&self) {
        let hangs = self.state.lock().unwrap().hangs.clone();
        hangs.iter().for_each(|path| self.answer(path));
    }

    /// How often a file was read, or tried to be.
    pub(crate) fn reads(&self, file: &str) -> u64 {
        let state = self.state.lock().unwrap();
        state.reads.get(file).copied().unwrap_or_default()
    }

    /// How many wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap().held.values().map(Vec::len).sum()
    }
}

impl State {
    fn add(&mut self, file: &str) {
        self.files.insert(file.into());
        let ends = file.match_indices('/').map(|(end, _)| end);
        for end in ends.chain([file.len()]) {
            self.number(&file[..end]);
        }
    }

    /// The path has a number from now on.
    fn number(&mut self, path: &str) {
        if !self.numbers.contains_key(path) {
            self.paths.push(path.into());
            self.numbers.insert(path.into(), self.paths.len() as u64);
        }
    }

    fn path(&self, number: INodeNo) -> &str {
        &self.paths[usize::try_from(u64::from(number)).unwrap() - 1]
    }

    fn attributes(&self, path: &str) -> Option<FileAttr> {
        let number = *self.numbers.get(path)?;
        let below = |file: &String| {
            file.strip_prefix(path)
                .is_some_and(|it| it.starts_with('/'))
        };
        let (kind, perm) = if self.files.contains(path) {
            (FileType::RegularFile, 0o444)
        } else if path.is_empty() || self.files.iter().any(below) {
            (FileType::Directory, 0o555)
        } else {
            return None;
        };
        Some(FileAttr {
            ino: INodeNo(number),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn list(&self, path: &str, offset: u64, mut reply: ReplyDirectory) {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let names = self.paths[1..].iter().filter_map(|it| {
            let name = it.strip_prefix(&prefix)?;
            (!name.contains('/')).then_some((name, self.attributes(it)?))
        });
        for (next, (name, it)) in (1..).zip(names).skip(usize::try_from(offset).unwrap()) {
            if reply.add(it.ino, next, it.kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

/// As debugfs does: no sizes, and nothing is remembered by the kernel.
struct System(Arc<Mutex<State>>);

impl Filesystem for System {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.0.lock().unwrap();
        let path = format!("{}/{}", state.path(parent), name.to_str().unwrap());
        match state.attributes(path.trim_start_matches('/')) {
            Some(found) => reply.entry(&Duration::ZERO, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let state = self.0.lock().unwrap();
        let found = state.attributes(state.path(number)).unwrap();
        reply.attr(&Duration::ZERO, &found);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.0.lock().unwrap();
        let path = state.path(number).to_owned();
        *state.reads.entry(path.clone()).or_default() += 1;
        if state.hangs.contains(&path) {
            state.held.entry(path).or_default().push(Held::File(reply));
        } else if let Some(errno) = state.errors.get(&path) {
            reply.error(*errno);
        } else if let Some(delay) = state.delays.get(&path).copied() {
            // The delay is this file system's own, and nobody else's.
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                reply.data(if offset > 0 { b"" } else { b"1\n" });
            });
        } else {
            reply.data(if offset > 0 { b"" } else { b"1\n" });
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut state = self.0.lock().unwrap();
        let path = state.path(number).to_owned();
        if state.hangs.contains(&path) {
            let held = Held::Directory(offset, reply);
            state.held.entry(path).or_default().push(held);
        } else if state.endless.contains(&path) {
            let _ = reply.add(number, offset + 1, FileType::Directory, ".");
            reply.ok();
        } else if state.slow.contains(&path) {
            drop(state);
            // The delay is this file system's own, and nobody else's.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(2));
                if offset < 100_000 {
                    let _ = reply.add(
                        number,
                        offset + 1,
                        FileType::RegularFile,
                        format!("e{offset}"),
                    );
                }
                reply.ok();
            });
        } else {
            state.list(&path, offset, reply);
        }
    }
}
