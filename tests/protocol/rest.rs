//! Time-limited credentials, as allocations meet them.

use crate::acts::*;
use crate::harness::*;
use hairpin::auth::rest::{Hash, Rules, mint, password};
use hairpin::turn::Reason;
use hairpin::turn::limits::Quotas;
use hairpin::wire::{Class, Method, attribute};
use md5::{Digest, Md5};
use std::time::Duration;

/// The wall clock of a new world.
const NOW: u64 = 1_700_000_000;

/// Somebody to whom the service gave this name and password; the nonce is known.
fn holder(world: &mut World, at: &str, user: &str, password: &str) -> Client {
    world.login(udp(at), user, password)
}

/// The holder of a name that the secret "north" makes good for so many seconds.
fn issued(world: &mut World, at: &str, id: &str, seconds: u64) -> Client {
    let (user, password) = mint("north", id, world.now.wall + seconds, ':');
    holder(world, at, &user, &password)
}

/// A world in which time-limited names are read by other rules.
fn ruled(rules: Rules) -> World {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    build.credentials.rest(rules);
    build.build()
}

/// A request of this client is not believed.
#[track_caller]
fn assert_unknown(client: &Client, world: &mut World) {
    let answer = client.allocate(world, |_| {});
    assert_eq!(answer.code(), Some(401), "{}", client.user);
    assert!(answer.is_bare());
    assert!(answer.get(attribute::NONCE).is_some());
    world.assert_empty();
}

/// REST-001.
#[test]
fn a_name_with_the_right_password_is_as_good_as_a_user() {
    let password = password("north", "1735689600:alice", Hash::Sha1);
    assert_eq!(password, "HbvWA6hGDtdv3wflBolXLhvzs0w=");
    let mut world = patient();
    for style in [Style::Md5, Style::Sha256] {
        let client = issued(&mut world, ALICE, "alice", 3600).with(style);
        let answer = client.allocate(&mut world, |_| {});
        assert_eq!(answer.code(), None);
        let key = client.key();
        assert!(answer.is_protected_by_sha1(&key) || answer.is_protected_by_sha256(&key));
        assert_eq!(client.refresh(&mut world, Some(0)).code(), None);
    }
    let forged = holder(&mut world, ALICE, &format!("{}:alice", NOW + 3600), "guess");
    assert_unknown(&forged, &mut world);
}

/// REST-002.
#[test]
fn a_name_whose_time_is_over_gets_nothing() {
    let mut world = patient();
    for past in [NOW - 1, NOW - 1_000_000, 1, 999_999_999] {
        let (user, password) = mint("north", "alice", past, ':');
        let client = holder(&mut world, ALICE, &user, &password);
        assert_unknown(&client, &mut world);
    }
    // Good to the last second, and numbers are compared, not words; 32 bits are not the end.
    for future in [NOW, NOW + 1, 9_999_999_999, u64::from(u32::MAX) + 1, 1 << 62] {
        let (user, password) = mint("north", "alice", future, ':');
        let client = holder(&mut world, ALICE, &user, &password);
        client.assert_granted(&client.allocate(&mut world, |_| {}));
        client.refresh(&mut world, Some(0));
    }
    let client = issued(&mut world, ALICE, "alice", 10);
    world.seconds(11);
    assert_unknown(&client, &mut world);
}

/// REST-003.
#[test]
fn a_name_of_another_form_is_nobodys() {
    let mut world = patient();
    let long = "9".repeat(40);
    let names = ["12abc:x", "", ":x", "-1:x", "+9999999999:x", " 9999999999:x", "0x7fffffff:x", "09999999999:x", &long];
    let nonce = world.alice().nonce;
    for name in names {
        // By hand, as no decent client makes such a key.
        let key = Md5::digest(format!("{name}:{REALM}:{}", password("north", name, Hash::Sha1)));
        let request = world.bare(Method::ALLOCATE, Class::Request, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::USERNAME, name.as_bytes());
            w.attribute(attribute::REALM, REALM.as_bytes()).attribute(attribute::NONCE, &nonce).sha1(&key);
        });
        assert_eq!(world.ask(udp(ALICE), &request).code(), Some(401), "{name:?}");
        world.assert_empty();
    }
}

/// REST-004.
#[test]
fn a_name_without_identity_is_taken_where_that_is_configured() {
    let bare = |world: &mut World| issued(world, ALICE, "", 3600);
    let mut world = ruled(Rules { bare: true, ..Rules::default() });
    let client = bare(&mut world);
    client.assert_granted(&client.allocate(&mut world, |_| {}));
    let mut world = ruled(Rules { bare: false, ..Rules::default() });
    let client = bare(&mut world);
    assert_unknown(&client, &mut world);
}

