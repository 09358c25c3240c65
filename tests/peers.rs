//! Which peers may be reached: every class of address in every spelling, and the order of the rules.
//!
//! The identifiers in comments are those of the project's conformance list.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hairpin::auth::peers::{BUILT_IN, Denied, Policy, Range, Rules};
use ipnet::IpNet;
use proptest::prelude::*;

/// One address of every class, and why it is closed.
const CLOSED: &[(&str, Denied)] = &[
    ("0.0.0.0", Denied::Unspecified),
    ("0.1.2.3", Denied::Unspecified),
    ("::", Denied::Unspecified),
    ("127.0.0.1", Denied::Loopback),
    ("127.1.2.3", Denied::Loopback),
    ("::1", Denied::Loopback),
    ("169.254.1.1", Denied::LinkLocal),
    ("fe80::1", Denied::LinkLocal),
    ("febf::1", Denied::LinkLocal),
    ("10.0.0.1", Denied::Private),
    ("172.16.0.0", Denied::Private),
    ("172.31.255.255", Denied::Private),
    ("192.168.1.1", Denied::Private),
    ("fc00::1", Denied::Private),
    ("fdff::1", Denied::Private),
    ("fec0::1", Denied::SiteLocal),
    ("100.64.0.0", Denied::Shared),
    ("100.127.255.255", Denied::Shared),
    ("169.254.169.254", Denied::Metadata),
    ("169.254.170.2", Denied::Metadata),
    ("169.254.170.23", Denied::Metadata),
    ("169.254.169.123", Denied::Metadata),
    ("fd00:ec2::254", Denied::Metadata),
    ("fd00:ec2::23", Denied::Metadata),
    ("fd20:ce::254", Denied::Metadata),
    ("100.100.100.200", Denied::Metadata),
    ("192.0.0.192", Denied::Metadata),
    ("168.63.129.16", Denied::Metadata),
    ("192.0.0.8", Denied::Protocol),
    ("2001:1::1", Denied::Protocol),
    ("192.0.2.1", Denied::Documentation),
    ("198.51.100.1", Denied::Documentation),
    ("203.0.113.255", Denied::Documentation),
    ("2001:db8::1", Denied::Documentation),
    ("3fff::1", Denied::Documentation),
    ("198.18.0.1", Denied::Benchmark),
    ("198.19.255.255", Denied::Benchmark),
    ("2001:2::1", Denied::Benchmark),
    ("192.88.99.1", Denied::Tunnel),
    ("2002:808:808::1", Denied::Tunnel),
    ("2001:0:808:808::f7f7:f7f7", Denied::Tunnel),
    ("224.0.0.1", Denied::Multicast),
    ("239.255.255.255", Denied::Multicast),
    ("ff02::1", Denied::Multicast),
    ("240.0.0.1", Denied::Reserved),
    ("255.255.255.255", Denied::Broadcast),
    ("100::1", Denied::Discard),
    ("100:0:0:1::1", Denied::Discard),
    ("5f00::1", Denied::Segment),
    ("2001:10::1", Denied::Orchid),
    ("2001:2f::1", Denied::Orchid),
];

/// Addresses of the public network, some of them next to closed ones.
#[rustfmt::skip]
const OPEN: &[&str] = &[
    "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255",
    "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.88.98.255",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
    "203.0.114.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2003::1",
    "2600::1", "2a00::1", "3ffe::1", "3fff:1000::1",
];

// SEC-05 SEC-06 SEC-07 SEC-08 SEC-12
#[test]
fn everything_but_the_public_network_is_closed() {
    let policy = Policy::new(&Rules::default());
    for (ip, class) in CLOSED {
        assert_eq!(judge(&policy, ip), Err(*class), "{ip}");
    }
    for ip in OPEN {
        assert_eq!(judge(&policy, ip), Ok(()), "{ip}");
    }
}

// SEC-02
#[test]
fn a_closed_ipv4_address_is_closed_in_every_spelling() {
    let policy = Policy::new(&Rules { nat64: prefixes(), ..Rules::default() });
    for (ip, _) in CLOSED {
        let Ok(ip) = ip.parse::<Ipv4Addr>() else {
            continue;
        };
        for spelling in Spelling::ALL {
            let carrier = spelling.write(ip);
            assert!(policy.allows(peer(carrier)).is_err(), "{ip} as {spelling:?} {carrier}");
        }
    }
}

