//! What operators are served: the control socket.

use crate::admin::control::Control;
use crate::admin::desk::{Desk, Facts};
use crate::admin::status::Listener;
use crate::config::{self, Config, ControlSocket};
use crate::turn::Transport;
use anyhow::{Result, anyhow};
use std::path::Path;
use std::sync::Arc;

/// Opens the control socket, if there is to be one.
///
/// # Errors
/// It was asked for and cannot be had.
pub(super) fn open(config: &Config) -> Result<Option<Control>> {
    match &config.admin.socket {
        ControlSocket::Off => Ok(None),
        ControlSocket::At(path) => Control::open(path).map(Some).map_err(|error| anyhow!("admin.socket: {error}")),
        ControlSocket::Auto => Ok(usual()),
    }
}

/// The usual one, where there is a folder for it.
fn usual() -> Option<Control> {
    let path = ControlSocket::usual();
    if !path.parent().is_some_and(Path::is_dir) {
        return None;
    }
    Control::open(&path).inspect_err(|error| tracing::info!("no control socket: admin.socket: {error}")).ok()
}

/// Answers at the control socket, if there is one, for ever. Whatever becomes of it, clients are served.
pub(super) async fn answer(control: Option<&Control>, desk: &Arc<Desk>) {
    if let Some(control) = control
        && let Err(error) = control.serve(Arc::clone(desk)).await
    {
        tracing::warn!(%error, "the control socket answers no more");
    }
    std::future::pending().await
}

/// What is known from the start.
pub(super) fn facts(config: &Config, no_kernel: &str) -> Facts {
    Facts { listeners: config.listen.iter().map(listener).collect(), no_kernel: no_kernel.to_owned() }
}

fn listener(at: &config::Listener) -> Listener {
    let served = [at.udp, at.tcp, at.tls, at.dtls];
    let transports = Transport::ALL.into_iter().zip(served).filter(|(_, served)| *served);
    Listener { addr: at.addr, transports: transports.map(|(transport, _)| transport).collect(), proxied: at.proxied }
}
