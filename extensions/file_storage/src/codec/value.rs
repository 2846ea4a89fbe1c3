//! What the rows of a batch showed.

use std::sync::Arc;

use pipeline::{ExponentialHistogram, Histogram, Kind, Table, Value};

use super::{Damaged, Decoded, Input, Output};

/// All rows are whole numbers, as nearly always; or each says what it is.
const INTS: u8 = 0;
const MIXED: u8 = 1;

pub(super) fn write(values: &[Value], out: &mut Vec<u8>) {
    if values.iter().all(|it| matches!(it, Value::Int(_))) {
        out.push(INTS);
        for value in values {
            if let Value::Int(number) = value {
                out.i64(*number);
            }
        }
        return;
    }
    out.push(MIXED);
    values.iter().for_each(|value| write_one(value, out));
}

fn write_one(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Ended => out.push(1),
        Value::Int(number) => {
            out.push(2);
            out.i64(*number);
        }
        Value::Double(number) => {
            out.push(3);
            out.f64(*number);
        }
        Value::Histogram(it) => {
            out.push(4);
            write_counts(&it.counts, out);
            write_sum_and_range(it.sum, it.range, out);
        }
        Value::ExponentialHistogram(it) => {
            out.push(5);
            out.i64(it.scale.into());
            out.u64(it.zero_count);
            out.f64(it.zero_threshold);
            for (offset, counts) in [&it.positive, &it.negative] {
                out.i64((*offset).into());
                write_counts(counts, out);
            }
            write_sum_and_range(it.sum, it.range, out);
        }
        // Nothing to say, or one that is newer than this format.
        _ => out.push(0),
    }
}

fn write_counts(counts: &[u64], out: &mut Vec<u8>) {
    out.count(counts.len());
    counts.iter().for_each(|count| out.u64(*count));
}

fn write_sum_and_range(sum: Option<f64>, range: Option<(f64, f64)>, out: &mut Vec<u8>) {
    out.push(u8::from(sum.is_some()) | u8::from(range.is_some()) << 1);
    sum.into_iter().for_each(|it| out.f64(it));
    let range = range.into_iter().flat_map(|(min, max)| [min, max]);
    range.for_each(|it| out.f64(it));
}

/// One a row of the table, each of its series' kind.
pub(super) fn read(table: &Table, input: &mut Input<'_>) -> Decoded<Vec<Value>> {
    let is_ints = match input.byte()? {
        INTS => true,
        MIXED => false,
        _ => return Err(Damaged),
    };
    if table.len() > input.0.len() {
        return Err(Damaged);
    }
    let mut values = Vec::with_capacity(table.len());
    for series in table.series() {
        let value = if is_ints {
            Value::Int(input.i64()?)
        } else {
            read_one(input)?
        };
        if !is_of(&value, &series.kind) {
            return Err(Damaged);
        }
        values.push(value);
    }
    Ok(values)
}

/// Whether a series of this kind may show this.
fn is_of(value: &Value, kind: &Kind) -> bool {
    match value {
        Value::Int(_) | Value::Double(_) => !matches!(
            kind,
            Kind::Histogram { .. } | Kind::ExponentialHistogram { .. }
        ),
        Value::Histogram(it) => matches!(
            kind,
            Kind::Histogram { bounds, .. } if it.counts.len() == bounds.0.len() + 1
        ),
        Value::ExponentialHistogram(_) => matches!(kind, Kind::ExponentialHistogram { .. }),
        _ => true,
    }
}

fn read_one(input: &mut Input<'_>) -> Decoded<Value> {
    Ok(match input.byte()? {
        0 => Value::Absent,
        1 => Value::Ended,
        2 => Value::Int(input.i64()?),
        3 => Value::Double(input.f64()?),
        4 => {
            let counts = input.list(Input::u64)?;
            let (sum, range) = read_sum_and_range(input)?;
            Value::Histogram(Arc::new(Histogram { counts, sum, range }))
        }
        5 => Value::ExponentialHistogram(Arc::new(read_exponential(input)?)),
        _ => return Err(Damaged),
    })
}

fn read_exponential(input: &mut Input<'_>) -> Decoded<ExponentialHistogram> {
    let scale = read_i32(input)?;
    let (zero_count, zero_threshold) = (input.u64()?, input.f64()?);
    let positive = (read_i32(input)?, input.list(Input::u64)?);
    let negative = (read_i32(input)?, input.list(Input::u64)?);
    let (sum, range) = read_sum_and_range(input)?;
    Ok(ExponentialHistogram {
        scale,
        zero_count,
        zero_threshold,
        positive,
        negative,
        sum,
        range,
    })
}

fn read_i32(input: &mut Input<'_>) -> Decoded<i32> {
    i32::try_from(input.i64()?).map_err(|_| Damaged)
}

type SumAndRange = (Option<f64>, Option<(f64, f64)>);

fn read_sum_and_range(input: &mut Input<'_>) -> Decoded<SumAndRange> {
    let which = input.byte()?;
    if which > 3 {
        return Err(Damaged);
    }
    let sum = (which & 1 != 0).then(|| input.f64()).transpose()?;
    let range = (which & 2 != 0).then(|| Ok((input.f64()?, input.f64()?)));
    Ok((sum, range.transpose()?))
}