// SEC-02 SEC-18
#[test]
fn a_public_ipv4_address_is_open_in_every_spelling_but_tunnels() {
    let policy = Policy::new(&Rules { nat64: prefixes(), ..Rules::default() });
    for spelling in Spelling::ALL {
        let carrier = spelling.write(Ipv4Addr::new(8, 8, 8, 8));
        let judgement = policy.allows(peer(carrier));
        assert_eq!(judgement.is_ok(), !spelling.is_tunnel(), "{spelling:?} {carrier}");
    }
}

// SEC-02
#[test]
fn the_spellings_of_known_attacks_are_closed() {
    let policy = Policy::new(&Rules::default());
    for ip in [
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "::a9fe:a9fe",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1:7f:0:1::",
        "64:ff9b:1:0:7f:0:100:0",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::",
        "2001:0:808:808::80ff:fffe",
        "fe80::5efe:7f00:1",
        "2600::5efe:7f00:1",
        "2600::200:5efe:a00:1",
        "::ffff:0.0.0.0",
        "::2",
    ] {
        assert!(judge(&policy, ip).is_err(), "{ip}");
    }
}

// SEC-02
#[test]
fn the_nat64_range_for_local_use_is_closed_until_its_prefix_is_known() {
    let carrier = "64:ff9b:1::808:808";
    assert_eq!(judge(&Policy::new(&Rules::default()), carrier), Err(Denied::Unspecified));
    let nat64 = vec!["64:ff9b:1::/96".parse().unwrap()];
    let policy = Policy::new(&Rules { nat64, ..Rules::default() });
    assert_eq!(judge(&policy, carrier), Ok(()));
    assert_eq!(judge(&policy, "64:ff9b:1::7f00:1"), Err(Denied::Loopback));
}

#[test]
fn a_nat64_prefix_of_no_known_length_is_tried_in_every_layout() {
    let nat64 = vec!["2600:64::/44".parse().unwrap()];
    let policy = Policy::new(&Rules { nat64, ..Rules::default() });
    assert!(judge(&policy, "2600:64::a00:1").is_err());
}

