//! What came of it, for people and for programs.

use super::walk::{Path, Step};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Milliseconds with a fraction.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Prints every path: a line for each step, and the remedy below what failed.
pub(super) fn table(paths: &[Path]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for path in paths {
        let server = path.server.map_or_else(|| "no address".to_owned(), |server| server.to_string());
        _ = writeln!(out, "{} at {server}", path.url);
        path.steps.iter().for_each(|step| line(&mut out, step));
        if !path.candidates.is_empty() {
            let list: Vec<String> = path.candidates.iter().map(|(kind, addr)| format!("{kind} {addr}")).collect();
            _ = writeln!(out, "  candidates: {}", list.join(", "));
        }
    }
    out
}

/// Prints a step.
fn line(out: &mut String, step: &Step) {
    let (name, took) = (step.name, milliseconds(step.took));
    match &step.outcome {
        Ok(text) => _ = writeln!(out, "  ok    {name:<10} {took:>8.1} ms  {text}"),
        Err(fault) => {
            _ = writeln!(out, "  FAIL  {name:<10} {took:>8.1} ms  {fault}\n        {}", fault.remedy());
        }
    }
}

/// The same as a document.
pub(super) fn json(paths: &[Path]) -> Value {
    let works = paths.iter().all(Path::works);
    json!({ "works": works, "paths": paths.iter().map(path).collect::<Vec<_>>() })
}

/// One path.
fn path(path: &Path) -> Value {
    let candidates = path.candidates.iter().map(|(kind, addr)| json!({ "type": kind, "address": addr.to_string() }));
    json!({
        "url": path.url,
        "address": path.server.map(|server| server.to_string()),
        "works": path.works(),
        "steps": path.steps.iter().map(step).collect::<Vec<_>>(),
        "candidates": candidates.collect::<Vec<_>>(),
    })
}

/// One step.
fn step(step: &Step) -> Value {
    let mut document = json!({ "step": step.name, "works": step.outcome.is_ok(), "ms": milliseconds(step.took) });
    match &step.outcome {
        Ok(text) => document["text"] = json!(text),
        Err(fault) => {
            document["fault"] = json!(fault.name());
            document["text"] = json!(fault.to_string());
            document["remedy"] = json!(fault.remedy());
        }
    }
    document
}
