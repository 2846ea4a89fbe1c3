//! The way of a path through symbolic links.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows
/// ([path_resolution(7)](https://man7.org/linux/man-pages/man7/path_resolution.7.html)).
const MAX_LINKS: usize = 40;

/// The directories' entries by which a path leads to its file: each link on the way, and the last one that is there, or that
/// is not.
pub(crate) fn entries(path: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    let Ok(path) = std::path::absolute(path) else {
        return entries;
    };
    let mut rest = parts(&path);
    let mut resolved = PathBuf::new();
    while let Some(part) = rest.pop() {
        let entry = resolved.join(&part);
        if part == ".." {
            resolved.pop();
        } else if let Ok(target) = fs::read_link(&entry) {
            entries.push(entry);
            if entries.len() > MAX_LINKS {
                return entries;
            }
            rest.extend(parts(&target));
        } else {
            if rest.is_empty() || !entry.exists() {
                entries.push(entry);
                return entries;
            }
            resolved = entry;
        }
    }
    entries
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|it| *it != Component::CurDir);
    let parts = parts.map(|it| it.as_os_str().to_owned());
    parts.rev().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_through_its_links_to_its_file_or_to_what_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let below = |name: &str| root.join(name);
        fs::create_dir(below("..1")).unwrap();
        fs::write(below("..1/tls.crt"), "").unwrap();
        symlink("..1", below("..data")).unwrap();
        symlink("./..data/tls.crt", below("tls.crt")).unwrap();
        symlink("../link/x", below("..1/up")).unwrap();
        symlink("loop", below("loop")).unwrap();
        let of = |name: &str| entries(&below(name));
        assert_eq!(of("..1/tls.crt"), [below("..1/tls.crt")]);
        let all = ["tls.crt", "..data", "..1/tls.crt"].map(below);
        assert_eq!(of("tls.crt"), all);
        let all = ["..data", "..1/up", "link"].map(below);
        assert_eq!(of("..data/up"), all);
        assert_eq!(of("no/such/file"), [below("no")]);
        assert_eq!(of("loop").len(), MAX_LINKS + 1);
    }
}
