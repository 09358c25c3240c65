//! The desk: what may be asked of a running server, whichever door the question came in by.

use super::sessions;
use super::status::{KernelPath, Listener, Status};
use crate::dataplane::xdp::{Kernel, Status as Carried};
use crate::io::{Commons, clock};
use crate::turn::{Session, Time, Whom};
use serde_json::Value;
use std::sync::Arc;

/// How often all workers are asked, at most, to end what they have.
const ROUNDS: usize = 4;

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

    /// Some allocations of a worker, from a place on; where to go on, if there may be more.
    ///
    /// # Errors
    /// The worker does not answer.
    pub async fn sessions(
        &self,
        worker: usize,
        whom: &Whom,
        from: usize,
    ) -> Result<(Vec<Value>, Option<usize>), String> {
        let page = self.commons.show(worker, whom.clone(), from).await.ok_or_else(|| silent(worker))?;
        let in_kernel = |session: &Session| self.commons.kernel().and_then(|kernel| kernel.session(&session.path));
        Ok((page.sessions.iter().map(|session| sessions::to_json(session, in_kernel(session))).collect(), page.next))
    }

    /// Ends the allocations of those who are meant; how many these were, and why not all if a worker does not answer.
    pub async fn kick(&self, whom: &Whom) -> (usize, Result<(), String>) {
        let mut ended = 0;
        let result = self.kick_all(whom, &mut ended).await;
        tracing::info!(allocations = ended, "kick: allocations ended");
        tracing::debug!(?whom, "kick: whose these were");
        (ended, result)
    }

    /// Asks all workers until none has anything to end, and counts what they have ended.
    async fn kick_all(&self, whom: &Whom, ended: &mut usize) -> Result<(), String> {
        // Allocations may move from worker to worker meanwhile.
        for _ in 0..ROUNDS {
            let before = *ended;
            self.kick_once(whom, ended).await?;
            if *ended == before {
                break;
            }
        }
        Ok(())
    }

    async fn kick_once(&self, whom: &Whom, ended: &mut usize) -> Result<(), String> {
        for worker in 0..self.commons.workers() {
            let mut from = Some(0);
            while let Some(place) = from {
                let (some, next) = self.commons.end(worker, whom.clone(), place).await.ok_or_else(|| silent(worker))?;
                *ended += some;
                from = next;
            }
        }
        Ok(())
    }

    /// How many workers there are to ask.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.commons.workers()
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

/// A worker does not answer.
fn silent(worker: usize) -> String {
    format!("worker {worker} does not answer; the log may say more")
}
