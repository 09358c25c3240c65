//! Runs `scenarios/*.turn`: who sends what when, and what must come. Time is turned by hand.
//!
//! ```text
//! server  nonce=600 user-quota=1 routes          what differs from the usual server
//! client  alice udp 192.0.2.1:40000 user=alice:secret
//! client  ann   tcp 192.0.2.2:40000 issued=ann:60    a name that is good for sixty seconds more
//! peer    P 198.51.100.7:9
//!
//! 0s    alice > Allocate lifetime=3600            lifetime= family= additional= even pair token= count=
//!       alice < success relayed=R                 a name is bound at first, and compared afterwards
//!       alice > ChannelBind 0x4001 peer=P         also Refresh, CreatePermission, Send "…", ChannelData
//!       P     > "hi" to=R
//!       alice < ChannelData 0x4001 "hi"           also Data "…" from=, error 437, nothing
//!       alice > again                             the same bytes
//! 301s  drop    NoPermission                      why the packet before was dropped
//!       holds   allocations=1 sockets=1 charges=1 reservations=0 routes=1
//! ```
//!
//! A relayed address may stand where a peer does. Whatever comes out must be named before the next thing
//! happens. An hour after the end nothing may be left.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "protocol/acts.rs"]
mod acts;
#[path = "protocol/harness.rs"]
mod harness;

use hairpin::auth::rest::mint;
use hairpin::wire::{ChannelData, Class, Method, Writer, attribute};
use harness::*;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What is wrong in a line.
type Wrong = String;

