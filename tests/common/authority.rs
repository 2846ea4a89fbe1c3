//! Certificates that are made for a test, and files to put them into.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tonic::transport::{Identity, ServerTlsConfig};

/// Who issues certificates: an authority, or a certificate that signs itself.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        Authority::that_signs_itself(authority(name))
    }

    fn that_signs_itself(parameters: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority::of(parameters, key, pem)
    }

    /// An authority below it.
    pub(crate) fn intermediate(&self, name: &str) -> Authority {
        let (parameters, key) = (authority(name), KeyPair::generate().unwrap());
        let pem = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Authority::of(parameters, key, pem)
    }

    fn of(parameters: CertificateParams, key: KeyPair, pem: String) -> Authority {
        Authority {
            pem,
            key: key.serialize_pem(),
            issuer: Issuer::new(parameters, key),
        }
    }

    /// Certificate and key for a name; one that has expired long ago, or not.
    pub(crate) fn issue(&self, name: &str, expired: bool) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = parameters(name, expired);
        let pem = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        (pem, key.serialize_pem())
    }

    pub(crate) fn server(&self, name: &str) -> ServerTlsConfig {
        let (certificate, key) = self.issue(name, false);
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }

    /// A server with its very certificate.
    pub(crate) fn as_server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.pem, &self.key))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

fn parameters(name: &str, expired: bool) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    parameters
}

/// As `openssl req -x509` makes it, which calls itself an authority, or one that does not.
pub(crate) fn self_signed(name: &str, is_authority: bool, expired: bool) -> Authority {
    let mut parameters = parameters(name, expired);
    if is_authority {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    parameters
        .distinguished_name
        .push(DnType::CommonName, "myself");
    Authority::that_signs_itself(parameters)
}

pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}
