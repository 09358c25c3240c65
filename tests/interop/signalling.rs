//! The example's signalling server under clients that behave, and under some that do not.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, Message, WebSocket};

use super::call_server::credentials::{IceServers, Login, rest_credentials};
use super::call_server::{self, Limits};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

#[test]
fn members_learn_of_each_other() {
    let site = Site::start(Limits::default());
    let mut ada = site.connect();
    let welcome = ada.ask(&json!({"type": "join", "room": "garden", "name": "Ada"}));
    assert_eq!(welcome["peers"], json!([]));
    let mut grace = site.connect();
    let welcome_grace = grace.ask(&json!({"type": "join", "room": "garden", "name": "Grace"}));
    assert_eq!(welcome_grace["peers"], json!([{"id": welcome["id"], "name": "Ada"}]));
    assert_eq!(ada.hear(), json!({"type": "joined", "id": welcome_grace["id"], "name": "Grace"}));
    assert_eq!(grace.ask(&json!({"type": "leave"})), json!({"type": "bye"}));
    assert_eq!(ada.hear(), json!({"type": "left", "id": welcome_grace["id"], "reason": "left"}));
}

#[test]
fn rooms_do_not_hear_each_other() {
    let site = Site::start(Limits::default());
    let (mut ada, _) = site.join("garden");
    let (mut grace, grace_id) = site.join("cellar");
    let answer = ada.ask(&json!({"type": "offer", "to": grace_id, "sdp": "v=0"}));
    assert_eq!(answer["code"], "unknown-peer");
    assert_eq!(grace.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
}

#[test]
fn offer_answer_and_candidates_are_carried_with_their_sender() {
    let site = Site::start(Limits::default());
    let (mut ada, ada_id) = site.join("garden");
    let (mut grace, grace_id) = site.join("garden");
    ada.hear();
    grace.say(&json!({"type": "offer", "to": ada_id, "sdp": "v=0 offer", "from": "forged"}));
    assert_eq!(ada.hear(), json!({"type": "offer", "sdp": "v=0 offer", "from": grace_id}));
    ada.say(&json!({"type": "answer", "to": grace_id, "sdp": "v=0 answer"}));
    assert_eq!(grace.hear(), json!({"type": "answer", "sdp": "v=0 answer", "from": ada_id}));
    for candidate in [json!({"candidate": "candidate:1", "sdpMid": "0"}), Value::Null] {
        ada.say(&json!({"type": "candidate", "to": grace_id, "candidate": candidate}));
        let carried = json!({"type": "candidate", "candidate": candidate, "from": ada_id});
        assert_eq!(grace.hear(), carried);
    }
}

#[test]
fn credentials_are_made_for_the_member_and_expire() {
    let site = Site::start(Limits::default());
    let mut ada = site.connect();
    let welcome = ada.ask(&json!({"type": "join", "room": "garden", "name": "Ada"}));
    let relay = &welcome["iceServers"][0];
    assert_eq!(relay["urls"], json!(["turn:relay.example:3478"]));
    let username = relay["username"].as_str().unwrap();
    let (expiry, id) = username.split_once(':').unwrap();
    assert_eq!(id, welcome["id"].as_str().unwrap());
    let (_, password) = rest_credentials("secret", expiry.parse().unwrap(), id);
    assert_eq!(relay["credential"], password);
    assert_eq!(welcome["ttl"], 600);
    assert_eq!(welcome["iceServers"][1], json!({"urls": ["stun:relay.example:3478"]}));
    assert_eq!(ada.ask(&json!({"type": "ice"}))["type"], "ice");
}

#[test]
fn one_user_may_do_for_everybody() {
    let login = Login::User("ada".to_owned(), "pencil".to_owned());
    let urls = vec!["turns:relay.example:5349".to_owned()];
    let ice = IceServers { urls: urls.clone(), login, ttl: Duration::from_secs(600) };
    let minted = ice.mint(SystemTime::now(), "0123456789abcdef");
    assert_eq!(minted, json!([{"urls": urls, "username": "ada", "credential": "pencil"}]));
}

#[test]
fn the_scheme_for_credentials_is_the_one_relays_know() {
    // Made with `printf 1700000000:ada | openssl dgst -sha1 -hmac north -binary | base64`.
    let (username, password) = rest_credentials("north", 1_700_000_000, "ada");
    assert_eq!(username, "1700000000:ada");
    assert_eq!(password, "ndZ88ryT1whVxdkcRLepT9D1MpM=");
}

#[test]
fn a_member_whose_connection_breaks_has_left() {
    let site = Site::start(Limits::default());
    let (mut ada, _) = site.join("garden");
    let (grace, grace_id) = site.join("garden");
    ada.hear();
    drop(grace);
    assert_eq!(ada.hear(), json!({"type": "left", "id": grace_id, "reason": "gone"}));
}

#[test]
fn a_silent_member_is_put_out() {
    let limits =
        Limits { heartbeat: Duration::from_millis(100), silence: Duration::from_millis(1500), ..Limits::default() };
    let site = Site::start(limits);
    let (mut ada, _) = site.join("garden");
    let (grace, grace_id) = site.join("garden");
    ada.hear();
    // Ada answers the server's pings by listening; Grace holds her connection and does nothing.
    assert_eq!(ada.hear(), json!({"type": "left", "id": grace_id, "reason": "silent"}));
    drop(grace);
}

#[test]
fn a_client_that_never_joins_is_put_out() {
    let limits =
        Limits { heartbeat: Duration::from_millis(50), roomless: Duration::from_millis(200), ..Limits::default() };
    let site = Site::start(limits);
    assert_eq!(site.connect().end(), 4002);
}

#[test]
fn a_member_that_does_not_read_is_put_out_and_the_others_go_on() {
    let site = Site::start(Limits { queue: 4, burst: 1_000_000, ..Limits::default() });
    let (mut ada, _) = site.join("garden");
    let (grace, grace_id) = site.join("garden");
    ada.hear();
    // Much more than the kernel holds for a connection, so that Grace's queue must fill.
    let sdp = "x".repeat(30_000);
    let mut refused = false;
    for _ in 0..2_000 {
        ada.say(&json!({"type": "offer", "to": grace_id, "sdp": sdp}));
        // An offer that is carried has no answer.
        let answer = ada.ask(&json!({"type": "ping"}));
        refused = answer["code"] == "unknown-peer";
        if refused {
            break;
        }
    }
    assert!(refused);
    let mut news = ada.hear();
    if news["type"] == "pong" {
        news = ada.hear();
    }
    assert_eq!(news, json!({"type": "left", "id": grace_id, "reason": "too slow"}));
    drop(grace);
}

#[test]
fn a_flood_ends_the_connection() {
    let site = Site::start(Limits { burst: 20, rate: 1, ..Limits::default() });
    let mut client = site.connect();
    for _ in 0..30 {
        // The server may have hung up before the last of them.
        let _ = client.socket.send(Message::text("{}"));
    }
    assert_eq!(client.end(), 4003);
}

#[test]
fn what_is_wrong_with_a_message_is_said_and_forgiven() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    let id = "0123456789abcdef";
    let long = "x".repeat(40_000);
    let wrong = [
        ("", "not-a-message"),
        ("{", "not-a-message"),
        ("null", "not-a-message"),
        ("[[[[[[[[[[]]]]]]]]]]", "not-a-message"),
        (r#"{"type": 1}"#, "not-a-message"),
        (r#"{"type": "shout"}"#, "unknown-type"),
        (r#"{"type": "join"}"#, "bad-field"),
        (r#"{"type": "join", "room": 7, "name": "Ada"}"#, "bad-field"),
        (r#"{"type": "join", "room": "", "name": "Ada"}"#, "bad-room-name"),
        (r#"{"type": "join", "room": "../x", "name": "Ada"}"#, "bad-room-name"),
        (&format!(r#"{{"type": "join", "room": "{long}", "name": "Ada"}}"#), "too-long"),
        (&format!(r#"{{"type": "offer", "to": "{id}", "sdp": "{long}"}}"#), "too-long"),
        (&format!(r#"{{"type": "candidate", "to": "{id}", "candidate": {{"x": "{long}"}}}}"#), "too-long"),
        (&format!(r#"{{"type": "candidate", "to": "{id}", "candidate": 1}}"#), "bad-field"),
        (&format!(r#"{{"type": "offer", "to": "{id}", "sdp": "v=0"}}"#), "not-joined"),
        (r#"{"type": "leave"}"#, "not-joined"),
        (r#"{"type": "ice"}"#, "not-joined"),
    ];
    for (message, code) in wrong {
        client.socket.send(Message::text(message)).unwrap();
        let answer = client.hear();
        assert_eq!(answer["code"], code, "{message:.80}: {answer}");
    }
    client.socket.send(Message::binary(vec![0xa5; 100])).unwrap();
    assert_eq!(client.hear()["code"], "not-text");
    let join = json!({"type": "join", "room": "garden", "name": "  \u{7}\u{1f600}  "});
    assert_eq!(client.ask(&join)["name"], "\u{1f600}");
    assert_eq!(client.ask(&join)["code"], "already-joined");
}

#[test]
fn deep_nesting_is_refused() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    let deep = format!(r#"{{"type": "ping", "x": {}"#, "[".repeat(40_000));
    client.socket.send(Message::text(deep)).unwrap();
    assert_eq!(client.hear()["code"], "not-a-message");
}

#[test]
fn an_oversized_message_ends_the_connection_and_nothing_else() {
    let site = Site::start(Limits::default());
    let (mut ada, _) = site.join("garden");
    let (mut grace, grace_id) = site.join("garden");
    ada.hear();
    let _ = grace.socket.send(Message::text("x".repeat(1_000_000)));
    assert_eq!(ada.hear(), json!({"type": "left", "id": grace_id, "reason": "gone"}));
}

#[test]
fn rooms_members_and_connections_are_bounded() {
    let site = Site::start(Limits { rooms: 1, members: 2, connections: 4, ..Limits::default() });
    let _members = [site.join("garden"), site.join("garden")];
    let mut third = site.connect();
    assert_eq!(third.ask(&join("garden"))["code"], "room-full");
    assert_eq!(third.ask(&join("cellar"))["code"], "no-room-left");
    let _fourth = site.connect();
    assert_eq!(site.try_connect(None).unwrap_err(), 503);
}

#[test]
fn an_empty_room_makes_place_for_another() {
    let site = Site::start(Limits { rooms: 1, ..Limits::default() });
    let (mut ada, _) = site.join("garden");
    ada.ask(&json!({"type": "leave"}));
    assert_eq!(ada.ask(&join("cellar"))["type"], "welcome");
}

#[test]
fn a_page_of_another_site_may_not_connect() {
    let site = Site::start(Limits::default());
    assert_eq!(site.try_connect(Some("https://elsewhere.example")).unwrap_err(), 403);
    assert_eq!(site.try_connect(Some("null")).unwrap_err(), 403);
    let own = format!("http://{}", site.address);
    assert!(site.try_connect(Some(&own)).is_ok());
}

#[test]
fn the_page_comes_with_a_policy_against_foreign_code() {
    let site = Site::start(Limits::default());
    for (path, part) in [("", "<title>hairpin call"), ("call.js", "hairpinCall"), ("call.css", "#grid")] {
        let mut answer = ureq::get(format!("http://{}/{path}", site.address)).call().unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(answer.body_mut().read_to_string().unwrap().contains(part));
    }
}

/// The message that enters a room.
fn join(room: &str) -> Value {
    json!({"type": "join", "room": room, "name": "Somebody"})
}

/// The signalling server, in this process.
struct Site {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Site {
    /// Starts a server with these limits.
    fn start(limits: Limits) -> Self {
        let urls = ["turn:relay.example:3478", "stun:relay.example:3478"];
        let ice = IceServers {
            urls: urls.map(str::to_owned).to_vec(),
            login: Login::Secret("secret".to_owned()),
            ttl: Duration::from_secs(600),
        };
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(call_server::serve(listener, limits, ice));
        Self { address, _runtime: runtime }
    }

    /// Connects a client.
    fn connect(&self) -> Client {
        self.try_connect(None).unwrap()
    }

    /// Connects a client from this origin, or returns the status it is refused with.
    fn try_connect(&self, origin: Option<&str>) -> Result<Client, u16> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects a client that enters a room; returns it and its id.
    fn join(&self, room: &str) -> (Client, String) {
        let mut client = self.connect();
        let welcome = client.ask(&join(room));
        let id = welcome["id"].as_str().unwrap_or_else(|| panic!("{welcome}")).to_owned();
        (client, id)
    }
}

/// A client of the signalling server.
#[derive(Debug)]
struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    /// Says something.
    fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    /// Waits for the next message; pings are answered on the way.
    fn hear(&mut self) -> Value {
        let deadline = Instant::now() + WITHIN;
        while Instant::now() < deadline {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
        panic!("nothing was heard within {WITHIN:?}");
    }

    /// Says something and waits for the next message.
    fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        self.hear()
    }

    /// Waits for the server to close the connection and returns its code.
    fn end(&mut self) -> u16 {
        loop {
            if let Message::Close(Some(frame)) = self.socket.read().unwrap() {
                return frame.code.into();
            }
        }
    }
}
