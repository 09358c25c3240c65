//! Answers as people like to read them.

use super::Request;
use crate::turn::Transport;
use serde_json::Value;

/// An answer in words and tables.
pub(super) fn answer(request: &Request, value: &Value) -> String {
    match request {
        Request::Status => status(value),
        Request::Metrics => text(&value["metrics"]).to_owned(),
        Request::Sessions(_) => sessions(value),
        Request::Kick(_) => format!("{} ended\n", counted(value["ended"].as_u64().unwrap_or(0))),
    }
}

/// How a server stands.
fn status(value: &Value) -> String {
    let kernel = &value["kernel"];
    let lines = [
        ("server", format!("hairpin {}, process {}, up {}", text(&value["version"]), value["process"], uptime(value))),
        ("workers", number(&value["workers"])),
        ("serving", items(&value["listeners"]).map(listener).collect::<Vec<_>>().join("\n")),
        ("allocations", allocations(&value["allocations"])),
        ("connections", number(&value["connections"])),
        ("requests", requests(&value["requests"])),
        ("kernel path", kernel_path(kernel)),
    ];
    let facts: String = lines.iter().map(|(name, text)| fact(name, text)).collect();
    let relayed = vec![row("user space", &value["user_space"]), row("kernel", &kernel["carried"])];
    let heads = ["relayed in", "packets to peers", "bytes", "packets to clients", "bytes"];
    let drops = ["user_space", "kernel"].into_iter().flat_map(|path| {
        let path_name = path.replace('_', " ");
        fields(&value["drops"][path]).map(move |(why, count)| vec![why.clone(), path_name.clone(), number(count)])
    });
    let left = fields(&kernel["left"]).map(|(why, count)| vec![why.clone(), number(count)]);
    let parts = [
        table(&heads, relayed),
        table(&["dropped for", "in", "packets"], drops.collect()),
        table(&["left to user space for", "packets"], left.collect()),
    ];
    parts.iter().filter(|part| !part.is_empty()).fold(facts, |all, part| format!("{all}\n{part}"))
}

/// Who has allocations.
fn sessions(value: &Value) -> String {
    let rows: Vec<Vec<String>> = items(&value["sessions"]).map(session).collect();
    let heads = [
        "client",
        "by",
        "user",
        "relayed",
        "permits",
        "channels",
        "age",
        "left",
        "path",
        "to peers",
        "bytes",
        "to client",
        "bytes",
    ];
    let count = rows.len() as u64;
    format!("{}{}\n", table(&heads, rows), counted(count))
}

/// An allocation, what was relayed by both ways together.
fn session(value: &Value) -> Vec<String> {
    let relayed: Vec<&str> = items(&value["relayed"]).map(text).collect();
    let seconds = |name: &str| duration(value[name].as_u64().unwrap_or(0));
    let sum = |way: &str, what: &str| {
        let both = ["user_space", "kernel"].map(|path| value[path][way][what].as_u64().unwrap_or(0));
        grouped(both[0] + both[1])
    };
    let user = match text(&value["realm"]) {
        "" => text(&value["user"]).to_owned(),
        realm => format!("{}@{realm}", text(&value["user"])),
    };
    vec![
        text(&value["client"]).to_owned(),
        text(&value["transport"]).to_owned(),
        user,
        relayed.join(" "),
        number(&value["permissions"]),
        number(&value["channels"]),
        seconds("age"),
        seconds("expires"),
        path(value),
        sum("to_peer", "packets"),
        sum("to_peer", "bytes"),
        sum("to_client", "packets"),
        sum("to_client", "bytes"),
    ]
}

/// Which way packets of an allocation take; of one that has routes in the kernel how many have taken them, unless that is
/// all but those that found the way.
fn path(value: &Value) -> String {
    let name = text(&value["path"]);
    let packets = |path: &str| -> u64 {
        ["to_peer", "to_client"].iter().filter_map(|way| value[path][way]["packets"].as_u64()).sum()
    };
    let (kernel, all) = (packets("kernel"), packets("kernel") + packets("user_space"));
    let percent = (kernel * 100).checked_div(all).unwrap_or(100);
    if name == "kernel" && percent < 99 { format!("{name} {percent} %") } else { name.to_owned() }
}

