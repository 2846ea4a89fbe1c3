//! A value from `${env:…}` is in no message, whatever refuses it: a canary stands in every leaf of every configuration.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use pipeline::{
    Batch, Component, Context, Demand, Error, Factory, Outbox, Processor, Registration, Result,
    schemars, serde,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

/// Set where this is the program.
const PROGRAM: &str = "CANARY_IS_THE_PROGRAM";

/// In each of the values, and in no message.
const CANARY: &str = "canary77";

/// Values that are refused by one or the other, and quoted whole, in part, or as Rust writes them.
const VALUES: [&str; 8] = [
    "canary77",
    "{canary77}[(",
    "canary77: \"a\\b\"\nand canary77\n",
    "http://canary77:canary77@host:1",
    "http://canary77/canary77",
    "[canary77",
    "5canary77",
    "/canary77/no/such/file/as/this",
];

/// A component whose own `build` quotes all that it is given.
#[derive(Debug)]
struct Quote;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
struct Config {
    text: Option<String>,
    nested: Option<Nested>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields)]
#[schemars(crate = "pipeline::schemars")]
#[allow(dead_code)] // shown
struct Nested {
    list: Vec<String>,
}

pipeline::register! { processor Quote }

impl Component for Quote {
    const TYPE: &'static str = "quote";
    type Config = Config;

    fn build(config: Config, _: &Context) -> Result<Quote> {
        if let Some(text) = config.text {
            let part = text.get(..9).unwrap_or(&text);
            let lines: Vec<_> = text.lines().collect();
            let why = format!("neither {text}, {text:?}, `{part}` nor {lines:?} is allowed");
            return Err(Error::at("text", why));
        }
        // It does not say which key it means.
        Err(Error::new(format!("cannot take {:?}", config.nested)))
    }
}

impl Processor for Quote {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        out.pass(batch);
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        below
    }
}

/// The configurations that a schema allows, each as small as it can be, with the canary in one leaf.
fn leaves(schema: &Value, root: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let of = root.pointer(name.trim_start_matches('#')).unwrap();
        return leaves(of, root);
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().flat_map(|it| leaves(it, root)).collect();
        }
    }
    if let Some(items) = schema.get("items").filter(|it| it.is_object()) {
        return leaves(items, root)
            .into_iter()
            .map(|it| json!([it]))
            .collect();
    }
    let mut all = Vec::new();
    if let Some(properties) = schema["properties"].as_object() {
        for (key, of) in properties {
            for leaf in leaves(of, root) {
                let mut map = required(schema, root);
                map.insert(key.clone(), leaf);
                all.push(Value::Object(map));
            }
        }
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|it| it.is_object())
    {
        all.extend(
            leaves(values, root)
                .into_iter()
                .map(|it| json!({"key": it})),
        );
    }
    if all.is_empty() {
        all = vec![json!("${env:CANARY}"), json!("a ${env:CANARY} b")];
    }
    all
}

/// The keys that have to be there.
fn required(schema: &Value, root: &Value) -> Map<String, Value> {
    let keys = schema["required"].as_array().into_iter().flatten();
    let keys = keys.map(|key| key.as_str().unwrap());
    keys.map(|key| (key.to_owned(), valid(&schema["properties"][key], root)))
        .collect()
}

/// A value that is allowed.
fn valid(schema: &Value, root: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return valid(root.pointer(name.trim_start_matches('#')).unwrap(), root);
    }
    if let Some(example) = schema["examples"].get(0).or(schema["enum"].get(0)) {
        return example.clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(first) = schema[key].get(0) {
            return valid(first, root);
        }
    }
    let of = &schema["type"];
    match of.as_str().or_else(|| of[0].as_str()).unwrap_or("object") {
        "string" => json!("(?P<x>x)"),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "array" => json!([]),
        _ => Value::Object(required(schema, root)),
    }
}

/// Each leaf of what is written, with the canary in its place.
fn replaced(written: &Value) -> Vec<Value> {
    match written {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| {
                replaced(value).into_iter().map(move |it| {
                    let mut map = map.clone();
                    map.insert(key.clone(), it);
                    Value::Object(map)
                })
            })
            .collect(),
        Value::Array(list) => list
            .iter()
            .flat_map(replaced)
            .map(|it| json!([it, "and another"]))
            .collect(),
        _ => vec![json!("${env:CANARY}"), json!("a ${env:CANARY} b")],
    }
}

