//! The files that come with hairpin.

use hairpin::config::{self, Config};

use crate::good;

#[test]
fn the_reference_is_what_the_table_says() {
    let written = include_str!("../../config/reference.toml");
    assert!(written == config::reference(), "run `hairpin reference > config/reference.toml`");
}

#[test]
fn the_reference_says_the_defaults() {
    assert_eq!(good("reference.toml", &config::reference()).config, Config::default());
}

#[test]
fn the_reference_names_every_key() {
    let reference = config::reference();
    for path in config::keys() {
        let (section, name) = path.split_once('.').unwrap_or(("", path));
        let from = if section.is_empty() { 0 } else { reference.find(&format!("\n[{section}]\n")).unwrap() };
        assert!(reference[from..].contains(&format!("\n{name} = ")), "{path}");
    }
}

#[test]
fn the_file_of_a_new_operator_runs_as_it_is() {
    let loaded = good("hairpin.toml", include_str!("../../config/hairpin.toml"));
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config, Config { auth: loaded.config.auth.clone(), ..Config::default() });
}

#[test]
fn what_a_new_operator_may_uncomment_is_right() {
    let text = include_str!("../../config/hairpin.toml");
    let mut seen = std::collections::HashSet::new();
    let lines = text.lines().map(|line| match line.strip_prefix("# ").and_then(|l| l.split_once(" = ")) {
        Some((key, _)) if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => &line[2..],
        _ => line,
    });
    // Of two examples for one key the first counts; the files of secrets need not exist here.
    let once = lines
        .filter(|line| !line.contains("-file") && (!line.contains(" = ") || seen.insert(line.split(" = ").next())));
    let config = good("hairpin.toml", &once.collect::<Vec<_>>().join("\n")).config;
    assert_eq!(config.auth.users.len(), 2);
    assert!(config.listen.iter().any(|l| l.addr.port() == 443 && l.tls));
}

#[test]
fn the_file_in_coturns_format_runs_as_it_is() {
    let config = good("turnserver.conf", include_str!("../../config/turnserver.conf")).config;
    assert_eq!(config.auth.users[0].name, "alice");
    assert_eq!(config.auth.realm, "turn.example.org");
}
