//! The OpenTelemetry resource: which host this is.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::percent_decode_str;
use pipeline::config::{MAX_FILE_BYTES, read_file};
use pipeline::{AnyValue, Attributes, BuildInfo};
use uuid::{Builder, Uuid, uuid};

const MACHINE_ID: &str = "etc/machine-id";
const HOSTNAME: &str = "etc/hostname";
const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// What is found out of the host, `OTEL_RESOURCE_ATTRIBUTES` over it, the configuration over that. Host and OS
/// attributes by [OpenTelemetry's conventions](https://opentelemetry.io/docs/specs/semconv/resource/host/); an id that
/// the host does not have is not invented.
pub(crate) fn resource(
    host_root: &Path,
    env: Option<&str>,
    configured: &BTreeMap<String, AnyValue>,
    build_info: BuildInfo,
) -> Attributes {
    let read = |path: &str| {
        let bytes = read_file(&host_root.join(path), MAX_FILE_BYTES).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let mut all = Attributes::default();
    let own = host_root == Path::new("/");
    let name = if own { uname() } else { read(HOSTNAME) };
    // An image built for many hosts has the word "uninitialized" there until it first boots (machine-id(5)).
    let id = read(MACHINE_ID)
        .or_else(|| read("var/lib/dbus/machine-id"))
        .filter(|id| id != "uninitialized")
        .or_else(|| read("sys/class/dmi/id/product_uuid").and_then(|it| product_uuid(&it)));
    let os_release = read("etc/os-release")
        .or_else(|| read("usr/lib/os-release"))
        .unwrap_or_default();
    let version = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_ID="))
        .map(|it| it.trim_matches('"').to_owned());
    all.set("os.type", "linux");
    for (key, value) in [
        ("host.name", name),
        ("host.id", id),
        ("os.version", version),
    ] {
        if let Some(value) = value {
            all.set(key, value);
        }
    }
    all.set("service.name", build_info.name);
    all.set("service.version", build_info.version);
    for (key, value) in env.into_iter().flat_map(from_env) {
        all.set(key, value);
    }
    for (key, value) in configured {
        all.set(key.as_str(), value.clone());
    }
    if all.get("service.instance.id").is_none() {
        // Any `proc` has it: it is the kernel's.
        let boot_id =
            read(BOOT_ID).or_else(|| std::fs::read_to_string(Path::new("/").join(BOOT_ID)).ok());
        let id = instance_id(&all, boot_id.as_deref().map(str::trim));
        all.set("service.instance.id", id.to_string());
    }
    all
}

/// What is not known of a host that is seen through a mount, and the file to mount for each.
pub(crate) fn undescribed(host_root: &Path, resource: &Attributes) -> Option<String> {
    let files = [("host.id", MACHINE_ID), ("host.name", HOSTNAME)];
    let missing: Vec<String> = files
        .iter()
        .filter(|(key, _)| host_root != Path::new("/") && resource.get(key).is_none())
        .map(|(key, file)| format!("{key} ({})", host_root.join(file).display()))
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// What firmware has where nobody has set it: one byte throughout
/// ([dmidecode](https://cgit.git.savannah.nongnu.org/cgit/dmidecode.git/tree/dmidecode.c): "Not Present", "Not Settable"), and
/// AMI's, in both orders of its bytes.
const PLACEHOLDERS: [Uuid; 3] = [
    uuid!("03000200-0400-0500-0006-000700080009"),
    uuid!("00020003-0004-0005-0006-000700080009"),
    uuid!("12345678-1234-5678-90ab-cddeefaabbcc"),
];

/// The UUID of a machine's firmware, which only root may read; `None` for one that many machines have.
fn product_uuid(text: &str) -> Option<String> {
    let uuid = Uuid::try_parse(text).ok()?;
    let bytes = uuid.as_bytes();
    let is_placeholder = bytes.iter().all(|it| *it == bytes[0]) || PLACEHOLDERS.contains(&uuid);
    (!is_placeholder).then(|| uuid.to_string())
}

/// Stable over restarts: a `UUIDv5` of the host's id and the service's name. Without an id it is stable until the host is
/// booted: of the boot's id and the host's name. One of nothing would be the same on every host, and so is by chance.
fn instance_id(all: &Attributes, boot_id: Option<&str>) -> Uuid {
    let text = |key| all.get(key).map(ToString::to_string).unwrap_or_default();
    let (id, name) = (text("host.id"), text("host.name"));
    let host = match (Uuid::try_parse(&id), boot_id) {
        (Ok(id), _) => id,
        _ if !id.is_empty() => Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{id}{name}").as_bytes()),
        (_, Some(boot_id)) => {
            Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{boot_id}{name}").as_bytes())
        }
        (_, None) => Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid(),
    };
    Uuid::new_v5(&host, text("service.name").as_bytes())
}

fn uname() -> Option<String> {
    rustix::system::uname()
        .nodename()
        .to_str()
        .ok()
        .map(str::to_owned)
}

/// `k=v,k2=v2`, values percent-encoded
/// ([specification](https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable)).
fn from_env(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = |text: &str| {
        percent_decode_str(text.trim())
            .decode_utf8_lossy()
            .into_owned()
    };
    pairs
        .map(|(key, value)| (decoded(key), decoded(value)))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_wins_over_the_environment_and_that_over_the_host() {
        let configured = BTreeMap::from([
            ("rack".to_owned(), AnyValue::Int(12)),
            ("a".to_owned(), "config".into()),
        ]);
        let attributes = resource(
            Path::new("/"),
            Some("a=env,b=x%2Cy, host.name = other ,=no"),
            &configured,
            BuildInfo::default(),
        );
        let text = |key| attributes.get(key).map(ToString::to_string);
        assert_eq!(text("a").as_deref(), Some("config"));
        assert_eq!(text("b").as_deref(), Some("x,y"));
        assert_eq!(text("host.name").as_deref(), Some("other"));
        assert_eq!(attributes.get("rack"), Some(&AnyValue::Int(12)));
        assert_eq!(
            resource(Path::new("/"), None, &configured, BuildInfo::default())
                .get("service.instance.id"),
            resource(Path::new("/"), None, &configured, BuildInfo::default())
                .get("service.instance.id")
        );
    }

    /// Of a host that has these files.
    fn of(files: &[(&str, &str)]) -> (Attributes, Option<String>) {
        let host = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = host.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let all = resource(host.path(), None, &BTreeMap::new(), BuildInfo::default());
        let prefix = host.path().display().to_string();
        let missing = undescribed(host.path(), &all).map(|it| it.replace(&prefix, "/host"));
        (all, missing)
    }

    fn text(all: &Attributes, key: &str) -> String {
        all.get(key).map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn a_host_s_id_is_the_machine_s_or_its_firmware_s_and_none_that_many_have() {
        let dmi = "sys/class/dmi/id/product_uuid";
        let firmware = (dmi, "4C4C4544-0035-4A10-8051-B7C04F4E3232\n");
        let machine = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        let id = |files: &[(&str, &str)]| text(&of(files).0, "host.id");
        assert_eq!(id(&[machine, firmware]), machine.1.trim());
        let lower_case = "4c4c4544-0035-4a10-8051-b7c04f4e3232";
        assert_eq!(id(&[firmware]), lower_case);
        assert_eq!(
            id(&[("etc/machine-id", "uninitialized\n"), firmware]),
            lower_case
        );
        for placeholder in [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "03000200-0400-0500-0006-000700080009",
            "Not Settable",
            "",
        ] {
            assert_eq!(id(&[(dmi, placeholder)]), "", "{placeholder}");
        }
    }

    #[test]
    fn an_instance_s_id_is_never_made_of_nothing() {
        let boot = |id| ("proc/sys/kernel/random/boot_id", id);
        let name = |name| ("etc/hostname", name);
        let id = |files: &[(&str, &str)]| text(&of(files).0, "service.instance.id");
        let first = id(&[boot("dd4e5c5a-9e0b-4b07-8f5e-6c0c0a4fca2c\n"), name("a")]);
        let again = id(&[boot("dd4e5c5a-9e0b-4b07-8f5e-6c0c0a4fca2c\n"), name("a")]);
        assert_eq!(first, again);
        let other_name = id(&[boot("dd4e5c5a-9e0b-4b07-8f5e-6c0c0a4fca2c\n"), name("b")]);
        let other_boot = id(&[boot("aa4e5c5a-9e0b-4b07-8f5e-6c0c0a4fca2c\n"), name("a")]);
        assert!(first != other_name && first != other_boot);
        // The machine's id counts alone: a host may be renamed.
        let machine = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        assert_eq!(id(&[machine, name("a")]), id(&[machine, name("b")]));
        // A mount of /sys alone: the kernel says which boot it is, through any /proc.
        assert_eq!(
            id(&[]),
            id(&[boot(
                &std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap()
            )])
        );
        let nothing = Attributes::default();
        assert_ne!(instance_id(&nothing, None), instance_id(&nothing, None));
    }

    #[test]
    fn what_is_not_known_of_a_host_is_said_with_the_file_to_mount() {
        let (all, missing) = of(&[]);
        assert_eq!(all.get("host.id"), None);
        let both = "host.id (/host/etc/machine-id), host.name (/host/etc/hostname)";
        assert_eq!(missing.as_deref(), Some(both));
        let files = [
            ("etc/machine-id", "0123456789abcdef0123456789abcdef"),
            ("etc/hostname", "a"),
        ];
        assert_eq!(of(&files).1, None);
        let own = undescribed(Path::new("/"), &all);
        assert_eq!(own, None, "what a host does not have, nobody can mount");
    }
}
