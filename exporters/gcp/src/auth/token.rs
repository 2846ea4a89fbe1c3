//! Tokens that are fetched here: those of the metadata server, and those of a user who has logged in by gcloud. Other
//! accounts are google-cloud-auth's.

use std::fmt;
use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, CredentialsProvider, EntityTag};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION, header::CONTENT_TYPE};
use reqwest::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::http::{HttpError, text_of};
use crate::auth::metadata_server::MetadataServer;

/// So long before its end a token is fetched anew. The metadata server has another one five minutes before.
const REFRESH_BEFORE: Duration = Duration::from_mins(4);
/// The pause after a failed attempt while the last token holds, and after a token that ends very soon.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Google's tokens are valid for an hour; what is said to be valid for longer is fetched anew after a day.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// Where tokens come from.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// The account of this machine.
    Metadata(MetadataServer),
    /// The one in gcloud's file.
    User(Client, UserAccount),
}

/// A file of type `authorized_user`.
#[derive(Deserialize)]
pub(crate) struct UserAccount {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    #[serde(default = "UserAccount::token_uri")]
    token_uri: String,
    pub(crate) quota_project_id: Option<String>,
}

/// An account whose tokens are fetched here.
#[derive(Debug)]
pub(crate) struct FetchedCredentials {
    source: TokenSource,
    scope: &'static str,
    quota_project: Option<HeaderValue>,
    token: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    headers: HeaderMap,
    refresh_at: Instant,
    expires_at: Instant,
}

/// What a token's server answers.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
    token_type: String,
}

impl UserAccount {
    fn token_uri() -> String {
        "https://oauth2.googleapis.com/token".into()
    }
}

/// Without its secrets.
impl fmt::Debug for UserAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAccount")
            .field("token_uri", &self.token_uri)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    /// The server's answer. One that cannot be reached, or does not answer in time, is asked a second time.
    async fn fetch(&self, scope: &str) -> Result<String, String> {
        let answer = match self.ask(scope).await {
            Err(HttpError::Unavailable(_)) => self.ask(scope).await,
            answer => answer,
        };
        answer.map_err(|error| match self {
            TokenSource::Metadata(server) => {
                format!("the metadata server {} gives none: {error}", server.host)
            }
            TokenSource::User(_, account) => format!("{} gives none: {error}", account.token_uri),
        })
    }

    async fn ask(&self, scope: &str) -> Result<String, HttpError> {
        match self {
            TokenSource::Metadata(server) => {
                let path = "instance/service-accounts/default/token";
                server.get(&format!("{path}?scopes={scope}")).await
            }
            TokenSource::User(client, account) => {
                let request = serde_json::json!({
                    "grant_type": "refresh_token",
                    "client_id": account.client_id,
                    "client_secret": account.client_secret,
                    "refresh_token": account.refresh_token,
                    "scopes": scope,
                });
                let request = client
                    .post(&account.token_uri)
                    .header(CONTENT_TYPE, "application/json")
                    .body(request.to_string());
                text_of(request.send().await).await
            }
        }
    }
}

impl FetchedCredentials {
    /// `quota_project` is the project whose quotas count, where it is not the account's.
    pub(crate) fn new(
        source: TokenSource,
        scope: &'static str,
        quota_project: Option<HeaderValue>,
    ) -> FetchedCredentials {
        FetchedCredentials {
            source,
            scope,
            quota_project,
            token: Mutex::default(),
        }
    }

    async fn fetch(&self) -> Result<Token, String> {
        let answer = self.source.fetch(self.scope).await?;
        // What it is instead is not shown: it may hold a secret.
        let unexpected = || "the answer of its server is none".to_owned();
        let response: TokenResponse = serde_json::from_str(&answer).map_err(|_| unexpected())?;
        let text = format!("{} {}", response.token_type, response.access_token);
        let mut value = HeaderValue::try_from(text).map_err(|_| unexpected())?;
        value.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        if let Some(project) = &self.quota_project {
            headers.insert("x-goog-user-project", project.clone());
        }
        let lifetime = Duration::from_secs(response.expires_in).min(MAX_LIFETIME);
        let refresh_after = lifetime.saturating_sub(REFRESH_BEFORE);
        let refresh_after = if refresh_after.is_zero() {
            RETRY_PAUSE
        } else {
            refresh_after
        };
        let now = Instant::now();
        Ok(Token {
            headers,
            refresh_at: now + refresh_after,
            expires_at: now + lifetime,
        })
    }
}

impl CredentialsProvider for FetchedCredentials {
    async fn headers(
        &self,
        _: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let mut token = self.token.lock().await;
        let now = Instant::now();
        if token.as_ref().is_none_or(|it| it.refresh_at <= now) {
            match (self.fetch().await, &mut *token) {
                (Ok(fetched), _) => *token = Some(fetched),
                (Err(_), Some(last)) if last.expires_at > now => {
                    last.refresh_at = now + RETRY_PAUSE;
                }
                // Not transient: then the caller reads the file anew.
                (Err(why), _) => return Err(CredentialsError::from_msg(false, why)),
            }
        }
        let headers = token.as_ref().map(|it| it.headers.clone());
        Ok(CacheableResource::New {
            entity_tag: EntityTag::new(),
            data: headers.unwrap_or_default(),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        Some("googleapis.com".into())
    }
}
