//! A processor, run without a task.

use pipeline::telemetry::Counters;
use pipeline::{Outbox, Processor};

use crate::processor::{Request, record_error};

/// A processor, and what it has let out.
pub(super) struct Stage {
    pub(super) id: String,
    pub(super) processor: Box<dyn Processor>,
    out: Outbox,
}

impl Stage {
    pub(super) fn new(id: &str, processor: Box<dyn Processor>, counters: &Counters) -> Stage {
        Stage {
            id: id.to_owned(),
            processor,
            out: Outbox::new(counters.of(id)),
        }
    }

    /// What it makes of a request.
    pub(super) fn process(&mut self, request: Request) -> Request {
        for batch in request {
            let points = batch.points();
            let result = self.processor.process(batch, &mut self.out);
            record_error(result, points, &self.out);
        }
        self.out.take().concat()
    }

    /// What it has held until the end.
    pub(super) fn flush(&mut self) -> Request {
        let result = self.processor.flush(&mut self.out);
        record_error(result, 0, &self.out);
        self.out.take().concat()
    }
}
