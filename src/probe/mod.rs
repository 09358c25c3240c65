//! PROBE: `hairpin probe`, which goes through what a browser would do with a server, and says what works.
//!
//! It is a client of servers and knows nothing of this one. It does one thing after the other and waits for each.
//!
//! To read on: `walk` takes the steps over a `link`, with the requests of `client`; a step that fails is a `fault`
//! with its sentence and remedy; `echo` sends through the relay; `certificate` reads what a server shows; `report` prints; `ice` reads what browsers are given.

mod certificate;
mod client;
#[cfg(feature = "dtls")]
mod dtls;
mod echo;
mod fault;
pub mod ice;
mod link;
pub mod nat;
mod report;
mod walk;

use crate::auth::rest;
use crate::client::target::Target;
use crate::io::clock;
use std::path::PathBuf;
use std::time::Duration;

/// How long credentials made of a secret last.
const TERM: u64 = 600;

/// What is to be probed, and how.
#[derive(Clone)]
pub struct Options {
    /// The servers.
    pub entries: Vec<Entry>,
    /// The realm that is expected, if one is.
    pub realm: Option<String>,
    /// The file of roots that vouch for certificates; without it, those of the system.
    pub roots: Option<PathBuf>,
    /// Every certificate is trusted.
    pub insecure: bool,
    /// How long each step may take.
    pub timeout: Duration,
    /// The result is printed as JSON.
    pub json: bool,
}

/// A server, and who asks it.
#[derive(Clone)]
pub struct Entry {
    /// The server.
    pub target: Target,
    /// User name and password; STUN needs none.
    pub user: Option<(String, String)>,
}

/// Makes a time-limited credential of a shared secret.
#[must_use]
pub fn credential(secret: &str) -> (String, String) {
    rest::mint(secret, "probe", clock::now().wall + TERM, ':')
}

/// Probes every server and prints what came of it; true if everything works.
///
/// # Errors
/// What kept it from beginning, for a person.
pub fn run(options: &Options) -> Result<bool, String> {
    let paths = walk::all(options)?;
    if options.json {
        println!("{:#}", report::json(&paths));
    } else {
        print!("{}", report::table(&paths));
    }
    Ok(paths.iter().all(walk::Path::works))
}
