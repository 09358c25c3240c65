//! The header of a proxy: what is one, what is none, and whom it names.

use hairpin::wire::proxy::{Carrier, Front, LONGEST, next};
use proptest::prelude::*;
use std::net::SocketAddr;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The header of version 2 with this command, family and content.
fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &len, content].concat()
}

/// The addresses of version 2: client, server, and the ports of both.
fn addresses(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let ip = |addr: SocketAddr| match addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    [ip(client), ip(server), client.port().to_be_bytes().to_vec(), server.port().to_be_bytes().to_vec()].concat()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn whole(len: usize, client: Option<&str>) -> Front {
    Front::Whole { len, client: client.map(addr) }
}

fn stream(bytes: &[u8]) -> Front {
    next(bytes, Carrier::Stream)
}

/// PROXY-004: the vector of the list.
#[test]
fn the_vector_names_its_client() {
    let hex = "0d0a0d0a000d0a515549540a2111000cc0000201c63364079c400d96";
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    assert_eq!(stream(&bytes), whole(28, Some("192.0.2.1:40000")));
    assert_eq!(bytes, binary(0x21, 0x11, &addresses(addr("192.0.2.1:40000"), addr("198.51.100.7:3478"))));
}

/// PROXY-001, PROXY-003.
#[test]
fn a_line_names_its_client_or_nobody() {
    for (line, client) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 40000 3478\r\n", Some("192.0.2.1:40000")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", Some("255.255.255.255:65535")),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 40000 3478\r\n", Some("[2001:db8::1]:40000")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", Some("192.0.2.1:1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    ] {
        assert_eq!(stream(line.as_bytes()), whole(line.len(), client), "{line:?}");
        let more = [line.as_bytes(), b"\x16\x03\x01PROXY UNKNOWN\r\n"].concat();
        assert_eq!(stream(&more), whole(line.len(), client), "what follows is not looked at");
        for len in 0..line.len() {
            let Front::Incomplete { len: wanted } = stream(&line.as_bytes()[..len]) else { panic!("{len}: {line:?}") };
            assert!(wanted > len && wanted <= line.len(), "{wanted} of {len}: {line:?}");
        }
    }
}

/// PROXY-001, PROXY-002.
#[test]
fn a_line_that_is_not_as_it_must_be_is_none() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3478\n",
        "PROXY UNKNOWN\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.7 40000 3478\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 40000 3478\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3478 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 3478 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 40000 3478\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 040000 3478\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +40000 3478\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 00\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 3478\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 40000 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 -1 3478\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 40000 3478\r\n",
        "PROXY TCP4 192.0.2.1 2001:db8::2 40000 3478\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 40000 3478\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 40000 3478\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 40000 3478\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "proxy TCP4 192.0.2.1 198.51.100.7 40000 3478\r\n",
        "PROXY\tTCP4 192.0.2.1 198.51.100.7 40000 3478\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        assert_eq!(stream(line.as_bytes()), Front::Invalid, "{line:?}");
    }
}

/// PROXY-001: 107 bytes are a line, and then no more is waited for.
#[test]
fn a_line_ends_within_107_bytes() {
    let line = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
    assert_eq!(stream(&line(107)), whole(107, None));
    assert_eq!(stream(&line(108)), Front::Invalid);
    assert_eq!(stream(&line(200)[..106]), Front::Incomplete { len: 107 });
    assert_eq!(stream(&line(200)[..107]), Front::Invalid);
}

/// PROXY-004.
#[test]
fn version_2_names_clients_of_both_families() {
    let v4 = addresses(addr("203.0.113.9:1"), addr("198.51.100.7:3478"));
    let v6 = addresses(addr("[2001:db8::9]:50000"), addr("[2001:db8::1]:443"));
    let mapped = addresses(addr("[::ffff:203.0.113.9]:7"), addr("[::ffff:198.51.100.7]:443"));
    assert_eq!(stream(&binary(0x21, 0x11, &v4)), whole(28, Some("203.0.113.9:1")));
    assert_eq!(stream(&binary(0x21, 0x21, &v6)), whole(52, Some("[2001:db8::9]:50000")));
    assert_eq!(stream(&binary(0x21, 0x21, &mapped)), whole(52, Some("203.0.113.9:7")), "one client, one spelling");
    let header = binary(0x21, 0x21, &v6);
    for len in 0..header.len() {
        let Front::Incomplete { len: wanted } = stream(&header[..len]) else { panic!("{len}") };
        assert!(wanted > len && wanted <= header.len(), "{wanted} of {len}");
    }
}

