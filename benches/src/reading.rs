//! What the collector reads in a run, and its configuration.

use std::fmt::Write;

use crate::measure::Pipeline;

/// A receiver, and what its series are made into.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Its type, and its keys as YAML.
    pub(crate) receiver: (&'static str, String),
    /// The first actions of `labels`, as YAML: each ends with a comma.
    pub(crate) actions: &'static str,
    /// The configuration of `batch`, as YAML.
    pub(crate) batch: &'static str,
    pub(crate) subsystems: usize,
}

impl Reading {
    /// So many sweeps of it, to a peer at this address if it goes that far.
    pub(crate) fn config(&self, pipeline: Pipeline, sweeps: u64, address: &str) -> String {
        let mut exporters = format!(
            "  discard: {{sweeps: {sweeps}, subsystems: {}, encode: {}}}\n",
            self.subsystems,
            pipeline == Pipeline::Encoded
        );
        let mut ids = "discard";
        if let Pipeline::Otlp(compression) = pipeline {
            let _ = writeln!(
                exporters,
                "  otlp: {{endpoint: '{address}', tls: {{insecure: true}}, compression: {compression}, sending_queue: {{block_on_overflow: true, queue_size: 100}}}}"
            );
            ids = "otlp, discard";
        }
        self.service(pipeline != Pipeline::Sweep, &exporters, ids)
    }

    /// What it gives, as JSON on standard output.
    pub(crate) fn shown(&self) -> String {
        self.service(false, "  stdout: {format: json}\n", "stdout")
    }

    fn service(&self, is_processed: bool, exporters: &str, ids: &str) -> String {
        let processors = if is_processed {
            "metadata, labels, batch"
        } else {
            ""
        };
        let ((receiver, keys), actions, batch) = (&self.receiver, self.actions, self.batch);
        format!(
            "receivers:\n  {receiver}: {{{keys}}}\n\
             processors:\n  metadata: {{rules: [{{match: {{name: '*/metric_*'}}, kind: counter, unit: By}}]}}\n  \
             labels: {{actions: [{actions}{{extract: {{label: device, regex: '(?P<unit>[0-9]+)$'}}}}, {{name: {{template: '{{subsystem}}.{{metric}}'}}}}]}}\n  batch: {batch}\n\
             exporters:\n{exporters}service:\n  telemetry: {{logs: {{level: warn}}}}\n  shutdown_timeout: 1h\n  pipelines: {{metrics: {{receivers: [{receiver}], processors: [{processors}], exporters: [{ids}]}}}}\n"
        )
    }
}
