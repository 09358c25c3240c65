//! Whoever asks a running server: the commands of an operator.

use super::{Request, show};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be asked, and how the answer is shown.
#[derive(Clone, Debug)]
pub struct Task {
    /// The control socket.
    pub socket: PathBuf,
    /// The question.
    pub request: Request,
    /// As JSON, not as tables.
    pub json: bool,
}

/// Asks, and prints the answer: also what was learnt or done before it went wrong.
///
/// # Errors
/// What went wrong, and what to do.
pub fn run(task: &Task) -> Result<(), String> {
    let answer = ask(&task.socket, &task.request).map_err(|error| explain(&task.socket, &error))?;
    let value: Value = serde_json::from_slice(&answer)
        .map_err(|_| format!("{}: what answers there is no hairpin, or has been stopped", task.socket.display()))?;
    let error = value.get("error").and_then(Value::as_str);
    if error.is_none() || value.as_object().is_some_and(|fields| fields.len() > 1) {
        let json = || String::from_utf8_lossy(&answer).into_owned();
        print(&if task.json { json() } else { show::answer(&task.request, &value) })?;
    }
    error.map_or(Ok(()), |error| Err(error.to_owned()))
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        // If nobody reads it any more, there is nobody to tell.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("the answer cannot be written: {error}")),
        _ => Ok(()),
    }
}

/// Connects without waiting: a server that is stopped lets nobody in.
///
/// # Errors
/// `WouldBlock` where somebody is there and takes no more connections.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// Sends a question; what comes back.
fn ask(path: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    let said = stream.write_all(format!("{}\n", request.to_json()).as_bytes());
    match said.and_then(|()| stream.read_to_end(&mut answer)) {
        // Who closes without having heard everything may have said something before.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(answer),
        read => read.map(|_| answer),
    }
}

/// What a failure means.
fn explain(path: &Path, error: &io::Error) -> String {
    let name = path.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!(
                "no server answers at {name}: is it running, with admin.socket set? Another socket is named with --socket"
            )
        }
        ErrorKind::PermissionDenied => {
            format!("{name} is not for this user: ask as the user of the server, or as root")
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{name}: the server does not answer in time"),
        _ => format!("{name}: {error}"),
    }
}
