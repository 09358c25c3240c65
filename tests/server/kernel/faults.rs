//! Where the kernel path cannot be had: a line says why, and user space serves.

use super::scene::{Counts, HOST, LEFT, PORT, RIGHT, Scene};
use crate::harness::*;
use std::net::IpAddr;

/// The rights that the service manager grants for it.
const RIGHTS: &str = include_str!("../../../systemd/hairpin-xdp.conf");

/// A client and its peer reach each other.
fn serves(scene: &Scene, server: &Server) {
    let (mut client, peer) = (scene.client(server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])));
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"there");
    assert_eq!(receive(&peer), (b"there".to_vec(), relayed));
    peer.send_to(b"back", relayed).unwrap();
    assert_eq!(client.data().0, b"back");
}

/// A server with this configuration, run by another program, says this and serves.
fn says_and_serves(setup: &Setup, by: &[&str], text: &str) {
    let scene = Scene::new();
    let server = setup.start_on(PORT, &scene.host, by);
    server.err.wait_for("kernel path: ");
    let said = server.err.text();
    let line = said.lines().find(|line| line.contains("kernel path: ")).unwrap();
    assert!(line.contains(text), "{line}");
    assert_eq!(said.matches("kernel path: ").count(), 1, "it is said once: {said}");
    serves(&scene, &server);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    if requires(&name(), Scene::NEEDS) {
        let setup = Scene::setup("native").set("kernel-interfaces", "[\"left0\", \"nosuch0\"]");
        says_and_serves(
            &setup,
            &[],
            "cannot be had; packets are relayed in user space why=\"kernel-interfaces: this host has no interface nosuch0 (`ip link` lists them)\"",
        );
    }
}

/// A tunnel of IP has no stations: the program would look for headers that are not there.
#[test]
fn an_interface_without_ethernet_is_named() {
    if requires(&name(), Scene::NEEDS) {
        let scene = Scene::new();
        scene.host.ip("tuntap add dev tunnel0 mode tun");
        for mode in ["native", "generic", "tc"] {
            let setup = Scene::setup(mode).set("kernel-interfaces", "[\"left0\", \"tunnel0\"]");
            let server = setup.start_on(PORT, &scene.host, &[]);
            server.err.wait_for(
                "cannot be had; packets are relayed in user space why=\"tunnel0: its packets have no Ethernet",
            );
            serves(&scene, &server);
        }
    }
}

#[test]
fn without_the_right_it_says_which() {
    if requires(&name(), Scene::NEEDS) {
        let by = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
        says_and_serves(
            &Scene::setup("auto"),
            &by,
            "cannot be had; packets are relayed in user space why=\"needs CAP_BPF and CAP_NET_ADMIN",
        );
    }
}

/// A container has capabilities that count for nothing beyond it.
#[test]
fn in_a_container_the_kernel_refuses() {
    if requires(&name(), Scene::NEEDS) {
        let text = "packets are relayed in user space why=\"the kernel lets nobody load programs, or not from here (a container";
        let script = "sysctl -qw net.ipv4.conf.lo.forwarding=1 net.ipv6.conf.lo.forwarding=1; exec unshare -Ur \"$@\"";
        says_and_serves(&Scene::setup("auto"), &["sh", "-c", script, "sh"], text);
    }
}

/// The drop-in of the service grants enough, and nothing that is not needed.
#[test]
fn the_rights_of_the_service_suffice() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let granted = RIGHTS.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    let names: Vec<String> = granted.split(' ').map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect();
    let set = |names: &[String]| names.iter().fold("--bounding-set=-all".to_owned(), |set, name| set + ",+" + name);
    let with = |names: &[String], mode: &str, text: &str| {
        says_and_serves(&Scene::setup(mode), &["setpriv", &set(names), "--inh-caps=-all"], text);
    };
    for mode in ["native", "generic", "tc"] {
        with(&names, mode, &format!("on mode={mode}"));
    }
    for left_out in 0..names.len() {
        let mut fewer = names.clone();
        // This one some kernels want, and for others it is the faster way.
        let wanted = fewer.remove(left_out) != "perfmon";
        with(&fewer, "native", if wanted { "cannot be had" } else { "CAP_PERFMON" });
    }
}

