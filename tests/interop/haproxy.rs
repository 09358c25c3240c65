//! HAProxy in front: it says who its clients are, in either version, before TCP and before TLS.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use hairpin::wire::{Message, address, attribute};

use super::harness::Need::{Hairpin, Ipv6, Tool};
use super::harness::{Login, Need, Server};
use super::process::{Process, until};
use super::turnutils::{PEER, Run, UCLIENT};

const HAPROXY: Need = Tool("haproxy");
const UNDERSTOOD: Need = Hairpin("TLS behind the PROXY protocol");
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(10);

/// PROXY-001, PROXY-004, PROXY-007: the line, the header and the header with its checksum name the client, of either
/// family.
#[test]
fn clients_behind_haproxy_are_told_their_own_address() {
    requires!(HAPROXY, Ipv6, UNDERSTOOD);
    let server = Server::start(Login::User);
    let proxy = Proxy::start(&server, ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"]);
    for port in server.ports.fronts() {
        for front in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
            let client = TcpStream::connect(front).unwrap();
            let local = client.local_addr().unwrap();
            assert_eq!(mapped(client), Some(local), "{front}: {}", proxy.process.output());
        }
    }
}

/// PROXY-005: its checks, which name nobody, are answered.
#[test]
fn checks_of_haproxy_succeed() {
    requires!(HAPROXY, UNDERSTOOD);
    let server = Server::start(Login::User);
    let check = "send-proxy-v2 check inter 100ms";
    let proxy = Proxy::start(&server, [check, check, check]);
    until("a check that succeeds", WITHIN, || {
        let said = proxy.process.output();
        assert!(!said.contains("is DOWN"), "{said}");
        said.contains("Health check for server front0/turn succeeded").then_some(())
    });
}

/// PROXY-008: a proxy that says nothing of its clients has none that are served.
#[test]
fn a_proxy_that_names_nobody_serves_nobody() {
    requires!(HAPROXY, UNDERSTOOD);
    let server = Server::start(Login::User);
    let _proxy = Proxy::start(&server, ["", "", ""]);
    let front = (Ipv4Addr::LOCALHOST, server.ports.fronts()[0]);
    assert_eq!(mapped(TcpStream::connect(front).unwrap()), None);
}

/// PROXY-001.
#[test]
fn channels_over_tcp_through_the_line_lose_nothing() {
    requires!(HAPROXY, UCLIENT, PEER, UNDERSTOOD);
    through("send-proxy", |run| run.flags(&["-t"]));
}

/// PROXY-004.
#[test]
fn channels_over_tcp_through_the_header_lose_nothing() {
    requires!(HAPROXY, UCLIENT, PEER, UNDERSTOOD);
    through("send-proxy-v2", |run| run.flags(&["-t"]));
}

/// PROXY-010.
#[test]
fn channels_over_tls_through_the_line_lose_nothing() {
    requires!(HAPROXY, UCLIENT, PEER, UNDERSTOOD);
    through("send-proxy", |run| run.tls());
}

/// PROXY-010.
#[test]
fn channels_over_tls_through_the_header_lose_nothing() {
    requires!(HAPROXY, UCLIENT, PEER, UNDERSTOOD);
    through("send-proxy-v2 proxy-v2-options crc32c", |run| run.tls());
}

/// Runs coturn's client through a proxy that sends this.
fn through(sends: &str, how: impl for<'a> FnOnce(Run<'a>) -> Run<'a>) {
    let server = Server::start(Login::User);
    let _proxy = Proxy::start(&server, [sends; 3]);
    let front = SocketAddr::from((Ipv4Addr::LOCALHOST, server.ports.fronts()[0]));
    how(Run::new(&server)).at(front).echoes();
}

/// HAProxy before a server.
struct Proxy {
    process: Process,
}

impl Proxy {
    /// Starts it with a front for each way of saying who the client is.
    fn start(server: &Server, sends: [&str; 3]) -> Self {
        let mut config = String::from(
            "global\n log stdout format raw local0\ndefaults\n mode tcp\n log global\n option log-health-checks\n \
             option tcp-check\n tcp-check connect default\n \
             tcp-check send-binary 000100002112a442000102030405060708090a0b\n tcp-check expect binary 0101\n \
             timeout connect 5s\n timeout client 30s\n timeout server 30s\n",
        );
        for ((at, port), sends) in server.ports.fronts().iter().enumerate().zip(sends) {
            let behind = server.ports.behind();
            config += &format!("listen front{at}\n bind 127.0.0.1:{port}\n server turn 127.0.0.1:{behind} {sends}\n");
            if Ipv6.is_met() {
                config += &format!(" bind [::1]:{port}\n");
            }
        }
        let file = server.folder.write("haproxy.cfg", &config);
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(file);
        let mut process = Process::start(&mut command, &server.folder.join("haproxy.log"));
        until("HAProxy to listen", WITHIN, || {
            assert!(process.ended().is_none(), "HAProxy has ended: {}", process.output());
            TcpStream::connect((Ipv4Addr::LOCALHOST, server.ports.fronts()[2])).ok()
        });
        Self { process }
    }
}

/// Where a client on this connection is seen; none if the connection ends without a word.
fn mapped(mut stream: TcpStream) -> Option<SocketAddr> {
    const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42behindaproxy";
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream.write_all(&REQUEST).unwrap();
    let mut answer = [0; 512];
    let count = match stream.read(&mut answer) {
        Ok(0) => return None,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
        count => count.unwrap(),
    };
    let message = Message::parse(&answer[..count]).unwrap();
    let value = message.attribute(attribute::XOR_MAPPED_ADDRESS).unwrap();
    Some(address::decode_xor(value, &message.transaction()).unwrap())
}
