//! HTTP on a port of TURN: answers to ACME's challenges, and a refusal of everything else.

use crate::wire::http::{Challenge, challenge};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of the largest file that answers a challenge; one has about 90.
const LARGEST: u64 = 4096;

/// What is served by HTTP.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Where the answers to ACME's challenges stand, each in a file of its name.
    pub challenges: Option<PathBuf>,
    /// Before which address a challenge's name makes the one where its answer is.
    pub redirect: Option<String>,
}

impl Web {
    /// Writes the answer to a request. A source that asks for more files than it may is told to come again.
    pub(super) fn answer(&self, head: &[u8], may_read: impl FnOnce() -> bool, out: &mut Vec<u8>) {
        let configured = self.challenges.is_some() || self.redirect.is_some();
        let (status, field, body, head_only) = match challenge(head).filter(|_| configured) {
            None => ("400 Bad Request", Field::Kind, REFUSAL.to_vec(), false),
            // Who is refused for the moment comes again; a challenge that is not found has failed.
            Some(Challenge { head_only, .. }) if self.challenges.is_some() && !may_read() => {
                ("503 Service Unavailable", Field::Kind, BUSY.to_vec(), head_only)
            }
            Some(Challenge { token, head_only }) => match (self.file(token), &self.redirect) {
                (Some(answer), _) => ("200 OK", Field::Kind, answer, head_only),
                (None, Some(url)) => ("301 Moved Permanently", Field::Place(url, token), Vec::new(), head_only),
                (None, None) => ("404 Not Found", Field::Kind, ABSENT.to_vec(), head_only),
            },
        };
        // Writing to a vector cannot fail.
        _ = field.write_after(status, body.len(), out);
        if !head_only {
            out.extend_from_slice(&body);
        }
    }

    /// What stands in the file of a challenge, if there is one.
    fn file(&self, token: &str) -> Option<Vec<u8>> {
        let folder = self.challenges.as_ref()?;
        read(&folder.join(token)).ok().flatten()
    }
}

/// Reads a small file without waiting for anybody; none if it is no such file. A link is none: whoever may write the folder
/// shall not read through it what this process may.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= LARGEST))
}

/// What is said to whoever speaks HTTP for no good reason.
const REFUSAL: &[u8] = b"This port serves STUN and TURN.\n";
/// What is said to a source that asks too often.
const BUSY: &[u8] = b"Too many requests; ask again in a second.\n";
/// What is said of a challenge that is not known.
const ABSENT: &[u8] = b"No such challenge.\n";

/// The field of an answer that is not always the same.
enum Field<'a> {
    /// What the body is.
    Kind,
    /// Where the answer is: an address and what follows it.
    Place(&'a str, &'a str),
}

impl Field<'_> {
    /// Writes the head of an answer with a body of this length, after which the connection ends.
    fn write_after(&self, status: &str, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n")?;
        match self {
            Self::Kind => write!(out, "Content-Type: text/plain\r\n\r\n"),
            Self::Place(url, token) => write!(out, "Location: {url}{token}\r\n\r\n"),
        }
    }
}
