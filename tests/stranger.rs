//! A receiver that no one here knows may be without series too, where it says `optional: true`, which it knows nothing of.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pipeline::{
    Batch, Component, Context, Demand, Head, Outlet, Receiver, ReceiverClock, Result, Series,
    StartupReport, Sweep, Table, Times, Value, async_trait, schemars, serde,
};

/// Set where this is the program.
const PROGRAM: &str = "STRANGER_IS_THE_PROGRAM";

/// A receiver that has one point, or none, of which it may say something or not.
struct Bare(Config, Context);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(crate = "pipeline::serde", deny_unknown_fields, default)]
#[schemars(crate = "pipeline::schemars")]
#[derive(Default)]
struct Config {
    has_point: bool,
    reports: bool,
}

pipeline::register! { receiver Bare }

impl Component for Bare {
    const TYPE: &'static str = "bare";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Bare> {
        Ok(Bare(config, context.clone()))
    }
}

#[async_trait]
impl Receiver for Bare {
    async fn run(self: Box<Self>, _: Demand, mut out: Outlet, clock: ReceiverClock) -> Result<()> {
        let Bare(config, context) = *self;
        if config.reports {
            out.report_startup(StartupReport::Missing("the shelf (it is bare)".into()));
        }
        let (resource, scope) = (context.resource.clone(), context.scope.clone());
        let head = Head::new(resource, scope, "bare".into(), "bare/0".into());
        let table = Table::new(
            Arc::new(head),
            vec![Series::new("bare/one", Arc::default())],
        );
        let mut ticks = clock.ticks(Duration::from_secs(1), Duration::ZERO);
        while let Some(number) = ticks.next().await {
            if config.has_point {
                let sweep = Sweep::new(number, Duration::from_secs(1), true);
                let (times, value) = (Times::One(1), vec![Value::Int(1)]);
                let batch = Batch::new(table.clone(), Arc::from([0]), times, value, sweep);
                let _ = out.send(batch).await;
            }
        }
        Ok(())
    }
}

fn run(arguments: &[&str], receivers: &str) -> Output {
    let config = format!(
        "receivers: {{bare/full: {{has_point: true}}, bare: {receivers}}}\nexporters: {{stdout: {{}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [bare/full, bare], exporters: [stdout]}}}}}}\n"
    );
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(arguments).env(PROGRAM, "1");
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(config.as_bytes()).unwrap();
    drop(stdin);
    program.wait_with_output().unwrap()
}

fn once(receiver: &str) -> (Option<i32>, String) {
    let output = run(&["--once", "--config", "-"], receiver);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("bare/one"), "the other's: {stdout}");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn main() -> ExitCode {
    if std::env::var_os(PROGRAM).is_some() {
        return statsfs_collector::main(statsfs_collector::BUILD_INFO);
    }
    let (code, stderr) = once("{}");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no point came from `bare`;"), "{stderr}");
    let (code, stderr) = once("{reports: true}");
    assert_eq!(code, Some(1), "{stderr}");
    let warning = "WARN it has no series; `optional: true` allows that component=\"bare\" detail=\"the shelf (it is bare)\"";
    assert!(stderr.contains(warning), "{stderr}");
    for optional in ["{optional: true}", "{optional: true, reports: true}"] {
        let (code, stderr) = once(optional);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(!stderr.contains("WARN"), "{stderr}");
    }
    let defaults = run(&["print-config", "--defaults", "--config", "-"], "{}");
    let defaults = String::from_utf8(defaults.stdout).unwrap();
    assert_eq!(defaults.matches("optional: false").count(), 2, "{defaults}");
    let schema: serde_json::Value = serde_json::from_slice(&run(&["schema"], "{}").stdout).unwrap();
    let bare = &schema["definitions"]["receiver.bare"]["properties"];
    assert_eq!(bare["optional"]["anyOf"][0]["default"], false, "{bare}");
    println!("a stranger's receiver ... may be optional");
    ExitCode::SUCCESS
}
