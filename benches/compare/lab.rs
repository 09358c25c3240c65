//! Where servers are started, loaded and stopped.

use super::space::Space;
use hairpin::io::dtls::SERVED;
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// This project's program: server and generator.
const HAIRPIN: &str = env!("CARGO_BIN_EXE_hairpin");
/// The core of the server, and that of the generator.
const CORES: [&str; 2] = ["0", "1"];
/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(20);
/// From this share on, all that was offered has arrived.
const WHOLE: f64 = 0.99;
/// A Binding request.
const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/// Somebody wants this to end.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// A server program.
pub enum Program {
    /// This project's.
    Hairpin,
    /// The same with a kernel path of this mode.
    Kernel(&'static str),
    /// The other one, by its command.
    Coturn(String),
}

/// Where a server runs.
#[derive(Clone, Copy)]
pub enum Place {
    /// One worker on a core of its own.
    Pinned,
    /// So many workers, wherever the kernel puts them.
    Anywhere(u32),
    /// Pinned, at the other end of a cable.
    Wired,
}

/// How clients reach the server.
#[derive(Clone, Copy)]
pub enum Over {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// DTLS, in a build that has it.
    Dtls,
}

/// What a server is loaded with: the transport, and flags of the generator.
pub struct Load(pub Over, pub &'static str);

/// What one measurement gave.
pub struct Sample {
    /// Packets, answers or allocations in a second.
    pub rate: f64,
    /// Microseconds of the server's processor time for each.
    pub cpu: Option<f64>,
    /// The same of the whole machine, its kernel and the generator included.
    pub machine: f64,
    /// Half of them took at most so many microseconds.
    pub p50: Option<f64>,
    /// 99 of 100 took at most so many microseconds.
    pub p99: Option<f64>,
    /// The load was the limit: the generator could send no more, or all that was offered arrived.
    pub limited: bool,
    /// Bytes of the server's memory for each client.
    pub memory: Option<f64>,
}

/// Where everything is measured.
pub struct Lab {
    /// How often.
    pub rounds: u32,
    seconds: u32,
    pinned: bool,
    /// Where the last server ran.
    place: Place,
    folder: Folder,
    cable: Option<Cable>,
    /// What servers are compared.
    versions: String,
    machine: String,
    failures: Vec<String>,
}

impl Lab {
    /// Sets up what measurements share.
    pub fn new(rounds: u32, seconds: u32) -> Result<Self, String> {
        watch_signals();
        let pinned = Command::new("taskset").args(["-c", &CORES.join(","), "true"]).status().is_ok_and(|s| s.success());
        if !pinned {
            eprintln!("taskset or a second core is missing: server and generator are not pinned to cores of their own");
        }
        let folder = Folder::new().map_err(|error| format!("a folder for files: {error}"))?;
        let versions = format!("hairpin {}", env!("CARGO_PKG_VERSION"));
        let (place, machine, failures) = (Place::Pinned, String::new(), Vec::new());
        Ok(Self { rounds, seconds, pinned, place, folder, cable: None, versions, machine, failures })
    }

    /// Lays the cable of [`Place::Wired`].
    pub fn wire(&mut self) -> Result<(), String> {
        self.cable = Some(Cable::new().ok_or("needs the right to make network namespaces (root)")?);
        Ok(())
    }

    /// The other server, if it is installed.
    pub fn coturn(&mut self, command: &str) -> Option<Program> {
        let Ok(output) = Command::new(command).arg("--version").output() else {
            let text = format!("coturn ({command}) is not installed: hairpin is measured alone");
            eprintln!("{text}");
            self.failures.push(text);
            return None;
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().lines().last().unwrap_or("unknown").to_owned();
        self.versions = format!("{}, coturn {version}", self.versions);
        Some(Program::Coturn(command.to_owned()))
    }

    /// Everything that the numbers depend on, and what went wrong.
    pub fn about(&self) -> Vec<String> {
        let date = Command::new("date").arg("+%Y-%m-%d").output();
        let date = date.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let cores = match (self.pinned, self.place) {
            (false, _) => "not pinned to cores",
            (true, Place::Pinned | Place::Wired) => "server on core 0, generator on core 1",
            (true, Place::Anywhere(_)) => "server on any core, generator on core 1",
        };
        let Self { machine, versions, rounds, seconds, .. } = self;
        let mut all = vec![
            machine.clone(),
            format!("{versions}; {date}"),
            format!(
                "{}, {cores}; {rounds} rounds of {seconds} s",
                if self.cable.is_some() { "veth" } else { "loopback" }
            ),
            format!("cargo bench --bench compare -- {}", words.join(" ")).trim_end_matches(" -- ").to_owned(),
        ];
        all.extend(self.failures.iter().cloned());
        all
    }

    /// Measures a fresh server once. Nothing comes of it if that fails, which is told, unless all is to end.
    pub fn measure(
        &mut self,
        program: &Program,
        label: &str,
        place: Place,
        load: &Load,
    ) -> Result<Option<Sample>, String> {
        let label = format!("{label} {}", program.name());
        let sample = self.try_measure(program, place, load);
        if STOPPED.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        let sample = sample.inspect(|sample| eprintln!("{label}: {}", sample.line()));
        let failed = |error: String| {
            eprintln!("{label}: {error}");
            self.failures.push(format!("failed: {label}: {error}"));
        };
        Ok(sample.map_err(failed).ok())
    }

    /// Measures a fresh server once.
    fn try_measure(&mut self, program: &Program, place: Place, load: &Load) -> Result<Sample, String> {
        self.place = place;
        let server = Server::start(self, program, place)?;
        let (resident, cpu, machine) = (server.resident(), server.cpu(), busy());
        let output = self.outside(|| self.generator(&server, load).output()).map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(last_lines(&String::from_utf8_lossy(&output.stderr)));
        }
        let document: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let text = |name: &str| document[name].as_str().map_or_else(|| document[name].to_string(), str::to_owned);
        self.machine = format!("{}, {} cores, Linux {}", text("cpu"), text("cores"), text("kernel"));
        let machine = (busy() - machine) / f64::from(self.seconds);
        Sample::read(&document, server.cpu() - cpu, machine, resident)
    }

    /// Does something where clients are.
    fn outside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.cable {
            Some(cable) => cable.far.run(work),
            None => work(),
        }
    }

    /// Does something where the server is.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.cable {
            Some(cable) => cable.near.run(work),
            None => work(),
        }
    }

    /// The addresses of server and clients.
    fn addresses(&self) -> [Ipv4Addr; 2] {
        if self.cable.is_some() { Cable::ADDRESSES } else { [Ipv4Addr::LOCALHOST; 2] }
    }

    /// The command that loads a server.
    fn generator(&self, server: &Server, Load(over, flags): &Load) -> Command {
        let ([at, _], Server { port, tls_port, .. }) = (self.addresses(), server);
        let url = match over {
            _ if flags.contains("binding") => format!("stun:{at}:{port}"),
            Over::Udp => format!("turn:{at}:{port}"),
            Over::Tcp => format!("turn:{at}:{port}?transport=tcp"),
            Over::Tls => format!("turns:{at}:{tls_port}"),
            Over::Dtls => format!("turns:{at}:{tls_port}?transport=udp"),
        };
        let mut command = self.command(HAIRPIN, self.pinned.then_some(CORES[1]));
        command.args(["bench", &url, "--json", "--insecure", "--threads", "1", "--user", "u", "--password", "p"]);
        command.args(["--duration", &format!("{}s", self.seconds), "--pid", &server.child.id().to_string()]);
        command.args(flags.split(' '));
        command
    }

    /// A command that runs on a core.
    fn command(&self, program: &str, core: Option<&str>) -> Command {
        let mut command = Command::new(if core.is_some() { "taskset" } else { program });
        command.args(core.iter().flat_map(|core| ["-c", core, program])).stdin(Stdio::null());
        command
    }
}

