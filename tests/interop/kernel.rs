//! The kernel path under clients that other people wrote: nearly all of what they send crosses the server's network
//! without reaching a socket there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use super::browser::call_through;
use super::certificate::Certificate;
use super::harness::Need::{Hairpin, Spaces, Tool};
use super::harness::{PASSWORD, SECRET, USER, answers_binding, program};
use super::process::{Folder, Process, until};
use super::space::Space;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);

/// A server with the program in the driver, and a router between it and whoever talks by it: its next hop is nobody whom
/// a packet is for. At the far end of both cables is a program, too.
struct Wire {
    _server: Server,
    host: Space,
    router: Space,
    far: Space,
    _polls: [OwnedFd; 2],
    folder: Folder,
}

/// Stopped before its network goes.
struct Server(Process);

/// Packets that were relayed by the kernel, datagrams that reached sockets of the server's network, and packets that the
/// router has forwarded.
#[derive(Clone, Copy, Debug)]
struct Packets {
    to_peer: u64,
    to_client: u64,
    by_sockets: u64,
    forwarded: u64,
}

impl Wire {
    fn new() -> Self {
        let ([host, router, far], folder) = ([(); 3].map(|()| Space::new()), Folder::new());
        host.cable("wire0", &router, "wire1");
        router.cable("wire2", &far, "wire3");
        let places = [
            (&host, "wire0", "192.0.2.1/25"),
            (&router, "wire1", "192.0.2.126/25"),
            (&router, "wire2", "192.0.2.129/25"),
            (&far, "wire3", "192.0.2.130/25"),
            (&far, "wire3", "192.0.2.131/25"),
        ];
        places.iter().for_each(|(space, name, address)| space.address_on(name, address));
        router.tool("sysctl", "-q -w net.ipv4.ip_forward=1");
        host.ip("route add default via 192.0.2.126");
        far.ip("route add default via 192.0.2.129");
        // A real wire carries whole checksums, and its other end takes what a program sends.
        far.tool("ethtool", "-K wire3 tx off");
        let polls = [router.pass_all("wire1"), far.pass_all("wire3")];
        let config = folder.write(
            "turnserver.conf",
            &format!(
                "listening-ip=192.0.2.1\nrelay-ip=192.0.2.1\nrealm=example.org\nuser={USER}:{PASSWORD}\n\
                 static-auth-secret={SECRET}\nallowed-peer-ip=192.0.2.130-192.0.2.131\nrfc5766-channel-numbers\n\
                 kernel-path=native\n"
            ),
        );
        let log = folder.join("server.log");
        let server = host.run(|| Process::start(Command::new(program()).arg("-c").arg(config), &log));
        until("the server answers", PATIENCE, || far.run(|| answers_binding(HOST)).then_some(()));
        assert!(server.output().contains("kernel path: on mode=native interfaces=\"wire0\""), "{}", server.output());
        Self { _server: Server(server), host, router, far, _polls: polls, folder }
    }

    /// Runs a client to its end at the far end of the wire.
    fn run(&self, command: &mut Command) -> String {
        let log = self.folder.join("client.log");
        let mut client = self.far.run(|| Process::start(command, &log));
        assert!(client.wait(PATIENCE).success());
        client.output()
    }

    /// What has crossed so far.
    fn packets(&self) -> Packets {
        const STATUS: &str = "kernel path: status";
        let server = &self._server.0;
        let known = server.output().matches(STATUS).count();
        assert!(Command::new("kill").args(["-USR1", &server.id().to_string()]).status().unwrap().success());
        let line = until("the server tells how it stands", PATIENCE, || {
            server.output().lines().filter(|line| line.contains(STATUS)).nth(known).map(str::to_owned)
        });
        let number = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let by_sockets = self.host.run(|| counted("Udp:", "InDatagrams"));
        let forwarded = self.router.run(|| counted("Ip:", "ForwDatagrams"));
        Packets { to_peer: number("to_peer_packets"), to_client: number("to_client_packets"), by_sockets, forwarded }
    }
}

