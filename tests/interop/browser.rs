//! Two pages of the example in Chromium: what the relay is for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::call_server::credentials::{IceServers, Login as CallLogin};
use super::call_server::{self, Limits};
use super::harness::Need::{self, Hairpin, Tool};
use super::harness::{Login, SECRET, Server};
use super::webdriver::Browser;

/// How long a call may take to begin. A machine with two cores encodes and decodes four videos
/// and runs the rest of the tests beside it.
const CALL: Duration = Duration::from_secs(90);
/// Video that is enough to call it a stream.
const VIDEO_BYTES: u64 = 30_000;

const CHROMIUM: Need = Tool("chromium");
const DRIVER: Need = Tool("chromedriver");

#[test]
fn a_call_goes_through_the_relay_over_udp() {
    requires!(CHROMIUM, DRIVER);
    let server = Server::start(Login::Secret);
    let url = format!("turn:{}?transport=udp", server.plain());
    call_through(&server.certificate.key_hash, &url, "udp", || {});
}

#[test]
fn a_call_goes_through_the_relay_over_tcp() {
    requires!(CHROMIUM, DRIVER);
    let server = Server::start(Login::Secret);
    let url = format!("turn:{}?transport=tcp", server.plain());
    call_through(&server.certificate.key_hash, &url, "tcp", || {});
}

#[test]
fn a_call_goes_through_the_relay_over_tls() {
    requires!(CHROMIUM, DRIVER);
    let server = Server::start(Login::Secret);
    let url = format!("turns:{}?transport=tcp", server.secure());
    call_through(&server.certificate.key_hash, &url, "tls", || {});
}

#[test]
fn a_browser_finds_every_kind_of_candidate() {
    requires!(CHROMIUM, DRIVER);
    let server = Server::start(Login::Secret);
    let (plain, secure) = (server.plain(), server.secure());
    let stun = format!("stun:{plain}");
    let relays = [
        (format!("turn:{plain}?transport=udp"), "udp"),
        (format!("turn:{plain}?transport=tcp"), "tcp"),
        (format!("turns:{secure}?transport=tcp"), "tls"),
    ];
    let urls: Vec<_> = relays.iter().map(|(url, _)| url).chain([&stun]).collect();
    let (username, credential) = server.login.credentials();
    let ice = json!([{"urls": urls, "username": username, "credential": credential}]);
    let browser = Browser::start(&server.certificate.key_hash);
    let window = browser.open("about:blank");
    browser.run_with(&window, GATHER, &ice);
    for (url, protocol) in &relays {
        let candidate = find(&browser, &window, "relay", url);
        // Chromium leaves the protocol out where it is UDP.
        let over = candidate["relayProtocol"].as_str().unwrap_or("udp");
        assert_eq!(over, *protocol, "{candidate}");
        let (low, high) = server.ports.relay();
        let port = candidate["port"].as_u64().unwrap();
        assert!((u64::from(low)..=u64::from(high)).contains(&port), "{candidate}");
    }
    let reflexive = find(&browser, &window, "srflx", &stun);
    assert_eq!(reflexive["address"], "127.0.0.1");
}

/// One port for both: what a browser shows of it, and the relay that it finds there.
#[test]
fn a_port_of_tls_serves_a_browser_http_and_turn() {
    requires!(CHROMIUM, DRIVER, Hairpin("an answer to HTTP"));
    let server = Server::start(Login::Secret);
    let browser = Browser::start(&server.certificate.key_hash);
    let window = browser.open(&format!("https://{}/", server.secure()));
    let shown = browser.run(&window, "return document.body.innerText");
    assert_eq!(shown.as_str().map(str::trim), Some("This port serves STUN and TURN."), "{shown}");
    let url = format!("turns:{}?transport=tcp", server.secure());
    let (username, credential) = server.login.credentials();
    browser.run_with(&window, GATHER, &json!([{"urls": [&url], "username": username, "credential": credential}]));
    assert_eq!(find(&browser, &window, "relay", &url)["relayProtocol"], "tls");
}

