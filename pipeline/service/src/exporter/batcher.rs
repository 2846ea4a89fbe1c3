//! Requests that wait to be joined before they are queued, and are parted where they are too large: `sending_queue.batch`.

use std::time::Duration;

use pipeline::{Batch, TableSplitter, points};
use tokio::time::Instant;

use super::queue::OtlpSizes;
use crate::config::{SendingQueue, Sizer};
use crate::processor::Request;

/// What waits for more.
pub(super) struct Batcher {
    flush_timeout: Duration,
    min_size: usize,
    /// `usize::MAX`: no limit.
    max_size: usize,
    sizer: Sizer,
    /// Whether batches without points wait too.
    keeps_empty: bool,
    request: Request,
    size: usize,
    /// When the first of it came.
    since: Option<Instant>,
    sizes: OtlpSizes,
    splitter: TableSplitter,
}

impl Batcher {
    /// As it is configured, if it is.
    pub(super) fn new(queue: &SendingQueue, keeps_empty: bool) -> Option<Batcher> {
        let batch = queue.batch.as_ref()?;
        Some(Batcher {
            flush_timeout: batch.flush_timeout.0,
            min_size: batch.min_size,
            max_size: if batch.max_size > 0 {
                batch.max_size
            } else {
                usize::MAX
            },
            sizer: queue.batch_sizer(),
            keeps_empty,
            request: Vec::new(),
            size: 0,
            since: None,
            sizes: OtlpSizes::default(),
            splitter: TableSplitter::default(),
        })
    }

    /// Until when what waits may wait, if anything does.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.since?.checked_add(self.flush_timeout)
    }

    /// Takes a request: the requests that wait no longer, in order.
    pub(super) fn add(&mut self, request: Request) -> Vec<Request> {
        let mut done = Vec::new();
        for batch in request {
            for part in self.parts(batch) {
                let size = self.size_of(&part);
                if !self.request.is_empty() && self.size.saturating_add(size) > self.max_size {
                    done.extend(self.flush());
                }
                self.since.get_or_insert_with(Instant::now);
                self.size += size;
                self.request.push(part);
            }
        }
        if self.size >= self.min_size {
            done.extend(self.flush());
        }
        done
    }

    /// What waits, if anything does: it waits no longer.
    pub(super) fn flush(&mut self) -> Option<Request> {
        (self.size, self.since) = (0, None);
        let request = std::mem::take(&mut self.request);
        (!request.is_empty()).then_some(request)
    }

    /// How many points wait.
    pub(super) fn points(&self) -> u64 {
        points(&self.request)
    }

    /// A batch in parts that are not too large.
    fn parts(&mut self, batch: Batch) -> Vec<Batch> {
        let (size, rows) = (self.size_of(&batch), batch.table().len());
        if size <= self.max_size || rows == 1 {
            return vec![batch];
        }
        // Parts are small enough if all rows are alike; those that are not are split again.
        let rows = (rows / size.div_ceil(self.max_size)).max(1);
        let parts = self.splitter.split(batch, rows).into_iter();
        let keeps_empty = self.keeps_empty;
        let parts = parts.filter(|part| keeps_empty || part.points() > 0);
        parts.flat_map(|part| self.parts(part)).collect()
    }

    fn size_of(&mut self, batch: &Batch) -> usize {
        match self.sizer {
            Sizer::Bytes => self.sizes.of_batch(batch),
            _ => batch.points(),
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::formats::text;

    use super::*;

    fn batcher(yaml: &str) -> Batcher {
        let queue = serde_yaml::from_str(yaml).expect("a queue");
        Batcher::new(&queue, false).expect("a batch")
    }

    fn request(count: usize) -> Request {
        let lines = (0..count).map(|it| format!("s/c{{device={it:04}}} 1\n"));
        text::parse(&lines.collect::<String>()).expect("points")
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_it_is_large_enough_or_the_time_is_over() {
        let mut batcher = batcher("{batch: {min_size: 10, flush_timeout: 3s}}");
        assert_eq!(batcher.waits_until(), None);
        assert!(batcher.add(request(4)).is_empty());
        let until = Instant::now() + Duration::from_secs(3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(batcher.add(request(5)).is_empty());
        assert_eq!(batcher.waits_until(), Some(until), "since the first of it");
        assert_eq!(batcher.points(), 9);
        let done = batcher.add(request(1));
        assert_eq!(done.iter().map(|it| points(it)).collect::<Vec<_>>(), [10]);
        assert_eq!(batcher.waits_until(), None);
        assert!(batcher.flush().is_none());
    }

    #[test]
    fn no_request_is_larger_than_it_may_be_and_nothing_is_lost_or_out_of_order() {
        for sizer in ["items", "bytes"] {
            let text = format!("{{batch: {{min_size: 0, max_size: 700, sizer: {sizer}}}}}");
            let mut batcher = batcher(&text);
            let mut sizes = OtlpSizes::default();
            let all = [request(1), request(2000), request(5)].concat();
            let done = batcher.add(all.clone());
            assert!(done.len() > 2, "{sizer}");
            for request in &done {
                let size = if sizer == "bytes" {
                    sizes.of(request)
                } else {
                    usize::try_from(points(request)).expect("few")
                };
                assert!(size <= 700, "{sizer}: {size}");
            }
            assert_eq!(text::format(&done.concat()), text::format(&all));
        }
    }
}