/// What this thread's network has counted.
fn counted(of: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let [names, values] = [0, 1].map(|at| text.lines().filter(|line| line.starts_with(of)).nth(at).unwrap());
    let at = names.split(' ').position(|known| known == name).unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

impl Packets {
    /// More than 99 of 100 packets that came in were relayed by the kernel. A packet from client to client is counted
    /// for both. Each of them came by the router and left by it.
    fn are_the_kernels(self, between_clients: bool) {
        let Self { to_peer, to_client, by_sockets, forwarded } = self;
        let carried = if between_clients { to_peer.max(to_client) } else { to_peer + to_client };
        assert!(by_sockets * 99 < carried, "{self:?}");
        // Some are on their way while these are counted.
        assert!(forwarded * 100 > carried * 2 * 95, "{self:?}");
    }
}

#[test]
fn the_kernel_carries_what_uclient_sends_by_channels() {
    requires!(Tool("turnutils_uclient"), Tool("turnutils_peer"), Tool("ethtool"), Spaces, Hairpin("a kernel path"));
    let packets = uclient(&[]);
    assert!(packets.to_peer >= 2990 && packets.to_client >= 2990, "{packets:?}");
    packets.are_the_kernels(false);
}

/// Its Send indications have a FINGERPRINT, which the program leaves to user space; Data indications have none.
#[test]
fn the_kernel_carries_what_uclient_receives_by_indications() {
    requires!(Tool("turnutils_uclient"), Tool("turnutils_peer"), Tool("ethtool"), Spaces, Hairpin("a kernel path"));
    let packets = uclient(&["-s"]);
    assert!(packets.to_peer == 0 && packets.to_client >= 2990, "{packets:?}");
}

/// A thousand messages of each of six sessions to an echo and back; none is lost.
fn uclient(flags: &[&str]) -> Packets {
    let wire = Wire::new();
    let log = wire.folder.join("peer.log");
    let _peer =
        wire.far.run(|| Process::start(Command::new("turnutils_peer").args(["-L", "192.0.2.131", "-p", "3480"]), &log));
    let mut client = Command::new("turnutils_uclient");
    client.args(["-u", USER, "-w", PASSWORD, "-n", "1000", "-m", "3", "-z", "5", "-l", "200", "-L", "192.0.2.130"]);
    let said = wire.run(client.args(["-e", "192.0.2.131", "-r", "3480"]).args(flags).arg("192.0.2.1"));
    assert!(said.contains("Total lost packets 0 "), "{said}");
    wire.packets()
}

#[test]
fn the_kernel_carries_a_call_of_two_browsers() {
    requires!(Tool("chromium"), Tool("chromedriver"), Tool("ethtool"), Spaces, Hairpin("a kernel path"));
    let wire = Wire::new();
    let before = wire.packets();
    let key = Certificate::ecdsa().key_hash;
    let url = format!("turn:{HOST}?transport=udp");
    let during = wire.far.run(|| {
        call_through(&key, &url, "udp", || {
            // The call stands: from now on every packet of it should be the kernel's.
            let begun = wire.packets();
            until("the call goes on", PATIENCE, || {
                let now = wire.packets();
                (now.to_client > begun.to_client + 1000).then(|| now.since(begun))
            })
        })
    });
    during.are_the_kernels(true);
    assert!(wire.packets().since(before).to_client > 1000);
}

#[test]
fn the_kernel_carries_a_measurement_without_loss() {
    requires!(Tool("ethtool"), Spaces, Hairpin("a kernel path"));
    let wire = Wire::new();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_hairpin"));
    bench.args(["bench", &format!("turn:{HOST}"), "--user", USER, "--password", PASSWORD, "--json"]);
    bench.args(["--clients", "5", "--rate", "3000", "--duration", "2s", "--threads", "1"]);
    let said = wire.run(&mut bench);
    let (_, json) = said.split_once('{').unwrap();
    let report: serde_json::Value = serde_json::from_str(&format!("{{{json}")).unwrap();
    assert_eq!(report.pointer("/result/loss_percent").and_then(serde_json::Value::as_f64), Some(0.0), "{report:#}");
    wire.packets().are_the_kernels(false);
}

impl Packets {
    fn since(self, before: Self) -> Self {
        Self {
            to_peer: self.to_peer - before.to_peer,
            to_client: self.to_client - before.to_client,
            by_sockets: self.by_sockets - before.by_sockets,
            forwarded: self.forwarded - before.forwarded,
        }
    }
}
