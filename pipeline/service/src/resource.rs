//! The OpenTelemetry resource: which host this is.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::percent_decode_str;
use pipeline::config::{MAX_FILE_BYTES, read_file};
use pipeline::{AnyValue, Attributes, BuildInfo};
use uuid::Uuid;

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
    let name = if own { uname() } else { read("etc/hostname") };
    // An image built for many hosts has the word "uninitialized" there until it first boots (machine-id(5)).
    let id = read("etc/machine-id")
        .or_else(|| read("var/lib/dbus/machine-id"))
        .filter(|id| id != "uninitialized");
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
        all.set("service.instance.id", instance_id(&all).to_string());
    }
    all
}

/// Stable over restarts: a `UUIDv5` of the host's id (its name where it has none) and the service's name.
fn instance_id(all: &Attributes) -> Uuid {
    let text = |key| all.get(key).map(ToString::to_string).unwrap_or_default();
    let host = Uuid::try_parse(&text("host.id"));
    let host = host.unwrap_or_else(|_| {
        Uuid::new_v5(
            &Uuid::NAMESPACE_DNS,
            format!("{}{}", text("host.id"), text("host.name")).as_bytes(),
        )
    });
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

    #[test]
    fn a_host_without_a_machine_id_gets_none() {
        let attributes = resource(
            Path::new("/no/such/host"),
            None,
            &BTreeMap::new(),
            BuildInfo::default(),
        );
        assert_eq!(attributes.get("host.id"), None);
        assert!(attributes.get("service.instance.id").is_some());
    }
}