impl Program {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hairpin => "hairpin",
            Self::Kernel(mode) => mode,
            Self::Coturn(_) => "coturn",
        }
    }
}

impl Sample {
    /// Reads it from what the generator says. `cpu` is what the server used meanwhile, in seconds; `resident` what it
    /// held before, in bytes; `machine` what all cores were busy for in a second.
    fn read(document: &Value, cpu: f64, machine: f64, resident: f64) -> Result<Self, String> {
        let at = |path: &str| document.pointer(path).and_then(Value::as_f64);
        let rate = at("/result/relayed_pps").or_else(|| at("/allocate/per_second"));
        let lives = at("/delete/done").map(|done| cpu * 1e6 / done.max(1.0));
        let clients = at("/clients").unwrap_or(1.0);
        let grown = at("/result/server/resident_bytes").map(|now| (now - resident).max(0.0) / clients);
        let whole = rate.zip(at("/result/offered_pps")).is_some_and(|(rate, offered)| rate >= WHOLE * offered);
        let errors = document.pointer("/allocate/errors").and_then(Value::as_object);
        if let Some(errors) = errors.filter(|errors| !errors.is_empty()) {
            return Err(format!("not all could allocate: {errors:?}"));
        }
        Ok(Self {
            rate: rate.ok_or("the generator tells no rate")?,
            cpu: at("/result/server/cpu_us_per_packet").or(lives),
            machine: rate.map_or(f64::NAN, |rate| machine * 1e6 / rate.max(1.0)),
            p50: at("/result/latency_us/p50").or_else(|| at("/allocate/latency_us/p50")),
            p99: at("/result/latency_us/p99").or_else(|| at("/allocate/latency_us/p99")),
            limited: whole || document["generator_limited"] == true,
            memory: at("/memory/per_allocation").or(grown),
        })
    }

