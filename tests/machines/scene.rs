//! A machine with cards, and clients and peers at the other ends of their cables.

use crate::client::{Client, Heard};
use crate::flight::exchange;
use crate::harness::*;
use crate::machine::{Card, Machine};
use crate::space::Space;
use hairpin::wire::address::Family;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

/// Datagrams of one measurement, each way.
const MANY: u32 = 400;
/// The server's port, and that of its metrics.
const PORT: u16 = 3478;
const METRICS: u16 = 9641;

/// The rights that the service manager grants: every server here has no others.
const RIGHTS: &str = include_str!("../../systemd/hairpin-xdp.conf");

/// The usual card of a machine that Linux runs.
pub const VIRTIO: Card = Card { device: "virtio-net-pci", driver: "virtio_net", queues: 1 };

/// The cards by which a server is reached, and where it runs.
#[derive(Debug)]
pub struct Scene {
    pub space: Space,
    pub machine: Machine,
    /// Where the server that runs tells of itself.
    metrics: SocketAddr,
}

/// Who has an address at a cable.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Server = 1,
    Client = 2,
    Peer = 3,
}

/// The address of somebody at the cable of a card.
pub fn at(card: usize, family: Family, who: Who) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 18, card as u8, who as u8).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, card as u16, 0, 0, 0, 0, who as u16).into(),
    }
}

impl Scene {
    /// Starts a machine; each card has addresses of both families.
    pub fn new(kernel: &str, words: &str, cards: &[Card], modules: &[&str]) -> Self {
        let space = Space::new();
        for (at, card) in cards.iter().enumerate() {
            let queues = if card.queues > 1 { " multi_queue" } else { "" };
            space.ip(&format!("tuntap add tap{at} mode tap vnet_hdr{queues}"));
            space.ip(&format!("link set tap{at} up"));
        }
        let machine = Machine::start(&space, kernel, words, cards, modules);
        let mut scene = Self { space, machine, metrics: SocketAddr::new(at(0, Family::V4, Who::Server), METRICS) };
        for card in 0..cards.len() {
            scene.dress(card, &format!("tap{card}"));
            scene.address(card, &format!("card{card}"));
        }
        scene
    }

    /// Gives an interface outside the addresses of client and peer at this cable.
    pub fn dress(&self, cable: usize, interface: &str) {
        for who in [Who::Client, Who::Peer] {
            self.space.address_on(interface, &format!("{}/24", at(cable, Family::V4, who)));
            self.space.address_on(interface, &format!("{}/64", at(cable, Family::V6, who)));
        }
    }

    /// Gives an interface of the machine the addresses at this cable.
    pub fn address(&mut self, cable: usize, interface: &str) {
        let [v4, v6] = [Family::V4, Family::V6].map(|family| at(cable, family, Who::Server));
        self.machine.run(&format!("/bin/ip link set {interface} up"));
        self.machine.run(&format!("/bin/ip addr add {v4}/24 dev {interface}"));
        self.machine.run(&format!("/bin/ip addr add {v6}/64 dev {interface} nodad"));
    }

    /// Ends the server that ran before, and starts one with this kernel path on these cards, which says this of it.
    #[track_caller]
    pub fn serves(&mut self, mode: &str, cards: &[usize], expected: &str) {
        self.serves_without("", mode, cards, expected);
    }

    /// The same without one of the rights.
    #[track_caller]
    pub fn serves_without(&mut self, right: &str, mode: &str, cards: &[usize], expected: &str) {
        self.end();
        let setup = setup(mode, cards);
        self.metrics.set_ip(setup.ip);
        self.machine.run(&format!("cat > /etc/hairpin.toml <<'END'\n{}END", setup.text(PORT, PORT + 1)));
        let before = self.machine.console().len();
        let rights = rights(right);
        self.machine.run(&format!("/bin/setpriv {rights} hairpin -c /etc/hairpin.toml < /dev/null & server=$!"));
        self.machine.wait_for(before, "serving");
        let console = self.machine.console();
        let said: Vec<&str> = console[before..].lines().filter(|line| line.contains("kernel path: ")).collect();
        assert!(said.iter().any(|line| line.contains(expected)), "{said:?}");
    }

    /// Ends the server as a crash would, and its program goes.
    fn end(&mut self) {
        self.machine.run("[ -z \"$server\" ] || { kill -KILL $server; wait $server; server=; } 2> /dev/null");
        self.machine.run("while /bin/ip link | grep -q xdp; do usleep 50000; done");
    }

