//! The directory of a storage: made where it may be, and used by one program at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::fs::{FlockOperation, flock};

/// Held while a program uses the directory; its content is that program's number.
const LOCK: &str = "lock";

/// What stands as it is in the name of an exporter's folder: an id is `type/name`, and a name may be anything.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// The folder of this exporter.
pub(crate) fn folder(directory: &Path, exporter: &str) -> PathBuf {
    directory.join(utf8_percent_encode(exporter, ESCAPED).to_string())
}

/// The exporters that have a folder there, sorted.
pub(crate) fn exporters(directory: &Path) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let decoded = percent_decode_str(name.to_str().unwrap_or_default()).decode_utf8();
        if let Ok(exporter) = decoded
            && folder(directory, &exporter) == entry.path()
            && entry.file_type()?.is_dir()
        {
            all.push(exporter.into_owned());
        }
    }
    all.sort();
    Ok(all)
}

/// Makes the directory if it is not there and `create` says so, and takes hold of it until what this gives is dropped.
///
/// # Errors
/// What is in the way, with the directory, the user, and the mend.
pub(crate) fn take_hold(directory: &Path, create: bool, mode: u32) -> Result<File, String> {
    let error = |error: io::Error| unusable(directory, &error);
    match directory.metadata() {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound && create => {
            make(directory, mode).map_err(error)?;
        }
        found => check(directory, &found.map_err(error)?)?,
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let mut lock = options
        .open(directory.join(LOCK))
        .or_else(|error| match error.kind() {
            // What is there can be sent, and one holder of it is enough.
            io::ErrorKind::ReadOnlyFilesystem => options
                .write(false)
                .create(false)
                .open(directory.join(LOCK)),
            _ => Err(error),
        })
        .map_err(error)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(in_use(directory, &mut lock));
    }
    let write = |lock: &mut File| {
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())
    };
    // On a full disk nobody is told the number.
    let _ = write(&mut lock);
    Ok(lock)
}

/// A folder inside, for its owner alone.
pub(crate) fn make_folder(path: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(path, &error)),
        Err(_) => Ok(()),
        Ok(()) => {
            let synced = path.parent().map_or(Ok(()), sync_folder);
            synced.map_err(|error| unusable(path, &error))
        }
    }
}

/// Returns when what a folder has is on the disk itself by its names.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems know no such thing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

fn make(directory: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755);
    if let Some(parent) = directory.parent() {
        builder.create(parent)?;
    }
    builder.recursive(false).mode(0o700).create(directory)?;
    // What the umask takes away is written all the same.
    std::fs::set_permissions(directory, Permissions::from_mode(mode))
}

fn check(directory: &Path, found: &std::fs::Metadata) -> Result<(), String> {
    let directory = directory.display();
    if !found.is_dir() {
        return Err(format!("{directory} is no directory"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(format!(
            "everybody may write to {directory}, and so put there what would be sent: `chmod o-w {directory}`"
        ));
    }
    Ok(())
}

fn unusable(directory: &Path, error: &io::Error) -> String {
    let user = rustix::process::geteuid().as_raw();
    let path = directory.display();
    let mend = if error.kind() == io::ErrorKind::NotFound {
        format!(
            "make it (`install -d -m 0700 -o {user} {path}`) or allow that by `create_directory: true`"
        )
    } else {
        format!(
            "give it to that user (`install -d -m 0700 -o {user} {path}`) or choose another `directory`"
        )
    };
    format!("cannot use {path} as user {user}: {error}; {mend}")
}

fn in_use(directory: &Path, lock: &mut File) -> String {
    let mut text = String::new();
    let _ = lock.rewind();
    let read = lock.take(20).read_to_string(&mut text);
    let number = read.ok().and_then(|_| text.parse::<u32>().ok());
    let who = number.map_or("another program".into(), |it| format!("process {it}"));
    format!(
        "{} is in use by {who}: each program needs a `directory` of its own",
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exporters_folder_is_one_name_below_the_directory_whatever_its_id_is() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let ids = ["otlp", "otlp/..", "otlp/a b/c", "otlp/é%2f", "otlp/lock"];
        for id in ids {
            let folder = folder(directory, id);
            assert_eq!(folder.parent(), Some(directory));
            make_folder(&folder).unwrap();
        }
        std::fs::create_dir(directory.join("no folder of ours")).unwrap();
        std::fs::write(directory.join("file"), "").unwrap();
        let mut sorted = ids.map(String::from);
        sorted.sort();
        assert_eq!(exporters(directory).unwrap(), sorted);
    }

    #[test]
    fn it_is_made_for_its_owner_and_held_by_one() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let missing = take_hold(&directory, false, 0o700).unwrap_err();
        assert!(missing.contains("create_directory: true"), "{missing}");
        let held = take_hold(&directory, true, 0o750).unwrap();
        let mode = directory.metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o750);
        assert_eq!(held.metadata().unwrap().mode() & 0o777, 0o600);
        let error = take_hold(&directory, true, 0o700).unwrap_err();
        let expected = format!("is in use by process {}: each", std::process::id());
        assert!(error.contains(&expected), "{error}");
        drop(held);
        take_hold(&directory, true, 0o700).unwrap();
        let open = Permissions::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        let error = take_hold(&directory, true, 0o700).unwrap_err();
        assert!(error.starts_with("everybody may write"), "{error}");
    }
}
