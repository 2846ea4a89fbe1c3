//! Requests to bytes.

use std::sync::Arc;

use pipeline::{Batch, LogPosition, Table, TableMap, Times, points};

use super::{Output, STARTS, TABLE, table, value};

/// Writes the requests of one segment, in order. What fails to be stored leaves it knowing of definitions that are not
/// there: the segment has to end with it.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    tables: TableMap<KnownTable>,
    next_table: usize,
    next_starts: usize,
}

/// What a row takes, as a rule, or less.
const BYTES_A_ROW: usize = 8;

#[derive(Debug)]
struct KnownTable {
    number: usize,
    starts: Option<(usize, Arc<[u64]>)>,
}

/// A request of which all is encoded but what stands in a segment once: who made it has it in the caches of its core, who
/// writes it to the disk need not look at its values.
#[derive(Debug)]
pub(crate) struct EncodedRequest {
    batches: Vec<Batch>,
    /// Sweep, times and values of each batch, one after the other.
    bytes: Vec<u8>,
    /// Where each batch's end.
    ends: Vec<usize>,
}

impl EncodedRequest {
    pub(crate) fn new(request: &[Batch]) -> EncodedRequest {
        let rows = request.iter().map(|it| it.table().len());
        let mut bytes = Vec::with_capacity(BYTES_A_ROW * rows.sum::<usize>());
        let end = |batch| {
            write_batch(batch, &mut bytes);
            bytes.len()
        };
        let ends = request.iter().map(end).collect();
        EncodedRequest {
            batches: request.to_vec(),
            bytes,
            ends,
        }
    }

    /// How many points it has.
    pub(crate) fn points(&self) -> u64 {
        points(&self.batches)
    }
}

impl Encoder {
    /// Appends a request that stands there.
    pub(crate) fn encode(&mut self, at: LogPosition, request: &EncodedRequest, out: &mut Vec<u8>) {
        let batches = &request.batches;
        for number in [at.points, request.points(), time(batches)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let length = out.len();
        out.extend_from_slice(&[0; 4]);
        let numbers: Vec<_> = batches.iter().map(|it| self.define(it, out)).collect();
        let definitions = u32::try_from(out.len() - length - 4).unwrap_or(u32::MAX);
        out[length..length + 4].copy_from_slice(&definitions.to_le_bytes());
        out.count(batches.len());
        let mut start = 0;
        for ((table, starts), end) in numbers.into_iter().zip(&request.ends) {
            out.count(table);
            out.count(starts);
            out.extend_from_slice(&request.bytes[start..*end]);
            start = *end;
        }
    }

    /// The numbers of a batch's table and starts, which are defined if they were not before.
    fn define(&mut self, batch: &Batch, out: &mut Vec<u8>) -> (usize, usize) {
        let (next_table, table) = (self.next_table, batch.table());
        let known = self.tables.get_or_insert_with(table, || {
            out.push(TABLE);
            table::write(table, out);
            KnownTable {
                number: next_table,
                starts: None,
            }
        });
        self.next_table += usize::from(known.number == next_table);
        let starts = batch.starts_unix_nano();
        let is_same = |it: &Arc<[u64]>| Arc::ptr_eq(it, starts) || it == starts;
        if let Some((number, known_starts)) = &known.starts
            && is_same(known_starts)
        {
            return (known.number, *number);
        }
        out.push(STARTS);
        out.count(known.number);
        differences(starts, out);
        let number = self.next_starts;
        self.next_starts += 1;
        known.starts = Some((number, Arc::clone(starts)));
        (known.number, number)
    }
}

/// When the last rows were read, unix ns.
fn time(request: &[Batch]) -> u64 {
    let is_filled = |it: &&Batch| !Table::is_empty(it.table());
    let last = request.iter().rev().find(is_filled);
    last.map_or(0, |it| it.time_unix_nano(0))
}

fn write_batch(batch: &Batch, out: &mut Vec<u8>) {
    let sweep = batch.sweep();
    out.u64(sweep.number);
    out.u64(u64::try_from(sweep.tick.as_nanos()).unwrap_or(u64::MAX));
    out.push(sweep.last.into());
    match batch.times() {
        Times::One(time) => {
            out.push(0);
            out.u64(*time);
        }
        Times::Each(times) => {
            out.push(1);
            differences(times, out);
        }
    }
    value::write(batch.values(), out);
}

/// Each as what it is more than the one before.
fn differences(numbers: &[u64], out: &mut Vec<u8>) {
    let mut before = 0;
    for number in numbers {
        out.i64(number.wrapping_sub(before).cast_signed());
        before = *number;
    }
}
