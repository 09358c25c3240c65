//! The protocols of RFC 7443, in both forms that they have.

use hairpin::wire::alpn::{LIST, NAMES};

/// RFC 7301 §3.1: a list of names, each with its length in one byte before it.
#[test]
fn the_list_is_that_of_the_names() {
    let listed: Vec<u8> = NAMES.iter().flat_map(|name| [&[name.len() as u8], *name].concat()).collect();
    assert_eq!(LIST, listed);
}
