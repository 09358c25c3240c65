//! Realms: what they have of their own, what they take from above, and what is said when they are wrong.

use crate::{bad, good};
use hairpin::config::{Config, from_text, report};

/// Reads TOML that is right.
fn toml(text: &str) -> Config {
    good("a.toml", text).config
}

/// A realm above and two others.
const THREE: &str = r#"
[auth]
realm = "example.org"
users = ["alice:secret-above"]
[limits]
user-allocations = 3
[peers]
deny = ["198.51.100.0/24"]
[[realm]]
name = "north.example"
origins = ["HTTPS://North.example:443/"]
listeners = ["0.0.0.0:3478"]
auth.secrets = ["0123456789abcdef"]
[[realm]]
name = "south.example"
server-names = ["Turn.South.example"]
limits.allocations = 7
[realm.peers]
allow = ["10.1.0.0/16"]
"#;

#[test]
fn a_realm_has_what_it_says_and_the_rest_from_above() {
    let config = toml(THREE);
    let [north, south] = &config.realms[..] else { panic!("{:?}", config.realms) };
    assert_eq!((&*north.auth.realm, &*south.auth.realm), ("north.example", "south.example"));
    assert_eq!(north.origins, ["https://north.example"], "as a browser writes it");
    assert_eq!(south.server_names, ["turn.south.example"]);
    assert_eq!(north.listeners, ["0.0.0.0:3478".parse().unwrap()]);
    assert!(north.auth.users.is_empty(), "a realm with a secret of its own has no users from above");
    assert_eq!(north.auth.secrets, ["0123456789abcdef"]);
    assert_eq!(south.auth.users, config.auth.users);
    assert_eq!((north.limits.user_allocations, south.limits.user_allocations), (3, 3));
    assert_eq!((config.limits.allocations, south.limits.allocations), (100_000, 7));
    assert_eq!((&north.peers, south.peers.allow.len()), (&config.peers, 1));
    assert_eq!(south.peers.deny, config.peers.deny);
    assert_eq!((&*config.auth.realm, config.auth.users.len()), ("example.org", 1), "the one above is what it was");
}

#[test]
fn a_name_for_tokens_is_never_taken_from_above() {
    let text = "[oauth]\nenabled = true\nserver-name = \"turn\"\n[[realm]]\nname = \"north\"\norigins = \"https://n.example\"\nauth.users = \"alice:long-enough\"\n";
    let config = toml(text);
    assert_eq!(config.oauth.server_name.as_deref(), Some("turn"));
    assert_eq!((config.realms[0].oauth.enabled, &config.realms[0].oauth.server_name), (true, &None));
}

#[test]
fn what_would_run_names_each_realm() {
    let told = report(&toml(THREE));
    for line in [
        "realm        north.example: by origin https://north.example; by listener 0.0.0.0:3478",
        "  users      0 by name, 1 shared secrets, realm north.example",
        "realm        south.example: by server name turn.south.example",
        "  users      1 by name, 0 shared secrets, realm south.example",
        "  limits     allocations: 7 in all, 3 of a user",
    ] {
        assert!(told.lines().any(|is| is.starts_with(line)), "{line} in\n{told}");
    }
    assert!(!told.contains("0123456789abcdef"), "{told}");
}

/// A realm with this beside its name and its users, after what stands above.
fn with(above: &str, line: &str) -> String {
    format!(
        "{above}\n[[realm]]\nname = \"first\"\norigins = \"https://one.example\"\nauth.users = \"alice:long-enough\"\n[[realm]]\n{line}\n"
    )
}

/// The one error of such a realm begins so and holds this.
#[track_caller]
fn refuses(above: &str, line: &str, place: &str, says: &str) {
    let errors = bad("a.toml", &with(above, line));
    assert!(errors.iter().any(|error| error.contains(place) && error.contains(says)), "{place} {says}: {errors:#?}");
    assert_eq!(errors.len(), 1, "{errors:#?}");
}