#[test]
fn every_scenario_comes_out_as_it_is_told() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the scenarios are there");
    let wrong = files.iter().filter_map(|file| {
        let name = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        run(&name, &std::fs::read_to_string(file).unwrap()).err()
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Runs a scenario; the error names file and line.
fn run(file: &str, text: &str) -> Result<(), String> {
    let mut stage = Stage::default();
    for (number, line) in text.lines().enumerate() {
        let words = Words::split(line).and_then(|words| stage.line(words));
        words.map_err(|wrong| format!("{file}:{}: {wrong}", number + 1))?;
    }
    stage.curtain().map_err(|wrong| format!("{file}: at the end: {wrong}"))
}

/// What a scenario has put on stage so far.
#[derive(Default)]
struct Stage {
    build: Build,
    world: Option<World>,
    clients: HashMap<String, Client>,
    peers: HashMap<String, SocketAddr>,
    /// Relayed addresses and tokens.
    names: HashMap<String, String>,
    /// The last packet of each client.
    last: HashMap<String, Vec<u8>>,
    /// What came out and was not named yet.
    pending: Vec<Out>,
    /// Milliseconds since the beginning.
    time: u64,
}

impl Stage {
    fn line(&mut self, mut words: Words) -> Result<(), Wrong> {
        if let Some(time) = words.time()? {
            self.pass(time)?;
        }
        let Some(who) = words.next() else { return Ok(()) };
        match who.as_str() {
            "server" => self.server(words),
            "client" => self.client(words),
            "peer" => self.peer(words),
            "drop" => self.drop(words),
            "holds" => self.holds(words),
            _ => match (words.next().as_deref(), self.place(&who).ok()) {
                (Some(">"), None) => self.client_sends(&who, words),
                (Some(">"), Some(peer)) => self.peer_sends(peer, words),
                (Some("<"), None) => self.client_gets(&who, words),
                (Some("<"), Some(peer)) => self.peer_gets(peer, words),
                _ => Err(format!("unknown word `{who}`")),
            },
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: u64) -> Result<(), Wrong> {
        let span = time.checked_sub(self.time).ok_or("time does not go back")?;
        self.time = time;
        let out = self.world().pass(Duration::from_millis(span));
        self.happened(out)
    }

    /// Something happened; what came of the thing before must have been named.
    fn happened(&mut self, out: Vec<Out>) -> Result<(), Wrong> {
        let before = std::mem::replace(&mut self.pending, out);
        if before.is_empty() { Ok(()) } else { Err(format!("nobody has expected {before:?}")) }
    }

    fn world(&mut self) -> &mut World {
        self.world.get_or_insert_with(|| std::mem::take(&mut self.build).build())
    }

    fn server(&mut self, mut words: Words) -> Result<(), Wrong> {
        if self.world.is_some() {
            return Err("the server is running".to_owned());
        }
        let options = &mut self.build.options;
        if let Some(seconds) = words.number("nonce")? {
            self.build.nonce_lifetime = Duration::from_secs(seconds.into());
        }
        options.quotas.user = words.number("user-quota")?.unwrap_or(0);
        options.lifetime = words.number("lifetime")?.map_or(options.lifetime, |s| Duration::from_secs(s.into()));
        options.routes = words.flag("routes");
        words.end()
    }

    /// A client comes and learns its nonce.
    fn client(&mut self, mut words: Words) -> Result<(), Wrong> {
        let (name, transport) = (words.must("a name")?, words.must("a transport")?);
        let (from, link) = (words.address()?.to_string(), self.clients.len() as u32 + 1);
        let path = match transport.as_str() {
            "udp" => udp(&from),
            "tcp" => tcp(&from, link),
            other => return Err(format!("unknown word `{other}`")),
        };
        let wall = self.world().now.wall;
        let (user, password) = match (words.value("user"), words.value("issued")) {
            (Some(user), None) => pair(&user)?,
            (None, Some(issued)) => {
                let (id, seconds) = pair(&issued)?;
                let seconds: u64 = seconds.parse().map_err(|_| format!("`{seconds}` is no number"))?;
                mint("north", &id, wall + seconds, ':')
            }
            _ => return Err("a client has user= or issued=".to_owned()),
        };
        let client = self.world().login(path, &user, &password);
        self.clients.insert(name, client);
        words.end()
    }

    fn peer(&mut self, mut words: Words) -> Result<(), Wrong> {
        let (name, at) = (words.must("a name")?, words.address()?);
        self.peers.insert(name, at);
        words.end()
    }

    fn find(&self, who: &str) -> Result<Client, Wrong> {
        self.clients.get(who).cloned().ok_or_else(|| format!("unknown word `{who}`"))
    }

    fn client_sends(&mut self, who: &str, mut words: Words) -> Result<(), Wrong> {
        let client = self.find(who)?;
        let packet = match words.must("a message")?.as_str() {
            "Allocate" => self.request(&client, Method::ALLOCATE, &mut words)?,
            "Refresh" => self.request(&client, Method::REFRESH, &mut words)?,
            "CreatePermission" => self.request(&client, Method::CREATE_PERMISSION, &mut words)?,
            "ChannelBind" => self.request(&client, Method::CHANNEL_BIND, &mut words)?,
            "Send" => {
                let body = words.text()?;
                let fill = self.attributes(Method::SEND, &mut words)?;
                self.world().bare(Method::SEND, Class::Indication, |w| {
                    fill(w);
                    w.attribute(attribute::DATA, &body);
                })
            }
            "ChannelData" => {
                let (number, body) = (words.channel()?, words.text()?);
                [&hairpin::wire::channel::header(number, body.len())[..], &body].concat()
            }
            "again" => self.last.get(who).cloned().ok_or("nothing was sent before")?,
            "FIN" => {
                let out = self.world().close(&client);
                self.happened(out)?;
                return words.end();
            }
            other => return Err(format!("unknown word `{other}`")),
        };
        words.end()?;
        let out = self.world().client(client.path, &packet);
        self.last.insert(who.to_owned(), packet);
        self.happened(out)
    }

    fn request(&mut self, client: &Client, method: Method, words: &mut Words) -> Result<Vec<u8>, Wrong> {
        let fill = self.attributes(method, words)?;
        let id = self.world().transaction();
        Ok(client.message(&id, method, fill))
    }

    /// The attributes that these words name.
    fn attributes(&self, method: Method, words: &mut Words) -> Result<impl FnOnce(&mut Writer<'_>) + use<>, Wrong> {
        let mut list: Vec<(u16, Vec<u8>)> = Vec::new();
        match method {
            Method::ALLOCATE => list.push((attribute::REQUESTED_TRANSPORT, acts::UDP.to_vec())),
            Method::CHANNEL_BIND => {
                let [high, low] = words.channel()?.to_be_bytes();
                list.push((attribute::CHANNEL_NUMBER, vec![high, low, 0, 0]));
            }
            _ => {}
        }
        for (word, code) in
            [("family", attribute::REQUESTED_ADDRESS_FAMILY), ("additional", attribute::ADDITIONAL_ADDRESS_FAMILY)]
        {
            match words.number(word)? {
                Some(4) => list.push((code, vec![1, 0, 0, 0])),
                Some(6) => list.push((code, vec![2, 0, 0, 0])),
                Some(other) => return Err(format!("{other} is no family")),
                None => {}
            }
        }
        list.extend(words.number("lifetime")?.map(|s| (attribute::LIFETIME, s.to_be_bytes().to_vec())));
        list.extend(words.number("count")?.map(|n| (attribute::TRANSACTION_TRANSMIT_COUNTER, vec![0, 0, n as u8, 0])));
        list.extend(words.flag("even").then(|| (attribute::EVEN_PORT, vec![0])));
        list.extend(words.flag("pair").then(|| (attribute::EVEN_PORT, vec![0x80])));
        if let Some(token) = words.value("token") {
            let bytes = self.names.get(&token).ok_or_else(|| format!("unknown word `{token}`"))?;
            list.push((attribute::RESERVATION_TOKEN, bytes.chars().map(|c| c as u8).collect()));
        }
        let mut peers = Vec::new();
        while let Some(peer) = words.value("peer") {
            peers.push(self.place(&peer)?);
        }
        Ok(move |w: &mut Writer<'_>| {
            for (code, value) in &list {
                w.attribute(*code, value);
            }
            for peer in peers {
                w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
            }
        })
    }

    /// An address: of a peer, of a name, or as it is written.
    fn place(&self, word: &str) -> Result<SocketAddr, Wrong> {
        let named = self.names.get(word).map(String::as_str).unwrap_or(word);
        let peer = self.peers.get(word).copied();
        peer.or_else(|| named.parse().ok()).ok_or_else(|| format!("unknown word `{word}`"))
    }

    fn peer_sends(&mut self, peer: SocketAddr, mut words: Words) -> Result<(), Wrong> {
        let body = words.text()?;
        let to = self.place(&words.value("to").ok_or("to= is missing")?)?;
        let out = self.world().peer(&peer.to_string(), to, &body);
        self.happened(out)?;
        words.end()
    }

    fn client_gets(&mut self, who: &str, mut words: Words) -> Result<(), Wrong> {
        let client = self.find(who)?;
        let mine = |out: &Out| matches!(out, Out::Client(path, _) if *path == client.path);
        let found = self.pending.iter().position(mine).map(|at| self.pending.remove(at));
        let what = words.must("a message")?;
        let bytes = match (what.as_str(), found) {
            ("nothing", None) => return words.end(),
            ("nothing", Some(out)) => return Err(format!("{out:?} has come")),
            (_, Some(Out::Client(_, bytes))) => bytes,
            (_, _) => return Err(format!("{what} has not come; but {:?}", self.pending)),
        };
        match what.as_str() {
            "ChannelData" => {
                let data = ChannelData::parse(&bytes).map_err(|error| format!("{error:?} has come"))?;
                same("the channel", &data.number, &words.channel()?)?;
                same("the data", &data.body, &words.text()?.as_slice())?;
            }
            "Data" => {
                let data = Answer { bytes };
                same("the data", &data.get(attribute::DATA), &Some(words.text()?))?;
                let from = self.place(&words.value("from").ok_or("from= is missing")?)?;
                same("the peer", &data.xor(attribute::XOR_PEER_ADDRESS), &vec![from])?;
            }
            "success" => self.success(&client, &Answer { bytes }, &mut words)?,
            "error" => {
                let (answer, code) = (Answer { bytes }, words.must("a code")?);
                same("the code", &answer.code().map(|c| c.to_string()), &Some(code))?;
                // As clients do, it takes the nonce that comes with the refusal.
                if let (Some(nonce), Some(client)) = (answer.get(attribute::NONCE), self.clients.get_mut(who)) {
                    client.nonce = nonce;
                }
            }
            other => return Err(format!("unknown word `{other}`")),
        }
        words.end()
    }

    /// A success response with all that is said of it.
    fn success(&mut self, client: &Client, answer: &Answer, words: &mut Words) -> Result<(), Wrong> {
        same("the code", &answer.code(), &None)?;
        same("integrity", &answer.is_protected_by_sha1(&client.key()), &true)?;
        let relayed = answer.xor(attribute::XOR_RELAYED_ADDRESS);
        for (word, family) in [("relayed", true), ("relayed6", false)] {
            let at = relayed.iter().find(|at| at.is_ipv4() == family).map(ToString::to_string);
            self.bind(words.value(word), at)?;
        }
        let token = answer.get(attribute::RESERVATION_TOKEN);
        self.bind(words.value("token"), token.map(|bytes| bytes.iter().map(|b| char::from(*b)).collect()))?;
        if let Some(lifetime) = words.number("lifetime")? {
            same("the lifetime", &answer.lifetime(), &Some(lifetime))?;
        }
        if let Some(count) = words.number("count")? {
            let value = answer.get(attribute::TRANSACTION_TRANSMIT_COUNTER);
            same("the count", &value, &Some(vec![0, 0, count as u8, 0]))?;
        }
        Ok(())
    }

    /// Binds a name to what came, or compares.
    fn bind(&mut self, name: Option<String>, value: Option<String>) -> Result<(), Wrong> {
        let Some(name) = name else { return Ok(()) };
        let value = value.ok_or_else(|| format!("there is nothing to call {name}"))?;
        let known = self.names.entry(name.clone()).or_insert_with(|| value.clone());
        same(&name, &value, known)
    }

    fn peer_gets(&mut self, peer: SocketAddr, mut words: Words) -> Result<(), Wrong> {
        let mine = |out: &Out| matches!(out, Out::Peer(_, to, ..) if *to == peer);
        let found = self.pending.iter().position(mine).map(|at| self.pending.remove(at));
        if words.flag("nothing") {
            same("what has come", &found, &None)?;
            return words.end();
        }
        let Some(Out::Peer(relay, _, body, _)) = found else { return Err("nothing has come".to_owned()) };
        same("the data", &body, &words.text()?)?;
        let from = self.place(&words.value("from").ok_or("from= is missing")?)?;
        same("the source", &self.world().sockets.get(&relay).copied(), &Some(from))?;
        words.end()
    }

    fn drop(&mut self, mut words: Words) -> Result<(), Wrong> {
        let reason = words.must("a reason")?;
        let found = self.pending.iter().position(|out| matches!(out, Out::Drop(why) if format!("{why:?}") == reason));
        let at = found.ok_or_else(|| format!("nothing was dropped for it; but {:?}", self.pending))?;
        self.pending.remove(at);
        words.end()
    }

    fn holds(&mut self, mut words: Words) -> Result<(), Wrong> {
        let world = self.world();
        let counts = [
            ("allocations", world.server.allocations()),
            ("sockets", world.sockets.len()),
            ("charges", world.ledger.total() as usize),
            ("reservations", world.deposits.len()),
            ("routes", world.routes.len()),
        ];
        for (what, count) in counts {
            if let Some(expected) = words.number(what)? {
                same(what, &count, &(expected as usize))?;
            }
        }
        words.end()
    }

    /// Everything was named, and an hour later nothing is left.
    fn curtain(mut self) -> Result<(), Wrong> {
        self.happened(Vec::new())?;
        let out = self.world().seconds(3_602);
        self.happened(out)?;
        self.happened(Vec::new())?;
        self.holds(Words(
            ["allocations=0", "sockets=0", "charges=0", "reservations=0", "routes=0"].map(Into::into).into(),
        ))
    }
}

/// What came is what was expected.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, came: &T, expected: &T) -> Result<(), Wrong> {
    if came == expected { Ok(()) } else { Err(format!("{what}: {came:?} came, not {expected:?}")) }
}

/// `name:secret`.
fn pair(text: &str) -> Result<(String, String), Wrong> {
    let (first, second) = text.split_once(':').ok_or_else(|| format!("`{text}` has no colon"))?;
    Ok((first.to_owned(), second.to_owned()))
}

/// The words of a line that nobody has taken yet. What is left at the end of a line is wrong.
struct Words(Vec<String>);

impl Words {
    /// Splits at spaces outside quotes; `#` begins a comment.
    fn split(line: &str) -> Result<Self, Wrong> {
        let (mut words, mut rest) = (Vec::new(), line.trim_start());
        while !rest.is_empty() && !rest.starts_with('#') {
            let end = match rest.strip_prefix('"') {
                Some(quoted) => 2 + quoted.find('"').ok_or("a quote is not closed")?,
                None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            };
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
        Ok(Self(words))
    }

    fn next(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    fn must(&mut self, what: &str) -> Result<String, Wrong> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// `301s` or `299.999s` at the front, in milliseconds.
    fn time(&mut self) -> Result<Option<u64>, Wrong> {
        let Some(word) = self.0.first().filter(|w| w.starts_with(|c: char| c.is_ascii_digit())) else {
            return Ok(None);
        };
        let seconds = word.strip_suffix('s').and_then(|s| s.parse::<f64>().ok());
        let seconds = seconds.ok_or_else(|| format!("`{word}` is no time"))?;
        self.next();
        Ok(Some((seconds * 1000.0).round() as u64))
    }

    fn address(&mut self) -> Result<SocketAddr, Wrong> {
        let word = self.must("an address")?;
        word.parse().map_err(|_| format!("`{word}` is no address"))
    }

    /// A channel number as the RFC writes it.
    fn channel(&mut self) -> Result<u16, Wrong> {
        let word = self.must("a channel")?;
        let number = word.strip_prefix("0x").and_then(|hex| u16::from_str_radix(hex, 16).ok());
        number.ok_or_else(|| format!("`{word}` is no channel"))
    }

    fn text(&mut self) -> Result<Vec<u8>, Wrong> {
        let word = self.must("a text")?;
        let text = word.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
        text.map(|t| t.as_bytes().to_vec()).ok_or_else(|| format!("`{word}` is no text"))
    }

    /// The value of the first `key=value`.
    fn value(&mut self, key: &str) -> Option<String> {
        let is = |word: &String| word.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
        let at = self.0.iter().position(is)?;
        Some(self.0.remove(at)[key.len() + 1..].to_owned())
    }

    fn number(&mut self, key: &str) -> Result<Option<u32>, Wrong> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| format!("`{value}` is no number"))
    }

    fn flag(&mut self, word: &str) -> bool {
        let at = self.0.iter().position(|w| w == word);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn end(self) -> Result<(), Wrong> {
        self.0.first().map_or(Ok(()), |word| Err(format!("unknown word `{word}`")))
    }
}

/// What does not belong in a scenario is told with file and line.
#[test]
fn mistakes_in_a_scenario_are_told_with_file_and_line() {
    let begin = "client alice udp 192.0.2.1:40000 user=alice:secret\npeer P 198.51.100.7:9\n";
    let mistakes = [
        ("0s alice > Alocate", "unknown word `Alocate`"),
        ("0s alice > Allocate lifetme=600", "unknown word `lifetme=600`"),
        ("0s bob > Allocate", "unknown word `bob`"),
        ("0s alice ? Allocate", "unknown word `alice`"),
        ("server volume=11", "the server is running"),
        ("0s P > \"hi\" to=R", "unknown word `R`"),
        ("0s P > \"hi to=P", "a quote is not closed"),
        ("soon alice > Allocate", "unknown word `soon`"),
        ("0x alice > Allocate", "`0x` is no time"),
        ("0s alice > ChannelBind 16384 peer=P", "`16384` is no channel"),
        ("0s alice > Refresh\nalice < succes", "unknown word `succes`"),
        ("0s alice > Refresh\nalice < success", "the code: Some(437) came, not None"),
        ("0s alice < success", "success has not come; but []"),
        ("0s alice > Refresh\nalice > Refresh", "nobody has expected [Client("),
        ("9s holds\n8s holds", "time does not go back"),
        ("holds cats=0", "unknown word `cats=0`"),
        ("drop Anchor", "nothing was dropped for it"),
    ];
    for (line, told) in mistakes {
        let number = 2 + line.lines().count();
        let wrong = run("bad.turn", &format!("{begin}{line}\n")).unwrap_err();
        assert!(wrong.starts_with(&format!("bad.turn:{number}: {told}")), "{wrong}");
    }
    let wrong = run("bad.turn", &format!("{begin}0s alice > Refresh\n")).unwrap_err();
    assert!(wrong.starts_with("bad.turn: at the end: nobody has expected"), "{wrong}");
    assert_eq!(run("bad.turn", "server volume=11"), Err("bad.turn:1: unknown word `volume=11`".to_owned()));
}
