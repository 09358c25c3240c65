//! What begins like a request of HTTP, and which of them ask for a challenge.

use hairpin::wire::http::{Beginning, ENOUGH, beginning, challenge, is_whole};
use proptest::prelude::*;

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// DEMUX-008.
#[test]
fn a_request_is_known_by_its_method() {
    for method in METHODS {
        let line = format!("{method} / HTTP/1.1");
        assert_eq!(beginning(line.as_bytes()), Beginning::Request, "{line}");
        for len in 0..=method.len() {
            assert_eq!(beginning(&line.as_bytes()[..len]), Beginning::Perhaps, "{}", &line[..len]);
        }
    }
    assert_eq!(beginning(b"PRI * HTTP/2.0\r\n\r\nSM"), Beginning::Request);
    for other in
        ["get / HTTP/1.1", "GETS /", "GET\t/", " GET /", "PROXY TCP4", "PRI *\r\n", "\0\x01\0\0", "\x16\x03\x01"]
    {
        assert_eq!(beginning(other.as_bytes()), Beginning::Other, "{other:?}");
    }
}

#[test]
fn a_head_ends_with_an_empty_line() {
    assert!(is_whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") && is_whole(b"GET / HTTP/1.0\n\nbody"));
    assert!(
        !is_whole(b"GET / HTTP/1.1\r\nHost: a\r\n") && !is_whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r") && !is_whole(b"")
    );
}

#[test]
fn a_challenge_is_asked_for_by_its_name() {
    let of = |line: &str| {
        let asked = challenge(line.as_bytes())?;
        Some((asked.token.to_owned(), asked.head_only))
    };
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
    let path = format!("/.well-known/acme-challenge/{token}");
    assert_eq!(of(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")), Some((token.to_owned(), false)));
    assert_eq!(of(&format!("HEAD {path} HTTP/1.0\n\n")), Some((token.to_owned(), true)));
    let long = "a".repeat(129);
    for wrong in [
        format!("POST {path} HTTP/1.1\r\n\r\n"),
        format!("GET {path} HTTP/2.0\r\n\r\n"),
        format!("GET {path}\r\n\r\n"),
        format!("GET {path}?a=b HTTP/1.1\r\n\r\n"),
        format!("GET {path}/ HTTP/1.1\r\n\r\n"),
        format!("GET {path} HTTP/1.1 \r\n\r\n"),
        format!("GET http://a{path} HTTP/1.1\r\n\r\n"),
        format!("GET /.well-known/acme-challenge/{long} HTTP/1.1\r\n\r\n"),
        "GET /.well-known/acme-challenge/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET /.well-known/acme-challenge/.. HTTP/1.1\r\n\r\n".to_owned(),
        "GET /.well-known/acme-challenge/../a HTTP/1.1\r\n\r\n".to_owned(),
        "GET /.well-known/acme-challenge/%2e%2e%2fa HTTP/1.1\r\n\r\n".to_owned(),
        "GET /.well-known/acme-challenge/a\0 HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET".to_owned(),
    ] {
        assert_eq!(of(&wrong), None, "{wrong:?}");
    }
    assert_eq!(challenge(b"GET /.well-known/acme-challenge/\xFF HTTP/1.1\r\n\r\n"), None);
}

proptest! {
    #[test]
    fn more_bytes_change_no_mind(bytes in "(GET|HEA|POST|OPTIONS|PRI \\* )?[ -~]{0,20}", len in any::<prop::sample::Index>()) {
        let (bytes, len) = (bytes.as_bytes(), len.index(bytes.len() + 1));
        let (first, whole) = (beginning(&bytes[..len]), beginning(bytes));
        prop_assert!(first == Beginning::Perhaps || first == whole);
        prop_assert!(bytes.len() < ENOUGH || whole != Beginning::Perhaps);
    }

    #[test]
    fn a_name_never_leads_out_of_its_folder(line in "GET /.well-known/acme-challenge/[./\\\\%a-z0-9~\u{0}-]{0,9} HTTP/1.1\n") {
        if let Some(asked) = challenge(line.as_bytes()) {
            prop_assert!(!asked.token.contains(['.', '/', '\\', '%', '~', '\0']));
        }
    }
}
