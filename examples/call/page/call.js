// A call among everybody in a room: one RTCPeerConnection to each.
//
// The address sets it up: ?room=NAME, ?name=NAME, ?join=1 to enter at once, ?relay=1 to use the
// relay only, ?fake=1 for an animation instead of the camera.
//
// `window.hairpinCall` says how the call is doing, for tests and for the curious.

const $ = (id) => document.getElementById(id);
const address = new URLSearchParams(location.search);

/** How long a connection may take before the page says why it might be failing. */
const PATIENCE_MS = 15_000;
/** How often the signalling server is asked whether it is there. */
const PING_MS = 5_000;
/** How long the signalling server may be silent. */
const SILENCE_MS = 15_000;
/** How often statistics are read. */
const STATS_MS = 1_000;
/** How often ICE is restarted before the rest is left to the button. */
const RESTARTS = 2;
/** After these close codes coming back at once would end the same way. */
const FINAL_CODES = { 4002: "Nobody joined for a while.", 4003: "The server found this page too talkative.", 1009: "A message was too long for the server." };

const state = {
  state: "lobby", // lobby, joining, waiting, connecting, connected, failed
  reason: null,
  id: null,
  room: null,
  name: null,
  relayOnly: false,
  fake: false,
  connectedPeers: 0,
  peers: {}, // id → {name, state, reason, path, videoBytesIn, videoBytesOut, framesDecoded, roundTripMs}
  messages: { sent: 0, received: 0, echoed: 0, texts: [] },
  videoBytesIn: 0,
  videoBytesOut: 0,
  candidates: [], // {peer, type, protocol, address, port, url, relayProtocol}
  gathered: false,
  errors: [], // {kind, …}
  say: (text) => say(text),
  leave: () => leave(),
};
window.hairpinCall = state;

let iceServers = [];
let localStream = null;
let signalling = null;
let statsTimer = null;
const peers = new Map();

function report(kind, details) {
  state.errors.push({ kind, ...details });
  if (state.errors.length > 100) state.errors.shift();
}
addEventListener("error", (event) => report("script", { text: event.message }));
addEventListener("unhandledrejection", (event) => report("script", { text: String(event.reason) }));

// ---- Signalling ------------------------------------------------------------------------------

/** The WebSocket, coming back when it is lost. */
class Signalling {
  constructor() {
    this.attempt = 0;
    this.ended = false;
    this.connect();
  }

