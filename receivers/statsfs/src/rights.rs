//! What the receiver needs of the system.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pipeline::{Context, Right};

use crate::config::Config;
use crate::discovery::expected_root;

/// Says which paths it reads.
pub(crate) fn say(config: &Config, context: &Context) {
    let (root, follows) = (config.root.clone(), config.follow_links);
    let into = config.links_into.iter();
    let into: Vec<PathBuf> = into.map(|path| context.host_path(path)).collect();
    let own = context.clone();
    context.needs(move || {
        let root = expected_root(&root, &own);
        let mut rights = Vec::new();
        if follows {
            // Links of the root may lead anywhere on its file system.
            rights.extend(file_system(&root).map(Right::Read));
            rights.extend(into.into_iter().map(Right::ReadTree));
        }
        if is_anothers(&root) {
            rights.push(Right::OtherProcesses);
        }
        rights.push(Right::ReadTree(root));
        let proc = own.host_path(Path::new("/proc"));
        // Its own `proc` every process may read.
        rights.extend((!own.is_own_root() && proc.exists()).then_some(Right::Read(proc)));
        rights
    });
}

/// Whether a path leads through what a process sees, as `/proc/1234/root/sys` does.
fn is_anothers(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(OsStr::to_str).collect();
    let is_number = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
    let mut pairs = parts.windows(2);
    pairs.any(|it| it[0] == "proc" && is_number(it[1]))
}

/// The highest directory of the file system that a path is on, or will be on.
fn file_system(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().find_map(|it| it.canonicalize().ok())?;
    let device = |path: &Path| path.metadata().ok().map(|it| it.dev());
    let own = device(&there);
    let same = there.ancestors().take_while(|it| device(it) == own);
    same.last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_sees_takes_the_right_to_look_into_it() {
        assert!(is_anothers(Path::new("/host/proc/12/root/sys/class/net")));
        assert!(!is_anothers(Path::new("/proc/self/net")));
        assert!(!is_anothers(Path::new("/sys/class/net")));
    }

    #[test]
    fn the_file_system_of_what_is_not_there_yet_is_that_of_what_is_above() {
        let of = |path: &str| file_system(Path::new(path));
        assert_eq!(of("/sys/class/no_such_class/x"), Some("/sys".into()));
        assert_eq!(of("/proc/self/status"), Some("/proc".into()));
    }
}
