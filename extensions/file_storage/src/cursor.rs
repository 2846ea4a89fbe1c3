//! What of a log is still to be sent: a small file of two slots, written by turns, so that one is always whole.
//!
//! ```text
//! slot = magic | format u32 | generation u64 | end | count u32 | (from, to)… | … | tried u16 | … | crc32c u32
//! ```
//!
//! A position is two numbers: requests, points. What stands in the log behind `end` came after the slot was written. Bit n of
//! `tried` says that range n was under way; it has its place behind that of all ranges.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pipeline::{LogPosition, LogRange};

use crate::segment::is_plausible;

/// Its name.
pub(crate) const FILE: &str = "cursor";

const MAGIC: [u8; 4] = *b"sfsc";
const FORMAT: u32 = 1;
pub(crate) const SLOT: usize = 512;
const HEAD: usize = 4 + 4 + 8 + 16 + 4;
/// Ranges that there is room for. Where there are more, near ones are joined: what is between them is sent again.
const MAX_RANGES: usize = 14;
/// Where `tried` stands.
const TRIED: usize = HEAD + MAX_RANGES * 32;

/// What a slot says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Where the log ended.
    pub(crate) end: LogPosition,
    /// What before that is still to be sent, in order.
    pub(crate) pending: Vec<LogRange>,
    /// What of that was under way, in order: it may have arrived.
    pub(crate) tried: Vec<LogRange>,
}

/// A range that is still to be sent.
struct Part {
    range: LogRange,
    /// Whether it was under way, or something of it was.
    is_tried: bool,
}

/// A cursor's file.
#[derive(Debug)]
pub(crate) struct CursorFile {
    path: PathBuf,
    /// Once it could be opened, or made: a disk that fails at the start may work later.
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    generation: u64,
}

impl CursorFile {
    /// That of this folder.
    pub(crate) fn new(folder: &Path) -> CursorFile {
        CursorFile {
            path: folder.join(FILE),
            opened: None,
        }
    }

    /// Writes the slot that is not the newest.
    pub(crate) fn write(&mut self, cursor: &Cursor) -> io::Result<()> {
        let opened = match &mut self.opened {
            Some(opened) => opened,
            none => none.insert(Opened::open(&self.path)?),
        };
        opened.generation += 1;
        let slot = to_bytes(opened.generation, cursor);
        opened.file.write_all_at(&slot, slot_at(opened.generation))
    }

    /// Returns when it is on the disk itself, if anything was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let opened = self.opened.as_ref();
        opened.map_or(Ok(()), |it| it.file.sync_data())
    }
}

impl Opened {
    /// Opens it or makes it.
    fn open(path: &Path) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
        let file = options.open(path)?;
        let generation = newest(&file).map_or(0, |(generation, _)| generation);
        Ok(Opened { file, generation })
    }
}

/// What a cursor's file says, without changing anything.
pub(crate) fn read(folder: &Path) -> Option<Cursor> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(folder.join(FILE)).ok()?;
    newest(&file).map(|(_, cursor)| cursor)
}

fn slot_at(generation: u64) -> u64 {
    generation % 2 * SLOT as u64
}

fn newest(file: &File) -> Option<(u64, Cursor)> {
    let slots = (0..2).filter_map(|generation| {
        let mut bytes = [0; SLOT];
        file.read_exact_at(&mut bytes, slot_at(generation)).ok()?;
        parse(&bytes)
    });
    slots.max_by_key(|(generation, _)| *generation)
}

pub(crate) fn to_bytes(generation: u64, cursor: &Cursor) -> [u8; SLOT] {
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    let position = |bytes: &mut Vec<u8>, it: LogPosition| {
        bytes.extend_from_slice(&it.requests.to_le_bytes());
        bytes.extend_from_slice(&it.points.to_le_bytes());
    };
    position(&mut bytes, cursor.end);
    let parts = joined(parts(cursor));
    let count = u32::try_from(parts.len()).unwrap_or_default();
    bytes.extend_from_slice(&count.to_le_bytes());
    let mut tried = 0_u16;
    for (bit, Part { range, is_tried }) in parts.into_iter().enumerate() {
        position(&mut bytes, range.start);
        position(&mut bytes, range.end);
        tried |= u16::from(is_tried) << bit;
    }
    bytes.resize(TRIED, 0);
    bytes.extend_from_slice(&tried.to_le_bytes());
    bytes.resize(SLOT - 4, 0);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let mut slot = [0; SLOT];
    slot.copy_from_slice(&bytes);
    slot
}

