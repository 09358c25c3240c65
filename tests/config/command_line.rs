//! The command line, the environment, and which of them is stronger.

use crate::{assert_says, file, hairpin, hairpin_with, runs};

#[test]
fn nothing_at_all_runs_the_defaults() {
    assert_eq!(runs(""), hairpin::config::Config::default());
}

#[test]
fn a_command_line_of_coturn_keeps_working() {
    let path = file("line.conf", "realm=from.file\nuser=bob:long-enough\n");
    let config = runs(&format!(
        "-c {path} -v -L 192.0.2.1 -L 192.0.2.2 -p 3500 -E 192.0.2.1 -X 203.0.113.1/192.0.2.1 -a -f --no-tls --min-port=20000 -m 1 -l stdout"
    ));
    let addrs: Vec<String> = config.listen.iter().map(|l| l.addr.to_string()).collect();
    assert_eq!(addrs, ["192.0.2.1:3500", "192.0.2.2:3500"]);
    assert_eq!(config.auth.realm, "from.file");
    assert_eq!(config.relay.ports, 20000..=65535);
    assert!(config.protocol.fingerprint);
    assert_eq!((config.workers, config.log.file), (1, None));
}

#[test]
fn short_letters_may_stand_together() {
    let config = runs("-nvaf -u alice:long-enough -r a.b");
    assert!(config.protocol.fingerprint);
    assert_eq!(config.auth.realm, "a.b");
}

#[test]
fn metrics_are_no_json_and_the_command_says_what_is() {
    for line in ["metrics --json", "metrics --list --json"] {
        let answer = hairpin(line);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        assert_says(&[answer.err], "as JSON ask `hairpin status --json`");
    }
    assert!(!hairpin("metrics --help").out.contains("--json"));
}

#[test]
fn no_configuration_file_means_none() {
    assert_eq!(runs("-n -c /nonexistent").auth.realm, "hairpin");
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let path = file("order.toml", "[auth]\nrealm = \"file\"\n[listen]\nport = 1001\n[relay]\nmin-port = 2001\n");
    let environment = [("HAIRPIN_AUTH_REALM", "environment"), ("HAIRPIN_LISTEN_PORT", "1002")];
    let answer = hairpin_with(&format!("-c {path} --listen-port 1003"), &environment);
    let config = answer.loaded.unwrap().config;
    assert_eq!(*config.relay.ports.start(), 2001);
    assert_eq!(config.auth.realm, "environment");
    assert_eq!(config.listen[0].addr.port(), 1003);
}

#[test]
fn a_stronger_list_replaces_a_weaker_one() {
    let path = file("lists.toml", "[auth]\nusers = [\"a:long-enough\", \"b:long-enough\"]\n");
    assert_eq!(runs(&format!("-c {path} -u c:long-enough")).auth.users.len(), 1);
}

#[test]
fn lists_in_the_environment_are_split_but_secrets_keep_their_commas() {
    let environment = [
        ("HAIRPIN_LISTEN_ADDRESSES", "192.0.2.1, 192.0.2.2"),
        ("HAIRPIN_AUTH_SECRETS", "0123456789,abcdef fedcba9876543210"),
    ];
    let config = hairpin_with("", &environment).loaded.unwrap().config;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.auth.secrets, ["0123456789,abcdef", "fedcba9876543210"]);
}

#[test]
fn every_key_is_a_flag_and_a_variable() {
    for path in hairpin::config::keys() {
        let name = path.replace(['.', '-'], "_").to_uppercase();
        let answer =
            hairpin_with(&format!("--{}=\u{1}", path.replace('.', "-")), &[(&format!("HAIRPIN_{name}"), "\u{1}")]);
        assert!(
            !answer.err.contains("unexpected argument") && !answer.err.contains("no such key"),
            "{path}: {}",
            answer.err
        );
    }
}

#[test]
fn errors_name_the_variable_or_the_flag() {
    let answer = hairpin_with("--listening-port 70000", &[("HAIRPIN_RELAY_MIN_PORT", "many")]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("error: command line: --listening-port: 70000 is not a port"), "{}", answer.err);
    assert!(
        answer.err.contains("error: environment: HAIRPIN_RELAY_MIN_PORT: \"many\" is not a port"),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("hairpin check"));
}