  connect() {
    const url = new URL("ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = "";
    this.socket = new WebSocket(url);
    this.heard = Date.now();
    this.socket.onopen = () => this.send({ type: "join", room: state.room, name: state.name });
    this.socket.onmessage = (event) => this.receive(event);
    this.socket.onclose = (event) => this.lost(event);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.beat(), PING_MS);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  receive(event) {
    this.heard = Date.now();
    const message = JSON.parse(event.data);
    if (message.type === "welcome") this.attempt = 0;
    const handler = handlers[message.type];
    if (handler) handler(message);
  }

  beat() {
    if (Date.now() - this.heard > SILENCE_MS) {
      // The close handshake would wait for the one that is silent.
      this.socket.onclose = null;
      this.socket.close();
      this.lost({ code: 0, reason: "silent" });
    } else {
      this.send({ type: "ping" });
    }
  }

  lost(event) {
    clearInterval(this.timer);
    if (this.ended) return;
    const final = FINAL_CODES[event.code];
    report("signalling", { code: event.code, text: final ?? (event.reason || "closed") });
    if (final) return fail(final);
    this.attempt += 1;
    const never = state.id === null;
    notice(never ? "The signalling server does not answer. Trying again…"
      : "The signalling server was lost. The call goes on; new people cannot join until it is back.");
    this.again = setTimeout(() => this.connect(), Math.min(500 * 2 ** this.attempt, 8_000));
  }

  end() {
    this.ended = true;
    clearInterval(this.timer);
    clearTimeout(this.again);
    clearTimeout(renewal);
    this.send({ type: "leave" });
    this.socket.close();
  }
}

const handlers = {
  welcome(message) {
    notice(mediaNotice);
    for (const id of [...peers.keys()]) drop(id); // from before the server was lost
    state.id = message.id;
    useIce(message);
    for (const peer of message.peers) new Peer(peer.id, peer.name).call();
    show();
  },
  joined: (message) => { new Peer(message.id, message.name); show(); },
  left: (message) => { drop(message.id); show(); },
  offer: (message) => peers.get(message.from)?.describe(message),
  answer: (message) => peers.get(message.from)?.describe(message),
  candidate: (message) => peers.get(message.from)?.candidate(message.candidate),
  ice: useIce,
  error(message) {
    report("refused", { code: message.code, text: message.message });
    if (message.code === "room-full" || message.code === "no-room-left" || message.code === "bad-room-name") fail(message.message);
  },
};

let renewal = null;

/** Takes relay credentials, and asks for the next ones before these expire. */
function useIce(message) {
  iceServers = message.iceServers;
  for (const peer of peers.values()) peer.pc.setConfiguration(configuration());
  clearTimeout(renewal);
  renewal = setTimeout(() => signalling?.send({ type: "ice" }), message.ttl * 500);
}

function configuration() {
  return { iceServers, iceTransportPolicy: state.relayOnly ? "relay" : "all" };
}

// ---- One other member ------------------------------------------------------------------------

/** The connection to one member, by the "perfect negotiation" pattern. */
class Peer {
  constructor(id, name) {
    this.id = id;
    this.name = name;
    this.restarts = 0;
    this.early = [];
    this.local = [];
    this.polite = state.id < id; // on collision the smaller id gives way
    this.info = { name, state: "connecting", reason: null, path: null, videoBytesIn: 0, videoBytesOut: 0, framesDecoded: 0, roundTripMs: null };
    state.peers[id] = this.info;
    peers.set(id, this);
    this.tile = addTile(id, name, () => this.retry());
    this.pc = new RTCPeerConnection(configuration());
    this.listen();
    // A channel both ends agree on beforehand needs no announcement and no question who opens it.
    this.channel = this.pc.createDataChannel("chat", { negotiated: true, id: 0 });
    this.channel.onopen = () => this.tell({ kind: "media", ...mediaState() });
    this.channel.onmessage = (event) => this.hear(event.data);
    this.started = Date.now();
    this.patience = setTimeout(() => this.judge(), PATIENCE_MS);
  }

  listen() {
    const pc = this.pc;
    pc.onnegotiationneeded = () => this.negotiate();
    pc.onicecandidate = ({ candidate }) => this.found(candidate);
    pc.onicecandidateerror = (event) => this.lookupFailed(event);
    pc.onconnectionstatechange = () => this.judge();
    pc.ontrack = ({ streams: [stream] }) => {
      const video = this.tile.querySelector("video");
      if (!stream || video.srcObject === stream) return;
      video.srcObject = stream;
      video.play().catch((error) => { if (error.name === "NotAllowedError") playSilently(video); });
    };
  }

  /** The newcomer calls everybody; who was there before answers. */
  call() {
    this.ready = true;
    this.addTracks();
  }

  addTracks() {
    if (this.pc.getSenders().some((sender) => sender.track)) return;
    for (const track of localStream.getTracks()) this.pc.addTrack(track, localStream);
  }

  send(message) {
    signalling?.send({ ...message, to: this.id });
  }

  async negotiate() {
    if (!this.ready) return; // the other calls, and we answer
    try {
      this.offering = true;
      await this.pc.setLocalDescription();
      this.send({ type: "offer", sdp: this.pc.localDescription.sdp });
    } catch (error) {
      this.broken(error);
    } finally {
      this.offering = false;
    }
  }

  async describe({ type, sdp }) {
    const collision = type === "offer" && (this.offering || this.pc.signalingState !== "stable");
    this.ignoring = collision && !this.polite;
    if (this.ignoring) return;
    try {
      await this.pc.setRemoteDescription({ type, sdp });
      for (const candidate of this.early.splice(0)) await this.pc.addIceCandidate(candidate);
      if (type !== "offer") return;
      this.addTracks();
      await this.pc.setLocalDescription();
      this.ready = true;
      this.send({ type: "answer", sdp: this.pc.localDescription.sdp });
    } catch (error) {
      this.broken(error);
    }
  }

