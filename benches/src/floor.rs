//! The floor: the same reads, and nothing else.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::child::cpu;

const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// A directory, held open as far as descriptors go, with its files.
struct Directory {
    path: PathBuf,
    held: Option<OwnedFd>,
    names: Vec<CString>,
    kept: Vec<OwnedFd>,
}

/// Reads every file below the directories of a list so many times: by `pread` on descriptors that are kept, as far as
/// these go, else by open, read and close below a directory that is; at the pace of the collector's sweeps, since caches
/// cool down between them. Writes down how many values it read, and their CPU time.
pub(crate) fn main(list: &str) -> ExitCode {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|it| it.parse::<usize>().ok());
    let mut argument = || arguments.next().unwrap_or(0);
    let (sweeps, keep, interval) = (argument(), argument() > 0, argument() as u64);
    let (mut held, interval) = (keepable(), Duration::from_millis(interval));
    raise_limit();
    let text = fs::read_to_string(list).expect("the list that the parent wrote");
    let mut directories: Vec<Directory> = text
        .lines()
        .map(|path| directory(Path::new(path), keep, &mut held))
        .collect();
    let mut buffer = [0; 4096];
    let mut values = 0_u64;
    let (before, start) = (cpu(), Instant::now());
    for sweep in 0..sweeps {
        let due = interval * u32::try_from(sweep).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        for Directory {
            path,
            held,
            names,
            kept,
        } in &mut directories
        {
            let opened = held.is_none().then(|| open_directory(path));
            let open = opened.as_ref().or(held.as_ref()).expect("one or the other");
            for (index, name) in names.iter().enumerate() {
                let read = if let Some(file) = kept.get(index) {
                    rustix::io::pread(file, &mut buffer, 0)
                } else {
                    rustix::fs::openat(open, name.as_c_str(), FILE, Mode::empty())
                        .and_then(|file| rustix::io::read(&file, &mut buffer))
                };
                values += u64::from(read.is_ok());
            }
        }
    }
    let _ = writeln!(std::io::stdout(), "{values} {}", cpu() - before);
    ExitCode::SUCCESS
}

/// What the collector keeps at the most: three quarters of the descriptors that a process may have.
fn keepable() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
    usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX)
}

fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

fn open_directory(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("a directory that is there")
}

fn directory(path: &Path, keep: bool, left: &mut usize) -> Directory {
    let open = open_directory(path);
    let files = fs::read_dir(path).expect("a directory that is there");
    let files = files.map(|file| file.expect("an entry"));
    let names: Vec<CString> = files
        .filter(|file| file.file_type().is_ok_and(|it| it.is_file()))
        .filter_map(|file| CString::new(file.file_name().as_bytes()).ok())
        .filter(|name| readable(&open, name))
        .collect();
    let kept = names
        .iter()
        .take(if keep { *left } else { 0 })
        .map(|name| rustix::fs::openat(&open, name.as_c_str(), FILE, Mode::empty()));
    let kept: Vec<OwnedFd> = kept.map_while(Result::ok).collect();
    *left -= kept.len();
    let hold = kept.len() < names.len() && *left > 0;
    *left -= usize::from(hold);
    Directory {
        path: path.to_owned(),
        held: hold.then_some(open),
        names,
        kept,
    }
}

/// Whether it is a file that gives a number: the others are read by neither side.
fn readable(directory: &OwnedFd, name: &CString) -> bool {
    let mut buffer = [0; 64];
    let file = rustix::fs::openat(directory, name.as_c_str(), FILE, Mode::empty());
    let read = file.and_then(|file| rustix::io::read(&file, &mut buffer));
    let text = read
        .ok()
        .and_then(|read| std::str::from_utf8(&buffer[..read]).ok());
    text.is_some_and(|text| text.trim().parse::<i128>().is_ok())
}
