//! Questions to workers from outside: by mail, as workers ask each other.

use super::commons::Commons;
use super::mail::Mail;
use super::worker::Control;
use crate::turn::{Page, Whom};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a worker may take to answer. It does so between two batches of packets.
const PATIENCE: Duration = Duration::from_secs(5);

impl Commons {
    /// Some allocations of a worker, from a place on; none if it does not answer.
    pub async fn show(&self, worker: usize, whom: Whom, from: usize) -> Option<Page> {
        self.ask(worker, |reply| Control::Show { whom, from, reply }).await
    }

    /// Ends some allocations of a worker, from a place on: how many these were, and where to go on if there may be more.
    pub async fn end(&self, worker: usize, whom: Whom, from: usize) -> Option<(usize, Option<usize>)> {
        self.ask(worker, |reply| Control::End { whom, from, reply }).await
    }

    async fn ask<T>(&self, worker: usize, letter: impl FnOnce(oneshot::Sender<T>) -> Control) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.post(worker, Mail::Control(letter(reply)));
        timeout(PATIENCE, answer).await.ok()?.ok()
    }
}
