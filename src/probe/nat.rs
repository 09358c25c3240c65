//! `hairpin nat`: what a NAT on the way to a server does (RFC 5780), and what that means for calls.
//!
//! Each step is told as soon as it is known. What a server tells wrongly is told too, because everything that is
//! concluded from it would be wrong.

mod client;
mod lifetime;

use super::client::transaction;
use super::fault::Fault;
use crate::client::target::any;
use client::{Answer, CHANGE_ADDRESS, CHANGE_PORT, Client, TRIES};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// How long hairpinned packets and answers to a request are waited for, all tries together, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Which server is asked, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Only this family.
    pub v6: Option<bool>,
    /// How long all tries of one request take.
    pub timeout: Duration,
    /// Up to which time it is tried how long a binding lasts; without it, it is not.
    pub lifetime: Option<Duration>,
    /// The result is printed as JSON.
    pub json: bool,
}

/// What a step found out.
struct Found {
    /// A name that programs can rely on.
    kind: &'static str,
    /// What it means, for a person.
    text: String,
    /// The times between which it lies, if it is a time.
    between: Option<(Duration, Duration)>,
}

/// Found out, or why not.
type Outcome = Result<Found, Fault>;

impl Found {
    /// A step's result.
    fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), between: None }
    }
}

/// What has been told so far.
struct Study<'a> {
    options: &'a Options,
    server: SocketAddr,
    steps: Vec<(&'static str, Outcome)>,
}

/// Finds out and prints each result as it comes; true if everything could be told.
///
/// # Errors
/// Why nothing can be asked, for a person.
pub fn run(options: &Options) -> Result<bool, String> {
    let mut study = Study { options, server: server(options)?, steps: Vec::new() };
    study.all();
    if options.json {
        println!("{:#}", study.document());
    }
    Ok(study.works())
}

impl Study<'_> {
    /// Goes through the steps as far as they can be taken.
    fn all(&mut self) {
        let first = Client::open(self.server, self.options.timeout).and_then(|client| {
            let first = client.must_ask(self.server, 0)?;
            Ok((client, first))
        });
        match first {
            Ok((client, first)) => self.behind(&client, &first),
            Err(Fault::Silent) => self.tell("address", Err(Fault::NoUdp(self.server))),
            Err(fault) => self.tell("address", Err(fault)),
        }
    }

    /// Takes the steps that follow a first answer.
    fn behind(&mut self, client: &Client, first: &Answer) {
        self.tell("address", Ok(self.address(first)));
        if let Err(fault) = first.is_from(self.server) {
            self.tell("server", Err(fault));
        }
        let timeout = self.options.timeout;
        match first.other(self.server) {
            Ok(other) => {
                self.tell("mapping", mapping(client, self.server, other, first.mapped));
                self.tell("filtering", filtering(self.server, other, timeout));
            }
            Err(fault) => self.tell("mapping", Err(fault)),
        }
        self.tell("hairpinning", hairpinning(client, self.server, first.mapped));
        if let Some(longest) = self.options.lifetime {
            self.tell("lifetime", lifetime::find(self.server, timeout, longest));
        }
    }

    /// Who this side is to others.
    fn address(&self, first: &Answer) -> Found {
        match local(self.server).is_ok_and(|ip| first.mapped.ip() == ip) {
            true => Found::new("direct", format!("seen as {}: no NAT", first.mapped)),
            false => Found::new("nat", format!("seen as {}: behind a NAT", first.mapped)),
        }
    }

    /// Notes a step, and prints it for people.
    fn tell(&mut self, step: &'static str, outcome: Outcome) {
        if !self.options.json {
            match &outcome {
                Ok(found) => println!("{step:<12} {}", found.text),
                Err(fault) => println!("{step:<12} cannot be told: {fault}\n{:13}{}", "", fault.remedy()),
            }
        }
        self.steps.push((step, outcome));
    }

    /// Everything could be told.
    fn works(&self) -> bool {
        self.steps.iter().all(|(_, outcome)| outcome.is_ok())
    }

    /// The same for programs.
    fn document(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(|(step, outcome)| document(step, outcome)).collect();
        json!({ "server": self.server.to_string(), "works": self.works(), "steps": steps })
    }
}

