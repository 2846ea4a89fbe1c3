//! The account that writes: Google's application default credentials.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials, impersonated};
use http::{Extensions, HeaderMap, HeaderValue};
use pipeline::telemetry::bounded;
use pipeline::with_causes;
use reqwest::{Client, redirect};
use tonic::Status;

use crate::auth::metadata_server::MetadataServer;
use crate::auth::sources::{CredentialSources, read_credentials};
use crate::auth::token::{FetchedCredentials, TokenSource, UserAccount};
use crate::config::Impersonation;

/// The scope that writing needs.
const WRITE_SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// The scope that impersonating another account needs.
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long to wait for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// An account. Its tokens are refreshed before they expire.
#[derive(Debug)]
pub(crate) struct Auth {
    sources: CredentialSources,
    impersonate: Option<Impersonation>,
    credentials: Mutex<Credentials>,
    /// The last request for a token failed.
    failing: AtomicBool,
}

impl Auth {
    /// The account that the sources name. Reads files only; no token is requested yet.
    pub(crate) fn from_sources(
        sources: CredentialSources,
        impersonate: Option<Impersonation>,
    ) -> Result<Auth, String> {
        let credentials = Mutex::new(build_credentials(&sources, impersonate.as_ref())?);
        Ok(Auth {
            sources,
            impersonate,
            credentials,
            failing: AtomicBool::new(false),
        })
    }

    /// The authentication headers of a request. A failure is retryable: the request is tried again.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Status> {
        let credentials = self.lock().clone();
        let response = tokio::time::timeout(TOKEN_TIMEOUT, credentials.headers(Extensions::new()));
        let why = match response.await {
            Ok(Ok(CacheableResource::New { data, .. })) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("tokens are given again");
                }
                return Ok(data);
            }
            // Returned only to callers that pass an entity tag, and this one passes none.
            Ok(Ok(CacheableResource::NotModified)) => "none was given".into(),
            Ok(Err(error)) => {
                // After a permanent error these credentials never ask again. The file or the account may have been fixed since.
                if !error.is_transient()
                    && let Ok(rebuilt) = build_credentials(&self.sources, self.impersonate.as_ref())
                {
                    *self.lock() = rebuilt;
                }
                with_causes(error.to_string(), &error)
            }
            Err(_) => format!("no answer within {TOKEN_TIMEOUT:?}"),
        };
        self.failing.store(true, Ordering::Relaxed);
        let why = bounded(&why);
        Err(Status::unavailable(format!("there is no token: {why}")))
    }

    fn lock(&self) -> MutexGuard<'_, Credentials> {
        self.credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn build_credentials(
    sources: &CredentialSources,
    impersonate: Option<&Impersonation>,
) -> Result<Credentials, String> {
    let Some(target) = impersonate else {
        return own_credentials(sources, WRITE_SCOPE);
    };
    let own = own_credentials(sources, IMPERSONATION_SCOPE)?;
    let builder = impersonated::Builder::from_source_credentials(own)
        .with_target_principal(&target.target_principal)
        .with_delegates(&target.delegates)
        .with_scopes([WRITE_SCOPE]);
    builder.build().map_err(|error| {
        let why = with_causes(error.to_string(), &error);
        format!("`impersonate` cannot be used: {why}")
    })
}

/// The account of the credentials file, or of this machine.
fn own_credentials(
    sources: &CredentialSources,
    scope: &'static str,
) -> Result<Credentials, String> {
    let quota_project = |configured: Option<&str>| {
        let project = sources.quota_project.as_deref().or(configured);
        project
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| "the project for quotas is none".to_owned())
    };
    if let Some(path) = sources.credentials_file() {
        let explain = |why| {
            format!(
                "the credentials in {} cannot be used: {why}",
                path.display()
            )
        };
        if let Some(account) = user_account(path) {
            let project = quota_project(account.quota_project_id.as_deref()).map_err(explain)?;
            let client = Client::builder()
                .redirect(redirect::Policy::none())
                .timeout(TOKEN_TIMEOUT)
                .build();
            let client = client.map_err(|error| explain(with_causes(error.to_string(), &error)))?;
            let source = TokenSource::User(client, account);
            return Ok(FetchedCredentials::new(source, scope, project).into());
        }
        let credentials = Builder::default().with_scopes([scope]).build();
        return credentials.map_err(|error| explain(with_causes(error.to_string(), &error)));
    }
    let Some(host) = sources.metadata_server() else {
        return Err(format!("no credentials were found: {}", sources.describe()));
    };
    let explain = |why| format!("the metadata server's credentials cannot be used: {why}");
    let source = TokenSource::Metadata(MetadataServer::new(host).map_err(explain)?);
    let project = quota_project(None).map_err(explain)?;
    Ok(FetchedCredentials::new(source, scope, project).into())
}

/// The account in the file, if it is a user's. What else is wrong with the file google-cloud-auth says.
fn user_account(path: &Path) -> Option<UserAccount> {
    let file = read_credentials(path)?;
    (file.get("type")? == "authorized_user").then_some(())?;
    serde_json::from_value(file).ok()
}
