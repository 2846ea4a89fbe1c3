//! What the service manager is told that has started this program: systemd's protocol
//! ([sd_notify(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html)).

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pipeline::Host;
use pipeline::telemetry::{Counters, Warnings, bounded};
use tokio::runtime::Builder;
use tokio::time::sleep;

/// A manager that takes nothing is not waited for any longer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Who is told; nobody where no manager wants to know. Clones tell the same one.
#[derive(Clone)]
pub(crate) struct ServiceManager {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// It ends the program that has not said for so long that it is alive.
    watchdog: Option<Duration>,
    warnings: Warnings,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(crate) fn from_environment(counters: &Counters) -> ServiceManager {
        let mut manager = ServiceManager {
            socket: None,
            watchdog: watchdog(|name| env::var(name).ok()),
            warnings: Warnings::new(counters.component()),
        };
        match env::var("NOTIFY_SOCKET").as_deref().map(socket) {
            Err(_) | Ok(Ok(None)) => {}
            Ok(Ok(Some(socket))) => manager.socket = Some(Arc::new(socket)),
            Ok(Err(error)) => manager.warn(&error),
        }
        manager
    }

    /// Everything has started.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The end has begun, and takes no longer than this.
    pub(crate) fn stopping(&self, within: Duration) {
        let within = within.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={within}"));
    }

    /// How the program fares, in one line.
    pub(crate) fn status(&self, text: &str) {
        // It takes 4,096 bytes at a time, and a line break ends the text.
        let text = bounded(text).replace('\n', " ");
        self.tell(&format!("STATUS={text}"));
    }

    /// Tells that the program is alive, again and again, for as long as its threads move: on a thread of its own, since the
    /// others may be those that do not.
    ///
    /// # Errors
    /// Why there is no thread for it.
    pub(crate) fn watch(&self, host: &Host) -> io::Result<()> {
        let Some(watchdog) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return Ok(());
        };
        let (manager, host) = (self.clone(), host.clone());
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let thread = thread::Builder::new().name("watchdog".into());
        let run = move || runtime.block_on(manager.tell_of_life(&host, watchdog));
        thread.spawn(run).map(drop)
    }

    /// Does not end.
    async fn tell_of_life(&self, host: &Host, watchdog: Duration) {
        // Twice that is the most from one time to the next: half of what is allowed.
        let period = watchdog / 4;
        let mut was_stalled = false;
        loop {
            let stalled = host.stalled(period).await;
            match stalled.first() {
                None => {
                    self.tell("WATCHDOG=1");
                    sleep(period).await;
                }
                Some(thread) if !was_stalled => self.warn_of_stall(thread, period),
                Some(_) => {}
            }
            was_stalled = !stalled.is_empty();
        }
    }

    fn warn_of_stall(&self, thread: &str, period: Duration) {
        let text = format!("the {thread} thread does nothing new for {period:?}");
        let message = "something blocks a thread; if that lasts, the service manager's watchdog ends the program";
        self.warnings.warn_again(message, &text);
        self.status(&text);
    }

    fn tell(&self, state: &str) {
        if let Some((socket, manager)) = self.socket.as_deref()
            && let Err(error) = socket.send_to_addr(state.as_bytes(), manager)
        {
            self.warn(&error);
        }
    }

    fn warn(&self, error: &io::Error) {
        let message = "the service manager cannot be told how the program fares";
        self.warnings
            .warn(message, &format!("NOTIFY_SOCKET: {error}"));
    }
}

/// The socket of this name, and one to tell it by.
fn socket(name: &str) -> io::Result<Option<(UnixDatagram, SocketAddr)>> {
    let manager = match name.as_bytes() {
        [] => return Ok(None),
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            let text = "it is neither a path nor `@name`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(Some((socket, manager)))
}

/// How long this process may go without a sign of life
/// ([sd_watchdog_enabled(3)](https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html)).
fn watchdog(env: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let micros = env("WATCHDOG_USEC")?.parse().ok().filter(|it| *it > 0)?;
    let own = std::process::id().to_string();
    let is_meant = env("WATCHDOG_PID").is_none_or(|pid| pid == own);
    is_meant.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let of = |usec: &str, pid: Option<&str>| {
            watchdog(|name| match name {
                "WATCHDOG_USEC" => Some(usec.to_owned()),
                _ => pid.map(str::to_owned),
            })
        };
        let own = std::process::id().to_string();
        assert_eq!(of("2000000", None), Some(Duration::from_secs(2)));
        assert_eq!(of("2000000", Some(&own)), Some(Duration::from_secs(2)));
        assert_eq!(of("2000000", Some("1")), None);
        assert_eq!(of("0", None), None);
        assert_eq!(of("x", None), None);
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        assert!(socket("").is_ok_and(|it| it.is_none()));
        for name in ["/run/x", "@x/y"] {
            assert!(socket(name).is_ok_and(|it| it.is_some()), "{name}");
        }
        for name in ["run/x", "vsock:2:1", "/a\0b"] {
            assert!(socket(name).is_err(), "{name}");
        }
    }
}