    /// For whoever waits.
    fn line(&self) -> String {
        let value = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let limited = if self.limited { ", the load was the limit" } else { "" };
        let (cpu, p50, p99) = (value(self.cpu), value(self.p50), value(self.p99));
        format!("{:.0}/s, {cpu:.2} us CPU, p50 {p50:.0} us, p99 {p99:.0} us{limited}", self.rate)
    }
}

/// A server that runs, until it is dropped.
struct Server {
    child: Child,
    port: u16,
    tls_port: u16,
    /// Keeps clients from the number of the TLS port, where the server does not: hairpin does not answer what comes from
    /// an address of its own.
    _kept: Option<UdpSocket>,
}

impl Server {
    /// Starts a server and waits until it answers.
    fn start(lab: &Lab, program: &Program, place: Place) -> Result<Self, String> {
        let free = || free_port().map_err(|error| format!("no port is free: {error}"));
        let ((tls_port, kept), (port, _)) = (free()?, free()?);
        let kept = (!SERVED).then_some(kept);
        let (core, workers) = match place {
            Place::Pinned | Place::Wired => (lab.pinned.then_some(CORES[0]), 1),
            Place::Anywhere(workers) => (None, workers),
        };
        let command = match program {
            Program::Hairpin | Program::Kernel(_) => HAIRPIN,
            Program::Coturn(command) => command,
        };
        let path = if let Program::Kernel(mode) = program { mode } else { "off" };
        let log = lab.folder.0.join("output");
        let child = lab.folder.write_settings(lab.addresses(), [port, tls_port], workers).and_then(|file| {
            let out = File::create(&log)?;
            let mut command = lab.command(command, core);
            command.env("HAIRPIN_LIMITS_UNAUTHENTICATED", "0").env("HAIRPIN_KERNEL_PATH", path).arg("-c").arg(file);
            command.stdout(out.try_clone()?).stderr(out);
            lab.inside(|| command.spawn())
        });
        let mut server =
            Self { child: child.map_err(|error| format!("{command}: {error}"))?, port, tls_port, _kept: kept };
        let [at, _] = lab.addresses();
        lab.outside(|| server.wait(at)).map_err(|error| format!("{error}: {}", last_lines(&read(&log))))?;
        match read(&log).lines().find(|line| line.contains("kernel path:") && !line.contains("path: on")) {
            Some(line) if path != "off" => Err(line.to_owned()),
            _ => Ok(server),
        }
    }