/// A configuration of one instance of a type for each of these.
fn pipeline_of(kind: &str, name: &str, all: Vec<Value>) -> Value {
    let mut sections = json!({"receivers": {"statsfs": {"root": "/sys"}}, "processors": {}, "exporters": {"stdout": {}}});
    let section = format!("{kind}s");
    let (mut map, mut ids) = (Map::new(), Vec::new());
    for (number, config) in all.into_iter().enumerate() {
        let id = format!("{name}/{number}");
        ids.push(json!(id));
        map.insert(id, config);
    }
    sections[&section] = Value::Object(map);
    let mut pipeline = json!({"receivers": ["statsfs"], "exporters": ["stdout"]});
    sections["service"] = json!({});
    if kind == "extension" {
        sections["service"]["extensions"] = Value::Array(ids);
    } else {
        pipeline[&section] = Value::Array(ids);
    }
    sections["service"]["pipelines"] = json!({"metrics": pipeline});
    sections
}

/// All configurations: one of each component type with all of its leaves, and one of each leaf of the service.
fn configurations() -> Vec<Value> {
    let mut all = Vec::new();
    for of in Registration::all() {
        let schema = (of.schema)().to_value();
        let mut leaves = leaves(&schema, &schema);
        // In the place of the whole configuration, and of a map or a list in it.
        leaves.push(json!("${env:CANARY}"));
        let keys = schema["properties"].as_object().into_iter().flatten();
        leaves.extend(keys.map(|(key, _)| json!({key: "${env:CANARY}"})));
        if let Factory::Receiver(_) = &of.factory {
            leaves.push(json!({"optional": "${env:CANARY}"}));
        }
        if let Factory::Exporter(_, delivery) = &of.factory {
            let around = serde_json::to_value(pipeline_service::delivery_config(&delivery()));
            leaves.extend(replaced(&around.unwrap()));
            // What has no default to be shown.
            leaves.extend(replaced(&json!({
                "sending_queue": {
                    "queue_size": 1000, "storage": "x",
                    "batch": {"flush_timeout": "1s", "min_size": 1, "max_size": 1, "sizer": "items"}
                },
                "retry_on_failure": {"max_elapsed_time": "1h"}
            })));
        }
        assert!(leaves.len() >= 2, "{}: {schema}", of.type_name);
        all.push(pipeline_of(of.factory.kind(), of.type_name, leaves));
    }
    let whole = json!({
        "receivers": {"statsfs": {"root": "/sys"}}, "processors": {"labels": {}}, "exporters": {"stdout": {}}, "extensions": {"x": 1},
        "service": {
            "resource": {"rack": "12"}, "channel_capacity": 16, "shutdown_timeout": "10s", "host_root": "/no/such/host",
            "extensions": ["x"], "memory": {"limit": "1GiB", "limit_percentage": 50}, "telemetry": {"logs": {"level": "info", "encoding": "json", "summary_interval": "1m"}},
            "pipelines": {"metrics": {"receivers": ["statsfs"], "processors": ["labels"], "exporters": ["stdout"]}, "traces": {}}
        }
    });
    all.extend(replaced(&whole));
    all
}

/// What the program says of a configuration, and whether it is a valid one.
fn output(arguments: &[&str], configuration: &Value, canary: &str) -> (String, bool) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    let program = program.args(arguments).args(["--config", "-"]);
    let program = program.env(PROGRAM, "1").env("CANARY", canary);
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin
        .write_all(configuration.to_string().as_bytes())
        .unwrap();
    drop(stdin);
    let output = program.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

