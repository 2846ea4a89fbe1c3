//! A table's definition: each metric and each set of attributes once.

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{
    AnyValue, Attributes, Bounds, Head, Kind, Metric, Scope, Series, Table, Temporality,
};

use super::{Damaged, Decoded, Input, Output};

pub(super) fn write(table: &Table, out: &mut Vec<u8>) {
    let head = table.head();
    write_attributes(&head.resource, out);
    for text in [
        &head.scope.name,
        &head.scope.version,
        &head.subsystem,
        &head.table_slot,
    ] {
        out.text(text);
    }
    let series = table.series();
    // Rows share them, by their addresses.
    let (metrics, metric_of) = distinct(series.iter().map(|it| &it.metric));
    let (sets, set_of) = distinct(series.iter().map(|it| &it.attributes));
    out.count(metrics.len());
    metrics.iter().for_each(|metric| write_metric(metric, out));
    out.count(sets.len());
    sets.iter().for_each(|set| write_attributes(set, out));
    out.count(series.len());
    for (metric, set) in metric_of.into_iter().zip(set_of) {
        out.count(metric);
        out.count(set);
    }
}

/// Each once, and which one each was.
fn distinct<'a, T: 'a>(all: impl Iterator<Item = &'a Arc<T>>) -> (Vec<&'a T>, Vec<usize>) {
    let (mut known, mut once) = (HashMap::new(), Vec::new());
    let of = all.map(|it| {
        *known.entry(Arc::as_ptr(it)).or_insert_with(|| {
            once.push(&**it);
            once.len() - 1
        })
    });
    let of = of.collect();
    (once, of)
}

pub(super) fn read(input: &mut Input<'_>) -> Decoded<Arc<Table>> {
    let resource = read_attributes(input)?;
    let scope = Scope::new(input.text()?, input.text()?);
    let (subsystem, slot) = (input.text()?.into(), input.text()?.into());
    let metrics = input.list(|input| read_metric(input).map(Arc::new))?;
    let sets = input.list(|input| read_attributes(input).map(Arc::new))?;
    let series = input.list(|input| {
        let metric = &metrics[input.index(metrics.len())?];
        let attributes = &sets[input.index(sets.len())?];
        Ok(Series::of(Arc::clone(metric), Arc::clone(attributes)))
    })?;
    let head = Head::new(Arc::new(resource), Arc::new(scope), subsystem, slot);
    Ok(Table::new(Arc::new(head), series))
}

fn write_metric(metric: &Metric, out: &mut Vec<u8>) {
    out.text(&metric.name);
    out.text(&metric.description);
    out.text(&metric.unit);
    out.push(metric.kind_is_assumed.into());
    match &metric.kind {
        Kind::Gauge => out.push(1),
        Kind::Sum {
            monotonic,
            temporality,
        } => out.extend([2, (*monotonic).into(), is_delta(*temporality)]),
        Kind::Histogram {
            temporality,
            bounds,
        } => {
            out.extend([3, is_delta(*temporality)]);
            out.count(bounds.0.len());
            bounds.0.iter().for_each(|bound| out.f64(*bound));
        }
        Kind::ExponentialHistogram { temporality } => out.extend([4, is_delta(*temporality)]),
        // Goes out as what nobody said the kind of.
        _ => out.push(0),
    }
}

fn is_delta(temporality: Temporality) -> u8 {
    (temporality == Temporality::Delta).into()
}

fn read_metric(input: &mut Input<'_>) -> Decoded<Metric> {
    let mut metric = Metric::default();
    metric.name = input.text()?.into();
    metric.description = input.text()?.into();
    metric.unit = input.text()?.into();
    metric.kind_is_assumed = input.bool()?;
    metric.kind = match input.byte()? {
        0 => Kind::Unknown,
        1 => Kind::Gauge,
        2 => Kind::Sum {
            monotonic: input.bool()?,
            temporality: read_temporality(input)?,
        },
        3 => Kind::Histogram {
            temporality: read_temporality(input)?,
            bounds: Arc::new(Bounds(input.list(Input::f64)?)),
        },
        4 => Kind::ExponentialHistogram {
            temporality: read_temporality(input)?,
        },
        _ => return Err(Damaged),
    };
    Ok(metric)
}

fn read_temporality(input: &mut Input<'_>) -> Decoded<Temporality> {
    Ok(if input.bool()? {
        Temporality::Delta
    } else {
        Temporality::Cumulative
    })
}

fn write_attributes(attributes: &Attributes, out: &mut Vec<u8>) {
    out.count(attributes.iter().len());
    for (key, value) in attributes.iter() {
        out.text(key);
        match value {
            AnyValue::Bool(it) => out.extend([1, (*it).into()]),
            AnyValue::Int(it) => {
                out.push(2);
                out.i64(*it);
            }
            AnyValue::Double(it) => {
                out.push(3);
                out.f64(*it);
            }
            // One that is newer than this format goes out as its text.
            other => {
                out.push(0);
                out.text(other.as_str().unwrap_or(&other.to_string()));
            }
        }
    }
}

/// Sorted by key, as they were written: each is set at the end.
fn read_attributes(input: &mut Input<'_>) -> Decoded<Attributes> {
    let mut attributes = Attributes::default();
    let mut last: Option<&str> = None;
    for _ in 0..input.count()? {
        let key = input.text()?;
        if last.is_some_and(|last| last >= key) {
            return Err(Damaged);
        }
        last = Some(key);
        let value = match input.byte()? {
            0 => AnyValue::from(input.text()?),
            1 => AnyValue::Bool(input.bool()?),
            2 => AnyValue::Int(input.i64()?),
            3 => AnyValue::Double(input.f64()?),
            _ => return Err(Damaged),
        };
        attributes.set(key, value);
    }
    Ok(attributes)
}
