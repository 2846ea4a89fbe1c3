//! Who writes: Google's application default credentials.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials, impersonated};
use http::{Extensions, HeaderMap};
use pipeline::with_causes;
use tonic::Status;

use crate::config::Impersonate;
use crate::places::Places;

/// All that writing takes.
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// How long a token may take.
const TOKEN: Duration = Duration::from_secs(10);

/// An account, whose tokens are fetched anew before they end.
#[derive(Debug)]
pub(crate) struct Auth {
    credentials: Credentials,
    /// The last token could not be had, and that was said.
    failing: AtomicBool,
}

impl Auth {
    /// The account that the environment names. Nothing is asked for yet but files.
    pub(crate) fn find(places: &Places, impersonate: Option<&Impersonate>) -> Result<Auth, String> {
        if places.file().is_none() && places.metadata_server().is_none() {
            return Err(format!("no credentials were found: {}", places.looked_at()));
        }
        let place = || match places.file() {
            Some(path) => format!("the credentials in {}", path.display()),
            None => "the metadata server's credentials".into(),
        };
        let told = |error: google_cloud_auth::build_errors::Error| {
            format!(
                "{} cannot be used: {}",
                place(),
                with_causes(error.to_string(), &error)
            )
        };
        // The scope of an impersonation's source has to be wider.
        let scope = if impersonate.is_some() {
            "https://www.googleapis.com/auth/cloud-platform"
        } else {
            SCOPE
        };
        let mut credentials = Builder::default()
            .with_scopes([scope])
            .build()
            .map_err(told)?;
        if let Some(other) = impersonate {
            let builder = impersonated::Builder::from_source_credentials(credentials)
                .with_target_principal(&other.target_principal)
                .with_delegates(&other.delegates)
                .with_scopes([SCOPE]);
            credentials = builder.build().map_err(told)?;
        }
        Ok(Auth {
            credentials,
            failing: AtomicBool::new(false),
        })
    }

    /// What a request carries. A failure passes: it is tried again with the request.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Status> {
        let asked = tokio::time::timeout(TOKEN, self.credentials.headers(Extensions::new()));
        let why = match asked.await {
            Ok(Ok(CacheableResource::New { data, .. })) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("there is a token again");
                }
                return Ok(data);
            }
            // It is said for a known tag only.
            Ok(Ok(CacheableResource::NotModified)) => "none was given".into(),
            Ok(Err(error)) => with_causes(error.to_string(), &error),
            Err(_) => format!("no answer within {TOKEN:?}"),
        };
        self.failing.store(true, Ordering::Relaxed);
        Err(Status::unavailable(format!("there is no token: {why}")))
    }
}