#[test]
fn a_browser_with_wrong_credentials_is_told_why() {
    requires!(CHROMIUM, DRIVER);
    let server = Server::start(Login::Secret);
    let url = format!("turn:{}?transport=udp", server.plain());
    let login = CallLogin::Secret("not the secret".to_owned());
    let site = Site::start_with(vec![url], login);
    let browser = Browser::start(&server.certificate.key_hash);
    let first = browser.open(&site.page("wrong", "first", "&relay=1"));
    browser.open(&site.page("wrong", "second", "&relay=1"));
    let refusal = browser.wait("a refusal", &first, STATE, CALL, |state| {
        let errors = state["errors"].as_array()?;
        errors.iter().find(|error| error["kind"] == "ice").cloned()
    });
    assert_eq!(refusal["code"], 401, "{refusal}");
}

/// The page's own account of the call, without its functions.
const STATE: &str = "return JSON.parse(JSON.stringify(window.hairpinCall ?? null))";

/// Gathers candidates as the well-known Trickle ICE page does: with nobody at the other end, whose
/// connection would end the search.
const GATHER: &str = "
    window.found = [];
    const pc = new RTCPeerConnection({ iceServers: arguments[0] });
    pc.onicecandidate = ({ candidate }) => {
        if (!candidate) return;
        const { type, protocol, relayProtocol, address, port, url } = candidate;
        window.found.push({ type, protocol, relayProtocol, address, port, url });
    };
    pc.createDataChannel('none');
    return pc.setLocalDescription();
";

/// Two pages call each other through one kind of relay: video and messages, both ways. Meanwhile something may be looked
/// at.
pub(crate) fn call_through<T>(trusted_key: &str, url: &str, protocol: &str, look: impl FnOnce() -> T) -> T {
    let site = Site::start(vec![url.to_owned()]);
    let browser = Browser::start(trusted_key);
    let windows = ["first", "second"].map(|name| browser.open(&site.page(protocol, name, "&relay=1")));
    for window in &windows {
        browser.wait("a connection with video", window, STATE, CALL, |state| {
            let flows = |field: &str| state[field].as_u64().is_some_and(|bytes| bytes > VIDEO_BYTES);
            let connected = state["connectedPeers"] == 1;
            (connected && flows("videoBytesIn") && flows("videoBytesOut")).then_some(())
        });
        uses_relay(&browser.run(window, STATE), url, protocol);
    }
    for (from, to) in [(&windows[0], &windows[1]), (&windows[1], &windows[0])] {
        let sent = browser.run(from, "return window.hairpinCall.say('through the relay')");
        assert_eq!(sent, 1);
        browser.wait("an echo", from, STATE, CALL, |state| (state["messages"]["echoed"] == 1).then_some(()));
        let heard = browser.run(to, STATE);
        assert_eq!(heard["messages"]["texts"][0], "through the relay", "{heard:#}");
    }
    look()
}

/// Checks that the path in use begins at the relay, reached as wanted, and ends at a relay.
fn uses_relay(state: &Value, url: &str, protocol: &str) {
    let peers = state["peers"].as_object().expect("peers");
    let path = &peers.values().next().expect("a peer")["path"];
    assert_eq!(path["local"]["type"], "relay", "{state:#}");
    assert_eq!(path["local"]["relayProtocol"], protocol, "{state:#}");
    assert_eq!(path["local"]["url"], url, "{state:#}");
    assert_eq!(path["remote"]["type"], "relay", "{state:#}");
    assert!(state["candidates"].as_array().unwrap().iter().all(|candidate| candidate["type"] == "relay"));
}

/// Waits for a candidate of this kind from this server.
fn find(browser: &Browser, window: &str, kind: &str, url: &str) -> Value {
    let what = format!("a {kind} candidate from {url}");
    browser.wait(&what, window, "return window.found", CALL, |found| {
        let candidates = found.as_array()?;
        candidates.iter().find(|candidate| candidate["type"] == kind && candidate["url"] == url).cloned()
    })
}

/// The example, served by this process.
struct Site {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Site {
    /// Serves the example with these relays.
    fn start(urls: Vec<String>) -> Self {
        Self::start_with(urls, CallLogin::Secret(SECRET.to_owned()))
    }

    /// Serves the example with these relays and this login.
    fn start_with(urls: Vec<String>, login: CallLogin) -> Self {
        let ice = IceServers { urls, login, ttl: Duration::from_secs(600) };
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(call_server::serve(listener, Limits::default(), ice));
        Self { address, _runtime: runtime }
    }

    /// The address of a page that joins a room by itself.
    fn page(&self, room: &str, name: &str, more: &str) -> String {
        format!("http://{}/?room={room}&name={name}&join=1&fake=1{more}", self.address)
    }
}
