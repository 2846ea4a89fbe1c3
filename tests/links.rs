//! Links in a tree: those that are followed, and those that are named because they are not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::{
    assert_fault, collector, config, end_without_warning, file, lacks, lines, read_points, run,
    shared_memory, text,
};

/// `tree/<name>` is a link to `devices/<name>`, as in `/sys/block`, with a file of its own, and with a link `device` in it
/// to what is given.
fn disk(directory: &Path, name: &str, device: &str) {
    file(directory, &format!("devices/{name}/size"));
    symlink(device, directory.join(format!("devices/{name}/device"))).unwrap();
    fs::create_dir_all(directory.join("tree")).unwrap();
    let link = directory.join("tree").join(name);
    symlink(format!("../devices/{name}"), link).unwrap();
}

/// A file with this value.
fn value(directory: &Path, below: &str, value: u32) {
    file(directory, below);
    fs::write(directory.join(below), format!("{value}\n")).unwrap();
}

/// The receiver of `tree`, whose layout names the part `device`.
fn receiver(directory: &Path, options: &str) -> String {
    let root = directory.join("tree");
    format!(
        "{{root: {}, subsystem: block, layout: '{{disk}}/device/{{metric}}', {options}}}",
        root.display()
    )
}

/// One sweep: what is shown, sorted, and what is said.
fn sweep(receiver: &str) -> (Vec<String>, String) {
    let output = run(&config(receiver, "batch: {}", "{}"), &["--once"]);
    let mut shown = lines(&output.stdout);
    shown.sort();
    (shown, text(&output.stderr))
}

#[test]
fn a_part_that_the_layout_names_may_be_a_link_one_level() {
    let (directory, far) = (tempfile::tempdir().unwrap(), shared_memory());
    let path = directory.path();
    value(path, "phys/a/ioerr_cnt", 1);
    value(path, "phys/b/ioerr_cnt", 2);
    value(far.path(), "ioerr_cnt", 3);
    value(path, "devices/plain/device/ioerr_cnt", 4);
    symlink("../devices/plain", path.join("phys/a/further")).unwrap();
    symlink("a", path.join("phys/link")).unwrap();
    let absolute = path.join("phys/b");
    for (disk_name, device) in [
        ("relative", "../../phys/a"),
        ("absolute", absolute.to_str().unwrap()),
        ("dangling", "../../phys/none"),
        ("itself", "device"),
        ("round", "../round"),
        ("twice", "../../phys/link"),
        ("far", far.path().to_str().unwrap()),
        ("process", "/proc/self/cwd"),
        ("text", "size"),
    ] {
        disk(path, disk_name, device);
    }
    symlink("../devices/plain", path.join("tree/plain")).unwrap();
    let (shown, logs) = sweep(&receiver(path, "follow_links: true"));
    let expected = [
        "block/ioerr_cnt{disk=absolute} 2",
        "block/ioerr_cnt{disk=plain} 4",
        "block/ioerr_cnt{disk=relative} 1",
        // It leads to the disk itself, in which the layout has nothing more to find.
        "block/size{disk=round} 1",
    ];
    assert_eq!(shown, expected, "{logs}");
    let message = "it leads through a link, and only those directly in the root, and those that `layout` names, are followed, to what is no link itself; passed over";
    let subjects = "detail=\"block/itself/device, block/process/device, block/twice/device\"";
    assert!(
        logs.contains(&format!("{message} component=\"statsfs\" {subjects}")),
        "{logs}"
    );
    let message = "a link to another file system, which `links_into` does not name; passed over component=\"statsfs\" detail=\"block/far/device\"";
    assert!(logs.contains(message), "{logs}");
    assert_fault(
        "a part that the layout names is a link to another file system, or through a further link",
        "nothing that may be read: what it leads to is not opened",
        &logs,
        &["link=4"],
    );
    let into = format!("follow_links: true, links_into: [{}]", far.path().display());
    let (shown, _) = sweep(&receiver(path, &into));
    assert!(shown.contains(&"block/ioerr_cnt{disk=far} 3".into()));
}

