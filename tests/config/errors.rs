//! What is said when a file is wrong: where, what, and what to do.

use crate::{assert_says, bad, with_user};

#[test]
fn an_unknown_key_names_its_place_and_the_nearest() {
    let errors = bad("hairpin.toml", "[limits]\n\n    user-alocations = 3\n");
    assert_eq!(
        errors,
        ["hairpin.toml:3:5: limits.user-alocations: unknown key; did you mean limits.user-allocations?"]
    );
}

#[test]
fn an_unknown_option_names_its_line_and_the_nearest() {
    let errors = bad("turnserver.conf", &with_user("\nlistening-prot=3478"));
    assert_eq!(errors, ["turnserver.conf:3: listening-prot: unknown option; did you mean listening-port?"]);
}

#[test]
fn a_secret_that_sticks_to_its_name_is_not_repeated() {
    for (line, says) in [
        ("static-auth-secret:hush", "t.conf:2: static-auth-secret: a value sticks to the name"),
        ("static-auth-secret:hush;", "t.conf:2: static-auth-secret: a value sticks to the name"),
        ("static-auth-secret:a-long-one-to-hush-up", "t.conf:2: static-auth-secret: a value sticks to the name"),
        ("static-auth-secrethush", "t.conf:2: static-auth-secret: a value sticks to the name"),
        ("static-auth-secrte:hush", "t.conf:2: static-auth-secrte: unknown option; did you mean static-auth-secret?"),
        ("auth.secrets:hush", "t.conf:2: auth.secrets: a value sticks to the name"),
        ("user:alice:hush", "t.conf:2: user: a value sticks to the name"),
        ("user-qouta=hush", "t.conf:2: user-qouta: unknown option; did you mean user-quota?"),
    ] {
        let failed = hairpin::config::from_text("t.conf", &with_user(line)).unwrap_err();
        let errors = crate::lines(&failed.errors);
        assert_says(&errors, says);
        let all = [errors, crate::lines(&failed.warnings)].concat().concat();
        assert!(!all.contains("hush"), "{all}");
        let converted = hairpin::config::convert("t.conf", line).unwrap_err();
        assert!(!crate::lines(&converted).concat().contains("hush"));
    }
}

#[test]
fn a_name_of_coturn_in_toml_is_translated() {
    assert_says(&bad("t.toml", "listening-port = 3478\n"), "it is coturn's name for listen.port");
    assert_says(&bad("t.toml", "[auth]\nstatic-auth-secret = \"x\"\n"), "it is coturn's name for auth.secrets");
}

#[test]
fn a_key_in_the_wrong_section_is_found() {
    assert_says(&bad("t.toml", "[relay]\nnonce-lifetime = 3\n"), "did you mean auth.nonce-lifetime?");
}

#[test]
fn a_name_like_no_other_points_to_the_reference() {
    assert_says(
        &bad("t.toml", "[zebra]\nstripes = 3\n"),
        "t.toml:1:2: zebra: unknown key; remove it, or see `hairpin reference`",
    );
    assert_says(&bad("t.conf", &with_user("zebra=3")), "zebra: unknown option; remove it, or see `hairpin reference`");
}

#[test]
fn a_value_of_the_wrong_type_says_what_to_write() {
    let errors = bad("t.toml", "[listen]\nport = \"3478\"\nudp = 1\naddresses = [\"::\", 3]\n[auth]\nrealm = true\n");
    assert_says(&errors, "t.toml:2:1: listen.port: this is a string; write a port (1 to 65535), as in port = 3478");
    assert_says(&errors, "t.toml:3:1: listen.udp: this is an integer; write true or false, as in udp = true");
    assert_says(&errors, "t.toml:4:20: listen.addresses: this is an integer; write an IP address");
    assert_says(&errors, "t.toml:6:1: auth.realm: this is a boolean; write a realm");
    assert_eq!(errors.len(), 4);
}

#[test]
fn a_value_out_of_bounds_says_the_bounds() {
    assert_eq!(
        bad("t.toml", "relay.min-port = 70000\n"),
        ["t.toml:1:7: relay.min-port: 70000 is not a port (1 to 65535)"]
    );
    assert_eq!(
        bad("t.conf", &with_user("stale-nonce=never")),
        ["t.conf:2: stale-nonce: \"never\" is not a duration such as 90s, 10m or 1h, from 0 s to 31622400 s"]
    );
    assert_says(&bad("t.toml", "limits.channels = 0\n"), "0 is not a whole number from 1 to 16383");
    assert_says(&bad("t.toml", "relay.default-family = \"ipv5\"\n"), "\"ipv5\" is not one of ipv4, ipv6, client");
    assert_says(&bad("t.toml", "peers.nat64 = [\"64:ff9b::/95\"]\n"), "its length is 32, 40");
}

#[test]
fn every_error_of_a_file_is_reported() {
    assert_eq!(bad("t.toml", "a = 1\n[listen]\nport = 0\nudp = 3\n[relay]\nb = \n").len(), 5);
    assert_eq!(bad("t.conf", "foo\nlistening-port=0\nserver-relay\nno-udp=perhaps\n").len(), 5);
}

#[test]
fn broken_toml_names_its_place() {
    assert_says(&bad("t.toml", "[listen\nport = 1\n"), "t.toml:1:");
    assert_says(&bad("t.toml", "[listen]\nport = 1\nport = 2\n"), "t.toml:3:1: not TOML: duplicate key");
    assert_says(&bad("t.toml", "[[listen]]\nport = 1\n"), "listen: a section; write [listen]");
}

#[test]
fn an_option_without_its_value_says_so() {
    assert_eq!(bad("t.conf", &with_user("realm=")), ["t.conf:2: realm: it has no value; give one or remove the line"]);
}

#[test]
fn a_line_that_ends_in_a_semicolon_is_warned_of() {
    let warnings = crate::lines(&crate::good("t.conf", &with_user("realm=a.b;")).warnings);
    assert_says(&warnings, "t.conf:2: realm: the line ends in a semicolon");
}

#[test]
fn a_user_table_names_what_is_wrong() {
    assert_says(&bad("t.toml", "auth.users = [{ name = \"a\", pass = \"b\" }]\n"), "write name, and password or key");
    assert_says(&bad("t.toml", "auth.users = [{ name = \"a\" }]\n"), "either a password or a key");
    assert_says(&bad("t.toml", "auth.users = [{ password = \"a\" }]\n"), "the user has no name");
    assert_says(&bad("t.toml", "auth.users = [{ name = \"a\", key = \"0x12\" }]\n"), "32 hexadecimal digits");
}
