//! What an allocation may send, and how many there may be: the same by either path.

use super::media::{Bystander, Media, Way};
use super::scene::{HOST, PORT, RIGHT, Scene};
use crate::control::json_at;
use crate::harness::*;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Bytes of payload in a second that an allocation may send either way.
const RATE: u32 = 20_000;
/// Bytes of a datagram that is one of too many, and of one that is not.
const SIZES: [usize; 2] = [164, 24];

/// A second's worth at once and as much in each second: of what is sent, no more and not much less comes.
fn is_kept_to(media: &mut Media, way: Way) {
    let (begun, come) = media.times(way);
    let seconds = |count: usize| (count * SIZES[0]) as f64 / f64::from(RATE);
    for (number, at) in come.iter().enumerate() {
        // Within a second a limit acts.
        let since = (*at - begun).as_secs_f64();
        assert!(seconds(number) <= since + 2.0, "{way:?}: number {number} after {since} s");
    }
    let since = (*come.last().unwrap() - begun).as_secs_f64();
    assert!(seconds(come.len()) >= since / 2.0, "{way:?}: only {} in {since} s", come.len());
    let at_once = (begun, begun + Duration::from_millis(200));
    assert_eq!(media.lost(way, at_once), 0, "{way:?}: a second's worth is not yet sent");
    assert!(media.lost(way, (begun, Instant::now())) > 100, "{way:?}");
}

/// Whoever sends too much loses what is too much, by the same name; whoever does not loses nothing.
#[test]
fn bandwidth_is_kept_to_by_either_path() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    for mode in ["native", "generic", "tc", "off"] {
        let (path, other) = if mode == "off" { ("user_space", "kernel") } else { ("kernel", "user_space") };
        let (scene, folder) = (Scene::new(), Folder::new());
        let control = folder.path("control");
        let setup = Scene::setup(mode)
            .set("limits.bandwidth", &RATE.to_string())
            .set("admin.socket", &quoted(control.to_str().unwrap()));
        let server = setup.start_on(PORT, &scene.host, &[]);
        let start = |user, size| {
            let peer = scene.right.run(|| peer_at(RIGHT[0]));
            Media::with_sizes(scene.client(&server, HOST[0]).named(user), peer, [size; 2])
        };
        let beside = (path == "kernel").then(|| Bystander::start(start(BOB, SIZES[1]), BOB.0, &control));
        let mut media = start(ALICE, SIZES[0]);
        let drops = |status: &Value, path: &str| status["drops"][path]["bandwidth"].as_u64().unwrap_or(0);
        let status = eventually("much is dropped", || {
            media.flows(Way::Down);
            Some(json_at(&control, &["status"])).filter(|status| drops(status, path) > 500)
        });
        assert_eq!(drops(&status, other), 0, "{status:#}");
        [Way::Up, Way::Down].into_iter().for_each(|way| is_kept_to(&mut media, way));
        beside.into_iter().for_each(Bystander::was_not_disturbed);
    }
}

/// While the kernel carries a user's only allocation there is no other; when it has gone there is.
#[test]
fn a_quota_is_kept_to_and_freed() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let server = Scene::setup("native").set("limits.user-allocations", "1").start_on(PORT, &scene.host, &[]);
    let media = || Media::start(scene.client(&server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])));
    let mut first = media();
    first.flows_by_kernel(&server);
    assert_eq!(scene.client(&server, HOST[0]).try_allocate(), Err(486));
    first.flows_by_kernel(&server);
    assert_eq!(first.client.refresh(0), None);
    let mut second = media();
    second.flows_by_kernel(&server);
    first.is_silent(Way::Up);
    first.is_silent(Way::Down);
    second.lost_nothing();
}
