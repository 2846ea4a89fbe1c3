//! A server: bound before the pipeline starts, and then run on a thread of its own.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use axum::Router;
use pipeline::telemetry::{Counters, Warnings};
use pipeline::{Context, Error, Result, Right, Shutdown, Watched};
use rustls::ServerConfig;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::config::Limits;
use crate::connection::Connection;
use crate::connections::Connections;
use crate::endpoint::Endpoint;
use crate::listener::{Bound, Listener, Stream, bind, holder};
use crate::visitors::{Visitors, is_loopback_address};

/// How long what is under way may go on at the end.
const GRACE: Duration = Duration::from_millis(500);

/// The pause after a connection could not be taken, as for want of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// TLS of the connections that are made from now on.
pub(crate) type Tls = Arc<Watched<ServerConfig>>;

/// What is to listen; nothing does yet.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    tls: Option<Tls>,
    allowed_hosts: Vec<String>,
    limits: Limits,
    counters: Counters,
    is_once: bool,
    /// Who had the port.
    holder: Arc<OnceLock<String>>,
}

impl Server {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: Option<Tls>,
        allowed_hosts: Vec<String>,
        limits: Limits,
        context: &Context,
    ) -> Server {
        Server {
            endpoint,
            tls,
            allowed_hosts,
            limits,
            counters: context.counters.clone(),
            is_once: context.is_once(),
            holder: Arc::default(),
        }
    }

    /// What it needs, for [`Context::needs`]. Who has its port, if another program does, is found out when that is asked: once
    /// the program has given up its rights, it sees no other.
    pub fn rights(&self) -> impl FnOnce() -> Vec<Right> + Send + use<> {
        let endpoint = (!self.is_once).then(|| self.endpoint.clone());
        let found = Arc::clone(&self.holder);
        move || match endpoint {
            None => Vec::new(),
            Some(Endpoint::Tcp { host, port }) => {
                if let Some(holder) = holder(&host, port) {
                    let _ = found.set(holder);
                }
                Right::listen(&host, port)
            }
            Some(Endpoint::Unix(path)) => vec![Right::ListenAt(path)],
        }
    }

    /// Listens, and logs where; connections wait until they are [served](Listening::serve).
    ///
    /// # Errors
    /// Why it cannot listen there: who has the port, where that is known.
    pub async fn bind(&self) -> Result<Listening> {
        let bound = if self.is_once {
            None
        } else {
            let bound = bind(&self.endpoint, self.holder.get()).await;
            Some(bound.map_err(Error::new)?)
        };
        let address = bound.as_ref().and_then(Bound::address);
        let component = &**self.counters.component();
        if let Some(address) = &address {
            let address = &*address.to_string();
            let tls = self.tls.is_some();
            tracing::info!(component, address, tls, "listening");
        }
        let ip = bound.as_ref().and_then(Bound::ip);
        let is_checked = ip.is_some_and(is_loopback_address) || !self.allowed_hosts.is_empty();
        Ok(Listening {
            address,
            bound,
            tls: self.tls.clone(),
            visitors: Visitors {
                hosts: is_checked.then(|| self.allowed_hosts.clone()),
            },
            limits: self.limits.clone(),
            counters: self.counters.clone(),
            warnings: Warnings::new(self.counters.component()),
        })
    }
}

/// What listens, and answers nothing yet.
pub struct Listening {
    address: Option<Endpoint>,
    bound: Option<Bound>,
    tls: Option<Tls>,
    visitors: Visitors,
    limits: Limits,
    counters: Counters,
    warnings: Warnings,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Listening");
        out.field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listening {
    /// Where it listens, with the port that the kernel chose; none with `--once`.
    #[must_use]
    pub fn address(&self) -> Option<&Endpoint> {
        self.address.as_ref()
    }

    /// Answers by the router until the end, on a thread of its own, where the router's handlers run too: one at a time, but
    /// for what they await. It ends too when this future is dropped.
    ///
    /// # Errors
    /// Why the thread could not do its work.
    pub async fn serve(mut self, router: Router, end: Shutdown) -> Result<()> {
        let Some(bound) = self.bound.take() else {
            end.wait().await;
            return Ok(());
        };
        let (_held, dropped) = oneshot::channel::<()>();
        let (done, result) = oneshot::channel();
        let run = move || {
            let end = async {
                tokio::select! {
                    () = end.wait() => {}
                    _ = dropped => {}
                }
            };
            // Nobody waits any more where the future was dropped.
            let _ = done.send(self.run(bound, router, end));
        };
        let thread = thread::Builder::new().name("http".into()).spawn(run);
        thread.map_err(Error::new)?;
        let broken = |_| Err(io::Error::other("the server's thread broke down"));
        result.await.unwrap_or_else(broken).map_err(Error::new)
    }

    fn run(self, bound: Bound, router: Router, end: impl Future<Output = ()>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(self.accept(bound, router, end));
        // A handler that blocks is not waited for.
        runtime.shutdown_background();
        result
    }

    async fn accept(
        self,
        bound: Bound,
        router: Router,
        end: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let listener = bound.listener()?;
        let mut connections = Connections::new(self.limits.max_connections, &self.counters);
        let connection = Arc::new(Connection {
            router,
            tls: self.tls,
            visitors: self.visitors,
            limits: self.limits,
            counters: self.counters,
            warnings: self.warnings.clone(),
        });
        tokio::pin!(end);
        loop {
            tokio::select! {
                stream = next(&listener, &self.warnings) => {
                    connections.add(Arc::clone(&connection).run(stream));
                }
                () = connections.ended() => {}
                () = &mut end => break,
            }
        }
        drop(listener);
        connections.finish(GRACE).await;
        Ok(())
    }
}

/// The next connection. May be cancelled.
async fn next(listener: &Listener, warnings: &Warnings) -> Box<dyn Stream> {
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let message = "a connection cannot be taken";
                warnings.warn_again(message, &error.to_string());
                sleep(PAUSE).await;
            }
        }
    }
}