#[test]
fn the_program_of_somebody_else_stays() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let first = scene.start("native");
    let second = Scene::setup("native").start_on(PORT + 10, &scene.host, &[]);
    second.err.wait_for("kernel path: cannot be had; packets are relayed in user space why=\"left0: another program is attached already");
    serves(&scene, &second);
    serves(&scene, &first);
    assert!(scene.program("left0").is_some() && scene.program("right0").is_some());
    // In the stack there is room for both.
    let third = Scene::setup("auto").start_on(PORT + 20, &scene.host, &[]);
    third.err.wait_for("kernel path: on mode=tc");
    serves(&scene, &third);
    serves(&scene, &first);
    assert!(Counts::of(&third).to_peer > 0, "{:?}", Counts::of(&third));
    // Whoever comes later is told who stands before.
    let by = ["setpriv", "--bounding-set=-all,+bpf,+net_admin,+perfmon", "--inh-caps=-all"];
    let fourth = Scene::setup("tc").start_on(PORT + 30, &scene.host, &by);
    let before = "why=\"as configured; left0: another tcx program sees each packet before";
    fourth.err.wait_for(&format!("kernel path: on mode=tc interfaces=\"left0 right0\" {before}"));
    serves(&scene, &fourth);
    assert!(Counts::of(&fourth).to_peer > 0, "{:?}", Counts::of(&fourth));
}

/// What an operator has said of a neighbour stays said, though a packet of it would show whether there is room.
#[test]
fn neighbours_that_are_written_down_stay_written_down() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    for (number, state) in [(77, "permanent"), (78, "stale"), (79, "reachable")] {
        scene.host.ip(&format!("neigh replace 192.0.2.{number} lladdr 02:00:00:00:00:{number} dev left0 nud {state}"));
    }
    let server = scene.start("native");
    server.err.wait_for("kernel path: on mode=native");
    let known = scene.host.tool("ip", "neigh show dev left0");
    let permanent = known.lines().find(|line| line.starts_with("192.0.2.77 "));
    assert!(permanent.is_some_and(|line| line.contains("02:00:00:00:00:77 PERMANENT")), "{known}");
}

#[test]
fn loopback_has_none() {
    if requires(&name(), Scene::NEEDS) {
        let scene = Scene::new();
        let setup = Setup::at(IpAddr::from([127, 0, 0, 1])).set("kernel-path", "\"auto\"");
        let server = setup.start_on(PORT, &scene.host, &[]);
        server.err.wait_for("kernel path: off; packets are relayed in user space why=\"no interface carries");
    }
}

/// Nobody asked for a mode: the one that loses nothing.
#[test]
fn a_virtual_interface_has_the_mode_of_the_stack_unless_told_otherwise() {
    if requires(&name(), Scene::NEEDS) {
        let setup = Scene::setup("auto").set("kernel-interfaces", "[]");
        says_and_serves(&setup, &[], "on mode=tc interfaces=\"left0\" why=\"left0 is virtual");
    }
}

/// A listener on every address names no interface that is not hardware; a relay address names its own. What comes in
/// elsewhere, or leaves there, is user space's.
#[test]
fn a_listener_on_every_address_takes_no_virtual_interface() {
    if requires(&name(), Scene::NEEDS) {
        let setup = Scene::setup("native")
            .set("listen.addresses", "[\"0.0.0.0\"]")
            .set("relay.addresses", "[\"198.51.100.1\"]")
            .set("kernel-interfaces", "[]");
        says_and_serves(&setup, &[], "on mode=native interfaces=\"right0\"");
    }
}

/// The other end has no program: it is enough that it polls.
#[test]
fn a_cable_whose_end_polls_without_a_program_carries() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let mut scene = Scene::new();
    scene.stop_polling();
    scene.routers.iter().for_each(|router| _ = router.tool("ethtool", "-K near gro on"));
    let server = scene.start("native");
    server.err.wait_for("kernel path: on mode=native");
    for (space, at) in [(&scene.left, LEFT[0]), (&scene.right, RIGHT[0])] {
        let (mut client, peer) = (scene.client(&server, HOST[0]), space.run(|| peer_at(at)));
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        for _ in 0..20 {
            client.send_channel(0x4000, b"there");
            assert_eq!(receive(&peer), (b"there".to_vec(), relayed));
            peer.send_to(b"back", relayed).unwrap();
            assert_eq!(client.data().0, b"back");
        }
    }
    let counts = Counts::of(&server);
    assert!(counts.to_peer >= 38 && counts.to_client >= 38, "{counts:?}");
}

/// The other end of a cable that does not poll loses what a native program sends.
#[test]
fn a_cable_that_loses_is_noticed() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let mut scene = Scene::new();
    scene.stop_polling();
    let server = scene.start("native");
    server.err.wait_for("left0: its other end would not take what a native program sends");
    serves(&scene, &server);
}
