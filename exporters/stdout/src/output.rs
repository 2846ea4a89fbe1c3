//! Standard output as a descriptor: writing to it, and what it leads to.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use pipeline::{BoxError, ExportError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use rustix::termios::tcgetwinsize;

/// Writes all of it at once. A reader that reads slowly blocks a thread that may block, never the runtime.
pub(crate) async fn write(text: String) -> Result<(), ExportError> {
    let written = tokio::task::spawn_blocking(move || {
        // Not through `Stdout`, which takes for written what goes to a descriptor that cannot be written to.
        let descriptor = std::io::stdout().as_fd().try_clone_to_owned()?;
        File::from(descriptor).write_all(text.as_bytes())
    });
    match written.await.map_err(ExportError::permanent)? {
        Ok(()) => Ok(()),
        // What a terminal says that has gone is an error like any other.
        Err(error) if is_end(&error) || is_closed() => Err(ExportError::Closed),
        Err(error) => Err(ExportError::permanent(BoxError::from(format!(
            "cannot write to standard output: {error}"
        )))),
    }
}

/// Whether an error says that nobody will ever read what is written.
fn is_end(error: &std::io::Error) -> bool {
    let is_not_open = error.raw_os_error() == Some(Errno::BADF.raw_os_error());
    is_not_open || error.kind() == ErrorKind::BrokenPipe
}

/// Whether nobody reads standard output any more, as far as that is known without writing
/// ([poll(2)](https://man7.org/linux/man-pages/man2/poll.2.html)), or nobody can write to it.
pub(crate) fn is_closed() -> bool {
    let stdout = std::io::stdout();
    if fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDONLY) {
        return true;
    }
    let mut poll_fds = [PollFd::new(&stdout, PollFlags::OUT)];
    let at_once = Timespec::default();
    let is_closed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    poll(&mut poll_fds, Some(&at_once)).is_ok() && poll_fds[0].revents().intersects(is_closed)
}

/// How many columns the terminal has; 80 where it does not say.
pub(crate) fn columns() -> usize {
    let size = tcgetwinsize(std::io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}
