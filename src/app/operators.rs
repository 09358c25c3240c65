//! How operators come in: the control socket, and the port of metrics.

use crate::admin::control::Control;
use crate::admin::desk::{Desk, Facts};
use crate::admin::http::Http;
use crate::admin::status::Listener;
use crate::config::{self, Config, ControlSocket};
use crate::turn::Transport;
use anyhow::{Result, anyhow};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Those that are open.
pub(super) struct Entrances {
    control: Option<Control>,
    metrics: Option<Http>,
}

impl Entrances {
    /// Opens those that there are to be.
    ///
    /// # Errors
    /// One was asked for and cannot be had.
    pub(super) fn open(config: &Config) -> Result<Self> {
        let metrics = config.admin.metrics.map(Http::open).transpose();
        Ok(Self { control: control(config)?, metrics: metrics.map_err(|error| anyhow!("admin.metrics: {error}"))? })
    }

    /// Answers whoever comes, for ever. Whatever becomes of it, clients are served.
    pub(super) async fn attend(&self, desk: &Arc<Desk>) {
        let control = async {
            if let Some(control) = &self.control {
                tell(control.serve(Arc::clone(desk)).await, "admin.socket");
            }
        };
        let metrics = async {
            if let Some(metrics) = &self.metrics {
                tell(metrics.serve(Arc::clone(desk)).await, "admin.metrics");
            }
        };
        tokio::join!(control, metrics);
        std::future::pending().await
    }
}

/// One of them has closed.
fn tell(result: io::Result<()>, key: &str) {
    if let Err(error) = result {
        tracing::warn!(%error, "{key} answers no more");
    }
}

/// The control socket.
fn control(config: &Config) -> Result<Option<Control>> {
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

/// What is known from the start.
pub(super) fn facts(config: &Config, no_kernel: &str) -> Facts {
    Facts { listeners: config.listen.iter().map(listener).collect(), no_kernel: no_kernel.to_owned() }
}

fn listener(at: &config::Listener) -> Listener {
    let served = [at.udp, at.tcp, at.tls, at.dtls];
    let transports = Transport::ALL.into_iter().zip(served).filter(|(_, served)| *served);
    Listener { addr: at.addr, transports: transports.map(|(transport, _)| transport).collect(), proxied: at.proxied }
}
