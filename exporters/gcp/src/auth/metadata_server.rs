//! A client of Google's metadata server
//! ([predefined keys](https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys)). It speaks plain HTTP, so
//! that anyone on the way may answer: a redirect is not followed, no proxy is asked, and an answer has to have the header
//! `Metadata-Flavor: Google`
//! ([how to tell](https://cloud.google.com/compute/docs/metadata/querying-metadata#parts-of-a-request)).

use std::time::Duration;

use reqwest::{Client, redirect};

use crate::auth::http::{HttpError, text_of};

/// A header of each request and of each answer, and its value.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// The metadata server of this machine.
#[derive(Clone, Debug)]
pub(crate) struct MetadataServer {
    pub(crate) host: String,
    client: Client,
}

impl MetadataServer {
    /// The one at this address, `host` or `host:port`; a request may take so long.
    pub(crate) fn new(host: String, request_timeout: Duration) -> Result<MetadataServer, String> {
        // The metadata server is on the host itself: no proxy, whatever the environment names.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(request_timeout)
            .build()
            .map_err(|error| pipeline::with_causes(error.to_string(), &error))?;
        Ok(MetadataServer { host, client })
    }

    /// The value of a key below `computeMetadata/v1/`.
    pub(crate) async fn get(&self, key: &str) -> Result<String, HttpError> {
        let url = format!("http://{}/computeMetadata/v1/{key}", self.host);
        let (name, google) = FLAVOR;
        let response = self.client.get(url).header(name, google).send().await;
        if let Ok(response) = &response
            && response.headers().get(name).is_none_or(|it| it != google)
        {
            let status = response.status();
            let why = format!("it answers {status} without `Metadata-Flavor: Google`");
            return Err(HttpError::Unexpected(why));
        }
        text_of(response).await
    }
}
