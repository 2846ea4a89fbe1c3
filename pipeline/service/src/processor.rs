//! A processor's task.

use pipeline::telemetry::{Counter, Counters, DropReason};
use pipeline::{Batch, Outbox, Processor, points};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What an edge carries: batches that go out together.
pub(crate) type Request = Vec<Batch>;

/// Runs a processor until its channel closes; then it lets out what it holds.
pub(crate) async fn run_processor(
    mut processor: Box<dyn Processor>,
    mut from: mpsc::Receiver<Request>,
    to: mpsc::Sender<Request>,
    counters: Counters,
) {
    let mut out = Outbox::new(counters);
    loop {
        let wake = processor.wake_at();
        let request = tokio::select! {
            biased;
            request = from.recv() => match request {
                Some(request) => request,
                None => break,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                let result = processor.wake(&mut out);
                record_error(result, 0, &out);
                Request::new()
            }
        };
        let incoming = points(&request);
        out.counters().record(Counter::POINTS_INCOMING, incoming);
        for batch in request {
            let points = batch.points();
            let result = processor.process(batch, &mut out);
            record_error(result, points, &out);
        }
        if !send(&to, &mut out).await {
            close(from, out.counters()).await;
            break;
        }
    }
    let result = processor.flush(&mut out);
    record_error(result, 0, &out);
    send(&to, &mut out).await;
}

/// A bad batch costs itself, never the pipeline.
pub(crate) fn record_error(result: pipeline::Result<()>, points: usize, out: &Outbox) {
    if let Err(error) = result {
        out.dropped(points, DropReason::PROCESSOR_ERROR);
        out.warnings().warn("a batch is lost", &error.to_string());
    }
}

/// Sends on what the processor let out. Whether anybody takes more.
async fn send(to: &mpsc::Sender<Request>, out: &mut Outbox) -> bool {
    for request in out.take() {
        let outgoing = points(&request);
        out.counters().record(Counter::POINTS_OUTGOING, outgoing);
        if let Err(unsent) = to.send(request).await {
            out.counters()
                .dropped(DropReason::CLOSED, points(&unsent.0));
        }
    }
    !to.is_closed()
}

/// Takes no more: the stages above hear of it, and what was on its way is counted as dropped.
pub(crate) async fn close(mut from: mpsc::Receiver<Request>, counters: &Counters) {
    from.close();
    while let Some(request) = from.recv().await {
        counters.dropped(DropReason::CLOSED, points(&request));
    }
}
