//! What is kept on a disk counts since nobody knows when.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::far_end::{FarEnd, Sender};
use crate::common::{config, has_program, is_root, lacks, text};

/// A file system in a file, mounted while this lives.
struct Mounted(PathBuf);

impl Mounted {
    /// With `<directory>/<name>` as the file.
    fn new(directory: &Path, name: &str) -> Mounted {
        let on = directory.join(format!("on-{name}"));
        fs::create_dir_all(&on).unwrap();
        let (image, on_path) = (directory.join(name), on.to_str().unwrap());
        do_command("mount", &["-o", "loop", image.to_str().unwrap(), on_path]);
        Mounted(on)
    }

    /// `ext4/lifetime_write_kbytes{device=loop3}`
    fn series(&self) -> String {
        let on = self.0.to_str().unwrap();
        let device = do_command("findmnt", &["-n", "-o", "SOURCE", on]);
        let device = device.trim().replace("/dev/", "");
        format!("ext4/lifetime_write_kbytes{{device={device}}}")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn do_command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    text(&output.stdout)
}

#[test]
fn what_ext4_keeps_on_the_disk_begins_at_its_first_value() {
    let test = "what_ext4_keeps_on_the_disk_begins_at_its_first_value";
    if !is_root() || !has_program("mkfs.ext4") {
        return lacks(test, "root and e2fsprogs");
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap();
    if !Path::new("/dev/loop-control").exists() || !filesystems.contains("\text4\n") {
        // No package gives that, in CI either.
        let why = "was left out: this kernel has no loop devices, or no ext4";
        return writeln!(std::io::stderr(), "{test} {why}").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["there", "later"] {
        let image = directory.path().join(name);
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        do_command("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        let mounted = Mounted::new(directory.path(), name);
        fs::write(mounted.0.join("file"), vec![1; 8 << 20]).unwrap();
    }
    let receiver = "{root: /sys/fs/ext4, subsystem: ext4, layout: '{device}/{metric}', devices: {include: ['loop*']}, collection_interval: 20ms}";
    let labels = "labels: {actions: [{keep: {match: {name: ext4/lifetime_write_kbytes}}}]}";
    let config = config(receiver, &format!("metadata: ; {labels}"), "{format: json}");
    let mut far_end = FarEnd::default();
    let there = Mounted::new(directory.path(), "there");
    let mut sender = Sender::start(&config);
    let check = |sender: &mut Sender, far_end: &mut FarEnd, series: &str| {
        let shown = sender.until(far_end, |point| point.series == series);
        let first = shown.iter().find(|point| point.series == series).unwrap();
        assert!(
            first.is_baseline() && first.value >= Some(8 << 10),
            "{first:?}"
        );
    };
    check(&mut sender, &mut far_end, &there.series());
    let later = Mounted::new(directory.path(), "later");
    check(&mut sender, &mut far_end, &later.series());
    sender.end(&mut far_end);
    let mut sender = Sender::start(&config);
    sender.until(&mut far_end, |point| point.series == later.series());
    sender.end(&mut far_end);
    let counted = far_end.total("ext4/lifetime_write_kbytes");
    assert!(
        counted < 8 << 10,
        "nothing of what was written before: {counted} KiB"
    );
}
