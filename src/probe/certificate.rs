//! What a server's certificate says to a person: whose it is, who issued it, how long it lasts.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Who has fewer days left than this has most likely forgotten to renew: authorities renew long before.
const FEW: i64 = 14;
/// Seconds.
const DAY: i64 = 24 * 3600;

/// Writes it after a comma; nothing if it cannot be read.
pub(super) fn shown(leaf: &CertificateDer<'_>, wall: u64) -> String {
    let Ok((_, read)) = X509Certificate::from_der(leaf) else { return String::new() };
    let until = read.validity().not_after.timestamp();
    format!(", certificate{} by {}, {}", whose(leaf), issuer(&read), left(until - wall as i64))
}

/// The names that it is for.
fn whose(leaf: &CertificateDer<'_>) -> String {
    let Ok(certificate) = webpki::EndEntityCert::try_from(leaf) else { return String::new() };
    let names: Vec<&str> = certificate.valid_dns_names().collect();
    if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) }
}

/// Who issued it.
fn issuer(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    if issuer.as_raw() == certificate.subject().as_raw() { "itself".to_owned() } else { format!("{:?}", name(issuer)) }
}

/// The name of an authority as people know it: "Let's Encrypt R11", or all that there is.
fn name(issuer: &X509Name<'_>) -> String {
    let organization = issuer.iter_organization().find_map(|part| part.as_str().ok());
    let common = issuer.iter_common_name().find_map(|part| part.as_str().ok());
    match (organization, common) {
        (Some(organization), Some(common)) => format!("{organization} {common}"),
        (one, other) => one.or(other).map_or_else(|| issuer.to_string(), str::to_owned),
    }
}

/// How long it lasts, in days.
fn left(seconds: i64) -> String {
    match seconds.div_euclid(DAY) {
        ..0 => format!("expired {} days ago", -seconds / DAY),
        days @ 0..FEW => format!("{days} days left: renew it"),
        days => format!("{days} days left"),
    }
}
