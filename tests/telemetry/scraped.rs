//! A program whose own telemetry is scraped, and what the documentation says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr};

use rustix::process::Signal;

use crate::common::{collector, lines_until, repository, signal};
use crate::scraping::http::get;

/// A program with a `pull` reader.
pub(super) struct Scraped {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Scraped {
    /// Once it listens. Its standard output is not read.
    pub(super) fn start(config: &str) -> Scraped {
        let mut child = collector(config, &[]);
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = lines_until(&mut stderr, |line| line.contains(" address="));
        let address = lines.last().unwrap().split_once("address=\"").unwrap().1;
        let address = address.split('"').next().unwrap().parse().unwrap();
        Scraped {
            child,
            address,
            stderr,
        }
    }

    pub(super) fn text(&self) -> String {
        get(self.address, "/metrics", &[]).body().to_owned()
    }

    /// What it shows once it shows this.
    pub(super) fn wait_for(&self, is_wanted: impl Fn(&Exposed) -> bool) -> Exposed {
        loop {
            let exposed = Exposed::new(&self.text());
            if is_wanted(&exposed) {
                return exposed;
            }
            std::thread::yield_now();
        }
    }

    /// Ends it. The rest of its standard error.
    pub(super) fn end(mut self) -> String {
        signal(&self.child, Signal::TERM);
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// A test that fails leaves none behind.
impl Drop for Scraped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An exposition, read.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    /// The type of each family.
    pub(super) kinds: BTreeMap<String, String>,
    /// Names, labels and values.
    pub(super) points: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Exposed {
    pub(super) fn new(text: &str) -> Exposed {
        let mut exposed = Exposed::default();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                exposed.kinds.insert(name.into(), kind.into());
            }
            if line.starts_with('#') {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split("\",");
            let labels = labels.filter_map(|it| it.split_once("=\""));
            let labels = labels.map(|(key, value)| (key.into(), value.replace('"', "")));
            let labels = labels.collect();
            exposed
                .points
                .push((name.into(), labels, value.parse().unwrap()));
        }
        exposed
    }

    /// The sum of all series of this name that have these labels, where they count.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name}: {sum}");
        sum as u64
    }

    /// The sum of all series of this name that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |own: &BTreeMap<String, String>| {
            let mut all = labels.iter();
            all.all(|(key, value)| own.get(*key).is_some_and(|it| it == value))
        };
        let fits = |(own, labels, _): &&(String, BTreeMap<String, String>, f64)| {
            own == name && has(labels)
        };
        self.points.iter().filter(fits).map(|it| it.2).sum()
    }
}

/// A line of docs/telemetry.md.
#[derive(Clone, Debug)]
pub(super) struct Documented {
    pub(super) name: String,
    pub(super) in_prometheus: String,
    pub(super) kind: String,
    /// As Prometheus has them; `*component*` stands for all kinds.
    pub(super) labels: BTreeSet<String>,
    pub(super) level: String,
    pub(super) is_from_start: bool,
}

/// All lines of docs/telemetry.md.
pub(super) fn documented() -> Vec<Documented> {
    let document = std::fs::read_to_string(repository("docs/telemetry.md")).unwrap();
    let rows = document.lines().filter(|line| {
        line.starts_with("| `otelcol_") || line.starts_with("| `statsfs_collector_")
    });
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let text = |at: usize| cells[at].trim_matches('`').to_owned();
        let labels = cells[5].split(", ").filter(|it| !it.is_empty());
        let labels = labels.map(|it| it.trim_matches('`').replace('.', "_"));
        Documented {
            name: text(1),
            in_prometheus: text(2),
            kind: text(3),
            labels: labels.collect(),
            level: text(6),
            is_from_start: text(7) == "the start",
        }
    };
    rows.map(row).collect()
}

/// Holds what is shown to the documentation.
pub(super) fn assert_documented(exposed: &Exposed) {
    const KINDS: [&str; 5] = ["receiver", "processor", "exporter", "extension", "pipeline"];
    let documented = documented();
    for (name, labels, _) in &exposed.points {
        if name == "target_info" {
            continue;
        }
        let line = documented.iter().find(|it| it.in_prometheus == *name);
        let line = line.unwrap_or_else(|| panic!("{name} is not in docs/telemetry.md"));
        assert_eq!(exposed.kinds[name], line.kind, "{name}");
        for key in labels.keys() {
            let is_component = line.labels.contains("*component*") && KINDS.contains(&&**key);
            assert!(line.labels.contains(key) || is_component, "{name}: {key}");
        }
    }
}
