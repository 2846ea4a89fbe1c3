use std::path::Path;

use kvm_stats::{StatisticType, StatisticUnit};
use pipeline::{Kind, Value};
use serde_json::{Value as Json, json};

use crate::histograms::Histograms;

use super::*;

const CAPTURES: [&str; 6] = [
    "vcpu0",
    "vm",
    "vcpu0-qemu",
    "vm-qemu",
    "synthetic",
    "zero_stats",
];

fn capture(name: &str) -> (Vec<u8>, Json) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let file = std::fs::read(folder.join(format!("{name}.bin"))).unwrap();
    let json = std::fs::read(folder.join(format!("{name}.bin.expected.json"))).unwrap();
    (file, serde_json::from_slice(&json).unwrap())
}

fn raw(file: &[u8], header: &Header, descriptor: &Descriptor) -> Vec<u64> {
    let data = header.data(file).unwrap();
    crate::statistic::words(&data[descriptor.offset..descriptor.end()]).collect()
}

/// A file as the captures' expectations show it.
fn shown(file: &[u8]) -> Json {
    let parsed = StatsFile::parse(file).unwrap();
    let header = parsed.header;
    let type_of = |it: &Descriptor| match it.statistic_type() {
        Some(StatisticType::Cumulative) => "cumulative",
        Some(StatisticType::Instant) => "instant",
        Some(StatisticType::Peak) => "peak",
        Some(StatisticType::LinearHistogram) => "linear_hist",
        Some(StatisticType::LogHistogram) => "log_hist",
        None => "unknown",
    };
    let unit_of = |it: &Descriptor| match it.unit() {
        Some(StatisticUnit::None) => "none",
        Some(StatisticUnit::Bytes) => "bytes",
        Some(StatisticUnit::Seconds) => "seconds",
        Some(StatisticUnit::Cycles) => "cycles",
        Some(StatisticUnit::Boolean) => "boolean",
        None => "unknown",
    };
    let statistics = parsed.descriptors.iter().map(|it| {
        json!({
            "name": it.name, "type": type_of(it), "unit": unit_of(it), "base": it.base(),
            "exponent": it.exponent, "size": it.size, "offset": it.offset,
            "bucket_size": it.bucket_size, "values": raw(file, &header, it),
        })
    });
    json!({
        "flags": header.flags, "name_size": header.name_bytes, "num_desc": header.descriptors,
        "id_offset": header.id_offset, "desc_offset": header.descriptors_offset,
        "data_offset": header.data_offset, "id": parsed.id, "file_bytes": file.len(),
        "stats": statistics.collect::<Vec<_>>(),
    })
}

/// What OpenTelemetry gets of each histogram, as the captures' expectations show it.
fn histograms(file: &[u8]) -> Vec<(String, Json)> {
    let (layout, _) = Layouts::new(false).of_file(file).unwrap();
    let histogram = |it: &Statistic| {
        let Kind::Histogram { bounds, .. } = &it.column.metric.kind else {
            return None;
        };
        let Value::Histogram(value) =
            it.value(layout.data(file), &mut 0, &mut Histograms::default())
        else {
            panic!("{}", it.name)
        };
        #[allow(clippy::cast_possible_truncation)]
        let whole = |it: f64| it as i64;
        let bounds: Vec<i64> = bounds.0.iter().map(|it| whole(*it)).collect();
        let mut shown = json!({
            "explicit_bounds": bounds, "bucket_counts": value.counts, "count": value.count(),
        });
        if let Some(sum) = value.sum {
            shown["sum"] = json!(whole(sum));
        }
        Some((it.name.to_string(), shown))
    };
    layout.statistics.iter().filter_map(histogram).collect()
}

#[test]
fn captures_are_read_as_expected() {
    for name in CAPTURES {
        let (file, mut expected) = capture(name);
        let statistics = expected["stats"].as_array_mut().unwrap();
        let mut expected_histograms = Vec::new();
        for statistic in statistics {
            let statistic = statistic.as_object_mut().unwrap();
            let histogram = statistic.remove("otlp");
            let name = statistic["name"].as_str().unwrap().to_owned();
            expected_histograms.extend(histogram.map(|it| (name, it)));
        }
        assert_eq!(shown(&file), expected, "{name}");
        assert_eq!(histograms(&file), expected_histograms, "{name}");
    }
}

