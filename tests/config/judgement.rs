//! What is wrong or risky with a configuration as a whole.

use crate::{assert_says, bad, good, lines};

/// Checks that a TOML text is an error that says something.
#[track_caller]
fn error(text: &str, says: &str) {
    assert_says(&bad("t.toml", text), says);
}

/// Checks that a TOML text is a risk that says something.
#[track_caller]
fn risk(text: &str, says: &str) {
    assert_says(&lines(&good("t.toml", text).warnings), says);
}

#[test]
fn ports_in_the_wrong_order_are_an_error() {
    error(
        "relay.min-port = 3000\nrelay.max-port = 2000\n",
        "t.toml:1:7: relay.min-port: 3000 is above relay.max-port, which is 2000",
    );
}

#[test]
fn discovery_needs_two_addresses_that_can_be_told_apart() {
    let needs = "protocol.discovery: needs two addresses of one family";
    error("protocol.discovery = true\n", needs);
    error("protocol.discovery = true\nlisten.addresses = [\"192.0.2.1\", \"2001:db8::1\"]\n", needs);
    let two = "protocol.discovery = true\nlisten.addresses = [\"192.0.2.1\", \"192.0.2.2\"]\n";
    let listens = good("t.toml", two).config.listen;
    for addr in ["192.0.2.1:3478", "192.0.2.2:3478", "192.0.2.1:3479", "192.0.2.2:3479"] {
        assert!(listens.iter().any(|one| one.addr == addr.parse().unwrap() && one.udp && one.tcp), "{addr}");
    }
    error(&format!("{two}relay.external = [\"198.51.100.1\"]\n"), "relay.external: one public address stands for both");
    good("t.toml", &format!("{two}relay.external = [\"198.51.100.1/192.0.2.1\", \"198.51.100.2/192.0.2.2\"]\n"));
    // What is named for one of them goes before what stands for all.
    good("t.toml", &format!("{two}relay.external = [\"198.51.100.1/192.0.2.1\", \"198.51.100.2\"]\n"));
    error(&format!("{two}listen.alternate-port = 3478\n"), "listen.alternate-port: 192.0.2.1:3478 is given twice");
    error(
        &format!("{two}listen.extra = [\"192.0.2.2:3479\"]\n"),
        "listen.alternate-port: 192.0.2.2:3479 is given twice",
    );
}

#[test]
fn a_small_or_privileged_range_of_ports_is_a_risk() {
    risk("relay.min-port = 2000\nrelay.max-port = 2050\n", "there are 51 relay ports only");
    risk("relay.min-port = 1000\n", "system services");
}

#[test]
fn tls_needs_a_certificate_and_a_certificate_needs_tls() {
    error("listen.extra = \"tls://[::]:443\"\n", "t.toml:1:16: listen.extra: TLS needs a certificate");
    error("tls.certificate = \"c.pem\"\n", "give one key for each certificate");
    risk("tls.certificate = \"c\"\ntls.key = \"k\"\nlisten.tls = false\nlisten.dtls = false\n", "not used: TLS is off");
    risk("listen.tls-port = 443\n", "no TLS is served without a certificate");
}

#[test]
fn an_external_address_needs_a_relay_address_of_its_family() {
    error(
        "relay.external = \"2001:db8::1\"\nrelay.addresses = \"192.0.2.1\"\n",
        "2001:db8::1 stands for no relay address",
    );
    error("relay.external = \"203.0.113.1/10.0.0.2\"\nrelay.addresses = \"10.0.0.1\"\n", "stands for no relay address");
    error("relay.external = \"203.0.113.1/::1\"\n", "joins an IPv4 and an IPv6 address");
    error(
        "relay.external = [\"203.0.113.1\", \"203.0.113.2\"]\n",
        "203.0.113.2 stands for a local address that has one",
    );
}

#[test]
fn relays_need_addresses_that_peers_can_reach() {
    error("relay.addresses = \"0.0.0.0\"\n", "cannot be told to peers");
    risk("relay.addresses = [\"127.0.0.1\", \"::1\"]\n", "only this host can reach a loopback address");
}

#[test]
fn listeners_given_twice_are_an_error() {
    error("listen.extra = \"udp://0.0.0.0:3478\"\n", "0.0.0.0:3478 is given twice; remove one");
    good("t.toml", "listen.tcp = false\nlisten.extra = \"tcp://0.0.0.0:3478\"\n");
}

