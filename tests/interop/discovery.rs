//! coturn's client of NAT behaviour discovery (RFC 5780), before and behind a firewall.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::harness::Need::{Spaces, Tool};
use super::harness::{PASSWORD, USER, answers_binding, program};
use super::process::{Folder, Process, until};
use super::space::Space;

/// How long anything may take: the client waits for answers that never come.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);

/// What the client says of the network between it and a server with two addresses, as coturn's options name them.
fn says(flag: &str, is_firewalled: bool) -> String {
    let (host, far, folder) = (Space::new(), Space::new(), Folder::new());
    host.cable("wire0", &far, "wire1");
    for address in ["192.0.2.1/24", "192.0.2.3/24"] {
        host.address_on("wire0", address);
    }
    far.address_on("wire1", "192.0.2.2/24");
    let text = "listening-ip=192.0.2.1\nlistening-ip=192.0.2.3\nrealm=example.org\nrfc5780\nalt-listening-port=3500\n";
    let config = folder.write("turnserver.conf", &format!("{text}user={USER}:{PASSWORD}\n"));
    let log = folder.join("server.log");
    let _server = host.run(|| Process::start(Command::new(program()).arg("-c").arg(config), &log));
    until("the server answers", PATIENCE, || far.run(|| answers_binding(SERVER)).then_some(()));
    if is_firewalled {
        let rules = "table ip f { chain i {\ntype filter hook input priority 0; policy drop;\nct state established accept\n}\n}\n";
        let file = folder.write("rules", rules);
        far.tool("nft", &format!("-f {}", file.display()));
    }
    let words = match flag {
        "nat" => vec!["nat", "192.0.2.1", "--timeout", "1s"],
        _ => vec![flag, "-L", "192.0.2.2", "192.0.2.1"],
    };
    let client = if flag == "nat" { env!("CARGO_BIN_EXE_hairpin") } else { "turnutils_natdiscovery" };
    let mut client = far.run(|| Process::start(Command::new(client).args(words), &folder.join("client.log")));
    client.wait(PATIENCE);
    client.output()
}

/// The other address and the other port answer: NBD-001, NBD-004.
#[test]
fn natdiscovery_finds_no_nat_where_there_is_none() {
    requires!(Tool("turnutils_natdiscovery"), Spaces);
    let said = says("-m", false);
    assert!(said.contains("Other addr: : 192.0.2.3:3500"), "{said}");
    assert!(said.contains("NAT with Endpoint Independent Mapping!"), "{said}");
    let said = says("-f", false);
    assert!(said.contains("NAT with Endpoint Independent Filtering!"), "{said}");
    let said = says("-fP", false);
    assert!(said.contains("NAT with Endpoint Independent Filtering!"), "{said}");
}

/// What comes from elsewhere is not let in, so it must have come from elsewhere.
#[test]
fn natdiscovery_finds_a_firewall() {
    requires!(Tool("turnutils_natdiscovery"), Tool("nft"), Spaces);
    let said = says("-f", true);
    assert!(said.contains("NAT with Address and Port Dependent Filtering!"), "{said}");
}

/// What `hairpin nat` says without a NAT, and behind a firewall: NBD-001, NBD-003, NBD-004.
#[test]
fn nat_tells_a_firewall_from_none() {
    requires!(Tool("nft"), Spaces);
    let said = says("nat", false);
    assert!(said.contains("no NAT") && said.contains("mapping      endpoint-independent"), "{said}");
    assert!(said.contains("filtering    endpoint-independent") && said.contains("hairpinning  yes"), "{said}");
    let said = says("nat", true);
    assert!(said.contains("mapping      endpoint-independent"), "{said}");
    assert!(said.contains("filtering    address- and port-dependent"), "{said}");
}
