//! What the README says is so: its configurations load, its files exist, its commands are commands.
#![allow(missing_docs, clippy::unwrap_used)]

use hairpin::{cli, config};
use std::collections::BTreeSet;
use std::path::Path;

const README: &str = include_str!("../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let parts = README.split("```").skip(1).step_by(2);
    parts.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// Everything between backticks.
fn quoted() -> impl Iterator<Item = &'static str> {
    README.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn its_configurations_load() {
    let all = blocks("toml");
    assert!(all.len() >= 2);
    for text in all {
        // Files of secrets and certificates are the reader's own: what is wrong may only be that they are absent.
        let errors = config::from_text("README.toml", text).err().map(|failed| failed.errors).unwrap_or_default();
        let other: Vec<String> =
            errors.iter().map(ToString::to_string).filter(|e| !e.contains("No such file")).collect();
        assert!(other.is_empty(), "{text}\n{other:?}");
    }
}

#[test]
fn its_files_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = quoted()
        .filter(|text| ["src/", "tests/", "config/", ".ci/", "docs/", "examples/"].iter().any(|f| text.starts_with(f)));
    let missing: Vec<&str> = named.filter(|file| !root.join(file).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn its_table_of_commands_is_the_list_of_commands() {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `hairpin "));
    let named: BTreeSet<String> = rows.filter_map(|rest| rest.split('`').next()).map(str::to_owned).collect();
    let known =
        cli::command().get_subcommands().map(|c| c.get_name().to_owned()).filter(|name| name != "help").collect();
    assert_eq!(named, known);
}

#[test]
fn its_keys_are_keys() {
    let known: BTreeSet<&str> = config::keys().chain(config::coturn_names()).collect();
    let dotted = quoted().filter(|text| {
        text.split_once('.').is_some_and(|(group, key)| {
            ["listen", "relay", "auth", "peers", "limits", "tls", "log", "protocol"].contains(&group)
                && !key.contains('/')
        })
    });
    let unknown: Vec<&str> = dotted.filter(|key| !known.contains(key)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_page_of_metrics_is_the_list_of_metrics() {
    let page = include_str!("../docs/metrics.md");
    let table = hairpin::admin::metrics::page();
    assert!(page.ends_with(&table), "docs/metrics.md should end with what `hairpin metrics --list` prints:\n{table}");
}