  async candidate(candidate) {
    if (!this.pc.remoteDescription) {
      this.early.push(candidate ?? undefined);
      return;
    }
    try {
      await this.pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      if (!this.ignoring) this.broken(error);
    }
  }

  found(candidate) {
    this.send({ type: "candidate", candidate: candidate ? candidate.toJSON() : null });
    if (!candidate?.candidate) {
      if (!candidate) state.gathered = true;
      return;
    }
    const found = describeCandidate(this.id, candidate);
    this.local.push(found);
    state.candidates.push(found);
    if (state.candidates.length > 500) state.candidates.shift();
    showDetails();
  }

  lookupFailed({ url, errorCode, errorText }) {
    this.lookupError = { url, code: errorCode, text: errorText };
    report("ice", this.lookupError);
    showDetails();
  }

  /** Decides what to tell about the connection. */
  judge() {
    const now = this.pc.connectionState;
    if (now === "connected") {
      clearTimeout(this.patience);
      this.restarts = 0;
      this.become("connected");
    } else if (now === "failed") {
      this.become("failed", this.why());
      if (this.restarts < RESTARTS) this.restart();
    } else if (now === "disconnected") {
      this.become("reconnecting");
    } else if (Date.now() - this.started >= PATIENCE_MS) {
      this.become("failed", this.why());
    }
  }

  become(what, reason = null) {
    this.info.state = what;
    this.info.reason = reason;
    show();
  }

  restart() {
    this.restarts += 1;
    this.ready = true;
    signalling?.send({ type: "ice" });
    this.pc.restartIce();
  }

  retry() {
    this.restarts = 0;
    this.started = Date.now();
    this.become("connecting");
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.judge(), PATIENCE_MS);
    this.restart();
  }

  /** Why there is no connection, as far as this end can know. */
  why() {
    const relays = this.local.filter((candidate) => candidate.type === "relay").length;
    const said = this.lookupError ? ` ${errorWords(this.lookupError)}` : "";
    if (state.relayOnly && relays === 0) return `The relay gave no address.${said || " It may not be reachable from here."}`;
    if (!this.pc.remoteDescription) return "The other side did not answer.";
    if (relays === 0) return `No direct path works, and the relay gave no address.${said}`;
    return "Addresses were exchanged, but no packet came through. A firewall may block the relay's ports, or the other side has no relay.";
  }

  broken(error) {
    report("negotiation", { peer: this.id, text: String(error) });
    this.become("failed", String(error));
  }

  tell(message) {
    if (this.channel.readyState !== "open") return false;
    this.channel.send(JSON.stringify(message));
    return true;
  }

  hear(data) {
    const message = parseMessage(data);
    if (message.kind === "chat") {
      state.messages.received += 1;
      remember(message.text);
      addLine(this.name, message.text);
      this.tell({ kind: "echo", number: message.number });
    } else if (message.kind === "echo") {
      state.messages.echoed += 1;
      delivered(message.number);
    } else if (message.kind === "media") {
      this.tile.classList.toggle("no-video", message.video === false);
      this.tile.classList.toggle("no-audio", message.audio === false);
    }
  }

  async measure() {
    const stats = await this.pc.getStats();
    let pair = null;
    for (const entry of stats.values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") {
        this.info.videoBytesIn = entry.bytesReceived;
        this.info.framesDecoded = entry.framesDecoded ?? 0;
      } else if (entry.type === "outbound-rtp" && entry.kind === "video") {
        this.info.videoBytesOut = entry.bytesSent;
      } else if (entry.type === "transport" && entry.selectedCandidatePairId) {
        pair = stats.get(entry.selectedCandidatePairId);
      } else if (entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded") {
        pair ??= entry; // where transports do not name their pair
      }
    }
    if (pair) this.info.path = describePair(pair, stats);
    if (pair?.currentRoundTripTime !== undefined) this.info.roundTripMs = Math.round(pair.currentRoundTripTime * 1000);
  }

  close() {
    clearTimeout(this.patience);
    this.pc.close();
    this.tile.remove();
  }
}

