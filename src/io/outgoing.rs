//! What waits to be written to a stream client, and what happens to those who read slowly.

use crate::turn::Head;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bytes of data that may wait for a client; what comes beyond is dropped in whole frames.
const BACKLOG: usize = 256 * 1024;
/// Room kept for answers beyond that.
const ANSWERS: usize = 16 * 1024;
/// How long a client may take for what was handed to it at once.
const STALLED: Duration = Duration::from_secs(60);
/// Bytes of buffer that a client keeps when nothing waits.
const KEPT: usize = 16 * 1024;

/// What waits to be written to one client: whole frames, bounded.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: RefCell<Vec<u8>>,
    /// Bytes of answers among them.
    answers: Cell<usize>,
    closing: Cell<bool>,
    /// There is something to write, or nothing more will come.
    wake: Notify,
    /// Writing has failed, or is not worth while.
    broken: Notify,
}

impl Outgoing {
    /// Adds a frame of data; false if too much waits already.
    pub(crate) fn push_data(&self, head: &Head, body: &[u8]) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + head.as_bytes().len() + body.len() + head.pad() > BACKLOG {
            return false;
        }
        waiting.extend_from_slice(head.as_bytes());
        waiting.extend_from_slice(body);
        let len = waiting.len() + head.pad();
        waiting.resize(len, 0);
        self.wake.notify_one();
        true
    }

    /// Adds an answer. It has room of its own, so that a flood of data does not cost it; who asks and asks and
    /// does not read is cut off.
    pub(crate) fn push_message(&self, message: &[u8]) {
        if self.answers.get() + message.len() > ANSWERS {
            return self.broken.notify_one();
        }
        self.answers.set(self.answers.get() + message.len());
        self.waiting.borrow_mut().extend_from_slice(message);
        self.wake.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }

    /// Waits until writing has failed.
    pub(super) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Writes whatever waits, whole frames in order, until there is nothing more to come.
    pub(super) async fn write<W: AsyncWrite + Unpin>(self: Rc<Self>, mut writer: W) {
        let mut chunk = Vec::new();
        loop {
            self.wake.notified().await;
            loop {
                chunk.clear();
                std::mem::swap(&mut chunk, &mut *self.waiting.borrow_mut());
                self.answers.set(0);
                if chunk.is_empty() {
                    break;
                }
                let written = timeout(STALLED, async {
                    writer.write_all(&chunk).await?;
                    writer.flush().await
                });
                if !written.await.is_ok_and(|result| result.is_ok()) {
                    return self.broken.notify_one();
                }
            }
            // A client that was slow once need not hold its backlog's memory for ever.
            chunk.shrink_to(KEPT);
            self.waiting.borrow_mut().shrink_to(KEPT);
            if self.closing.get() {
                // The client may have gone already; then there is nobody to say goodbye to.
                _ = writer.shutdown().await;
                return;
            }
        }
    }
}
