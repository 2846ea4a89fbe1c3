//! The answers to those who scrape.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, StatusCode};
use pipeline::formats::prometheus::Snapshot;
use pipeline_http::axum::body::Body;
use pipeline_http::axum::extract::State;
use pipeline_http::axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::negotiation::Negotiated;
use crate::shown::Shown;

/// So many different expositions are in memory at a time, however slowly they are read.
const MAX_EXPOSITIONS: usize = 8;

/// What the answers are made of.
#[derive(Debug)]
pub(crate) struct Scrapes {
    pub(crate) shown: Arc<Shown>,
    pub(crate) expiration: Duration,
    pub(crate) open_metrics: bool,
    /// Those that are being read.
    being_read: Mutex<Vec<Weak<Exposed>>>,
    room: Arc<Semaphore>,
}

/// An exposition, until everybody has read it.
#[derive(Debug)]
struct Exposed {
    wanted: Negotiated,
    version: u64,
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// Its bytes, which keep it.
struct Read(Arc<Exposed>);

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Scrapes {
    pub(crate) fn new(shown: Arc<Shown>, expiration: Duration, open_metrics: bool) -> Scrapes {
        Scrapes {
            shown,
            expiration,
            open_metrics,
            being_read: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_EXPOSITIONS)),
        }
    }

    /// The exposition of now: one that is being read already, if nothing came since; `None` where there is no room for one more.
    fn exposed(&self, wanted: Negotiated) -> Option<Arc<Exposed>> {
        let mut being_read = self
            .being_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let version = self.shown.version();
        let all: Vec<Arc<Exposed>> = being_read.iter().filter_map(Weak::upgrade).collect();
        being_read.retain(|it| it.strong_count() > 0);
        let same = |it: &Arc<Exposed>| it.version == version && it.wanted == wanted;
        if let Some(same) = all.into_iter().find(same) {
            return Some(same);
        }
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let (snapshot, version) = self.shown.snapshot(self.expiration);
        let bytes = if wanted.gzip {
            gzip(&snapshot, wanted)
        } else {
            snapshot.write(wanted.format, wanted.escaping).into_bytes()
        };
        let exposed = Arc::new(Exposed {
            wanted,
            version,
            bytes,
            _room: room,
        });
        being_read.push(Arc::downgrade(&exposed));
        Some(exposed)
    }
}

/// The text itself is never in memory as a whole.
fn gzip(snapshot: &Snapshot, wanted: Negotiated) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    snapshot.write_parts(wanted.format, wanted.escaping, |part| {
        // A vector takes all that is written to it.
        let _ = encoder.write_all(part.as_bytes());
    });
    encoder.finish().unwrap_or_default()
}

/// Answers a scrape.
pub(crate) async fn scrape(State(scrapes): State<Arc<Scrapes>>, headers: HeaderMap) -> Response {
    let wanted = Negotiated::of(&headers, scrapes.open_metrics);
    let Some(exposed) = scrapes.exposed(wanted) else {
        let refusal = "too many clients read old expositions at this moment\n";
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(RETRY_AFTER, "1")],
            refusal,
        )
            .into_response();
    };
    let body = Body::from(Bytes::from_owner(Read(exposed)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Ok(content_type) = wanted.content_type().parse() {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(
        VARY,
        http::HeaderValue::from_static("Accept, Accept-Encoding"),
    );
    if wanted.gzip {
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    }
    response
}
