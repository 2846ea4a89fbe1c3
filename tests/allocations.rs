//! What is asked of the allocator from sweep to sweep of a tree that does not change: no value costs an allocation, from
//! the reading to the bytes of OTLP.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // an allocator is

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use pipeline::testing::{context, node, processor};
use pipeline::{
    Batch, Component, Demand, Outbox, Outlet, Processor, ReceiverClock, Shutdown,
    formats::otlp::Encoder, telemetry::Counters,
};
use pipeline::{Factory, Registration, points};
use processor_batch::BatchProcessor;
use processor_labels::Labels;
use processor_metadata::Metadata;
use receiver_statsfs::Statsfs;
use tokio::sync::{mpsc, watch};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(block, layout, size) }
    }
}

const SUBSYSTEMS: usize = 4;
const DEVICES: usize = 4;
const SWEEPS: u64 = 20;

/// Every device has so many files; all those of a subsystem are one table.
fn tree(root: &Path, files: usize) {
    for subsystem in 0..SUBSYSTEMS {
        for device in 0..DEVICES {
            let device = root.join(format!("s{subsystem}/d{device}"));
            fs::create_dir_all(&device).unwrap();
            let schema = "METRIC\nNAME m0\nFLAG CUMULATIVE\nTYPE INT\nUNIT By\n";
            fs::write(device.join(".schema"), schema).unwrap();
            (0..files).for_each(|file| {
                fs::write(device.join(format!("m{file}")), format!("{file}\n")).unwrap();
            });
        }
    }
}

/// What every batch goes through.
struct Chain(Vec<Box<dyn Processor>>, Outbox);

impl Chain {
    fn process(&mut self, request: Vec<Batch>) -> Vec<Vec<Batch>> {
        let mut requests = vec![request];
        for stage in &mut self.0 {
            for batch in requests.into_iter().flatten() {
                stage.process(batch, &mut self.1).unwrap();
            }
            requests = self.1.take();
        }
        requests
    }
}

/// How often the allocator is asked in a sweep, on average, once all tables are known.
async fn allocations(files: usize) -> u64 {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    tree(directory.path(), files);
    let chain = [
        processor::<Metadata>("{rules: [{kind: counter}]}"),
        processor::<Labels>("{actions: [{rename: {label: device, to: dev}}]}"),
        processor::<BatchProcessor>("{timeout: 0s}"),
    ];
    let demand = chain
        .iter()
        .rev()
        .fold(Demand::everything(), |below, it| it.demand(below));
    let mut chain = Chain(chain.into(), Outbox::new(Counters::new("test")));

    let yaml = format!(
        "{{root: {}, collection_interval: 50ms}}",
        directory.path().display()
    );
    let all = Registration::all();
    let of = all.iter().find(|it| it.type_name == Statsfs::TYPE).unwrap();
    let Factory::Receiver(decode) = &of.factory else {
        panic!("it is one");
    };
    let receiver = (decode(&node(&yaml)).ok().unwrap().value)(&context()).unwrap();
    let (end, hear) = watch::channel(false);
    let (to, mut from) = mpsc::channel(4);
    let (startup, _reports) = mpsc::unbounded_channel();
    let outlet = Outlet::new(to, Counters::new("test"), startup);
    let clock = ReceiverClock::new(Shutdown::new(hear), false, Counters::new("test"));
    let running = tokio::spawn(receiver.run(demand, outlet, clock));

    let mut encoder = Encoder::default();
    let (mut sweeps, mut sent, mut bytes) = (0, 0, 0);
    let mut before = 0;
    while let Some(request) = from.recv().await {
        let is_first = request
            .iter()
            .any(|it| &*it.table().head().subsystem == "s0");
        sweeps += u64::from(is_first);
        if is_first && sweeps == 10 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        if is_first && sweeps == 10 + SWEEPS {
            break;
        }
        for request in chain.process(request) {
            sent += points(&request);
            let encoded = request.iter().map(|it| encoder.encode(it).len());
            bytes += encoded.sum::<usize>();
        }
    }
    let all = ALLOCATIONS.load(Ordering::Relaxed) - before;
    end.send(true).unwrap();
    while from.recv().await.is_some() {}
    running.await.unwrap().unwrap();
    let least = (SWEEPS * (SUBSYSTEMS * DEVICES * files) as u64, 20);
    assert!(
        sent >= least.0 && bytes as u64 >= sent * least.1,
        "{sent} {bytes}"
    );
    all / SWEEPS
}

#[tokio::test]
async fn a_sweep_asks_for_memory_by_the_table_and_not_by_the_value() {
    let (few, many) = (allocations(25).await, allocations(8 * 25).await);
    // 400 values and 3,200, in four tables. One that takes longer to read has a time for each of its rows, and may be a
    // request of its own: that many more, not one for each of 2,800 values more.
    assert!(
        many.abs_diff(few) <= 16 * SUBSYSTEMS as u64 && few < 200,
        "{few} a sweep of 400 values, {many} a sweep of 3,200"
    );
}
