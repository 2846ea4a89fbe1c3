//! Where BTF is read from, a window at a time: the kernel's own is some 6 MiB, of which little is needed.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const WINDOW: u32 = 4096;

/// Some bytes that can be read anywhere.
pub(crate) trait Source {
    /// How many there are.
    fn size(&self) -> io::Result<u64>;

    /// All that fit into `buffer`, from `at` on.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

impl Source for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let bytes = from.and_then(|bytes| bytes.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A part of a source.
pub(super) struct Section<'a> {
    source: &'a dyn Source,
    start: u64,
    pub(super) length: u32,
    window: RefCell<Window>,
}

#[derive(Default)]
struct Window {
    at: u32,
    bytes: Vec<u8>,
}

impl<'a> Section<'a> {
    /// `None` if the source is shorter.
    pub(super) fn new(source: &'a dyn Source, start: u64, length: u32) -> Option<Self> {
        let end = start.checked_add(u64::from(length))?;
        let window = RefCell::default();
        (end <= source.size().ok()?).then_some(Self {
            source,
            start,
            length,
            window,
        })
    }

    pub(super) fn word(&self, at: u32) -> Option<u32> {
        let word = self.with(at, 4, |bytes| bytes.first_chunk().copied())??;
        Some(u32::from_ne_bytes(word))
    }

    /// Shows the bytes from `at` on, `most` of them if there are so many, which is not more than a window. `None` if they
    /// cannot be read, or `at` is beyond the end.
    pub(super) fn with<T>(&self, at: u32, most: u32, show: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let length = most.min(self.length.checked_sub(at)?);
        let mut window = self.window.borrow_mut();
        if window.part(at, length).is_none() {
            self.fill(&mut window, at)?;
        }
        window.part(at, length).map(show)
    }

    fn fill(&self, window: &mut Window, at: u32) -> Option<()> {
        let length = WINDOW.min(self.length.checked_sub(at)?);
        window.at = at;
        window.bytes.resize(length as usize, 0);
        let read = self
            .source
            .read_at(self.start + u64::from(at), &mut window.bytes);
        if read.is_err() {
            window.bytes.clear();
        }
        read.ok()
    }
}

impl Window {
    fn part(&self, at: u32, length: u32) -> Option<&[u8]> {
        let from = at.checked_sub(self.at)? as usize;
        self.bytes.get(from..from.checked_add(length as usize)?)
    }
}
