//! TLS: versions, protocols, certificates, and that a stream is a stream.

use crate::certificates::*;
use crate::client::{Client, Heard};
use crate::harness::*;
use hairpin::wire::Method;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A server with a certificate for `turn.example`.
fn served() -> (Server, Authority, (PathBuf, PathBuf), Folder) {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    (Setup::new().certificates(std::slice::from_ref(&pair)).start(), authority, pair, folder)
}

const NAME: &str = "turn.example";

/// Allocates on a TLS connection and relays both ways; the client, to go on with.
fn relays(server: &Server, tls: Tls) -> Client {
    let mut client = Client::with_stream(tls, server.addr).named(ALICE);
    let peer = peer();
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"up");
    assert_eq!(receive(&peer), (b"up".to_vec(), relayed));
    peer.send_to(b"down!", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"down!".to_vec()));
    assert_eq!(client.binding(), client.local());
    client
}

/// TLS-001, STUN-005.
#[test]
fn clients_of_tls_1_2_and_1_3_are_served() {
    let (server, authority, ..) = served();
    for (version_, agreed) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let tls = authority.client().version(version_).connect(server.tls, NAME);
        assert_eq!(version(&tls), agreed);
        relays(&server, tls);
    }
}

/// TLS-001: where the operator says so, 1.3 alone.
#[test]
fn tls_1_2_can_be_refused() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let server = Setup::new().certificates(&[pair]).set("tls.require-1-3", "true").start();
    assert!(authority.client().version(&TLS12).try_connect(server.tls, NAME).is_err());
    relays(&server, authority.client().connect(server.tls, NAME));
}

/// Runs `openssl s_client` against a server until the handshake is over: whether it succeeded, and what it said.
fn s_client(addr: SocketAddr, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string(), "-cipher", "ALL:@SECLEVEL=0"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// TLS-001, TLS-002.
#[test]
fn older_versions_are_refused_and_named_suites_are_there() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let (server, ..) = served();
    for old in ["-tls1", "-tls1_1"] {
        let (agreed, said) = s_client(server.tls, &[old]);
        assert!(!agreed && said.contains("SSL alert number"), "{old}: {said}");
    }
    for good in [["-tls1_2", "-brief"], ["-tls1_3", "-brief"]] {
        let (agreed, said) = s_client(server.tls, &good);
        assert!(agreed, "{good:?}: {said}");
    }
}

/// TLS-001: the suites that the operator names are those that there are; of a version of which none is named, all.
#[test]
fn suites_can_be_narrowed() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let (one, other) = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384");
    let (one_13, other_13) = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384");
    let agrees = |server: &Server, arguments: [&str; 3], suite: &str| {
        let (agreed, said) = s_client(server.tls, &[&arguments[..], &[suite, "-brief"]].concat());
        assert_eq!(agreed, said.contains(&format!("Ciphersuite: {suite}")), "{said}");
        agreed
    };
    let (old, new) = (["-tls1_2", "-no_ticket", "-cipher"], ["-tls1_3", "-no_ticket", "-ciphersuites"]);
    for (named, wanted) in [
        (format!("{one}:ECDHE-RSA-AES128-GCM-SHA256"), [true, false, true, true]),
        (one_13.to_owned(), [true, true, true, false]),
        (format!("{other},{other_13}"), [false, true, false, true]),
        ("DEFAULT".to_owned(), [true; 4]),
    ] {
        let server = Setup::new().certificates(std::slice::from_ref(&pair)).set("tls.ciphers", &quoted(&named)).start();
        let found =
            [(old, one), (old, other), (new, one_13), (new, other_13)].map(|(how, suite)| agrees(&server, how, suite));
        assert_eq!(found, wanted, "{named}");
    }
}

/// TLS-006: openssl's own client is told which protocol was selected.
#[test]
fn openssl_agrees_on_the_protocol() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let (server, ..) = served();
    for (offered, told) in [("h2,stun.turn", "ALPN protocol: stun.turn"), ("http/1.1", "No ALPN negotiated")] {
        let (agreed, said) = s_client(server.tls, &["-alpn", offered]);
        assert!(agreed && said.contains(told), "{said}");
    }
}