#[test]
fn a_link_that_leads_elsewhere_is_followed_there_and_no_start_is_claimed() {
    // One file system gives an inode to the next file that is made, the other does not.
    for directory in [shared_memory(), tempfile::tempdir().unwrap()] {
        let path = directory.path();
        value(path, "phys/a/ioerr_cnt", 1);
        value(path, "phys/b/ioerr_cnt", 2);
        disk(path, "sda", "../../phys/a");
        let receiver = receiver(path, "follow_links: true, collection_interval: 20ms");
        let rules = "metadata: {rules: [{kind: counter, start: device}]}";
        let mut child = collector(&config(&receiver, rules, "{format: json}"), &[]);
        read_points(&mut child, |value, _| value == Some(1));
        let link = path.join("devices/sda/device");
        fs::remove_file(&link).unwrap();
        symlink("../../phys/b", &link).unwrap();
        let shown = read_points(&mut child, |value, _| value == Some(2));
        let (_, start, time) = shown.last().unwrap();
        assert_eq!(start, time, "it may have counted before");
        // In one step.
        symlink("../../phys/a", path.join("next")).unwrap();
        fs::rename(path.join("next"), &link).unwrap();
        let shown = read_points(&mut child, |value, _| value == Some(1));
        let (_, start, time) = shown.last().unwrap();
        assert_eq!(start, time);
        fs::remove_file(&link).unwrap();
        read_points(&mut child, |value, _| value.is_none());
        end_without_warning(child);
    }
}

#[test]
fn a_link_in_the_root_that_leads_elsewhere_claims_no_start() {
    let directory = shared_memory();
    let path = directory.path();
    value(path, "one/c", 1);
    value(path, "other/c", 2);
    fs::create_dir(path.join("tree")).unwrap();
    symlink("../one", path.join("tree/d")).unwrap();
    let receiver = format!(
        "{{root: {}, subsystem: s, follow_links: true, collection_interval: 20ms}}",
        path.join("tree").display()
    );
    let rules = "metadata: {rules: [{kind: counter, start: device}]}";
    let mut child = collector(&config(&receiver, rules, "{format: json}"), &[]);
    read_points(&mut child, |value, _| value == Some(1));
    symlink("../other", path.join("tree/e")).unwrap();
    let shown = read_points(&mut child, |value, _| value == Some(2));
    let (_, start, time) = shown.last().unwrap();
    assert_eq!(start, time, "what it leads to was there before");
    end_without_warning(child);
}

/// A directory of sysfs that the link `device` of a class' device leads to, with a file that has a number in it: the class,
/// the device, the file, and how it is read.
fn device_link() -> Option<(PathBuf, String, String, &'static str)> {
    let names = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut devices = names(Path::new("/sys/class"));
    devices.push("/sys/block".into());
    let devices = devices.iter().flat_map(|class| names(class));
    let mut linked = devices.filter(|it| it.join("device").is_symlink());
    linked.find_map(|device| {
        names(&device.join("device")).into_iter().find_map(|file| {
            let content = fs::read_to_string(&file).ok()?;
            let format = match content.trim() {
                it if it.parse::<i64>().is_ok() => "int",
                it if i64::from_str_radix(it.strip_prefix("0x")?, 16).is_ok() => "hex",
                _ => return None,
            };
            let class = device.parent().unwrap().to_owned();
            Some((class, name(&device), name(&file), format))
        })
    })
}

#[test]
fn what_the_device_link_of_a_real_device_leads_to_is_swept() {
    let test = "what_the_device_link_of_a_real_device_leads_to_is_swept";
    let Some((class, device, file, format)) = device_link() else {
        return lacks(test, "a link `device` in sysfs that leads to a number");
    };
    let receiver = format!(
        "{{root: {}, subsystem: s, layout: '{{name}}/device/{{metric}}', follow_links: true, \
         formats: [{{match: 's/*/device/{file}', as: {format}}}]}}",
        class.display()
    );
    let (shown, logs) = sweep(&receiver);
    let series = format!("s/{file}{{name={device}}} ");
    assert!(
        shown.iter().any(|it| it.starts_with(&series)),
        "{shown:?} {logs}"
    );
}

/// The messages of a sweep about links, each with its level and detail.
fn said(logs: &str) -> Vec<String> {
    let of_links = |line: &&str| line.contains("link") && !line.contains("it has no series");
    let lines = logs.lines().filter(of_links);
    let short = |line: &str| {
        let level = line.split_whitespace().nth(1)?;
        let (message, detail) = line.split_once(" component=\"statsfs\" detail=")?;
        let message = message.split_once(level)?.1;
        Some(format!("{level}{message} {detail}"))
    };
    lines.filter_map(short).collect()
}