// SEC-02 SEC-08
#[test]
fn an_allowed_address_is_open_in_every_spelling_but_tunnels() {
    let rules = Rules { allow: ranges(&["10.0.0.0/8"]), nat64: prefixes(), ..Rules::default() };
    let policy = Policy::new(&rules);
    for spelling in Spelling::ALL {
        let carrier = spelling.write(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(policy.allows(peer(carrier)).is_ok(), !spelling.is_tunnel(), "{carrier}");
    }
    assert_eq!(judge(&policy, "192.168.0.1"), Err(Denied::Private));
}

// SEC-02
#[test]
fn an_allowed_ipv6_network_opens_nothing_it_carries() {
    let policy = Policy::new(&Rules { allow: ranges(&["::/0"]), ..Rules::default() });
    assert_eq!(judge(&policy, "::1"), Ok(()));
    assert_eq!(judge(&policy, "fc00::1"), Ok(()));
    assert_eq!(judge(&policy, "127.0.0.1"), Err(Denied::Loopback));
    assert_eq!(judge(&policy, "::ffff:127.0.0.1"), Err(Denied::Loopback));
    assert_eq!(judge(&policy, "64:ff9b::a9fe:a9fe"), Err(Denied::Metadata));
    assert_eq!(judge(&policy, "fe80::5efe:7f00:1"), Err(Denied::Loopback));
}

// SEC-18
#[test]
fn tunnels_are_closed_whatever_is_allowed() {
    let allow = ranges(&["0.0.0.0/0", "::/0", "2002::/16", "2001::/32", "192.88.99.1"]);
    let rules = Rules { allow, loopback: true, multicast: true, private: true, ..Rules::default() };
    let policy = Policy::new(&rules);
    for (ip, class) in CLOSED {
        let expected = if *class == Denied::Tunnel { Err(Denied::Tunnel) } else { Ok(()) };
        assert_eq!(judge(&policy, ip), expected, "{ip}");
    }
}

// SEC-11
#[test]
fn denied_ranges_close_what_was_open_and_allowed_ones_win() {
    let rules = Rules {
        allow: ranges(&["8.8.8.8", "2600::8"]),
        deny: ranges(&["8.0.0.0/8", "2600::-2600::ffff"]),
        private: true,
        ..Rules::default()
    };
    let policy = Policy::new(&rules);
    for (ip, expected) in [
        ("8.8.8.8", Ok(())),
        ("8.8.8.9", Err(Denied::Operator)),
        ("64:ff9b::808:809", Err(Denied::Operator)),
        ("2600::8", Ok(())),
        ("2600::9", Err(Denied::Operator)),
        ("2600::1:0", Ok(())),
        ("9.0.0.0", Ok(())),
    ] {
        assert_eq!(judge(&policy, ip), expected, "{ip}");
    }
    let closed = Rules { deny: ranges(&["10.0.0.5"]), private: true, ..Rules::default() };
    assert_eq!(judge(&Policy::new(&closed), "10.0.0.5"), Err(Denied::Operator));
}

// SEC-03
#[test]
fn ranges_compare_as_numbers() {
    let rules = Rules { deny: ranges(&["2600::ff00-2600::1:10"]), ..Rules::default() };
    let policy = Policy::new(&rules);
    for inside in ["2600::ff00", "2600::ffff", "2600::1:0", "2600::1:10"] {
        assert_eq!(judge(&policy, inside), Err(Denied::Operator), "{inside}");
    }
    for outside in ["2600::feff", "2600::1:11"] {
        assert_eq!(judge(&policy, outside), Ok(()), "{outside}");
    }
}

// SEC-06 SEC-07 SEC-12
#[test]
fn a_switch_opens_its_own_class_and_nothing_else() {
    let opened = |rules: &Rules| -> Vec<Denied> {
        let policy = Policy::new(rules);
        let mut classes: Vec<_> = CLOSED.iter().filter(|(ip, _)| judge(&policy, ip).is_ok()).map(|(_, c)| *c).collect();
        classes.dedup();
        classes
    };
    assert_eq!(opened(&Rules { loopback: true, ..Rules::default() }), [Denied::Loopback]);
    assert_eq!(opened(&Rules { multicast: true, ..Rules::default() }), [Denied::Multicast]);
    let private = Rules { private: true, ..Rules::default() };
    assert_eq!(opened(&private), [Denied::Private, Denied::Shared]);
}

// SEC-09
#[test]
fn this_host_is_closed_at_every_port_but_those_of_relays() {
    let rules = Rules {
        own_hosts: vec!["8.8.4.4".parse().unwrap(), "10.0.0.5".parse().unwrap(), "2600::5".parse().unwrap()],
        relays: vec!["8.8.4.4".parse().unwrap(), "2600::5".parse().unwrap()],
        relay_ports: Some(49152..=65535),
        ..Rules::default()
    };
    let judge = |rules: &Rules, at: &str| Policy::new(rules).allows(at.parse().unwrap());
    for service in ["8.8.4.4:161", "[::ffff:8.8.4.4]:161", "[64:ff9b::808:404]:53", "[2600::5]:22", "10.0.0.5:51820"] {
        assert_eq!(judge(&rules, service), Err(Denied::OwnHost), "{service}");
    }
    for relay in ["8.8.4.4:50000", "8.8.4.4:0", "[2600::5]:65535"] {
        assert_eq!(judge(&rules, relay), Ok(()), "{relay}");
    }
    let opened = Rules { allow: ranges(&["8.8.4.4"]), ..rules };
    assert_eq!(judge(&opened, "8.8.4.4:161"), Ok(()), "an operator may open it");
}

// SEC-10
#[test]
fn own_listeners_are_closed_even_if_allowed() {
    let rules = Rules {
        allow: ranges(&["8.8.8.8", "10.0.0.0/8"]),
        own_listeners: vec!["8.8.8.8:3478".parse().unwrap(), "[::ffff:10.0.0.5]:5349".parse().unwrap()],
        ..Rules::default()
    };
    let policy = Policy::new(&rules);
    let allows = |at: &str| policy.allows(at.parse().unwrap());
    for listener in ["8.8.8.8:3478", "[::ffff:8.8.8.8]:3478", "[64:ff9b::808:808]:3478", "10.0.0.5:5349"] {
        assert_eq!(allows(listener), Err(Denied::Listener), "{listener}");
    }
    for other in ["8.8.8.8:3479", "8.8.8.8:0", "8.8.4.4:3478", "10.0.0.5:3478"] {
        assert_eq!(allows(other), Ok(()), "{other}");
    }
}

// SEC-10
#[test]
fn a_listener_on_every_address_closes_its_port_where_we_are() {
    for every in ["0.0.0.0:3478", "[::]:3478"] {
        let rules = Rules {
            loopback: true,
            own_listeners: vec![every.parse().unwrap()],
            relays: vec!["8.8.8.8".parse().unwrap()],
            ..Rules::default()
        };
        let policy = Policy::new(&rules);
        for at in ["8.8.8.8:3478", "127.0.0.1:3478", "127.9.9.9:3478", "[::1]:3478"] {
            assert_eq!(policy.allows(at.parse().unwrap()), Err(Denied::Listener), "{at}");
        }
        for at in ["8.8.4.4:3478", "127.0.0.1:3479", "8.8.8.8:3479"] {
            assert_eq!(policy.allows(at.parse().unwrap()), Ok(()), "{at}");
        }
    }
}

// SEC-14
#[test]
fn own_relays_are_open_at_relay_ports_even_if_private_or_denied() {
    let rules = Rules {
        deny: ranges(&["10.0.0.0/8"]),
        own_listeners: vec!["10.0.0.5:50000".parse().unwrap()],
        relays: ["10.0.0.5", "127.0.0.1", "fd00::5"].map(|ip| ip.parse().unwrap()).to_vec(),
        relay_ports: Some(49152..=65535),
        ..Rules::default()
    };
    let policy = Policy::new(&rules);
    let allows = |at: &str| policy.allows(at.parse().unwrap());
    for relay in ["10.0.0.5:49152", "127.0.0.1:65535", "[fd00::5]:50000", "[::ffff:10.0.0.5]:49999"] {
        assert_eq!(allows(relay), Ok(()), "{relay}");
    }
    assert_eq!(allows("10.0.0.5:0"), Ok(()), "a permission names no port");
    assert_eq!(allows("10.0.0.5:50000"), Err(Denied::Listener));
    assert_eq!(allows("10.0.0.5:22"), Err(Denied::Operator));
    assert_eq!(allows("127.0.0.1:6379"), Err(Denied::Loopback));
    assert_eq!(allows("10.0.0.6:49152"), Err(Denied::Operator));
    assert!(allows("[64:ff9b::a00:5]:49152").is_err(), "a translator's 10.0.0.5 is not ours");
}

// SEC-12
#[test]
fn port_zero_is_no_peer_to_send_to() {
    let policy = Policy::new(&Rules { allow: ranges(&["8.8.8.8"]), ..Rules::default() });
    let at = |port| SocketAddr::new("8.8.8.8".parse().unwrap(), port);
    assert_eq!(policy.reaches(at(0)), Err(Denied::Port));
    assert_eq!(policy.reaches(at(1)), Ok(()));
    assert_eq!(policy.allows(at(0)), Ok(()));
}

#[test]
fn the_built_in_table_nests_and_never_overlaps_otherwise() {
    for (at, one) in BUILT_IN.iter().enumerate() {
        assert!(one.range.first <= one.range.last && !one.why.is_empty());
        for other in &BUILT_IN[at + 1..] {
            let (a, b) = (one.range, other.range);
            let meets = a.contains(b.first) || b.contains(a.first);
            let nests = (a.contains(b.first) && a.contains(b.last)) || (b.contains(a.first) && b.contains(a.last));
            assert!(!meets || nests, "{a} {b}");
            assert_ne!(a, b);
        }
    }
}

#[test]
fn a_range_is_read_in_each_form() {
    for (text, first, last) in [
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        (" 10.1.2.3 ", "10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("10.1.2.3/32", "10.1.2.3", "10.1.2.3"),
        ("10.0.0.1-10.0.0.9", "10.0.0.1", "10.0.0.9"),
        ("10.0.0.1 - 10.0.0.9", "10.0.0.1", "10.0.0.9"),
        ("2600::/16", "2600::", "2600:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::1-fe80::ffff", "fe80::1", "fe80::ffff"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255"),
        ("::ffff:10.0.0.1-10.0.0.2", "10.0.0.1", "10.0.0.2"),
    ] {
        let range: Range = text.parse().unwrap();
        assert_eq!((range.first, range.last), (ip(first), ip(last)), "{text}");
    }
}

// SEC-04
#[test]
fn a_range_that_is_none_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "\"\" is not an IP address"),
        ("10.0.0", "\"10.0.0\" is not an IP address"),
        ("010.0.0.1", "\"010.0.0.1\" is not an IP address"),
        ("example.org", "\"example.org\" is not an IP address"),
        ("fe80::1%eth0", "\"fe80::1%eth0\" is not an IP address"),
        ("10.0.0.9-10.0.0.1", "10.0.0.9 is above 10.0.0.1: the lower address comes first"),
        ("10.0.0.1-fe80::1", "10.0.0.1 and fe80::1 are not of one family"),
        ("10.0.0.1-", "\"\" is not an IP address"),
        ("10.0.0.0/33", "10.0.0.0/33 is no network: a prefix has 0 to 32 bits"),
        ("::/129", "::/129 is no network: a prefix has 0 to 128 bits"),
        ("10.0.0.0/", "10.0.0.0/ is no network: a prefix has 0 to 32 bits"),
        ("10.0.0.0/-1", "10.0.0.0/-1 is no network: a prefix has 0 to 32 bits"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0 is no network: a prefix has 0 to 32 bits"),
        ("10.1.2.3/8", "10.1.2.3/8 starts inside the network: say 10.0.0.0/8 or 10.1.2.3"),
    ] {
        assert_eq!(text.parse::<Range>().unwrap_err(), reason);
    }
}

#[test]
fn a_range_is_written_in_its_shortest_form() {
    for text in ["10.1.2.3", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "::/0", "0.0.0.0/0", "fe80::/10", "::1"] {
        assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
    }
    assert_eq!("10.0.0.0-10.0.0.255".parse::<Range>().unwrap().to_string(), "10.0.0.0/24");
}

proptest! {
    #[test]
    fn a_range_reads_back_as_it_was_written(range in any_range()) {
        prop_assert_eq!(range.to_string().parse::<Range>(), Ok(range));
    }

    #[test]
    fn no_text_breaks_the_range(text in any::<String>(), like in "[0-9a-f:./ -]{0,40}") {
        for text in [text, like] {
            if let Ok(range) = text.parse::<Range>() {
                prop_assert!(range.first <= range.last);
                prop_assert_eq!(range.first.is_ipv4(), range.last.is_ipv4());
            }
        }
    }

    #[test]
    fn a_policy_judges_ipv4_as_the_slow_reading_does(ip in any_ipv4(), rules in any_rules()) {
        let policy = Policy::new(&rules);
        prop_assert_eq!(policy.allows(peer(ip)).is_ok(), is_open(ip.into(), &rules), "{}", ip);
        for spelling in Spelling::ALL {
            let carrier = spelling.write(ip);
            let slow = match spelling {
                Spelling::Mapped => is_open(ip.into(), &rules),
                // `::` and `::1` carry nothing.
                Spelling::Compatible if ip.to_bits() < 2 => is_open(carrier.into(), &rules),
                _ => is_open(carrier.into(), &rules) && is_open(ip.into(), &rules),
            };
            prop_assert_eq!(policy.allows(peer(carrier)).is_ok(), slow, "{} {:?} {}", ip, spelling, carrier);
        }
    }

    #[test]
    fn an_address_closed_as_ipv4_is_closed_at_every_cut_of_local_nat64(ip in any_ipv4()) {
        let policy = Policy::new(&Rules::default());
        if policy.allows(peer(ip)).is_err() {
            for len in [48, 56, 64, 96] {
                let carrier = embed("64:ff9b:1::".parse().unwrap(), len, ip);
                prop_assert!(policy.allows(peer(carrier)).is_err(), "{}", carrier);
            }
        }
    }

    #[test]
    fn a_policy_judges_ipv6_as_the_slow_reading_does(ip in any_ipv6(), rules in any_rules()) {
        let rules = Rules { nat64: Vec::new(), ..rules };
        let policy = Policy::new(&rules);
        prop_assert_eq!(policy.allows(peer(ip)).is_ok(), is_open(ip.into(), &rules), "{}", ip);
    }

    #[test]
    fn no_peer_breaks_the_policy(ip in any::<IpAddr>(), port in any::<u16>(), rules in any_rules()) {
        let _ = Policy::new(&rules).reaches(SocketAddr::new(ip, port));
    }
}

// The slow reading of the rules: written apart from the policy, in text and one network at a time.

/// Networks that are closed, and the switch that opens them.
const NETWORKS: &[(&str, &str)] = &[
    ("0.0.0.0/8", ""),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "private"),
    ("100.100.100.200/32", ""),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", ""),
    ("169.254.0.0/16", ""),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", ""),
    ("192.0.2.0/24", ""),
    ("192.88.99.0/24", "never"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", ""),
    ("198.51.100.0/24", ""),
    ("203.0.113.0/24", ""),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", ""),
    ("::/128", ""),
    ("::1/128", "loopback"),
    ("100::/64", ""),
    ("100:0:0:1::/64", ""),
    ("2001::/32", "never"),
    ("2001::/23", ""),
    ("2001:db8::/32", ""),
    ("2002::/16", "never"),
    ("3fff::/20", ""),
    ("5f00::/16", ""),
    ("fc00::/7", "private"),
    ("fd00:ec2::23/128", ""),
    ("fd00:ec2::254/128", ""),
    ("fd20:ce::254/128", ""),
    ("fe80::/10", ""),
    ("fec0::/10", ""),
    ("ff00::/8", "multicast"),
];

/// Whether one form of an address is open.
fn is_open(ip: IpAddr, rules: &Rules) -> bool {
    let closed: Vec<&str> = NETWORKS
        .iter()
        .filter(|(net, _)| net.parse::<IpNet>().unwrap().contains(&ip))
        .map(|(_, switch)| *switch)
        .collect();
    if closed.contains(&"never") {
        return false;
    }
    if rules.allow.iter().any(|range| range.contains(ip)) {
        return true;
    }
    let opened = |switch: &&str| match *switch {
        "private" => rules.private,
        "loopback" => rules.loopback,
        "multicast" => rules.multicast,
        _ => false,
    };
    !rules.deny.iter().any(|range| range.contains(ip)) && closed.iter().all(opened)
}

/// The ways to write an IPv4 address as IPv6.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    Mapped,
    Compatible,
    Translated,
    WellKnown,
    Nat64(u8),
    SixToFour,
    TeredoServer,
    TeredoClient,
    Isatap(u16),
}

