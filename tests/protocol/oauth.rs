//! Third-party authorisation with self-contained tokens (RFC 7635).

use crate::acts::*;
use crate::harness::*;
use hairpin::auth::token::{Cipher, Content, Tokens, seal};
use hairpin::turn::Reason;
use hairpin::turn::limits::Quotas;
use hairpin::wire::{Class, Method, Writer, attribute, integrity};
use sha1::{Digest, Sha1};
use std::time::Duration;

/// The wall clock of a new world.
const NOW: u64 = 1_700_000_000;
/// The name of the server of [`Tokens`].
const NAME: &str = "turn.example.org";
/// The key of "north", and that of "south".
const NORTH: [u8; 32] = [0x4E; 32];
const SOUTH: [u8; 32] = [0x53; 32];
/// The key of "west", in worlds that have it.
const WEST: [u8; 32] = [0x57; 32];
/// A session key, and the one of a second token.
const FIRST: [u8; 20] = [1; 20];
const SECOND: [u8; 20] = [2; 20];

/// A world that takes tokens of "north" (AES-256) and "south" (AES-128).
fn open_world() -> World {
    build().build()
}

fn build() -> Build {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    build.options.mobility = true;
    let mut tokens = Tokens::new(NAME);
    tokens.add("north", Cipher::A256Gcm, &NORTH, None).unwrap();
    tokens.add("south", Cipher::A128Gcm, &SOUTH, Some(NOW + 100)).unwrap();
    build.credentials.accept_tokens(tokens);
    build
}

/// A token of "north", issued now.
fn token(session_key: &[u8], lifetime: u32) -> Vec<u8> {
    issued(session_key, NOW, lifetime)
}

/// A token of "north".
fn issued(session_key: &[u8], at: u64, lifetime: u32) -> Vec<u8> {
    let content = Content { session_key, issued: at << 16, lifetime };
    seal(Cipher::A256Gcm, &NORTH, NAME, [9; 12], content).unwrap()
}

/// A client that holds a token.
struct Holder {
    client: Client,
    kid: &'static str,
    key: Vec<u8>,
    /// D-14: the realm may be left out.
    realm: bool,
}

impl Holder {
    fn new(world: &mut World, at: &str, key: &[u8]) -> Self {
        let client = world.login(udp(at), "", "");
        Self { client, kid: "north", key: key.to_vec(), realm: true }
    }

    /// A request signed with the session key, with or without a token.
    fn ask(
        &self,
        world: &mut World,
        method: Method,
        token: Option<&[u8]>,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer {
        let request = world.bare(method, Class::Request, |w| {
            fill(w);
            w.attribute(attribute::USERNAME, self.kid.as_bytes());
            if self.realm {
                w.attribute(attribute::REALM, REALM.as_bytes());
            }
            w.attribute(attribute::NONCE, &self.client.nonce);
            if let Some(token) = token {
                w.attribute(attribute::ACCESS_TOKEN, token);
            }
            w.sha1(&self.key);
        });
        world.ask(self.client.path, &request)
    }

    fn allocate(&self, world: &mut World, token: &[u8], lifetime: u32) -> Answer {
        self.ask(world, Method::ALLOCATE, Some(token), |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).number(attribute::LIFETIME, lifetime);
        })
    }

    fn refresh(&self, world: &mut World, token: Option<&[u8]>, lifetime: u32) -> Answer {
        self.ask(world, Method::REFRESH, token, |w| _ = w.number(attribute::LIFETIME, lifetime))
    }

    fn permit(&self, world: &mut World) -> Answer {
        self.ask(world, Method::CREATE_PERMISSION, None, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
        })
    }
}

/// The answer carries MESSAGE-INTEGRITY of this key.
#[track_caller]
fn assert_signed(answer: &Answer, key: &[u8]) {
    let message = answer.message();
    let (at, value) = message.sha1().expect("MESSAGE-INTEGRITY");
    assert!(integrity::check_sha1(message.bytes(), at, value, key));
}

/// The token is refused as wrong credentials are, and nothing is left of it.
#[track_caller]
fn assert_refused(world: &mut World, holder: &Holder, token: &[u8]) {
    let answer = holder.allocate(world, token, 600);
    assert_eq!(answer.code(), Some(401));
    assert!(answer.is_bare());
    world.assert_empty();
}

/// OAUTH-001.
#[test]
fn a_challenge_names_the_server_to_authorisation_servers() {
    let mut world = open_world();
    let bare = world.bare(Method::ALLOCATE, Class::Request, |w| _ = w.attribute(attribute::REQUESTED_TRANSPORT, &UDP));
    let answer = world.ask(udp(ALICE), &bare);
    assert_eq!(answer.code(), Some(401));
    assert_eq!(answer.get(attribute::THIRD_PARTY_AUTHORIZATION).as_deref(), Some(NAME.as_bytes()));
    assert_eq!(answer.get(attribute::REALM).as_deref(), Some(REALM.as_bytes()));
    assert!(answer.get(attribute::NONCE).is_some());
    let answer = world_with(|_| {}).ask(udp(ALICE), &bare);
    assert_eq!(answer.get(attribute::THIRD_PARTY_AUTHORIZATION), None);
}