/// A step for programs.
fn document(step: &str, outcome: &Outcome) -> Value {
    match outcome {
        Ok(Found { kind, text, between }) => {
            let mut document = json!({ "step": step, "works": true, "kind": kind, "text": text });
            if let Some((low, high)) = between {
                document["seconds"] = json!({ "low": low.as_secs_f64(), "high": high.as_secs_f64() });
            }
            document
        }
        Err(fault) => {
            let (text, remedy) = (fault.to_string(), fault.remedy());
            json!({ "step": step, "works": false, "fault": fault.name(), "text": text, "remedy": remedy })
        }
    }
}

/// The address of the server.
fn server(options: &Options) -> Result<SocketAddr, String> {
    let found = (options.host.as_str(), options.port).to_socket_addrs().map_err(|error| error.to_string());
    let mut found = found.map_err(|error| format!("{}: {error}", options.host))?;
    let fits = |addr: &SocketAddr| options.v6.is_none_or(|v6| addr.is_ipv6() == v6);
    found.find(fits).ok_or_else(|| format!("{} has no address of this family", options.host))
}

/// The own address on the way to the server.
fn local(server: SocketAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((any(server), 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// RFC 5780 §4.3: whether one socket is seen as one address from everywhere.
fn mapping(client: &Client, server: SocketAddr, other: SocketAddr, first: SocketAddr) -> Outcome {
    let at = |to| client.ask(to, 0)?.ok_or(Fault::OtherSilent(to));
    let second = at(SocketAddr::new(other.ip(), server.port()))?;
    if second.mapped == first {
        return Ok(Found::new(
            "endpoint-independent",
            "endpoint-independent: others can be told where to send, so direct calls usually work",
        ));
    }
    Ok(if at(other)?.mapped == second.mapped {
        Found::new(
            "address-dependent",
            "address-dependent: every host sees another address, so many direct calls fail and need a relay",
        )
    } else {
        Found::new(
            "address-and-port-dependent",
            "address- and port-dependent: everybody sees another address, so many direct calls fail and need a relay",
        )
    })
}

/// RFC 5780 §4.4: who may answer a socket that has sent to the server alone.
fn filtering(server: SocketAddr, other: SocketAddr, timeout: Duration) -> Outcome {
    let client = Client::open(server, timeout)?;
    client.must_ask(server, 0)?;
    if let Some(answer) = client.ask(server, CHANGE_ADDRESS | CHANGE_PORT)? {
        answer.is_from(other)?;
        return Ok(Found::new(
            "endpoint-independent",
            "endpoint-independent: anybody may send here once this side has sent to somebody",
        ));
    }
    if let Some(answer) = client.ask(server, CHANGE_PORT)? {
        answer.is_from(SocketAddr::new(server.ip(), other.port()))?;
        return Ok(Found::new(
            "address-dependent",
            "address-dependent: only hosts to which this side has sent may send here; usual, and no harm to calls",
        ));
    }
    Ok(Found::new(
        "address-and-port-dependent",
        "address- and port-dependent: only whom this side has sent to may send here; usual, and seldom harmful to calls",
    ))
}

/// RFC 5780 §4.5 (hairpinning): whether two clients behind this NAT reach each other by their outer addresses.
fn hairpinning(client: &Client, server: SocketAddr, mapped: SocketAddr) -> Outcome {
    let (sender, payload) = (Client::open(server, client.timeout)?, transaction()?);
    for _ in 0..TRIES {
        // No way there is as good an answer as silence.
        let _ = sender.socket.send_to(&payload, mapped);
        if client.receive(|bytes, _| (bytes == payload).then_some(()))?.is_some() {
            return Ok(Found::new(
                "yes",
                "yes: two callers behind this NAT reach each other by their public addresses",
            ));
        }
    }
    Ok(Found::new("no", "no: two callers behind this NAT reach each other by private addresses or a relay alone"))
}
