//! A certificate authority for one test, and a server certificate from it.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;

use super::process::Folder;

/// The names and addresses the server is reached by.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What a server shows and what a client trusts, as PEM.
pub(crate) struct Certificate {
    /// The server's certificate, then the authority's.
    pub(crate) chain: String,
    /// The server's private key.
    pub(crate) key: String,
    /// The authority's certificate.
    pub(crate) authority: String,
    /// The authority's certificate as rustls takes it.
    pub(crate) authority_der: CertificateDer<'static>,
    /// The SHA-256 of the server's public key, in Base64: how Chromium is told to trust it.
    pub(crate) key_hash: String,
}

impl Certificate {
    /// A certificate with an ECDSA key.
    pub(crate) fn ecdsa() -> Self {
        Self::with_key(&KeyPair::generate().unwrap())
    }

    /// A certificate with an RSA key, which is made by OpenSSL: rcgen with ring makes none.
    pub(crate) fn rsa() -> Self {
        let folder = Folder::new();
        let path = folder.join("key.pem");
        make_rsa_key(&path);
        let pem = std::fs::read_to_string(path).unwrap();
        Self::with_key(&KeyPair::from_pem(&pem).unwrap())
    }

    /// A certificate for this key, signed by an authority made for it.
    fn with_key(key: &KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "hairpin test authority");
        let authority_key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);

        let names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
        let server = CertificateParams::new(names).unwrap().signed_by(key, &issuer).unwrap();
        let hash = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        Self {
            chain: format!("{}{}", server.pem(), authority.pem()),
            key: key.serialize_pem(),
            authority: authority.pem(),
            authority_der: authority.der().clone(),
            key_hash: STANDARD.encode(hash),
        }
    }
}

/// Writes a new RSA key.
fn make_rsa_key(path: &Path) {
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