#[test]
fn unknown_variables_are_warned_of_but_those_of_kubernetes_are_not() {
    let environment = [("HAIRPIN_IMAGE", "x"), ("HAIRPIN_SERVICE_HOST", "x"), ("HAIRPIN_PORT_3478_UDP", "x")];
    let warnings = crate::lines(&hairpin_with("", &environment).loaded.unwrap().warnings);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_says(&warnings, "environment: HAIRPIN_IMAGE: no such key, so it has no effect");
}

#[test]
fn a_mistyped_variable_is_an_error() {
    for (wrong, right) in [
        ("HAIRPIN_PEERS_DENYY", "HAIRPIN_PEERS_DENY"),
        ("HAIRPIN_AUTH_RAELM", "HAIRPIN_AUTH_REALM"),
        ("HAIRPIN_WORKER", "HAIRPIN_WORKERS"),
        ("HAIRPIN_auth_users", "HAIRPIN_AUTH_USERS"),
    ] {
        let answer = hairpin_with("", &[(wrong, "10.0.0.0/8")]);
        assert_eq!(answer.code, 1, "{wrong}");
        let says = format!("error: environment: {wrong}: no such key; did you mean {right}?");
        assert!(answer.err.contains(&says), "{}", answer.err);
    }
}

#[test]
fn a_mistyped_flag_is_answered_with_the_nearest() {
    let answer = hairpin("--listening-prot 3");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("--listening-port"), "{}", answer.err);
    assert_eq!(hairpin("chekc").code, 1);
}

#[test]
fn a_file_that_is_not_there_says_what_to_do() {
    let answer = hairpin("-c /nonexistent/turn.conf");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("/nonexistent/turn.conf: cannot be read"), "{}", answer.err);
}

#[test]
fn the_format_is_seen_from_the_content() {
    let config = runs(&format!("-c {}", file("plain", "# x\nlistening-port=3500\nuser=a:long-enough\n")));
    assert_eq!(config.listen[0].addr.port(), 3500);
    let config = runs(&format!("-c {}", file("other", "# x\n[listen]\nport = 3501\n")));
    assert_eq!(config.listen[0].addr.port(), 3501);
    let config = runs(&format!("-c {}", file("toml.conf", "[listen]\nport = 3502\n")));
    assert_eq!(config.listen[0].addr.port(), 3502);
}

#[test]
fn the_help_is_short_and_says_the_exit_codes() {
    let help = hairpin("--help").out;
    assert!(help.lines().count() < 60, "{help}");
    for word in ["check", "convert", "ice", "reference", "--listen-port", "Exit codes"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains("--mobility"));
    assert!(hairpin("--version").out.starts_with("hairpin "));
}

#[test]
fn check_says_what_would_run_and_what_is_risky() {
    let answer = hairpin("check tests/data/deployment.conf");
    assert_eq!(answer.code, 0);
    for text in [
        "192.168.0.186:3478 udp tcp tls",
        "192.168.0.186 on eth0, ports 49152 to 65535",
        "auto: the best mode that works, on the interfaces of listeners and relays",
        "203.0.113.109",
        "1 by name",
        "private denied",
        "warning: tests/data/deployment.conf:18: user: a password is short",
    ] {
        assert!(answer.out.contains(text), "{text}: {}", answer.out);
    }
    assert!(!answer.out.contains("123456"));
}

#[test]
fn check_of_a_wrong_file_fails() {
    let answer = hairpin(&format!("check {}", file("wrong.toml", "[limits]\nuser-alocations = 1\n")));
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("wrong.toml:2:1: limits.user-alocations: unknown key"), "{}", answer.err);
}

#[test]
fn check_of_a_bad_certificate_fails_with_its_place() {
    let path = file("tls.conf", "user=a:longenough\ncert=one.pem\npkey=one.key\ncert=two.pem\npkey=bad.key\n");
    let answer = hairpin(&format!("check {path}"));
    assert_eq!(answer.code, 1);
    assert!(answer.out.contains("certificate  two.pem"), "{}", answer.out);
    assert!(answer.err.contains(&format!("error: {path}:4: cert: bad.key is bad")), "{}", answer.err);
    assert!(!answer.err.contains(":2:"), "{}", answer.err);
}

