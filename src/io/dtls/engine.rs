//! DTLS 1.2 by OpenSSL: the one engine at hand that keeps nothing of a client before it has sent its cookie back.

use super::{Brought, Engine, Parts, Session};
use crate::io::sys::{self, dtls};
use crate::io::tls::{self, BadCertificate, Names, Pair, Terms};
use crate::turn::Path;
use crate::wire::alpn;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, ErrorCode, NameType, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion, select_next_proto,
};
use ring::hmac;
use rustls_pki_types::CertificateDer;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, PoisonError, RwLock};

/// The largest datagram of a handshake: what IPv6 carries everywhere, less the headers of IPv6 and UDP.
const MTU: u32 = 1280 - 40 - 8;
/// The largest record, and more than any datagram that holds one.
const RECORD: usize = 17 * 1024;

thread_local! {
    /// The client whose hello is looked at: OpenSSL asks for its cookie and does not say whose.
    static CLIENT: Cell<Option<SocketAddr>> = const { Cell::new(None) };
    /// Room for a record in clear.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD]);
}

/// Accepts sessions with the certificates of the moment.
pub struct Acceptor {
    terms: Terms,
    cookies: hmac::Key,
    current: RwLock<Arc<SslContext>>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// Reads the certificates.
    pub fn new(terms: Terms) -> Result<Self, BadCertificate> {
        let random = ring::rand::SystemRandom::new();
        let cookies = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| BadCertificate::new("DTLS", "the system has no randomness"))?;
        let current = RwLock::new(Arc::new(context(&terms, &cookies)?));
        Ok(Self { terms, cookies, current })
    }

    /// Reads the certificates again. If one of them is bad, all stay as they were.
    pub fn reload(&self) -> Result<(), BadCertificate> {
        let fresh = Arc::new(context(&self.terms, &self.cookies)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What begins sessions.
    pub(in crate::io) fn engine(self: &Arc<Self>) -> Box<dyn Engine> {
        Box::new(Listener { acceptor: Arc::clone(self), ready: None })
    }

    fn current(&self) -> Arc<SslContext> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks at hellos.
struct Listener {
    acceptor: Arc<Acceptor>,
    /// What looks at the next one, and the certificates that it would show.
    ready: Option<(Arc<SslContext>, SslStream<Link>)>,
}

impl Engine for Listener {
    fn meet(&mut self, path: &Path, datagram: &[u8], wire: &mut Parts) -> Option<Box<dyn Session>> {
        let mut stream = self.take_ready()?;
        CLIENT.set(Some(path.client));
        stream.get_mut().put(datagram);
        let verified = dtls::listen(stream.ssl());
        forget_errors();
        stream.get_mut().take(wire);
        if verified {
            return Some(Box::new(Established { stream, done: false }));
        }
        self.ready = Some((self.acceptor.current(), stream));
        None
    }
}

impl Listener {
    /// What looks at the next hello, with the certificates of the moment.
    fn take_ready(&mut self) -> Option<SslStream<Link>> {
        let current = self.acceptor.current();
        match self.ready.take() {
            Some((context, stream)) if Arc::ptr_eq(&context, &current) => Some(stream),
            _ => stream(&current).ok(),
        }
    }
}

fn stream(context: &SslContext) -> Result<SslStream<Link>, ErrorStack> {
    let mut ssl = Ssl::new(context)?;
    ssl.set_accept_state();
    ssl.set_mtu(MTU)?;
    SslStream::new(ssl, Link::default())
}

/// A session, perhaps still shaking hands.
struct Established {
    stream: SslStream<Link>,
    done: bool,
}

impl Session for Established {
    fn hear(&mut self, datagram: &[u8], brought: &mut Brought) {
        self.stream.get_mut().put(datagram);
        brought.over = !self.go_on(brought);
        forget_errors();
        self.stream.get_mut().take(&mut brought.wire);
    }

    fn say(&mut self, message: &[u8], wire: &mut Parts) {
        if self.done {
            // A record that cannot be written is lost, as a datagram is.
            _ = self.stream.ssl_write(message);
            forget_errors();
            self.stream.get_mut().take(wire);
        }
    }

    fn close(&mut self, wire: &mut Parts) {
        _ = self.stream.shutdown();
        forget_errors();
        self.stream.get_mut().take(wire);
    }

    fn retransmit(&mut self, wire: &mut Parts) {
        dtls::retransmit(self.stream.ssl());
        forget_errors();
        self.stream.get_mut().take(wire);
    }

    fn is_established(&self) -> bool {
        self.done
    }
}

impl Established {
    /// Takes what has come; false if the session is over.
    fn go_on(&mut self, brought: &mut Brought) -> bool {
        if !self.done {
            match self.stream.accept() {
                Ok(()) => self.done = true,
                Err(error) => return error.code() == ErrorCode::WANT_READ,
            }
            brought.name = self.stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
        }
        ROOM.with_borrow_mut(|room| self.read(room, &mut brought.messages))
    }

    /// Reads every record that has come; false if the session is over.
    fn read(&mut self, room: &mut [u8], messages: &mut Parts) -> bool {
        loop {
            match self.stream.ssl_read(room) {
                Ok(count) => messages.push(&room[..count]),
                Err(error) if error.code() == ErrorCode::WANT_READ => return true,
                Err(error) => {
                    if error.code() == ErrorCode::ZERO_RETURN {
                        _ = self.stream.shutdown();
                    }
                    return false;
                }
            }
        }
    }
}

/// A session's way to the wire: one datagram in, those that it answers with out.
#[derive(Debug, Default)]
struct Link {
    came: Vec<u8>,
    has_come: bool,
    goes: Parts,
}

impl Link {
    fn put(&mut self, datagram: &[u8]) {
        self.came.clear();
        self.came.extend_from_slice(datagram);
        self.has_come = !datagram.is_empty();
    }

    fn take(&mut self, wire: &mut Parts) {
        self.goes.iter().for_each(|datagram| wire.push(datagram));
        self.goes.clear();
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.has_come) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.came.len().min(into.len());
        into[..count].copy_from_slice(&self.came[..count]);
        Ok(count)
    }
}

impl Write for Link {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.goes.push(datagram);
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// OpenSSL keeps the errors of a thread until they are asked for, and takes old ones for those of the next call.
fn forget_errors() {
    drop(ErrorStack::get());
}

/// The certificates, by name: the context of all of them, which hands on to that of those that fit. Whoever asks for no name,
/// or for one that none is for, gets the first that its suites can use.
fn context(terms: &Terms, cookies: &hmac::Key) -> Result<SslContext, BadCertificate> {
    let all = terms.pairs.iter().map(Certificate::read).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(BadCertificate::new("DTLS", "there is no certificate"));
    }
    let names = Names::read(all.iter().map(|one| &one.leaf));
    let by_fit = by_fit(terms, &all, &names, cookies)?;
    let mut front = context_of(terms, all.iter(), cookies)?;
    front.set_servername_callback(move |ssl, _| {
        let fitting: Vec<usize> = names.fitting(ssl.servername(NameType::HOST_NAME)).collect();
        if let Some(context) = by_fit.get(&fitting) {
            _ = ssl.set_ssl_context(context);
        }
        Ok(())
    });
    Ok(front.build())
}

/// A context for whatever certificates fit a name together.
fn by_fit(
    terms: &Terms,
    all: &[Certificate<'_>],
    names: &Names,
    cookies: &hmac::Key,
) -> Result<HashMap<Vec<usize>, SslContext>, BadCertificate> {
    let mut contexts = HashMap::new();
    for name in names.iter() {
        if let Entry::Vacant(place) = contexts.entry(names.fitting(Some(name)).collect::<Vec<_>>()) {
            let context = context_of(terms, place.key().iter().map(|at| &all[*at]), cookies)?;
            place.insert(context.build());
        }
    }
    Ok(contexts)
}

/// A certificate with its key.
struct Certificate<'a> {
    pair: &'a Pair,
    leaf: CertificateDer<'static>,
    key: PKey<Private>,
}

impl<'a> Certificate<'a> {
    fn read(pair: &'a Pair) -> Result<Self, BadCertificate> {
        // There is a first one, or the file is no chain.
        let leaf = tls::read_certificates(&pair.chain)?.swap_remove(0);
        let key = PKey::private_key_from_der(tls::read_key(&pair.key)?.secret_der());
        let key = key.map_err(|error| BadCertificate::new(&pair.key, &error.to_string()))?;
        Ok(Self { pair, leaf, key })
    }
}

/// How clients are served with these certificates: the first of each kind of key, between which OpenSSL chooses by the suites
/// of the client.
fn context_of<'a>(
    terms: &Terms,
    certificates: impl Iterator<Item = &'a Certificate<'a>>,
    cookies: &hmac::Key,
) -> Result<SslContextBuilder, BadCertificate> {
    let mut builder = blank(terms, cookies).map_err(|error| BadCertificate::new("DTLS", &error.to_string()))?;
    let mut kinds = Vec::new();
    for one in certificates {
        if !kinds.contains(&one.key.id()) {
            kinds.push(one.key.id());
            load(&mut builder, one)?;
        }
    }
    if let Some(file) = &terms.authorities {
        ask_for_certificates(&mut builder, file).map_err(|error| BadCertificate::new(file, &error.to_string()))?;
    }
    Ok(builder)
}

