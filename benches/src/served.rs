//! A process that is scraped, and what that costs it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// It is there, with all of its series, before this.
const START: Duration = Duration::from_mins(5);

/// One that serves `/metrics` on loopback, until this is dropped.
pub(crate) struct Served {
    pub(crate) name: &'static str,
    child: Child,
    port: u16,
}

/// Bytes: resident, without what files stand behind, and the most that was resident.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) peak: u64,
}

impl Served {
    pub(crate) fn start(name: &'static str, mut command: Command, port: u16) -> io::Result<Served> {
        let child = command.stdout(Stdio::null()).spawn()?;
        let mut served = Served { name, child, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if served.child.try_wait()?.is_some() || start.elapsed() > START {
                return Err(io::Error::other(format!("{name} does not listen")));
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        Ok(served)
    }

    /// Waits until it shows so many series. Its exposition.
    pub(crate) fn wait_for(&self, series: usize) -> io::Result<String> {
        let start = Instant::now();
        loop {
            let text = String::from_utf8(self.get("")?).map_err(io::Error::other)?;
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            if lines.count() >= series {
                return Ok(text);
            }
            if start.elapsed() > START {
                let why = format!("{} never shows {series} series", self.name);
                return Err(io::Error::other(why));
            }
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// A scrape with these headers: its CPU time in ns, and the body.
    pub(crate) fn scrape(&self, headers: &str) -> io::Result<(f64, Vec<u8>)> {
        let before = self.cpu()?;
        let body = self.get(headers)?;
        // What it does after its answer is part of it: it has ended once nothing more is added.
        let mut after = self.cpu()?;
        loop {
            thread::park_timeout(Duration::from_millis(50));
            let now = self.cpu()?;
            if now - after < 1e5 {
                return Ok((now - before, body));
            }
            after = now;
        }
    }

    fn get(&self, headers: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "GET /metrics HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
        let end = end.filter(|_| answer.starts_with(b"HTTP/1."));
        let end = end.ok_or_else(|| io::Error::other("no answer"))?;
        if !answer[9..].starts_with(b"200") {
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            return Err(io::Error::other(head));
        }
        Ok(answer.split_off(end + 4))
    }

    /// Of all its threads so far, in ns, as the kernel's scheduler has it.
    pub(crate) fn cpu(&self) -> io::Result<f64> {
        let mut all = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"));
            // A thread that has ended meanwhile.
            let Ok(text) = text else { continue };
            let time = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
            all += time.unwrap_or_default();
        }
        Ok(all)
    }

    pub(crate) fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or_default() * 1024
        };
        Ok(Memory {
            resident: bytes("VmRSS:"),
            anonymous: bytes("RssAnon:"),
            peak: bytes("VmHWM:"),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that nobody listens on.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    Ok(path)
}
