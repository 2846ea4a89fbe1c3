//! Whatever happens to devices and to this program: what a far end adds up never exceeds what really happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::far_end::{FarEnd, Sender};
use crate::common::{config, shared_memory};

/// Devices of a kind, and what they have really counted.
struct Devices<'a> {
    root: &'a Path,
    subsystem: &'static str,
    counts: BTreeMap<String, u64>,
    counted: u64,
}

impl Devices<'_> {
    fn write(&self, device: &str, value: u64) {
        let directory = self.root.join("tree").join(self.subsystem).join(device);
        // A file is never seen empty.
        fs::write(self.root.join("next"), format!("{value}\n")).unwrap();
        if !directory.exists() {
            fs::create_dir_all(self.root.join("new")).unwrap();
            fs::rename(self.root.join("next"), self.root.join("new/c")).unwrap();
            fs::create_dir_all(directory.parent().unwrap()).unwrap();
            return fs::rename(self.root.join("new"), directory).unwrap();
        }
        fs::rename(self.root.join("next"), directory.join("c")).unwrap();
    }

    /// A device comes, and shows `value`; `is_new`: it has counted that just now.
    fn add(&mut self, device: &str, value: u64, is_new: bool) {
        self.remove(device);
        self.write(device, value);
        self.counts.insert(device.to_owned(), value);
        self.counted += if is_new { value } else { 0 };
    }

    fn remove(&mut self, device: &str) {
        if self.counts.remove(device).is_some() {
            let path = self.root.join("tree").join(self.subsystem).join(device);
            fs::rename(path, self.root.join("old")).unwrap();
            fs::remove_dir_all(self.root.join("old")).unwrap();
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let Some(value) = self.counts.remove(from) else {
            return;
        };
        self.remove(to);
        let directory = self.root.join("tree").join(self.subsystem);
        fs::rename(directory.join(from), directory.join(to)).unwrap();
        self.counts.insert(to.to_owned(), value);
    }

    /// Counts `more`, from zero if it is reset.
    fn count(&mut self, device: &str, more: u64, is_reset: bool) {
        if let Some(value) = self.counts.get_mut(device) {
            *value = if is_reset { more } else { *value + more };
            self.counted += more;
            let value = *value;
            self.write(device, value);
        }
    }
}

#[test]
fn no_history_of_devices_and_restarts_adds_up_to_more_than_what_happened() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let tree = shared_memory();
    let root = tree.path();
    let devices = |subsystem| Devices {
        root,
        subsystem,
        counts: BTreeMap::new(),
        counted: 0,
    };
    // Those of `kept` come with what they counted before, and are renamed; those of `made` begin at zero.
    let (mut kept, mut made) = (devices("kept"), devices("made"));
    let mut clock = devices("clock");
    clock.add("d", 0, true);
    let receiver = format!(
        "{{root: {}, collection_interval: 10ms}}",
        root.join("tree").display()
    );
    let rules = "metadata: {rules: [{match: {name: made/*}, start: device}, {kind: counter}]}";
    let config = config(&receiver, rules, "{format: json}");
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config);
    sender.until(&mut far_end, |_| true);
    let mut began_known = false;
    for _ in 0..150 {
        let name = |random: &mut fastrand::Rng| format!("d{}", random.u8(..4));
        let (device, other, more) = (name(&mut random), name(&mut random), random.u64(1..100));
        let (what, is_reset) = (random.u8(..10), random.u8(..4) == 0);
        match what {
            0 => {
                sender.end(&mut far_end);
                // Something may happen while nobody looks.
                kept.rename(&device, &other);
                made.count(&device, more, is_reset);
                sender = Sender::start(&config);
            }
            1 => kept.add(&device, random.u64(..1000), false),
            2 => made.add(&device, more, true),
            3 => kept.rename(&device, &other),
            4 => kept.remove(&device),
            5 => made.remove(&device),
            6 | 7 => kept.count(&device, more, is_reset),
            _ => made.count(&device, more, is_reset),
        }
        // Until it was seen, or not even that; a program that has just started is not ended at once.
        if what == 0 || random.bool() {
            clock.count("d", 1, false);
            let now = clock.counts["d"];
            let mut sweeps = 0;
            let shown = sender.until(&mut far_end, |point| {
                sweeps +=
                    usize::from(point.series == "clock/c{device=/d}" && point.value == Some(now));
                sweeps == 2
            });
            began_known |= shown
                .iter()
                .any(|point| point.series.starts_with("made/") && !point.is_baseline());
        }
        for devices in [&kept, &made] {
            let counted = far_end.total(&format!("{}/c", devices.subsystem));
            assert!(
                counted <= devices.counted,
                "seed {seed}: {} {counted} {}",
                devices.subsystem,
                devices.counted
            );
        }
    }
    sender.end(&mut far_end);
    assert!(began_known);
    for metric in ["kept/c", "made/c"] {
        assert!(far_end.total(metric) > 0, "seed {seed}: {metric}");
    }
}
