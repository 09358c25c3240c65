//! The frames of the corpus as they come to a server: with the program it does what it does without.

#![expect(unsafe_code, reason = "the address of an interface exists in C only")]

use crate::client::Client;
use crate::corpus::{self, Row};
use crate::frame::{self, ETHERNET, GATEWAY, HOST};
use crate::harness::*;
use crate::net::{self, requires};
use crate::scene::{self, CLIENTS, PEERS, Scene, hex};
use crate::space::Space;
use hairpin::dataplane::xdp::Mode;
use hairpin::wire::{Message, Method, address, attribute};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

/// The ports of relays: few, so that the core can be made to choose the same ones.
const PORTS: RangeInclusive<u16> = 50000..=50031;
/// Whoever asks whether the server has done what came before.
const ASKER: &str = "192.0.2.3:42000";
/// Bytes of the longest frame that the wire carries.
const LONGEST: usize = ETHERNET + 1500;

/// A server, and the world at the other end of its wire.
struct Served {
    server: Child,
    folder: PathBuf,
    /// Open as long as they have allocations.
    _clients: Vec<Client>,
    asker: Client,
    wire: Socket,
    names: BTreeMap<String, SocketAddr>,
    _spaces: [Space; 2],
    _polls: OwnedFd,
}

impl Drop for Served {
    fn drop(&mut self) {
        // A process that has ended already needs no killing.
        _ = self.server.kill();
        _ = self.server.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

impl Served {
    /// Starts a server with this kernel path; clients allocate and bind channels as in a scene.
    fn start(mode: &str) -> Self {
        let folder = env::temp_dir().join(format!("hairpin-served-{}-{mode}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (near, far) = network();
        let polls = far.pass_all("eth0");
        let file = folder.join("hairpin.toml");
        fs::write(&file, configuration(mode, &folder)).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let server = near.run(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hairpin"));
            command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
        });
        let wire = far.run(frames);
        wire.set_nonblocking(true).unwrap();
        let asker = client(&far, ASKER);
        let names = PEERS.iter().map(|(name, at)| ((*name).to_owned(), addr(at))).collect();
        let mut served =
            Self { server, folder, _clients: Vec::new(), asker, wire, names, _spaces: [near, far], _polls: polls };
        served.asker.binding();
        served.furnish();
        served.seen();
        served
    }

    /// Allocations of both families, and channels to all peers and relays.
    fn furnish(&mut self) {
        let mut clients = Vec::new();
        for (name, at, [user, password]) in CLIENTS {
            let mut client = client(&self._spaces[1], at).named((user, password));
            let answer = client.allocate_with(|w| _ = w.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]));
            let message = answer.message();
            let relayed = message.attributes().filter(|(code, _)| *code == attribute::XOR_RELAYED_ADDRESS);
            let relayed: Vec<_> =
                relayed.map(|(_, value)| address::decode_xor(value, &message.transaction()).unwrap()).collect();
            self.names.insert(name.to_owned(), addr(at));
            self.names.insert(format!("{name}.4"), relayed[0]);
            self.names.insert(format!("{name}.6"), relayed[1]);
            clients.push(client);
        }
        for ((name, ..), client) in CLIENTS.iter().zip(&mut clients) {
            for (number, at) in scene::channels(&self.names, name) {
                client.bind(number, at);
            }
        }
        self._clients = clients;
    }

    /// The relays of the clients, in their order.
    fn relays(&self) -> Vec<[SocketAddr; 2]> {
        CLIENTS.iter().map(|(name, ..)| [4, 6].map(|family| self.names[&format!("{name}.{family}")])).collect()
    }

    /// What leaves the server after a frame has come: something, if that is sure.
    fn after(&mut self, frame: &[u8], is_sure: bool) -> Vec<String> {
        self.wire.send(frame).unwrap();
        // What came before the first question is done when the second is read, and what that leads to inside the server
        // when the third is.
        for _ in 0..3 {
            self.asker.binding();
        }
        let (mut left, end) = (self.seen(), Instant::now() + PATIENCE);
        // A datagram from relay to relay crosses the kernel on a way of its own.
        while is_sure && left.is_empty() && Instant::now() < end {
            left = self.seen();
        }
        left
    }

    /// What has left since the last look.
    fn seen(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        let mut buffer = [0; 2000];
        while let Ok(len) = (&self.wire).read(&mut buffer) {
            left.push(buffer[..len].to_vec());
        }
        left.retain(|frame| frame[6..12] == HOST);
        let mut whole: Vec<Sent> = left.iter().filter_map(|frame| whole(frame)).collect();
        whole.extend(joined(&left));
        whole.iter().filter(|sent| sent.to != addr(ASKER)).map(|sent| self.told(sent)).collect()
    }

    /// A datagram in words that are the same for every server.
    fn told(&self, sent: &Sent) -> String {
        let name = |at: SocketAddr| {
            let known = self.names.iter().find(|(_, known)| **known == at);
            known.map_or_else(|| at.to_string(), |(name, _)| name.clone())
        };
        let Sent { from, to, tos, whole, payload } = sent;
        let (from, to) = (name(*from), name(*to));
        let payload = match Message::parse(payload) {
            // The transaction id is any, and the peer's address depends on it.
            Ok(message) if message.method() == Method::DATA => {
                let told = message.attributes().map(|(code, value)| match code {
                    attribute::XOR_PEER_ADDRESS => name(address::decode_xor(value, &message.transaction()).unwrap()),
                    _ => format!("{code:04x} {}", hex(value)),
                });
                format!("Data: {} in {} bytes", told.collect::<Vec<_>>().join(", "), payload.len())
            }
            _ => hex(payload),
        };
        format!("{from} > {to} tos={tos:02x} df={whole} {payload}")
    }

    /// The status when all that has come is counted: the worker tells of it a few times in a second.
    fn counted(&mut self) -> Value {
        let (known, end) = (self.status(), Instant::now() + PATIENCE);
        self.asker.binding();
        loop {
            let status = self.status();
            if status["requests"] != known["requests"] {
                return status;
            }
            assert!(Instant::now() < end, "never counted: {status:#}");
        }
    }

    fn status(&self) -> Value {
        let socket = self.folder.join("control");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hairpin"));
        let output = command.args(["status", "--json", "--socket", socket.to_str().unwrap()]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A host, and the world that it reaches by `eth0`: addresses of clients are there, those of peers are nobody's.
fn network() -> (Space, Space) {
    let (near, far) = Space::pair();
    net::COMMANDS.iter().for_each(|words| near.ip(words));
    let mac = GATEWAY.map(|byte| format!("{byte:02x}")).join(":");
    far.ip(&format!("link set eth0 address {mac}"));
    let gateways = ["203.0.113.1/24".to_owned(), "2001:4860:1::1/64".to_owned()];
    let length = |at: &SocketAddr| if at.is_ipv4() { 32 } else { 128 };
    let clients = CLIENTS.iter().map(|(_, at, _)| addr(at)).chain([addr(ASKER)]);
    let clients = clients.map(|at| format!("{}/{}", at.ip(), length(&at)));
    gateways.into_iter().chain(clients).for_each(|address| far.address(&address));
    // Nobody says that peers are not there.
    far.ip("-6 route add blackhole default");
    // What is seen on the wire is to be whole.
    for space in [&near, &far] {
        space.tool("ethtool", "-K eth0 tx off");
    }
    (near, far)
}

/// A socket that sends whole frames by `eth0` of this thread's network, and receives those that come in there and those
/// that leave.
fn frames() -> Socket {
    let all = (libc::ETH_P_ALL as u16).to_be();
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(all)))).unwrap();
    // SAFETY: a `sockaddr_ll` fits into the storage, in which every bit pattern is valid, and its size is told; the name
    // ends with a zero.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as u16;
            (*link).sll_protocol = all;
            (*link).sll_ifindex = libc::if_nametoindex(c"eth0".as_ptr()) as libc::c_int;
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }
    .unwrap();
    socket.bind(&address).unwrap();
    socket
}