/// OAUTH-002, OAUTH-011: the session key signs as it is, with the realm named or not.
#[test]
fn a_token_is_as_good_as_a_password() {
    for realm in [true, false] {
        let mut world = open_world();
        let holder = Holder { realm, ..Holder::new(&mut world, ALICE, &FIRST) };
        let answer = holder.allocate(&mut world, &token(&FIRST, 3600), 1200);
        assert_eq!((answer.code(), answer.lifetime()), (None, Some(1200)));
        assert_signed(&answer, &FIRST);
        world.assert_holds(1, 1);
        assert_eq!(holder.permit(&mut world).code(), None);
    }
}

/// Later requests need not show the token or name the realm. A nonce of somebody else's is as stale as an old one, if
/// the session's key signed it.
#[test]
fn a_session_is_told_of_a_foreign_nonce() {
    for realm in [true, false] {
        let mut world = open_world();
        let mut holder = Holder { realm, ..Holder::new(&mut world, ALICE, &FIRST) };
        assert_eq!(holder.allocate(&mut world, &token(&FIRST, 3600), 1200).code(), None);
        let good = std::mem::replace(&mut holder.client.nonce, vec![b'x'; 40]);
        let answer = holder.permit(&mut world);
        assert_eq!(answer.code(), Some(438));
        assert!(answer.get(attribute::NONCE).is_some());
        holder.client.nonce = good;
        assert_eq!(holder.permit(&mut world).code(), None);
    }
}

/// OAUTH-003, SEC-28: whatever bit is changed, and wherever it is cut.
#[test]
fn a_token_with_any_bit_changed_is_refused() {
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let good = token(&FIRST, 3600);
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_refused(&mut world, &holder, &changed);
    }
    for len in 0..good.len() {
        assert_refused(&mut world, &holder, &good[..len]);
    }
    for more in [1, 4, 400] {
        assert_refused(&mut world, &holder, &[&good[..], &vec![0; more]].concat());
    }
    let stranger = Holder { kid: "west", ..Holder::new(&mut world, ALICE, &FIRST) };
    assert_refused(&mut world, &stranger, &good);
    assert_eq!(holder.allocate(&mut world, &good, 600).code(), None);
}

/// OAUTH-004.
#[test]
fn a_token_for_another_server_is_refused() {
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let content = Content { session_key: &FIRST, issued: NOW << 16, lifetime: 3600 };
    let elsewhere = seal(Cipher::A256Gcm, &NORTH, "turn.example.com", [9; 12], content).unwrap();
    assert_refused(&mut world, &holder, &elsewhere);
}

/// OAUTH-005, SEC-28: within five seconds, and never by a time that wraps.
#[test]
fn a_token_is_good_in_its_time() {
    for (at, lifetime, good) in [
        (NOW - 104, 100, true),
        (NOW - 105, 100, false),
        (NOW + 104, 100, true),
        (NOW + 105, 100, false),
        (0, 3600, false),
        ((1 << 48) - 1, u32::MAX, false),
        (NOW - 1_000_000, 3600, false),
        (NOW, 0, true),
    ] {
        let mut world = open_world();
        let holder = Holder::new(&mut world, ALICE, &FIRST);
        let answer = holder.allocate(&mut world, &issued(&FIRST, at, lifetime), 600);
        assert_eq!(answer.code(), (!good).then_some(401), "{at} {lifetime}");
    }
    // 64,000 parts make a second: 105 seconds ago and a little more is 104 seconds ago and no more.
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let content = Content { session_key: &FIRST, issued: (NOW - 105) << 16 | 64_000, lifetime: 100 };
    let token = seal(Cipher::A256Gcm, &NORTH, NAME, [9; 12], content).unwrap();
    assert_eq!(holder.allocate(&mut world, &token, 600).code(), None);
}

/// OAUTH-006: the token alone proves nothing.
#[test]
fn a_token_without_its_session_key_is_refused() {
    let mut world = open_world();
    let thief = Holder::new(&mut world, ALICE, &SECOND);
    assert_refused(&mut world, &thief, &token(&FIRST, 3600));
}

/// OAUTH-007.
#[test]
fn a_server_that_takes_no_tokens_says_so() {
    let mut world = patient();
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::ACCESS_TOKEN, &token(&FIRST, 3600)));
    alice.assert_refused(&answer, 420);
    assert_eq!(answer.get(attribute::UNKNOWN_ATTRIBUTES), Some(vec![0, 0x1B]));
}

