//! LOAD: `hairpin bench`, which measures any TURN server from the outside.
//!
//! It is a client of servers and knows nothing of this one: everything goes through sockets, and what it says of a
//! server's process it reads in /proc. It never sends faster than it was asked to, never counts what it cannot have
//! seen, and says so when it was slower than what it measures.
//!
//! To read on: [`options`] (what is asked for) and `plan` (with every name looked up); `campaign` (set-up, search,
//! final measurement) drives one `worker` for each thread, whose clients go on errands (`client`, `crowd`) over a
//! `link` (`stream` for TCP and TLS, `dtls`) and then send (`send`) packets (`traffic`) at a [`pace`]; `filter` is why
//! receiving costs next to nothing; `peer` and `ends` are the other side; [`meter`] counts, [`search`] decides; `progress`, `report`, `page`
//! and `chart` tell.

mod allocate;
mod campaign;
mod chart;
mod client;
mod crowd;
mod dtls;
mod ends;
mod filter;
mod link;
pub mod meter;
pub mod mix;
pub mod options;
pub mod pace;
mod page;
mod peer;
mod plan;
mod progress;
mod report;
pub mod search;
mod send;
mod source;
mod stream;
mod traffic;
mod trouble;
mod worker;

pub use options::{Options, Task};
pub use traffic::SMALLEST;

use campaign::Campaign;
use options::Workload;
use peer::Echo;
use plan::Plan;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Does what is asked, and prints what came of it.
///
/// # Errors
/// What went wrong, for a person.
pub fn run(task: Task) -> Result<(), String> {
    crate::io::raise_descriptor_limit();
    match task {
        Task::Echo(addr) => echo(addr),
        Task::Measure(options) => {
            let url = options.target.to_string();
            measure(*options).map_err(|error| format!("{url}: {error}"))
        }
    }
}

/// Measures a server.
fn measure(options: Options) -> Result<(), String> {
    let plan = Arc::new(Plan::new(options)?);
    let mut campaign = Campaign::new(&plan)?;
    // Before the measurement, which takes longer than to put a wrong path right.
    let mut page = plan.options.html.as_deref().map(create).transpose()?;
    let report = match plan.options.workload {
        Workload::Allocate => allocate::run(&mut campaign)?,
        Workload::Relay | Workload::Binding => campaign.run()?,
    };
    campaign.progress.done();
    if plan.options.json {
        println!("{:#}", report.json())
    } else {
        print!("{}", report.table())
    }
    match &mut page {
        Some(file) => file.write_all(page::page(&report).as_bytes()).map_err(|error| format!("--html: {error}")),
        None => Ok(()),
    }
}

/// Creates the file of the page.
fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("--html: {}: {error}", path.display()))
}

/// Sends packets back until the process ends.
fn echo(addr: SocketAddr) -> Result<(), String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed = |error| format!("echo: {addr}: {error}");
    let echo = Arc::new(Echo::open(addr, threads).map_err(failed)?);
    println!("echo on {}", echo.sockets[0].local_addr().map_err(failed)?);
    let run = |index: usize, echo: Arc<Echo>| move || echo.run(index);
    let threads: Vec<_> = (0..threads).map(|index| thread::spawn(run(index, Arc::clone(&echo)))).collect();
    thread::spawn(move || echo.watch());
    for thread in threads {
        thread.join().map_err(|_| "echo: a thread has panicked".to_owned())?.map_err(failed)?;
    }
    Ok(())
}
