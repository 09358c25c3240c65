//! As much of HTTP as a port that is shared with it must know: what is a request, and what it asks of ACME (RFC 9112,
//! RFC 8555 §8.3).

/// How a request may begin.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI * HTTP/2.0\r\n",
];
/// Where the answers to ACME's challenges are looked for.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// The longest name of a challenge; an authority makes them of 43 characters.
const LONGEST_TOKEN: usize = 128;

/// Whether the first bytes of a connection are those of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// They are.
    Request,
    /// They may yet be.
    Perhaps,
    /// They are not.
    Other,
}

/// So many bytes tell for certain.
pub const ENOUGH: usize = 16;

/// Looks at the first bytes of a connection. No STUN message begins so; ChannelData may, but not on a connection that
/// has no allocation yet.
#[must_use]
pub fn beginning(bytes: &[u8]) -> Beginning {
    let seen = |method: &&[u8]| {
        let len = method.len().min(bytes.len());
        bytes[..len] == method[..len]
    };
    match METHODS.into_iter().find(|method| seen(method)) {
        None => Beginning::Other,
        Some(method) if bytes.len() < method.len() => Beginning::Perhaps,
        Some(_) => Beginning::Request,
    }
}

/// Whether the head of a request is whole: an empty line ends it.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    let ends = |end: &[u8]| bytes.windows(end.len()).any(|window| window == end);
    ends(b"\r\n\r\n") || ends(b"\n\n")
}

/// What a request asks of ACME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The name of the challenge: letters, digits, hyphens and underscores.
    pub token: &'a str,
    /// The answer's head is enough.
    pub head_only: bool,
}

/// The challenge that a request asks for; none if it asks for anything else.
#[must_use]
pub fn challenge(head: &[u8]) -> Option<Challenge<'_>> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let (target, version) = rest.split_once(' ')?;
    let token = target.strip_prefix(CHALLENGES)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(plain);
    let asked = matches!(method, "GET" | "HEAD") && matches!(version, "HTTP/1.0" | "HTTP/1.1");
    (good && asked).then_some(Challenge { token, head_only: method == "HEAD" })
}
