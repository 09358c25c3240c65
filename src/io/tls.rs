//! TLS on a stream: certificates by name, protocols by what the client offers.

use crate::wire::alpn;
use rustls::crypto::ring::{self, cipher_suite as suite};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{AcceptedAlert, ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

/// Accepts TLS connections with the certificates of the moment.
pub struct Acceptor {
    terms: Terms,
    current: RwLock<Current>,
}

/// On what terms TLS is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Certificates; the first one serves clients that name no server or an unknown one.
    pub pairs: Vec<Pair>,
    /// Clients must show a certificate of an authority in this PEM file, if there is one.
    pub authorities: Option<PathBuf>,
    /// TLS 1.3 alone.
    pub only_13: bool,
    /// The cipher suites of the versions that have some here; a version that has none here has all of its own.
    pub suites: Vec<Suite>,
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suite(SupportedCipherSuite);

/// Every suite that can be had, as OpenSSL calls it.
const SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

impl Terms {
    /// The suites of version 1.2, as OpenSSL lists them: those that are named, or all.
    #[cfg(feature = "dtls")]
    pub(super) fn ciphers_of_12(&self) -> String {
        let wanted = |(_, suite): &(&str, SupportedCipherSuite)| is_wanted(*suite, &self.suites);
        let of_12 = SUITES.into_iter().filter(|(_, suite)| !Suite(*suite).is_13()).filter(wanted);
        of_12.map(|(name, _)| name).collect::<Vec<_>>().join(":")
    }
}

impl Suite {
    /// The version that it belongs to is TLS 1.3.
    #[must_use]
    pub fn is_13(self) -> bool {
        self.0.tls13().is_some()
    }
}

impl FromStr for Suite {
    type Err = String;

    /// By the name that OpenSSL has for it, or that of the registry (RFC 8446 §B.4, RFC 5289, RFC 7905).
    fn from_str(text: &str) -> Result<Self, String> {
        let known = SUITES.into_iter().find(|(name, suite)| *name == text || suite.suite().as_str() == Some(text));
        let names = || SUITES.map(|(name, _)| name).join(", ");
        known
            .map(|(_, suite)| Self(suite))
            .ok_or_else(|| format!("{text:?} is not a cipher suite that there is: {}", names()))
    }
}

/// A pair of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// For which names each certificate is, in the operator's order: by this rule TLS and DTLS choose what a client is shown. It
/// verifies nothing; that is the client's part.
#[derive(Debug)]
pub(super) struct Names {
    /// The names of each.
    of_each: Vec<Vec<String>>,
}

impl Names {
    /// Reads them from the leaves.
    pub(super) fn read<'a>(leaves: impl Iterator<Item = &'a CertificateDer<'a>>) -> Self {
        let names = |leaf: &CertificateDer<'_>| {
            let leaf = webpki::EndEntityCert::try_from(leaf);
            leaf.map_or_else(|_| Vec::new(), |leaf| leaf.valid_dns_names().map(str::to_owned).collect())
        };
        Self { of_each: leaves.map(names).collect() }
    }

    /// The certificates for the name that a client asks for, in order; none if it asks for none, or for one that none is for.
    pub(super) fn fitting(&self, asked: Option<&str>) -> impl Iterator<Item = usize> {
        let asked = asked.map(|name| name.strip_suffix('.').unwrap_or(name));
        let fits = move |names: &Vec<String>| asked.is_some_and(|asked| names.iter().any(|n| stands_for(n, asked)));
        self.of_each.iter().enumerate().filter(move |(_, names)| fits(names)).map(|(at, _)| at)
    }

    /// All of them: whatever is asked for is one of these, or fits what one of these does.
    #[cfg(feature = "dtls")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.of_each.iter().flatten().map(String::as_str)
    }
}

/// Whether a name of a certificate stands for this one, of which it may leave the first label open (RFC 6125 §6.4.3).
fn stands_for(name: &str, asked: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => asked.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(asked),
    }
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

impl BadCertificate {
    /// Names the file, and what is wrong with it.
    pub(super) fn new(file: impl AsRef<Path>, why: &str) -> Self {
        Self { file: file.as_ref().to_owned(), why: why.to_owned() }
    }
}

