//! HTTP on the ports of TURN: what a browser, or somebody who issues certificates, is told there.

use crate::certificates::{Authority, Tls};
use crate::client::{Client, Heard};
use crate::harness::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const NAME: &str = "turn.example";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
const ANSWER: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// A server with a certificate.
fn served(more: impl Fn(Setup) -> Setup) -> (Server, Authority) {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "one", NAME);
    (more(Setup::new().certificates(&[pair])).start(), authority)
}

/// Says this on a connection and hears until it ends.
fn said(mut stream: impl Read + Write, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Says this over TCP.
fn plain(server: &Server, request: &str) -> String {
    said(TcpStream::connect(server.addr).unwrap(), request.as_bytes())
}

/// A request for this path.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: turn.example\r\nAccept: */*\r\n\r\n")
}

fn challenge(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 32\r\n\
     Content-Type: text/plain\r\n\r\nThis port serves STUN and TURN.\n";

/// DEMUX-008, TLS-006: a request is told that this is no port for it, and the connection ends: in clear and within TLS,
/// whatever protocols of HTTP were offered there.
#[test]
fn whoever_speaks_http_is_told_that_nobody_else_does() {
    let (server, authority) = served(|setup| setup);
    let (index, acme) = (get("/"), get(&challenge(TOKEN)));
    let posted = "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    for request in
        [&index, &acme, posted, "OPTIONS * HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /\n\n"]
    {
        assert_eq!(plain(&server, request), REFUSAL, "{request:?}");
        for offered in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
            let tls: Tls = authority.client().alpn(offered).connect(server.tls, NAME);
            assert_eq!(said(tls, request.as_bytes()), REFUSAL, "{offered:?}: {request:?}");
        }
    }
    let mut slow = TcpStream::connect(server.addr).unwrap();
    slow.set_nodelay(true).unwrap();
    for byte in &index.as_bytes()[..index.len() - 1] {
        slow.write_all(&[*byte]).unwrap();
    }
    assert_eq!(said(slow, b"\n"), REFUSAL, "one byte at a time");
    assert_eq!(
        plain(&server, &format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(4000))),
        REFUSAL,
        "no end is waited for"
    );
    // An HTTP client that others have written understands it.
    let refused = ureq::get(format!("http://{}/", server.addr)).call();
    assert!(matches!(refused, Err(ureq::Error::StatusCode(400))), "{refused:?}");
}

/// DEMUX-008, TLS-006: whoever has spoken STUN, or has said in the handshake that it will, is not answered in HTTP.
#[test]
fn whoever_speaks_stun_is_not_answered_in_http() {
    let (server, authority) = served(|setup| setup);
    let offered = authority.client().alpn(&["http/1.1", "stun.turn"]).connect(server.tls, NAME);
    assert_eq!(said(offered, get("/").as_bytes()), "");
    let clients =
        [Client::tcp(server.addr), Client::with_stream(authority.client().connect(server.tls, NAME), server.tls)];
    for mut client in clients {
        assert_eq!(client.binding(), client.local());
        client.send_raw(get("/").as_bytes());
        assert_eq!(client.hear(), Heard::End);
    }
    // A method that is none after all, in two pieces.
    let mut client = Client::tcp(server.addr);
    client.send_raw(b"G");
    client.send_raw(b"\x45\x00\x00");
    assert_eq!(client.binding(), client.local(), "ChannelData that leads nowhere is dropped, and no more");
}

