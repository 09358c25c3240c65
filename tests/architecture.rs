//! Who may use whom. A new arrow is a decision: it comes with its reason, in a commit of its own.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate, and what it would cost if it knew more than the arrows below let it know. A
/// module that is not there yet has its row all the same: its place was decided before its first line.
const MODULES: &[(&str, &str)] = &[
    ("wire", "bytes know nothing but bytes, so that anything may read and write them"),
    ("auth", "who somebody is follows from the message, the key and the time, and from nothing else"),
    ("turn", "decisions are a function of their inputs, so that a test can turn ten minutes by hand"),
    ("dataplane", "a fast path copies what was decided; one that decides will disagree one day"),
    ("store", "it finds keys; what they are good for is not its business"),
    ("io", "sockets carry; a decision made there is made for one transport only"),
    ("admin", "operators read counters and send events; what they touch, they touch as everybody does"),
    ("config", "it says what was meant; a layer that read it would know about files"),
    ("cli", "it reads a command line and answers; what runs afterwards is not its business"),
    ("client", "it is what two clients have in common; neither of them is its business, and no server is"),
    ("load", "it measures any server from the outside; what it knew of this one would be a favour"),
    ("probe", "it asks any server from the outside; what it knew of this one would be a favour"),
    ("app", "nothing sees the assembly, so it may see everything"),
    ("main", "it turns a result into an exit code"),
];

/// Who may use whom, and what for.
const ARROWS: &[(&str, &str, &str)] = &[
    ("auth", "wire", "a proof is bytes of a message"),
    ("turn", "wire", "requests are read and answers are written"),
    ("turn", "auth", "a request is served for somebody"),
    ("dataplane", "wire", "ChannelData has a head"),
    ("dataplane", "turn", "what it forwards was decided there"),
    ("store", "auth", "what it finds is a key"),
    ("io", "wire", "a stream is cut into frames"),
    ("io", "turn", "a packet goes in, a verdict comes out"),
    ("io", "dataplane", "an established flow takes the short way"),
    ("admin", "turn", "counters have names and drops have reasons"),
    ("admin", "dataplane", "the kernel path has counters and a reason of its own"),
    ("admin", "io", "workers are asked as they ask each other, by mail"),
    ("config", "auth", "a range of peers is read where it is judged"),
    ("config", "turn", "choices and limits are the options of that layer"),
    ("config", "io", "so are those of sockets"),
    ("cli", "config", "flags are settings like any other"),
    ("cli", "admin", "what is to be asked of a running server is read"),
    ("client", "wire", "ALPN has names"),
    ("client", "io", "it is known there whether this build has DTLS"),
    ("cli", "client", "the URL of a server is read"),
    ("cli", "load", "what is to be measured is read"),
    ("load", "client", "URLs, trust and DTLS are those of every client"),
    ("load", "wire", "requests are written and answers are read"),
    ("load", "auth", "clients sign with keys, and make time-limited credentials"),
    ("load", "io", "batches of datagrams and epoll are system calls"),
    ("cli", "probe", "what is to be probed is read"),
    ("probe", "wire", "requests are written and answers are read"),
    ("probe", "auth", "a client signs with a key, and makes time-limited credentials"),
    ("probe", "client", "URLs, trust and DTLS are those of every client"),
    ("probe", "io", "the clocks have one reader"),
    ("app", "wire", "somebody has to see everything"),
    ("app", "auth", "it builds the credentials"),
    ("app", "turn", "it builds the server"),
    ("app", "dataplane", "it loads the fast path"),
    ("app", "store", "it opens the database"),
    ("app", "io", "it starts the workers"),
    ("app", "admin", "it starts the log and opens the doors for operators"),
    ("app", "config", "it hands each layer its part"),
    ("main", "app", "it runs it"),
    ("main", "cli", "it asks it what to do"),
    ("main", "config", "what was read is handed on"),
    ("main", "admin", "it asks a running server"),
    ("main", "load", "it runs a measurement"),
    ("main", "probe", "it runs a probe"),
    ("main", "io", "the clocks have one reader"),
    ("main", "auth", "the command line makes keys and passwords"),
];

/// Layers whose every input is an argument.
const PURE: &[&str] = &["wire", "auth", "turn"];

