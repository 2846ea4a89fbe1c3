//! What a scrape costs, by CPU time, bytes and memory: the exporter `prometheus` beside the textfile collector of Debian's
//! node_exporter and the real Collector's exporter of that name, each with the same series, one scrape of each in turn.

use std::io;
use std::path::Path;

use crate::measure::{Bench, Pipeline, float};
use crate::otelcol;
use crate::report::{lacks, mib, say};
use crate::served::{Served, free_port, write};
use crate::trees::{self, Tree};

const SIZES: [usize; 2] = [10_000, 100_000];
const ROUNDS: usize = 7;
/// The interval of a run with one sweep.
const HOUR_MS: usize = 3_600_000;

/// What Prometheus sends.
const ACCEPT: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

/// Each size beside the others.
pub(crate) fn scrape(bench: &Bench, directory: &Path) -> io::Result<()> {
    say("")?;
    say(
        "| series | served by | CPU ms a scrape with gzip: median (least–most) | ns a series | MB | CPU ms without gzip | MB | resident after it, MiB | at its peak |",
    )?;
    say("|---|---|---|---|---|---|---|---|---|")?;
    for series in SIZES {
        let tree = trees::tmpfs(directory, series, 10, true)?;
        of_size(bench, directory, &tree)?;
        std::fs::remove_dir_all(&tree.root)?;
    }
    Ok(())
}

fn of_size(bench: &Bench, directory: &Path, tree: &Tree) -> io::Result<()> {
    let tables = bench.collector(&tree.reading_each(HOUR_MS), Pipeline::Null, 1, false)?;
    let tables = (tables.memory - tables.file_memory) * 1024;
    let ours = ours(directory, tree)?;
    let text = ours.wait_for(tree.files)?;
    let mut all = vec![ours];
    match node_exporter(directory, &text) {
        Ok(served) => all.push(served),
        Err(error) => lacks(
            "node_exporter",
            &format!("prometheus-node-exporter: {error}"),
        )?,
    }
    match collector(bench, directory, tree) {
        Ok(served) => all.push(served),
        Err(error) => lacks("the Collector", &error.to_string())?,
    }
    for served in &all[1..] {
        served.wait_for(tree.files)?;
    }
    let mut costs: Vec<[Vec<f64>; 2]> = all.iter().map(|_| Default::default()).collect();
    let mut bytes = vec![[0; 2]; all.len()];
    for _ in 0..ROUNDS {
        for ((served, costs), bytes) in all.iter().zip(&mut costs).zip(&mut bytes) {
            for (at, headers) in [format!("{ACCEPT}{GZIP}"), ACCEPT.into()]
                .iter()
                .enumerate()
            {
                let (cost, body) = served.scrape(headers)?;
                costs[at].push(cost);
                bytes[at] = body.len();
            }
        }
    }
    let mut medians = Vec::new();
    for ((served, costs), bytes) in all.iter().zip(&mut costs).zip(&bytes) {
        let [zipped, plain] = costs.each_mut().map(|it| {
            it.sort_by(f64::total_cmp);
            (it[it.len() / 2], it[0], it[it.len() - 1])
        });
        let memory = served.memory()?;
        say(&format!(
            "| {} | {} | {:.2} ({:.2}–{:.2}) | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} |",
            tree.files,
            served.name,
            zipped.0 / 1e6,
            zipped.1 / 1e6,
            zipped.2 / 1e6,
            zipped.0 / float(tree.files as u64),
            float(bytes[0] as u64) / 1e6,
            plain.0 / 1e6,
            float(bytes[1] as u64) / 1e6,
            mib(memory.resident),
            mib(memory.peak),
        ))?;
        medians.push(zipped.0);
    }
    let better = medians[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let own = all[0].memory()?.anonymous.saturating_sub(tables);
    say("")?;
    say(&format!(
        "{} series: {:.1} % of the better one's CPU time; {:.0} bytes of memory a series beyond the tables",
        tree.files,
        medians[0] / better * 100.0,
        float(own) / float(tree.files as u64)
    ))?;
    say("")
}

/// This program with the exporter; it sweeps once.
fn ours(directory: &Path, tree: &Tree) -> io::Result<Served> {
    let port = free_port()?;
    let exporter =
        format!("prometheus: {{endpoint: '127.0.0.1:{port}', without_scope_info: true}}");
    let config = config(tree, &exporter, "prometheus");
    let config = write(directory, "ours.yaml", &config)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.env(crate::measure::COLLECTOR, directory.join("ours.report"));
    command.arg("--config").arg(config);
    Served::start("statsfs-collector", command, port)
}

fn config(tree: &Tree, exporter: &str, id: &str) -> String {
    format!(
        "receivers: {{statsfs: {{root: '{}', collection_interval: 1h, timeout: 1h}}}}\n\
         processors: {{metadata: {{rules: [{{match: {{name: '*/metric_*'}}, kind: counter, unit: By}}]}}, batch: {{}}}}\n\
         exporters: {{{exporter}}}\n\
         service:\n  telemetry: {{logs: {{level: warn}}}}\n  pipelines: {{metrics: {{receivers: [statsfs], processors: [metadata, batch], exporters: [{id}]}}}}\n",
        tree.root.display()
    )
}

/// The same series as a file, but for what each adds of its own.
fn node_exporter(directory: &Path, text: &str) -> io::Result<Served> {
    let files = directory.join("textfile");
    std::fs::create_dir_all(&files)?;
    let lines = text.lines().filter(|it| !it.contains("target_info"));
    let text: String = lines.flat_map(|it| [it, "\n"]).collect();
    write(&files, "all.prom", &text)?;
    let port = free_port()?;
    let mut command = std::process::Command::new("prometheus-node-exporter");
    command.args(["--collector.disable-defaults", "--collector.textfile"]);
    command.args(["--web.disable-exporter-metrics", "--log.level=error"]);
    command.arg(format!(
        "--collector.textfile.directory={}",
        files.display()
    ));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Served::start("node_exporter, textfile", command, port)
}

/// The real Collector, to which one sweep is sent.
fn collector(bench: &Bench, directory: &Path, tree: &Tree) -> io::Result<Served> {
    let (otlp, port) = (free_port()?, free_port()?);
    let config = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{otlp}', max_recv_msg_size_mib: 256}}}}}}}}\n\
         exporters: {{prometheus: {{endpoint: '127.0.0.1:{port}', metric_expiration: 24h, enable_open_metrics: true, without_scope_info: true}}}}\n\
         service:\n  telemetry: {{logs: {{level: error}}, metrics: {{level: none}}}}\n  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheus]}}}}\n"
    );
    let config = write(directory, "otelcol.yaml", &config)?;
    let mut command = std::process::Command::new(otelcol::program()?);
    command.arg("--config").arg(config);
    let served = Served::start("Collector, prometheusexporter", command, port)?;
    bench.once(&self::config(
        tree,
        &format!("otlp: {{endpoint: '127.0.0.1:{otlp}', tls: {{insecure: true}}}}"),
        "otlp",
    ))?;
    Ok(served)
}
