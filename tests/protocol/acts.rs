//! More ways to act in the world of the harness, in the words of RFC 8656.

use crate::harness::*;
use hairpin::turn::limits::Ledger;
use hairpin::turn::{Claim, Event, Options, Server};
use hairpin::wire::address::Family;
use hairpin::wire::{Class, Method, Writer, attribute};
use std::net::SocketAddr;
use std::time::Duration;

/// A second client address, and a third.
pub const BOB: &str = "192.0.2.2:41000";
pub const CAROL: &str = "192.0.2.3:42000";
/// A client and a peer with IPv6 addresses.
pub const ALICE6: &str = "[2001:db8::1]:40000";
pub const PEER6: &str = "[2001:db8::9]:5000";
/// REQUESTED-TRANSPORT: UDP.
pub const UDP: [u8; 4] = [17, 0, 0, 0];

/// A world whose nonces last for ever, for tests that are about other times.
pub fn patient() -> World {
    patient_with(|_| {})
}

/// The same with other options.
pub fn patient_with(change: impl FnOnce(&mut Options)) -> World {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    change(&mut build.options);
    build.build()
}

impl World {
    /// Nothing is left of any allocation: no socket, place, reservation, charge or route.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.server.allocations(), 0, "allocations");
        assert_eq!(self.server.relays(), 0, "places of relay sockets");
        assert!(self.sockets.is_empty(), "relay sockets: {:?}", self.sockets);
        assert!(self.deposits.is_empty(), "reservations: {:?}", self.deposits);
        assert!(self.connections.is_empty(), "connections to peers: {:?}", self.connections);
        assert!(self.claims.is_empty(), "claims: {:?}", self.claims);
        assert!(self.routes.is_empty(), "routes: {:?}", self.routes);
        assert!(self.permissions.is_empty(), "permissions of a fast path: {:?}", self.permissions);
        assert_eq!(self.ledger.total(), 0, "charges");
    }

    /// Exactly so many allocations, each charged, with so many relay sockets.
    #[track_caller]
    pub fn assert_holds(&self, allocations: usize, sockets: usize) {
        assert_eq!(self.server.allocations(), allocations, "allocations");
        assert_eq!(self.ledger.total() as usize, allocations, "charges");
        assert_eq!(self.sockets.len(), sockets, "relay sockets: {:?}", self.sockets);
        assert_eq!(self.server.relays(), sockets, "places of relay sockets");
    }

    /// Bob on his usual address, logged in.
    pub fn bob(&mut self) -> Client {
        self.login(udp(BOB), "bob", "hunter2")
    }

    /// A message without credentials.
    pub fn bare(&mut self, method: Method, class: Class, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let (id, mut out) = (self.transaction(), Vec::new());
        fill(&mut Writer::new(&mut out, method, class, &id));
        out
    }

    /// The process is replaced by another one with the same configuration; clients notice nothing yet.
    pub fn restart(&mut self) {
        self.server = Server::new(self.setup.clone(), [4; 32], self.now);
        self.ledger = Ledger::new(self.setup.options.quotas);
        (self.sockets, self.deposits, self.routes, self.permissions) = Default::default();
        (self.claims, self.connections, self.bound) = Default::default();
    }

    /// Another worker takes over the one allocation, whose client is at this 5-tuple.
    pub fn migrate(&mut self, path: &hairpin::turn::Path) {
        let migrant = self.server.extract(path).expect("an allocation whose client is here");
        self.event(Event::Closed { path: *path });
        assert!(self.routes.is_empty() && self.permissions.is_empty(), "nothing leads to the worker that it left");
        let places: Vec<_> = migrant.relays().map(|relay| self.sockets.remove(&relay).unwrap()).collect();
        assert_eq!((self.server.allocations(), self.server.relays()), (0, 0));
        assert!(self.claims.remove(&Claim::Ticket(migrant.serial().unwrap())));
        self.server = Server::new(self.setup.clone(), [5; 32], self.now);
        let relays = self.server.adopt(self.now.time, migrant);
        self.sockets.extend(relays.into_iter().zip(places));
        self.event(Event::Closed { path: udp("192.0.2.250:9") });
    }

    /// The connection of a stream client ends.
    pub fn close(&mut self, client: &Client) -> Vec<Out> {
        self.event(Event::Closed { path: client.path })
    }
}

impl Client {
    /// Allocate over UDP, with more attributes.
    pub fn allocate(&self, world: &mut World, fill: impl FnOnce(&mut Writer<'_>)) -> Answer {
        self.request(world, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
            fill(w);
        })
    }