#[test]
fn errors_name_the_realm_and_the_key() {
    const FIT: &str = "name = \"second\"\nauth.users = \"bob:long-enough\"\norigins = \"https://two.example\"";
    let fit = |more: &str| format!("{FIT}\n{more}");
    assert!(from_text("a.toml", &with("", FIT)).is_ok());
    refuses(
        "",
        "name = \"second\"\nauth.users = \"bob\"\nauth.secrets = \"0123456789abcdef\"",
        "a.toml:8:14: realm[2].auth.users: ",
        "not a user",
    );
    refuses(
        "",
        "name = \"second\"\nauth.users = [\"b:long-enough\", \"b:other-enough\"]",
        "realm[2].auth.users: ",
        "given twice",
    );
    refuses("", &fit("limits.bandwidth = \"fast\""), "realm[2].limits.bandwidth: ", "bytes in a second");
    refuses("", &fit("peers.denny = []"), "realm[2].peers.denny: ", "did you mean peers.deny?");
    refuses("", &fit("listen.port = 1"), "realm[2].listen: ", "not a realm's to say");
    refuses("", &fit("server-names = \"192.0.2.1\""), "realm[2].server-names: ", "not a server name");
    for wrong in ["*", "*.", "*..example", "a*.example", "turn.*.example", "*.*.example", "*example"] {
        refuses("", &fit(&format!("server-names = {wrong:?}")), "realm[2].server-names: ", "write *.example.org");
    }
    refuses("", &fit("server-names = \"*.192.0.2.1\""), "realm[2].server-names: ", "not a server name");
    refuses(
        "",
        "name = \"second\"\nauth.users = \"bob:long-enough\"\norigins = \"two.example\"",
        "realm[2].origins: ",
        "not an origin",
    );
    refuses("", "name = \"\"\nauth.users = \"bob:long-enough\"", "realm[2].name: ", "");
    refuses("", "auth.users = \"bob:long-enough\"\norigins = \"https://two.example\"", "realm[2]: ", "no name");
    refuses("", "name = \"second\"\norigins = \"https://two.example\"", "realm[2]: ", "nobody may allocate in it");
    refuses("", "name = \"first\"\nauth.users = \"bob:long-enough\"", "realm[2]: ", "the name of two realms");
    refuses(
        "",
        "name = \"second\"\nauth.users = \"bob:long-enough\"\norigins = \"https://one.example\"",
        "realm[2]: ",
        "belongs to two realms",
    );
    refuses("", &fit("listeners = \"192.0.2.1:9\""), "realm[2]: ", "listen.extra");
    refuses("auth.anonymous = true", FIT, "auth.anonymous: ", "users and secrets mean nothing");
    let above = "auth.realm = \"above\"\nauth.users = \"carol:0x7da2270ccfa49786e0115366d3a3d14d\"";
    refuses(above, "name = \"second\"\norigins = \"https://two.example\"", "realm[2]: ", "another realm");
}

#[test]
fn a_wildcard_is_a_whole_label() {
    let realm = |origin: &str, name: &str| {
        with(
            "",
            &format!(
                "name = \"second\"\nauth.users = \"bob:long-enough\"\norigins = {origin:?}\nserver-names = {name:?}"
            ),
        )
    };
    let config = toml(&realm("HTTPS://*.Example.org:443", "*.Example.org"));
    assert_eq!(config.realms[1].origins, ["https://*.example.org"]);
    assert_eq!(config.realms[1].server_names, ["*.example.org"]);
    for wrong in [
        "https://*",
        "https://*.",
        "https://*:8443",
        "https://*.:8443",
        "https://a*.example",
        "*://a.example",
        "https://*.*.example",
    ] {
        let errors = bad("a.toml", &realm(wrong, "*.example.org"));
        let says =
            |error: &String| error.contains("realm[2].origins: ") && error.contains("write https://*.example.org");
        assert!(errors.iter().any(says), "{wrong}: {errors:#?}");
    }
}

#[test]
fn two_realms_may_share_no_wildcard_but_one_may_name_what_it_covers() {
    let realms = |first: &str, second: &str| {
        let realm = |name: &str, at: &str| {
            format!("[[realm]]\nname = {name:?}\nauth.users = \"bob:long-enough\"\nserver-names = {at:?}\n")
        };
        realm("first", first) + &realm("second", second)
    };
    assert!(from_text("a.toml", &realms("*.example.org", "turn.example.org")).is_ok());
    assert!(from_text("a.toml", &realms("*.example.org", "*.turn.example.org")).is_ok());
    assert!(bad("a.toml", &realms("*.example.org", "*.Example.org"))[0].contains("belongs to two realms"));
}

#[test]
fn one_bracket_or_no_table_is_no_realm() {
    assert!(bad("a.toml", "[realm]\nname = \"north\"\n")[0].contains("write [[realm]]"));
    assert!(bad("a.toml", "realm = [1]\n")[0].contains("realm[1]: this is not a realm"));
}

#[test]
fn a_realm_that_nobody_comes_to_is_a_risk() {
    let loaded = from_text("a.toml", &with("", "name = \"second\"\nauth.users = \"bob:long-enough\"")).unwrap();
    assert!(loaded.warnings.iter().any(|w| w.to_string().contains("realm[2]: no client comes to it")));
}

#[test]
fn coturns_check_of_origins_is_a_key() {
    let loaded =
        from_text("turnserver.conf", "lt-cred-mech\nuser=alice:secret12\nrealm=a\ncheck-origin-consistency\n").unwrap();
    assert!(loaded.config.protocol.check_origin);
    assert!(!loaded.warnings.iter().any(|w| w.to_string().contains("origin")), "{:?}", loaded.warnings);
}

/// The reference shows a realm as a comment; with the comment signs taken off it is one.
#[test]
fn the_reference_shows_a_realm() {
    let reference = hairpin::config::reference();
    let realm = reference.split_once("# [[realm]]\n").unwrap().1;
    let keys = realm.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.contains(" = "));
    let realm: String = keys.map(|line| format!("{}\n", line.replace("…", "north"))).collect();
    assert_eq!(realm.matches(" = ").count(), 4, "{realm}");
    let config = toml(&format!("[[realm]]\n{realm}auth.users = \"alice:long-enough\"\n"));
    assert_eq!(config.realms[0].auth.realm, "north");
}
