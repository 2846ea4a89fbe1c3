//! Batches as OTLP bytes, without the message being built.

use bytes::Bytes;

use super::template::Template;
use crate::data::{Batch, TableMap};

/// Encodes batches. What of a table's bytes stays the same is encoded once.
#[derive(Debug, Default)]
pub struct Encoder(TableMap<Template>);

impl Encoder {
    /// The bytes of a request's `resource_metrics` field for this batch; empty if it has no points. The bytes of several
    /// batches, one after the other, are an `ExportMetricsServiceRequest`: a repeated field concatenates.
    #[must_use]
    pub fn encode(&mut self, batch: &Batch) -> Bytes {
        if batch.points() == 0 {
            return Bytes::new();
        }
        let table = batch.table();
        let template = self.0.get_or_insert_with(table, || Template::new(table));
        template.fill(batch)
    }
}