impl Spelling {
    const ALL: [Self; 15] = [
        Self::Mapped,
        Self::Compatible,
        Self::Translated,
        Self::WellKnown,
        Self::Nat64(32),
        Self::Nat64(40),
        Self::Nat64(48),
        Self::Nat64(56),
        Self::Nat64(64),
        Self::Nat64(96),
        Self::SixToFour,
        Self::TeredoServer,
        Self::TeredoClient,
        Self::Isatap(0),
        Self::Isatap(0x200),
    ];

    fn write(self, ip: Ipv4Addr) -> Ipv6Addr {
        let [a, b, c, d] = ip.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match self {
            Self::Mapped => Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Self::Compatible => Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Self::Translated => Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Self::WellKnown => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Self::Nat64(len) => embed(prefix(len).addr(), len, ip),
            Self::SixToFour => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Self::TeredoServer => Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7),
            Self::TeredoClient => Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
            Self::Isatap(flags) => Ipv6Addr::new(0x2600, 1, 2, 3, flags, 0x5efe, high, low),
        }
    }

    fn is_tunnel(self) -> bool {
        matches!(self, Self::SixToFour | Self::TeredoServer | Self::TeredoClient)
    }
}

/// The prefix of a NAT64 of the operator, one for each length.
fn prefix(len: u8) -> ipnet::Ipv6Net {
    ipnet::Ipv6Net::new(Ipv6Addr::new(0x2a01, u16::from(len), 0, 0, 0, 0, 0, 0), len).unwrap()
}