    /// Waits until it answers on every port.
    fn wait(&mut self, at: Ipv4Addr) -> Result<(), &'static str> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err("the server has ended");
            }
            let connects = |port| TcpStream::connect((at, port)).is_ok();
            if answers(at, self.port).unwrap_or(false) && connects(self.port) && connects(self.tls_port) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("the server does not answer")
    }

    /// What /proc says of it.
    fn proc(&self, file: &str) -> String {
        read(Path::new(&format!("/proc/{}/{file}", self.child.id())))
    }

    /// Bytes of resident memory.
    fn resident(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .map_or(0.0, |kilobytes: f64| kilobytes * 1024.0)
    }

    /// Seconds of processor time so far, of all threads.
    fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        // The name of the program stands in parentheses and may hold spaces; times are hundredths.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Two networks and the cable between: it carries whole checksums, and both ends poll, as of copper.
struct Cable {
    near: Space,
    far: Space,
    /// What makes the far end poll.
    _polls: OwnedFd,
}

impl Cable {
    /// Of the server and of its clients.
    const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];

    fn new() -> Option<Self> {
        if !Space::allowed() {
            return None;
        }
        let (near, far) = Space::pair();
        for (space, at) in [&near, &far].into_iter().zip(Self::ADDRESSES) {
            space.address(&format!("{at}/24"));
            space.tool("ethtool", "-K eth0 tx off");
        }
        let _polls = far.pass_all("eth0");
        Some(Self { near, far, _polls })
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    /// With a certificate.
    fn new() -> std::io::Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("hairpin-compare-{}", std::process::id())));
        fs::create_dir(&folder.0)?;
        let made = generate_simple_self_signed(["localhost".to_owned()]).map_err(std::io::Error::other)?;
        fs::write(folder.0.join("cert.pem"), made.cert.pem())?;
        fs::write(folder.0.join("key.pem"), made.signing_key.serialize_pem())?;
        Ok(folder)
    }

    /// Writes what both servers read. Relayed ports are below those that the system gives to sockets of clients.
    fn write_settings(
        &self,
        [server, peer]: [Ipv4Addr; 2],
        [port, tls_port]: [u16; 2],
        workers: u32,
    ) -> std::io::Result<PathBuf> {
        let (file, at) = (self.0.join("settings.conf"), self.0.display());
        let dtls = if SERVED { "" } else { "no-dtls\n" };
        let text = format!(
            "listening-ip={server}\nrelay-ip={server}\nlistening-port={port}\ntls-listening-port={tls_port}\n\
             min-port=10000\nmax-port=32000\nrelay-threads={workers}\nlt-cred-mech\nuser=u:p\nrealm=bench.example\n\
             allow-loopback-peers\nallowed-peer-ip={peer}\ncert={at}/cert.pem\npkey={at}/key.pem\n{dtls}no-cli\n\
             pidfile={at}/pid\nlog-file={at}/log\nsimple-log\n"
        );
        fs::write(&file, text)?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is free for UDP and for TCP, and taken for UDP as long as the socket is kept.
fn free_port() -> std::io::Result<(u16, UdpSocket)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map(|socket| (port, socket))
}

/// Whether a Binding request is answered.
fn answers(at: Ipv4Addr, port: u16) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((at, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    socket.send(&BINDING)?;
    socket.recv(&mut [0; 512]).map(|len| len >= BINDING.len())
}

/// Seconds that all cores together have been busy.
fn busy() -> f64 {
    let stat = read(Path::new("/proc/stat"));
    // user, nice, system, idle, iowait, irq, softirq, steal: hundredths.
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).enumerate();
    fields.filter(|(at, _)| [0, 1, 2, 5, 6].contains(at)).filter_map(|(_, n)| n.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

/// A file's text, or none.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The last lines of a text, in one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// Lets Ctrl-C and SIGTERM end the measurement in order: servers are stopped, files are removed.
fn watch_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        STOPPED.store(true, Ordering::Relaxed);
        std::io::Result::Ok(())
    };
    thread::spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(wait));
}