/// What is still to be sent, in parts of which each was under way, or was not.
fn parts(cursor: &Cursor) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |range: LogRange, is_tried| {
        if range.start < range.end {
            parts.push(Part { range, is_tried });
        }
    };
    for pending in &cursor.pending {
        let mut start = pending.start;
        for tried in &cursor.tried {
            let from = tried.start.max(start);
            let to = tried.end.min(pending.end);
            if from < to {
                add(start..from, false);
                add(from..to, true);
                start = to;
            }
        }
        add(start..pending.end, false);
    }
    parts
}

/// At most so many parts as there is room for: those are joined that cost the least.
fn joined(mut parts: Vec<Part>) -> Vec<Part> {
    while parts.len() > MAX_RANGES {
        let cost = |at: &usize| cost(&parts[*at], &parts[at + 1]);
        let Some(at) = (0..parts.len() - 1).min_by_key(cost) else {
            break;
        };
        let behind = parts.remove(at + 1);
        let joined = &mut parts[at];
        joined.is_tried |= behind.is_tried || joined.range.end < behind.range.start;
        joined.range.end = behind.range.end;
    }
    parts
}

/// What is sent again, or counts as under way, only because two parts are joined: what is between them has arrived.
fn cost(part: &Part, behind: &Part) -> u64 {
    let requests = |from: LogPosition, to: LogPosition| to.requests.saturating_sub(from.requests);
    let between = requests(part.range.end, behind.range.start);
    if between == 0 && !part.is_tried && !behind.is_tried {
        return 0;
    }
    let untried = [part, behind].into_iter().filter(|it| !it.is_tried);
    let untried = untried.map(|it| requests(it.range.start, it.range.end));
    between + untried.sum::<u64>()
}

