//! One client, from its WebSocket's first frame to its last.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, interval, timeout};

use super::message::{self, ID_LEN, Refusal, Request};
use super::{Limits, Shared};

/// Why a connection ends: a close code of the private range, and a word for the others in the room.
///
/// The codes are the page's to know: after some of them it comes back, after others it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or its connection broke.
    Gone,
    /// Nothing was heard for too long.
    Silent,
    /// It never joined a room.
    Roomless,
    /// It said too much.
    TooFast,
    /// It read too little.
    TooSlow,
}

impl End {
    /// The close code.
    fn code(self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Silent => 4001,
            Self::Roomless => 4002,
            Self::TooFast => 4003,
            Self::TooSlow => 4004,
        }
    }

    /// What the others are told.
    fn reason(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Roomless => "roomless",
            Self::TooFast => "too fast",
            Self::TooSlow => "too slow",
        }
    }
}

/// A room somebody is in.
struct Membership {
    room: String,
    news: Receiver<String>,
}

/// A client's state.
struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    id: String,
    membership: Option<Membership>,
    heard: Instant,
    roomless_since: Instant,
    allowance: Allowance,
}

/// Serves one client until it ends, and leaves nothing of it behind.
pub(super) async fn run(socket: WebSocket, shared: Arc<Shared>) {
    let Some(id) = random_id() else {
        return;
    };
    let now = Instant::now();
    let mut connection = Connection {
        allowance: Allowance::new(&shared.limits, now),
        shared,
        socket,
        id,
        membership: None,
        heard: now,
        roomless_since: now,
    };
    let end = connection.serve().await.err().unwrap_or(End::Gone);
    connection.leave(end.reason());
    connection.close(end).await;
}

impl Connection {
    /// Waits for the client, its room and the clock until one of them ends the connection.
    async fn serve(&mut self) -> Result<(), End> {
        let mut heartbeat = interval(self.shared.limits.heartbeat);
        loop {
            tokio::select! {
                frame = self.socket.recv() => match frame {
                    Some(Ok(frame)) => self.handle_frame(frame).await?,
                    _ => return Err(End::Gone),
                },
                news = next(&mut self.membership) => match news {
                    Some(text) => self.send(Message::text(text)).await?,
                    None => return Err(End::TooSlow),
                },
                _ = heartbeat.tick() => self.handle_heartbeat().await?,
            }
        }
    }

    /// Takes one frame of the client; any frame shows that it is there.
    async fn handle_frame(&mut self, frame: Message) -> Result<(), End> {
        self.heard = Instant::now();
        if !self.allowance.spend(self.heard) {
            return Err(End::TooFast);
        }
        match frame {
            Message::Text(text) => self.handle_text(&text).await,
            Message::Binary(_) => self.say(&Refusal::NotText.to_json()).await,
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }

    /// Takes one message and answers it.
    async fn handle_text(&mut self, text: &str) -> Result<(), End> {
        let answer = message::parse(text).and_then(|request| self.handle_request(request));
        match answer {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => self.say(&answer).await,
            Err(refusal) => self.say(&refusal.to_json()).await,
        }
    }

    /// Carries out one request.
    fn handle_request(&mut self, request: Request) -> Result<Option<Value>, Refusal> {
        match request {
            Request::Ping => Ok(Some(json!({"type": "pong"}))),
            Request::Join { room, name } => self.join(room, &name).map(Some),
            Request::Leave if self.membership.is_none() => Err(Refusal::NotJoined),
            Request::Leave => {
                self.leave("left");
                Ok(Some(json!({"type": "bye"})))
            }
            Request::Ice => {
                self.room()?;
                Ok(Some(self.with_ice(json!({"type": "ice"}))))
            }
            Request::Signal { to, body } => {
                let room = self.room()?;
                self.shared.rooms().signal(room, &self.id, &to, body)?;
                Ok(None)
            }
        }
    }

    /// Enters a room.
    fn join(&mut self, room: String, name: &str) -> Result<Value, Refusal> {
        if self.membership.is_some() {
            return Err(Refusal::AlreadyJoined);
        }
        let (peers, news) = self.shared.rooms().join(&room, &self.id, name)?;
        let welcome = json!({
            "type": "welcome", "id": self.id, "room": room, "name": name, "peers": peers,
        });
        self.membership = Some(Membership { room, news });
        Ok(self.with_ice(welcome))
    }

    /// Leaves the room, if in one.
    fn leave(&mut self, reason: &str) {
        if let Some(membership) = self.membership.take() {
            self.shared.rooms().leave(&membership.room, &self.id, reason);
            self.roomless_since = Instant::now();
        }
    }

    /// Asks for a sign of life, or ends a connection that gave none for too long.
    async fn handle_heartbeat(&mut self) -> Result<(), End> {
        let limits = &self.shared.limits;
        if self.heard.elapsed() >= limits.silence {
            return Err(End::Silent);
        }
        if self.membership.is_none() && self.roomless_since.elapsed() >= limits.roomless {
            return Err(End::Roomless);
        }
        self.send(Message::Ping(Vec::new().into())).await
    }

    /// Sends a message.
    async fn say(&mut self, message: &Value) -> Result<(), End> {
        self.send(Message::text(message.to_string())).await
    }

    /// Sends a frame. A client that stops reading holds this up, and is given up on.
    async fn send(&mut self, frame: Message) -> Result<(), End> {
        match timeout(self.shared.limits.silence, self.socket.send(frame)).await {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => Err(End::TooSlow),
        }
    }

    /// Says why it ends, to a client that may no longer listen.
    ///
    /// What the client still says is read and forgotten for a moment: a socket closed with bytes
    /// unread is reset, and the reset may overtake the reason.
    async fn close(mut self, end: End) {
        let frame = CloseFrame { code: end.code(), reason: end.reason().into() };
        let farewell = async {
            let said = self.socket.send(Message::Close(Some(frame))).await;
            while said.is_ok() && matches!(self.socket.recv().await, Some(Ok(_))) {}
        };
        let _ = timeout(Duration::from_secs(1), farewell).await;
    }

    /// The name of the room this client is in.
    fn room(&self) -> Result<&str, Refusal> {
        self.membership.as_ref().map(|membership| membership.room.as_str()).ok_or(Refusal::NotJoined)
    }

    /// The message with the relays a browser may use, and for how many seconds.
    fn with_ice(&self, mut message: Value) -> Value {
        message["iceServers"] = self.shared.ice.mint(SystemTime::now(), &self.id);
        message["ttl"] = Value::from(self.shared.ice.ttl.as_secs());
        message
    }
}

/// The next news of the room; outside of rooms there never is any.
async fn next(membership: &mut Option<Membership>) -> Option<String> {
    match membership {
        Some(membership) => membership.news.recv().await,
        None => std::future::pending().await,
    }
}

/// An id that nobody can guess: knowing one is enough to send its owner an offer.
fn random_id() -> Option<String> {
    let mut bytes = [0_u8; ID_LEN / 2];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How much a client may say: a bucket that fills at a rate.
struct Allowance {
    left: f64,
    most: f64,
    rate: f64,
    filled: Instant,
}

impl Allowance {
    /// A full bucket.
    fn new(limits: &Limits, now: Instant) -> Self {
        let most = f64::from(limits.burst);
        Self { left: most, most, rate: f64::from(limits.rate), filled: now }
    }

    /// Takes one message out, if there is one left.
    fn spend(&mut self, now: Instant) -> bool {
        let filled = now.duration_since(self.filled).as_secs_f64() * self.rate;
        self.left = (self.left + filled).min(self.most);
        self.filled = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}