/// All that a server answers, once this is in it.
fn until_it_tells<S: Read + Write>(connect: impl Fn() -> S, path: &str, shown: &str) -> String {
    loop {
        let (mut stream, mut told) = (connect(), Vec::new());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream.read_to_end(&mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        if told.contains(shown) {
            return told;
        }
    }
}

fn main() -> ExitCode {
    if std::env::var_os(PROGRAM).is_some() {
        return statsfs_collector::main(statsfs_collector::BUILD_INFO);
    }
    let (mut refused, mut hidden) = (0, 0);
    let configurations = configurations();
    for configuration in &configurations {
        // The service's are many and alike.
        let is_service = configuration["processors"].get("labels").is_some();
        let values = if is_service { &VALUES[..2] } else { &VALUES };
        for value in values {
            let (text, _) = output(&["validate"], configuration, value);
            assert!(!text.contains(CANARY), "{value:?}: {text}");
            refused += text.matches("error: ").count();
            hidden += text.matches("${env:CANARY}").count();
        }
    }
    eprintln!(
        "{} configurations, {refused} mistakes, {hidden} references",
        configurations.len()
    );
    assert!(refused > 1_000 && hidden > 1_000);
    // A number is hidden where it is refused, and not wherever it stands.
    let nothing = pipeline_of(
        "receiver",
        "statsfs",
        vec![json!({"readers": "${env:CANARY}"})],
    );
    let (text, _) = output(&["validate"], &nothing, "-7");
    assert!(
        text.contains("expected a whole number, 0 or more, found the value of `${env:CANARY}`"),
        "{text}"
    );
    assert!(!text.contains("-7"), "{text}");
    // Nor is it in the logs of what runs, whatever is logged.
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("s")).unwrap();
    std::fs::write(tree.path().join("s/one"), "1\n").unwrap();
    let mut secret = pipeline_of(
        "exporter",
        "otlp",
        vec![json!({
            "endpoint": "http://127.0.0.1:1", "headers": {"authorization": "Bearer ${env:CANARY}"}, "retry_on_failure": {"enabled": false}
        })],
    );
    secret["receivers"]["statsfs"]["root"] = json!(tree.path());
    secret["service"]["telemetry"] = json!({"logs": {"level": "trace"}});
    let (text, _) = output(&["run", "--once"], &secret, CANARY);
    assert!(text.contains("TRACE") && !text.contains(CANARY), "{text}");
    let (text, is_valid) = output(&["print-config"], &secret, CANARY);
    assert!(is_valid && !text.contains(CANARY), "{text}");
    // Nor does anything tell it that listens.
    let socket = tree.path().join("health.sock");
    let endpoint = format!("unix:{}", socket.display());
    secret["extensions"] = json!({"health_check": {"endpoint": endpoint, "stale_after": "1ms"}});
    secret["service"]["extensions"] = json!(["health_check"]);
    let metrics = tree.path().join("metrics.sock");
    secret["exporters"]["prometheus"] = json!({"endpoint": format!("unix:{}", metrics.display())});
    secret["service"]["pipelines"]["metrics"]["exporters"] = json!(["otlp/0", "prometheus"]);
    // It is free again at once.
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let own = own.unwrap();
    let reader = json!({"pull": {"exporter": {"prometheus": {"host": own.ip().to_string(), "port": own.port()}}}});
    secret["service"]["telemetry"] = json!({"metrics": {"level": "detailed", "readers": [reader]}});
    let configuration = tree.path().join("config.json");
    std::fs::write(&configuration, secret.to_string()).unwrap();
    let mut running = Command::new("timeout");
    running.args(["--signal=KILL", "120"]);
    running.arg(std::env::current_exe().unwrap());
    running.env(PROGRAM, "1").env("CANARY", CANARY);
    let running = running.arg("--config").arg(configuration);
    let mut running = running.stderr(Stdio::null()).spawn().unwrap();
    loop {
        assert!(running.try_wait().unwrap().is_none(), "it has ended");
        let mut health = Command::new(std::env::current_exe().unwrap());
        health.env(PROGRAM, "1").args(["health", "--endpoint"]);
        let told = health.arg(&endpoint).output().unwrap().stdout;
        let told = String::from_utf8(told).unwrap();
        assert!(!told.contains(CANARY), "{told}");
        if told.contains("exporter:otlp") && told.contains("127.0.0.1:1: ") {
            break;
        }
    }
    for (path, shown) in [("/metrics", "\ns_one{"), ("/", "404"), ("/../x?y", "404")] {
        let stream = || UnixStream::connect(&metrics).unwrap();
        let told = until_it_tells(stream, path, shown);
        assert!(!told.contains(CANARY), "{told}");
        let stream = || TcpStream::connect(own).unwrap();
        let shown = shown.replace("s_one{", "otelcol_process_uptime_seconds_total");
        let told = until_it_tells(stream, path, &shown);
        assert!(!told.contains(CANARY), "{told}");
    }
    // It passes the signal on.
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    running.wait().unwrap();
    println!("a value from the environment ... is in no message");
    ExitCode::SUCCESS
}
