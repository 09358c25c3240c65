//! How a text becomes a value: durations, sizes, rates, listeners, users.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use super::listen::{Extra, Transports};
use super::{External, OauthKey, User, UserSecret};
use crate::auth::token::Cipher;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Reads the words that coturn and people use for yes and no.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" => Some(true),
        "false" | "no" | "off" | "0" | "f" => Some(false),
        _ => None,
    }
}

/// Reads `90` (seconds), `90s`, `10m`, `1h30m` or `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let (number, unit) = leading_number(rest)?;
        total = total.checked_add(number.checked_mul(seconds_in(unit.chars().next()?)?)?)?;
        rest = &unit[1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(total))
}

/// Returns how many seconds a unit of time has.
fn seconds_in(unit: char) -> Option<u64> {
    match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    }
}

/// Reads `65536`, `64KiB`, `2MiB` or `1MB`: bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    number.checked_mul(bytes_in(unit.trim())?)
}

/// Reads `125000`, `1MB/s` or `1Mbit/s`: bytes in a second.
pub(crate) fn rate(text: &str) -> Option<u64> {
    let text = text.strip_suffix("/s").unwrap_or(text);
    let Some(prefix) = text.strip_suffix("bit") else {
        return size(text);
    };
    let (number, unit) = leading_number(prefix)?;
    Some(number.checked_mul(bytes_in(unit.trim())?)? / 8)
}

/// Returns how many bytes a unit stands for; `kB` is a thousand, `KiB` is 1024.
fn bytes_in(unit: &str) -> Option<u64> {
    match unit {
        "" | "B" => Some(1),
        "k" | "K" | "kB" | "KB" => Some(1000),
        "M" | "MB" => Some(1_000_000),
        "G" | "GB" => Some(1_000_000_000),
        "KiB" | "Ki" => Some(1 << 10),
        "MiB" | "Mi" => Some(1 << 20),
        "GiB" | "Gi" => Some(1 << 30),
        _ => None,
    }
}

/// Splits a text after its leading digits, of which there must be one.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Reads a value of a type that knows how, or says that the text is none.
pub(crate) fn parse<T: FromStr>(text: &str, form: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is not {form}"))
}

/// Reads an IP address, in brackets or not.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    parse(bare, "an IP address; write it in numbers, 192.0.2.1 or 2001:db8::1 (a name would be looked up only once)")
}

/// Reads `198.51.100.7` or `198.51.100.7/10.0.0.7`: the public address, then the local one behind it.
pub(crate) fn external(text: &str) -> Result<External, String> {
    let (public, local) = match text.split_once('/') {
        Some((public, local)) => (address(public)?, Some(address(local)?)),
        None => (address(text)?, None),
    };
    if local.is_some_and(|local| local.is_ipv4() != public.is_ipv4()) {
        return Err(format!("{text:?} joins an IPv4 and an IPv6 address; write one entry for each family"));
    }
    Ok(External { public, local })
}

/// Reads `udp://192.0.2.1:53`, `tcp+tls://[::]:443`, `proxy+tls://[::]:443` or, with every transport that is on,
/// `192.0.2.1:53`.
pub(crate) fn listener(text: &str) -> Result<Extra, String> {
    let Some((scheme, addr)) = text.split_once("://") else {
        return Ok(Extra { addr: socket(text)?, transports: None, proxied: false });
    };
    let (mut transports, mut proxied) = (Transports::default(), false);
    for word in scheme.split('+') {
        match word {
            "udp" => transports.udp = true,
            "tcp" => transports.tcp = true,
            "tls" => transports.tls = true,
            "dtls" => transports.dtls = true,
            "proxy" => proxied = true,
            _ => {
                return Err(format!(
                    "{word:?} is not a transport; write udp, tcp, tls, dtls or several, as in tcp+tls://[::]:443, \
                     after proxy+ where a proxy's header comes first"
                ));
            }
        }
    }
    if transports == Transports::default() {
        return Err(format!("{text:?} says not what comes by the proxy; write proxy+tcp+tls://{addr}, or proxy+udp"));
    }
    Ok(Extra { addr: socket(addr)?, transports: Some(transports), proxied })
}

