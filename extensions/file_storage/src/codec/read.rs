//! Bytes to requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Batch, LogPosition, Sweep, Table, Times, points};

use super::{
    Damaged, Decoded, ENVELOPE, Input, STARTS, STARTS_IN_ORDER, TABLE, TABLE_IN_ORDER, table, value,
};

/// What is known of a request without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The points of all requests before it.
    pub(crate) points_before: u64,
    pub(crate) points: u64,
    /// When its last rows were read, unix ns.
    pub(crate) time: u64,
    definitions: usize,
}

impl Envelope {
    /// That of a payload.
    pub(crate) fn read(payload: &[u8]) -> Decoded<Envelope> {
        let mut input = Input(payload);
        let mut number = || input.array().map(u64::from_le_bytes);
        let (points_before, points, time) = (number()?, number()?, number()?);
        let definitions = u32::from_le_bytes(input.array()?);
        Ok(Envelope {
            points_before,
            points,
            time,
            definitions: usize::try_from(definitions).map_err(|_| Damaged)?,
        })
    }

    /// Where the request of this number stands.
    pub(crate) fn position(&self, requests: u64) -> LogPosition {
        LogPosition {
            requests,
            points: self.points_before,
        }
    }
}

/// Reads the requests of one segment, in order.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    tables: Definitions<Arc<Table>>,
    starts: Definitions<Arc<[u64]>>,
}

/// What was defined, by its number.
#[derive(Debug)]
struct Definitions<T> {
    all: HashMap<u64, T>,
    /// The number of the next one, where they are numbered in order; `None` once one may be missing.
    next: Option<u64>,
}

impl<T> Default for Definitions<T> {
    fn default() -> Definitions<T> {
        Definitions {
            all: HashMap::new(),
            next: Some(0),
        }
    }
}

impl<T> Definitions<T> {
    /// Adds the next one, if its number is known.
    fn add_in_order(&mut self, it: T) {
        if let Some(next) = &mut self.next {
            self.all.insert(*next, it);
            *next += 1;
        }
    }

    /// The one whose number stands there.
    fn get(&self, input: &mut Input<'_>) -> Decoded<&T> {
        self.all.get(&input.u64()?).ok_or(Damaged)
    }
}

impl Decoder {
    /// A request was passed over: what it defined is missing.
    pub(crate) fn passes_over(&mut self) {
        (self.tables.next, self.starts.next) = (None, None);
    }

    /// Takes in what a payload defines, and leaves its batches.
    pub(crate) fn skip(&mut self, payload: &[u8]) -> Decoded<()> {
        self.definitions(payload).map(drop)
    }

    /// The request of a payload.
    pub(crate) fn decode(&mut self, payload: &[u8]) -> Decoded<Vec<Batch>> {
        let (envelope, mut input) = self.definitions(payload)?;
        let request = input.list(|input| self.batch(input))?;
        if input.0.is_empty() && points(&request) == envelope.points {
            Ok(request)
        } else {
            Err(Damaged)
        }
    }

    /// Takes in the definitions; what follows them.
    fn definitions<'a>(&mut self, payload: &'a [u8]) -> Decoded<(Envelope, Input<'a>)> {
        let envelope = Envelope::read(payload)?;
        let mut rest = Input(&payload[ENVELOPE..]);
        let mut definitions = Input(rest.bytes(envelope.definitions)?);
        while !definitions.0.is_empty() {
            match definitions.byte()? {
                TABLE => {
                    let number = definitions.u64()?;
                    let table = table::read(&mut definitions)?;
                    self.tables.all.insert(number, table);
                }
                STARTS => {
                    let (number, rows) = (definitions.u64()?, definitions.count()?);
                    let starts = sums(rows, &mut definitions)?;
                    self.starts.all.insert(number, starts);
                }
                TABLE_IN_ORDER => self.tables.add_in_order(table::read(&mut definitions)?),
                STARTS_IN_ORDER => {
                    let rows = self.tables.get(&mut definitions)?.len();
                    let starts = sums(rows, &mut definitions)?;
                    self.starts.add_in_order(starts);
                }
                _ => return Err(Damaged),
            }
        }
        Ok((envelope, rest))
    }

    fn batch(&self, input: &mut Input<'_>) -> Decoded<Batch> {
        let (table, starts) = (self.tables.get(input)?, self.starts.get(input)?);
        if starts.len() != table.len() {
            return Err(Damaged);
        }
        let number = input.u64()?;
        let tick = Duration::from_nanos(input.u64()?);
        let sweep = Sweep::new(number, tick, input.bool()?);
        let times = match input.byte()? {
            0 => Times::One(input.u64()?),
            // As format 1 has them.
            1 => Times::Each(sums(table.len(), input)?),
            2 => Times::Each(runs(table.len(), input)?),
            _ => return Err(Damaged),
        };
        let values = value::read(table, input)?;
        let (table, starts) = (Arc::clone(table), Arc::clone(starts));
        Ok(Batch::new(table, starts, times, values, sweep))
    }
}

/// So many numbers of which the differences were written.
fn sums(count: usize, input: &mut Input<'_>) -> Decoded<Arc<[u64]>> {
    if count > input.0.len() {
        return Err(Damaged);
    }
    let (mut before, mut numbers) = (0_u64, Vec::with_capacity(count));
    for _ in 0..count {
        before = before.wrapping_add(input.i64()?.cast_unsigned());
        numbers.push(before);
    }
    Ok(numbers.into())
}

/// So many numbers, of which those that are as the one before were counted.
fn runs(count: usize, input: &mut Input<'_>) -> Decoded<Arc<[u64]>> {
    // Of each row there is a value behind it.
    if count > input.0.len() {
        return Err(Damaged);
    }
    let (mut before, mut numbers) = (0_u64, Vec::with_capacity(count));
    while numbers.len() < count {
        let difference = input.i64()?.cast_unsigned();
        let same = if difference == 0 { input.u64()? } else { 1 };
        let same = usize::try_from(same).map_err(|_| Damaged)?;
        if same == 0 || same > count - numbers.len() {
            return Err(Damaged);
        }
        before = before.wrapping_add(difference);
        numbers.resize(numbers.len() + same, before);
    }
    Ok(numbers.into())
}
