//! Certificates for tests.

use crate::harness::{Folder, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

/// What the certificates of a server are for.
pub const NAMES: [&str; 3] = ["one.example", "two.example", "*.three.example"];
/// Which of those a client is shown that asks for a name.
pub const CHOICES: [(&str, usize); 8] = [
    ("one.example", 0),
    ("two.example", 1),
    ("TWO.example", 1),
    ("a.three.example", 2),
    ("A.Three.Example", 2),
    ("three.example", 0),
    ("a.b.three.example", 0),
    ("unknown.example", 0),
];

/// Somebody who issues certificates, and whom clients trust.
pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own, or what it issues looks self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Writes a certificate for this host, and its key, to files of this name.
    pub fn issue(&self, folder: &Folder, file: &str, host: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let chain = folder.write(&format!("{file}.pem"), &leaf.pem());
        (chain, folder.write(&format!("{file}.key"), &key.serialize_pem()))
    }

    /// Those of [`NAMES`].
    pub fn issue_all(&self, folder: &Folder) -> Vec<(PathBuf, PathBuf)> {
        NAMES.iter().zip(["1", "2", "3"]).map(|(name, file)| self.issue(folder, file, name)).collect()
    }

    /// A client that trusts this authority.
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(vec![self.issuer.der().clone()])
    }
}

/// The first certificate of a PEM file.
pub fn leaf(path: &PathBuf) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// How to make TLS connections.
#[derive(Clone, Debug)]
pub struct TlsClient {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    own: Option<(PathBuf, PathBuf)>,
}

/// A TLS connection after its handshake.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

impl TlsClient {
    pub fn trusting(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        Self { roots, versions: rustls::DEFAULT_VERSIONS.to_vec(), alpn: Vec::new(), own: None }
    }

    /// With this version alone.
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// With these application protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// With a certificate of its own to show, and its key.
    pub fn showing(mut self, pair: &(PathBuf, PathBuf)) -> Self {
        self.own = Some(pair.clone());
        self
    }

    /// The configuration of a connection.
    pub fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&self.versions).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                builder.with_client_auth_cert(vec![leaf(chain)], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.clone();
        config
    }

    /// Connects and shakes hands.
    pub fn connect(&self, addr: SocketAddr, name: &str) -> Tls {
        self.try_connect(addr, name).expect("the handshake succeeds")
    }

    /// Connects and shakes hands, or says what went wrong.
    pub fn try_connect(&self, addr: SocketAddr, name: &str) -> std::io::Result<Tls> {
        shake(Arc::new(self.config()), addr, name)
    }
}

/// Connects and shakes hands.
pub fn shake(config: Arc<ClientConfig>, addr: SocketAddr, name: &str) -> std::io::Result<Tls> {
    shake_on(config, TcpStream::connect(addr)?, name)
}

/// Shakes hands on this connection.
pub fn shake_on(config: Arc<ClientConfig>, stream: TcpStream, name: &str) -> std::io::Result<Tls> {
    let connection = ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// The certificate that a server has shown.
pub fn shown(tls: &Tls) -> CertificateDer<'static> {
    tls.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The version that was agreed on.
pub fn version(tls: &Tls) -> ProtocolVersion {
    tls.conn.protocol_version().unwrap()
}

/// Waits until new handshakes show this certificate.
pub fn eventually_shows(client: &TlsClient, addr: SocketAddr, name: &str, wanted: &CertificateDer<'_>) {
    eventually("the new certificate is shown", || {
        client.try_connect(addr, name).is_ok_and(|tls| shown(&tls) == *wanted).then_some(())
    });
}
