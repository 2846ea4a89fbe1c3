//! Whether the peer's certificate is trusted, and why not, in words that lead to the mend.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

/// As WebPKI has it; and a certificate that is itself trusted is taken though it calls itself an authority's, as
/// `openssl req -x509` makes them. All that it refuses is [`CertificateError::Other`], with the text for the user.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    /// Those of `ca_file`.
    pub(super) own: Vec<CertificateDer<'static>>,
    /// Who is trusted, for messages.
    pub(super) trusted: &'static str,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let outcome = if self.own.contains(end_entity) {
            verify_own(end_entity, name, now)
        } else {
            let webpki = &self.webpki;
            webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now)
        };
        outcome.map_err(|error| match error {
            Error::InvalidCertificate(why) => {
                let text = self.explain(&why, end_entity, intermediates);
                let text = OtherError(Arc::from(pipeline::BoxError::from(text)));
                CertificateError::Other(text).into()
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// What is left to verify of a certificate that is itself trusted.
fn verify_own(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let parsed = parse(certificate).ok_or(CertificateError::BadEncoding)?;
    let validity = parsed.validity();
    if now < unix(validity.not_before) {
        let not_before = unix(validity.not_before);
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    if now > unix(validity.not_after) {
        let not_after = unix(validity.not_after);
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    Ok(ServerCertVerified::assertion())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.ok().map(|(_, certificate)| certificate)
}

fn unix(time: ASN1Time) -> UnixTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds).map_or_else(
        |_| time.as_secs().to_string(),
        |time| time.to_datetime().date().to_string(),
    )
}

impl Verifier {
    fn explain(
        &self,
        why: &CertificateError,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> String {
        let trusted = self.trusted;
        let is_self_signed =
            parse(end_entity).is_some_and(|it| it.subject().as_raw() == it.issuer().as_raw());
        match why {
            CertificateError::ExpiredContext { not_after, .. } => format!(
                "the peer's certificate has expired, it was valid until {}: it needs a new one",
                date(*not_after)
            ),
            CertificateError::NotValidYetContext { not_before, .. } => format!(
                "the peer's certificate is not valid before {}: is the clock of this host right?",
                date(*not_before)
            ),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => {
                let expected = expected.to_str();
                // webpki shows names as `DnsName("localhost")`.
                let names: Vec<&str> = presented.iter().map(|it| bare(it)).collect();
                if names.is_empty() {
                    format!(
                        "the peer's certificate has no names (a subjectAltName; its CN does not count), not `{expected}` either: it needs a new one"
                    )
                } else {
                    format!(
                        "the peer's certificate is for `{}`, not for `{expected}`: put such a name into `endpoint`, or into `tls.server_name_override`",
                        names.join("`, `")
                    )
                }
            }
            // WebPKI looks at whether it is an authority's before it looks for the issuer.
            CertificateError::UnknownIssuer | CertificateError::Other(_) if is_self_signed => {
                format!(
                    "the peer's certificate is self-signed (by `{}`), and not among {trusted}: to trust this very certificate, make it the `tls.ca_file`",
                    issuer(end_entity)
                )
            }
            CertificateError::UnknownIssuer => format!(
                "the peer's certificate is issued by `{}`, which is not among {trusted}: `tls.ca_file` needs that authority's certificate, or the peer has to send that of an intermediate one along",
                issuer(topmost(end_entity, intermediates))
            ),
            CertificateError::BadSignature => format!(
                "the peer's certificate is not signed by the authority of that name (`{}`) among {trusted}: `tls.ca_file` needs its newest certificate",
                issuer(topmost(end_entity, intermediates))
            ),
            other => format!("the peer's certificate cannot be used: {other}"),
        }
    }
}

/// The last certificate of the chain from the peer's own that it sent.
fn topmost<'a, 'b>(
    end_entity: &'a CertificateDer<'b>,
    intermediates: &'a [CertificateDer<'b>],
) -> &'a CertificateDer<'b> {
    let mut top = end_entity;
    for _ in intermediates {
        let Some(below) = parse(top) else { break };
        let is_issuer = |it: &&CertificateDer<'_>| {
            parse(it).is_some_and(|it| it.subject().as_raw() == below.issuer().as_raw())
        };
        let Some(above) = intermediates.iter().find(is_issuer) else {
            break;
        };
        top = above;
    }
    top
}

fn issuer(certificate: &CertificateDer<'_>) -> String {
    parse(certificate).map_or_else(String::new, |it| it.issuer().to_string())
}

/// A name without its kind.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

/// Takes any certificate; whoever answers has its key.
#[derive(Debug)]
pub(super) struct Unverified(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
