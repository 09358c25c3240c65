//! What ends, changes or breaks while media flows.

use super::media::{Media, Way};
use super::scene::{Counts, HOST, NEXT_HOP, PORT, RIGHT, Scene};
use crate::client::Heard;
use crate::control::{command_at, json_at};
use crate::harness::*;
use crate::metrics::number;
use hairpin::wire::{Method, attribute};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// How long permissions or channels last in these tests.
const LIFETIME: Duration = Duration::from_secs(3);
/// What ends is carried for no longer than this.
const LATE: Duration = Duration::from_secs(1);

/// A server in the driver with this more, and media through it from the left to the right.
fn begin(scene: &Scene, more: &[(&str, &str)]) -> (Server, Media) {
    let setup = more.iter().fold(Scene::setup("native"), |setup, (key, value)| setup.set(key, value));
    let server = setup.start_on(PORT, &scene.host, &[]);
    let media = media(scene, &server);
    (server, media)
}

/// Media from the left to the right.
fn media(scene: &Scene, server: &Server) -> Media {
    Media::start(scene.client(server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])))
}

/// What something that was made between two moments may still have carried.
fn ends_in_time(last: Instant, (before, after): (Instant, Instant)) {
    assert!(last + LATE / 2 > before + LIFETIME, "too early by {:?}", before + LIFETIME - last);
    assert!(last < after + LIFETIME + LATE, "too late by {:?}", last - after - LIFETIME);
}

/// When something happens, at most and at least.
fn during(work: impl FnOnce()) -> (Instant, Instant) {
    let before = Instant::now();
    work();
    (before, Instant::now())
}

#[test]
fn a_permission_ends_in_time_and_comes_back() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[("limits.permission-lifetime", "3")]);
    for _ in 0..2 {
        let made = during(|| media.permit());
        media.flows_by_kernel(&server);
        ends_in_time(media.ends(Way::Down), made);
        // The channel stands longer (RFC 8656 §12.2), but what comes back has to be looked at.
        media.flows_by(&server, Way::Up, false);
        media.is_silent(Way::Down);
        assert_eq!(media.indications, 0);
    }
}

#[test]
fn a_channel_ends_in_time_and_comes_back_by_either_number() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[("limits.channel-lifetime", "3")]);
    for number in [0x4000, 0x4000, 0x4001] {
        let made = during(|| media.bind(number));
        media.flows_by_kernel(&server);
        let known = media.indications;
        ends_in_time(media.ends(Way::Up), made);
        // The permission stands longer.
        media.flows_by(&server, Way::Down, true);
        assert!(media.indications > known);
    }
}

/// MICE-010: what the kernel knows of an allocation moves with it, to another 5-tuple and perhaps to another worker.
#[test]
fn a_client_that_roams_is_carried_where_it_is() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let setup = Scene::setup("native").set("protocol.mobility", "true").set("workers", "2");
    let server = setup.start_on(PORT, &scene.host, &[]);
    let peer = scene.right.run(|| peer_at(RIGHT[0]));
    let mut client = scene.client(&server, HOST[0]);
    let answer = client.allocate_with(|w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    let relayed = answer.xor(attribute::XOR_RELAYED_ADDRESS);
    let mut ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    client.bind(0x4000, peer.local_addr().unwrap());
    for _ in 0..4 {
        let mut next = scene.client(&server, HOST[0]);
        let answer = next.request(Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket));
        ticket = answer.get(attribute::MOBILITY_TICKET).expect("the next ticket");
        let mut both_ways = || {
            next.send_channel(0x4000, b"up");
            assert_eq!(receive(&peer), (b"up".to_vec(), relayed));
            peer.send_to(b"down", relayed).unwrap();
            assert_eq!(next.data().0, b"down");
        };
        // The first of them moves the allocation, and neighbours are asked for.
        eventually("the kernel to carry it", || {
            let before = Counts::of(&server);
            (0..20).for_each(|_| both_ways());
            let carried = Counts::of(&server).since(&before);
            (carried.to_peer >= 19 && carried.to_client >= 19).then_some(())
        });
        client = next;
    }
    assert_eq!(Counts::of(&server).channels, 1);
    assert_eq!(client.refresh(0), None);
}

#[test]
fn an_allocation_that_is_given_back_carries_nothing_more() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[]);
    media.flows_by_kernel(&server);
    assert_eq!(Counts::of(&server).channels, 1);
    let (_, after) = during(|| assert_eq!(media.client.refresh(0), None));
    for way in [Way::Up, Way::Down] {
        assert!(media.ends(way) < after + LATE);
    }
    assert_eq!(Counts::of(&server).channels, 0);
}