/// PROXY-005: whatever stands in it, a header of the proxy's own is skipped.
#[test]
fn a_proxy_may_speak_for_itself() {
    for family in [0x00, 0x11, 0x12, 0x21, 0x31, 0x44, 0xFF] {
        for len in [0, 1, 12, 300, 0xFFFF] {
            let header = binary(0x20, family, &vec![0xA5; len]);
            assert_eq!(stream(&header), whole(16 + len, None), "{family:#04x}, {len}");
            assert_eq!(next(&header, Carrier::Datagram), whole(16 + len, None), "{family:#04x}, {len}");
            assert_eq!(stream(&[&header[..], b"more"].concat()), whole(16 + len, None), "{family:#04x}, {len}");
        }
    }
    assert_eq!(binary(0x20, 0, &[0; 0xFFFF]).len(), LONGEST);
}

/// PROXY-006: a client of no address of the Internet: it is known that there is one, and not where.
#[test]
fn unnamed_clients_and_paths_in_a_file_system_name_nobody() {
    assert_eq!(stream(&binary(0x21, 0x00, b"")), whole(16, None));
    assert_eq!(stream(&binary(0x21, 0x00, &[0xA5; 40])), whole(56, None));
    assert_eq!(stream(&binary(0x21, 0x31, &[b'/'; 216])), whole(232, None));
    assert_eq!(next(&binary(0x21, 0x32, &[b'/'; 216]), Carrier::Datagram), whole(232, None));
    assert_eq!(stream(&binary(0x21, 0x31, &[b'/'; 215])), Front::Invalid);
}

/// PROXY-006, PROXY-011.
#[test]
fn what_is_unknown_or_too_short_is_none() {
    let (v4, v6) = (vec![1; 12], vec![1; 36]);
    for (command, family, content) in [
        (0x11, 0x11, &v4),
        (0x31, 0x11, &v4),
        (0x22, 0x11, &v4),
        (0x2F, 0x11, &v4),
        (0x21, 0x10, &v4),
        (0x21, 0x01, &v4),
        (0x21, 0x13, &v4),
        (0x21, 0x41, &v6),
        (0x21, 0xFF, &v6),
        (0x21, 0x21, &v4),
        (0x21, 0x12, &v4),
        (0x21, 0x22, &v6),
    ] {
        let header = binary(command, family, content);
        assert_eq!(stream(&header), Front::Invalid, "{command:#04x} {family:#04x}");
        assert_eq!(stream(&header[..16]), Front::Invalid, "and as soon as it is seen");
    }
    assert_eq!(stream(&binary(0x21, 0x11, &v4[..11])), Front::Invalid);
    assert_eq!(stream(&binary(0x21, 0x21, &v6[..35])), Front::Invalid);
    for at in 0..12 {
        let mut header = binary(0x21, 0x11, &v4);
        header[at] ^= 1;
        assert_eq!(stream(&header), Front::Invalid, "a signature that is wrong at {at}");
    }
}

/// PROXY-011: a datagram has the header of its own protocol, whole, and never the line.
#[test]
fn a_datagram_has_its_own_protocol() {
    let v4 = addresses(addr("192.0.2.1:9"), addr("192.0.2.2:3478"));
    let datagram = |bytes: &[u8]| next(bytes, Carrier::Datagram);
    assert_eq!(datagram(&binary(0x21, 0x12, &v4)), whole(28, Some("192.0.2.1:9")));
    assert_eq!(datagram(&binary(0x21, 0x22, &[1; 36])), stream(&binary(0x21, 0x21, &[1; 36])));
    assert_eq!(datagram(&binary(0x21, 0x11, &v4)), Front::Invalid);
    assert_eq!(datagram(b"PROXY UNKNOWN\r\n"), Front::Invalid);
    assert!(matches!(datagram(&binary(0x21, 0x12, &v4)[..27]), Front::Incomplete { len: 28 }));
}

/// An extension.
fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// A header with these extensions.
fn extended(extensions: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&[192, 0, 2, 1, 192, 0, 2, 2, 0x9C, 0x40, 0x0D, 0x96][..], extensions].concat())
}

