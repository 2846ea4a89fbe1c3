//! What the exporter needs of the system.

use http::Uri;
use pipeline::Right;
use pipeline_grpc::system_roots_rights;
use serde_json::Value;

use crate::auth::sources::{CredentialSources, read_credentials};

/// The port of Google's own servers.
const HTTPS: u16 = 443;
/// That of the metadata server, where its address has none.
const HTTP: u16 = 80;

/// Variables that name a proxy, which may be anywhere.
const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

/// What sending to this address takes.
pub(crate) fn of_address(address: &str) -> Vec<Right> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    Right::connect(host, port.parse().unwrap_or(HTTPS))
}

/// What asking the metadata server takes, if there is one.
pub(crate) fn of_metadata_server(sources: &CredentialSources) -> Vec<Right> {
    let firmware = Some(&sources.product_name_file).filter(|it| it.exists());
    let firmware = firmware.map(|it| Right::Read(it.clone()));
    let server = sources.metadata_server().map(|server| {
        let uri: Option<Uri> = format!("http://{server}").parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let port = uri.as_ref().and_then(Uri::port_u16);
        Right::connect(host, port.unwrap_or(HTTP))
    });
    firmware
        .into_iter()
        .chain(server.into_iter().flatten())
        .collect()
}

/// What having credentials takes.
pub(crate) fn of_credentials(sources: &CredentialSources, impersonates: bool) -> Vec<Right> {
    let mut rights = system_roots_rights();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|it| !it.is_empty());
    let has_proxy = |name: &str| is_set(name) || is_set(&name.to_uppercase());
    let by_proxy = PROXIES.iter().any(|name| has_proxy(name));
    rights.extend(by_proxy.then_some(Right::ConnectAnywhere));
    if impersonates {
        rights.extend([Right::Connect(HTTPS), Right::Resolve]);
    }
    if let Some(file) = sources.credentials_file() {
        rights.extend(of_account(&read_credentials(file).unwrap_or_default()));
    } else {
        rights.extend(of_metadata_server(sources));
        // It may come later, where there is nothing else.
        let later = sources.well_known_file.clone();
        let is_waited_for = sources.metadata_server().is_none();
        rights.extend(later.filter(|_| is_waited_for).map(Right::Read));
    }
    rights
}

/// What the account in a file takes.
fn of_account(account: &Value) -> Vec<Right> {
    let text = |key: &str| account.get(key).and_then(Value::as_str);
    if matches!(text("type"), Some("authorized_user" | "service_account")) {
        let uri: Option<Uri> = text("token_uri").and_then(|it| it.parse().ok());
        let named = uri.as_ref().and_then(Uri::port_u16);
        let plain = uri.is_some_and(|it| it.scheme_str() == Some("http"));
        let usual = if plain { HTTP } else { HTTPS };
        return vec![
            Right::Connect(named.unwrap_or(usual)),
            Right::Connect(HTTPS),
            Right::Resolve,
        ];
    }
    // Whom these ask, and by which means, is written in them, and in what they lead to.
    let source = &account["credential_source"];
    let file = source["file"].as_str().map(|it| Right::Read(it.into()));
    let runs = source.get("executable").map(|_| Right::Execute);
    let all = [Right::ConnectAnywhere, Right::Resolve];
    all.into_iter().chain(file).chain(runs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Vec<Right> {
        of_account(&serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn a_key_asks_its_own_server_and_another_account_anybody() {
        let token = r#"{"type": "authorized_user", "token_uri": "http://127.0.0.1:8080/token"}"#;
        assert!(of(token).contains(&Right::Connect(8080)));
        assert!(of(r#"{"type": "service_account"}"#).contains(&Right::Connect(443)));
        let runs = r#"{"type": "external_account", "credential_source": {"executable": {}}}"#;
        let runs = of(runs);
        assert!(runs.contains(&Right::Execute) && runs.contains(&Right::ConnectAnywhere));
        let reads = r#"{"type": "external_account", "credential_source": {"file": "/token"}}"#;
        assert!(of(reads).contains(&Right::Read("/token".into())));
    }

    #[test]
    fn the_metadata_server_is_asked_where_the_environment_says() {
        let sources = |host: Option<&str>| CredentialSources {
            metadata_host: host.map(String::from),
            product_name_file: "/no/such/file".into(),
            ..CredentialSources::default()
        };
        let of = |host| of_metadata_server(&sources(host));
        assert_eq!(of(Some("127.0.0.1:8080")), [Right::Connect(8080)]);
        let named = [Right::Connect(80), Right::Resolve];
        assert_eq!(of(Some("metadata.google.internal")), named);
        assert_eq!(of(None), []);
        assert_eq!(of_address("[::1]:4317"), [Right::Connect(4317)]);
    }
}
