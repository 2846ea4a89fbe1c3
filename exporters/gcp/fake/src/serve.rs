//! The gRPC service. It runs over a pipe in the test's own runtime, so that the clock can be paused.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    CreateMetricDescriptorRequest, CreateTimeSeriesRequest, GetMetricDescriptorRequest,
};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Fake, NextResponse};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl NamedService for Fake {
    const NAME: &'static str = "google.monitoring.v3.MetricService";
}

impl tower::Service<http::Request<Body>> for Fake {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (fake, gzip) = (self.clone(), CompressionEncoding::Gzip);
        Box::pin(async move {
            let path = request
                .uri()
                .path()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            let response = match Some(&*path) {
                Some("CreateTimeSeries" | "CreateServiceTimeSeries") => {
                    Grpc::new(ProstCodec::default())
                        .accept_compressed(gzip)
                        .unary(CreateTimeSeries(fake, path), request)
                        .await
                }
                Some("CreateMetricDescriptor") => {
                    Grpc::new(ProstCodec::default())
                        .unary(CreateDescriptor(fake), request)
                        .await
                }
                Some("GetMetricDescriptor") => {
                    Grpc::new(ProstCodec::default())
                        .unary(GetDescriptor(fake), request)
                        .await
                }
                _ => Status::unimplemented("").into_http(),
            };
            Ok(response)
        })
    }
}

struct CreateTimeSeries(Fake, String);

impl UnaryService<CreateTimeSeriesRequest> for CreateTimeSeries {
    type Response = ();
    type Future = Boxed<Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<CreateTimeSeriesRequest>) -> Self::Future {
        let (fake, path) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            // A request that timed out meanwhile is not served.
            tokio::time::sleep(fake.with(|it| it.delay)).await;
            let never_responds = fake.with(|it| {
                it.metadata.push(request.metadata().clone());
                it.methods.push(path);
                matches!(it.next_responses.front(), Some(NextResponse::Hang))
            });
            let response = fake.with(|it| it.create_time_series(request.into_inner()));
            if never_responds {
                std::future::pending::<()>().await;
            }
            response.map(Response::new)
        })
    }
}

struct CreateDescriptor(Fake);

impl UnaryService<CreateMetricDescriptorRequest> for CreateDescriptor {
    type Response = MetricDescriptor;
    type Future = Boxed<Result<Response<MetricDescriptor>, Status>>;

    fn call(&mut self, request: Request<CreateMetricDescriptorRequest>) -> Self::Future {
        let descriptor = request.into_inner().metric_descriptor.unwrap();
        let response = self.0.with(|it| {
            if let Some(status) = &it.descriptor_error {
                return Err(status.clone());
            }
            if let Some(existing) = it.descriptors.get(&descriptor.r#type)
                && (existing.metric_kind != descriptor.metric_kind || existing.value_type != descriptor.value_type)
            {
                return Err(Status::invalid_argument(format!(
                    "Field metricDescriptor.metricKind had an invalid value of \"{}\": When creating metric {}: the metric already exists with another kind or type.",
                    descriptor.metric_kind().as_str_name(), descriptor.r#type
                )));
            }
            it.created_descriptors.push(descriptor.clone());
            it.descriptors.insert(descriptor.r#type.clone(), descriptor.clone());
            Ok(Response::new(descriptor))
        });
        Box::pin(async move { response })
    }
}

struct GetDescriptor(Fake);

impl UnaryService<GetMetricDescriptorRequest> for GetDescriptor {
    type Response = MetricDescriptor;
    type Future = Boxed<Result<Response<MetricDescriptor>, Status>>;

    fn call(&mut self, request: Request<GetMetricDescriptorRequest>) -> Self::Future {
        let name = request.into_inner().name;
        let metric_type = name.split_once("/metricDescriptors/").unwrap().1;
        let found = self.0.with(|it| it.descriptors.get(metric_type).cloned());
        let response = found
            .map(Response::new)
            .ok_or_else(|| Status::not_found(name));
        Box::pin(async move { response })
    }
}

/// A channel to the fake, through a pipe.
pub async fn channel(fake: &Fake) -> Channel {
    let (client, server) = tokio::io::duplex(1 << 20);
    let incoming = tonic::codegen::tokio_stream::once(Ok::<_, std::io::Error>(server));
    tokio::spawn(
        Server::builder()
            .add_service(fake.clone())
            .serve_with_incoming(incoming),
    );
    let mut client = Some(TokioIo::new(client));
    let connector = tower::service_fn(move |_| {
        let client = client.take();
        async move { client.ok_or_else(|| std::io::Error::other("there is one connection only")) }
    });
    let endpoint = Endpoint::from_static("http://fake").http2_max_header_list_size(1 << 20);
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// Serves the fake on this listener, with TLS if there is a certificate.
pub async fn listen(
    fake: Fake,
    listener: std::net::TcpListener,
    tls: Option<tonic::transport::ServerTlsConfig>,
) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    server
        .add_service(fake)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}
