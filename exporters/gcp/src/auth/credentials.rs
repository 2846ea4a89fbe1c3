//! The account that writes: Google's application default credentials.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials, impersonated};
use http::{Extensions, HeaderMap, HeaderValue};
use pipeline::telemetry::bounded;
use pipeline::with_causes;
use reqwest::{Client, redirect};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::auth::metadata_server::MetadataServer;
use crate::auth::sources::{CredentialSources, read_credentials};
use crate::auth::token::{FetchedCredentials, TokenSource, UserAccount};
use crate::config::Impersonation;
use crate::send::backoff::{Attempts, Pauses};

/// The scope that writing needs.
const WRITE_SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// The scope that impersonating another account needs.
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long to wait for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request for a token may take. It is made twice.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// The pauses between two renewals of credentials.
const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(10),
    longest: Duration::from_mins(5),
};

/// An account. Its tokens are refreshed before they expire.
#[derive(Debug)]
pub(crate) struct Auth {
    sources: CredentialSources,
    impersonate: Option<Impersonation>,
    state: Mutex<AuthState>,
}

#[derive(Debug)]
struct AuthState {
    credentials: Credentials,
    /// How often they were built anew.
    generation: u64,
    /// Renewals since the API last took a token.
    renewals: Attempts,
    /// Since when a token is waited for.
    waiting_since: Option<Instant>,
    /// The last request for a token failed.
    is_failing: bool,
}

/// Which credentials a token is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenGeneration(u64);

impl Auth {
    /// The account that the sources name. Reads files only; no token is requested yet.
    pub(crate) fn from_sources(
        sources: CredentialSources,
        impersonate: Option<Impersonation>,
    ) -> Result<Auth, String> {
        let state = Mutex::new(AuthState {
            credentials: build_credentials(&sources, impersonate.as_ref())?,
            generation: 0,
            renewals: Attempts::new(),
            waiting_since: None,
            is_failing: false,
        });
        Ok(Auth {
            sources,
            impersonate,
            state,
        })
    }

    /// The authentication headers of a request. A failure is retryable: the request is tried again.
    pub(crate) async fn headers(&self) -> Result<(HeaderMap, TokenGeneration), Status> {
        let (credentials, generation) = self.credentials();
        let response = timeout(TOKEN_TIMEOUT, credentials.headers(Extensions::new())).await;
        let mut state = self.lock();
        let why = match response {
            Ok(Ok(CacheableResource::New { data, .. })) => {
                state.waiting_since = None;
                if std::mem::take(&mut state.is_failing) {
                    tracing::info!("tokens are given again");
                }
                return Ok((data, TokenGeneration(generation)));
            }
            // Returned only to callers that pass an entity tag, and this one passes none.
            Ok(Ok(CacheableResource::NotModified)) => "none was given".into(),
            Ok(Err(error)) => {
                state.waiting_since = None;
                // After a permanent error these credentials never ask again. The file or the account may have been fixed since.
                if !error.is_transient() && state.generation == generation {
                    self.rebuild(&mut state);
                }
                with_causes(error.to_string(), &error)
            }
            Err(_) => format!("no answer within {TOKEN_TIMEOUT:?}"),
        };
        state.is_failing = true;
        let why = bounded(&why);
        Err(Status::unavailable(format!("there is no token: {why}")))
    }

    /// The API did not take a token of these credentials: whether there are other ones now. They are renewed once, and again with a
    /// back-off.
    pub(crate) fn refused(&self, TokenGeneration(generation): TokenGeneration) -> bool {
        let mut state = self.lock();
        state.generation != generation || self.renew(&mut state)
    }

    /// The API took a token.
    pub(crate) fn accepted(&self) {
        self.lock().renewals.succeeded();
    }

    /// The credentials to ask. Those that have not answered for so long are not waited for any more: a request of theirs may
    /// hang for ever. That holds too where those who waited have given up sooner.
    fn credentials(&self) -> (Credentials, u64) {
        let mut state = self.lock();
        let now = Instant::now();
        let since = *state.waiting_since.get_or_insert(now);
        if now.duration_since(since) >= TOKEN_TIMEOUT && self.renew(&mut state) {
            state.waiting_since = Some(now);
        }
        (state.credentials.clone(), state.generation)
    }

    /// Builds the credentials anew, with a back-off.
    fn renew(&self, state: &mut AuthState) -> bool {
        // Until a token of theirs is taken, a renewal has not helped.
        state.renewals.is_due() && {
            state.renewals.failed(PAUSES);
            self.rebuild(state)
        }
    }

    fn rebuild(&self, state: &mut AuthState) -> bool {
        let built = build_credentials(&self.sources, self.impersonate.as_ref());
        if let Ok(credentials) = built {
            state.credentials = credentials;
            state.generation += 1;
            return true;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, AuthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
                .timeout(REQUEST_TIMEOUT)
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
    let server = MetadataServer::new(host, REQUEST_TIMEOUT).map_err(explain)?;
    let source = TokenSource::Metadata(server);
    let project = quota_project(None).map_err(explain)?;
    Ok(FetchedCredentials::new(source, scope, project).into())
}

/// The account in the file, if it is a user's. What else is wrong with the file google-cloud-auth says.
fn user_account(path: &Path) -> Option<UserAccount> {
    let file = read_credentials(path)?;
    (file.get("type")? == "authorized_user").then_some(())?;
    serde_json::from_value(file).ok()
}
