//! Assembly: build, run, reload, stop. The only place where all layers meet.

mod hosts;
mod kernel;
mod listen;
mod operators;
mod options;
mod realms;
mod redirect;
mod status;

use crate::admin::desk::Desk;
use crate::admin::log;
use crate::auth::peers::Policy;
use crate::config::{self, Config, ListenKey, UserSecret};
use crate::io::dtls;
use crate::io::tls::{Acceptor, BadCertificate};
use crate::io::{self, Commons, ListenAddress, SocketOptions, Sockets};
use crate::turn::ticket::Tickets;
use crate::turn::{Options, Server, Setup};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hosts::Hosts;
pub use listen::certificates;
use listen::{acceptor, dtls_acceptor, listen_address, remedy, web};
use operators::Entrances;
use options::{connection_limits, ledger, options, rules};
use realms::{credentials, nonces, realms};
use ring::rand::{SecureRandom, SystemRandom};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The user of a server that was told of none.
const FRESH_USER: &str = "hairpin";

/// Runs the server of this configuration until it is told to stop.
///
/// # Errors
/// What could not be built: nothing runs then.
pub fn run(mut config: Config, warnings: &[String]) -> Result<()> {
    let output = log::Output::open(config.log.file.as_deref())
        .with_context(|| format!("log.file: {}: cannot be opened", display(config.log.file.as_deref())))?;
    log::start(&config.log.level, config.log.json, &output).map_err(|error| anyhow!(error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let fresh = fresh_user(&mut config)?;
    let plan = Plan::new(&config, fresh.is_some())?;
    let sockets = plan.open(&config)?;
    let entrances = Entrances::open(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = Signals::catch(&runtime)?;
    write_pid(&config)?;
    announce(&config, fresh.as_deref());
    let operators = Operators { signals, output: &output, entrances: &entrances };
    let result = plan.serve(sockets, &runtime, operators);
    remove_pid(&config);
    result
}

/// Everything that workers are made of.
struct Plan {
    setup: Setup,
    commons: Arc<Commons>,
    listen: Vec<ListenAddress>,
    sockets: SocketOptions,
    workers: usize,
    tls: Option<Arc<Acceptor>>,
    dtls: Option<Arc<dtls::Acceptor>>,
    desk: Arc<Desk>,
}

/// What operators come by.
struct Operators<'a> {
    signals: Signals,
    output: &'a log::Output,
    entrances: &'a Entrances,
}

impl Plan {
    /// Reads certificates and addresses of the host, and readies the kernel path; binds nothing.
    fn new(config: &Config, is_fresh: bool) -> Result<Self> {
        let hosts = Hosts::of(config)?;
        let (tls, dtls) = (acceptor(config)?, dtls_acceptor(config)?);
        let (kernel, no_kernel) = match kernel::open(config, &hosts, is_fresh) {
            Ok(kernel) => (Some(kernel), String::new()),
            Err(why) => (None, why),
        };
        let options = Options { routes: kernel.is_some(), ..options(config, &hosts) };
        let realms = realms(config, &hosts)?;
        let commons = Commons::new(ledger(config, &realms), connection_limits(&config.limits), kernel)
            .with_web(web(config))
            .with_dtls(dtls.clone());
        let commons = Arc::new(commons);
        // What sockets may have joined before it passes the program, which can carry only single packets.
        let join = commons.kernel().is_none_or(|kernel| !kernel.may_see_joined());
        Ok(Self {
            desk: Arc::new(Desk::new(Arc::clone(&commons), operators::facts(config, &no_kernel))),
            commons,
            listen: config.listen.iter().map(|at| listen_address(config, at, tls.as_ref())).collect(),
            setup: Setup {
                credentials: Arc::new(credentials(config)?),
                nonces: Arc::new(nonces(config)?),
                policy: Arc::new(Policy::new(&rules(config, &hosts))),
                options: Arc::new(options),
                tickets: Arc::new(Tickets::new(random()?)),
                realms,
            },
            sockets: SocketOptions {
                buffer: config.limits.socket_buffer,
                device: config.relay.device.clone(),
                join,
                busy_poll: Duration::from_micros(config.busy_poll.into()),
            },
            workers: workers(config),
            tls,
            dtls,
        })
    }

    /// Binds every listening address.
    fn open(&self, config: &Config) -> Result<Vec<Sockets>> {
        io::raise_descriptor_limit();
        let options = SocketOptions { device: None, ..self.sockets.clone() };
        Sockets::open(&self.listen, self.workers, &options).map_err(|failed| {
            let is_udp = failed.protocol == "UDP";
            let is_it = |at: &&config::Listener| {
                at.addr == failed.addr && if is_udp { at.udp || at.dtls } else { at.tcp || at.tls }
            };
            let key = config.listen.iter().find(is_it).map_or(ListenKey::Port, |at| at.key);
            anyhow!("{failed}; {}", remedy(failed.error.kind(), key))
        })
    }

    /// Starts the workers and waits for signals.
    fn serve(&self, sockets: Vec<Sockets>, runtime: &Runtime, operators: Operators<'_>) -> Result<()> {
        let (failed, mut failures) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for (index, sockets) in sockets.into_iter().enumerate() {
            workers.push(self.spawn(index, sockets, failed.clone())?);
        }
        drop(failed);
        let result = runtime.block_on(self.wait(operators, &mut failures));
        // A worker ends when its line is closed. All are told before the first is waited for.
        let threads: Vec<_> = workers.into_iter().map(|(_line, thread)| thread).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a worker has panicked"))?;
        }
        status::tell(&self.commons);
        result
    }

    /// Starts one worker; it ends when the line to it is closed.
    fn spawn(
        &self,
        index: usize,
        sockets: Sockets,
        failed: mpsc::UnboundedSender<std::io::Error>,
    ) -> Result<(UnixStream, thread::JoinHandle<()>)> {
        let (line, owner) = UnixStream::pair().context("cannot start a worker")?;
        let server = Server::new(self.setup.clone(), random()?, io::clock::now());
        let (commons, options) = (Arc::clone(&self.commons), self.sockets.clone());
        let worker = move || {
            if let Err(error) = io::run(server, sockets, commons, options, &owner) {
                // If nobody listens any more, the server is stopping anyway.
                _ = failed.send(error);
            }
        };
        let thread = thread::Builder::new().name(format!("hairpin-{index}")).spawn(worker);
        Ok((line, thread.context("cannot start a worker")?))
    }

    /// Waits for a signal to stop; until then reopens the log and reloads certificates on SIGHUP, tells how it stands
    /// on SIGUSR1, and answers operators.
    async fn wait(
        &self,
        operators: Operators<'_>,
        failures: &mut mpsc::UnboundedReceiver<std::io::Error>,
    ) -> Result<()> {
        let Operators { mut signals, output, entrances } = operators;
        let answering = entrances.attend(&self.desk);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break tracing::info!("stopping: SIGTERM"),
                _ = signals.interrupt.recv() => break tracing::info!("stopping: SIGINT"),
                _ = signals.hangup.recv() => self.reload(output),
                _ = signals.status.recv() => status::tell(&self.commons),
                () = &mut answering => {}
                Some(error) = failures.recv() => bail!("a worker has failed: {error}"),
            }
        }
        Ok(())
    }

    /// Opens the log again and reads the certificates again. What cannot be had stays as it was.
    fn reload(&self, output: &log::Output) {
        match output.reopen() {
            Ok(()) => tracing::info!("reload: log reopened"),
            Err(error) => tracing::warn!(%error, "reload: the log file cannot be opened; the old one stays in use"),
        }
        if self.tls.is_none() && self.dtls.is_none() {
            return;
        }
        match self.reload_certificates() {
            Ok(()) => tracing::info!("reload: certificates read"),
            Err(error) => tracing::warn!(%error, "reload: certificates stay as they were"),
        }
    }

    /// Reads the certificates again, those of DTLS only if those of TLS are good: the files are the same.
    fn reload_certificates(&self) -> Result<(), BadCertificate> {
        self.tls.as_ref().map_or(Ok(()), |acceptor| acceptor.reload())?;
        self.dtls.as_ref().map_or(Ok(()), |acceptor| acceptor.reload())
    }
}