function drop(id) {
  peers.get(id)?.close();
  peers.delete(id);
  delete state.peers[id];
}

/** A candidate as the Trickle ICE page would list it. */
function describeCandidate(peer, candidate) {
  const url = candidate.url || null;
  let relayProtocol = candidate.relayProtocol || null;
  if (candidate.type === "relay" && !relayProtocol && url) {
    relayProtocol = url.startsWith("turns:") ? "tls" : url.includes("transport=tcp") ? "tcp" : "udp";
  }
  return { peer, type: candidate.type, protocol: candidate.protocol, address: candidate.address, port: candidate.port, url, relayProtocol };
}

function describePair(pair, stats) {
  const end = (id) => {
    const { candidateType: type, protocol, relayProtocol = null, address = null, port = null, url = null } = stats.get(id) ?? {};
    return { type, protocol, relayProtocol, address, port, url };
  };
  return { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId) };
}

/** What a server's refusal means, for the person who can do something about it. */
function errorWords({ url, code, text }) {
  const words = (text ?? "").replace(/\.$/, "");
  const said = `${url} answered ${code}${words ? ` (${words})` : ""}.`;
  if (code === 401) return `${said} Do the relay and this server share the secret, and are their clocks right?`;
  if (code === 701) return `${url} could not be reached.`;
  return said;
}

function parseMessage(data) {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return {};
  }
}

// ---- Camera, microphone, or something in their place -------------------------------------------

let mediaNotice = null;
let animation = null;

async function openMedia() {
  mediaNotice = null;
  if (state.fake) return fakeMedia();
  if (!navigator.mediaDevices) {
    mediaNotice = "The browser gives the camera to pages from https:// or localhost only: showing an animation instead.";
    return fakeMedia();
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: { ideal: 1280 }, height: { ideal: 720 } } });
  } catch (error) {
    mediaNotice = `No camera or microphone (${error.name}): showing an animation instead.`;
    return fakeMedia();
  }
}

/** An animation and silence, for machines without a camera. */
function fakeMedia() {
  state.fake = true;
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const hue = Math.random() * 360;
  const began = performance.now();
  draw(canvas, hue, 0);
  // Not requestAnimationFrame: that stops in a window nobody looks at.
  clearInterval(animation);
  animation = setInterval(() => draw(canvas, hue, (performance.now() - began) / 1000), 50);
  const stream = canvas.captureStream(20);
  stream.addTrack(silence());
  return stream;
}

function draw(canvas, hue, seconds) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const ground = pen.createLinearGradient(0, 0, width, height);
  ground.addColorStop(0, `hsl(${hue + seconds * 6} 55% 22%)`);
  ground.addColorStop(1, `hsl(${hue + 70 + seconds * 6} 60% 10%)`);
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, height);
  for (let i = 0; i < 7; i += 1) {
    const angle = seconds * (0.4 + i * 0.07) + i * 0.9;
    pen.beginPath();
    pen.fillStyle = `hsl(${hue + i * 22 + seconds * 12} 75% 62% / .55)`;
    pen.arc(width / 2 + Math.cos(angle) * (70 + i * 26), height / 2 + Math.sin(angle * 1.3) * (40 + i * 13), 16 + i * 3, 0, 7);
    pen.fill();
  }
  pen.fillStyle = "#fffd";
  pen.font = "600 30px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText(state.name || "Guest", width / 2, height / 2 + 4);
  pen.font = "18px ui-monospace, monospace";
  pen.fillText(new Date().toLocaleTimeString([], { hour12: false }), width / 2, height / 2 + 34);
}

function silence() {
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: 220 });
  const volume = new GainNode(audio, { gain: 0 });
  const out = new MediaStreamAudioDestinationNode(audio);
  tone.connect(volume).connect(out);
  tone.start();
  return out.stream.getAudioTracks()[0];
}

function mediaState() {
  const on = (tracks) => tracks.some((track) => track.enabled);
  return { audio: on(localStream.getAudioTracks()), video: on(localStream.getVideoTracks()) };
}

