//! The desk: what may be asked of a running server, whichever door the question came in by.

use super::status::{KernelPath, Listener, Status};
use crate::dataplane::xdp::{Kernel, Status as Carried};
use crate::io::{Commons, clock};
use crate::turn::Time;
use std::sync::Arc;

/// What is known of a server from its start.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Where clients are served.
    pub listeners: Vec<Listener>,
    /// Why there is no kernel path, if there is none.
    pub no_kernel: String,
}

/// Answers what is asked.
#[derive(Debug)]
pub struct Desk {
    commons: Arc<Commons>,
    facts: Facts,
    began: Time,
}

impl Desk {
    /// A desk of a server that starts now.
    #[must_use]
    pub fn new(commons: Arc<Commons>, facts: Facts) -> Self {
        Self { commons, facts, began: clock::now().time }
    }

    /// How the server stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let commons = &self.commons;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            uptime: self.began.until(clock::now().time),
            workers: commons.workers(),
            listeners: self.facts.listeners.clone(),
            allocations: commons.allocations(),
            connections: commons.connections(),
            counters: commons.counters(),
            kernel: self.kernel_path(),
        }
    }

    fn kernel_path(&self) -> KernelPath {
        let kernel = self.commons.kernel();
        KernelPath {
            mode: kernel.map(Kernel::mode),
            why: kernel.map_or(&*self.facts.no_kernel, Kernel::why).to_owned(),
            interfaces: kernel.into_iter().flat_map(Kernel::interfaces).map(|at| at.name.clone()).collect(),
            carried: kernel.map_or_else(Carried::default, Kernel::status),
        }
    }
}