fn client(space: &Space, at: &str) -> Client {
    let server = addr(if addr(at).is_ipv4() { SERVER } else { SERVER6 });
    Client::with_socket(space.run(|| UdpSocket::bind(addr(at)).unwrap()), server)
}

fn configuration(mode: &str, folder: &Path) -> String {
    let control = folder.join("control");
    let (first, last) = (PORTS.start(), PORTS.end());
    format!(
        "workers = 1\nkernel-path = {mode:?}\nkernel-interfaces = [\"eth0\"]\n\
         listen.addresses = [\"203.0.113.5\", \"2001:4860:1::5\"]\n\
         relay.addresses = [\"203.0.113.5\", \"2001:4860:1::5\"]\n\
         relay.min-port = {first}\nrelay.max-port = {last}\n\
         auth.realm = {REALM:?}\nauth.users = [\"alice:secret\", \"bob:hunter2\"]\n\
         peers.allow = [\"198.18.0.0/15\", \"198.51.100.0/24\", \"192.0.2.0/24\", \"203.0.113.0/24\", \"2001:db8::/32\"]\n\
         admin.socket = {control:?}\nlog.level = \"debug\"\n"
    )
}

/// A datagram that has left, whether in fragments or not.
#[derive(Debug)]
struct Sent {
    from: SocketAddr,
    to: SocketAddr,
    tos: u8,
    /// It must not be fragmented.
    whole: bool,
    payload: Vec<u8>,
}