/** Browsers hold back sound until the visitor has clicked somewhere, but never the picture. */
function playSilently(video) {
  video.muted = true;
  video.play().catch(() => {});
  notice("The browser holds the sound back: click anywhere to hear the others.");
}

function letSoundGo() {
  if (navigator.userActivation && !navigator.userActivation.isActive) return; // a script's click
  const held = [...document.querySelectorAll(".tile:not(.mine) video")].filter((video) => video.muted);
  for (const video of held) video.muted = false;
  if (held.length) notice(mediaNotice);
}

function toggle(kind, button, icon) {
  const tracks = kind === "audio" ? localStream.getAudioTracks() : localStream.getVideoTracks();
  const enabled = !mediaState()[kind];
  for (const track of tracks) track.enabled = enabled;
  button.setAttribute("aria-pressed", enabled);
  button.querySelector("use").setAttribute("href", enabled ? `#i-${icon}` : `#i-${icon}-off`);
  myTile.classList.toggle(`no-${kind}`, !enabled);
  for (const peer of peers.values()) peer.tell({ kind: "media", ...mediaState() });
}

// ---- Chat ------------------------------------------------------------------------------------

const pending = new Map();
let lastNumber = 0;
let unread = 0;

/** Says something to everybody; returns how many it was sent to. */
function say(text) {
  lastNumber += 1;
  const message = { kind: "chat", number: lastNumber, text };
  const sent = [...peers.values()].filter((peer) => peer.tell(message)).length;
  state.messages.sent += sent;
  const note = addLine(null, text, sent ? "sent" : "nobody is connected");
  if (sent) pending.set(lastNumber, { note, sent, got: 0 });
  return sent;
}

function delivered(number) {
  const line = pending.get(number);
  if (!line) return;
  line.got += 1;
  line.note.textContent = line.got < line.sent ? `delivered to ${line.got} of ${line.sent}` : "delivered ✓";
  if (line.got >= line.sent) pending.delete(number);
}

function remember(text) {
  state.messages.texts.push(text);
  if (state.messages.texts.length > 100) state.messages.texts.shift();
}

function addLine(who, text, note = who) {
  document.querySelector("#log .empty")?.remove();
  const small = element("small", "", note);
  const line = element("li", who ? "" : "mine", String(text));
  line.append(small);
  $("log").append(line);
  if ($("log").children.length > 500) $("log").firstChild.remove();
  line.scrollIntoView({ block: "end" });
  if (who && $("chat").hidden) {
    unread += 1;
    $("unread").textContent = unread;
    $("unread").hidden = false;
  }
  return small;
}

// ---- What is on the screen -------------------------------------------------------------------

let myTile = null;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function addTile(id, name, retry) {
  const tile = $("tile").content.firstElementChild.cloneNode(true);
  tile.dataset.id = id;
  tile.querySelector(".who").textContent = name;
  tile.querySelector(".avatar span").textContent = [...name][0]?.toUpperCase() ?? "?";
  tile.querySelector(".retry").onclick = retry;
  $("grid").append(tile);
  return tile;
}

function addMyTile() {
  myTile = addTile("me", `${state.name} (you)`, () => {});
  myTile.classList.add("mine");
  myTile.dataset.state = "connected";
  const video = myTile.querySelector("video");
  video.muted = true;
  video.srcObject = localStream;
  video.classList.toggle("mirrored", !state.fake);
}

const WORDS = { connecting: "Connecting…", reconnecting: "Connection lost, waiting…", failed: "Not connected", connected: "" };

function show() {
  const all = [...peers.values()];
  for (const { tile, info } of all) {
    tile.dataset.state = info.state;
    tile.querySelector(".state b").textContent = WORDS[info.state];
    tile.querySelector(".state small").textContent = info.reason ?? (state.relayOnly ? "through the relay" : "looking for a path");
    const path = tile.querySelector(".path");
    path.textContent = info.state === "connected" ? pathWords(info) : "";
    path.dataset.kind = pathKind(info.path);
  }
  state.connectedPeers = all.filter((peer) => peer.info.state === "connected").length;
  showStatus(all);
  showAlone(all.length === 0);
  const count = all.length + 1 + (all.length === 0 ? 1 : 0);
  const narrow = innerWidth < 720;
  $("grid").style.setProperty("--columns", narrow ? (count > 3 ? 2 : 1) : Math.ceil(Math.sqrt(count)));
  showDetails();
}