/// An operator sees which way media takes, and ends it in time; whoever else talks goes on.
#[test]
fn who_is_kicked_is_carried_no_more() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let (scene, folder) = (Scene::new(), Folder::new());
    let path = folder.path("control");
    let (server, mut media) = begin(&scene, &[("admin.socket", &quoted(path.to_str().unwrap()))]);
    let bob = scene.client(&server, HOST[0]).named(BOB);
    let mut other = Media::start(bob, scene.right.run(|| peer_at(RIGHT[0])));
    media.flows_by_kernel(&server);
    other.flows_by_kernel(&server);
    let status = json_at(&path, &["status"]);
    assert_eq!((&status["kernel"]["mode"], &status["kernel"]["why"]), (&"native".into(), &"as configured".into()));
    assert_eq!((&status["kernel"]["channels"], &status["kernel"]["sessions"]), (&2.into(), &2.into()));
    let metrics = command_at(&path, &["metrics"]);
    for name in ["left0", "right0"] {
        let sample = format!("hairpin_kernel_path_info{{mode=\"native\",interface=\"{name}\",why=\"as configured\"}}");
        assert_eq!(number(&metrics, &sample), 1);
    }
    assert!(number(&metrics, "hairpin_relayed_packets_total{direction=\"to_peer\",path=\"kernel\"}") >= 200);
    let sessions = json_at(&path, &["sessions"]);
    for session in sessions["sessions"].as_array().unwrap() {
        assert_eq!(session["path"], "kernel");
        for way in ["to_peer", "to_client"] {
            let packets = |path: &str| session[path][way]["packets"].as_u64().unwrap();
            assert!(packets("kernel") >= 100 && packets("user_space") < 100, "{session}");
            assert_eq!(session["kernel"][way]["bytes"], packets("kernel") * 164, "{session}");
        }
    }
    let (_, after) = during(|| assert_eq!(json_at(&path, &["kick", "--user", ALICE.0])["ended"], 1));
    for way in [Way::Up, Way::Down] {
        assert!(media.ends(way) < after + LATE);
    }
    assert_eq!(Counts::of(&server).channels, 1);
    other.flows_by_kernel(&server);
}

/// The kernel asks a neighbour whether it is still there when it sends something to it itself.
#[test]
fn a_neighbour_whom_only_the_program_sends_to_is_asked_whether_it_is_there() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[]);
    media.flows_by_kernel(&server);
    scene.host.tool("sysctl", "-q -w net.ipv4.neigh.right0.delay_first_probe_time=1");
    let neighbour = format!("{NEXT_HOP} dev right0");
    scene.host.ip(&format!("neigh change {neighbour} nud stale"));
    eventually("the neighbour is asked, and answers", || {
        scene.host.tool("ip", &format!("neigh show {neighbour}")).contains("REACHABLE").then_some(())
    });
    media.flows_by_kernel(&server);
    assert!(Counts::of(&server).left("neighbour") > 0);
}

#[test]
fn a_reload_loses_nothing() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[]);
    for round in 1..=3 {
        media.flows_by_kernel(&server);
        server.signal("HUP");
        eventually("the server reloads", || (server.err.text().matches("reload: ").count() == round).then_some(()));
    }
    media.flows_by_kernel(&server);
    media.lost_nothing();
}

/// The program ends with the process, however that ends, and the next process has its own.
#[test]
fn a_server_that_is_killed_leaves_nothing_behind() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (mut server, mut media) = begin(&scene, &[]);
    for _ in 0..2 {
        media.flows_by_kernel(&server);
        assert!(scene.has_program("left0") && scene.has_program("right0"));
        server.child.kill().unwrap();
        server.wait();
        eventually("the program is gone", || {
            (!scene.has_program("left0") && !scene.has_program("right0")).then_some(())
        });
        media.is_silent(Way::Up);
        media.is_silent(Way::Down);
        server = scene.start("native");
        // Allocations are gone with the process: what the client sends now is nobody's.
        media.is_silent(Way::Up);
        media = self::media(&scene, &server);
    }
    media.flows_by_kernel(&server);
}

#[test]
fn interfaces_that_go_and_come_are_served_again() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media) = begin(&scene, &[]);
    for name in ["left0", "right0"] {
        media.flows_by_kernel(&server);
        scene.take_down(name);
        media.is_silent(Way::Up);
        media.is_silent(Way::Down);
        scene.bring_up(name);
    }
    media.flows_by_kernel(&server);
}

/// What does not fit the way to the client any more goes by user space, in fragments.
#[test]
fn a_way_that_becomes_narrow_is_served() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let server = scene.start("native");
    let (mut client, peer) = (scene.client(&server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])));
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    // A next hop is remembered for a moment.
    let narrow = |peer: &UdpSocket, is: bool| {
        eventually("the kernel path knows how narrow the way is", || {
            let before = Counts::of(&server);
            peer.send_to(&[7; 1249], relayed).unwrap();
            let seen = Counts::of(&server).since(&before).left("too_big") > 0;
            (seen == is).then_some(())
        });
    };
    let mut come_down = |size: usize, peer: &UdpSocket| {
        // What was sent meanwhile is nobody's business.
        while client.hear_within(Duration::from_millis(20)).is_some() {}
        let before = Counts::of(&server);
        for number in 0..100 {
            let body = vec![number; size];
            peer.send_to(&body, relayed).unwrap();
            assert_eq!(client.hear(), Heard::Channel(0x4000, body));
        }
        let gained = Counts::of(&server).since(&before);
        (gained.to_client + gained.left("neighbour"), gained.left("too_big"))
    };
    come_down(1, &peer);
    assert_eq!(come_down(1400, &peer), (100, 0));
    scene.narrow("left0", 1280);
    // Headers of 20, 8 and 4 bytes come before the payload.
    narrow(&peer, true);
    assert_eq!(come_down(1248, &peer), (100, 0));
    assert_eq!(come_down(1249, &peer), (0, 100));
    assert_eq!(come_down(1400, &peer), (0, 100));
    scene.narrow("left0", 1500);
    narrow(&peer, false);
    assert_eq!(come_down(1400, &peer), (100, 0));
}
