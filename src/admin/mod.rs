//! OPERATORS: what a person running the server reads. So far the log.

pub mod log;
