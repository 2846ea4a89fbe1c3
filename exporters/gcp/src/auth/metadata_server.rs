//! A client of Google's metadata server
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)). It speaks plain HTTP, so
//! that anyone on the way may answer: an answer is bounded, and a redirect is not followed.

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};

/// How long one request may take. The server runs on the host itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of an answer. A token has some 1,000, all else less than 100.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The metadata server of this machine.
#[derive(Clone, Debug)]
pub(crate) struct MetadataServer {
    pub(crate) host: String,
    client: Client,
}

/// Why a key has no value.
#[derive(Debug)]
pub(crate) enum MetadataError {
    /// There may be one later.
    Unavailable(String),
    /// The server has no such key.
    Missing,
    /// What answers is no metadata server.
    Unexpected(String),
}

impl MetadataServer {
    /// The one at this address, `host` or `host:port`.
    pub(crate) fn new(host: String) -> Result<MetadataServer, String> {
        // The metadata server is on the host itself: no proxy.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| pipeline::with_causes(error.to_string(), &error))?;
        Ok(MetadataServer { host, client })
    }

    /// The value of a key below `computeMetadata/v1/`, without blanks around it.
    pub(crate) async fn get(&self, key: &str) -> Result<String, MetadataError> {
        let unavailable = |error: reqwest::Error| {
            MetadataError::Unavailable(pipeline::with_causes(error.to_string(), &error))
        };
        let url = format!("http://{}/computeMetadata/v1/{key}", self.host);
        let request = self.client.get(url).header("metadata-flavor", "Google");
        let mut response = request.send().await.map_err(unavailable)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(MetadataError::Unavailable(format!("it answers {status}")));
            }
            status if status.is_client_error() => return Err(MetadataError::Missing),
            status => return Err(MetadataError::Unexpected(format!("it answers {status}"))),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let error = format!("its answer has more than {MAX_ANSWER_BYTES} bytes");
                return Err(MetadataError::Unexpected(error));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body)
            .map_err(|_| MetadataError::Unexpected("its answer is no text".into()))?;
        Ok(text.trim().to_owned())
    }
}

impl std::fmt::Display for MetadataError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MetadataError::Unavailable(why) | MetadataError::Unexpected(why) => f.write_str(why),
            MetadataError::Missing => f.write_str("it has none"),
        }
    }
}