#[test]
fn the_kernels_types_become_kinds_and_units() {
    let (file, _) = capture("synthetic");
    let (layout, id) = Layouts::new(false).of_file(&file).unwrap();
    assert_eq!(id, "kvm-99/vcpu-3");
    let shown = |name: &str| {
        let statistic = layout.statistics.iter().find(|it| &*it.name == name);
        let statistic = statistic.unwrap();
        let metric = &statistic.column.metric;
        let value = statistic.value(layout.data(&file), &mut 0, &mut Histograms::default());
        (metric.kind.clone(), metric.unit.to_string(), value)
    };
    let updown = Kind::UP_DOWN_COUNTER;
    for (name, kind, unit, value) in [
        ("plain", Kind::COUNTER, "", Value::Int(7)),
        ("now", updown.clone(), "", Value::Int(3)),
        ("top", Kind::Gauge, "", Value::Int(9)),
        ("mem_kib", updown, "KiBy", Value::Int(2048)),
        ("t_us", Kind::COUNTER, "us", Value::Int(1500)),
        ("mcycles", Kind::COUNTER, "{cycle}", Value::Int(42_000_000)),
        ("flag", Kind::Gauge, "1", Value::Int(1)),
    ] {
        assert_eq!(shown(name), (kind, unit.to_owned(), value), "{name}");
    }
    let declared = |name: &str| {
        let statistic = layout.statistics.iter().find(|it| &*it.name == name);
        statistic.unwrap().column.file.declared.clone().unwrap()
    };
    assert_eq!(declared("now").kind, None, "a catalog may know better");
    assert_eq!(declared("plain").unit, None, "a catalog has `{{exit}}`");
}

#[test]
fn what_a_newer_kernel_says_is_left_out_by_name() {
    let (mut file, _) = capture("synthetic");
    let flags = |file: &mut [u8], number: usize, flags: u32| {
        let at = 72 + number * 64;
        file[at..at + 4].copy_from_slice(&flags.to_ne_bytes());
    };
    flags(&mut file, 0, 0x5);
    flags(&mut file, 1, 0x50);
    flags(&mut file, 2, 0x201);
    let mut layouts = Layouts::new(false);
    let (layout, _) = layouts.of_file(&file).unwrap();
    assert_eq!(layout.unknown, ["plain", "big", "now"]);
    assert_eq!(layout.statistics.len(), 12);
    // The same at both levels counts once.
    file[24..28].copy_from_slice(b"kvm-");
    layouts.of_file(&file).unwrap();
    assert_eq!(layouts.unknown().len(), 3);
    let has_file = |name| layouts.has_file(name);
    assert!(!has_file("plain") && !has_file("wait_hist") && has_file("top"));
    assert!(has_file("tsc-offset"), "of which no descriptor tells");
}

#[test]
fn blocks_of_one_shape_share_their_layout() {
    let (file, _) = capture("vcpu0-qemu");
    let mut layouts = Layouts::new(false);
    let (first, _) = layouts.of_file(&file).unwrap();
    let mut other = file.clone();
    other[24 + 4..24 + 9].copy_from_slice(b"99999");
    let (second, id) = layouts.of_file(&other).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(id, "kvm-99999/vcpu-0");
    let mark = first.mark(&file).unwrap();
    assert!(first.has_mark(&file, &mark) && !first.has_mark(&other, &mark));
    assert_eq!(first.file_bytes, file.len());
}

#[test]
fn what_lies_outside_of_the_file_is_an_error() {
    let (file, _) = capture("vcpu0");
    for end in 0..file.len() {
        assert!(StatsFile::parse(&file[..end]).is_err(), "{end}");
    }
    for (at, word) in [
        (4, 0),
        (4, 257),
        (8, 4097),
        (8, 64),
        (12, 4056),
        (16, 4000),
        (20, u32::MAX),
        (20, 3_000),
    ] {
        let mut broken = file.clone();
        broken[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        assert!(StatsFile::parse(&broken).is_err(), "{at}: {word}");
    }
}

/// A file of linear histograms that all lie at the same place.
fn overlapping(count: u32, size: u16) -> Vec<u8> {
    let name = 16_u32;
    let data = 24 + name + count * (16 + name);
    let mut file = Vec::new();
    for word in [0, name, count, 24, 24 + name, data] {
        file.extend(word.to_ne_bytes());
    }
    file.extend(format!("{:\0<16}", "kvm-1").bytes());
    for number in 0..count {
        // Linear, of no unit, to the power of 10.
        file.extend(3_u32.to_ne_bytes());
        file.extend(0_i16.to_ne_bytes());
        file.extend(size.to_ne_bytes());
        file.extend([0_u32, 7].map(u32::to_ne_bytes).concat());
        file.extend(format!("{:\0<16}", format!("h{number}")).bytes());
    }
    file.resize(file.len() + usize::from(size) * 8, 0);
    file
}

#[test]
fn histograms_have_no_more_buckets_than_a_block_has_numbers() {
    for (count, size) in [(1, 3), (4, 3), (1000, 1000)] {
        let (layout, _) = Layouts::new(false)
            .of_file(&overlapping(count, size))
            .unwrap();
        assert_eq!(layout.statistics.len(), 1);
        assert_eq!(layout.unknown.len(), count as usize - 1);
        let Kind::Histogram { bounds, .. } = &layout.statistics[0].column.metric.kind else {
            panic!("no histogram");
        };
        assert_eq!(bounds.0.len(), usize::from(size) - 1);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let captures: Vec<Vec<u8>> = CAPTURES.iter().map(|it| capture(it).0).collect();
    for _ in 0..20_000 {
        let mut file = captures[random.usize(..captures.len())].clone();
        file.truncate(random.usize(..=file.len()));
        for _ in 0..random.usize(..8) {
            if !file.is_empty() {
                let at = random.usize(..file.len());
                file[at] = random.u8(..);
            }
        }
        crate::fuzzing::block(&file);
    }
}
