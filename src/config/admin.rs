//! What operators are served.

use super::draft::Draft;
use super::setting::{Reading, Setting, Value};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// What operators are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Where a running server may be asked.
    pub socket: ControlSocket,
    /// Where metrics are served by HTTP, if anywhere; `[::]` stands for every address of either family.
    pub metrics: Option<SocketAddr>,
}

/// The control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlSocket {
    /// The usual one, if its folder is there.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    At(PathBuf),
}

impl ControlSocket {
    /// The usual one: in the folder that systemd has made for this service, which is /run/hairpin if nobody says another.
    #[must_use]
    pub fn usual() -> PathBuf {
        let named = std::env::var_os("RUNTIME_DIRECTORY").filter(|folders| !folders.is_empty());
        let first = named.and_then(|folders| std::env::split_paths(&folders).next());
        first.unwrap_or_else(|| PathBuf::from("/run/hairpin")).join("control")
    }
}

/// Stores the choice of the control socket.
pub(super) fn socket(draft: &mut Draft, word: &str) -> Result<(), String> {
    draft.config.admin.socket = match word {
        "auto" => ControlSocket::Auto,
        "off" | "" => ControlSocket::Off,
        path if path.starts_with('/') => ControlSocket::At(path.into()),
        other => {
            return Err(format!("{other:?} is no whole path; write one such as /run/hairpin/control, auto or off"));
        }
    };
    Ok(())
}

/// The key of the address of metrics.
const METRICS: &str = "admin.metrics";

/// Stores where metrics are served.
pub(super) fn metrics(draft: &mut Draft, text: &str) -> Result<(), String> {
    let everywhere = text.strip_prefix(':').and_then(|port| port.parse().ok());
    let addr = everywhere.map(|port: u16| (Ipv6Addr::UNSPECIFIED, port).into()).or_else(|| text.parse().ok());
    draft.config.admin.metrics = addr.filter(|addr: &SocketAddr| addr.port() != 0);
    if text.is_empty() || draft.config.admin.metrics.is_some() {
        return Ok(());
    }
    Err(format!("{text:?} is no address with a port; write one such as 127.0.0.1:9641, or :9641 for every address"))
}

/// In coturn, the port stands alone.
pub(super) fn at_port(port: &str) -> String {
    format!(":{port}")
}

/// Joins what coturn says in three options: the address and the port mean nothing without the first.
pub(crate) fn join_metrics(reading: &mut Reading) {
    let is_theirs = |one: &Setting| one.key.path == METRICS && one.site.name.contains("prometheus");
    let settings = std::mem::take(&mut reading.settings);
    let (theirs, others): (Vec<_>, Vec<_>) = settings.into_iter().partition(is_theirs);
    reading.settings = others;
    let last = |name: &str| theirs.iter().rev().find(|one| one.site.name.trim_start_matches('-') == name);
    let text = |name: &str| match last(name).map(|one| &one.value) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let Some(on) = last("prometheus") else { return };
    let port = if last("prometheus-port").is_some() { text("prometheus-port") } else { text("prometheus") };
    let address = match text("prometheus-address").parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => text("prometheus-address"),
    };
    reading.settings.push(Setting { value: Value::Text(address + &port), ..on.clone() });
}
