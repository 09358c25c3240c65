//! What is promised and what is tested: every identifier of the list has a test that names it, or a reason
//! why it has none.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The list: an identifier on each line and, where it has no test, the reason after it.
const LIST: &str = include_str!("data/conformance.txt");

#[test]
fn every_promise_has_a_test_or_a_reason() {
    let (listed, named) = (listed(), named());
    let tested: BTreeSet<&str> = named.keys().map(String::as_str).collect();
    let (mut untested, mut wrong) = (String::new(), Vec::new());
    for (id, reason) in &listed {
        match (tested.contains(id), reason.is_empty()) {
            (false, false) => untested.push_str(&format!("{id:<12} {reason}\n")),
            (false, true) => wrong.push(format!("{id} has neither a test nor a reason")),
            (true, false) => wrong.push(format!("{id} has a test, and still the reason \"{reason}\"")),
            (true, true) => {}
        }
    }
    println!("{untested}\n{} of {} have a test.", listed.len() - untested.lines().count(), listed.len());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn what_tests_name_is_on_the_list() {
    let listed = listed();
    let groups: BTreeSet<&str> = listed.keys().map(|id| group(id)).collect();
    let unknown: Vec<String> = named()
        .into_iter()
        .filter(|(id, _)| groups.contains(group(id)) && !listed.contains_key(id.as_str()))
        .map(|(id, file)| format!("{}: {id} is not on the list", file.display()))
        .collect();
    assert!(unknown.is_empty(), "\n{}\n", unknown.join("\n"));
}

#[test]
fn the_list_names_everything_once() {
    let lines = || LIST.lines().filter(|line| !line.trim().is_empty());
    assert_eq!(listed().len(), lines().count());
    for line in lines() {
        let id = line.split_whitespace().next().unwrap();
        assert_eq!(identifiers(id).as_slice(), [id], "{line:?} begins with an identifier");
    }
}

/// The list as a table.
fn listed() -> BTreeMap<&'static str, &'static str> {
    let lines = LIST.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split_once(' ').map_or((line.trim(), ""), |(id, why)| (id, why.trim()))).collect()
}

/// Every identifier in tests, scenarios and sources, and one file that names it.
fn named() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.join("tests")], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "turn") {
                let text = fs::read_to_string(&path).unwrap();
                found.extend(identifiers(&text).into_iter().map(|id| (id.to_owned(), path.clone())));
            }
        }
    }
    found
}

/// Whatever in a text is capitals, a hyphen, and two or three digits.
fn identifiers(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let fits = |word: &&str| {
        word.split_once('-').is_some_and(|(group, number)| {
            !group.is_empty()
                && group.bytes().all(|c| c.is_ascii_uppercase())
                && matches!(number.len(), 2 | 3)
                && number.bytes().all(|c| c.is_ascii_digit())
        })
    };
    words.filter(fits).collect()
}

/// What stands before the hyphen.
fn group(id: &str) -> &str {
    id.split('-').next().unwrap_or_default()
}
