//! A TURN client on UDP, TCP or TLS, as plain as can be.

use crate::harness::{PATIENCE, REALM};
use hairpin::auth::key::{Algorithm, Key};
use hairpin::wire::address::{self, Family};
use hairpin::wire::{Class, Message, Method, Writer, attribute, channel};
use rustls::{ClientConnection, StreamOwned};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer is waited for before a UDP request is sent again.
const RETRANSMIT: Duration = Duration::from_millis(500);

/// Bytes in both directions.
pub trait Stream: Read + Write + Debug + Send {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// Messages in both directions, each sealed by itself.
pub trait Records: Debug + Send {
    fn send(&mut self, message: &[u8]);
    /// The next message, if one comes in time.
    fn receive(&mut self, patience: Duration) -> Option<Vec<u8>>;
    fn local(&self) -> SocketAddr;
}

/// How a client reaches the server.
#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Stream { stream: Box<dyn Stream>, buffer: Vec<u8> },
    Records(Box<dyn Records>),
}

/// What a client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// ChannelData, without padding.
    Channel(u16, Vec<u8>),
    /// A STUN message.
    Message(Answer),
    /// The end of the stream.
    End,
    /// Nothing, for as long as one may wait.
    Nothing,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    link: Link,
    server: SocketAddr,
    /// What goes before each datagram.
    header: Vec<u8>,
    user: String,
    password: String,
    realm: String,
    /// What it signs with and shows instead of a password.
    session: Option<(Vec<u8>, Vec<u8>)>,
    nonce: Vec<u8>,
    serial: u64,
    waiting: VecDeque<Heard>,
}

impl Client {
    /// A UDP client at any address.
    pub fn udp(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        Self::with_socket(UdpSocket::bind(any).unwrap(), server)
    }

    /// A UDP client at this address.
    pub fn udp_from(ip: IpAddr, server: SocketAddr) -> Self {
        Self::with_socket(UdpSocket::bind((ip, 0)).unwrap(), server)
    }

    /// A UDP client on this socket.
    pub fn with_socket(socket: UdpSocket, server: SocketAddr) -> Self {
        Self::on(Link::Udp(socket), server)
    }