#[test]
fn metrics_need_a_port_that_no_client_comes_to() {
    let at = |metrics: &str, rest: &str| format!("admin.metrics = \"{metrics}\"\n{rest}");
    let one = "listen.addresses = \"192.0.2.1\"\n";
    let six = "listen.addresses = \"2001:db8::1\"\n";
    let anywhere = "listen.addresses = \"::\"\n";
    for (metrics, rest) in [
        ("127.0.0.1:3478", ""),
        (":3478", one),
        ("0.0.0.0:3478", one),
        ("192.0.2.1:3478", one),
        (":3478", six),
        ("[::1]:3478", anywhere),
        ("192.0.2.1:3479", &format!("{one}listen.extra = \"tcp://192.0.2.1:3479\"\n")),
    ] {
        error(&at(metrics, rest), "admin.metrics: ");
    }
    error(
        &at("127.0.0.1:3478", ""),
        "t.toml:1:7: admin.metrics: 127.0.0.1:3478 is taken: clients are served at TCP 0.0.0.0:3478; give another port",
    );
    for (metrics, rest) in [
        ("127.0.0.1:9641", ""),
        ("127.0.0.1:3478", one),
        ("0.0.0.0:3478", six),
        ("127.0.0.1:3478", anywhere),
        (":3478", "listen.tcp = false\n"),
    ] {
        good("t.toml", &at(metrics, rest));
    }
}

#[test]
fn listeners_behind_proxies_need_proxies_and_proxies_need_listeners() {
    let behind = "proxy.from = [\"10.0.0.7\", \"2001:db8::/64\"]\n";
    error("proxy.port = 443\n", "proxy.from: nobody could connect");
    error("listen.extra = \"proxy+tcp://[::]:443\"\n", "proxy.from: nobody could connect");
    risk(behind, "t.toml:1:15: proxy.from: not used: no listener expects a proxy's header");
    risk("proxy.port = 443\nproxy.from = \"0.0.0.0/0\"\n", "anybody may claim to be any client");
    risk(
        "proxy.port = 443\nproxy.from = \"192.0.2.9\"\nredirect.servers = \"turn:192.0.2.7\"\n",
        "would send them in circles",
    );
    error(&format!("proxy.port = 3478\n{behind}"), "t.toml:1:7: proxy.port: 0.0.0.0:3478 is given twice; remove one");
    error("proxy.port = 65536\n", "65536 is not a whole number from 0 to 65535");
    error("proxy.from = \"lb.example.org\"\n", "is not an address or a network such as 10.0.0.0/8");
    error("listen.extra = \"proxy://[::]:443\"\n", "says not what comes by the proxy; write proxy+tcp+tls://[::]:443");
    let text = format!(
        "listen.addresses = \"192.0.2.1\"\nlisten.extra = \"proxy+udp://192.0.2.1:53\"\nproxy.port = 443\n{behind}"
    );
    let config = good("t.toml", &text).config;
    let told = |l: &hairpin::config::Listener| format!("{} {} {} {} {}", l.addr, l.udp, l.tcp, l.tls, l.proxied);
    assert_eq!(
        config.listen.iter().map(told).collect::<Vec<_>>(),
        [
            "192.0.2.1:3478 true true false false",
            "192.0.2.1:443 false true false true",
            "192.0.2.1:53 true false false true",
        ]
    );
    let report = hairpin::config::report(&config);
    assert!(report.contains("192.0.2.1:443 tcp, behind a proxy\n"), "{report}");
    // What serves DTLS behind a proxy needs what serves it elsewhere.
    let dtls = hairpin::config::from_text("t.toml", &format!("listen.extra = \"proxy+udp+dtls://[::]:53\"\n{behind}"));
    let errors: Vec<String> = dtls.unwrap_err().errors.iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|error| error.contains("tls.certificate")), "{errors:?}");
    let entry = hairpin::config::ice_server(&config, &hairpin::config::Hosts::default(), "a", "b").unwrap().to_string();
    assert!(!entry.contains(":443") && !entry.contains(":53"), "clients do not go there themselves: {entry}");
}

#[test]
fn suites_are_named_and_those_that_there_are_not_are_refused_with_those_that_there_are() {
    let all = "there is: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, \
        ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-CHACHA20-POLY1305, \
        ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-CHACHA20-POLY1305";
    for wrong in ["HIGH", "!aNULL", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "RC4-SHA"] {
        let says = format!("t.toml:1:15: tls.ciphers: \"{wrong}\" is not a cipher suite that {all}");
        error(&format!("tls.ciphers = \"ECDHE-RSA-AES128-GCM-SHA256:{wrong}\"\n"), &says);
    }
    let names = "[\"ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256\", \"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\"]";
    assert_eq!(good("t.toml", &format!("tls.ciphers = {names}\n")).config.tls.suites.len(), 3);
    let both = format!("tls.ciphers = {names}\ntls.require-1-3 = true\n");
    risk(&both, "tls.ciphers: some belong to TLS 1.2, which tls.require-1-3 (no-tlsv1_2) refuses");
}

