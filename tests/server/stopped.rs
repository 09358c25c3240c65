//! A thread of a process that stands still while the others go on, as a debugger has it.
#![expect(unsafe_code, reason = "ptrace exists in C only")]

use crate::harness::eventually;
use std::process::{Child, Command};

/// A thread of a child. It goes on when this is dropped, which the thread that stopped it must do: before the child is
/// waited for, whose end waits for all threads.
pub struct Stopped(libc::pid_t);

impl Stopped {
    /// Stops the thread of this name.
    pub fn thread(child: &Child, name: &str) -> Self {
        let tasks = format!("/proc/{}/task", child.id());
        let read = |id: &str, file: &str| std::fs::read_to_string(format!("{tasks}/{id}/{file}")).unwrap_or_default();
        let ids = || std::fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().file_name().into_string().unwrap());
        let id = eventually("the thread is there", || ids().find(|id| read(id, "comm").trim_end() == name));
        let stopped = Self(id.parse().unwrap());
        assert!(trace(libc::PTRACE_SEIZE, stopped.0) && trace(libc::PTRACE_INTERRUPT, stopped.0));
        eventually("it stands still", || read(&id, "stat").contains(") t ").then_some(()));
        stopped
    }

    /// Whether a process may do that with its children.
    pub fn allowed() -> bool {
        let Ok(mut child) = Command::new("sleep").arg("60").spawn() else { return false };
        let allowed = trace(libc::PTRACE_SEIZE, child.id() as libc::pid_t);
        child.kill().and_then(|()| child.wait()).unwrap();
        allowed
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that has ended needs nobody to let it go.
        _ = trace(libc::PTRACE_DETACH, self.0);
    }
}

/// Asks something of the kernel that takes neither an address nor data.
fn trace(request: libc::c_uint, thread: libc::pid_t) -> bool {
    // SAFETY: these requests read and write no memory of this process.
    unsafe { libc::ptrace(request, thread, 0_usize, 0_usize) == 0 }
}
