//! The handshake, and what its failures mean.

use std::io;
use std::sync::{Arc, OnceLock};

use pipeline_tls::TlsVersion;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, PeerIncompatible};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::Identity;
use crate::observed::{Event, Observed, Protocol};

/// What a peer says that has TLS, but nothing that gRPC goes over.
const NO_HTTP2: &str =
    "the peer speaks TLS, but no HTTP/2 in it (it does not take `h2` by ALPN), and so no gRPC";

const WANTS_IDENTITY: &str =
    "the peer wants a certificate of the client: it takes `tls.cert_file` and `tls.key_file`";

/// A client that is set up, for one host.
#[derive(Clone, Debug)]
pub struct TlsClient {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
    pub(super) identity: Arc<Identity>,
    pub(super) min_version: TlsVersion,
}

impl TlsClient {
    /// The error is for the user.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<Observed<TcpStream>>, String> {
        self.identity.forget();
        let said = Arc::<OnceLock<Protocol>>::default();
        let first = Arc::clone(&said);
        let stream = Observed::new(stream, move |event| {
            if let Event::Said(bytes) = event {
                first.get_or_init(|| Protocol::of(bytes));
            }
        });
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector
            .connect(self.name.clone(), stream)
            .await
            .map_err(|error| self.explain(&error, said.get().copied()))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err(NO_HTTP2.into()),
        }
    }

    fn explain(&self, error: &io::Error, said: Option<Protocol>) -> String {
        match tls_error(error) {
            Some(Error::InvalidCertificate(CertificateError::Other(why))) => why.to_string(),
            Some(Error::InvalidMessage(_)) if said == Some(Protocol::Http1) => {
                "the peer speaks HTTP/1 in plain text, and neither TLS nor gRPC".into()
            }
            Some(Error::InvalidMessage(_)) if said != Some(Protocol::Tls) => {
                "the peer speaks plain text, and not TLS: it takes `tls.insecure: true`, or `http://` before the endpoint".into()
            }
            Some(Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )) => self.too_old(),
            Some(Error::AlertReceived(alert)) => self
                .explain_alert(*alert)
                .unwrap_or_else(|| format!("the TLS handshake fails: {error}")),
            None if self.lacks_identity() => WANTS_IDENTITY.into(),
            None => format!(
                "the peer ends the connection in the TLS handshake: {error} (one that speaks plain text may do so, which takes `tls.insecure: true`)"
            ),
            Some(error) => format!("the TLS handshake fails: {error}"),
        }
    }

    /// What the end of a connection means after the handshake, if it has to do with TLS. With TLS 1.3 a peer looks at the
    /// client's certificate when the client is through with it. `was_silent`: it has not said a word.
    pub(crate) fn explain_end(
        &self,
        error: Option<&io::Error>,
        was_silent: bool,
    ) -> Option<String> {
        match error.and_then(tls_error) {
            Some(Error::AlertReceived(alert)) => self.explain_alert(*alert),
            _ if was_silent && self.lacks_identity() => Some(WANTS_IDENTITY.into()),
            _ => None,
        }
    }

    fn explain_alert(&self, alert: AlertDescription) -> Option<String> {
        use AlertDescription as Alert;
        match alert {
            Alert::NoApplicationProtocol => Some(NO_HTTP2.into()),
            Alert::ProtocolVersion => Some(self.too_old()),
            Alert::UnrecognisedName => Some(format!(
                "the peer has nothing under the name `{}`: correct `endpoint`, or `tls.server_name_override`",
                self.name.to_str()
            )),
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired
                if self.identity.is_given() =>
            {
                Some(format!(
                    "the peer refuses the client's certificate, which is in `tls.cert_file`: {alert:?}"
                ))
            }
            Alert::CertificateRequired => Some(WANTS_IDENTITY.into()),
            _ if self.lacks_identity() => Some(WANTS_IDENTITY.into()),
            _ => None,
        }
    }

    fn lacks_identity(&self) -> bool {
        self.identity.is_wanted() && !self.identity.is_given()
    }

    fn too_old(&self) -> String {
        format!(
            "the peer speaks no TLS of version {} or newer, which is the least by `tls.min_version`",
            self.min_version.name()
        )
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|it| it.downcast_ref())
}
