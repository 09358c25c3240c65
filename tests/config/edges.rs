//! Values at their edges, and readers that never panic.

use std::time::Duration;

use hairpin::config::{self, from_text};
use proptest::prelude::*;

use crate::{bad, good, hairpin_with};

/// Reads a duration through a key.
fn lifetime(text: &str) -> Option<Duration> {
    let text = format!("auth.rest-max-ttl = {text:?}\n");
    from_text("t.toml", &text).ok().map(|l| l.config.auth.rest_max_ttl)
}

/// Reads a rate through a key.
fn bandwidth(text: &str) -> Option<u64> {
    from_text("t.toml", &format!("limits.bandwidth = {text:?}\n")).ok().map(|l| l.config.limits.bandwidth)
}

#[test]
fn durations_are_read_to_their_edges() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (text, wanted) in [
        ("0", seconds(0)),
        ("90", seconds(90)),
        ("90s", seconds(90)),
        ("10m", seconds(600)),
        ("1h30m", seconds(5400)),
        ("7d", seconds(604_800)),
        ("", None),
        ("m", None),
        ("1", seconds(1)),
        ("1x", None),
        ("-1", None),
        ("1.5h", None),
        ("10 m", None),
        ("1é", None),
        ("18446744073709551615", None),
        ("18446744073709551616s", None),
        ("999999999999999999d", None),
    ] {
        assert_eq!(lifetime(text), wanted, "{text}");
    }
}

#[test]
fn rates_and_sizes_are_read_to_their_edges() {
    for (text, wanted) in [
        ("0", Some(0)),
        ("125000", Some(125_000)),
        ("1kB", Some(1000)),
        ("1KiB/s", Some(1024)),
        ("8Mbit", Some(1_000_000)),
        ("1Mbit/s", Some(125_000)),
        ("2 MB/s", Some(2_000_000)),
        ("1Mb", None),
        ("MB", None),
        ("", None),
        ("1000GB/s", Some(1_000_000_000_000)),
        ("1000000000001", None),
        ("18446744073709551615", None),
        ("18446744073709551616", None),
        ("18446744073709551615GB", None),
    ] {
        assert_eq!(bandwidth(text), wanted, "{text}");
    }
    let errors = bad("t.conf", "user=a:long-enough\nmax-bps=1000\nbps-capacity=18446744073709551615\n");
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with("t.conf:3: bps-capacity: 18446744073709551615 is not bytes in a second"),
        "{errors:?}"
    );
    assert!(errors[0].ends_with("at most 1000GB/s"), "{errors:?}");
    bad("t.toml", "limits.socket-buffer = \"4GiB\"\n");
    assert_eq!(good("t.toml", "limits.socket-buffer = \"4095MiB\"\n").config.limits.socket_buffer, 4095 << 20);
}

#[test]
fn ports_are_read_to_their_edges() {
    for port in ["0", "65536", "-1"] {
        bad("t.toml", &format!("relay.max-port = {port}\n"));
        bad("t.conf", &format!("user=a:b\nmax-port={port}\n"));
    }
    assert_eq!(*good("t.toml", "relay.max-port = 65535\n").config.relay.ports.end(), 65535);
    assert_eq!(*good("t.toml", "relay.min-port = 1\n").config.relay.ports.start(), 1);
}

/// Words from which a text that is nearly right can be made.
fn word() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = config::keys().chain(config::coturn_names()).collect();
    prop_oneof![
        proptest::sample::select(keys).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "=", " = ", "\n", "[", "]", "\"", "0x", "{", "}", ":", ",", "-", "/", "é", "#", ";", "[["
        ])
        .prop_map(str::to_owned),
        any::<u64>().prop_map(|n| n.to_string()),
        ".{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_a_reader_panic(words in proptest::collection::vec(word(), 0..40), any in "(?s).{0,200}") {
        for text in [words.concat(), any] {
            for name in ["t.toml", "t.conf", "t"] {
                let _ = from_text(name, &text);
            }
            let _ = config::convert("t.conf", &text);
        }
    }

    #[test]
    fn what_converts_can_be_read(value in "[a-z0-9:./\"\\\\ é-]{1,20}", name in word()) {
        if let Ok(toml) = config::convert("t.conf", &format!("{name}={value}\n")) {
            let errors = from_text("t.toml", &toml).err().map(|f| crate::lines(&f.errors)).unwrap_or_default();
            prop_assert!(!errors.iter().any(|e| e.contains("not TOML") || e.contains("unknown key")), "{toml}\n{errors:?}");
        }
    }
}

proptest! {
    // A command line for each case is slow to build without optimisation.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_value_makes_a_key_panic(value in "(?s).{0,30}") {
        let variables: Vec<String> = config::keys().map(|k| format!("HAIRPIN_{}", k.replace(['.', '-'], "_").to_uppercase())).collect();
        let environment: Vec<(&str, &str)> = variables.iter().filter(|v| !v.ends_with("_FILE")).map(|v| (v.as_str(), value.as_str())).collect();
        let _ = hairpin_with("", &environment);
    }
}
