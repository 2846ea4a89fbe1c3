//! How large requests are as OTLP.

use pipeline::formats::otlp::Encoder;
use pipeline::{Batch, TableMap};

/// What batches have as OTLP, in bytes, without being encoded: a table's first one is, and later ones have as much a point.
#[derive(Default)]
pub(in super::super) struct OtlpSizes(TableMap<Measured>);

struct Measured {
    bytes: usize,
    points: usize,
}

impl OtlpSizes {
    pub(in super::super) fn of(&mut self, request: &[Batch]) -> usize {
        request.iter().map(|it| self.of_batch(it)).sum()
    }

    pub(in super::super) fn of_batch(&mut self, batch: &Batch) -> usize {
        let points = batch.points();
        if points == 0 {
            return 0;
        }
        let measure = || Measured {
            bytes: Encoder::default().encode(batch).len(),
            points,
        };
        let known = self.0.get_or_insert_with(batch.table(), measure);
        if points > 2 * known.points {
            // What a table has beside its points counted for too much.
            *known = measure();
        }
        known.bytes.saturating_mul(points) / known.points
    }
}
