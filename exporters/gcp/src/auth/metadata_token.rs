//! Tokens of the metadata server. google-cloud-auth has them too, but its client keeps whatever answers, however long, and
//! follows it elsewhere.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, CredentialsProvider, EntityTag};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::metadata_server::MetadataServer;

/// So long before its end a token is fetched anew. The metadata server has another one five minutes before.
const REFRESH_BEFORE: Duration = Duration::from_mins(4);
/// The pause after a failed attempt while the last token holds, and the least between two.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Google's tokens are valid for an hour; what is said to be valid for longer is fetched anew after a day.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// The account of this machine.
#[derive(Debug)]
pub(crate) struct MetadataCredentials {
    server: MetadataServer,
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

/// The answer of the metadata server.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
    token_type: String,
}

impl MetadataCredentials {
    /// `quota_project` is the project whose quotas count, where it is not the account's.
    pub(crate) fn new(
        server: MetadataServer,
        scope: &'static str,
        quota_project: Option<HeaderValue>,
    ) -> MetadataCredentials {
        MetadataCredentials {
            server,
            scope,
            quota_project,
            token: Mutex::default(),
        }
    }

    async fn fetch(&self) -> Result<Token, String> {
        let key = format!(
            "instance/service-accounts/default/token?scopes={}",
            self.scope
        );
        let answer = self.server.get(&key).await;
        let answer = answer.map_err(|error| format!("the metadata server gives none: {error}"))?;
        // What it is instead is not shown: it may hold a secret.
        let unexpected = || "the metadata server's answer is no token".to_owned();
        let response: TokenResponse = serde_json::from_str(&answer).map_err(|_| unexpected())?;
        let text = format!("{} {}", response.token_type, response.access_token);
        let mut value = HeaderValue::try_from(text).map_err(|_| unexpected())?;
        value.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        if let Some(project) = &self.quota_project {
            headers.insert("x-goog-user-project", project.clone());
        }
        let lifetime = Duration::from_secs(response.expires_in).min(MAX_LIFETIME);
        let now = Instant::now();
        Ok(Token {
            headers,
            refresh_at: now + lifetime.saturating_sub(REFRESH_BEFORE).max(RETRY_PAUSE),
            expires_at: now + lifetime,
        })
    }
}

impl CredentialsProvider for MetadataCredentials {
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
                (Err(why), _) => return Err(CredentialsError::from_msg(true, why)),
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