/// Where the operator names authorities, whoever has no certificate of theirs is refused, and told so by an alert; and
/// SIGHUP reads them anew.
#[test]
fn clients_must_show_a_certificate_where_they_are_asked_for_one() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let (authority, trusted, stranger, folder) = (Authority::new(), Authority::new(), Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "server", NAME);
    let good = trusted.issue(&folder, "good", "client.example");
    let wrong = stranger.issue(&folder, "wrong", "client.example");
    let file = folder.write("clients.pem", &trusted.issuer.pem());
    let server = Setup::new().certificates(&[pair]).set("tls.client-ca", &quoted(file.to_str().unwrap())).start();
    let served = |client: &TlsClient| {
        // A client of TLS 1.3 hears of its refusal only after its own handshake.
        let tls = client.try_connect(server.tls, NAME).ok()?;
        let mut client = Client::with_stream(tls, server.addr);
        let request = client.bare(Method::BINDING, |_| {});
        client.try_ask(&request).map(drop)
    };
    for version in [&TLS12, &TLS13] {
        let client = authority.client().version(version);
        relays(&server, client.clone().showing(&good).connect(server.tls, NAME));
        assert_eq!(served(&client.clone().showing(&wrong)), None);
        assert_eq!(served(&client), None);
    }
    let (agreed, said) = s_client(server.tls, &["-tls1_2"]);
    assert!(!agreed && said.contains("SSL alert number"), "{said}");
    let own = ["-cert", good.0.to_str().unwrap(), "-key", good.1.to_str().unwrap(), "-brief"];
    for version in ["-tls1_2", "-tls1_3"] {
        let (agreed, said) = s_client(server.tls, &[&own[..], &[version]].concat());
        assert!(agreed, "{said}");
    }
    let mut plain = Client::tcp(server.tls);
    assert_eq!(plain.binding(), plain.local(), "TCP is as ever");

    folder.write("clients.pem", &stranger.issuer.pem());
    server.signal("HUP");
    eventually("the other authority is trusted", || served(&authority.client().showing(&wrong)));
    assert_eq!(served(&authority.client().showing(&good)), None);
    folder.write("clients.pem", "no certificate");
    server.signal("HUP");
    server.err.wait_for("certificates stay as they were");
    assert_eq!(served(&authority.client().showing(&wrong)), Some(()));
}