    /// An IPv4 and an IPv6 relayed address.
    pub fn allocate_dual(&self, world: &mut World) -> (SocketAddr, SocketAddr) {
        let answer = self.allocate(world, |w| family_is(w, attribute::ADDITIONAL_ADDRESS_FAMILY, Family::V6));
        let relayed = answer.xor(attribute::XOR_RELAYED_ADDRESS);
        assert_eq!(relayed.len(), 2, "both families");
        (relayed[0], relayed[1])
    }

    /// An even port whose successor is reserved; the address and the token.
    pub fn allocate_pair(&self, world: &mut World) -> (SocketAddr, Vec<u8>) {
        let answer = self.allocate(world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0x80]));
        assert_eq!(answer.code(), None, "a pair is to be had");
        (answer.relayed(), answer.get(attribute::RESERVATION_TOKEN).unwrap())
    }

    /// Allocate with a token.
    pub fn redeem(&self, world: &mut World, token: &[u8]) -> Answer {
        self.allocate(world, |w| _ = w.attribute(attribute::RESERVATION_TOKEN, token))
    }

    /// Refresh of one family.
    pub fn refresh_family(&self, world: &mut World, family: Family, lifetime: u32) -> Answer {
        self.request(world, Method::REFRESH, |w| {
            w.number(attribute::LIFETIME, lifetime);
            family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, family);
        })
    }

    /// The same user on another path; it logs in there.
    pub fn at(&self, world: &mut World, path: hairpin::turn::Path) -> Self {
        world.login(path, &self.user, &self.password)
    }

    /// A Send indication with these attributes.
    pub fn indicate(&self, world: &mut World, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<Out> {
        let packet = world.bare(Method::SEND, Class::Indication, fill);
        world.client(self.path, &packet)
    }

    /// The answer is an error with this code, and proves that the server knows the key.
    #[track_caller]
    pub fn assert_refused(&self, answer: &Answer, code: u16) {
        assert_eq!(answer.code(), Some(code));
        assert!(answer.is_protected_by_sha1(&self.key()), "an error after authentication has integrity");
        for absent in [attribute::REALM, attribute::NONCE, attribute::USERNAME] {
            assert_eq!(answer.get(absent), None, "attribute {absent:#06x}");
        }
    }

    /// The answer is a success, and proves that the server knows the key.
    #[track_caller]
    pub fn assert_granted(&self, answer: &Answer) {
        assert_eq!(answer.code(), None);
        assert!(answer.is_protected_by_sha1(&self.key()), "a success has integrity");
    }
}

impl Answer {
    /// The only XOR-RELAYED-ADDRESS.
    #[track_caller]
    pub fn relayed(&self) -> SocketAddr {
        let relayed = self.xor(attribute::XOR_RELAYED_ADDRESS);
        assert_eq!(relayed.len(), 1, "one relayed address");
        relayed[0]
    }

    /// The codes of all attributes before the first integrity attribute, in order.
    pub fn codes(&self) -> Vec<u16> {
        self.message().attributes().map(|(code, _)| code).collect()
    }
}

/// Appends an attribute that names a family.
pub fn family_is(writer: &mut Writer<'_>, code: u16, family: Family) {
    writer.attribute(code, &[family as u8, 0, 0, 0]);
}

/// The one Data indication among these outputs: from whom, and what.
#[track_caller]
pub fn data(out: &[Out]) -> (SocketAddr, Vec<u8>) {
    let answer = Answer { bytes: to_client(out).to_vec() };
    let message = answer.message();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(answer.codes(), [attribute::XOR_PEER_ADDRESS, attribute::DATA]);
    assert!(answer.is_bare(), "an indication has no integrity");
    (answer.xor(attribute::XOR_PEER_ADDRESS)[0], answer.get(attribute::DATA).unwrap())
}

/// The one Data indication about ICMP among these outputs: about whom, and the value.
#[track_caller]
pub fn icmp_data(out: &[Out]) -> (SocketAddr, Vec<u8>) {
    let answer = Answer { bytes: to_client(out).to_vec() };
    let message = answer.message();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(answer.codes(), [attribute::XOR_PEER_ADDRESS, attribute::ICMP]);
    (answer.xor(attribute::XOR_PEER_ADDRESS)[0], answer.get(attribute::ICMP).unwrap())
}

/// The one payload to a peer carries this DF.
#[track_caller]
pub fn forbids_fragments(out: &[Out]) -> bool {
    match out {
        [Out::Peer(_, _, _, dont_fragment)] => *dont_fragment,
        other => panic!("one payload to a peer, not {other:?}"),
    }
}

/// The default world with another seed for ports and tokens.
pub fn seeded(seed: u8) -> World {
    let mut world = patient();
    world.server = Server::new(world.setup.clone(), [seed; 32], world.now);
    world
}
