//! The client of the API: the connection, the headers, and requests that are already encoded.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::metric_service_client::MetricServiceClient;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    CreateMetricDescriptorRequest, CreateTimeSeriesRequest, GetMetricDescriptorRequest,
    ListMetricDescriptorsRequest,
};
use http::uri::PathAndQuery;
use pipeline::BuildInfo;
use pipeline_grpc::{BytesCodec, Client, MAX_ANSWER_BYTES, is_answer_too_large};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::Semaphore;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::auth::credentials::{Auth, TokenGeneration};
use crate::send::outcome::explain;

/// An error message comes in a header. It names the failed series and may be long: 200 series with a reason each.
const MAX_HEADER_BYTES: u32 = 1 << 20;

/// The maximum number of concurrent calls, of whatever kind and for whichever request of the pipeline.
pub(crate) const MAX_CONCURRENT_CALLS: usize = 8;

/// Descriptors in a page: with 30 labels each they are well below what is taken of an answer.
const PAGE_SIZE: i32 = 250;
/// The maximum number of descriptors of a project.
const MAX_DESCRIPTORS: usize = 25_000;

/// The client of the API.
#[derive(Debug)]
pub(crate) struct Api {
    /// `host:port`, for messages.
    pub(crate) address: String,
    /// `None` if the channel was given.
    pub(crate) endpoint: Option<Endpoint>,
    /// Made in `start`: a connection needs the runtime.
    pub(crate) channel: OnceLock<Channel>,
    pub(crate) auth: OnceLock<Auth>,
    pub(crate) gzip: bool,
    /// Calls `CreateServiceTimeSeries` instead of `CreateTimeSeries`.
    pub(crate) is_service_time_series: bool,
    /// Quotas count against the project that is written to.
    pub(crate) destination_project_quota: bool,
    /// One for each call that may be made now.
    pub(crate) permits: Semaphore,
}

impl Api {
    pub(crate) fn connect(&self) -> Result<Client, Status> {
        if let Some(endpoint) = &self.endpoint {
            let lazily = || {
                endpoint
                    .clone()
                    .http2_max_header_list_size(MAX_HEADER_BYTES)
                    .connect_lazy()
            };
            return Ok(Client::new(self.channel.get_or_init(lazily).clone()));
        }
        let channel = self.channel.get().cloned();
        channel
            .map(Client::new)
            .ok_or_else(|| Status::unavailable("there is no connection"))
    }

