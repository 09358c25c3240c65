//! What is said of a measurement while it runs.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is said off a terminal that something still goes on.
const REMINDER: Duration = Duration::from_secs(10);

/// Says on standard error how far it is: on a terminal in one line, else in a line for each step.
#[derive(Default)]
pub(super) struct Progress {
    shown: bool,
    /// What is being done.
    text: String,
}

impl Progress {
    /// Says what came of a step.
    pub(super) fn say(&mut self, text: &str) {
        if std::io::stderr().is_terminal() { self.hint(text) } else { eprintln!("{text}") }
    }

    /// Says what is being done, to whoever watches.
    pub(super) fn hint(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            // If nobody listens, there is nobody to tell.
            _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
            self.shown = true;
        }
    }

    /// Does something. If that takes long and nobody sees the hint, it is said again and again.
    pub(super) fn during<T>(&self, task: impl FnOnce() -> T) -> T {
        if std::io::stderr().is_terminal() {
            return task();
        }
        thread::scope(|scope| {
            // Closed when the task has ended, also by a panic.
            let (_end, ended) = mpsc::channel();
            scope.spawn(move || remind(&self.text, &ended));
            task()
        })
    }

    /// Clears the line for what follows.
    pub(super) fn done(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

/// Says from time to time what is being done, until it has ended.
fn remind(text: &str, ended: &Receiver<()>) {
    let began = Instant::now();
    while ended.recv_timeout(REMINDER) == Err(RecvTimeoutError::Timeout) {
        eprintln!("{text}, for {} s so far", began.elapsed().as_secs());
    }
}
