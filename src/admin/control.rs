//! The control socket: whoever may write to a file of this host may ask and order what [`Desk`] answers and does.
//!
//! A connection is one question: a line of JSON in, JSON out, the end. Only the user of the server (and root) may
//! connect.

use super::desk::Desk;
use super::door::{self, PATIENCE};
use super::metrics;
use super::{Request, client};
use crate::turn::Whom;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as std_net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// The longest question.
const QUESTION: u64 = 4096;
/// Connections that wait to be accepted.
const QUEUE: libc::c_int = 64;

/// The socket, whose file goes with it.
#[derive(Debug)]
pub struct Control {
    listener: std_net::UnixListener,
    path: PathBuf,
    /// Which file it is, for another may have taken its place.
    file: (u64, u64),
}

impl Control {
    /// Makes the socket. The file of a server that has died is replaced, that of a living one is not.
    ///
    /// # Errors
    /// Why it cannot be had, and what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let opened = match bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                clear(path)?;
                bind(path)
            }
            other => other,
        };
        opened.map_err(|error| format!("{name}: cannot be made: {error}; name a file in a folder of this user's"))
    }

    /// Answers whoever comes, for ever.
    pub async fn serve(&self, desk: Arc<Desk>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let accept = async || listener.accept().await.map(|(stream, _)| stream);
        door::attend(accept, |stream| answer(stream, Arc::clone(&desk))).await;
        Ok(())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| file(&found) == self.file) {
            // A file that has gone already is as good as removed.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket; nobody can connect before its mode is set.
fn bind(path: &Path) -> io::Result<Control> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let file = file(&fs::symlink_metadata(path)?);
    socket.listen(QUEUE)?;
    Ok(Control { listener: socket.into(), path: path.to_owned(), file })
}

/// Which file it is.
fn file(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes the socket of a server that has died.
fn clear(path: &Path) -> Result<(), String> {
    let name = path.display();
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(format!("{name}: is there and no socket; remove it, or name another file"));
    }
    match client::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("{name}: cannot be replaced: {error}; remove it"))
        }
        _ => Err(format!("{name}: another server answers there; stop it, or name another file")),
    }
}

/// Reads a question and answers it.
async fn answer(mut stream: UnixStream, desk: Arc<Desk>) -> io::Result<()> {
    let (from, mut to) = stream.split();
    let mut line = Vec::new();
    let mut from = BufReader::new(from.take(QUESTION));
    let whole = timeout(PATIENCE, from.read_until(b'\n', &mut line)).await;
    let asked = match whole {
        Ok(Ok(_)) if line.ends_with(b"\n") => Request::read(&line),
        Ok(Ok(QUESTION_LEN)) => Err(format!("longer than {QUESTION} bytes; ask for less")),
        Ok(_) => Err("not a whole line; end it with a line feed".to_owned()),
        Err(_) => Err(format!("no whole line within {} s", PATIENCE.as_secs())),
    };
    match asked {
        Ok(request) => act(&request, &desk, &mut to).await?,
        Err(text) => say(&mut to, &json!({ "error": text })).await?,
    }
    timeout(PATIENCE, to.shutdown()).await?
}

/// As many bytes as a question may have.
const QUESTION_LEN: usize = QUESTION as usize;

/// Does what is asked.
async fn act(request: &Request, desk: &Desk, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    match request {
        Request::Status => say(to, &desk.status().to_json()).await,
        Request::Metrics => say(to, &json!({ "metrics": metrics::write(&desk.status()) })).await,
        Request::Sessions(whom) => list(whom, desk, to).await,
        Request::Kick(whom) => match desk.kick(whom).await {
            (ended, Ok(())) => say(to, &json!({ "ended": ended })).await,
            (ended, Err(text)) => {
                say(to, &json!({ "ended": ended, "error": format!("not all were asked: {text}") })).await
            }
        },
    }
}

/// Writes a list of allocations as they come in, page by page: there may be more than should be held at once. Where a
/// worker does not answer it ends, and says so.
async fn list(whom: &Whom, desk: &Desk, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    write(to, "{\"sessions\":[").await?;
    let mut comma = "\n";
    for worker in 0..desk.workers() {
        let mut from = Some(0);
        while let Some(place) = from {
            let (some, next) = match desk.sessions(worker, whom, place).await {
                Ok(page) => page,
                Err(text) => {
                    let error = Value::from(format!("the list is not whole: {text}"));
                    return write(to, &format!("],\"error\":{error}}}\n")).await;
                }
            };
            let mut text = String::new();
            for session in some {
                text.push_str(&format!("{comma}{session}"));
                comma = ",\n";
            }
            write(to, &text).await?;
            from = next;
        }
    }
    write(to, "]}\n").await
}

/// Writes a line of JSON.
async fn say(to: &mut (impl AsyncWriteExt + Unpin), value: &Value) -> io::Result<()> {
    write(to, &format!("{value}\n")).await
}

/// Writes a text, unless nobody reads.
async fn write(to: &mut (impl AsyncWriteExt + Unpin), text: &str) -> io::Result<()> {
    timeout(PATIENCE, to.write_all(text.as_bytes())).await?
}