impl Acceptor {
    /// Reads the certificates.
    pub fn new(terms: Terms) -> Result<Self, BadCertificate> {
        let current = RwLock::new(Current::read(&terms)?);
        Ok(Self { terms, current })
    }

    /// Reads the certificates again. If one of them is bad, all stay as they were.
    pub fn reload(&self) -> Result<(), BadCertificate> {
        let fresh = Current::read(&self.terms)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// How many certificates it has.
    pub fn count(&self) -> usize {
        self.terms.pairs.len()
    }

    /// How to serve a client that offers one of the protocols, or none of them.
    fn config(&self, offers: bool) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(if offers { &current.alpn } else { &current.plain })
    }
}

/// How clients are served at the moment: those that offer one of the protocols, and the others.
struct Current {
    plain: Arc<ServerConfig>,
    alpn: Arc<ServerConfig>,
}

impl Current {
    /// Reads every certificate, or names the first bad one.
    fn read(terms: &Terms) -> Result<Self, BadCertificate> {
        let all = terms.pairs.iter().map(|pair| read(pair).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let names = Names::read(all.iter().filter_map(|one| one.cert.first()));
        let plain = config(terms, Arc::new(Certificates { all, names }))?;
        let mut alpn = plain.clone();
        alpn.alpn_protocols = alpn::NAMES.iter().map(|p| p.to_vec()).collect();
        Ok(Self { plain: Arc::new(plain), alpn: Arc::new(alpn) })
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
        let offers = accepted.client_hello().alpn().is_some_and(|mut list| list.any(|p| alpn::NAMES.contains(&p)));
        accepted.into_connection(self.acceptor.config(offers)).map(Some).map_err(refused)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// The certificates to choose from.
#[derive(Debug)]
struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    names: Names,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut fitting = self.names.fitting(hello.server_name()).map(|at| &self.all[at]);
        fitting.find(usable).or_else(|| self.all.iter().find(usable)).or_else(|| self.all.first()).cloned()
    }
}

/// The configuration without protocols. Early data stays off: a replayed Allocate would be served.
fn config(terms: &Terms, certificates: Arc<Certificates>) -> Result<ServerConfig, BadCertificate> {
    let versions: &[&SupportedProtocolVersion] =
        if terms.only_13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| is_wanted(*suite, &terms.suites));
    let provider = Arc::new(provider);
    let verifier = match &terms.authorities {
        None => Arc::new(NoClientAuth),
        Some(file) => verifier(file, &provider)?,
    };
    #[expect(clippy::expect_used, reason = "of each version some suites are left")]
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("both versions have some");
    Ok(builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates))
}

/// Whether a suite may be used: it is named, or none of its version is.
fn is_wanted(suite: SupportedCipherSuite, named: &[Suite]) -> bool {
    let mut rivals = named.iter().filter(|other| other.is_13() == Suite(suite).is_13()).peekable();
    rivals.peek().is_none() || rivals.any(|other| other.0 == suite)
}

/// Checks the certificates of clients against the authorities in a file.
fn verifier(
    file: &Path,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, BadCertificate> {
    let mut roots = RootCertStore::empty();
    for authority in read_certificates(file)? {
        roots.add(authority).map_err(|error| bad(file, format!("is not that of an authority: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| bad(file, format!("names no authority for clients: {error}")))
}

/// Reads the certificates of a file, of which there must be one.
pub(super) fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| bad(file, format!("cannot read the certificate chain: {error}")))?;
    if all.is_empty() {
        return Err(bad(file, "holds no certificate; give a PEM file with the chain, leaf first".to_owned()));
    }
    Ok(all)
}

/// Reads the private key of a file.
pub(super) fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, BadCertificate> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| bad(file, format!("cannot read the private key: {error}")))
}

/// Reads one pair and checks that its halves belong together.
fn read(pair: &Pair) -> Result<CertifiedKey, BadCertificate> {
    let chain = read_certificates(&pair.chain)?;
    let key = read_key(&pair.key)?;
    let key = ring::sign::any_supported_type(&key)
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
