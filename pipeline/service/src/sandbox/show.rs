//! What a configuration needs, and how to give it, for people.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use pipeline::Right;
use rustix::process::Uid;
use rustix::thread::CapabilitySet;

use super::capabilities::{Access, User, names};
use super::paths::file_system;
use super::rights::{Rights, to_have};

/// A user that has nothing: what it needs has to be given to it.
const NOBODY: u32 = 65534;

/// Each component with what it needs; what the sandbox leaves of that; and how to give it to a user without any rights.
pub(crate) fn show(rights: &Rights, program: &str) -> String {
    let mut out = String::new();
    for component in &rights.0 {
        line(&mut out, &component.id);
        match &component.rights {
            None => line(&mut out, "  does not say what it needs"),
            Some(none) if none.is_empty() => line(&mut out, "  needs nothing"),
            Some(some) => some.iter().for_each(|it| line(&mut out, format!("  {it}"))),
        }
    }
    line(&mut out, "\nThe sandbox leaves to the program");
    for (what, all) in left(rights) {
        line(&mut out, format!("  {what}: {all}"));
    }
    let capabilities = capabilities_of_nobody(rights);
    line(
        &mut out,
        "\nGive it to a user without rights of its own by one of",
    );
    let words = names(capabilities);
    let setcap = words.join(",").to_lowercase();
    if words.is_empty() {
        line(&mut out, "  setcap: no capability is needed");
    } else {
        line(&mut out, format!("  setcap {setcap}=ep {program}"));
    }
    line(&mut out, "  systemd, beside the unit that is shipped:");
    for it in unit(rights, &words.join(" ")) {
        line(&mut out, format!("    {it}"));
    }
    line(&mut out, "  a container:");
    let container = container(rights, &words);
    line(&mut out, format!("    {}", container.join(" ")));
    out
}

fn line(out: &mut String, text: impl Display) {
    // A `String` takes everything.
    let _ = writeln!(out, "{text}");
}

/// What is left, as the sandbox has it.
fn left(rights: &Rights) -> Vec<(&'static str, String)> {
    let capabilities = names(rights.capabilities(&User::own()));
    let all = "all, since nobody knows what all components need".to_owned();
    if !rights.unknown().is_empty() {
        return vec![("everything but dangerous system calls", all)];
    }
    let mut left = vec![("capabilities", list(capabilities))];
    if rights.looks_into_others() {
        let all = "all, since Landlock forbids to look into other processes".to_owned();
        left.push(("files and ports", all));
        return left;
    }
    let ports = rights.connected().map_or("all".into(), list);
    left.extend([
        ("to read", paths(&rights.read())),
        ("to write", paths(&rights.written())),
        ("devices", paths(&rights.devices())),
        ("TCP ports to connect to", ports),
        ("TCP ports to listen on", list(rights.listened())),
    ]);
    left
}

/// The capabilities that a user without rights takes. What it reads beside trees, and what it writes, is given to it.
fn capabilities_of_nobody(rights: &Rights) -> CapabilitySet {
    let nobody = User {
        id: Uid::from_raw(NOBODY),
        groups: Vec::new(),
    };
    let of = |right: &Right| match right {
        Right::ReadTree(path) => nobody.to_open(path, Access::Read),
        Right::Read(_) | Right::ReadFileSystem(_) | Right::Write(_) | Right::ListenAt(_) => {
            CapabilitySet::empty()
        }
        other => to_have(other, &nobody),
    };
    rights.iter().map(of).collect()
}

/// Lines for `[Service]`.
fn unit(rights: &Rights, capabilities: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !capabilities.is_empty() {
        lines.push(format!("CapabilityBoundingSet={capabilities}"));
        lines.push(format!("AmbientCapabilities={capabilities}"));
        lines.push("PrivateUsers=no".into());
    }
    if rights.looks_into_others() {
        lines.push("ProtectProc=default".into());
    }
    if rights.has(&Right::OthersDescriptors) {
        lines.push("SystemCallFilter=pidfd_open pidfd_getfd".into());
    }
    if rights.has(&Right::Bpf) {
        lines.push("SystemCallFilter=bpf capset".into());
    }
    let devices = rights.devices();
    if !devices.is_empty() {
        lines.push("PrivateDevices=no".into());
    }
    lines.extend(
        devices
            .iter()
            .map(|it| format!("DeviceAllow={} r", it.display())),
    );
    let written = written(rights).map(|it| format!("ReadWritePaths={}", it.display()));
    lines.extend(written);
    if lines.is_empty() {
        lines.push("nothing".into());
    }
    lines
}

/// Arguments for docker or podman.
fn container(rights: &Rights, capabilities: &[String]) -> Vec<String> {
    let mut words = vec!["--read-only".into(), "--cap-drop ALL".into()];
    let names = capabilities.iter().map(|it| it.trim_start_matches("CAP_"));
    words.extend(names.map(|it| format!("--cap-add {it}")));
    if rights.looks_into_others() {
        words.push("--pid host".into());
    }
    let devices = rights.devices();
    words.extend(
        devices
            .iter()
            .map(|it| format!("--device {}:r", it.display())),
    );
    let read = rights.iter().filter_map(|it| match it {
        Right::Read(path) | Right::ReadTree(path) => Some(mounted(path)),
        Right::ReadFileSystem(path) => Some(mounted(&file_system(path))),
        _ => None,
    });
    let read: BTreeSet<PathBuf> = read.collect();
    let is_below = |path: &Path| {
        let mut above = path.ancestors().skip(1);
        above.any(|it| it != Path::new("/") && read.contains(it))
    };
    let mount = |path: &PathBuf, mode: &str| {
        let path = path.display();
        format!("--volume {path}:{path}{mode}")
    };
    // A container has a `proc` of its own.
    let own = ["/", "/proc"].map(Path::new);
    let uppermost = read
        .iter()
        .filter(|it| !is_below(it) && !own.contains(&it.as_path()));
    words.extend(uppermost.map(|it| mount(it, ":ro")));
    words.extend(written(rights).map(|it| mount(it, "")));
    let ports = rights.listened().into_iter().filter(|it| *it != 0);
    words.extend(ports.map(|it| format!("--publish {it}:{it}")));
    words
}

/// The directory to mount for what is read: what the kernel has is mounted whole, since links lead about in it.
fn mounted(path: &Path) -> PathBuf {
    for whole in ["/sys", "/proc"] {
        if path.starts_with(whole) {
            return whole.into();
        }
    }
    path.to_owned()
}

fn written(rights: &Rights) -> impl Iterator<Item = &PathBuf> {
    rights.iter().filter_map(|it| match it {
        Right::Write(path) => Some(path),
        _ => None,
    })
}

fn paths(all: &BTreeSet<PathBuf>) -> String {
    list(all.iter().map(|it| it.display()))
}

fn list(all: impl IntoIterator<Item = impl Display>) -> String {
    let all: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    if all.is_empty() {
        "none".into()
    } else {
        all.join(", ")
    }
}
