use std::sync::Arc;

use pipeline::formats::text;
use pipeline::{Batch, LogPosition, Table, Times, Value, points};

use super::{Damaged, Decoder, Encoder, Envelope};

const EVERYTHING: &str = "kvm/exits{device=/1-2} 42 counter {exit}\nkvm/exits{device=/1-3} - counter {exit}\n\
    kvm/pages{device=/1-2,n=\"a é\"} end updown By\nkvm/pages{device=/1-3} 1.5 updown By\nkvm/x -7 gauge\nkvm/y 1\n\
    kvm/h 1.0:2,3.0:0,inf:1;sum:2.5;range:0.0..9.0 histogram\nkvm/d 5 counter:delta s\n\
    kvm/e scale:-2;zero:3@0.5;+2:1,0,4;-0:1;sum:2.5;range:-1.0..1.0 exponential:delta\nother/z 9223372036854775807";

/// All that a batch is, but for what no exporter sees.
fn shown(request: &[Batch]) -> String {
    let each = request.iter().map(|batch| {
        let (head, values) = (batch.table().head(), batch.values());
        let metrics = batch.table().series().iter().map(|it| &it.metric);
        let metrics: Vec<_> = metrics.collect();
        let labels = batch.table().series().iter().map(|it| &it.attributes);
        let labels: Vec<_> = labels.collect();
        let (starts, times) = (batch.starts_unix_nano(), batch.times());
        let sweep = batch.sweep();
        format!("{head:?} {metrics:?} {labels:?} {starts:?} {times:?} {sweep:?} {values:?}\n")
    });
    each.collect()
}

/// The same table later, its numbers grown.
fn later(batch: &Batch, by: u64) -> Batch {
    let grown = |value: &Value| match value {
        Value::Int(number) => Value::Int(number.wrapping_add(by.cast_signed())),
        other => other.clone(),
    };
    let values = batch.values().iter().map(grown).collect();
    let times = (0..batch.table().len() as u64).map(|row| by * 1_000_000 + row / 3 * 700);
    Batch::new(
        Arc::clone(batch.table()),
        Arc::clone(batch.starts_unix_nano()),
        Times::Each(times.collect()),
        values,
        batch.sweep(),
    )
}

fn encode_all(requests: &[Vec<Batch>]) -> Vec<Vec<u8>> {
    let (mut encoder, mut at) = (Encoder::default(), LogPosition::default());
    let each = requests.iter().map(|request| {
        let mut payload = Vec::new();
        encoder.encode(at, request, &mut payload);
        at = at.after(points(request));
        payload
    });
    each.collect()
}

#[test]
fn what_was_written_is_read_again_and_tables_are_written_once() {
    let first = text::parse(EVERYTHING).unwrap();
    let second: Vec<_> = first.iter().map(|it| later(it, 5)).collect();
    let at_zero = later(&first[0], 0);
    let reset = second[0].with_starts(vec![77; second[0].table().len()].into());
    let third = vec![second[0].only_last(), reset, at_zero, second[1].clone()];
    let requests = [first, second, third];
    let payloads = encode_all(&requests);
    let mut decoder = Decoder::default();
    for (request, payload) in requests.iter().zip(&payloads) {
        let read = decoder.decode(payload).unwrap();
        assert_eq!(shown(&read), shown(request));
    }
    let mut decoder = Decoder::default();
    decoder.skip(&payloads[0]).unwrap();
    let read = decoder.decode(&payloads[1]).unwrap();
    assert_eq!(shown(&read), shown(&requests[1]));
    assert!(payloads[1].len() * 2 < payloads[0].len());
    let envelope = Envelope::read(&payloads[1]).unwrap();
    let before = points(&requests[0]);
    assert_eq!((envelope.points_before, envelope.points), (before, before));
    assert_eq!(envelope.time, requests[1][1].time_unix_nano(0));
}

#[test]
fn without_a_request_no_other_one_is_read_as_of_another_table() {
    // As like each other as devices are.
    let all = ["a", "b", "c"].map(|it| text::parse(&format!("s/x{{device={it}}} 1 counter")));
    let all = all.map(|it| it.unwrap().remove(0));
    let first = all.each_ref().map(|it| vec![later(it, 0)]);
    let again = all.each_ref().map(|it| vec![later(it, 5)]);
    let requests = [first, again].concat();
    let payloads = encode_all(&requests);
    let mut decoder = Decoder::default();
    decoder.skip(&payloads[0]).unwrap();
    decoder.passes_over();
    let read: Vec<_> = payloads[2..].iter().map(|it| decoder.decode(it)).collect();
    let read: Vec<_> = read.into_iter().map(|it| it.map(|it| shown(&it))).collect();
    let expected = requests[2..].iter().map(|it| Ok(shown(it)));
    let mut expected: Vec<_> = expected.collect();
    // That of the second one, which it defined.
    expected[2] = Err(Damaged);
    assert_eq!(read, expected);
}

#[test]
fn a_counter_takes_a_few_bytes_a_point() {
    let lines: Vec<_> = (0..1000).map(|it| format!("s/c{it} 1000000")).collect();
    let batch = &text::parse(&lines.join("\n")).unwrap()[0];
    let requests = [vec![batch.clone()], vec![later(batch, 1_000_000)]];
    let payloads = encode_all(&requests);
    assert!(payloads[1].len() < 6 * 1000 + 100, "{}", payloads[1].len());
}

#[test]
fn whatever_is_read_is_refused_or_a_request_and_never_large() {
    let first = text::parse(EVERYTHING).unwrap();
    let second = first.iter().map(|it| later(it, 5)).collect();
    let payloads = encode_all(&[first, second]);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let mut bytes = payloads[random.usize(..2)].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let mut decoder = Decoder::default();
        let _ = decoder.skip(&payloads[0]);
        if let Ok(request) = decoder.decode(&bytes) {
            let rows = |it: &Batch| Table::len(it.table());
            assert!(
                request.iter().map(rows).sum::<usize>() <= bytes.len(),
                "seed {seed}"
            );
        }
    }
    let huge = [&[0; 24][..], &[0, 0, 0, 0], &[0xff; 9], &[1]].concat();
    assert_eq!(Decoder::default().decode(&huge).unwrap_err(), Damaged);
}