/// What a slot says, if it is whole.
pub(crate) fn parse(slot: &[u8; SLOT]) -> Option<(u64, Cursor)> {
    let (content, sum) = slot.split_at(SLOT - 4);
    let u32_at = |at: usize| {
        Some(u32::from_le_bytes(
            content.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let u64_at = |at: usize| {
        Some(u64::from_le_bytes(
            content.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    let position = |at: usize| {
        let (requests, points) = (u64_at(at)?, u64_at(at + 8)?);
        Some(LogPosition { requests, points }).filter(is_plausible)
    };
    let is_whole = sum == crc32c::crc32c(content).to_le_bytes()
        && content[..4] == MAGIC
        && u32_at(4)? == FORMAT;
    let (generation, end) = (u64_at(8)?, position(16)?);
    let count = usize::try_from(u32_at(HEAD - 4)?).ok()?;
    if !is_whole || count > MAX_RANGES {
        return None;
    }
    let is_tried = |bit: usize| content[TRIED + bit / 8] >> (bit % 8) & 1 == 1;
    let part = |bit: usize| {
        let at = HEAD + bit * 32;
        let range = position(at)?..position(at + 16)?;
        let is_tried = is_tried(bit);
        Some(Part { range, is_tried })
    };
    let parts: Vec<Part> = (0..count).map(part).collect::<Option<_>>()?;
    let bounds = parts.iter().flat_map(|it| [it.range.start, it.range.end]);
    let is_in_order = bounds
        .chain([end])
        .is_sorted_by(|a, b| a.requests <= b.requests && a.points <= b.points);
    if !is_in_order {
        return None;
    }
    let mut cursor = Cursor {
        end,
        ..Cursor::default()
    };
    for Part { range, is_tried } in parts {
        if range.start < range.end {
            cursor.tried.extend(is_tried.then(|| range.clone()));
            cursor.pending.push(range);
        }
    }
    Some((generation, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(requests: u64) -> LogPosition {
        let points = requests * 10;
        LogPosition { requests, points }
    }

    #[test]
    fn the_newest_whole_slot_is_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = CursorFile::new(folder.path());
        assert_eq!(read(folder.path()), None);
        let cursor = |end| Cursor {
            end: at(end),
            pending: vec![at(2)..at(3), at(5)..at(end)],
            tried: vec![at(2)..at(3)],
        };
        for end in 6..10 {
            file.write(&cursor(end)).unwrap();
            assert_eq!(read(folder.path()), Some(cursor(end)));
        }
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        // The fourth, in the slot of even ones.
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(folder.path()), Some(cursor(8)), "the one before");
        std::fs::write(&path, vec![7; 2 * SLOT]).unwrap();
        assert_eq!(read(folder.path()), None);
    }

    #[test]
    fn too_many_ranges_are_joined_where_they_are_near() {
        let mut ranges: Vec<_> = (0..20).map(|it| at(it * 100)..at(it * 100 + 1)).collect();
        ranges[3] = at(389)..at(390);
        let cursor = |pending| Cursor {
            end: at(5000),
            pending,
            tried: Vec::new(),
        };
        let (_, read) = parse(&to_bytes(7, &cursor(ranges.clone()))).unwrap();
        assert_eq!(read.pending.len(), MAX_RANGES);
        let is_covered = |range: &LogRange| {
            let mut all = read.pending.iter();
            all.any(|it| it.start <= range.start && range.end <= it.end)
        };
        assert!(ranges.iter().all(is_covered));
        assert!(
            read.pending
                .iter()
                .any(|it| it.start <= at(390) && it.end >= at(400))
        );
        let sent_again: Vec<_> = read
            .pending
            .iter()
            .filter(|it| !ranges.contains(it))
            .collect();
        assert!(!sent_again.is_empty());
        assert!(read.tried.iter().eq(sent_again), "what is between arrived");
    }

    #[test]
    fn what_was_under_way_stays_so_and_no_more_than_that_as_far_as_there_is_room() {
        let cursor = Cursor {
            end: at(5000),
            pending: vec![at(0)..at(10), at(20)..at(5000)],
            tried: vec![at(3)..at(4), at(9)..at(22), at(30)..at(31)],
        };
        let (_, read) = parse(&to_bytes(7, &cursor)).unwrap();
        let expected = [at(3)..at(4), at(9)..at(10), at(20)..at(22), at(30)..at(31)];
        assert_eq!(read.tried, expected);
        let sum = |ranges: &[LogRange]| -> u64 {
            let lengths = ranges.iter().map(|it| it.end.requests - it.start.requests);
            lengths.sum()
        };
        assert_eq!(sum(&read.pending), 10 + 4980);
        // Every third request is under way, of which there is no room for each: those between them count too, and no others.
        let tried = (0..20).map(|it| at(it * 3)..at(it * 3 + 1)).collect();
        let cursor = Cursor {
            end: at(5000),
            pending: vec![at(0)..at(5000)],
            tried,
        };
        let (_, read) = parse(&to_bytes(7, &cursor)).unwrap();
        assert_eq!(sum(&read.pending), 5000);
        assert!((20..=58).contains(&sum(&read.tried)), "{read:?}");
        assert!(cursor.tried.iter().all(|it| {
            let mut all = read.tried.iter();
            all.any(|tried| tried.start <= it.start && it.end <= tried.end)
        }));
    }

    #[test]
    fn a_flipped_bit_makes_a_slot_none() {
        let cursor = Cursor {
            end: at(9),
            pending: vec![at(1)..at(2)],
            tried: vec![at(1)..at(2)],
        };
        let slot = to_bytes(7, &cursor);
        assert_eq!(parse(&slot), Some((7, cursor)));
        for bit in 0..SLOT * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped), None, "{bit}");
        }
    }
}