    /// What the server says of itself.
    pub fn counts(&self) -> Counts {
        let to = self.metrics;
        let mut stream = self.space.run(|| TcpStream::connect(to).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Counts(text)
    }

    /// `hairpin bench` measures the server at this card: more than 99 in 100 packets that it relays go by the kernel.
    pub fn bench_by_kernel(&self, card: usize) {
        let at = |who| at(card, Family::V4, who).to_string();
        let (url, peer) = (format!("turn:{}:{PORT}", at(Who::Server)), at(Who::Peer));
        let who = ["bench", &url, "--user", ALICE.0, "--password", ALICE.1, "--peer-address", &peer];
        let what = "--clients 10 --rate 2000 --duration 1s --loss 100 --threads 1 --json";
        let words: Vec<&str> = who.into_iter().chain(what.split(' ')).collect();
        let before = self.counts();
        let output = self.space.run(|| command(&words).output().unwrap());
        let gained = self.counts().since(&before);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let relayed = said["result"]["relayed_pps"].as_f64().unwrap();
        let carried = gained.kernel.iter().sum::<u64>() as f64;
        assert!(relayed > 1000.0 && carried > relayed * 0.99, "{gained:?}, {said:#}");
    }

    /// A client at one card and its peer at another send each other everything; what of it went which way.
    pub fn talk(&self, (from, to): (usize, usize), family: Family) -> Gained {
        let server = SocketAddr::new(at(from, family, Who::Server), PORT);
        let (mut client, peer) = self.space.run(|| {
            let client = Client::udp_from(at(from, family, Who::Client), server).named(ALICE);
            (client, peer_at(at(to, family, Who::Peer)))
        });
        let relayed = client.allocate_family(family);
        client.bind(0x4000, peer.local_addr().unwrap());
        // The first ones find the neighbours.
        for _ in 0..3 {
            client.send_channel(0x4000, b"first");
            assert_eq!(receive(&peer).0, b"first");
            peer.send_to(b"first", relayed).unwrap();
            hears(&mut client, b"first");
        }
        let before = self.counts();
        exchange(MANY, &mut client, &peer, relayed);
        let gained = self.counts().since(&before);
        assert_eq!(client.refresh(0), None);
        gained
    }
}

/// A configuration with this kernel path, on these cards.
fn setup(mode: &str, cards: &[usize]) -> Setup {
    let addresses = |who: Who| {
        let all = cards.iter().flat_map(|card| [Family::V4, Family::V6].map(|family| at(*card, family, who)));
        format!("{:?}", all.map(|ip| ip.to_string()).collect::<Vec<_>>())
    };
    let first = at(cards[0], Family::V4, Who::Server);
    Setup::at(first)
        .set("listen.addresses", &addresses(Who::Server))
        .set("peers.allow", &addresses(Who::Peer))
        .set("kernel-path", &quoted(mode))
        .set("log.level", "\"info\"")
        .set("admin.metrics", &quoted(&SocketAddr::new(first, METRICS).to_string()))
}

/// The rights of the service, or all but one of them, as `setpriv` has them.
fn rights(without: &str) -> String {
    let granted = RIGHTS.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    let names = granted
        .split(' ')
        .filter(|name| *name != without)
        .map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    format!("--inh-caps=-all --bounding-set=-all{}", names.collect::<String>())
}

/// Waits for this on the channel. A machine may be so slow that requests were sent twice: answers may come yet.
fn hears(client: &mut Client, body: &[u8]) {
    loop {
        match client.hear() {
            Heard::Channel(0x4000, heard) if heard == body => return,
            Heard::Message(_) => {}
            other => panic!("{body:?}, not {other:?}"),
        }
    }
}

/// What a server says of itself: its metrics.
#[derive(Debug)]
pub struct Counts(String);

impl Counts {
    /// Which mode it takes, and why, on this interface.
    pub fn is(&self, mode: &str, interface: &str, why: &str) -> bool {
        let sample = format!("hairpin_kernel_path_info{{mode=\"{mode}\",interface=\"{interface}\",why=\"{why}");
        self.0.lines().any(|line| line.starts_with(&sample))
    }

    fn carried(&self, direction: &str) -> u64 {
        self.number(&format!("hairpin_relayed_packets_total{{direction=\"{direction}\",path=\"kernel\"}} "))
    }

    fn left(&self, why: &str) -> u64 {
        self.number(&format!("hairpin_kernel_left_packets_total{{why=\"{why}\"}} "))
    }

    fn number(&self, sample: &str) -> u64 {
        self.0.lines().find_map(|line| line.strip_prefix(sample)).map_or(0, |number| number.parse().unwrap())
    }

    fn since(&self, before: &Self) -> Gained {
        let gained = |direction: &str| self.carried(direction) - before.carried(direction);
        Gained {
            kernel: ["to_peer", "to_client"].map(gained),
            interface: self.left("interface") - before.left("interface"),
        }
    }
}

/// Packets of an exchange, all of which came.
#[derive(Debug)]
pub struct Gained {
    /// Those that never reached user space, to the peer and to the client.
    kernel: [u64; 2],
    /// Those left to user space because they would have left where they may not.
    interface: u64,
}

impl Gained {
    /// More than 99 in 100 never reached user space.
    #[track_caller]
    pub fn by_kernel(&self) {
        assert!(self.kernel.iter().all(|packets| *packets > u64::from(MANY) * 99 / 100), "{self:?}");
    }

    /// All of them did.
    #[track_caller]
    pub fn by_user_space(&self) {
        assert_eq!(self.kernel, [0; 2], "{self:?}");
    }

    /// All of those to the peer did, as it is behind another interface.
    #[track_caller]
    pub fn to_peer_by_user_space(&self) {
        assert!(self.kernel[0] == 0 && self.interface >= u64::from(MANY), "{self:?}");
    }
}
