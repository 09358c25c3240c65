//! Headless Chromium, driven over HTTP by the WebDriver protocol.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use super::process::{Folder, Process, until};

/// How long the driver and the browser may take to start.
const START: Duration = Duration::from_secs(60);
/// How long one command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// What makes Chromium run here: without a screen, as root, saying nothing to the outside, doing
/// the same in windows nobody looks at, and with loopback as a network like any other.
const FLAGS: [&str; 16] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--window-size=1280,800",
    "--lang=en",
];

/// A browser, closed when this is dropped.
pub(crate) struct Browser {
    agent: Agent,
    /// The address of the session at the driver.
    session: String,
    /// The browser's own process, which the driver does not take along when it is killed.
    process: u64,
    _driver: Process,
    folder: Folder,
    _alone: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser that takes a certificate with this key for good.
    ///
    /// One at a time: a browser takes a whole core for its start, and its patience with a
    /// connection is measured in real time.
    pub(crate) fn start(trusted_key: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Folder::new();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", folder.join("."));
        let driver = Process::start(&mut command, &folder.join("chromedriver.log"));
        let port = until("chromedriver to listen", START, || port(&driver.output()));
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(COMMAND))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        let server = format!("http://127.0.0.1:{port}");
        let started = post(&agent, &format!("{server}/session"), &capabilities(&folder, trusted_key));
        let id = started["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {started}"));
        let process = started["capabilities"]["goog:processID"].as_u64().unwrap_or(0);
        let session = format!("{server}/session/{id}");
        Self { agent, session, process, _driver: driver, folder, _alone: alone }
    }

    /// Opens an address in a new window and returns the window's handle.
    pub(crate) fn open(&self, address: &str) -> String {
        let window = self.post("window/new", &json!({"type": "window"}));
        let handle = window["handle"].as_str().expect("a handle").to_owned();
        self.switch(&handle);
        self.post("url", &json!({"url": address}));
        handle
    }

    /// Runs a script in a window and returns what it returns.
    pub(crate) fn run(&self, window: &str, script: &str) -> Value {
        self.run_with(window, script, &Value::Null)
    }

    /// Runs a script with an argument.
    pub(crate) fn run_with(&self, window: &str, script: &str, argument: &Value) -> Value {
        self.switch(window);
        self.post("execute/sync", &json!({"script": script, "args": [argument]}))
    }

    /// Looks at a value in a window until `look` finds what it looks for.
    ///
    /// When it does not in time, the message has the value as it was last, and the folder for
    /// temporary files a picture of each window.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        window: &str,
        script: &str,
        within: Duration,
        look: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            let value = self.run(window, script);
            if let Some(found) = look(&value) {
                return found;
            }
            if Instant::now() >= deadline {
                let pictures = self.take_pictures().join(", ");
                panic!("not within {within:?}: {what}\n{value:#}\npictures: {pictures}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Puts a picture of each window where it outlives the test.
    fn take_pictures(&self) -> Vec<String> {
        let windows = self.get("window/handles");
        let windows: Vec<&str> = windows.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        windows.iter().enumerate().filter_map(|(number, window)| self.take_picture(number, window)).collect()
    }

    /// Puts a picture of one window where it outlives the test.
    fn take_picture(&self, number: usize, window: &str) -> Option<String> {
        self.switch(window);
        let png = STANDARD.decode(self.get("screenshot").as_str()?).ok()?;
        let name = format!("hairpin-interop-{}-window-{number}.png", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, png).ok()?;
        Some(path.display().to_string())
    }

    /// Makes a window the one that commands are for.
    fn switch(&self, window: &str) {
        self.post("window", &json!({"handle": window}));
    }

    /// Asks the driver for something.
    fn get(&self, path: &str) -> Value {
        let answer = self.agent.get(format!("{}/{path}", self.session)).call();
        answer.unwrap().body_mut().read_json::<Value>().unwrap()["value"].take()
    }

    /// Tells the driver something.
    fn post(&self, path: &str, body: &Value) -> Value {
        post(&self.agent, &format!("{}/{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("chrome.log")).unwrap_or_default();
            let errors = log.lines().filter(|line| line.contains("ERROR"));
            eprintln!("---- chromium: {}", errors.take(20).collect::<Vec<_>>().join("\n"));
        }
        let closed = self.agent.delete(&self.session).call().is_ok();
        if !closed && self.process != 0 {
            let _ = Command::new("kill").args(["-KILL", &self.process.to_string()]).status();
        }
    }
}

/// What the session is to be.
fn capabilities(folder: &Folder, trusted_key: &str) -> Value {
    let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
    flags.push(format!("--user-data-dir={}", folder.join("profile").display()));
    // The flag that makes Chromium lenient with pages says nothing about TURN over TLS; this one
    // works below both.
    flags.push(format!("--ignore-certificate-errors-spki-list={trusted_key}"));
    flags.push("--enable-logging".to_owned());
    flags.push(format!("--log-file={}", folder.join("chrome.log").display()));
    let mut options = json!({"args": flags});
    if std::path::Path::new("/usr/bin/chromium").exists() {
        options["binary"] = Value::from("/usr/bin/chromium");
    }
    json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}})
}

/// The port the driver says it listens on.
fn port(said: &str) -> Option<u16> {
    let (_, rest) = said.split_once("started successfully on port ")?;
    rest.split_once('.')?.0.parse().ok()
}

/// Tells the driver something, and makes an error it answers the test's own.
fn post(agent: &Agent, address: &str, body: &Value) -> Value {
    let answer = agent.post(address).send_json(body);
    let mut answer = answer.unwrap_or_else(|error| panic!("{address}: {error}"));
    let value = answer.body_mut().read_json::<Value>().unwrap()["value"].take();
    assert!(value.get("error").is_none(), "{address}: {value:#}");
    value
}
