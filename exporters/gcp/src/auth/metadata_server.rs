//! A client of Google's metadata server
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)). It speaks plain HTTP, so
//! that anyone on the way may answer: a redirect is not followed.

use std::time::Duration;

use reqwest::{Client, redirect};

use crate::auth::http::{HttpError, text_of};

/// How long one request may take. The server runs on the host itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The metadata server of this machine.
#[derive(Clone, Debug)]
pub(crate) struct MetadataServer {
    host: String,
    client: Client,
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

    /// The value of a key below `computeMetadata/v1/`.
    pub(crate) async fn get(&self, key: &str) -> Result<String, HttpError> {
        let url = format!("http://{}/computeMetadata/v1/{key}", self.host);
        let request = self.client.get(url).header("metadata-flavor", "Google");
        text_of(request.send().await).await
    }
}
