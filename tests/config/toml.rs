//! Files in TOML.

use std::time::Duration;

use hairpin::config::{Config, UserSecret};

use crate::{assert_says, bad, good};

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(good("hairpin.toml", "").config, Config::default());
}

#[test]
fn the_defaults_serve_every_address_and_want_a_fresh_user() {
    let config = Config::default();
    let addrs: Vec<String> = config.listen.iter().map(|l| l.addr.to_string()).collect();
    assert_eq!(addrs, ["0.0.0.0:3478", "[::]:3478"]);
    assert!(config.listen.iter().all(|l| l.udp && l.tcp && !l.tls));
    assert!(config.wants_fresh_user());
    assert!(!config.auth.anonymous && !config.peers.allow_private && !config.peers.allow_loopback);
}

#[test]
fn users_are_texts_or_tables() {
    let text = "[auth]\nusers = [\"a:secret-1\", { name = \"b:c\", password = \"0x7da2270ccfa49786e0115366d3a3d14d\" }]\nrealm = \"r\"\n";
    let users = good("t.toml", text).config.auth.users;
    assert_eq!(users[1].name, "b:c");
    assert!(matches!(&users[1].secret, UserSecret::Password(p) if p.starts_with("0x")));
    let text = "[[auth.users]]\nname = \"a\"\npassword = \"long-enough\"\n[[auth.users]]\nname = \"b\"\nkey = \"0x7da2270ccfa49786e0115366d3a3d14d\"\n";
    let users = good("t.toml", text).config.auth.users;
    assert!(matches!(users[1].secret, UserSecret::Md5(_)));
}

#[test]
fn further_listeners_name_their_transports() {
    let text = "[listen]\naddresses = []\nextra = [\"udp://192.0.2.1:53\", \"tcp+udp://[::]:443\", \"192.0.2.1:80\"]\n";
    let listen = good("t.toml", text).config.listen;
    let text: Vec<String> = listen.iter().map(|l| format!("{} {} {} {}", l.addr, l.udp, l.tcp, l.tls)).collect();
    assert_eq!(text, ["192.0.2.1:53 true false false", "[::]:443 true true false", "192.0.2.1:80 true true false"]);
}

#[test]
fn one_port_may_serve_everything() {
    let text = "listen.addresses = \"192.0.2.1\"\nlisten.port = 443\nlisten.tls-port = 443\ntls.certificate = \"c\"\ntls.key = \"k\"\n";
    let listen = good("t.toml", text).config.listen;
    assert_eq!(listen.len(), 1);
    assert!(listen[0].udp && listen[0].tcp && listen[0].tls);
}

#[test]
fn durations_may_be_numbers_or_texts() {
    let config = good("t.toml", "limits.lifetime = 900\nauth.nonce-lifetime = \"1h30m\"\n").config;
    assert_eq!(config.limits.lifetime, Duration::from_secs(900));
    assert_eq!(config.auth.nonce_lifetime, Duration::from_secs(5400));
}

#[test]
fn integers_may_have_any_base() {
    assert_eq!(good("t.toml", "listen.port = 0x1F_90\n").config.listen[0].addr.port(), 8080);
    assert_says(&bad("t.toml", "listen.port = 99999999999999999999\n"), "is not a port");
}

#[test]
fn an_empty_list_replaces_the_default() {
    assert_says(&bad("t.toml", "listen.addresses = []\n"), "t.toml:1:8: listen.addresses: nothing is listened to");
}

#[test]
fn secrets_may_stand_in_files() {
    let users = crate::file("users", "# staff\nalice:long-enough\n\nbob:0x7da2270ccfa49786e0115366d3a3d14d\n");
    let secrets = crate::file("secrets", "0123456789abcdef\nfedcba9876543210\n");
    let text = format!(
        "[auth]\nrealm = \"r\"\nusers-file = {users:?}\nsecrets-file = {secrets:?}\nnonce-secret-file = {secrets:?}\n"
    );
    let auth = good("t.toml", &text).config.auth;
    assert_eq!((auth.users.len(), auth.secrets.len()), (2, 2));
    assert_eq!(auth.nonce_secret.as_deref(), Some("0123456789abcdef"));
}

#[test]
fn a_file_of_secrets_that_is_missing_or_empty_is_an_error() {
    let errors = bad("t.toml", "auth.users-file = \"/nonexistent/users\"\n");
    assert_says(&errors, "t.toml:1:6: auth.users-file: /nonexistent/users cannot be read");
    let empty = crate::file("empty", "# nothing\n");
    assert_says(&bad("t.toml", &format!("auth.secrets-file = {empty:?}\n")), "holds nothing");
}

#[test]
fn servers_to_which_clients_are_sent_are_uris_with_a_weight_and_a_name() {
    let text = "[redirect]\nservers = [\"turn:192.0.2.1\", \"turn:[2001:db8::1]:3479?transport=udp&weight=2\", \
        \"turns:192.0.2.2?name=turn.example.org\"]\nat = [\"192.0.0.10\"]\nbefore-auth = true\n";
    let redirect = good("t.toml", text).config.redirect;
    let seen: Vec<_> = redirect.servers.iter().map(|s| (s.addr.to_string(), s.udp, s.tcp, s.tls, s.weight)).collect();
    let wanted = [
        ("192.0.2.1:3478".to_owned(), true, true, false, 1),
        ("[2001:db8::1]:3479".to_owned(), true, false, false, 2),
        ("192.0.2.2:5349".to_owned(), false, false, true, 1),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(redirect.servers[2].name.as_deref(), Some("turn.example.org"));
    assert_eq!((redirect.at.len(), redirect.before_auth), (1, true));
}

#[test]
fn a_server_that_cannot_be_one_is_an_error_with_a_remedy() {
    for (server, remedy) in [
        ("http:192.0.2.1", "write turn:ADDRESS:PORT or turns:ADDRESS:PORT"),
        ("turn:turn.example.org", "write it in numbers"),
        ("turn:0.0.0.0", "is no address of a server"),
        ("turn:192.0.2.1?transport=sctp", "is neither udp nor tcp"),
        ("turn:192.0.2.1?weight=0", "a whole number from 1 to 1000"),
        ("turn:192.0.2.1?name=x.example.org", "remove it or write turns:"),
        ("turns:192.0.2.1?name=ö.example.org", "xn--"),
        ("turn:192.0.2.1?colour=red", "write transport=, name= or weight="),
    ] {
        let errors = bad("t.toml", &format!("[redirect]\nservers = [\"{server}\"]\n"));
        assert_says(&errors, "t.toml:2:");
        assert_says(&errors, remedy);
    }
    assert_says(&bad("t.toml", "[redirect]\nat = [\"192.0.0.10\"]\n"), "name a server in redirect.servers");
}