fn prefixes() -> Vec<ipnet::Ipv6Net> {
    [32, 40, 48, 56, 64, 96].map(prefix).to_vec()
}

/// Puts an IPv4 address behind a prefix, as the table of RFC 6052 shows it.
fn embed(prefix: Ipv6Addr, len: u8, ip: Ipv4Addr) -> Ipv6Addr {
    let places = match len {
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        _ => [12, 13, 14, 15],
    };
    let mut octets = prefix.octets();
    for (place, octet) in places.into_iter().zip(ip.octets()) {
        octets[place] = octet;
    }
    octets.into()
}

/// Any IPv4 address, half of them at the edges of closed networks.
fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    let edges = edges(true).into_iter().map(|ip| match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => unreachable!("asked for IPv4"),
    });
    prop_oneof![any::<Ipv4Addr>(), proptest::sample::select(edges.collect::<Vec<_>>())]
}

/// Any IPv6 address that carries no other, many of them in closed networks or at their edges.
fn any_ipv6() -> impl Strategy<Value = Ipv6Addr> {
    let edges = edges(false).into_iter().map(|ip| match ip {
        IpAddr::V6(ip) => ip,
        IpAddr::V4(_) => unreachable!("asked for IPv6"),
    });
    let carries = |ip: &Ipv6Addr| {
        let s = ip.segments();
        let at_the_start = s[..4] == [0; 4] && ip.to_bits() > 1;
        at_the_start || s[..2] == [0x64, 0xff9b] || s[5] == 0x5efe
    };
    prop_oneof![any::<Ipv6Addr>(), proptest::sample::select(edges.collect::<Vec<_>>())]
        .prop_filter("carries IPv4", move |ip| !carries(ip))
}

