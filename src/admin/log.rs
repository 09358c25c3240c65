//! The log: text or JSON, to standard error or a file that can be opened again.
//!
//! Levels: *error*, the server stops; *warn*, worth a look tomorrow; *info*, what an operator would tell a
//! colleague (an allocation is not); *debug*, why the straight road was left; *trace*, a packet. Addresses and
//! user names stand at debug and below, secrets nowhere.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// A library that says too much at debug.
const QUIET: &str = "aya=warn";

/// Where the log goes.
#[derive(Clone, Debug)]
pub struct Output {
    path: Option<PathBuf>,
    file: Arc<Mutex<Option<File>>>,
}

impl Output {
    /// Opens the file, if there is one; standard error otherwise.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(append).transpose()?;
        Ok(Self { path: path.map(Path::to_owned), file: Arc::new(Mutex::new(file)) })
    }

    /// Opens the file again, after a log rotation moved it away. If that fails the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let fresh = append(path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Output {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Opens a file to append to.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Starts the log of this process.
///
/// # Errors
/// Tells what is wrong with the level.
pub fn start(level: &str, json: bool, output: &Output) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        // What the loader of the kernel's program says below a warning is about relocations. Who names it hears it.
        .map(
            |filter| {
                if level.contains("aya") { filter } else { filter.add_directive(QUIET.parse().expect("a directive")) }
            },
        )
        .map_err(|error| format!("log.level: {level}: {error}; use error, warn, info, debug or trace"))?;
    let colours = output.path.is_none() && io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(output.clone())
        .with_target(false)
        .with_ansi(colours);
    // A log that was started already, as a test's may be, serves as well.
    _ = if json { builder.json().try_init() } else { builder.try_init() };
    Ok(())
}
