//! The contracts, and a whole extension, asked over a real socket.

use std::time::Duration;

use extension_health_check::HealthCheck;
use pipeline::telemetry::Counters;
use pipeline::testing::{assert_contracts, context, mistakes, node};
use pipeline::{Factory, Host, Registration, Shutdown, Status};
use pipeline_http::{Endpoint, get};
use tokio::sync::watch;

const README: &str = include_str!("../README.md");

#[test]
fn it_keeps_the_contracts() {
    let yaml = "endpoint: 127.0.0.1:0\npath: /health\nstale_after: 10s\nallowed_hosts: [node-1]\nlimits: {max_connections: 2}";
    assert_contracts::<HealthCheck>(README, yaml, "");
}

#[test]
fn a_path_that_cannot_be_one_is_an_error_at_its_key() {
    for path in ["health", "/{all}", "/a b", "/readyz", "/*"] {
        let mistakes = mistakes::<HealthCheck>(&format!("path: '{path}'"));
        assert!(mistakes[0].starts_with("path: "), "{mistakes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_answers_on_each_path_and_to_get_only() {
    let folder = std::env::temp_dir().join(format!("health_check-{}", std::process::id()));
    let endpoint: Endpoint = format!("unix:{}", folder.display()).parse().expect("one");
    let of = Registration::all();
    let of = of.iter().find(|it| it.type_name == "health_check");
    let Some(Factory::Extension(decode)) = of.map(|it| &it.factory) else {
        panic!("it is registered")
    };
    let yaml = format!("endpoint: '{endpoint}'\npath: /health");
    let decoded = decode(&node(&yaml)).expect("it is decoded");
    let extension = (decoded.value)(&context()).expect("it is built");
    let host = Host::new(Counters::new("test"), Status::default());
    extension.start(&host).await.expect("it starts");
    let (end, hear) = watch::channel(false);
    let run = tokio::spawn(async move { extension.run(Shutdown::new(hear)).await });
    let asked = async |path| {
        get(&endpoint, path, Duration::from_mins(1))
            .await
            .expect("an answer")
    };
    for path in ["/health", "/livez"] {
        let (code, body) = asked(path).await;
        assert_eq!(code, 200);
        assert!(
            body.starts_with(r#"{"status":"Server available","upSince":"#),
            "{body}"
        );
    }
    let (code, body) = asked("/readyz").await;
    assert_eq!(code, 200, "{body}");
    assert!(
        body.contains(r#""healthy":true,"status":"StatusOK""#),
        "{body}"
    );
    assert_eq!(asked("/").await.0, 404);
    host.status().end();
    assert_eq!(asked("/readyz").await.0, 503);
    assert_eq!(asked("/livez").await.0, 200);
    end.send_replace(true);
    run.await.expect("no panic").expect("no error");
}