const NOT_FOLLOWED: &str = "INFO links are not followed, and what they lead to is not read; `follow_links: true` follows those directly in the root, and those that `layout` names";

const NAMED: &str =
    "WARN a link, which the configuration names: `follow_links: true` follows it; passed over";

#[test]
fn links_that_are_not_followed_are_named_once_by_their_places() {
    let tree = tempfile::tempdir().unwrap();
    for device in 0..1000 {
        file(tree.path(), &format!("net/eth{device}/c"));
        for (target, link) in [("/etc", "device"), ("c", "alias"), ("..", ".hidden")] {
            let link = tree.path().join(format!("net/eth{device}/{link}"));
            symlink(target, link).unwrap();
        }
        symlink("net", tree.path().join(format!("n{device}"))).unwrap();
    }
    let receiver = |options: &str| format!("{{root: {}, {options}}}", tree.path().display());
    let (shown, logs) = sweep(&receiver(""));
    assert_eq!(shown.len(), 1000, "{logs}");
    let places = "\"*, net/*/alias, net/*/device\"";
    assert_eq!(said(&logs), [format!("{NOT_FOLLOWED} {places}")], "{logs}");
    let layout = "layout: '{device}/{metric}', follow_links: true, subsystems: {include: [net]}";
    let (_, logs) = sweep(&receiver(layout));
    let places = "\"net/*/alias, net/*/device\"";
    assert_eq!(said(&logs), [format!("{NOT_FOLLOWED} {places}")], "{logs}");
    let layout = "layout: '{device}/statistics/{metric}', subsystems: {include: [net]}";
    let (_, logs) = sweep(&receiver(layout));
    assert_eq!(
        said(&logs),
        [""; 0],
        "the layout wants none of them: {logs}"
    );
}

#[test]
fn a_link_that_the_configuration_names_and_that_is_not_followed_is_a_warning_with_the_mend() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for number in 0..1000 {
        let name = format!("sd{number:03}");
        disk(path, &name, "../../phys/a");
        fs::remove_file(path.join("tree").join(&name)).unwrap();
        fs::rename(
            path.join("devices").join(&name),
            path.join("tree").join(&name),
        )
        .unwrap();
    }
    file(path, "tree/real/c");
    symlink("real", path.join("tree/link")).unwrap();
    let (_, logs) = sweep(&receiver(path, ""));
    let named = "block/sd000/device, block/sd001/device, block/sd002/device and 997 more";
    let place = format!("{NOT_FOLLOWED} \"block/*\"");
    assert_eq!(said(&logs), [place, format!("{NAMED} {named:?}")], "{logs}");
    let root = path.join("tree");
    let sweep = |options: &str| {
        let (_, logs) = sweep(&format!("{{root: {}, {options}}}", root.display()));
        let mut said = said(&logs);
        said.retain(|line| line.starts_with("WARN"));
        assert!(!logs.contains("matches nothing"), "{logs}");
        said
    };
    let link = format!("{NAMED} \"block/link\"");
    let devices = "subsystem: block, devices: {include: [real, link]}";
    assert_eq!(sweep(devices), [link.as_str()]);
    assert_eq!(sweep(&format!("{devices}, follow_links: true")), [""; 0]);
    let subsystems = "subsystems: {include: ['{link,real}']}";
    assert_eq!(sweep(subsystems), [format!("{NAMED} \"link\"")]);
    let elsewhere = "WARN a link, which the configuration names, and only those directly in the root, and those that `layout` names, are followed: make its directory the `root`; passed over";
    let devices =
        "devices: {include: [device]}, follow_links: true, subsystems: {include: [sd000]}";
    assert_eq!(sweep(devices), [format!("{elsewhere} \"sd000/device\"")]);
    let file = "WARN a link, which `formats` names, and files are not read through links: name what it leads to; passed over";
    let formats = "subsystems: {include: [sd000]}, formats: [{match: sd000/device, as: hex}]";
    assert_eq!(sweep(formats), [format!("{file} \"sd000/device\"")]);
}
