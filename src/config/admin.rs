//! What operators are served.

use super::draft::Draft;
use std::path::PathBuf;

/// What operators are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Where a running server may be asked.
    pub socket: ControlSocket,
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
