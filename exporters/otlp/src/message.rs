//! What goes into one message: all of a request, or as much as the peer takes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pipeline::formats::otlp::Encoder;
use pipeline::{Batch, TableSplitter};
use tokio::time::Instant;

/// One refusal lowers the limit to this at the most. What is smaller has to be refused itself, and then halves it: a peer
/// that says that it takes a byte is not believed.
const LEAST_STATED: usize = 64 << 10;

/// What gRPC's peers take where nobody has said otherwise
/// ([grpc-go](https://pkg.go.dev/google.golang.org/grpc#MaxRecvMsgSize), a Collector too).
const DEFAULT_LIMIT: usize = 4 << 20;

/// After this time the peer is asked anew: it may take more by then.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// Parts requests to what a peer takes, which is learnt from its refusals.
#[derive(Debug)]
pub(crate) struct MessageLimit {
    component: Arc<str>,
    /// Bytes of a message, before compression (peers hold that against their limit too), and when that was learnt.
    learnt: Mutex<Option<(usize, Instant)>>,
    encoder: Mutex<Encoder>,
    splitter: Mutex<TableSplitter>,
    is_warned: AtomicBool,
}

/// Batches that go together, and their bytes.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) batches: Vec<Batch>,
    pub(crate) parts: Vec<Bytes>,
    pub(crate) size: usize,
}

impl MessageLimit {
    pub(crate) fn none(component: &Arc<str>) -> MessageLimit {
        MessageLimit {
            component: Arc::clone(component),
            learnt: Mutex::default(),
            encoder: Mutex::default(),
            splitter: Mutex::default(),
            is_warned: AtomicBool::new(false),
        }
    }

    /// The next message of what is left, in order: whole batches, or some rows of one that is too large by itself; a
    /// single row may still be. `None` at the end.
    pub(crate) fn next(&self, left: &mut VecDeque<Batch>) -> Option<Message> {
        let max_bytes = self.bytes();
        let mut message = Message {
            batches: Vec::new(),
            parts: Vec::new(),
            size: 0,
        };
        while let Some(batch) = left.pop_front() {
            let bytes = locked(&self.encoder).encode(&batch);
            let (size, rows) = (bytes.len(), batch.table().len());
            if !message.batches.is_empty() && message.size.saturating_add(size) > max_bytes {
                left.push_front(batch);
                break;
            }
            if size > max_bytes && rows > 1 {
                // Parts are as large as fits if all rows are alike; those that are not are split again.
                let rows = (rows / size.div_ceil(max_bytes)).max(1);
                let parts = locked(&self.splitter).split(batch, rows);
                parts.into_iter().rev().for_each(|it| left.push_front(it));
            } else if batch.points() > 0 {
                message.size += size;
                message.parts.push(bytes);
                message.batches.push(batch);
            }
        }
        (!message.batches.is_empty()).then_some(message)
    }

    /// Lowers the limit after a message that was too large: to the limit that the peer stated (0: none), or else to half of
    /// what the message was.
    pub(crate) fn lower(&self, size: usize, stated: usize) {
        let half = size / 2;
        let max_bytes = match stated {
            1.. if stated < size => stated.max(half.min(LEAST_STATED)),
            _ => half,
        };
        let max_bytes = max_bytes.max(1);
        if max_bytes < self.bytes() {
            *locked(&self.learnt) = Some((max_bytes, Instant::now()));
        }
        if !self.is_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                component = &*self.component,
                bytes = size,
                limit = max_bytes,
                "a message is larger than the peer takes; sending no more than the limit at a time"
            );
        }
    }

    /// The next connection may be to another peer.
    pub(crate) fn forget(&self) {
        *locked(&self.learnt) = None;
    }

    /// How large a message should be at the most that is joined of several requests: an eighth below the limit, since what
    /// is to be joined is not measured to the byte.
    pub(crate) fn to_join(&self) -> usize {
        let limit = self.bytes().min(DEFAULT_LIMIT);
        limit - limit / 8
    }

    fn bytes(&self) -> usize {
        let learnt = locked(&self.learnt).filter(|(_, since)| since.elapsed() < FORGET_AFTER);
        learnt.map_or(usize::MAX, |(bytes, _)| bytes)
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Message {
    /// It is to be sent again, before what is left.
    pub(crate) fn put_back(self, left: &mut VecDeque<Batch>) {
        let batches = self.batches.into_iter().rev();
        batches.for_each(|it| left.push_front(it));
    }

    /// Whether there is no way to make it smaller.
    pub(crate) fn is_single(&self) -> bool {
        matches!(&*self.batches, [batch] if batch.table().len() == 1)
    }
}

#[cfg(test)]
mod tests {
    use pipeline::{formats::text, points};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_is_whole_batches_while_they_fit_and_rows_where_one_does_not() {
        let lines = |name: &str, count: usize| -> String {
            let rows = (0..count).map(|row| format!("{name}/c{{device=/{row:04}}} {row}\n"));
            rows.collect()
        };
        let text = [
            lines("a", 10),
            lines("b", 10),
            lines("c", 1000),
            "d/c -".into(),
        ]
        .concat();
        let request = text::parse(&text).unwrap();
        let mut encoder = Encoder::default();
        let sizes = request.iter().map(|it| encoder.encode(it).len());
        let sizes: Vec<usize> = sizes.collect();
        let limit = MessageLimit::none(&"otlp".into());
        let parted = || {
            let mut left: VecDeque<Batch> = request.iter().cloned().collect();
            std::iter::from_fn(|| limit.next(&mut left)).collect::<Vec<_>>()
        };
        let whole = parted();
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].size, sizes.iter().sum::<usize>());
        while limit.bytes() > sizes[0] + sizes[1] {
            let refused = whole[0].size.min(limit.bytes());
            limit.lower(refused, sizes[0] + sizes[1]);
        }
        let (first, again) = (parted(), parted());
        assert_eq!(first[0].batches.len(), 2, "the first two together");
        let max_bytes = sizes[0] + sizes[1];
        assert!(first.len() > 10 && first.iter().all(|it| it.size <= max_bytes));
        let all: Vec<Batch> = first.iter().flat_map(|it| it.batches.clone()).collect();
        assert_eq!(points(&all), 1020);
        assert_eq!(text::format(&all), text::format(&request));
        // A table is split once.
        let pairs = first.iter().zip(&again);
        assert!(
            pairs
                .into_iter()
                .all(|(a, b)| { Arc::ptr_eq(a.batches[0].table(), b.batches[0].table()) })
        );
        // No limit is too small for it to come to an end.
        limit.lower(3, 0);
        assert!(parted().iter().all(Message::is_single));
        limit.forget();
        assert_eq!(parted().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stated_limit_is_believed_down_to_a_floor_and_asked_anew() {
        let limit = MessageLimit::none(&"otlp".into());
        limit.lower(5_000_000, 4_000_000);
        assert_eq!(limit.bytes(), 4_000_000);
        limit.lower(4_000_000, 1);
        assert_eq!(limit.bytes(), LEAST_STATED);
        limit.lower(5_000_000, 4_000_000);
        assert_eq!(limit.bytes(), LEAST_STATED, "an answer that comes late");
        // What is smaller is refused itself.
        limit.lower(60_000, 1);
        assert_eq!(limit.bytes(), 30_000);
        limit.lower(30_000, 20_000);
        assert_eq!(limit.bytes(), 20_000);
        limit.lower(2, 1);
        limit.lower(1, 0);
        assert_eq!(limit.bytes(), 1);
        tokio::time::advance(FORGET_AFTER).await;
        assert_eq!(limit.bytes(), usize::MAX);
    }
}
