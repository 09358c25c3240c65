//! Datagrams: where answers leave from, what is ignored, what goes between two clients.

use crate::client::{Client, Heard};
use crate::harness::*;
use crate::space::Space;
use hairpin::wire::{Class, Method, Writer, attribute, channel};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// Everything that a server sends comes from the address that the client uses; [`Client`] looks at each datagram.
fn everything_comes_from(server: SocketAddr, mut client: Client, peer: &std::net::UdpSocket) {
    assert_eq!(client.binding(), client.local(), "Binding");
    let bare = client.bare(Method::ALLOCATE, |_| {});
    assert_eq!(client.ask(&bare).code(), Some(401), "a refusal");
    let relayed = client.allocate();
    // But for loopback: there the host's own address serves better, if it has one.
    assert!(relayed.ip() == server.ip() || server.ip().is_loopback(), "the relayed address follows the client");
    client.permit(peer.local_addr().unwrap());
    peer.send_to(b"data", relayed).unwrap();
    assert_eq!(client.data().0, b"data", "a Data indication");
    client.bind(0x4000, peer.local_addr().unwrap());
    peer.send_to(b"channel", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"channel".to_vec()));
    client.send_channel(0x4000, b"up");
    assert_eq!(receive(peer), (b"up".to_vec(), relayed), "the peer sees the relayed address");
    assert_eq!(client.refresh(0), None);
}

/// STUN-004.
#[test]
fn a_server_on_all_addresses_answers_from_the_one_that_was_asked() {
    let server = Setup::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).start();
    for ip in [Ipv4Addr::LOCALHOST, own_address(), own_address()] {
        let addr = SocketAddr::from((ip, server.addr.port()));
        // From loopback's first address in each case, so that nothing but the destination differs.
        let client = Client::udp_from(IpAddr::V4(Ipv4Addr::LOCALHOST), addr).named(ALICE);
        everything_comes_from(addr, client, &peer());
    }
}

/// STUN-004: two addresses on a network, of both families.
#[test]
fn a_server_with_several_addresses_on_one_interface_answers_from_the_one_that_was_asked() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    for address in ["192.0.2.1/24", "192.0.2.7/24", "2001:db8::1/64", "2001:db8::7/64"] {
        near.address(address);
    }
    for address in ["192.0.2.100/24", "2001:db8::100/64"] {
        far.address(address);
    }
    let setup = Setup::at("192.0.2.1".parse().unwrap())
        .set("listen.addresses", r#"["0.0.0.0", "::"]"#)
        .set("peers.allow", r#"["192.0.2.100", "2001:db8::100"]"#)
        .set("relay.default-family", "\"client\"");
    let server = setup.start_in(Some(&near));
    for ip in ["192.0.2.1", "192.0.2.7", "2001:db8::1", "2001:db8::7"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), server.addr.port());
        let own: IpAddr = if addr.is_ipv4() { "192.0.2.100" } else { "2001:db8::100" }.parse().unwrap();
        let (client, peer) = far.run(|| (Client::udp(addr), peer_at(own)));
        let client = client.named(ALICE);
        // A wildcard socket of the client cannot say from which address it sends.
        let local = SocketAddr::new(own, client.local().port());
        drop(client);
        let client = far.run(|| Client::udp_from(local.ip(), addr)).named(ALICE);
        everything_comes_from(addr, client, &peer);
    }
}

/// DEMUX-002, DEMUX-003, DEMUX-004, DEMUX-005, DEMUX-006, DEMUX-010, DEMUX-011, FRAME-017, FRAME-018, FRAME-019, AMP-003, AMP-004, SEC-32.
#[test]
fn what_is_no_request_is_not_answered() {
    let server = Setup::new().start();
    let mut client = Client::udp(server.addr);
    let good = client.bare(Method::BINDING, |_| {});
    let mut junk: Vec<Vec<u8>> = vec![Vec::new(), vec![0], vec![0, 1, 0], good[..19].to_vec()];
    junk.extend((4..=19).chain(80..=255).map(|first| [&[first][..], &good[1..]].concat()));
    junk.extend((20..=63).chain(0x50..=0x7F).map(|first| vec![first; 40]));
    junk.push([&channel::header(0x4000, 5)[..], b"hello"].concat());
    junk.push([&good[..2], &[0, 8], &good[4..]].concat());
    junk.push([&good[..], b"tail"].concat());
    for class in [Class::Indication, Class::Success, Class::Error] {
        let mut out = Vec::new();
        Writer::new(&mut out, Method::BINDING, class, &[9; 12]);
        junk.push(out);
    }
    for packet in &junk {
        client.send_raw(packet);
    }
    client.hears_nothing();
}

/// FRAME-019, FRAME-020: what a datagram holds beyond the announced length is not relayed, and what announces more than
/// it holds is not either.
#[test]
fn channel_data_on_udp_may_be_padded_but_not_short() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice(), peer());
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_raw(b"\x40\x00\x00\x09too few");
    client.send_raw(b"\x40\x00\x00\x05hello\xA5\xA5\xA5");
    assert_eq!(receive(&peer).0, b"hello");
}

