//! Who writes: Google's application default credentials.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials, impersonated};
use http::{Extensions, HeaderMap};
use pipeline::with_causes;
use tonic::Status;

use crate::auth::places::Places;
use crate::config::Impersonate;

/// All that writing takes.
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// What it takes to become another account.
const WIDE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token may take.
const TOKEN: Duration = Duration::from_secs(10);

/// An account, whose tokens are fetched anew before they end.
#[derive(Debug)]
pub(crate) struct Auth {
    places: Places,
    impersonate: Option<Impersonate>,
    credentials: Mutex<Credentials>,
    /// The last token could not be had.
    failing: AtomicBool,
}

impl Auth {
    /// The account that the environment names. Nothing is asked for yet but files.
    pub(crate) fn find(places: Places, impersonate: Option<Impersonate>) -> Result<Auth, String> {
        let credentials = Mutex::new(credentials(&places, impersonate.as_ref())?);
        Ok(Auth {
            places,
            impersonate,
            credentials,
            failing: AtomicBool::new(false),
        })
    }

    /// What a request carries. A failure passes: it is tried again with the request.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Status> {
        let credentials = self.lock().clone();
        let asked = tokio::time::timeout(TOKEN, credentials.headers(Extensions::new()));
        let why = match asked.await {
            Ok(Ok(CacheableResource::New { data, .. })) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("there is a token again");
                }
                return Ok(data);
            }
            // It is said for a known tag only.
            Ok(Ok(CacheableResource::NotModified)) => "none was given".into(),
            Ok(Err(error)) => {
                // After such an error these ask no more, but the file may be mended, or the account.
                if !error.is_transient()
                    && let Ok(anew) = self::credentials(&self.places, self.impersonate.as_ref())
                {
                    *self.lock() = anew;
                }
                with_causes(error.to_string(), &error)
            }
            Err(_) => format!("no answer within {TOKEN:?}"),
        };
        self.failing.store(true, Ordering::Relaxed);
        Err(Status::unavailable(format!("there is no token: {why}")))
    }

    fn lock(&self) -> MutexGuard<'_, Credentials> {
        self.credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(places: &Places, impersonate: Option<&Impersonate>) -> Result<Credentials, String> {
    if places.file().is_none() && places.metadata_server().is_none() {
        return Err(format!("no credentials were found: {}", places.looked_at()));
    }
    let told = |error: google_cloud_auth::build_errors::Error| {
        let place = match places.file() {
            Some(path) => format!("the credentials in {}", path.display()),
            None => "the metadata server's credentials".into(),
        };
        format!(
            "{place} cannot be used: {}",
            with_causes(error.to_string(), &error)
        )
    };
    let Some(other) = impersonate else {
        return Builder::default()
            .with_scopes([SCOPE])
            .build()
            .map_err(told);
    };
    let own = Builder::default()
        .with_scopes([WIDE_SCOPE])
        .build()
        .map_err(told)?;
    let builder = impersonated::Builder::from_source_credentials(own)
        .with_target_principal(&other.target_principal)
        .with_delegates(&other.delegates)
        .with_scopes([SCOPE]);
    builder.build().map_err(told)
}
