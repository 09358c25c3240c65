//! The corpus of the fuzz targets, replayed through the same functions by a stable compiler. Whatever a
//! fuzzer has found stands there, so that it is found once.

#![allow(clippy::unwrap_used)]

#[path = "../fuzz/checks/message.rs"]
mod message;
#[path = "../fuzz/checks/operations.rs"]
mod operations;
#[path = "../fuzz/checks/stream.rs"]
mod stream;

use std::fs;
use std::path::Path;

/// Gives every file of a corpus to the target's function.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A panic does not say which file it was; the last line before it does.
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "there is a corpus");
}

/// SEC-41.
#[test]
fn messages_are_read_or_refused() {
    replay("message", message::check);
}

/// FRAME-001, FRAME-002, SEC-41.
#[test]
fn streams_are_cut_alike_however_they_come() {
    replay("stream", stream::check);
}

/// AMP-003, SEC-34, SEC-38, SEC-39.
#[test]
fn nothing_is_left_when_all_has_ended() {
    replay("operations", operations::check);
}
