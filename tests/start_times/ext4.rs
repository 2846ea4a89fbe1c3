//! What is kept on a disk counts since nobody knows when.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::far_end::{FarEnd, Sender};
use crate::common::{config, has_program, is_root, lacks, text};

/// A file system in a file, mounted while this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, on: PathBuf) -> Result<Mounted, String> {
        let mounted = Command::new("mount")
            .args(["-o", "loop"])
            .arg(image)
            .arg(&on)
            .output();
        match mounted.unwrap() {
            output if output.status.success() => Ok(Mounted(on)),
            output => Err(text(&output.stderr)),
        }
    }

    /// `loop3`, as sysfs calls it.
    fn device(&self) -> String {
        let output = Command::new("findmnt")
            .args(["-n", "-o", "SOURCE"])
            .arg(&self.0)
            .output();
        text(&output.unwrap().stdout).trim().replace("/dev/", "")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        assert!(
            Command::new("umount")
                .arg(&self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

#[test]
fn what_ext4_keeps_on_the_disk_begins_at_its_first_value() {
    let test = "what_ext4_keeps_on_the_disk_begins_at_its_first_value";
    if !is_root() || !has_program("mkfs.ext4") {
        return lacks(test, "root and e2fsprogs");
    }
    let directory = tempfile::tempdir().unwrap();
    let (image, mount) = (
        directory.path().join("image"),
        directory.path().join("mount"),
    );
    std::fs::create_dir(&mount).unwrap();
    std::fs::File::create(&image)
        .unwrap()
        .set_len(32 << 20)
        .unwrap();
    assert!(
        Command::new("mkfs.ext4")
            .arg("-q")
            .arg(&image)
            .status()
            .unwrap()
            .success()
    );
    let mounted = match Mounted::new(&image, mount.clone()) {
        Ok(mounted) => mounted,
        Err(why) => return lacks(test, &format!("a loop device, and ext4: {why}")),
    };
    std::fs::write(mount.join("file"), vec![1; 8 << 20]).unwrap();
    drop(mounted);

    let receiver = "{root: /sys/fs/ext4, subsystem: ext4, layout: '{device}/{metric}', collection_interval: 20ms}";
    let labels = "labels: {actions: [{keep: {match: {name: ext4/lifetime_write_kbytes}}}]}";
    let config = config(receiver, &format!("metadata: ; {labels}"), "{format: json}");
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config);
    sender.until(&mut far_end, |_| true);
    // Mounted later, then there from the start.
    let mounted = Mounted::new(&image, mount).unwrap();
    let series = format!("ext4/lifetime_write_kbytes{{device={}}}", mounted.device());
    for _ in 0..2 {
        let shown = sender.until(&mut far_end, |point| point.series == series);
        let first = shown.iter().find(|point| point.series == series).unwrap();
        assert!(
            first.is_baseline() && first.value >= Some(8 << 10),
            "{first:?}"
        );
        sender.end(&mut far_end);
        sender = Sender::start(&config);
    }
    sender.until(&mut far_end, |point| point.series == series);
    sender.end(&mut far_end);
    let counted = far_end.total("ext4/lifetime_write_kbytes");
    assert!(
        counted < 8 << 10,
        "nothing of what was written before: {counted} KiB"
    );
}