/// So many allocations.
fn counted(count: u64) -> String {
    if count == 1 { "1 allocation".to_owned() } else { format!("{} allocations", grouped(count)) }
}

/// A name and what is to be said of it, perhaps in several lines.
fn fact(name: &str, text: &str) -> String {
    let mut names = [name].into_iter().chain(std::iter::repeat(""));
    text.lines().map(|line| format!("{:<12} {line}\n", names.next().unwrap_or_default())).collect()
}

fn listener(value: &Value) -> String {
    let transports: Vec<&str> = items(&value["transports"]).map(text).collect();
    let behind = if value["proxied"] == true { ", behind a proxy" } else { "" };
    format!("{} {}{behind}", text(&value["address"]), transports.join(" "))
}

/// All, and of which transports they are.
fn allocations(value: &Value) -> String {
    let parts = Transport::ALL.iter().map(|transport| (transport.label(), &value[transport.label()]));
    let some = parts.filter(|(_, count)| count.as_u64() != Some(0));
    let parts: Vec<String> = some.map(|(name, count)| format!("{name} {}", number(count))).collect();
    let sum = number(&value["all"]);
    if parts.is_empty() { sum } else { format!("{sum} ({})", parts.join(", ")) }
}

fn requests(value: &Value) -> String {
    let [successes, errors, bindings] = ["successes", "errors", "bindings"].map(|name| number(&value[name]));
    format!("{successes} granted, {errors} refused, {bindings} bindings")
}

/// Which way packets take and why, and what is there.
fn kernel_path(kernel: &Value) -> String {
    let (mode, why) = (text(&kernel["mode"]), text(&kernel["why"]));
    let interfaces: Vec<&str> = items(&kernel["interfaces"]).map(text).collect();
    if interfaces.is_empty() {
        return format!("{mode}: {why}");
    }
    let [channels, permissions, sessions, refused] =
        ["channels", "permissions", "sessions", "refused"].map(|name| number(&kernel[name]));
    let each: String = interfaces.iter().map(|name| format!("{mode} on {name}: {why}\n")).collect();
    format!(
        "{each}{sessions} allocations with {channels} channels and {permissions} permissions; {refused} found no place"
    )
}

/// A line of what was relayed one way.
fn row(path: &str, both: &Value) -> Vec<String> {
    let way = |way: &str| ["packets", "bytes"].map(|what| number(&both[way][what]));
    let ([up, up_bytes], [down, down_bytes]) = (way("to_peer"), way("to_client"));
    vec![path.to_owned(), up, up_bytes, down, down_bytes]
}

/// How long it has run, in the two largest units.
fn uptime(value: &Value) -> String {
    duration(value["uptime"].as_u64().unwrap_or(0))
}

/// Seconds, in the two largest units.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let some = units[first..].iter().take(2).map(|(size, name)| {
        let count = left / size;
        left %= size;
        format!("{count} {name}")
    });
    some.collect::<Vec<_>>().join(" ")
}

/// Rows in columns; those of numbers stand to the right. Nothing if there is no row.
fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| rows.iter().chain([&heads]).map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let is_number = |at: usize| rows.iter().all(|row| row[at].starts_with(|c: char| c.is_ascii_digit()));
    let right: Vec<bool> = (0..heads.len()).map(is_number).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(&right).map(|((cell, &width), &right)| {
            // What a terminal would obey is no part of a name.
            let cell = cell.replace(char::is_control, "\u{fffd}");
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    [&heads].into_iter().chain(&rows).map(line).collect()
}

/// A number.
fn number(value: &Value) -> String {
    grouped(value.as_u64().unwrap_or(0))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = [&digits[..first]].into_iter().chain((first..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.filter(|group| !group.is_empty()).collect::<Vec<_>>().join(",")
}

/// A text.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The fields of an object.
fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