#[test]
fn challenges_are_redirected_to_a_url() {
    let text = "http.acme-redirect = \"https://acme.example/.well-known/acme-challenge/\"\nhttp.acme-directory = \"/srv/acme\"\n";
    let http = good("t.toml", text).config.http;
    assert_eq!(http.redirect.as_deref(), Some("https://acme.example/.well-known/acme-challenge/"));
    assert_eq!(http.challenges.as_deref(), Some(std::path::Path::new("/srv/acme")));
    for wrong in ["acme.example", "ftp://acme.example/", "https://", "http://a b/", "http://a\\r\\nSet-Cookie: b"] {
        error(&format!("http.acme-redirect = \"{wrong}\"\n"), "is not a URL such as https://acme.example.org/");
    }
}

#[test]
fn nothing_to_listen_to_or_to_serve_is_an_error() {
    error("listen.udp = false\nlisten.tcp = false\n", "nothing is listened to");
    error("protocol.stun = false\nprotocol.turn = false\n", "neither STUN nor TURN is served");
}

#[test]
fn nonces_that_live_too_long_are_a_risk() {
    risk("auth.nonce-lifetime = 0\n", "nonces are good for ever");
    risk("auth.nonce-lifetime = \"2h\"\n", "an hour at most");
}

#[test]
fn peers_usually_out_of_reach_are_a_risk() {
    risk("peers.allow-loopback = true\n", "every service of this host");
    risk("peers.allow-private = true\n", "private networks");
    risk("peers.allow-multicast = true\n", "groups");
}

