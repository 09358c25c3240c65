//! A machine: QEMU, a kernel, its console.

use crate::archive::Archive;
use crate::harness::{Folder, Need, Server, requires};
use crate::space::Space;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a machine may take for a step before a test gives up on it. Where nothing helps QEMU, it computes each
/// instruction itself, and others compute beside it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Modules that every machine has, if its kernel does not hold them: the bus of virtual devices.
const ALWAYS: [&str; 1] = ["virtio_pci"];

/// A network card.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// QEMU's name of the device, with its settings.
    pub device: &'static str,
    /// The kernel's driver.
    pub driver: &'static str,
    /// Its queues of each direction.
    pub queues: usize,
}

/// Programs that run a machine, and that it holds, with the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
];

/// Tells whether a test can run machines with this kernel; if not, says so once.
pub fn has(test: &str, kernel: &str) -> bool {
    if !requires(test, &[Need::Spaces]) {
        return false;
    }
    let lacks = PROGRAMS.iter().find(|(program, _)| find(program).is_none());
    let missing = match lacks {
        Some((program, package)) => format!("the program `{program}` (of {package})"),
        None if !folder(kernel).join("vmlinuz").exists() => format!("the kernel {kernel} (`.ci/kernels` fetches it)"),
        None => return true,
    };
    let excused = std::env::var_os("HAIRPIN_NO_KERNELS").is_some();
    assert!(std::env::var("HAIRPIN_REQUIRE").as_deref() != Ok("all") || excused, "{test}: needs {missing}");
    // Past the capture of the test runner: what was not tested should be seen.
    _ = writeln!(std::io::stderr(), "skipped: {test}: needs {missing}");
    false
}

/// Where `.ci/kernels` has put a kernel.
fn folder(kernel: &str) -> PathBuf {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache"))).unwrap_or_default();
    from("HAIRPIN_KERNELS").unwrap_or_else(|| cache().join("hairpin/kernels")).join(kernel)
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    /// QEMU. What it writes is the console.
    qemu: Server,
    _folder: Folder,
    asked: AtomicU32,
}