/// A datagram in one frame.
fn whole(frame: &[u8]) -> Option<Sent> {
    let frame::Datagram { from, to, tos, payload, .. } = frame::read(frame)?;
    Some(Sent { from, to, tos, whole: from.is_ipv4() && frame[20] & 0x40 != 0, payload })
}

/// Datagrams in several frames.
fn joined(frames: &[Vec<u8>]) -> Vec<Sent> {
    let mut parts: BTreeMap<_, Vec<Part>> = BTreeMap::new();
    for part in frames.iter().filter_map(|frame| part(frame)) {
        parts.entry((part.from, part.to, part.id)).or_default().push(part);
    }
    let join = |mut parts: Vec<Part>| {
        parts.sort_by_key(|part| part.offset);
        let udp: Vec<u8> = parts.iter().flat_map(|part| part.data.clone()).collect();
        let (part, word) = (&parts[0], |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]));
        assert_eq!(usize::from(word(4)), udp.len(), "fragments make a datagram: {parts:?}");
        let (from, to) = (SocketAddr::new(part.from, word(0)), SocketAddr::new(part.to, word(2)));
        Sent { from, to, tos: part.tos, whole: false, payload: udp[8..].to_vec() }
    };
    parts.into_values().map(join).collect()
}

/// A fragment.
#[derive(Debug)]
struct Part {
    from: IpAddr,
    to: IpAddr,
    id: u32,
    tos: u8,
    offset: u16,
    data: Vec<u8>,
}

fn part(frame: &[u8]) -> Option<Part> {
    let packet = &frame[ETHERNET..];
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let ip4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    match frame[12..14] {
        [8, 0] if word(6) & 0x3fff != 0 => Some(Part {
            from: ip4(12).into(),
            to: ip4(16).into(),
            id: word(4).into(),
            tos: packet[1],
            offset: (word(6) & 0x1fff) * 8,
            data: packet[20..usize::from(word(2))].to_vec(),
        }),
        [0x86, 0xdd] if packet[6] == 44 => Some(Part {
            from: ip(8).into(),
            to: ip(24).into(),
            id: u32::from_be_bytes(packet[44..48].try_into().unwrap()),
            tos: packet[0] << 4 | packet[1] >> 4,
            offset: word(42) & 0xfff8,
            data: packet[48..40 + usize::from(word(4))].to_vec(),
        }),
        _ => None,
    }
}

