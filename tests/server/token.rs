//! `hairpin token`: what it prints opens a server.

use crate::client::Client;
use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Keys that both sides have.
const NORTH: &str = "north:A256GCM:TkVORU5FTkVORU5FTkVORU5FTkVORU5FTkVORU5FTkU=";
const SOUTH: &str = "south:A128GCM:U0VTRVNFU0VTRVNFU0VTRQ==";
const NAME: &str = "turn.example.org";

/// A server that takes tokens of both keys.
fn setup() -> Setup {
    Setup::new()
        .set("oauth.enabled", "true")
        .set("oauth.server-name", &quoted(NAME))
        .set("oauth.keys", &format!("[{NORTH:?}, {SOUTH:?}]"))
}

/// A line of what was printed.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

/// What the server says to an Allocate request with what these arguments print.
fn allocates(server: &Server, arguments: &[&str]) -> Option<u16> {
    let (code, out, err) = finish(&[&["token"], arguments].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    let bytes = |name| STANDARD.decode(line(&out, name)).unwrap();
    let mut session_key = bytes("session-key");
    if session_key.len() == 32 {
        // MESSAGE-INTEGRITY takes 20 bytes (RFC 7635 appendix B).
        session_key = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &session_key).as_ref().to_vec();
    }
    let mut client = Client::udp(server.addr).granted(line(&out, "kid"), session_key, bytes("token"));
    client.try_allocate().err()
}

/// OAUTH-002, OAUTH-004, OAUTH-011: a printed token is taken for its server alone, whichever key sealed it.
#[test]
fn a_printed_token_opens_the_server() {
    let server = setup().start();
    for key in [NORTH, SOUTH] {
        assert_eq!(allocates(&server, &["--key", key, "--server-name", NAME]), None);
        assert_eq!(allocates(&server, &["--key", key, "--server-name", NAME, "--sha256", "--lifetime", "2m"]), None);
        assert_eq!(allocates(&server, &["--key", key, "--server-name", "turn.example.com"]), Some(401));
    }
    let other = "north:A256GCM:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(allocates(&server, &["--key", other, "--server-name", NAME]), Some(401));
}

/// The keys and the name may come of the server's own configuration.
#[test]
fn a_token_is_made_of_the_configuration() {
    let (setup, folder) = (setup(), Folder::new());
    let file = folder.write("hairpin.toml", &setup.text(3478, 5349));
    let file = file.to_str().unwrap();
    let server = setup.start();
    assert_eq!(allocates(&server, &["-c", file]), None);
    assert_eq!(allocates(&server, &["-c", file, "--kid", "south"]), None);
    let (code, _, err) = finish(&["token", "-c", file, "--kid", "west"]);
    assert!(code == 1 && err.contains("oauth.keys"), "{err}");
}

/// No server would take it.
#[test]
fn a_key_that_has_ended_makes_no_token() {
    let (code, out, err) = finish(&["token", "--key", &format!("{SOUTH}:1600000000:60"), "--server-name", NAME]);
    assert!(code == 1 && out.is_empty() && err.contains("has ended"), "{err}");
}
