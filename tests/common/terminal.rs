//! The program on a terminal: a pseudoterminal whose other side the test reads
//! ([pty(7)](https://man7.org/linux/man-pages/man7/pty.7.html)).

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What the program writes on its terminal. It ends when nobody has the terminal open any more.
pub(crate) struct Screen(File);

impl Read for Screen {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(to) {
            // So the kernel says that the other side is closed.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
            read => read,
        }
    }
}

/// The program, its standard output a terminal of so many columns.
pub(crate) fn on_terminal(
    mut command: Command,
    input: &str,
    columns: u16,
) -> (Child, BufReader<Screen>) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let terminal: OwnedFd = ioctl_tiocgptpeer(&screen, flags).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let command = command
        .stdin(Stdio::piped())
        .stdout(terminal)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    super::kill_when_late(&child);
    (child, BufReader::new(Screen(File::from(screen))))
}
