//! The hairpin binary.
fn main() {}
