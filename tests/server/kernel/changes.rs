//! What ends, changes or breaks while media flows.

use super::media::{Bystander, Media, Way};
use super::scene::{Counts, HOST, LEFT, NEXT_HOP, PORT, RIGHT, Scene};
use crate::client::Heard;
use crate::control::{command_at, json_at};
use crate::harness::*;
use crate::metrics::number;
use crate::space::is_loaded;
use hairpin::wire::{Method, attribute};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// How long permissions or channels last in these tests.
const LIFETIME: Duration = Duration::from_secs(4);
/// What ends is carried for no longer than this.
const LATE: Duration = Duration::from_secs(1);

/// The modes that `auto` takes where it can, as values.
const MODES: [&str; 2] = ["\"native\"", "\"tc\""];

/// A server in the driver with this more, and media through it from the left to the right.
fn begin(scene: &Scene, more: &[(&str, &str)]) -> (Server, Media) {
    let setup = more.iter().fold(Scene::setup("native"), |setup, (key, value)| setup.set(key, value));
    let server = setup.start_on(PORT, &scene.host, &[]);
    let media = media(scene, &server);
    (server, media)
}

/// The same server with a control socket, and media of bob, between him and a peer to the left.
fn serve_beside(scene: &Scene, more: &[(&str, &str)]) -> (Server, Bystander, Folder) {
    let folder = Folder::new();
    let path = folder.path("control");
    let setup = Scene::setup("native").set("admin.socket", &quoted(path.to_str().unwrap()));
    let setup = more.iter().fold(setup, |setup, (key, value)| setup.set(key, value));
    let server = setup.start_on(PORT, &scene.host, &[]);
    let bob = scene.client(&server, HOST[0]).named(BOB);
    let beside = Media::start(bob, scene.left.run(|| peer_at(LEFT[0])));
    (server, Bystander::start(beside, BOB.0, &path), folder)
}

/// The same, and media of alice from the left to the right.
fn begin_beside(scene: &Scene, more: &[(&str, &str)]) -> (Server, Media, Bystander, Folder) {
    let (server, beside, folder) = serve_beside(scene, more);
    let media = media(scene, &server).of(ALICE.0, &folder.path("control"));
    (server, media, beside, folder)
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
    for mode in MODES {
        let scene = Scene::new();
        let (server, mut media, beside, _folder) =
            begin_beside(&scene, &[("limits.permission-lifetime", "4"), ("kernel-path", mode)]);
        let begun = Instant::now();
        for _ in 0..2 {
            let made = during(|| media.permit());
            media.flows_by_kernel(&server);
            ends_in_time(media.ends(Way::Down), made);
            assert_eq!(media.lost(Way::Down, (made.1, made.0 + LIFETIME - LATE / 2)), 0);
            // The channel stands longer (RFC 8656 §12.2), but what comes back has to be looked at.
            media.flows_by(&server, Way::Up, false);
            media.is_silent(Way::Down);
            assert_eq!(media.indications, 0);
        }
        assert_eq!(media.lost(Way::Up, (begun, Instant::now() - LATE)), 0);
        beside.was_not_disturbed();
    }
}

/// Send and Data indications, which need nothing else.
#[test]
fn a_permission_without_a_channel_ends_in_time_and_comes_back() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, beside, folder) = serve_beside(&scene, &[("limits.permission-lifetime", "4")]);
    let (client, peer) = (scene.client(&server, HOST[1]), scene.right.run(|| peer_at(RIGHT[1])));
    let mut media = Media::by_indications(client, peer).of(ALICE.0, &folder.path("control"));
    for _ in 0..2 {
        let made = during(|| media.permit());
        media.flows_by_kernel(&server);
        for way in [Way::Up, Way::Down] {
            ends_in_time(media.ends(way), made);
            assert_eq!(media.lost(way, (made.1, made.0 + LIFETIME - LATE / 2)), 0);
        }
    }
    beside.was_not_disturbed();
}

/// Binding again in time makes a channel last; binding again too late, or by another number, makes it come back.
#[test]
fn a_channel_that_is_bound_again_goes_on_and_ends_in_time() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media, beside, _folder) = begin_beside(&scene, &[("limits.channel-lifetime", "4")]);
    let begun = Instant::now();
    for number in [0x4000, 0x4000, 0x4001] {
        let (first, _) = during(|| media.bind(number));
        media.flows_by_kernel(&server);
        let made = during(|| media.bind(number));
        media.flows_by_kernel(&server);
        let known = media.indications;
        ends_in_time(media.ends(Way::Up), made);
        assert_eq!(media.lost(Way::Up, (first + LATE, made.0 + LIFETIME - LATE / 2)), 0);
        // The permission stands longer.
        media.flows_by(&server, Way::Down, true);
        assert!(media.indications > known);
    }
    assert_eq!(media.lost(Way::Down, (begun, Instant::now() - LATE)), 0);
    beside.was_not_disturbed();
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
    let (server, mut media, beside, _folder) = begin_beside(&scene, &[]);
    media.flows_by_kernel(&server);
    assert_eq!(Counts::of(&server).channels, 2);
    let (before, after) = during(|| assert_eq!(media.client.refresh(0), None));
    for way in [Way::Up, Way::Down] {
        assert!(media.ends(way) < after + LATE);
        assert_eq!(media.lost(way, (before - LATE, before - LATE / 4)), 0);
    }
    assert_eq!(Counts::of(&server).channels, 1);
    beside.was_not_disturbed();
}