/// Reads an address or a network.
pub(crate) fn network(text: &str) -> Result<ipnet::IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => parse(text, "an address or a network such as 10.0.0.0/8"),
    }
}

/// Reads an address with its port.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr = parse(text, "an address with a port, such as 192.0.2.1:443 or [::]:443")?;
    if addr.port() == 0 {
        return Err(format!("{text:?} has port 0; name a port from 1 to 65535"));
    }
    Ok(addr)
}

/// Reads `name:password`, `name:0x` and 32 hexadecimal digits (MD5), or 64 (SHA-256).
///
/// The errors do not repeat the text: it holds a secret.
pub(crate) fn user(text: &str) -> Result<User, String> {
    let (name, secret) = text.split_once(':').ok_or("this is not a user; write name:password or name:0xKEY")?;
    if name.is_empty() || secret.is_empty() {
        return Err("the name or the password is empty; write name:password or name:0xKEY".to_owned());
    }
    let secret = match secret.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => stored_key(digits)?,
        _ => UserSecret::Password(secret.to_owned()),
    };
    Ok(User { name: name.to_owned(), secret })
}

/// Reads a stored key: 32 hexadecimal digits are MD5, 64 are SHA-256.
pub(crate) fn stored_key(digits: &str) -> Result<UserSecret, String> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let wrong =
        || "a stored key is 0x and 32 hexadecimal digits (MD5) or 64 (SHA-256); `hairpin key` makes one".to_owned();
    match digits.len() {
        32 => hex(digits).map(UserSecret::Md5).ok_or_else(wrong),
        64 => hex(digits).map(UserSecret::Sha256).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// Reads `N` bytes from twice as many hexadecimal digits.
fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Reads `north:A256GCM:BASE64` or `north:A256GCM:BASE64:1735689600:86400`: a key shared with an authorisation
/// server, and when it began and how long it lasts. The name of the server may follow, where there are several.
///
/// The errors do not repeat the text: it holds a secret.
pub(crate) fn oauth_key(text: &str) -> Result<OauthKey, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (parts, group) = match parts[..] {
        [_, _, _, group] | [_, _, _, _, _, group] => (&parts[..parts.len() - 1], Some(group)),
        _ => (&parts[..], None),
    };
    let (kid, cipher, key, term) = match parts[..] {
        [kid, cipher, key] if !kid.is_empty() => (kid, cipher, key, None),
        [kid, cipher, key, from, lifetime] if !kid.is_empty() => (kid, cipher, key, Some((from, lifetime))),
        _ => return Err("this is not a key; write KID:A256GCM:KEY with the key in base64".to_owned()),
    };
    let cipher = Cipher::from_name(cipher).ok_or_else(|| format!("{kid}: write A256GCM or A128GCM"))?;
    let key = STANDARD.decode(key).map_err(|_| format!("{kid}: the key is not base64; write it as `base64` does"))?;
    if key.len() < cipher.key_len() {
        return Err(format!("{kid}: the key has {} bytes; give {} or more", key.len(), cipher.key_len()));
    }
    let end = term.map_or(Ok(None), |(from, lifetime)| key_end(from, lifetime));
    let end = end.map_err(|form| format!("{kid}: {form}"))?;
    // A number is half of a term, more likely than a name.
    if group.is_some_and(|group| !group.starts_with(char::is_alphabetic)) {
        return Err(format!("{kid}: write TIMESTAMP:LIFETIME, or a group that begins with a letter"));
    }
    Ok(OauthKey { kid: kid.to_owned(), cipher, key, end, group: group.unwrap_or_default().to_owned() })
}

/// When a key ends; one whose lifetime is zero never does.
fn key_end(from: &str, lifetime: &str) -> Result<Option<u64>, &'static str> {
    let seconds = |text: &str| text.parse::<u64>().map_err(|_| "write TIMESTAMP and LIFETIME as numbers of seconds");
    let (from, lifetime) = (seconds(from)?, seconds(lifetime)?);
    Ok((lifetime > 0).then(|| from.saturating_add(lifetime)))
}

/// Reads one character.
pub(crate) fn character(text: &str) -> Result<char, String> {
    parse(text, "one character, such as :")
}