function showStatus(all) {
  if (state.state === "lobby") return;
  const failed = all.filter((peer) => peer.info.state === "failed");
  const people = `${state.connectedPeers} of ${all.length}`;
  if (state.id === null) setStatus("joining", "Joining…");
  else if (all.length === 0) setStatus("waiting", "Waiting for others");
  else if (state.connectedPeers === all.length) setStatus("connected", all.length === 1 ? "Connected" : `Connected to ${all.length}`);
  else if (failed.length) setStatus("failed", all.length === 1 ? "Not connected" : `Connected to ${people}`, failed[0].info.reason);
  else setStatus("connecting", all.length === 1 ? "Connecting…" : `Connected to ${people}…`);
}

function setStatus(what, words, reason = null) {
  state.state = what;
  state.reason = reason;
  $("status").dataset.state = what;
  $("status").textContent = words;
}

function showAlone(alone) {
  let card = document.querySelector(".alone");
  if (!alone) return card?.remove();
  if (card || !myTile) return;
  card = element("div", "alone");
  card.append(element("b", "", "Nobody else is here yet"), element("span", "", "Send the room's link to somebody, or open it in a second window."));
  const copy = element("button", "primary", "Copy the link");
  copy.onclick = copyLink;
  card.append(copy);
  $("grid").append(card);
}

function pathKind(path) {
  if (!path) return "";
  const kinds = [path.local.type, path.remote.type];
  return kinds.includes("relay") ? "relay" : kinds.includes("srflx") ? "srflx" : "host";
}

function pathWords({ path, roundTripMs }) {
  if (!path) return "";
  const kind = { relay: "relayed", srflx: "direct, through NAT", host: "direct" }[pathKind(path)];
  const protocol = path.local.type === "relay" ? path.local.relayProtocol ?? path.local.protocol : path.local.protocol;
  const trip = roundTripMs === null ? "" : ` · ${roundTripMs} ms`;
  return `${kind} · ${protocol}${trip}`;
}

function showDetails() {
  if ($("details").hidden) return;
  const list = (id, entries, none) => $(id).replaceChildren(...(entries.length ? entries : [element("p", "none", none)]));
  list("paths", [...peers.values()].map(pathEntry), "Nobody is connected.");
  list("candidates", state.candidates.slice(-40).map(candidateEntry), "None yet.");
  list("ice-errors", state.errors.filter((error) => error.kind === "ice").slice(-20).map(errorEntry), "None.");
}

function pathEntry({ name, info }) {
  const entry = element("div", info.state === "failed" ? "entry bad" : "entry");
  entry.append(element("b", "", `${name}: ${info.state}`));
  const end = (side) => `${side.type} ${side.address ?? "(hidden)"}:${side.port ?? ""} ${side.relayProtocol ? `over ${side.relayProtocol}` : side.protocol}`;
  if (info.path) entry.append(element("span", "", `${end(info.path.local)} ⇄ ${end(info.path.remote)}`));
  if (info.reason) entry.append(element("span", "", info.reason));
  const kilobytes = (bytes) => `${Math.round(bytes / 1000).toLocaleString()} kB`;
  entry.append(element("div", "none", `video ↓ ${kilobytes(info.videoBytesIn)} ↑ ${kilobytes(info.videoBytesOut)}`));
  return entry;
}

function candidateEntry(candidate) {
  const entry = element("div", "entry");
  const kind = element("span", "kind", candidate.type);
  kind.dataset.kind = candidate.type;
  entry.append(kind, `${candidate.protocol} ${candidate.address}:${candidate.port} `);
  if (candidate.url) entry.append(element("span", "", candidate.url));
  return entry;
}

function errorEntry({ url, code, text }) {
  const entry = element("div", "entry bad");
  entry.append(element("b", "", `${code} ${text ?? ""}`), element("span", "", url));
  return entry;
}

