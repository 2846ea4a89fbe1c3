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

#[derive(Debug)]
struct KnownTable {
    number: usize,
    starts: Option<(usize, Arc<[u64]>)>,
}

impl Encoder {
    /// Appends a request that stands there.
    pub(crate) fn encode(&mut self, at: LogPosition, request: &[Batch], out: &mut Vec<u8>) {
        for number in [at.points, points(request), time(request)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let length = out.len();
        out.extend_from_slice(&[0; 4]);
        let numbers: Vec<_> = request.iter().map(|it| self.define(it, out)).collect();
        let definitions = u32::try_from(out.len() - length - 4).unwrap_or(u32::MAX);
        out[length..length + 4].copy_from_slice(&definitions.to_le_bytes());
        out.count(request.len());
        for (batch, (table, starts)) in request.iter().zip(numbers) {
            out.count(table);
            out.count(starts);
            write_batch(batch, out);
        }
    }

    /// The numbers of a batch's table and starts, which are defined if they were not before.
    fn define(&mut self, batch: &Batch, out: &mut Vec<u8>) -> (usize, usize) {
        let (next_table, table) = (self.next_table, batch.table());
        let known = self.tables.get_or_insert_with(table, || {
            out.push(TABLE);
            out.count(next_table);
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
        let number = self.next_starts;
        out.push(STARTS);
        out.count(number);
        out.count(starts.len());
        differences(starts, out);
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
            out.push(2);
            runs(times, out);
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

/// The same, but for those that are as the one before: how many, behind a difference of zero. The rows of a directory have
/// one time.
fn runs(numbers: &[u64], out: &mut Vec<u8>) {
    let mut before = 0;
    for run in numbers.chunk_by(|a, b| a == b) {
        let mut same = run.len();
        if run[0] != before {
            out.i64(run[0].wrapping_sub(before).cast_signed());
            before = run[0];
            same -= 1;
        }
        if same > 0 {
            out.i64(0);
            out.count(same);
        }
    }
}