/// What all have in common.
fn blank(terms: &Terms, cookies: &hmac::Key) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::dtls_server())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_options(SslOptions::COOKIE_EXCHANGE | SslOptions::NO_QUERY_MTU | SslOptions::NO_RENEGOTIATION);
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    // Sessions are resumed by tickets; nothing is kept of them here.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_session_id_context(b"turn")?;
    builder.set_cipher_list(&terms.ciphers_of_12())?;
    let (makes, judges) = (cookies.clone(), cookies.clone());
    builder.set_cookie_generate_cb(move |_, into| {
        let cookie = hmac::sign(&makes, &client(slot()));
        let cookie = cookie.as_ref();
        into[..cookie.len()].copy_from_slice(cookie);
        Ok(cookie.len())
    });
    builder.set_cookie_verify_cb(move |_, shown| {
        let now = slot();
        [now, now.wrapping_sub(1)].iter().any(|slot| hmac::verify(&judges, &client(*slot), shown).is_ok())
    });
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(alpn::LIST, offered)
            .filter(|chosen| alpn::NAMES.contains(chosen))
            .and_then(|chosen| alpn::NAMES.into_iter().find(|one| one == &chosen))
            .ok_or(AlpnError::NOACK)
    });
    Ok(builder)
}

/// The client whose hello is looked at, as its cookie has it for so long: nobody can show one who does not receive there.
fn client(slot: u64) -> Vec<u8> {
    let client = CLIENT.get().map(|client| client.to_string()).unwrap_or_default();
    format!("{slot} {client}").into_bytes()
}

/// A span of five minutes, after which cookies are others.
fn slot() -> u64 {
    sys::boot_milliseconds() / 300_000
}

/// Adds a certificate with its key.
fn load(
    builder: &mut SslContextBuilder,
    Certificate { pair, key, .. }: &Certificate<'_>,
) -> Result<(), BadCertificate> {
    let bad = |file: &FilePath, error: ErrorStack| BadCertificate::new(file, &error.to_string());
    builder.set_certificate_chain_file(&pair.chain).map_err(|error| bad(&pair.chain, error))?;
    builder.set_private_key(key).map_err(|error| bad(&pair.key, error))?;
    builder.check_private_key().map_err(|error| bad(&pair.key, error))
}

/// Clients must show a certificate of an authority in this file.
fn ask_for_certificates(builder: &mut SslContextBuilder, file: &FilePath) -> Result<(), ErrorStack> {
    builder.set_ca_file(file)?;
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}