/// The first and last addresses of closed networks, and their neighbours.
fn edges(ipv4: bool) -> Vec<IpAddr> {
    let mut edges = Vec::new();
    for (net, _) in NETWORKS {
        match net.parse().unwrap() {
            IpNet::V4(net) if ipv4 => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                let around = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                edges.extend(around.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
            }
            IpNet::V6(net) if !ipv4 => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                let around = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                edges.extend(around.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
            }
            _ => {}
        }
    }
    edges
}

/// Any range: two addresses of a family, or a network.
fn any_range() -> impl Strategy<Value = Range> {
    let order = |a: IpAddr, b: IpAddr| Range::new(a.min(b), a.max(b));
    let mixed = move |(a, b)| order(a, b);
    prop_oneof![
        (any_ipv4(), any_ipv4()).prop_map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b))),
        (any_ipv6(), any_ipv6()).prop_map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b))),
        (any::<u32>(), 0_u8..=32).prop_map(|(ip, len)| {
            let net = ipnet::Ipv4Net::new(Ipv4Addr::from_bits(ip), len).unwrap();
            (IpAddr::V4(net.network()), IpAddr::V4(net.broadcast()))
        }),
        (any::<u128>(), 0_u8..=128).prop_map(|(ip, len)| {
            let net = ipnet::Ipv6Net::new(Ipv6Addr::from_bits(ip), len).unwrap();
            (IpAddr::V6(net.network()), IpAddr::V6(net.broadcast()))
        }),
    ]
    .prop_filter_map("of two families", move |ends| mixed(ends).ok())
}

/// Any rules without sockets of our own.
fn any_rules() -> impl Strategy<Value = Rules> {
    let some = || proptest::collection::vec(any_range(), 0..4);
    (some(), some(), any::<[bool; 3]>()).prop_map(|(allow, deny, [loopback, multicast, private])| Rules {
        allow,
        deny,
        loopback,
        multicast,
        private,
        nat64: prefixes(),
        ..Rules::default()
    })
}

// Helpers.

fn peer(ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), 40_000)
}

fn judge(policy: &Policy, text: &str) -> Result<(), Denied> {
    policy.allows(peer(ip(text)))
}

fn ranges(texts: &[&str]) -> Vec<Range> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