/// The signals of whoever runs the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    status: Signal,
}

impl Signals {
    /// Catches them from now on: before anybody learns of this process by its pidfile or its answers, for until
    /// then each of them ends it on the spot.
    fn catch(runtime: &Runtime) -> Result<Self> {
        let _inside = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            status: signal(SignalKind::user_defined1())?,
        })
    }
}

/// How many workers there are: one for each core, unless fewer are wanted.
fn workers(config: &Config) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if config.workers == 0 { cores } else { config.workers.min(cores) }
}

/// Gives a server that knows nobody one user with a random password.
fn fresh_user(config: &mut Config) -> Result<Option<String>> {
    if !config.wants_fresh_user() {
        return Ok(None);
    }
    let password = URL_SAFE_NO_PAD.encode(random::<18>()?);
    let secret = UserSecret::Password(password.clone());
    config.auth.users.push(config::User { name: FRESH_USER.to_owned(), secret });
    Ok(Some(password))
}

/// Says what runs; to whom nobody was named, also how to use it.
fn announce(config: &Config, fresh: Option<&str>) {
    for listener in &config.listen {
        let config::Listener { addr, udp, tcp, tls, dtls, proxied, .. } = listener;
        tracing::info!(address = %addr, udp, tcp, tls, dtls, proxied, "serving");
    }
    let Some(password) = fresh else { return };
    let hosts = config::Hosts::find(config, None);
    let Some(entry) = config::ice_server(config, &hosts, FRESH_USER, password) else {
        println!("user {FRESH_USER}, password {password}");
        return;
    };
    println!("iceServers: [{entry:#}]");
    println!("This user lasts until the server stops. To keep one: hairpin reference > hairpin.toml, then auth.users.");
}

/// Writes the process id, where that is wanted.
fn write_pid(config: &Config) -> Result<()> {
    let Some(path) = &config.pidfile else { return Ok(()) };
    std::fs::write(path, format!("{}\n", std::process::id()))
        .with_context(|| format!("pidfile: {}: cannot be written", path.display()))
}

/// Removes what [`write_pid`] wrote.
fn remove_pid(config: &Config) {
    if let Some(path) = &config.pidfile {
        // A file that has gone already is as good as removed.
        _ = std::fs::remove_file(path);
    }
}

/// Secret random bytes of the system.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

/// A path for a message.
fn display(path: Option<&std::path::Path>) -> String {
    path.map(|p| p.display().to_string()).unwrap_or_default()
}
