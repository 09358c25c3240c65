//! TLS on a stream: certificates by name, protocols by what the client offers.

use rustls::server::{AcceptedAlert, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The protocols of RFC 7443.
const PROTOCOLS: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// Accepts TLS connections with the certificates of the moment.
pub struct Acceptor {
    plain: Arc<ServerConfig>,
    alpn: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// A pair of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a pair of files is no certificate.
#[derive(Debug)]
pub struct BadCertificate {
    file: PathBuf,
    why: String,
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for BadCertificate {}

impl Acceptor {
    /// Reads the certificates; the first one serves clients that name no server or an unknown one.
    pub fn new(pairs: &[Pair], only_13: bool) -> Result<Self, BadCertificate> {
        let certificates = Arc::new(Certificates { current: RwLock::new(read_all(pairs)?) });
        let plain = config(&certificates, only_13);
        let mut alpn = plain.clone();
        alpn.alpn_protocols = PROTOCOLS.iter().map(|p| p.to_vec()).collect();
        Ok(Self { plain: Arc::new(plain), alpn: Arc::new(alpn), certificates })
    }

    /// Reads the certificates again. If one of them is bad, all stay as they were.
    pub fn reload(&self, pairs: &[Pair]) -> Result<(), BadCertificate> {
        let fresh = read_all(pairs)?;
        *self.certificates.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// A client whose hello is not whole yet.
pub(super) struct Greeting {
    acceptor: Arc<Acceptor>,
    hello: rustls::server::Acceptor,
}

impl Greeting {
    /// Nothing has been heard yet.
    pub(super) fn new(acceptor: Arc<Acceptor>) -> Self {
        Self { acceptor, hello: rustls::server::Acceptor::default() }
    }

    /// Takes some of what the client has sent. rustls refuses a client whose protocols have none in common with the
    /// server's, so the server has some only for clients that offer one of them; others are served without. Whoever is
    /// refused is told why.
    pub(super) fn hear(&mut self, wire: &mut &[u8], to: &mut impl io::Write) -> io::Result<Option<ServerConnection>> {
        let mut refused = |(error, mut alert): (rustls::Error, AcceptedAlert)| {
            // A client that does not take the alert will not miss it.
            _ = alert.write_all(to);
            io::Error::new(io::ErrorKind::InvalidData, error)
        };
        self.hello.read_tls(wire)?;
        let Some(accepted) = self.hello.accept().map_err(&mut refused)? else { return Ok(None) };
        let offers = accepted.client_hello().alpn().is_some_and(|mut list| list.any(|p| PROTOCOLS.contains(&p)));
        let config = if offers { &self.acceptor.alpn } else { &self.acceptor.plain };
        accepted.into_connection(Arc::clone(config)).map(Some).map_err(refused)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// The certificates of the moment.
#[derive(Debug)]
struct Certificates {
    current: RwLock<Vec<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let usable = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fitting = named.and_then(|name| all.iter().filter(usable).find(|c| is_for(c, &name)));
        fitting.or_else(|| all.iter().find(usable)).or_else(|| all.first()).cloned()
    }
}

/// The leaf is valid for this name.
fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = certificate.cert.first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
    leaf.is_some_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
}

/// The configuration without protocols. Early data stays off: a replayed Allocate would be served.
fn config(certificates: &Arc<Certificates>, only_13: bool) -> ServerConfig {
    let versions: &[&SupportedProtocolVersion] =
        if only_13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "ring has suites for both versions")]
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("ring has both versions");
    builder.with_no_client_auth().with_cert_resolver(Arc::clone(certificates) as Arc<dyn ResolvesServerCert>)
}

/// Reads every pair, or names the first bad one.
fn read_all(pairs: &[Pair]) -> Result<Vec<Arc<CertifiedKey>>, BadCertificate> {
    pairs.iter().map(|pair| read(pair).map(Arc::new)).collect()
}

/// Reads one pair and checks that its halves belong together.
fn read(pair: &Pair) -> Result<CertifiedKey, BadCertificate> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&pair.chain)
        .and_then(Iterator::collect)
        .map_err(|error| bad(&pair.chain, format!("cannot read the certificate chain: {error}")))?;
    if chain.is_empty() {
        return Err(bad(&pair.chain, "holds no certificate; give a PEM file with the chain, leaf first".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        .map_err(|error| bad(&pair.key, format!("cannot read the private key: {error}")))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|error| bad(&pair.key, format!("is no private key that can be used: {error}")))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|_| bad(&pair.key, format!("is not the key of the certificate in {}", pair.chain.display())))?;
    Ok(certified)
}

fn bad(file: &Path, why: String) -> BadCertificate {
    BadCertificate { file: file.to_owned(), why }
}
