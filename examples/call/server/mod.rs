//! The signalling server: one page and one WebSocket.
//!
//! It introduces the members of a room to each other and carries what WebRTC has to exchange
//! before two browsers can talk: offers, answers and candidates. It never sees the call itself;
//! that travels from browser to browser, or through the relay.
//!
//! Read [`message`] for what is said on the wire, [`rooms`] for who hears it, [`connection`] for
//! the life of one client and [`credentials`] for what lets a browser use the relay.

mod connection;
mod message;
mod rooms;

pub(crate) mod credentials;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use credentials::IceServers;
use rooms::Rooms;

/// What one server may be asked to hold, and how long it waits for anybody.
///
/// Everything a stranger can make grow has a bound here.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// WebSockets open at once, in a room or not.
    pub(crate) connections: usize,
    /// Rooms with somebody in them.
    pub(crate) rooms: usize,
    /// Members of one room; a mesh sends everybody's video to everybody, so this stays small.
    pub(crate) members: usize,
    /// Bytes of one message.
    pub(crate) message_bytes: usize,
    /// Messages that wait for one client before it counts as gone.
    pub(crate) queue: usize,
    /// Messages a client may send at once.
    pub(crate) burst: u32,
    /// Messages a second that a client may go on sending.
    pub(crate) rate: u32,
    /// How often a client is asked whether it is there.
    pub(crate) heartbeat: Duration,
    /// How long a client may be silent.
    pub(crate) silence: Duration,
    /// How long a client may stay without a room.
    pub(crate) roomless: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            rooms: 500,
            members: 8,
            message_bytes: 48 * 1024,
            queue: 256,
            burst: 400,
            rate: 50,
            heartbeat: Duration::from_secs(5),
            silence: Duration::from_secs(15),
            roomless: Duration::from_secs(60),
        }
    }
}

/// What every connection shares.
struct Shared {
    limits: Limits,
    ice: IceServers,
    rooms: Mutex<Rooms>,
    places: Arc<Semaphore>,
}

impl Shared {
    /// Locks the rooms; a panic elsewhere leaves them usable, each call completes its change.
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the page and the signalling on `listener` until the process ends.
pub(crate) async fn serve(listener: TcpListener, limits: Limits, ice: IceServers) -> io::Result<()> {
    axum::serve(listener, router(limits, ice)).await
}

/// Everything the server answers.
fn router(limits: Limits, ice: IceServers) -> Router {
    let shared = Shared {
        rooms: Mutex::new(Rooms::new(&limits)),
        places: Arc::new(Semaphore::new(limits.connections)),
        limits,
        ice,
    };
    Router::new()
        .route("/", get(page))
        .route("/call.css", get(style))
        .route("/call.js", get(script))
        .route("/ws", get(signalling))
        .with_state(Arc::new(shared))
}

/// The page may load and reach its own server only, and run no code but its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The page.
async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/page.html"))
}

/// Its looks.
async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../page/call.css"))
}

/// Its behaviour.
async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/call.js"))
}

/// One of the files compiled into the program.
fn file(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // The files change with the program and have no version in their names.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

/// Turns a request into a connection, if it comes from our own page and there is a place left.
async fn signalling(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !same_origin(&headers) {
        let reason = "the page and the WebSocket must come from one host: Origin and Host differ";
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no place left, try again later").into_response();
    };
    let bytes = shared.limits.message_bytes;
    upgrade.max_message_size(bytes).max_frame_size(bytes).on_upgrade(move |socket| async move {
        connection::run(socket, shared).await;
        drop(place);
    })
}

/// Whether a browser's request comes from the page this server gave out.
///
/// A WebSocket is not held back by the same-origin policy: without this, any site could mint
/// relay credentials through its visitors. Programs send no `Origin` and may connect.
fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(HOST).map(|host| host.to_str())) else {
        return false;
    };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}
