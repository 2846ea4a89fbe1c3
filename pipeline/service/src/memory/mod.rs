//! How much memory the program may take, and whether it takes so much that queues let go what they can.

mod cgroup;

use std::fs;
use std::path::Path;

use crate::config::Memory;

/// The part of the limit from which on queues let go, in percent.
const SOFT: u64 = 80;

/// From how much on queues let go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLimit {
    soft_bytes: u64,
}

impl MemoryLimit {
    /// As it is configured; `None` where nothing says how much memory there is. Read once: a limit that is changed while the
    /// program runs holds from its next start on.
    pub(crate) fn of(config: &Memory) -> Option<MemoryLimit> {
        let percentage = u64::from(config.limit_percentage.0);
        let part_of = |all: u64| all / 100 * percentage;
        let limit = match &config.limit {
            Some(limit) => limit.0,
            None => part_of(cgroup::limit(Path::new("/proc/self")).or_else(machine)?),
        };
        Some(MemoryLimit {
            soft_bytes: limit / 100 * SOFT,
        })
    }

    /// How many bytes the program takes, if that is more than it should.
    pub(crate) fn exceeded(self) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        kibibytes(&status, "RssAnon:").filter(|used| *used > self.soft_bytes)
    }

    pub(crate) fn soft_bytes(self) -> u64 {
        self.soft_bytes
    }
}

/// What the machine has.
fn machine() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The bytes in the line with this key, which the kernel writes as `12 kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exceeded_from_four_fifths_of_the_limit_on() {
        let limit = |yaml: &str| {
            let config = serde_yaml::from_str(yaml).expect("a limit");
            MemoryLimit::of(&config).expect("a machine has memory")
        };
        assert_eq!(limit("{limit: 1000000}").soft_bytes(), 800_000);
        assert!(limit("{limit: 1000}").exceeded() > Some(1000));
        let (half, all) = (limit("{limit_percentage: 50}"), limit("{}"));
        assert!(all.soft_bytes().abs_diff(2 * half.soft_bytes()) < 1000);
        assert_eq!(all.exceeded(), None);
    }
}