    /// A TCP client.
    pub fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        Self::with_stream(stream, server)
    }

    /// A client on this stream.
    pub fn with_stream(stream: impl Stream + 'static, server: SocketAddr) -> Self {
        stream.socket().set_nodelay(true).unwrap();
        Self::on(Link::Stream { stream: Box::new(stream), buffer: Vec::new() }, server)
    }

    /// A client of these records.
    #[cfg_attr(not(feature = "dtls"), expect(dead_code, reason = "DTLS alone has records"))]
    pub fn with_records(records: impl Records + 'static, server: SocketAddr) -> Self {
        Self::on(Link::Records(Box::new(records)), server)
    }

    fn on(link: Link, server: SocketAddr) -> Self {
        let waiting = VecDeque::new();
        Self {
            link,
            server,
            header: Vec::new(),
            user: String::new(),
            password: String::new(),
            realm: REALM.to_owned(),
            session: None,
            nonce: Vec::new(),
            serial: 0,
            waiting,
        }
    }

    /// With credentials.
    pub fn named(mut self, (user, password): (&str, &str)) -> Self {
        (self.user, self.password) = (user.to_owned(), password.to_owned());
        self
    }

    /// With an access token instead of a password: the identifier of its key, the session key, the token.
    pub fn granted(mut self, kid: &str, session_key: Vec<u8>, token: Vec<u8>) -> Self {
        (self.user, self.session) = (kid.to_owned(), Some((session_key, token)));
        self
    }

    /// With this header before each datagram, as a proxy puts it there.
    pub fn behind(mut self, header: Vec<u8>) -> Self {
        self.header = header;
        self
    }

    /// In another realm.
    pub fn of_realm(mut self, realm: &str) -> Self {
        self.realm = realm.to_owned();
        self
    }

    /// Where it sends from.
    pub fn local(&self) -> SocketAddr {
        match &self.link {
            Link::Udp(socket) => socket.local_addr().unwrap(),
            Link::Stream { stream, .. } => stream.socket().local_addr().unwrap(),
            Link::Records(records) => records.local(),
        }
    }

    /// Where it sends to.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// From the same address to another one of the server's.
    pub fn toward(mut self, server: SocketAddr) -> Self {
        self.server = server;
        self
    }

    /// It sends datagrams.
    pub fn is_udp(&self) -> bool {
        matches!(self.link, Link::Udp(_))
    }

    /// Its UDP socket.
    pub fn socket(&self) -> &UdpSocket {
        match &self.link {
            Link::Udp(socket) => socket,
            Link::Stream { .. } | Link::Records(_) => panic!("only a UDP client has a UDP socket"),
        }
    }

    /// Its stream.
    pub fn stream(&mut self) -> &mut dyn Stream {
        match &mut self.link {
            Link::Stream { stream, .. } => stream.as_mut(),
            Link::Udp(_) | Link::Records(_) => panic!("only a client on a stream has one"),
        }
    }

    /// Its stream, and what was read of it and not looked at.
    pub fn into_stream(self) -> (Box<dyn Stream>, Vec<u8>) {
        match self.link {
            Link::Stream { stream, buffer } => (stream, buffer),
            Link::Udp(_) | Link::Records(_) => panic!("only a client on a stream has one"),
        }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        match &mut self.link {
            Link::Udp(socket) => drop(socket.send_to(&[&self.header, bytes].concat(), self.server).unwrap()),
            Link::Stream { stream, .. } => {
                stream.write_all(bytes).unwrap();
                stream.flush().unwrap();
            }
            Link::Records(records) => records.send(bytes),
        }
    }

    /// What comes next.
    pub fn hear(&mut self) -> Heard {
        self.waiting.pop_front().unwrap_or_else(|| self.read(PATIENCE))
    }

    /// What comes next, if it comes soon.
    pub fn hear_within(&mut self, patience: Duration) -> Option<Heard> {
        let heard = self.waiting.pop_front().unwrap_or_else(|| self.read(patience));
        (heard != Heard::Nothing).then_some(heard)
    }

    /// What comes next and is no answer: one that was late comes twice, as the request was sent again.
    pub fn hear_data(&mut self) -> Heard {
        loop {
            match self.hear() {
                Heard::Message(answer) if answer.message().class() != Class::Indication => {}
                heard => return heard,
            }
        }
    }

    /// The data that comes next, however it is packed, and from whom if it does not come by channel.
    pub fn data(&mut self) -> (Vec<u8>, Option<SocketAddr>) {
        match self.hear_data() {
            Heard::Channel(_, body) => (body, None),
            Heard::Message(data) => {
                assert_eq!(data.message().method(), Method::DATA);
                (data.get(attribute::DATA).expect("data"), Some(data.xor(attribute::XOR_PEER_ADDRESS)))
            }
            other => panic!("data, not {other:?}"),
        }
    }

    fn read(&mut self, patience: Duration) -> Heard {
        match &mut self.link {
            Link::Udp(socket) => read_datagram(socket, self.server, patience),
            Link::Stream { stream, buffer } => read_frame(stream.as_mut(), buffer, patience),
            Link::Records(records) => records.receive(patience).map_or(Heard::Nothing, parse),
        }
    }

    /// A transaction id that it has not used.
    pub fn transaction(&mut self) -> [u8; 12] {
        self.serial += 1;
        let mut id = [0x42; 12];
        id[4..].copy_from_slice(&self.serial.to_be_bytes());
        id
    }

    /// A request without credentials.
    pub fn bare(&mut self, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let (id, mut out) = (self.transaction(), Vec::new());
        fill(&mut Writer::new(&mut out, method, Class::Request, &id));
        out
    }

    /// A request with credentials.
    pub fn signed(&mut self, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let (id, mut out) = (self.transaction(), Vec::new());
        let mut writer = Writer::new(&mut out, method, Class::Request, &id);
        fill(&mut writer);
        writer
            .attribute(attribute::USERNAME, self.user.as_bytes())
            .attribute(attribute::REALM, self.realm.as_bytes())
            .attribute(attribute::NONCE, &self.nonce);
        match &self.session {
            Some((key, token)) => writer.attribute(attribute::ACCESS_TOKEN, token).sha1(key),
            None => writer.sha1(self.key().as_bytes()),
        };
        out
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key::long_term(Algorithm::Md5, &self.user, &self.realm, &self.password).unwrap()
    }

    /// Sends a request and waits for the answer; what else comes meanwhile waits for [`Client::hear`].
    pub fn ask(&mut self, request: &[u8]) -> Answer {
        self.try_ask(request).unwrap_or_else(|| panic!("no answer to {request:02x?}"))
    }

    /// The same with a request that is sent once; none if no answer comes in time.
    pub fn try_once(&mut self, request: &[u8], patience: Duration) -> Option<Answer> {
        self.send_raw(request);
        self.answer_to(request, Instant::now() + patience)
    }

    /// The same; none if the stream ends or nothing is ever answered.
    pub fn try_ask(&mut self, request: &[u8]) -> Option<Answer> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.send_raw(request);
            let again = match self.link {
                Link::Udp(_) => Instant::now() + RETRANSMIT,
                Link::Stream { .. } | Link::Records(_) => end,
            };
            let answer = self.answer_to(request, again);
            if answer.is_some() || !self.is_udp() {
                return answer;
            }
        }
        None
    }

    /// The answer to a request, if it comes in time; what else comes waits for [`Client::hear`].
    fn answer_to(&mut self, request: &[u8], end: Instant) -> Option<Answer> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.read(left.max(Duration::from_millis(1))) {
                Heard::Message(answer) if answer.bytes[8..20] == request[8..20] => return Some(answer),
                Heard::Nothing | Heard::End => return None,
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Binding; the answer says where the client is seen.
    pub fn binding(&mut self) -> SocketAddr {
        let request = self.bare(Method::BINDING, |_| {});
        self.ask(&request).xor(attribute::XOR_MAPPED_ADDRESS)
    }

    /// Nothing has come, and by the order of things nothing more will come of what was sent so far.
    pub fn hears_nothing(&mut self) {
        for _ in 0..2 {
            self.binding();
        }
        assert_eq!(self.waiting, []);
    }

    /// A request with credentials; learns the nonce first, or again.
    pub fn request(&mut self, method: Method, mut fill: impl FnMut(&mut Writer<'_>)) -> Answer {
        loop {
            let request = match self.nonce.is_empty() {
                true => self.bare(method, &mut fill),
                false => self.signed(method, &mut fill),
            };
            let answer = self.ask(&request);
            let challenged = answer.code() == Some(438) || (self.nonce.is_empty() && answer.code() == Some(401));
            if !challenged {
                return answer;
            }
            self.nonce = answer.get(attribute::NONCE).expect("a challenge has a nonce");
        }
    }

    /// Allocate with more attributes.
    pub fn allocate_with(&mut self, mut fill: impl FnMut(&mut Writer<'_>)) -> Answer {
        self.request(Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            fill(w);
        })
    }

    /// Allocates; the relayed address.
    pub fn allocate(&mut self) -> SocketAddr {
        self.try_allocate().expect("Allocate succeeds")
    }

    /// Allocates; the relayed address, or the code of the refusal.
    pub fn try_allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.allocate_with(|_| {});
        answer.code().map_or_else(|| Ok(answer.xor(attribute::XOR_RELAYED_ADDRESS)), Err)
    }

    /// Allocates a relayed address of this family.
    pub fn allocate_family(&mut self, family: Family) -> SocketAddr {
        let answer = self.allocate_with(|w| {
            w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[family as u8, 0, 0, 0]);
        });
        assert_eq!(answer.code(), None);
        answer.xor(attribute::XOR_RELAYED_ADDRESS)
    }

    /// CreatePermission.
    pub fn permit(&mut self, peer: SocketAddr) {
        let answer = self.request(Method::CREATE_PERMISSION, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(answer.code(), None, "CreatePermission for {peer}");
    }

    /// ChannelBind.
    pub fn bind(&mut self, number: u16, peer: SocketAddr) {
        let answer = self.request(Method::CHANNEL_BIND, |w| {
            w.attribute(attribute::CHANNEL_NUMBER, &[(number >> 8) as u8, number as u8, 0, 0]);
            w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(answer.code(), None, "ChannelBind to {peer}");
    }

    /// Refresh; the code of the refusal, if it is one.
    pub fn refresh(&mut self, lifetime: u32) -> Option<u16> {
        self.request(Method::REFRESH, |w| {
            w.number(attribute::LIFETIME, lifetime);
        })
        .code()
    }

    /// Sends data by channel.
    pub fn send_channel(&mut self, number: u16, body: &[u8]) {
        let mut frame = [&channel::header(number, body.len())[..], body].concat();
        if matches!(self.link, Link::Stream { .. }) {
            frame.resize(frame.len().next_multiple_of(4), 0);
        }
        self.send_raw(&frame);
    }

    /// Sends data by Send indication.
    pub fn send(&mut self, peer: SocketAddr, body: &[u8]) {
        let indication = self.send_indication(peer, body, false);
        self.send_raw(&indication);
    }

    /// A Send indication, with or without DONT-FRAGMENT.
    pub fn send_indication(&mut self, peer: SocketAddr, body: &[u8], dont_fragment: bool) -> Vec<u8> {
        let (id, mut out) = (self.transaction(), Vec::new());
        let mut writer = Writer::new(&mut out, Method::SEND, Class::Indication, &id);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        if dont_fragment {
            writer.attribute(attribute::DONT_FRAGMENT, &[]);
        }
        writer.attribute(attribute::DATA, body);
        out
    }
}

fn read_datagram(socket: &UdpSocket, server: SocketAddr, patience: Duration) -> Heard {
    let mut buffer = vec![0xA5; 70_000];
    socket.set_read_timeout(Some(patience)).unwrap();
    match socket.recv_from(&mut buffer) {
        Ok((len, from)) => {
            assert_eq!(from, server, "what comes comes from where it was asked for");
            buffer.truncate(len);
            parse(buffer)
        }
        Err(_) => Heard::Nothing,
    }
}

/// Reads one frame; padding must be zero, and there only where it belongs.
fn read_frame(stream: &mut dyn Stream, buffer: &mut Vec<u8>, patience: Duration) -> Heard {
    let end = Instant::now() + patience;
    loop {
        if let Some(len) = frame_len(buffer).filter(|len| *len <= buffer.len()) {
            return parse(buffer.drain(..len).collect());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Heard::Nothing;
        }
        stream.socket().set_read_timeout(Some(left)).unwrap();
        let mut chunk = [0; 16_384];
        match stream.read(&mut chunk) {
            Ok(0) => {
                assert!(buffer.is_empty(), "the stream ends in a frame: {buffer:02x?}");
                return Heard::End;
            }
            Ok(len) => buffer.extend_from_slice(&chunk[..len]),
            // A process that was stopped and goes on is told so by whatever it waited for.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => return Heard::End,
        }
    }
}

/// The bytes of the first frame with its padding, when they can be told.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    match bytes[0] >> 6 {
        0 => Some(20 + len),
        1 => Some(4 + len.next_multiple_of(4)),
        _ => panic!("no frame begins so: {bytes:02x?}"),
    }
}

fn parse(bytes: Vec<u8>) -> Heard {
    if bytes[0] >> 6 == 0 {
        return Heard::Message(Answer { bytes });
    }
    let data = channel::ChannelData::parse(&bytes).expect("ChannelData");
    let padding = &bytes[channel::HEADER + data.body.len()..];
    assert!(padding.iter().all(|byte| *byte == 0), "padding is zero");
    Heard::Channel(data.number, data.body.to_vec())
}

/// A STUN message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("the server writes what it can read")
    }

    /// The error code; none for anything else.
    pub fn code(&self) -> Option<u16> {
        let value = self.get(attribute::ERROR_CODE)?;
        Some(u16::from(value[2]) * 100 + u16::from(value[3]))
    }

    /// An attribute's value.
    pub fn get(&self, code: u16) -> Option<Vec<u8>> {
        self.message().attribute(code).map(<[u8]>::to_vec)
    }

    /// An XOR address.
    pub fn xor(&self, code: u16) -> SocketAddr {
        let message = self.message();
        address::decode_xor(message.attribute(code).expect("the attribute"), &message.transaction()).unwrap()
    }
}