#[test]
fn convert_prints_toml() {
    let answer = hairpin("convert tests/data/deployment.conf");
    assert_eq!(answer.code, 0);
    assert!(answer.out.contains("users = [\"jun:123456\"]"), "{}", answer.out);
    assert_eq!(hairpin(&format!("convert {}", file("bad.conf", "listening-port=x\n"))).code, 1);
}

#[test]
fn key_prints_a_stored_key() {
    let answer = hairpin("key --user a --realm b --password c-and-a-lot-more-so-that-there-is-enough");
    assert_eq!((answer.code, answer.out.trim().len()), (0, 34));
    let answer = hairpin("key --user a --realm b --password c-and-a-lot-more-so-that-there-is-enough --sha256");
    assert_eq!(answer.out.trim().len(), 66);
}

/// Runs `ice` and returns its entry.
fn ice(line: &str) -> serde_json::Value {
    let answer = hairpin(line);
    serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{line}: {}", answer.err))
}

#[test]
fn ice_prints_what_really_listens() {
    let entry = ice("-c tests/data/deployment.conf ice");
    assert_eq!((&entry["username"], &entry["credential"]), (&"jun".into(), &"123456".into()));
    let urls = [
        "stun:203.0.113.109:3478",
        "turn:203.0.113.109:3478?transport=udp",
        "turn:203.0.113.109:3478?transport=tcp",
        "turns:203.0.113.109:5349?transport=tcp",
    ];
    assert_eq!(entry["urls"], serde_json::json!(urls));
    let entry = ice("--no-tcp -u a:long-enough ice --host turn.example.org");
    assert_eq!(
        entry["urls"],
        serde_json::json!(["stun:turn.example.org:3478", "turn:turn.example.org:3478?transport=udp"])
    );
}

#[test]
fn ice_makes_time_limited_credentials_of_a_secret() {
    let entry = ice("-L 2001:db8::7 ice --secret s3cret --user alice --ttl 1d");
    let name = entry["username"].as_str().unwrap();
    let (expiry, user) = name.split_once(':').unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((86_390..=86_410).contains(&(expiry.parse::<u64>().unwrap() - now)));
    assert_eq!(user, "alice");
    assert_eq!(entry["credential"], format!("s3cret|{name}"));
    assert_eq!(entry["urls"][0], "stun:[2001:db8::7]:3478");
}

#[test]
fn ice_without_credentials_says_what_to_give() {
    let answer = hairpin("ice --host x");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("--secret"), "{}", answer.err);
    assert_eq!(hairpin("ice --host x --secret s --ttl soon").code, 1);
}

/// What `token` prints as the token, where the stand-in shows what it was made of.
fn token(line: &str) -> String {
    use base64::Engine;
    let answer = hairpin(line);
    let token =
        answer.out.lines().find_map(|line| line.strip_prefix("token: ")).unwrap_or_else(|| panic!("{}", answer.err));
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(token).unwrap()).unwrap()
}

#[test]
fn token_takes_keys_and_names_from_flags_or_the_configuration() {
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    assert_eq!(token(&format!("token --key a:A256GCM:{key} --server-name b --lifetime 2m")), "a|b|120|false");
    let text = format!(
        "[auth]\nrealm = \"main.example\"\n[oauth]\nenabled = true\nkeys = [\"a:A256GCM:{key}\", \"b:A128GCM:{key}\"]\n\
         [[realm]]\nname = \"north.example\"\norigins = [\"https://north.example\"]\n\
         oauth.keys = [\"n:A256GCM:{key}\"]\n"
    );
    let file = file("token.toml", &text);
    assert_eq!(token(&format!("token -c {file} --sha256")), "a|main.example|3600|true");
    assert_eq!(token(&format!("token -c {file} --kid b")), "b|main.example|3600|false");
    assert_eq!(token(&format!("token -c {file} --realm north.example")), "n|north.example|3600|false");
    assert_says(&[hairpin(&format!("token -c {file} --realm x")).err], "no realm");
    assert_says(&[hairpin(&format!("token -c {file} --lifetime soon")).err], "--lifetime");
    assert_says(&[hairpin("token --key a:A256GCM:AAAA --server-name b").err], "--key: a: the key has 3 bytes");
}
