//! What listens: a port, or a socket in the file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use pipeline::telemetry::escaped;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream, lookup_host};

use crate::endpoint::Endpoint;
use crate::taken;

/// A socket that is bound, and of no runtime yet.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, SocketFile),
}

/// A socket in the file system, which goes when it is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Whatever stands there later is not ours.
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|it| it.ino() == self.inode) {
            // Where it cannot go, the next one that listens there takes it away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket; the error is for the user. `holder` is who had the port before, if that is known.
pub(crate) async fn bind(endpoint: &Endpoint, holder: Option<&String>) -> Result<Bound, String> {
    let bound = match endpoint {
        Endpoint::Tcp { host, port } => bind_tcp(host, *port, holder).await,
        Endpoint::Unix(path) => bind_unix(path).await,
    };
    bound.map_err(|why| format!("cannot listen on {}: {why}", escaped(&endpoint.to_string())))
}

/// Each address of this host; one of IPv6 takes IPv4 too, where there is any.
const EVERY: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
];

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// Who has the port of a host now, as far as no name has to be asked for.
pub(crate) fn holder(host: &str, port: u16) -> Option<String> {
    let addresses = match host {
        "" => EVERY.to_vec(),
        "localhost" => LOOPBACK.to_vec(),
        host => vec![host.parse().ok()?],
    };
    let mut addresses = addresses.into_iter().filter(|_| port != 0);
    addresses.find_map(|it| taken::holder(&SocketAddr::new(it, port)))
}

async fn bind_tcp(host: &str, port: u16, before: Option<&String>) -> Result<Bound, String> {
    let addresses: Vec<SocketAddr> = if host.is_empty() {
        EVERY.map(|it| SocketAddr::new(it, port)).into()
    } else {
        let found = lookup_host((host, port)).await;
        found.map_err(|error| error.to_string())?.collect()
    };
    let listener = StdTcpListener::bind(&*addresses).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            let now = || addresses.iter().find_map(taken::holder);
            let holder = before.cloned().or_else(now);
            let by = holder.map_or_else(String::new, |it| format!(" by {it}"));
            format!("the port is taken{by}: end that, or choose another one")
        }
        ErrorKind::PermissionDenied => format!("{error}: a port below 1024 takes privileges"),
        _ => error.to_string(),
    })?;
    let ready = listener.set_nonblocking(true);
    ready.map_err(|error| error.to_string())?;
    Ok(Bound::Tcp(listener))
}

async fn bind_unix(path: &Path) -> Result<Bound, String> {
    take_away(path).await?;
    let told = |error: io::Error| error.to_string();
    let listener = StdUnixListener::bind(path).map_err(told)?;
    let inode = fs::symlink_metadata(path).map_err(told)?.ino();
    listener.set_nonblocking(true).map_err(told)?;
    let path = path.to_owned();
    Ok(Bound::Unix(listener, SocketFile { path, inode }))
}

/// Takes away a socket that nobody listens on any more, as a program leaves it that was killed.
async fn take_away(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(()); // what else is wrong with it, binding tells
    };
    if !found.file_type().is_socket() {
        return Err("there is a file that is no socket; it is left as it is".into());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("there is a socket already, and {error}")),
        Ok(stream) => {
            let pid = stream.peer_cred().ok().and_then(|it| it.pid());
            let by = pid.map_or_else(String::new, |pid| format!(" by {}", taken::process(pid)));
            Err(format!(
                "the socket is taken{by}: end that, or choose another one"
            ))
        }
    }
}

/// What a connection's bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket of this runtime.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code)] SocketFile), // held for its drop
}

impl Bound {
    /// Where it listens.
    pub(crate) fn address(&self) -> Option<Endpoint> {
        match self {
            Bound::Tcp(listener) => {
                let address = listener.local_addr().ok()?;
                let (host, port) = (address.ip().to_string(), address.port());
                Some(Endpoint::Tcp { host, port })
            }
            Bound::Unix(_, file) => Some(Endpoint::Unix(file.path.clone())),
        }
    }

    /// The address, where it is one of a network.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok().map(|it| it.ip()),
            Bound::Unix(..) => None,
        }
    }

    /// The same for the runtime that this is called in.
    pub(crate) fn listener(self) -> io::Result<Listener> {
        Ok(match self {
            Bound::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Listener::Unix(UnixListener::from_std(listener)?, file),
        })
    }
}

impl Listener {
    /// The next connection. May be cancelled.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is written at once, and waits for nothing.
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Listener::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}