/// DEMUX-009: a relayed address is the client's; whatever comes there is the client's to answer.
#[test]
fn stun_from_a_peer_is_relayed_and_not_answered() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice(), peer());
    let relayed = client.allocate();
    client.permit(peer.local_addr().unwrap());
    let request = client.bare(Method::BINDING, |_| {});
    for packet in [&request[..], b"\x16\xFE\xFD\x00\x00", b"\x40\x00\x00\x01x"] {
        peer.send_to(packet, relayed).unwrap();
        assert_eq!(client.data(), (packet.to_vec(), Some(peer.local_addr().unwrap())));
    }
    peer.set_nonblocking(true).unwrap();
    assert!(peer.recv(&mut [0; 100]).is_err(), "the peer is told nothing");
}

/// TURN-124, SEC-14.
#[test]
fn two_clients_of_one_server_reach_each_other_by_their_relayed_addresses() {
    let server = Setup::new().set("peers.allow-loopback", "false").start();
    let (mut alice, mut bob) = (server.alice(), Client::tcp(server.addr).named(BOB));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    alice.bind(0x4000, at_bob);
    bob.permit(at_alice);
    alice.send_channel(0x4000, b"to bob");
    assert_eq!(bob.data(), (b"to bob".to_vec(), Some(at_alice)));
    bob.send(at_alice, b"to alice");
    assert_eq!(alice.hear(), Heard::Channel(0x4000, b"to alice".to_vec()));
}

/// SEC-10: the server's own listener is no peer, though its address is one of a relay.
#[test]
fn the_server_cannot_be_made_to_talk_to_itself() {
    let server = Setup::new().start();
    let mut client = server.alice();
    client.allocate();
    let answer = client.request(Method::CHANNEL_BIND, |w| {
        w.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
        w.xor_address(attribute::XOR_PEER_ADDRESS, server.addr);
    });
    assert_eq!(answer.code(), Some(403));
    client.permit(server.addr);
    let request = client.bare(Method::BINDING, |_| {});
    client.send(server.addr, &request);
    client.hears_nothing();
}

/// AMP-001, SEC-31: what anybody can have sent to a forged address is hardly larger than what it costs.
#[test]
fn answers_to_strangers_are_small() {
    let server = Setup::new().start();
    let mut client = Client::udp(server.addr);
    let binding = client.bare(Method::BINDING, |_| {});
    let allocate = client.bare(Method::ALLOCATE, |_| {});
    let usual = client.bare(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    let ratio = |client: &mut Client, request: &[u8]| client.ask(request).bytes.len() as f64 / request.len() as f64;
    assert!(ratio(&mut client, &binding) <= 2.2);
    assert!(ratio(&mut client, &allocate) <= 5.0);
    assert!(ratio(&mut client, &usual) <= 3.6);
}

/// TURN-121: the address that a client comes to is part of its 5-tuple.
#[test]
fn another_address_of_the_server_is_another_5_tuple() {
    let (first, second) = (own_address(), own_address());
    let setup = Setup::at(first.into()).set("listen.addresses", &format!("[\"{first}\", \"{second}\"]"));
    let server = setup.start();
    let mut client = Client::udp_from(Ipv4Addr::LOCALHOST.into(), server.addr).named(ALICE);
    assert_eq!(client.allocate().ip(), first);
    let mut client = client.toward(SocketAddr::from((second, server.addr.port())));
    assert_eq!(client.refresh(600), Some(437));
    assert_eq!(client.allocate().ip(), second);
    let mut client = client.toward(server.addr);
    assert_eq!(client.refresh(600), None);
}

/// AMP-002, SEC-31: who asks too often without credentials is not answered for a while; others are.
#[test]
fn a_source_that_asks_too_often_is_not_answered_and_others_are() {
    let server = Setup::new().set("workers", "1").set("limits.unauthenticated", "5").start();
    let (noisy, quiet) = (own_address(), own_address());
    let mut sources: Vec<Client> = (0..20).map(|_| Client::udp_from(noisy.into(), server.addr)).collect();
    for source in &mut sources {
        for _ in 0..5 {
            let request = source.bare(Method::ALLOCATE, |_| {});
            source.send_raw(&request);
        }
    }
    let mut other = Client::udp_from(quiet.into(), server.addr).named(ALICE);
    other.allocate();
    other.hears_nothing();
    let answers = |source: &mut Client| {
        source.socket().set_nonblocking(true).unwrap();
        std::iter::from_fn(|| source.socket().recv(&mut [0; 600]).ok()).count()
    };
    let answered: usize = sources.iter_mut().map(answers).sum();
    assert!((5..=20).contains(&answered), "{answered} of 100 answered");
}

/// STUN-004: a client on the same link, whose address means something on that link alone.
#[test]
fn a_client_with_a_link_local_address_is_answered() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("fe80::1/64");
    near.address("192.0.2.1/24");
    far.address("fe80::100/64");
    let setup = Setup::at("192.0.2.1".parse().unwrap()).set("listen.addresses", r#"["0.0.0.0", "::"]"#);
    let server = setup.start_in(Some(&near));
    let index = far.run(|| {
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let line = table.lines().find(|line| line.ends_with("eth0")).unwrap().to_owned();
        u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    });
    let addr = SocketAddrV6::new("fe80::1".parse().unwrap(), server.addr.port(), 0, index);
    let mut client = far.run(|| Client::udp(addr.into()));
    assert_eq!(client.binding().ip(), "fe80::100".parse::<IpAddr>().unwrap());
}