/// OAUTH-008: to Allocate and to Refresh, and then it ends.
#[test]
fn an_allocation_ends_with_its_token() {
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let answer = holder.allocate(&mut world, &token(&FIRST, 100), 3600);
    assert_eq!(answer.lifetime(), Some(105));
    world.seconds(50);
    for refreshed in
        [holder.refresh(&mut world, None, 3600), holder.refresh(&mut world, Some(&token(&FIRST, 100)), 3600)]
    {
        assert_eq!((refreshed.code(), refreshed.lifetime()), (None, Some(55)));
    }
    world.seconds(54);
    assert_eq!(holder.permit(&mut world).code(), None);
    world.seconds(2);
    world.assert_empty();
    assert_eq!(dropped(&holder.client.send(&mut world, PEER, b"late")), Reason::NoAllocation);
    assert_eq!(holder.refresh(&mut world, None, 600).code(), Some(401));
}

/// OAUTH-009.
#[test]
fn later_requests_need_the_session_key_and_not_the_token() {
    let mut world = open_world();
    let holder = Holder { realm: false, ..Holder::new(&mut world, ALICE, &FIRST) };
    holder.allocate(&mut world, &token(&FIRST, 3600), 600);
    let answer = holder.permit(&mut world);
    assert_eq!(answer.code(), None);
    assert_signed(&answer, &FIRST);
    let bound = holder.ask(&mut world, Method::CHANNEL_BIND, None, |w| {
        w.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]).xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
    });
    assert_eq!(bound.code(), None);
    assert_eq!(to_peer(&holder.client.channel_data(&mut world, 0x4000, b"up")).1, b"up");
    let thief = Holder { key: SECOND.to_vec(), realm: true, ..Holder::new(&mut world, ALICE, &SECOND) };
    assert_eq!(thief.permit(&mut world).code(), Some(401));
}

/// OAUTH-010, OAUTH-015: even of another key of the authorisation server.
#[test]
fn a_new_token_renews_the_allocation() {
    let mut world = open_world();
    let holder = Holder { kid: "south", ..Holder::new(&mut world, ALICE, &FIRST) };
    let content = Content { session_key: &FIRST, issued: NOW << 16, lifetime: 300 };
    let old = seal(Cipher::A128Gcm, &SOUTH, NAME, [9; 12], content).unwrap();
    assert_eq!(holder.allocate(&mut world, &old, 600).code(), None);
    world.seconds(200);
    // The key has ended, so its tokens open nothing new; what they opened lives as long as they do.
    assert_eq!(holder.permit(&mut world).code(), None);
    assert_eq!(holder.refresh(&mut world, Some(&old), 600).code(), Some(401));
    let renewed = Holder { key: SECOND.to_vec(), kid: "north", ..Holder::new(&mut world, ALICE, &SECOND) };
    let new = issued(&SECOND, NOW + 200, 3600);
    let answer = renewed.refresh(&mut world, Some(&new), 900);
    assert_eq!((answer.code(), answer.lifetime()), (None, Some(900)));
    assert_signed(&answer, &SECOND);
    assert_eq!(renewed.permit(&mut world).code(), None);
    assert_eq!(holder.permit(&mut world).code(), Some(401));
    world.seconds(800);
    assert_eq!(renewed.refresh(&mut world, None, 0).code(), None);
    world.assert_empty();
}

/// OAUTH-010: keys of one authorisation server renew each other's tokens; another's are none for the allocation.
#[test]
fn a_token_of_another_authorisation_server_is_somebody_elses() {
    for (groups, code) in [(["one", "one"], None), (["one", "other"], Some(441)), (["", "other"], Some(441))] {
        let mut build = build();
        let mut tokens = Tokens::new(NAME);
        for ((kid, key), group) in [("north", &NORTH[..]), ("west", &WEST)].into_iter().zip(groups) {
            tokens.add(kid, Cipher::A256Gcm, key, None).unwrap();
            tokens.assign(kid, group);
        }
        build.credentials.accept_tokens(tokens);
        let mut world = build.build();
        let holder = Holder::new(&mut world, ALICE, &FIRST);
        assert_eq!(holder.allocate(&mut world, &token(&FIRST, 900), 600).code(), None);
        let other = Holder { kid: "west", ..Holder::new(&mut world, ALICE, &SECOND) };
        let content = Content { session_key: &SECOND, issued: NOW << 16, lifetime: 900 };
        let shown = seal(Cipher::A256Gcm, &WEST, NAME, [9; 12], content).unwrap();
        assert_eq!(other.refresh(&mut world, Some(&shown), 600).code(), code, "{groups:?}");
        assert_eq!(holder.permit(&mut world).code(), code.map_or(Some(401), |_| None), "whose session it is now");
    }
}

