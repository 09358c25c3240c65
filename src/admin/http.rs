//! HTTP for operators: so far the metrics, for whoever can reach the port.
//!
//! A connection is one request. What is here is public on that port, so nothing of it names a client, a user or a peer.

use super::desk::Desk;
use super::door::{self, PATIENCE};
use super::metrics;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// The longest head of a request.
const HEAD: usize = 8192;
/// Connections that wait to be accepted.
const QUEUE: libc::c_int = 64;

/// A port where operators are served.
#[derive(Debug)]
pub struct Http(std::net::TcpListener);

impl Http {
    /// Opens the port. `[::]` is every address of either family.
    ///
    /// # Errors
    /// Why it cannot be had, and what to do.
    pub fn open(addr: SocketAddr) -> Result<Self, String> {
        let opened = match bind(addr) {
            Err(error) if addr.ip().is_unspecified() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                bind((Ipv4Addr::UNSPECIFIED, addr.port()).into())
            }
            other => other,
        };
        opened.map(Self).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => "another program has this port: stop it, or choose another",
                ErrorKind::AddrNotAvailable => "this host does not have the address",
                _ => "choose another",
            };
            format!("cannot listen on TCP {addr}: {error}; {remedy}")
        })
    }

    /// Answers whoever comes, for ever.
    pub async fn serve(&self, desk: Arc<Desk>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.0.try_clone()?)?;
        let accept = async || listener.accept().await.map(|(stream, _)| stream);
        door::attend(accept, |stream| answer(stream, Arc::clone(&desk))).await;
        Ok(())
    }
}

fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    // Connections of an earlier process that are still closing do not hold the port.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(QUEUE)?;
    Ok(socket.into())
}

/// Reads a request and answers it.
async fn answer(mut stream: TcpStream, desk: Arc<Desk>) -> io::Result<()> {
    let head = timeout(PATIENCE, head(&mut stream)).await??;
    let answer = respond(&head, &desk);
    timeout(PATIENCE, stream.write_all(&answer)).await??;
    timeout(PATIENCE, stream.shutdown()).await?
}

/// Reads a head to its end, or as much as one may have.
async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    while head.len() < HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.take((HEAD - head.len()) as u64).read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

/// The answer to a head.
fn respond(head: &[u8], desk: &Desk) -> Vec<u8> {
    let whole = head.windows(4).any(|end| end == b"\r\n\r\n");
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&str> = std::str::from_utf8(line).map(|line| line.split(' ').collect()).unwrap_or_default();
    let (method, target) = match words[..] {
        [method, target, version] if whole && version.starts_with("HTTP/1.") => (method, target),
        _ => return response("400 Bad Request", PLAIN, "no request of HTTP\n", true),
    };
    if !matches!(method, "GET" | "HEAD") {
        return response("405 Method Not Allowed", "text/plain\r\nAllow: GET, HEAD", "GET or HEAD\n", true);
    }
    let with_body = method == "GET";
    match target.split('?').next() {
        Some("/metrics") => response("200 OK", metrics::MEDIA_TYPE, &metrics::write(&desk.status()), with_body),
        Some("/") => response("200 OK", PLAIN, "hairpin runs; its metrics are at /metrics\n", with_body),
        _ => response("404 Not Found", PLAIN, "there is /metrics\n", with_body),
    }
}

/// Words for a person.
const PLAIN: &str = "text/plain; charset=utf-8";

fn response(status: &str, media_type: &str, body: &str, with_body: bool) -> Vec<u8> {
    let length = body.len();
    let body = if with_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