/// What no line of a pure layer names: the beginning of a path, and why.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "files are read before, by others"),
    ("std::io", "there is nobody to talk to"),
    ("std::env", "choices come in as options"),
    ("std::thread", "a worker is one thread, and it is not ours"),
    ("std::sync::atomic", "one worker owns its state, so counters are plain"),
    ("std::sync::mpsc", "what goes out goes out as an action"),
    ("std::process", "nothing here ends the process"),
    ("ring::rand", "randomness comes in as a seed"),
    ("libc", "the system is called in io alone"),
    ("socket2", "the system is called in io alone"),
    ("tokio", "nothing waits"),
    ("tracing", "what happened is a verdict or a counter; others write it down"),
];

/// The same for single words, wherever they stand.
const IMPURE_WORDS: &[(&str, &str)] = &[
    ("UdpSocket", "packets come in as bytes"),
    ("TcpStream", "frames come in as bytes"),
    ("TcpListener", "connections are somebody else's"),
    ("Mutex", "one worker owns its state, so nothing is locked"),
    ("RwLock", "one worker owns its state, so nothing is locked"),
    ("Condvar", "nothing waits"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("thread_local", "state is what the caller holds"),
    ("async", "nothing waits"),
    ("await", "nothing waits"),
    ("println", "there is nobody to talk to"),
    ("eprintln", "there is nobody to talk to"),
    ("dbg", "there is nobody to talk to"),
];

/// The only folder with `unsafe` in it, seen from `src`.
const UNSAFE: &str = "io/sys/";

#[test]
fn nobody_uses_what_no_arrow_leads_to() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some((_, why)) = MODULES.iter().find(|(name, _)| *name == file.module) else { continue };
        for used in file.modules_used() {
            let allowed = used == file.module || ARROWS.iter().any(|(from, to, _)| *from == file.module && *to == used);
            if !allowed {
                wrong.push(format!("src/{}: {} may not use {used}: {why}", file.name, file.module));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_arrow_turns_round() {
    let mut order: Vec<&str> = Vec::new();
    let mut left: BTreeSet<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    while !left.is_empty() {
        let leads_up = |name: &str| ARROWS.iter().any(|(from, to, _)| *from == name && left.contains(to));
        let next = left.iter().find(|name| !leads_up(name)).copied();
        let next = next.unwrap_or_else(|| panic!("a circle among {left:?}"));
        left.remove(next);
        order.push(next);
    }
    assert_eq!(order.len(), MODULES.len());
}

#[test]
fn every_arrow_joins_two_modules_and_every_module_has_a_row() {
    let known: BTreeSet<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    for (from, to, _) in ARROWS {
        assert!(known.contains(from) && known.contains(to), "{from} -> {to} joins what is not in the table");
    }
    for file in sources() {
        let module = file.module.as_str();
        assert!(known.contains(module), "src/{}: {module} has no row; who may use it, and whom may it use?", file.name);
    }
}

#[test]
fn pure_layers_name_nothing_of_the_world() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| PURE.contains(&file.module.as_str())) {
        for (path, why) in IMPURE {
            let root = path.split("::").next().unwrap();
            let named = file.paths(root).into_iter().any(|found| starts_with(&found, path));
            if named {
                wrong.push(format!("src/{} names {path}: {why}", file.name));
            }
        }
        for (word, why) in IMPURE_WORDS {
            if file.words().any(|found| found == *word) {
                wrong.push(format!("src/{} names {word}: {why}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn unsafe_is_in_one_folder() {
    let found: Vec<String> =
        sources().into_iter().filter(|file| file.words().any(|word| word == "unsafe")).map(|file| file.name).collect();
    assert!(
        found.iter().all(|name| name.starts_with(UNSAFE)),
        "{found:?}: what the compiler cannot check is in src/{UNSAFE} alone, where every line of it is read twice"
    );
}

#[test]
fn the_reader_of_this_test_sees_paths_and_not_comments() {
    let file = Source {
        name: "turn/deep/file.rs".to_owned(),
        module: "turn".to_owned(),
        code: code(
            r##"
            // crate::comment
            /* crate::block /* crate::nested */ crate::still */
            use crate::{auth, io::{self, sys}};
            use super::super::wire::Message;
            use super::super::super::admin;
            const TEXT: &str = "crate::text \" crate::text";
            const RAW: &str = r#"crate::raw "quoted" crate::raw"#;
            const QUOTE: char = '"'; // a quote that opens nothing
            fn f<'a>(a: &'a str) { let _ = std :: fs :: read(a); crate::config::read(); mycrate::x() }
            "##,
        ),
    };
    assert_eq!(file.modules_used(), ["admin", "auth", "config", "io"].map(str::to_owned).into());
    assert!(file.paths("std").iter().any(|path| starts_with(path, "std::fs")));
    assert!(!starts_with("std::fsync", "std::fs"));
}

/// One file of the crate.
struct Source {
    /// Its place below `src`.
    name: String,
    /// The module of the crate's root that it belongs to.
    module: String,
    /// Its text without comments, strings and spaces beside `::`.
    code: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        Self { code: code(&fs::read_to_string(path).unwrap()), name, module }
    }

    /// How many `super::` lead from this file to the root of the crate.
    fn depth(&self) -> usize {
        self.name.split('/').count() - usize::from(self.name.ends_with("/mod.rs"))
    }

    /// The modules of the crate's root that the file names, by whatever way.
    fn modules_used(&self) -> BTreeSet<String> {
        let up = "super::".repeat(self.depth());
        let roots = ["crate", "hairpin", up.trim_end_matches("::")];
        let paths = roots.iter().flat_map(|root| {
            let segments = root.split("::").count();
            self.paths(root).into_iter().filter_map(move |path| path.split("::").nth(segments).map(str::to_owned))
        });
        // What begins with a capital letter is no module: the root hands out a macro or a type.
        paths.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
    }

    /// Every path that begins with `root`, groups taken apart.
    fn paths(&self, root: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices(root) {
            let before = self.code[..at].chars().next_back();
            let rest = &self.code[at + root.len()..];
            if before.is_none_or(|c| !is_word(c) && c != ':') && rest.starts_with("::") {
                expand(root, &rest[2..], &mut found);
            }
        }
        found
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c| !is_word(c))
    }
}

/// Appends every path that the text after `prefix::` stands for; returns how much of the text that was.
fn expand(prefix: &str, text: &str, found: &mut Vec<String>) -> usize {
    let Some(group) = text.strip_prefix('{') else {
        let name: String = text.chars().take_while(|c| is_word(*c)).collect();
        let path = format!("{prefix}::{name}");
        return match text[name.len()..].strip_prefix("::") {
            Some(rest) => name.len() + 2 + expand(&path, rest, found),
            None => {
                found.push(path);
                name.len()
            }
        };
    };
    let mut at = 0;
    loop {
        at += group[at..].len() - group[at..].trim_start_matches([' ', '\n', ',']).len();
        if group[at..].is_empty() || group[at..].starts_with('}') {
            return at + 2;
        }
        // A glob or `as` says nothing about modules; one character at a time leads past it.
        at += expand(prefix, &group[at..], found).max(1);
    }
}

/// The path is this one or below it.
fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text of a file without comments and without what stands in quotes.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(raw) = raw_string(rest).filter(|_| !out.ends_with(is_word)) {
            raw
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skip == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skip..];
        }
    }
    let words: Vec<&str> = out.split_whitespace().collect();
    words.join(" ").replace(" ::", "::").replace(":: ", "::")
}

/// How long the block comment is that the text begins with; they nest.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        match () {
            () if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            () if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            () => at += rest.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// How long the raw string is that the text begins with, if it begins with one.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let quoted = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = quoted.find(&end).map_or(quoted.len(), |at| at + end.len());
    Some(text.len() - quoted.len() + len)
}

/// How long the string is that the text begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// How long the character is that the text begins with; zero for a lifetime.
fn character(text: &str) -> usize {
    let mut inner = text.char_indices().skip(1);
    match (inner.next(), inner.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(0, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of the crate but the list of its modules.
fn sources() -> Vec<Source> {
    let (mut folders, mut found) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && path != root().join("lib.rs") {
                found.push(Source::read(&path));
            }
        }
    }
    assert!(found.len() > 20, "the crate was found");
    found
}