impl Machine {
    /// Starts one with this kernel, with more words for it, and these cards, whose other ends are `tap0` and so on in
    /// this network. Returns when it listens to commands.
    pub fn start(space: &Space, kernel: &str, words: &str, cards: &[Card], modules: &[&str]) -> Self {
        let (folder, kernel) = (Folder::new(), folder(kernel));
        let archive = folder.path("archive");
        std::fs::write(&archive, furnish(&kernel, cards, modules)).unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command.args("-nodefaults -no-user-config -display none -no-reboot -machine q35 -m 512 -smp 2".split(' '));
        command.args(accelerator()).args(["-serial", "stdio", "-kernel"]).arg(kernel.join("vmlinuz"));
        command.arg("-initrd").arg(archive);
        command.args(["-append", &format!("console=ttyS0 quiet panic=-1 {words}")]);
        for (at, card) in cards.iter().enumerate() {
            let queues = if card.queues > 1 { format!(",queues={}", card.queues) } else { String::new() };
            command.args(["-netdev", &format!("tap,id=n{at},ifname=tap{at},script=no,downscript=no{queues}")]);
            command.args(["-device", &format!("{},netdev=n{at},mac={},romfile=", card.device, address(at))]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let qemu = Server::spawn_command(command, Some(space));
        let mut machine = Self { qemu, _folder: folder, asked: AtomicU32::new(0) };
        machine.wait_for(0, "machine: ready");
        machine
    }

    /// What it has written so far.
    pub fn console(&self) -> String {
        plain(&self.qemu.out.text())
    }

    /// Waits until a line that was written after so many bytes holds this; the line.
    pub fn wait_for(&mut self, after: usize, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let ended = self.qemu.child.try_wait().unwrap();
            let console = self.console();
            // The last line may not be whole yet.
            if let Some(line) = console[after..].lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let said = || format!("{console}\n{}", self.qemu.err.text());
            assert!(ended.is_none(), "the machine ended ({}) before `{part}`: {}", ended.unwrap(), said());
            assert!(Instant::now() < end, "never on the console: `{part}`, but: {}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command of its shell, which must succeed; what it writes.
    pub fn run(&mut self, command: &str) -> String {
        let before = self.console().len();
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut input = self.qemu.child.stdin.as_ref().unwrap();
        writeln!(input, "{command}\necho \"machine: done {number} $?.\"").unwrap();
        let line = self.wait_for(before, &format!("machine: done {number} "));
        let console = self.console();
        assert!(line.ends_with(" 0."), "{command}: {console}");
        let (said, _) = console[before..].split_once(&line).unwrap();
        said.trim().to_owned()
    }
}

/// What stands on the console, without colours and ends of lines that are no text.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, text)| text));
    (first + &rest.collect::<String>()).replace('\r', "")
}

/// The address of a card.
pub fn address(at: usize) -> String {
    format!("02:00:00:00:01:{at:02x}")
}

/// A file system with all that a machine needs. The cards are called `card0` and so on.
fn furnish(kernel: &Path, cards: &[Card], modules: &[&str]) -> Vec<u8> {
    let mut archive = Archive::default();
    ["proc", "sys", "dev", "tmp", "etc"].iter().for_each(|folder| archive.folder(folder));
    archive.program("hairpin", Path::new(env!("CARGO_BIN_EXE_hairpin")));
    for name in ["busybox", "ip", "setpriv"] {
        archive.program(name, &find(name).expect("found by `has`"));
    }
    let drivers = cards.iter().map(|card| card.driver);
    ALWAYS.into_iter().chain(drivers).chain(modules.iter().copied()).for_each(|name| archive.module(kernel, name));
    let insert: String = archive.modules().iter().map(|path| format!("busybox insmod /{path}\n")).collect();
    let names: String = (0..cards.len()).map(|at| format!("name {} card{at}\n", address(at))).collect();
    let script = format!(
        "#!/bin/busybox sh\nexport PATH=/bin:/applets\nbusybox mkdir /applets\n/bin/busybox --install -s /applets\n\
         mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n{insert}\
         name() {{ for at in /sys/class/net/*/; do at=${{at%/}};\n\
         [ \"$(cat $at/address)\" = $1 ] && /bin/ip link set ${{at##*/}} name $2; done; }}\n{names}\
         /bin/ip link set lo up\nstty -echo\necho machine: ready\nwhile IFS= read -r line; do echo \"$line\"; done | sh\n"
    );
    archive.file("init", script.as_bytes());
    archive.end()
}

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.exists())
}

/// The processor: this machine's, if that can be lent, else one that QEMU computes.
fn accelerator() -> &'static [&'static str] {
    static LENDS: OnceLock<bool> = OnceLock::new();
    if *LENDS.get_or_init(lends) {
        &["-accel", "kvm", "-cpu", "host"]
    } else {
        &["-accel", "tcg,thread=multi", "-cpu", "max"]
    }
}

/// Whether this machine lends its processor. There may be a device that says so and does not: a machine of one sector that
/// ends at once shows it.
fn lends() -> bool {
    const ENDS: [u8; 7] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]; // 16 to port 0xf4, where it ends; else it halts
    let mut sector = [0; 512];
    sector[..ENDS.len()].copy_from_slice(&ENDS);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let folder = Folder::new();
    let file = folder.path("sector");
    std::fs::write(&file, sector).unwrap();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args("-nodefaults -display none -accel kvm -cpu host -device isa-debug-exit,iobase=0xf4,iosize=4".split(' '));
    command.args(["-drive", &format!("format=raw,file={}", file.display())]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code() == Some(33); // twice 16, and one
        }
        if Instant::now() > end {
            _ = child.kill();
            _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
