//! The gRPC service. It runs over a pipe in the test's own runtime, so that the clock can be paused.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    CreateMetricDescriptorRequest, CreateTimeSeriesRequest, GetMetricDescriptorRequest,
    ListMetricDescriptorsRequest, ListMetricDescriptorsResponse,
};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Fake, FakeState, NextResponse};

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
            let _call = CallGuard::new(&fake);
            if let Err(status) = fake.with(|it| it.check_token(request.headers())) {
                return Ok(status.into_http());
            }
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
                    let mut grpc =
                        Grpc::new(ProstCodec::<_, CreateMetricDescriptorRequest>::default());
                    grpc.unary(Descriptors(fake, path), request).await
                }
                Some("GetMetricDescriptor") => {
                    let mut grpc =
                        Grpc::new(ProstCodec::<_, GetMetricDescriptorRequest>::default());
                    grpc.unary(Descriptors(fake, path), request).await
                }
                Some("ListMetricDescriptors") => {
                    let mut grpc =
                        Grpc::new(ProstCodec::<_, ListMetricDescriptorsRequest>::default());
                    grpc.unary(Descriptors(fake, path), request).await
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

/// A method about descriptors.
struct Descriptors(Fake, String);

impl Descriptors {
    async fn answer<T>(
        self,
        answer: impl FnOnce(&mut FakeState) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let Descriptors(fake, method) = self;
        tokio::time::sleep(fake.with(|it| it.descriptor_delay)).await;
        let answer = fake.with(|it| {
            *it.descriptor_calls.entry(method).or_default() += 1;
            answer(it)
        });
        answer.map(Response::new)
    }
}

impl UnaryService<CreateMetricDescriptorRequest> for Descriptors {
    type Response = MetricDescriptor;
    type Future = Boxed<Result<Response<MetricDescriptor>, Status>>;

    fn call(&mut self, request: Request<CreateMetricDescriptorRequest>) -> Self::Future {
        let descriptor = request.into_inner().metric_descriptor.unwrap();
        let service = Descriptors(self.0.clone(), self.1.clone());
        Box::pin(service.answer(|it| it.create_descriptor(descriptor)))
    }
}

impl UnaryService<GetMetricDescriptorRequest> for Descriptors {
    type Response = MetricDescriptor;
    type Future = Boxed<Result<Response<MetricDescriptor>, Status>>;

    fn call(&mut self, request: Request<GetMetricDescriptorRequest>) -> Self::Future {
        let name = request.into_inner().name;
        let service = Descriptors(self.0.clone(), self.1.clone());
        Box::pin(service.answer(move |it| {
            let metric_type = name.split_once("/metricDescriptors/").unwrap().1;
            let found = it.descriptors.get(metric_type).cloned();
            found.ok_or_else(|| Status::not_found(name))
        }))
    }
}

impl UnaryService<ListMetricDescriptorsRequest> for Descriptors {
    type Response = ListMetricDescriptorsResponse;
    type Future = Boxed<Result<Response<ListMetricDescriptorsResponse>, Status>>;

    fn call(&mut self, request: Request<ListMetricDescriptorsRequest>) -> Self::Future {
        let service = Descriptors(self.0.clone(), self.1.clone());
        let request = request.into_inner();
        Box::pin(service.answer(move |it| it.list_descriptors(&request)))
    }
}

/// Counts a call for as long as it lasts: also one that is given up.
struct CallGuard(Fake);

impl CallGuard {
    fn new(fake: &Fake) -> CallGuard {
        fake.with(|it| {
            it.concurrent_calls += 1;
            it.max_concurrent_calls = it.max_concurrent_calls.max(it.concurrent_calls);
        });
        CallGuard(fake.clone())
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.with(|it| it.concurrent_calls -= 1);
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