function notice(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

function openPanel(id) {
  for (const [panel, button] of [["chat", "open-chat"], ["details", "open-details"]]) {
    const open = panel === id && $(panel).hidden;
    $(panel).hidden = !open;
    $(button).setAttribute("aria-expanded", open);
  }
  if (!$("chat").hidden) {
    unread = 0;
    $("unread").hidden = true;
    $("text").focus();
  }
  showDetails();
}

// ---- Coming and going ------------------------------------------------------------------------

function roomLink() {
  const link = new URL(location.pathname, location.origin);
  link.searchParams.set("room", state.room);
  if (state.relayOnly) link.searchParams.set("relay", "1");
  return link.href;
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(roomLink());
    flash("Link copied");
  } catch {
    prompt("The link to this room:", roomLink());
  }
}

function flash(text) {
  $("room-name").textContent = text;
  setTimeout(() => { $("room-name").textContent = state.room ?? ""; }, 1_500);
}

async function enter() {
  state.room = $("room").value.trim();
  state.name = $("name").value.trim() || "Guest";
  state.relayOnly = $("relay").checked;
  state.fake = $("fake").checked;
  state.state = "joining";
  $("enter").disabled = true;
  localStream = await openMedia();
  $("enter").disabled = false;
  $("lobby").hidden = true;
  $("call").hidden = false;
  $("room-name").textContent = state.room;
  history.replaceState(null, "", roomLink());
  notice(mediaNotice);
  addMyTile();
  show();
  signalling = new Signalling();
  statsTimer = setInterval(measureAll, STATS_MS);
}

async function measureAll() {
  await Promise.allSettled([...peers.values()].map((peer) => peer.measure()));
  const sum = (field) => Object.values(state.peers).reduce((total, info) => total + info[field], 0);
  state.videoBytesIn = sum("videoBytesIn");
  state.videoBytesOut = sum("videoBytesOut");
  show();
}

function leave() {
  signalling?.end();
  signalling = null;
  clearInterval(statsTimer);
  clearInterval(animation);
  for (const id of [...peers.keys()]) drop(id);
  for (const track of localStream?.getTracks() ?? []) track.stop();
  $("grid").replaceChildren();
  myTile = null;
  state.id = null;
  state.state = "lobby";
  $("call").hidden = true;
  $("lobby").hidden = false;
}

/** Back to the start, with the reason. */
function fail(reason) {
  leave();
  state.state = "failed";
  state.reason = reason;
  $("problem").textContent = reason[0].toUpperCase() + reason.slice(1);
  $("problem").hidden = false;
}

function suggestRoom() {
  const words = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "juniper", "kestrel", "lagoon", "maple", "north", "otter", "pebble", "quartz", "river", "sable", "tundra"];
  const pick = () => words[crypto.getRandomValues(new Uint32Array(1))[0] % words.length];
  return `${pick()}-${pick()}-${crypto.getRandomValues(new Uint16Array(1))[0] % 1000}`;
}

function start() {
  $("room").value = address.get("room") ?? suggestRoom();
  $("name").value = address.get("name") ?? "";
  $("relay").checked = address.get("relay") === "1";
  $("fake").checked = address.get("fake") === "1";
  $("join").onsubmit = (event) => {
    event.preventDefault();
    $("problem").hidden = true;
    enter();
  };
  $("say").onsubmit = (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text) say(text);
    $("text").value = "";
  };
  $("mic").onclick = () => toggle("audio", $("mic"), "mic");
  $("cam").onclick = () => toggle("video", $("cam"), "cam");
  $("open-chat").onclick = () => openPanel("chat");
  $("open-details").onclick = () => openPanel("details");
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => openPanel(button.dataset.close);
  $("copy").onclick = copyLink;
  $("leave").onclick = leave;
  addEventListener("resize", () => { if (myTile) show(); });
  addEventListener("click", letSoundGo);
  addEventListener("pagehide", () => signalling?.end());
  if (address.get("join") === "1" && $("join").checkValidity()) enter();
}

start();