/// An operator sees which way media takes, and ends it in time; whoever else talks goes on.
#[test]
fn who_is_kicked_is_carried_no_more() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (server, mut media, beside, folder) = begin_beside(&scene, &[]);
    let path = folder.path("control");
    media.flows_by_kernel(&server);
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
    let (before, after) = during(|| assert_eq!(json_at(&path, &["kick", "--user", ALICE.0])["ended"], 1));
    for way in [Way::Up, Way::Down] {
        assert!(media.ends(way) < after + LATE);
        assert_eq!(media.lost(way, (before - LATE, before)), 0);
    }
    assert_eq!(Counts::of(&server).channels, 1);
    beside.was_not_disturbed();
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

/// The program ends with the process, however that ends, and the next process has its own. Who has no part in it, another
/// server on the same host, goes on.
#[test]
fn a_server_that_is_killed_leaves_nothing_behind() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let other = Scene::setup("off").start_on(PORT + 10, &scene.host, &[]);
    let mut beside = media(&scene, &other);
    for mode in ["native", "generic", "tc"] {
        let mut server = scene.start(mode);
        let mut media = media(&scene, &server);
        media.flows_by_kernel(&server);
        let program = scene.program("left0").expect("there is a program");
        assert!(scene.program("right0").is_some() && is_loaded(program));
        server.child.kill().unwrap();
        let killed = Instant::now();
        server.wait();
        for way in [Way::Up, Way::Down] {
            assert!(media.ends(way) < killed + LATE);
        }
        eventually("the program is gone", || {
            let is_gone = scene.program("left0").is_none() && scene.program("right0").is_none() && !is_loaded(program);
            is_gone.then_some(())
        });
        media.is_silent(Way::Up);
        media.is_silent(Way::Down);
        server = scene.start(mode);
        // Allocations are gone with the process: what the client sends now is nobody's.
        media.is_silent(Way::Up);
        media = self::media(&scene, &server);
        media.flows_by_kernel(&server);
        beside.flows_both_ways();
    }
    // A driver may lose what is in its rings when its program comes and goes.
    for way in [Way::Up, Way::Down] {
        assert!(beside.longest_pause(way) < LATE);
    }
}

/// Media that does not need the interface goes on meanwhile.
#[test]
fn interfaces_that_go_and_come_are_served_again() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    for mode in MODES {
        let scene = Scene::new();
        let (server, mut media, beside, _folder) = begin_beside(&scene, &[("kernel-path", mode)]);
        let mut beside = Some(beside);
        for name in ["right0", "left0"] {
            media.flows_by_kernel(&server);
            let (_, down) = during(|| scene.take_down(name));
            for way in [Way::Up, Way::Down] {
                assert!(media.ends(way) < down);
                media.is_silent(way);
            }
            let (_, up) = during(|| scene.bring_up(name));
            for way in [Way::Up, Way::Down] {
                let first = media.resumes(way, down);
                assert!(first < up + LATE, "too late by {:?}", first - up - LATE);
            }
            beside.take().into_iter().for_each(Bystander::was_not_disturbed);
        }
        media.flows_by_kernel(&server);
    }
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
            assert_eq!(client.hear_data(), Heard::Channel(0x4000, body));
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

/// Long datagrams to the client, short ones to the peer, of this family.
fn long_media(scene: &Scene, server: &Server, family: usize) -> Media {
    let peer = scene.right.run(|| peer_at(RIGHT[family]));
    let mut media = Media::with_sizes(scene.client(server, HOST[family]), peer, [164, 1400]);
    media.flows_by_kernel(server);
    media
}

/// Waits until all of what peers send goes by one of the paths.
fn comes_down(media: &mut [Media], server: &Server, by_kernel: bool) {
    eventually("the kernel path knows how wide the way is", || {
        let before = Counts::of(server);
        media.iter_mut().for_each(|media| media.flows(Way::Down));
        let gained = Counts::of(server).since(&before);
        ((gained.to_client > 0) == by_kernel && (gained.left("too_big") == 0) == by_kernel).then_some(())
    });
}

/// Media of both families goes on: nothing short is lost, and of what is long no more than a moment's.
#[test]
fn media_goes_on_when_its_way_becomes_narrow_and_wide_again() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    for mode in MODES {
        let scene = Scene::new();
        let server = scene.start(mode.trim_matches('"'));
        let mut media = [0, 1].map(|family| long_media(&scene, &server, family));
        let begun = Instant::now();
        for (mtu, fits) in [(1280, false), (1500, true)] {
            scene.narrow("left0", mtu);
            comes_down(&mut media, &server, fits);
        }
        for media in &mut media {
            let pause = media.longest_pause(Way::Down);
            assert!(pause < LATE, "{pause:?}");
            assert_eq!(media.lost(Way::Up, (begun, Instant::now() - LATE)), 0);
        }
    }
}

/// A router that knows of a narrow way says so: to IPv4 it need not, since DF is clear.
#[test]
fn media_goes_on_when_its_way_becomes_narrow_beyond_a_router() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let server = scene.start("native");
    for (family, fits) in [(0, true), (1, false)] {
        let mut media = [long_media(&scene, &server, family)];
        let begun = Instant::now();
        scene.routers[0].ip("link set far mtu 1280");
        scene.left.ip("link set left1 mtu 1280");
        comes_down(&mut media, &server, fits);
        let pause = media[0].longest_pause(Way::Down);
        assert!(pause < LATE, "{pause:?}");
        assert_eq!(media[0].lost(Way::Up, (begun, Instant::now() - LATE)), 0);
        scene.left.ip("link set left1 mtu 1500");
        scene.routers[0].ip("link set far mtu 1500");
    }
}