/// PROXY-007.
#[test]
fn extensions_are_skipped_up_to_the_largest_length() {
    let client = Some("192.0.2.1:40000");
    let many = [extension(0x01, b"stun.turn"), extension(0x04, b""), extension(0xE0, &[7; 300])].concat();
    assert_eq!(stream(&extended(&many)), whole(28 + many.len(), client));
    let largest = extension(0x04, &vec![0; 0xFFFF - 15]);
    assert_eq!(stream(&extended(&largest)), whole(LONGEST, client));
    for broken in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x04, 0, 0, 0x04, 0xFF, 0xFF, 1]] {
        assert_eq!(stream(&extended(broken)), Front::Invalid, "{broken:02x?}");
    }
}

/// PROXY-007: a checksum that is right, one that is wrong, one
/// of a wrong length, and two.
#[test]
fn a_checksum_must_be_right() {
    let mut header = extended(&extension(0x03, &[0; 4]));
    let crc = castagnoli(&header);
    header[31..].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(stream(&header), whole(35, Some("192.0.2.1:40000")));
    for at in [16, 24, 27, 31, 34] {
        let mut wrong = header.clone();
        wrong[at] ^= 1;
        assert_eq!(stream(&wrong), Front::Invalid, "{at}");
    }
    assert_eq!(stream(&extended(&extension(0x03, &[0; 3]))), Front::Invalid);
    let twice = [extension(0x03, &[0; 4]), extension(0x03, &[0; 4])].concat();
    assert_eq!(stream(&extended(&twice)), Front::Invalid);
}

/// CRC32C by long division over single bits, checked by its well-known value.
fn castagnoli(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).map(move |i| u32::from(byte >> i) & 1)) {
        let low = (crc ^ bit) & 1 == 1;
        crc = if low { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    }
    !crc
}

#[test]
fn the_division_of_this_test_is_the_one_of_castagnoli() {
    assert_eq!(castagnoli(b"123456789"), 0xE306_9283);
}

/// Bytes that begin like a header, and often are one.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let line = "(PROXY |PROX|)(TCP4|TCP6|UNKNOWN|)[ 0-9a-f:.]{0,100}(\r\n|\n|)";
    let content = prop::collection::vec(any::<u8>(), 0..60);
    let family = prop::sample::select(vec![0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x51]);
    prop_oneof![
        line.prop_map(String::into_bytes),
        (0x1F..0x24_u8, family, content.clone()).prop_map(|(c, f, rest)| binary(c, f, &rest)),
        content,
    ]
}

proptest! {
    /// PROXY-010: a header may come in pieces: what was decided stays, and what is wanted is what is then enough.
    #[test]
    fn more_bytes_change_no_mind(bytes in likely(), tail in prop::collection::vec(any::<u8>(), 0..20), udp in any::<bool>()) {
        let carrier = if udp { Carrier::Datagram } else { Carrier::Stream };
        let bytes = [bytes, tail].concat();
        for len in 0..bytes.len() {
            match (next(&bytes[..len], carrier), next(&bytes, carrier)) {
                (Front::Incomplete { len: wanted }, Front::Whole { len: whole, .. }) => {
                    prop_assert!(len < wanted && wanted <= whole);
                }
                (Front::Incomplete { len: wanted }, Front::Incomplete { len: later }) => {
                    prop_assert!(len < wanted && wanted <= later && later <= LONGEST);
                }
                (Front::Incomplete { .. }, Front::Invalid) => {}
                (decided, later) => prop_assert_eq!(decided, later),
            }
        }
    }

    /// PROXY-001, PROXY-004: what is written in either version is read again.
    #[test]
    fn both_versions_name_the_same_client(ip in any::<[u8; 16]>(), v4 in any::<bool>(), port in any::<u16>()) {
        let ip = std::net::Ipv6Addr::from(ip);
        let (family, name, client) = if v4 {
            (0x11, "TCP4", SocketAddr::from((std::net::Ipv4Addr::from(u128::from(ip) as u32), port)))
        } else {
            (0x21, "TCP6", SocketAddr::from((ip, port)))
        };
        let named = Some(SocketAddr::new(client.ip().to_canonical(), port));
        let line = format!("PROXY {name} {} {} {port} 3478\r\n", client.ip(), client.ip());
        prop_assert_eq!(stream(line.as_bytes()), Front::Whole { len: line.len(), client: named });
        let header = binary(0x21, family, &addresses(client, client));
        prop_assert_eq!(stream(&header), Front::Whole { len: header.len(), client: named });
    }
}