/// MICE-007, OAUTH-010: the allocation follows whoever shows the ticket and holds the token, and nobody else who holds one.
#[test]
fn an_allocation_follows_the_holder_of_its_token() {
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let answer = holder.ask(&mut world, Method::ALLOCATE, Some(&token(&FIRST, 900)), |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::MOBILITY_TICKET, &[]);
    });
    let ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    let show = |holder: &Holder, world: &mut World, token: Option<&[u8]>| {
        holder.ask(world, Method::REFRESH, token, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket))
    };
    let thief = Holder::new(&mut world, "192.0.2.66:4000", &SECOND);
    assert_eq!(show(&thief, &mut world, Some(&token(&SECOND, 900))).code(), Some(441));
    let moved = Holder::new(&mut world, "192.0.2.77:4000", &FIRST);
    assert_eq!(show(&moved, &mut world, None).code(), Some(401), "the token comes along");
    let answer = show(&moved, &mut world, Some(&token(&FIRST, 300)));
    assert_eq!(
        (answer.code(), answer.lifetime()),
        (None, Some(305)),
        "it lasts no longer than the token and the slack of clocks"
    );
    assert_eq!(moved.permit(&mut world).code(), None);
    world.seconds(306);
    world.assert_empty();
}

/// OAUTH-012: 32 bytes are for SHA-256, and for SHA-1 what SHA-1 makes of them; other lengths are none.
#[test]
fn session_keys_have_one_of_two_lengths() {
    let long = [7; 32];
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &Sha1::digest(long));
    let answer = holder.allocate(&mut world, &token(&long, 3600), 600);
    assert_eq!(answer.code(), None);
    assert_signed(&answer, &Sha1::digest(long));
    let request = world.bare(Method::REFRESH, Class::Request, |w| {
        w.attribute(attribute::USERNAME, b"north").attribute(attribute::NONCE, &holder.client.nonce).sha256(&long);
    });
    let answer = world.ask(udp(ALICE), &request);
    assert_eq!(answer.code(), None);
    assert!(answer.message().sha256().is_some());
    for len in [0, 1, 16, 19, 21, 31] {
        let mut world = open_world();
        let holder = Holder::new(&mut world, ALICE, &vec![7; len]);
        assert_refused(&mut world, &holder, &token(&vec![7; len], 3600));
    }
}

/// OAUTH-002: clients of coturn's sign with the first 16 bytes; nobody signs with fewer.
#[test]
fn clients_that_cut_the_session_key_are_served() {
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST[..16]);
    let answer = holder.allocate(&mut world, &token(&FIRST, 3600), 600);
    assert_eq!(answer.code(), None);
    assert_signed(&answer, &FIRST[..16]);
    assert_eq!(holder.permit(&mut world).code(), None);
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST[..15]);
    assert_refused(&mut world, &holder, &token(&FIRST, 3600));
}

/// OAUTH-013: a token is bytes, not text.
#[test]
fn a_token_in_base64_is_none() {
    use base64::Engine;
    let mut world = open_world();
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    let text = base64::engine::general_purpose::STANDARD.encode(token(&FIRST, 3600));
    assert_refused(&mut world, &holder, text.as_bytes());
}

/// OAUTH-014: neither sort of client can touch what the other has made, even by the name of its key.
#[test]
fn passwords_work_beside_tokens() {
    let mut build = build();
    build.credentials.add_user("north", &hairpin::auth::Secret::Password("x".to_owned())).unwrap();
    let mut world = build.build();
    let user = world.login(udp(ALICE), "north", "x");
    world.allocate(&user);
    let holder = Holder::new(&mut world, ALICE, &FIRST);
    assert_eq!(holder.refresh(&mut world, Some(&token(&FIRST, 3600)), 0).code(), Some(441));
    let holder = Holder::new(&mut world, BOB, &FIRST);
    assert_eq!(holder.allocate(&mut world, &token(&FIRST, 3600), 600).code(), None);
    let user = user.at(&mut world, udp(BOB));
    user.assert_refused(&user.refresh(&mut world, Some(0)), 441);
    world.assert_holds(2, 2);
}

/// OAUTH-009: the quota is the token's, as a token names nobody.
#[test]
fn each_token_is_a_user_to_the_quota() {
    let mut build = build();
    build.options.quotas = Quotas { user: 1, ..Quotas::default() };
    let mut world = build.build();
    for (at, key, code) in [(ALICE, FIRST, None), (BOB, SECOND, None), (CAROL, FIRST, Some(486))] {
        let holder = Holder::new(&mut world, at, &key);
        assert_eq!(holder.allocate(&mut world, &token(&key, 3600), 600).code(), code);
    }
}