#[test]
fn allowed_ranges_that_open_this_host_or_its_cloud_are_a_risk() {
    for (range, opened) in [
        ("0.0.0.0/0", "loopback, unspecified, link-local, metadata"),
        ("::/0", "loopback, unspecified, link-local, metadata"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("126.0.0.0-127.0.0.0", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("169.254.169.254", "link-local, metadata"),
        ("fd00::/8", "metadata"),
        ("fe80::/10", "link-local"),
    ] {
        risk(
            &format!("peers.allow = [\n  \"10.0.0.0/8\",\n  {range:?},\n]\n"),
            &format!("t.toml:3:3: peers.allow: {range} opens {opened} addresses: "),
        );
    }
    let text = "user=a:longenough\nallowed-peer-ip=10.0.0.1\nallowed-peer-ip=0.0.0.0-255.255.255.255\n";
    assert_says(&lines(&good("t.conf", text).warnings), "t.conf:3: allowed-peer-ip: 0.0.0.0/0 opens loopback");
    for harmless in ["10.0.0.0/8", "192.168.0.1", "2001:db8::/32", "172.16.0.0-172.31.255.255"] {
        let warnings = good("t.toml", &format!("peers.allow = {harmless:?}\n")).warnings;
        assert!(warnings.is_empty(), "{:?}", lines(&warnings));
    }
}

#[test]
fn the_report_tells_what_allowed_ranges_open() {
    for (peers, says) in [
        ("", "private denied, loopback denied, link-local denied, metadata denied, multicast denied"),
        (
            "peers.allow = [\"0.0.0.0/0\", \"::/0\"]\n",
            "private allowed, loopback allowed, link-local allowed, metadata allowed, multicast allowed",
        ),
        ("peers.allow = \"10.0.0.1\"\n", "private allowed in part, loopback denied"),
        ("peers.allow = \"0.0.0.0/0\"\n", "loopback allowed in part"),
        ("peers.allow-loopback = true\n", "private denied, loopback allowed, link-local denied"),
    ] {
        let report = hairpin::config::report(&good("t.toml", peers).config);
        assert!(report.contains(says), "{peers}: {report}");
    }
}

#[test]
fn short_secrets_are_a_risk() {
    risk("auth.secrets = \"short\"\n", "a secret is short");
    risk("auth.users = \"a:short\"\n", "a password is short");
}

#[test]
fn users_that_could_not_log_in_are_an_error() {
    error("auth.users = [\"a:longenough\", \"a:different\"]\n", "\"a\" is given twice");
    error("auth.sha256-only = true\nauth.users = \"a:0x7da2270ccfa49786e0115366d3a3d14d\"\n", "--sha256");
    error(&format!("auth.users = \"{}:longenough\"\n", "a".repeat(509)), "508 bytes");
    error("auth.anonymous = true\nauth.users = \"a:longenough\"\n", "users and secrets mean nothing");
}

#[test]
fn a_realm_that_clients_cannot_send_is_an_error() {
    error("auth.realm = \"\"\n", "is not a realm");
    error(&format!("auth.realm = \"{}\"\n", "r".repeat(128)), "127 characters");
}

#[test]
fn text_that_no_client_can_send_is_an_error() {
    let users = "auth.users = [\n  \"a:longenough\",\n  \"b:long\u{ad}enough\",\n]\n";
    let errors = bad("t.toml", users);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_says(&errors, "t.toml:3:3: auth.users: \"b\": character 5 of the password (U+00AD) is not allowed");
    let errors = bad("t.conf", "user=a:longenough\nuser=b\u{ad}:longenough\n");
    assert_says(&errors, "t.conf:2: user: \"b\\u{ad}\": character 2 of the user name (U+00AD) is not allowed");
    let key = "user=b\u{ad}:0x7da2270ccfa49786e0115366d3a3d14d\nrealm=r\n";
    assert_says(&bad("t.conf", key), "t.conf:1: user: ");
    error("auth.realm = \"a\u{ad}\"\n", "t.toml:1:6: auth.realm: character 2 of the realm (U+00AD) is not allowed");
    good("t.toml", "auth.users = \"Jürgen:Straße naïve ☃\"\n");
}

#[test]
fn a_file_of_users_is_named_with_its_line() {
    let path = crate::file("users", "# users\n\nalice:longenough\nbob\ncarol:long\u{ad}enough\nalice:different\n");
    let errors = bad("t.toml", &format!("auth.users-file = {path:?}\n"));
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_says(&errors, &format!("{path}:4: auth.users-file: this is not a user"));
    assert_says(&errors, &format!("{path}:5: auth.users-file: \"carol\": character 5 of the password (U+00AD)"));
    assert_says(&errors, &format!("{path}:6: auth.users-file: \"alice\" is given twice"));
    assert!(!errors.concat().contains("longenough"));
}

#[test]
fn stored_keys_want_a_realm() {
    risk("auth.users = \"a:0x7da2270ccfa49786e0115366d3a3d14d\"\n", "stored keys hold a realm");
}

#[test]
fn the_sum_of_bandwidths_needs_a_bandwidth() {
    error("limits.total-bandwidth = 1000\n", "which is not set; set it");
    error("limits.total-bandwidth = 1000\nlimits.bandwidth = 2000\n", "no allocation fits");
}

#[test]
fn lifetimes_that_clients_do_not_count_on_are_a_risk() {
    risk("limits.lifetime = 60\n", "use 10m or more");
    risk("limits.permission-lifetime = 60\n", "5 minutes");
    risk("limits.channel-lifetime = 60\n", "10 minutes");
}

#[test]
fn a_level_that_is_none_is_an_error() {
    error("log.level = \"loud\"\n", "t.toml:1:5: log.level: not a level");
    good("t.toml", "log.level = \"warn,hairpin::turn=debug\"\n");
}

#[test]
fn keys_of_third_parties_are_judged() {
    let key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
    let with = |keys: &str| format!("[oauth]\nenabled = true\nkeys = [{keys}]\n");
    let loaded = good("t.toml", &with(&format!("\"a:A256GCM:{key}\", \"b:A128GCM:{key}:100:50\"")));
    let ends: Vec<_> = loaded.config.oauth.keys.iter().map(|key| key.end).collect();
    assert_eq!(ends, [None, Some(150)]);
    assert!(!loaded.config.wants_fresh_user());
    assert!(!format!("{:?}", loaded.config.oauth).contains("65, 66"));
    risk(&with(""), "no token can be opened without a key");
    let loaded = good("t.toml", &with(&format!("\"a:A256GCM:{key}:north\", \"b:A128GCM:{key}:100:50:south\"")));
    let [north, south] = &loaded.config.oauth.keys[..] else { panic!() };
    assert_eq!((&*north.group, north.end, &*south.group, south.end), ("north", None, "south", Some(150)));
    error(&with(&format!("\"a:A256GCM:{key}:100\"")), "a: write TIMESTAMP:LIFETIME, or a group");
    error(&with(&format!("\"a:A256GCM:{key}:\"")), "a: write TIMESTAMP:LIFETIME, or a group");
    risk(&format!("oauth.keys = [\"a:A256GCM:{key}\"]\n"), "not used: set oauth.enabled");
    error(&with(&format!("\"a:A256GCM:{key}\", \"a:A128GCM:{key}\"")), "a is given twice");
    error(&with(&format!("\"a:A256CBC:{key}\"")), "a: write A256GCM or A128GCM");
    error(&with("\"a:A256GCM:c2hvcnQ=\""), "a: the key has 5 bytes; give 32 or more");
    error(&with("\"a:A256GCM:?\""), "a: the key is not base64");
    error(&with(&format!("\"a:A256GCM:{key}:x:1\"")), "a: write TIMESTAMP and LIFETIME");
    error(&with("\"a\""), "write KID:A256GCM:KEY");
}

#[test]
fn third_party_authorisation_is_read_from_a_file_of_coturns() {
    let loaded = good("t.conf", "user=ada:correct horse\noauth\nserver-name=turn.example.org\n");
    let oauth = &loaded.config.oauth;
    assert_eq!((oauth.enabled, oauth.server_name.as_deref()), (true, Some("turn.example.org")));
    assert_says(&lines(&loaded.warnings), "no token can be opened without a key");
}