/// REST-005.
#[test]
fn an_allocation_outlives_the_name_that_made_it_and_nothing_new_is_begun() {
    let mut world = patient();
    let client = issued(&mut world, ALICE, "alice", 60);
    let relayed = world.allocate(&client);
    world.seconds(61);
    client.assert_granted(&client.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
    for _ in 0..3 {
        world.seconds(500);
        client.assert_granted(&client.refresh(&mut world, Some(600)));
    }
    let elsewhere = client.at(&mut world, udp(BOB));
    let refused = elsewhere.allocate(&mut world, |_| {});
    assert_eq!(refused.code(), Some(401));
    world.assert_holds(1, 1);
    client.assert_granted(&client.refresh(&mut world, Some(0)));
    assert_unknown(&client, &mut world);
}

/// REST-005: not even in the moment between the end of the allocation and the sweep.
#[test]
fn an_expired_name_gets_no_new_allocation_for_one_that_has_just_ended() {
    let mut world = patient();
    let client = issued(&mut world, ALICE, "alice", 60);
    world.allocate(&client);
    world.now.time = world.now.time.after(Duration::from_secs(600));
    world.now.wall += 600;
    assert_eq!(client.allocate(&mut world, |_| {}).code(), Some(401));
    assert_eq!(dropped(&client.send(&mut world, PEER, b"x")), Reason::NoAllocation);
    world.seconds(1);
    world.assert_empty();
}

/// REST-006.
#[test]
fn any_of_the_secrets_is_good() {
    let mut build = Build::default();
    build.credentials.add_secret("south");
    let mut world = build.build();
    for (at, secret) in [(ALICE, "north"), (BOB, "south")] {
        let (user, password) = mint(secret, "alice", NOW + 3600, ':');
        let client = holder(&mut world, at, &user, &password);
        client.assert_granted(&client.allocate(&mut world, |_| {}));
    }
    let (user, password) = mint("west", "alice", NOW + 3600, ':');
    let client = holder(&mut world, CAROL, &user, &password);
    assert_eq!(client.allocate(&mut world, |_| {}).code(), Some(401));
}

/// REST-007.
#[test]
fn a_name_that_is_good_for_too_long_is_refused() {
    let day = Duration::from_secs(86_400);
    let mut world = ruled(Rules { max_ttl: day, ..Rules::default() });
    for seconds in [86_401, 10 * 365 * 86_400] {
        let client = issued(&mut world, ALICE, "alice", seconds);
        assert_unknown(&client, &mut world);
    }
    let client = issued(&mut world, ALICE, "alice", 86_400);
    client.assert_granted(&client.allocate(&mut world, |_| {}));
}

/// REST-008.
#[test]
fn the_quota_is_the_identitys_and_a_new_time_does_not_reset_it() {
    let mut world = patient_with(|options| options.quotas = Quotas { user: 1, ..Quotas::default() });
    let first = issued(&mut world, ALICE, "ann", 3600);
    world.allocate(&first);
    let renewed = issued(&mut world, BOB, "ann", 7200);
    renewed.assert_refused(&renewed.allocate(&mut world, |_| {}), 486);
    let other = issued(&mut world, CAROL, "ben", 3600);
    world.allocate(&other);
    first.refresh(&mut world, Some(0));
    world.allocate(&renewed);
    world.assert_holds(2, 2);
}

/// REST-009.
#[test]
fn a_renewed_name_is_another_user_to_an_old_allocation() {
    let mut world = patient();
    let first = issued(&mut world, ALICE, "ann", 3600);
    world.allocate(&first);
    let renewed = issued(&mut world, ALICE, "ann", 7200);
    renewed.assert_refused(&renewed.refresh(&mut world, Some(0)), 441);
    first.assert_granted(&first.refresh(&mut world, None));
}

/// REST-010.
#[test]
fn separator_and_hashes_are_configured() {
    let mut world = ruled(Rules { separator: '|', hashes: vec![Hash::Sha256], ..Rules::default() });
    let name = |separator: char| format!("{}{separator}alice", NOW + 3600);
    for (name, hash, code) in
        [(name('|'), Hash::Sha256, None), (name('|'), Hash::Sha1, Some(401)), (name(':'), Hash::Sha256, Some(401))]
    {
        let client = holder(&mut world, ALICE, &name, &password("north", &name, hash));
        assert_eq!(client.allocate(&mut world, |_| {}).code(), code);
        client.refresh(&mut world, Some(0));
    }
}

/// REST-001: a name is no key to another's allocation, and without integrity it is nothing.
#[test]
fn a_time_limited_name_alone_proves_nothing() {
    let mut world = patient();
    let user = format!("{}:alice", NOW + 3600);
    let request = world.bare(Method::ALLOCATE, Class::Request, |w| {
        w.attribute(attribute::USERNAME, user.as_bytes()).attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    assert_eq!(world.ask(udp(ALICE), &request).code(), Some(401));
    world.assert_empty();
}
