//! A network for the program: a host with one interface, a next hop that is known, and ways that lead nowhere.

use crate::space::Space;
use hairpin::dataplane::xdp::{Interface, Kernel, Mode, Wish};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The ports of relays.
pub const PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

/// Addresses of the host.
pub const OWN: [&str; 3] = ["203.0.113.5", "2001:4860:1::5", "198.51.100.129"];

/// Addresses, next hops and ways: `eth0` leads to the world, `other` is an interface without the program, one network
/// cannot be reached, and of one neighbour nothing is known.
pub const COMMANDS: [&str; 14] = [
    "link set eth0 address 02:00:00:00:00:05",
    "addr add 203.0.113.5/24 dev eth0",
    "addr add 2001:4860:1::5/64 dev eth0 nodad",
    "neigh replace 203.0.113.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
    "neigh replace 2001:4860:1::1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
    "route add default via 203.0.113.1",
    "-6 route add default via 2001:4860:1::1",
    "route add unreachable 198.51.100.0/25",
    "-6 route add unreachable 2001:db8:dead::/48",
    "link add other type veth peer name far",
    "link set other up",
    "link set far up",
    "addr add 198.51.100.129/25 dev other",
    "neigh replace 198.51.100.200 lladdr 02:00:00:00:00:09 dev other nud permanent",
];

/// Makes the network and does something in it, with the program attached to `eth0`. The program is told
/// whether that is hardware.
pub fn with_kernel<T: Send>(mode: Mode, hardware: bool, work: impl FnOnce(Kernel) -> T + Send) -> T {
    with_limited_kernel(mode, hardware, 0, work)
}

/// The same, where an allocation may send so many bytes in a second.
pub fn with_limited_kernel<T: Send>(
    mode: Mode,
    hardware: bool,
    bandwidth: u64,
    work: impl FnOnce(Kernel) -> T + Send,
) -> T {
    let (near, far) = Space::pair();
    // A native program is for ends that take what it sends.
    far.tool("ethtool", "-K eth0 gro on");
    COMMANDS.iter().for_each(|words| near.ip(words));
    near.run(|| work(open(mode, hardware, bandwidth).unwrap()))
}

/// What leaves by this thread's `eth0` is for the station that it comes from, so that the program takes it again.
pub fn be_own_gateway() {
    for gateway in ["203.0.113.1", "2001:4860:1::1"] {
        let words = format!("neigh replace {gateway} lladdr 02:00:00:00:00:05 dev eth0 nud permanent");
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success());
    }
}

/// The program, attached to `eth0` of this thread's network.
fn open(mode: Mode, hardware: bool, bandwidth: u64) -> Result<Kernel, String> {
    let index = eth0().ok_or("there is no eth0")?;
    let interfaces = vec![Interface { hardware, ..Interface::new("eth0".to_owned(), index) }];
    Kernel::open(&Wish {
        mode: Some(mode),
        interfaces,
        ports: PORTS,
        bandwidth,
        own: OWN.map(|ip| ip.parse().unwrap()).to_vec(),
    })
}

/// The number of `eth0`.
fn eth0() -> Option<u32> {
    let output = Command::new("ip").args(["-o", "link", "show", "eth0"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.split(':').next()?.parse().ok()
}

/// What this machine lacks to run the program, if anything.
pub fn lack() -> Option<&'static str> {
    if !runs("ip", "-V") {
        return Some("the program `ip`");
    }
    if !runs("ethtool", "--version") {
        return Some("the program `ethtool`");
    }
    if !Space::allowed() {
        return Some("the right to make network namespaces (root)");
    }
    let (near, _far) = Space::pair();
    let error = near.run(|| open(Mode::Generic, false, 0)).err()?;
    error.contains("needs CAP_").then_some("the right to load programs into the kernel (CAP_BPF)")
}

/// Tells whether this machine has what a test needs; if not, says so once. `HAIRPIN_REQUIRE=all` makes a lack a
/// failure.
pub fn requires(lack: Option<&str>) -> bool {
    let Some(what) = lack else { return true };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("HAIRPIN_REQUIRE").as_deref() != Ok("all"), "{test}: needs {what}");
    // Past the capture of the test runner: what was not tested should be seen.
    _ = writeln!(std::io::stderr(), "skipped: {test}: needs {what}");
    false
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