/// TLS-001: an RSA certificate, as many sites have, with the suite that RFC 8489 names.
#[test]
fn an_rsa_certificate_serves_too() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let folder = Folder::new();
    let (chain, key) = (folder.path("rsa.pem"), folder.path("rsa.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=turn.example"])
        .args(["-addext", "subjectAltName=DNS:turn.example", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", chain.to_str().unwrap(), "-keyout", key.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Setup::new().certificates(&[(chain.clone(), key)]).start();
    let (agreed, said) = s_client(server.tls, &["-tls1_2", "-brief", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert!(agreed && said.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{said}");
    let client = TlsClient::trusting(vec![leaf(&chain)]);
    relays(&server, client.connect(server.tls, NAME));
}

/// TLS-006.
#[test]
fn the_protocols_of_turn_are_selected_and_no_others_are_needed() {
    let (server, authority, ..) = served();
    let cases: [(&[&str], Option<&str>); 5] = [
        (&["stun.turn"], Some("stun.turn")),
        (&["stun.nat-discovery"], Some("stun.nat-discovery")),
        (&["h2", "stun.turn"], Some("stun.turn")),
        (&[], None),
        (&["h2", "http/1.1"], None),
    ];
    for (offered, selected) in cases {
        for version in [&TLS12, &TLS13] {
            let tls = authority.client().version(version).alpn(offered).connect(server.tls, NAME);
            assert_eq!(tls.conn.alpn_protocol(), selected.map(str::as_bytes), "{offered:?}");
            relays(&server, tls);
        }
    }
}

/// TLS-011: each name has its certificate; an unknown one and none at all get the first.
#[test]
fn the_certificate_is_chosen_by_name() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pairs = authority.issue_all(&folder);
    let server = Setup::new().certificates(&pairs).start();
    for (asked, at) in CHOICES {
        match authority.client().try_connect(server.tls, asked) {
            Ok(tls) => assert_eq!(shown(&tls), leaf(&pairs[at].0), "{asked}"),
            // A client that checks the name will not have it, but says what it was shown.
            Err(error) => assert!(error.to_string().contains(&format!("only valid for DnsName(\"{}\")", NAMES[at]))),
        }
    }
    let mut config = authority.client().config();
    config.enable_sni = false;
    let tls = shake(Arc::new(config), server.tls, "one.example").unwrap();
    assert_eq!(shown(&tls), leaf(&pairs[0].0));
}

/// DEMUX-008: one port serves both; the first byte says which, on the plain port as on that of TLS.
#[test]
fn one_port_serves_tls_and_plain_tcp() {
    let (server, authority, ..) = served();
    for addr in [server.addr, server.tls] {
        relays(&server, authority.client().connect(addr, NAME));
        let mut plain = Client::tcp(addr).named(ALICE);
        plain.allocate();
        assert_eq!(plain.binding(), plain.local());
    }
}

/// TLS-008: a certificate that is replaced is shown after SIGHUP, old connections live on, and a bad one changes
/// nothing.
#[test]
fn a_replaced_certificate_is_shown_after_sighup_and_a_bad_one_never() {
    let (server, authority, (chain, key), folder) = served();
    let client = authority.client();
    let mut old = relays(&server, client.connect(server.tls, NAME));
    let first = leaf(&chain);

    let (new_chain, new_key) = authority.issue(&folder, "second", NAME);
    let second = leaf(&new_chain);
    std::fs::copy(&new_chain, &chain).unwrap();
    std::fs::copy(&new_key, &key).unwrap();
    assert_eq!(shown(&client.connect(server.tls, NAME)), first, "nothing is read before it is said");
    server.signal("HUP");
    eventually_shows(&client, server.tls, NAME, &second);
    assert_eq!(old.refresh(600), None, "the old connection lives");

    // The chain without its key, as when a renewal is half done.
    std::fs::copy(authority.issue(&folder, "third", NAME).0, &chain).unwrap();
    server.signal("HUP");
    server.err.wait_for("certificates stay as they were");
    assert_eq!(shown(&client.connect(server.tls, NAME)), second);
    std::fs::write(&chain, "no certificate").unwrap();
    server.signal("HUP");
    eventually("the second refusal", || {
        (server.err.text().matches("certificates stay as they were").count() == 2).then_some(())
    });
    relays(&server, client.connect(server.tls, NAME));
    assert_eq!(old.refresh(600), None);
}

/// TLS-007, FRAME-002, FRAME-003: records are no messages: one may hold many, and many may make one.
#[test]
fn large_records_and_small_ones_make_the_same_stream() {
    let (server, authority, ..) = served();
    let mut client = Client::with_stream(authority.client().connect(server.tls, NAME), server.addr).named(ALICE);
    let peer = peer();
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    // Each write is a record.
    for byte in [&b"\x40\x00\x00\x05hello\0\0\0"[..], &b"\x40\x00\x00\x03you\0"[..]].concat() {
        client.send_raw(&[byte]);
    }
    assert_eq!([receive(&peer).0, receive(&peer).0], [b"hello".to_vec(), b"you".to_vec()]);
    let many: Vec<u8> = (0..150_u16).flat_map(|n| [&[0x40, 0, 0, 2][..], &n.to_be_bytes(), &[0, 0]].concat()).collect();
    client.send_raw(&many);
    for n in 0..150_u16 {
        assert_eq!(receive(&peer).0, n.to_be_bytes());
    }
    let large = vec![0x77; 40_000];
    client.send_channel(0x4000, &large);
    assert!(receive(&peer).0 == large);
    peer.send_to(&large, relayed).unwrap();
    assert!(client.hear() == Heard::Channel(0x4000, large));
}

/// TLS-007: an Allocate in early data could be replayed.
#[test]
fn early_data_is_not_accepted() {
    let (server, authority, ..) = served();
    let mut config: ClientConfig = authority.client().config();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let tls = shake(Arc::clone(&config), server.tls, NAME).unwrap();
    // The ticket of the first connection comes with what follows its handshake.
    relays(&server, tls);
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let mut again = rustls::ClientConnection::new(config, name).unwrap();
    assert!(again.early_data().is_none(), "the server's ticket allows none");
}

/// FRAME-015: a client that says goodbye after its requests gets the answers.
#[test]
fn a_goodbye_within_tls_does_not_cost_the_answers() {
    let (server, authority, ..) = served();
    let mut tls = authority.client().connect(server.tls, NAME);
    let mut client = Client::udp(server.addr);
    let requests = [client.bare(Method::BINDING, |_| {}), client.bare(Method::BINDING, |_| {})];
    tls.write_all(&requests.concat()).unwrap();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    let mut client = Client::with_stream(tls, server.tls);
    for request in requests {
        let Heard::Message(answer) = client.hear() else { panic!("an answer") };
        assert_eq!(answer.bytes[8..20], request[8..20]);
    }
    assert_eq!(client.hear(), Heard::End);
}

/// A further listener of the operator's choice.
#[test]
fn an_extra_port_may_serve_tls_alone() {
    let (authority, folder, setup) = (Authority::new(), Folder::new(), Setup::new());
    let extra = SocketAddr::new(setup.ip, free_port());
    let pair = authority.issue(&folder, "first", NAME);
    let server = setup.certificates(&[pair]).set("listen.extra", &quoted(&format!("tls://{extra}"))).start();
    relays(&server, authority.client().connect(extra, NAME));
    let mut plain = Client::tcp(extra);
    let request = plain.bare(Method::BINDING, |_| {});
    plain.send_raw(&request);
    let mut said = Vec::new();
    _ = plain.stream().read_to_end(&mut said);
    assert!(said.is_empty() || said[0] == ALERT, "no plain answer: {said:02x?}");
}

/// The first byte of a TLS record that says what is wrong.
const ALERT: u8 = 0x15;

/// FRAME-008, TURN-038: within TLS as without.
#[test]
fn a_broken_stream_within_tls_ends_and_takes_its_allocation_along() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let server = Setup::new().certificates(&[pair]).set("limits.user-allocations", "1").start();
    for goodbye in [true, false] {
        let mut client = Client::with_stream(authority.client().connect(server.tls, NAME), server.addr).named(ALICE);
        eventually("the quota is free", || client.try_allocate().ok());
        match goodbye {
            true => {
                client.send_raw(b"\xFF\xFF no message begins so");
                assert_eq!(client.hear(), Heard::End);
            }
            false => drop(client),
        }
    }
    let mut plain = Client::tcp(server.tls);
    plain.stream().write_all(b"\x16\x03\x01\x00\x04junk").unwrap();
    // An alert says why, then the connection ends.
    let mut said = Vec::new();
    _ = plain.stream().read_to_end(&mut said);
    assert!(said.is_empty() || said[0] == ALERT);
    let mut last = server.alice();
    eventually("the quota is free", || last.try_allocate().ok());
}
