//! Who a VM is, as far as its monitor's command line says it. A command line also holds passwords, keys and addresses: the
//! few options that name a VM are looked for, and nothing else of it is kept, compared or logged.

mod options;

use std::borrow::Cow;

use pipeline::telemetry::escaped;

use options::{keyed, option};

use crate::procfs::Procfs;

/// The most of a command line that is looked at.
pub(crate) const MAX_COMMAND_LINE_BYTES: usize = 64 << 10;

/// The most of a name that is kept, before what is not to be shown is escaped.
pub(crate) const MAX_NAME_BYTES: usize = 256;

/// Firecracker's name of a VM that was given none.
const ANONYMOUS: &str = "anonymous-instance";

/// Who a VM is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The monitor: `qemu`.
    pub(crate) vmm: Option<&'static str>,
    /// On one line, and short.
    pub(crate) name: Option<String>,
    /// In lower case.
    pub(crate) uuid: Option<String>,
}

impl Identity {
    /// What the command line of this process says; `None` where it does not answer.
    pub(crate) fn of_process(procfs: &Procfs, pid: i32) -> Option<Identity> {
        let line = procfs.command_line(pid)?;
        Some(Identity::of_command_line(&line))
    }

    /// What a command line says, the arguments of which end with a NUL each.
    pub(crate) fn of_command_line(bytes: &[u8]) -> Identity {
        let is_cut = bytes.len() >= MAX_COMMAND_LINE_BYTES;
        let bytes = &bytes[..bytes.len().min(MAX_COMMAND_LINE_BYTES)];
        let mut arguments: Vec<Cow<'_, str>> = bytes
            .split(|it| *it == 0)
            .map(String::from_utf8_lossy)
            .collect();
        if is_cut {
            arguments.pop();
        }
        let Some((program, arguments)) = arguments.split_first() else {
            return Identity::default();
        };
        let vmm = vmm(program);
        let (name, uuid) = match vmm {
            Some("qemu") => qemu(arguments),
            Some("firecracker") => firecracker(arguments),
            Some("cloud-hypervisor") => cloud_hypervisor(arguments),
            Some("kvmtool") => (option(arguments, "--name").map(str::to_owned), None),
            Some("crosvm") => (socket(arguments, "--socket"), None),
            _ => (None, None),
        };
        Identity {
            vmm,
            name: name.as_deref().and_then(bounded),
            uuid: uuid.as_deref().and_then(valid_uuid),
        }
    }
}

/// Which monitor a program is, by the name of its file.
fn vmm(program: &str) -> Option<&'static str> {
    match program.rsplit('/').next()? {
        "qemu-kvm" | "kvm" | "qemu" => Some("qemu"),
        name if name.starts_with("qemu-system-") => Some("qemu"),
        "firecracker" => Some("firecracker"),
        "cloud-hypervisor" => Some("cloud-hypervisor"),
        "crosvm" => Some("crosvm"),
        "lkvm" | "lkvm-static" | "kvmtool" => Some("kvmtool"),
        _ => None,
    }
}

type NameAndUuid = (Option<String>, Option<String>);