/// A file for each challenge answers it; nothing outside the folder does, and what is no file is not waited for.
#[test]
fn challenges_are_answered_from_a_folder() {
    let folder = Folder::new();
    let acme = folder.path("acme");
    std::fs::create_dir(&acme).unwrap();
    std::fs::write(acme.join(TOKEN), ANSWER).unwrap();
    std::fs::write(acme.join("empty"), "").unwrap();
    std::fs::write(acme.join("large"), "x".repeat(4097)).unwrap();
    std::fs::create_dir(acme.join("folder")).unwrap();
    folder.write("outside", "a secret");
    assert!(std::process::Command::new("mkfifo").arg(acme.join("pipe")).status().unwrap().success());
    let (server, authority) = served(|s| s.set("http.acme-directory", &quoted(acme.to_str().unwrap())));
    let found = |body: &str| {
        let (len, kind) = (body.len(), "Content-Type: text/plain");
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n{kind}\r\n\r\n{body}")
    };
    let good = get(&challenge(TOKEN));
    assert_eq!(plain(&server, &good), found(ANSWER));
    assert_eq!(said(authority.client().connect(server.tls, NAME), good.as_bytes()), found(ANSWER));
    assert_eq!(
        plain(&server, &good.replace("GET", "HEAD")),
        found(ANSWER).replace(&format!("\r\n\r\n{ANSWER}"), "\r\n\r\n")
    );
    let cookies = good.replace("Accept", &format!("Cookie: {}\r\nAccept", "x".repeat(4000)));
    assert_eq!(plain(&server, &cookies), found(ANSWER), "what matters comes first");
    assert_eq!(plain(&server, &get(&challenge("empty"))), found(""));
    for absent in ["none", "folder", "pipe", "large"] {
        let answer = plain(&server, &get(&challenge(absent)));
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\nNo such challenge.\n"), "{answer}");
    }
    for other in ["/", "/outside", "/.well-known/acme-challenge/../outside", "/.well-known/acme-challenge/"] {
        assert_eq!(plain(&server, &get(other)), REFUSAL, "{other}");
    }
    let mut answered = ureq::get(format!("http://{}{}", server.addr, challenge(TOKEN))).call().unwrap();
    assert_eq!(answered.body_mut().read_to_string().unwrap(), ANSWER);
    // A new one is found without anybody being told.
    std::fs::write(acme.join("new"), "later").unwrap();
    assert_eq!(plain(&server, &get(&challenge("new"))), found("later"));
    let mut client = Client::with_stream(authority.client().alpn(&["stun.turn"]).connect(server.tls, NAME), server.tls);
    assert_eq!(client.binding(), client.local(), "STUN is served on the same port");
}

/// Files are read for a source as often as it may shake hands, lest a flood of requests keep a worker from its work.
#[test]
fn a_flood_of_requests_reads_no_flood_of_files() {
    let folder = Folder::new();
    folder.write(TOKEN, ANSWER);
    let (server, _) = served(|s| s.set("http.acme-directory", &quoted(folder.path("").to_str().unwrap())));
    let end = Instant::now() + PATIENCE;
    while !plain(&server, &get(&challenge(TOKEN))).starts_with("HTTP/1.1 503 ") {
        assert!(Instant::now() < end, "every request is answered from the file");
    }
    eventually("the source is served again", || {
        plain(&server, &get(&challenge(TOKEN))).starts_with("HTTP/1.1 200 ").then_some(())
    });
}

/// Challenges are redirected to another server; where there is a folder as well, only those that it lacks.
#[test]
fn challenges_are_redirected() {
    let url = "https://acme.example/.well-known/acme-challenge/";
    let folder = Folder::new();
    folder.write(TOKEN, ANSWER);
    let (server, authority) = served(|s| s.set("http.acme-redirect", &quoted(url)));
    let place = |token: &str| {
        let head = "HTTP/1.1 301 Moved Permanently\r\nConnection: close\r\nContent-Length: 0\r\n";
        format!("{head}Location: {url}{token}\r\n\r\n")
    };
    assert_eq!(plain(&server, &get(&challenge(TOKEN))), place(TOKEN));
    let tls = authority.client().connect(server.tls, NAME);
    assert_eq!(said(tls, get(&challenge(TOKEN)).as_bytes()), place(TOKEN));
    for other in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/a:b"] {
        assert_eq!(plain(&server, &get(other)), REFUSAL, "{other}");
    }
    let both = |s: Setup| {
        s.set("http.acme-redirect", &quoted(url)).set("http.acme-directory", &quoted(folder.path("").to_str().unwrap()))
    };
    let (server, _) = served(both);
    assert!(plain(&server, &get(&challenge(TOKEN))).ends_with(ANSWER));
    assert_eq!(plain(&server, &get(&challenge("other"))), place("other"));
}