    /// Writes one point of each series. `series` are `TimeSeries` messages, each with its key and length.
    pub(crate) async fn create_time_series(
        &self,
        project: &str,
        series: Bytes,
    ) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.connect()?);
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc = grpc
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        let name = CreateTimeSeriesRequest {
            name: format!("projects/{project}"),
            ..CreateTimeSeriesRequest::default()
        };
        let message = vec![name.encode_to_vec().into(), series];
        let path = PathAndQuery::from_static(if self.is_service_time_series {
            "/google.monitoring.v3.MetricService/CreateServiceTimeSeries"
        } else {
            "/google.monitoring.v3.MetricService/CreateTimeSeries"
        });
        let call = |request| {
            let (mut grpc, path) = (grpc.clone(), path.clone());
            async move {
                grpc.ready().await?;
                match grpc.unary(request, path, BytesCodec::<()>::new()).await {
                    // The request has arrived, and an answer says nothing but that it was accepted.
                    Err(status) if is_answer_too_large(&status) => Ok(()),
                    answer => answer.map(drop),
                }
            }
        };
        self.call(project, message, call).await
    }

    pub(crate) async fn create_descriptor(
        &self,
        project: &str,
        descriptor: MetricDescriptor,
    ) -> Result<MetricDescriptor, Status> {
        let message = CreateMetricDescriptorRequest {
            name: format!("projects/{project}"),
            metric_descriptor: Some(descriptor),
        };
        let client = self.descriptor_client()?;
        let call = |request| {
            let mut client = client.clone();
            async move { client.create_metric_descriptor(request).await }
        };
        Ok(self.call(project, message, call).await?.into_inner())
    }

    pub(crate) async fn get_descriptor(
        &self,
        project: &str,
        metric_type: &str,
    ) -> Result<MetricDescriptor, Status> {
        let message = GetMetricDescriptorRequest {
            name: format!("projects/{project}/metricDescriptors/{metric_type}"),
        };
        let client = self.descriptor_client()?;
        let call = |request| {
            let mut client = client.clone();
            async move { client.get_metric_descriptor(request).await }
        };
        Ok(self.call(project, message, call).await?.into_inner())
    }

    /// The descriptors of a project that match this filter.
    pub(crate) async fn list_descriptors(
        &self,
        project: &str,
        filter: &str,
    ) -> Result<Vec<MetricDescriptor>, Status> {
        let client = self.descriptor_client()?;
        let call = |request| {
            let mut client = client.clone();
            async move { client.list_metric_descriptors(request).await }
        };
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let message = ListMetricDescriptorsRequest {
                name: format!("projects/{project}"),
                filter: filter.to_owned(),
                page_size: PAGE_SIZE,
                page_token,
                ..ListMetricDescriptorsRequest::default()
            };
            let page = self.call(project, message, call).await?.into_inner();
            all.extend(page.metric_descriptors);
            page_token = page.next_page_token;
            if page_token.is_empty() || all.len() >= MAX_DESCRIPTORS {
                return Ok(all);
            }
        }
    }

    /// Makes a call, with the account's token. If the API does not take the token, another one is fetched, and the call is made
    /// once more.
    async fn call<M: Clone, T, F: Future<Output = Result<T, Status>>>(
        &self,
        project: &str,
        message: M,
        call: impl Fn(Request<M>) -> F,
    ) -> Result<T, Status> {
        let _permit = self.permits.acquire().await;
        let (request, token) = self.request(project, message.clone()).await?;
        let answer = call(request).await;
        let Some(auth) = self.auth.get() else {
            return answer;
        };
        match &answer {
            Err(status) if status.code() == Code::Unauthenticated && auth.refused(token) => {
                let (request, _) = self.request(project, message).await?;
                call(request).await
            }
            Err(_) => answer,
            Ok(_) => {
                auth.accepted();
                answer
            }
        }
    }

    /// The request with its headers, and whose token is in them.
    async fn request<M>(
        &self,
        project: &str,
        message: M,
    ) -> Result<(Request<M>, TokenGeneration), Status> {
        let (mut headers, token) = match self.auth.get() {
            Some(auth) => auth.headers().await?,
            None => <(http::HeaderMap, TokenGeneration)>::default(),
        };
        let value = |text: String| {
            let value = http::HeaderValue::try_from(text);
            value.map_err(|_| Status::invalid_argument(format!("`{project}` is no project")))
        };
        headers.insert(
            "x-goog-request-params",
            value(format!("name=projects/{project}"))?,
        );
        if self.destination_project_quota {
            headers.insert("x-goog-user-project", value(project.to_owned())?);
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        Ok((request, token))
    }

    /// What an error means, with the address.
    pub(crate) fn explain(&self, status: &Status) -> String {
        format!("{}: {}", self.address, explain(status))
    }

    fn descriptor_client(&self) -> Result<MetricServiceClient<Client>, Status> {
        let client = MetricServiceClient::new(self.connect()?);
        Ok(client.max_decoding_message_size(MAX_ANSWER_BYTES))
    }
}

/// Appends a `TimeSeries` to the `time_series` of a request. Each part is some of its fields, encoded.
pub(crate) fn append_series(request: &mut BytesMut, parts: &[&[u8]]) {
    encode_key(2, WireType::LengthDelimited, request);
    encode_varint(parts.iter().map(|part| part.len() as u64).sum(), request);
    parts.iter().for_each(|part| request.put_slice(part));
}

/// The user agent as a gRPC header.
pub(crate) fn user_agent(
    configured: Option<&str>,
    build_info: &BuildInfo,
) -> Result<AsciiMetadataValue, String> {
    let text = configured.map_or_else(
        || build_info.user_agent(),
        |text| text.replace("{{version}}", build_info.version),
    );
    AsciiMetadataValue::try_from(text.as_str())
        .map_err(|_| "a header's value is printable ASCII".into())
}

/// The client, shared by concurrent requests.
pub(crate) type SharedApi = Arc<Api>;