/// Rows whose frames a wire carries, but for those that take seconds because nobody answers, and those whose checksum
/// is wrong: that is found out elsewhere, here or there.
fn rows() -> Vec<Row> {
    let is_slow = |row: &Row| ["mute4", "nowhere", "elsewhere4"].iter().any(|name| row.frame.contains(name));
    let is_wrong = |row: &Row| ["udp-sum=wrong", "udp-sum=unfinished"].iter().any(|word| row.frame.contains(word));
    corpus::rows().into_iter().filter(|row| !is_slow(row) && !is_wrong(row)).collect()
}

/// What a server has made of every row.
struct Made {
    left: Vec<(&'static str, Vec<String>)>,
    drops: BTreeMap<String, u64>,
    /// Packets that the kernel has carried.
    carried: u64,
}

/// Leaves out the two bytes of a body that make a checksum zero: they depend on the port of a relay.
fn forget_balance(sent: &mut String) {
    let next = sent.find("030405060708").expect("the bytes after them");
    sent.replace_range(next - 4..next, "....");
}

/// Whether the core sends a frame's datagram from one relay to another, and from there to a client.
fn leaves_by_two_relays(scene: &mut Scene, frame: &[u8]) -> bool {
    let Some(datagram) = frame::read(frame).filter(|_| frame[..6] == HOST) else { return false };
    let servers = [addr(SERVER), addr(SERVER6)];
    let is_data =
        datagram.payload.first().is_some_and(|first| first >> 6 == 1) || datagram.payload.starts_with(&[0, 0x16]);
    let out = scene.core(datagram.from, datagram.to, &datagram.payload);
    is_data && servers.contains(&datagram.to) && out.is_some_and(|(from, ..)| servers.contains(&from))
}

/// What a server with this kernel path makes of the rows.
fn made(mode: &str) -> Made {
    let mut served = Served::start(mode);
    let relays = served.relays();
    let left = Scene::play_as(Mode::Generic, PORTS, &relays, |mut scene| {
        assert_eq!(scene.names, served.names, "the core has the same relays");
        let mut left = Vec::new();
        for row in rows() {
            let frame = corpus::frame(&mut scene, &row);
            if frame.len() <= LONGEST {
                let mut sent = served.after(&frame, leaves_by_two_relays(&mut scene, &frame));
                if row.frame.contains(" sum-") {
                    sent.iter_mut().for_each(forget_balance);
                }
                left.push((row.name, sent));
            }
        }
        left
    });
    let status = served.counted();
    // Without the program there is nothing to tell of it.
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut drops = BTreeMap::new();
    for path in ["kernel", "user_space"] {
        for (reason, count) in status["drops"][path].as_object().unwrap() {
            *drops.entry(reason.clone()).or_default() += number(count);
        }
    }
    let carried = ["to_peer", "to_client"].iter().map(|way| number(&status["kernel"]["carried"][way]["packets"])).sum();
    Made { left, drops, carried }
}

#[test]
fn a_server_with_the_program_sends_what_it_sends_without() {
    if !requires(net::lack()) {
        return;
    }
    let without = made("off");
    for mode in ["native", "generic", "tc"] {
        let with = made(mode);
        for ((name, with), (_, without)) in with.left.iter().zip(&without.left) {
            assert_eq!(with, without, "{mode}: {name}");
        }
        assert_eq!(with.left.len(), without.left.len());
        assert_eq!(with.drops, without.drops, "{mode}");
        let expected = rows().iter().filter(|row| row.expected == "carried").count() as u64;
        assert!(with.carried >= expected, "{mode}: {} of {expected}", with.carried);
    }
    assert_eq!(without.carried, 0);
}