/// `-name [guest=]NAME[,…]`, where the last holds, and `-uuid UUID` or `-smbios type=1,uuid=UUID`
/// ([QEMU: invocation](https://www.qemu.org/docs/master/system/invocation.html)).
fn qemu(arguments: &[Cow<'_, str>]) -> NameAndUuid {
    let (mut name, mut uuid, mut smbios) = (None, None, None);
    for pair in arguments.windows(2) {
        let (option, value) = (pair[0].trim_start_matches('-'), &*pair[1]);
        if !pair[0].starts_with('-') {
            continue;
        }
        match option {
            "name" => name = keyed(value, Some("guest"), "guest").or(name),
            "uuid" => uuid = Some(value.to_owned()),
            "smbios" if keyed(value, None, "type").as_deref() == Some("1") => {
                smbios = keyed(value, None, "uuid").or(smbios);
            }
            _ => {}
        }
    }
    (name, uuid.or(smbios))
}

/// `--id ID`, which may be a UUID.
fn firecracker(arguments: &[Cow<'_, str>]) -> NameAndUuid {
    let id = option(arguments, "--id").filter(|it| *it != ANONYMOUS);
    let id = id.map(str::to_owned);
    (id.clone(), id)
}

/// `--api-socket [path=]PATH`, and `--platform …,uuid=UUID`.
fn cloud_hypervisor(arguments: &[Cow<'_, str>]) -> NameAndUuid {
    let platform = option(arguments, "--platform");
    let uuid = platform.and_then(|it| keyed(it, None, "uuid"));
    (socket(arguments, "--api-socket"), uuid)
}

/// The name of a socket's file.
fn socket(arguments: &[Cow<'_, str>], name: &str) -> Option<String> {
    let path = keyed(option(arguments, name)?, Some("path"), "path")?;
    path.rsplit('/').next().map(str::to_owned)
}

/// A name as it is kept: none if it is empty.
fn bounded(name: &str) -> Option<String> {
    let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
    (!name.is_empty()).then(|| escaped(name).into_owned())
}

/// A UUID as it is kept: none if it is not one, or all zero.
fn valid_uuid(text: &str) -> Option<String> {
    let is_dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| {
        if is_dash(at) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    let is_uuid = text.len() == 36 && text.bytes().enumerate().all(fits);
    let is_zero = text.bytes().all(|it| matches!(it, b'0' | b'-'));
    (is_uuid && !is_zero).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    fn of(arguments: &[&str]) -> (Option<&'static str>, Option<String>, Option<String>) {
        let line = arguments.iter().map(|it| format!("{it}\0"));
        let identity = Identity::of_command_line(line.collect::<String>().as_bytes());
        (identity.vmm, identity.name, identity.uuid)
    }

    fn named(
        vmm: &'static str,
        name: Option<&str>,
        uuid: Option<&str>,
    ) -> (Option<&'static str>, Option<String>, Option<String>) {
        (Some(vmm), name.map(str::to_owned), uuid.map(str::to_owned))
    }

    #[test]
    fn qemus_name_and_uuid_are_read_as_qemu_reads_them() {
        let qemu = "/usr/bin/qemu-system-x86_64";
        for (arguments, name, uuid) in [
            (&["-name", "web"][..], Some("web"), None),
            (&["-name", "guest=web,debug-threads=on"], Some("web"), None),
            (&["-name", "web,process=x"], Some("web"), None),
            (&["-name", "guest=a,,b c=é"], Some("a,b c=é"), None),
            (&["-name", "a,,b=c"], Some("a,b=c"), None),
            (&["-name", "one", "-name", "guest=two"], Some("two"), None),
            (&["--name", "web", "--uuid", UUID], Some("web"), Some(UUID)),
            (&["-name", "process=x"], None, None),
            (&["-name", ""], None, None),
            (&["-name"], None, None),
            (
                &["-uuid", "1B4E28BA-2FA1-11D2-883F-0016D3CCA427"],
                None,
                Some(UUID),
            ),
            (
                &["-uuid", "00000000-0000-0000-0000-000000000000"],
                None,
                None,
            ),
            (&["-uuid", "secret"], None, None),
            (
                &[
                    "-smbios",
                    "type=1,serial=x,uuid=1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                ],
                None,
                Some(UUID),
            ),
            (
                &[
                    "-smbios",
                    "type=11,uuid=1b4e28ba-2fa1-11d2-883f-0016d3cca427",
                ],
                None,
                None,
            ),
        ] {
            let arguments = [&[qemu], arguments].concat();
            assert_eq!(of(&arguments), named("qemu", name, uuid), "{arguments:?}");
        }
    }

    #[test]
    fn other_monitors_are_known_by_their_options() {
        for (arguments, vmm, name, uuid) in [
            (
                &["/firecracker", "--id", "f1"][..],
                "firecracker",
                Some("f1"),
                None,
            ),
            (&["firecracker", "--id=f1"], "firecracker", Some("f1"), None),
            (
                &["firecracker", "--id", UUID],
                "firecracker",
                Some(UUID),
                Some(UUID),
            ),
            (
                &["firecracker", "--id", ANONYMOUS],
                "firecracker",
                None,
                None,
            ),
            (
                &["cloud-hypervisor", "--api-socket", "path=/run/vm1.sock,x=y"],
                "cloud-hypervisor",
                Some("vm1.sock"),
                None,
            ),
            (&["lkvm", "run", "--name", "n"], "kvmtool", Some("n"), None),
            (
                &["crosvm", "run", "--socket=/run/c.sock"],
                "crosvm",
                Some("c.sock"),
                None,
            ),
        ] {
            assert_eq!(of(arguments), named(vmm, name, uuid), "{arguments:?}");
        }
        assert_eq!(of(&["python3", "-name", "web"]), (None, None, None));
        assert_eq!(of(&[]), (None, None, None));
    }

    #[test]
    fn a_name_is_short_and_on_one_line() {
        let (_, name, _) = of(&["kvm", "-name", "a\n\u{202e}b"]);
        assert_eq!(name.unwrap(), r"a\n\u{202e}b");
        let (_, name, _) = of(&["kvm", "-name", &"é".repeat(1000)]);
        assert_eq!(name.unwrap(), "é".repeat(128));
        let far = "x".repeat(MAX_COMMAND_LINE_BYTES);
        let (_, name, _) = of(&["kvm", "-append", &far, "-name", "late"]);
        assert_eq!(name, None, "beyond what is looked at");
    }

    #[test]
    fn no_command_line_makes_it_panic() {
        let words = [
            "qemu-kvm", "-name", "-uuid", "-smbios", "guest=", ",", "=", "\0", "é", "--id", UUID,
            "type=1,",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..50_000 {
            let line: String = (0..random.usize(..20))
                .map(|_| words[random.usize(..words.len())])
                .collect();
            crate::fuzzing::command_line(line.as_bytes());
        }
    }
}
