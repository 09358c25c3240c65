//! The parts of the load generator that need no server: search, pace, arithmetic, URLs.
#![allow(missing_docs, clippy::unwrap_used)]

use hairpin::client::target::{Target, Transport};
use hairpin::io::dtls::SERVED;
use hairpin::load::meter::{loss, percentiles};
use hairpin::load::options::{Direction, Sizes};
use hairpin::load::pace::Pace;
use hairpin::load::search::{Trial, generator_limited, highest};
use hdrhistogram::Histogram;
use std::convert::Infallible;

/// What a server that relays `limit` packets in a second makes of a rate, and a generator that sends `most`.
fn synthetic(rate: f64, limit: f64, most: f64) -> Trial {
    let sent = rate.min(most);
    let loss = (sent - sent.min(limit)) * 100.0 / sent;
    Trial { offered: rate, sent, loss, busy: sent * 100.0 / most }
}

/// Searches, and returns what was found and everything that was tried.
fn search(start: f64, limit: f64, most: f64) -> (f64, Vec<Trial>) {
    let mut trials = Vec::new();
    let found = highest(start, 0.1, |rate| {
        trials.push(synthetic(rate, limit, most));
        Ok::<_, Infallible>(*trials.last().unwrap())
    });
    (found.unwrap(), trials)
}

#[test]
fn the_search_comes_within_three_percent_of_any_limit() {
    for limit in [150.0, 999.0, 10_000.0, 12_345.0, 640_000.0, 5_000_000.0] {
        let (found, trials) = search(10_000.0, limit, f64::MAX);
        assert!(found <= limit * 1.002 && found >= limit / 1.04, "{found} of {limit}");
        assert!(trials.len() < 40, "{} steps for {limit}", trials.len());
    }
}

#[test]
fn a_server_that_loses_everything_has_no_rate() {
    assert_eq!(search(10_000.0, 0.0, f64::MAX).0, 0.0);
}

#[test]
fn a_mishap_does_not_end_a_search() {
    let (mut count, limit) = (0, 100_000.0);
    let found = highest(10_000.0, 0.1, |rate| {
        count += 1;
        // Every third step something else had the processor.
        Ok::<_, Infallible>(synthetic(rate, if count % 3 == 0 { rate * 0.7 } else { limit }, f64::MAX))
    });
    assert!(found.unwrap() > limit / 1.04);
}

#[test]
fn an_error_ends_a_search() {
    assert_eq!(highest(10_000.0, 0.1, |_| Err::<Trial, _>("gone")), Err("gone"));
}

#[test]
fn a_slow_generator_is_told_from_a_slow_server() {
    let limited = |limit, most| {
        let (found, trials) = search(10_000.0, limit, most);
        generator_limited(&synthetic(found, limit, most), &trials, 0.1, false)
    };
    assert!(limited(f64::MAX, 300_000.0), "nothing is lost, but no more is sent");
    assert!(!limited(200_000.0, 900_000.0), "what was sent was lost");
}

#[test]
fn a_busy_thread_without_loss_is_a_limit_at_a_fixed_rate_too() {
    let trial = |busy, loss| Trial { offered: 1000.0, sent: 1000.0, loss, busy };
    let limited = |busy, loss| generator_limited(&trial(busy, loss), &[trial(busy, loss)], 0.1, false);
    assert!(limited(96.0, 0.0));
    assert!(!limited(94.0, 0.0));
    assert!(!limited(96.0, 1.0), "the server lost something, so it was the limit");
    let slow = Trial { offered: 1000.0, sent: 900.0, loss: 0.0, busy: 50.0 };
    assert!(generator_limited(&slow, &[slow], 0.1, false));
}

#[test]
fn a_busy_thread_proves_nothing_about_the_server_of_a_stream_even_if_much_is_lost() {
    let trial = |offered, busy, loss| Trial { offered, sent: offered, loss, busy };
    let limited = |result, trials: &[Trial]| generator_limited(&result, trials, 0.1, true);
    assert!(limited(trial(1000.0, 96.0, 40.0), &[]), "it reads too slowly");
    assert!(!limited(trial(1000.0, 94.0, 40.0), &[]), "it had time, so the server had none");
    let result = trial(1000.0, 60.0, 0.0);
    assert!(limited(result, &[result, trial(2000.0, 99.0, 9.0)]));
    assert!(!limited(result, &[result, trial(2000.0, 99.0, 9.0), trial(1500.0, 70.0, 2.0)]));
}

#[test]
fn packets_are_due_at_their_rate_and_never_more_than_20_ms_of_them() {
    let second = 1_000_000_000;
    let mut pace = Pace::new(second, 1000.0, 1);
    assert_eq!(pace.due(second), 1, "the first one at once");
    pace.settle(1);
    assert_eq!((pace.due(second), pace.rest(second)), (0, Some(1_000_000)));
    assert_eq!(pace.due(second + 1_000_000), 1);
    pace.settle(1);
    assert_eq!(pace.due(second + 11_000_000), 10);
    assert_eq!(pace.due(3 * second), 20, "what was missed in two seconds is not made up for");
}

#[test]
fn a_lane_without_a_rate_never_has_a_packet_due() {
    let mut pace = Pace::new(0, 0.0, 8);
    assert_eq!((pace.due(1 << 40), pace.rest(1 << 40)), (0, None));
}

#[test]
fn loss_is_a_share_of_what_was_sent() {
    assert_eq!(loss(0, 0), 0.0);
    assert_eq!(loss(1000, 999), 0.1);
    assert_eq!(loss(1000, 0), 100.0);
    assert_eq!(loss(1000, 1001), 0.0, "a duplicate is no negative loss");
}

#[test]
fn percentiles_are_microseconds() {
    let mut all = Histogram::<u64>::new_with_max(1_000_000_000, 3).unwrap();
    assert_eq!(percentiles(&all), None);
    (1..=1000).for_each(|value| all.record(value * 1000).unwrap());
    let expected = [500.0, 900.0, 990.0, 999.0];
    for (found, expected) in percentiles(&all).unwrap().into_iter().zip(expected) {
        assert!((found / expected - 1.0_f64).abs() < 0.002, "{found} {expected}");
    }
}

#[test]
fn urls_name_servers() {
    let read =
        |text: &str| text.parse::<Target>().map(|t| (t.host.clone(), t.port, t.transport, t.stun, t.to_string()));
    let expected =
        |host: &str, port, transport, stun, text: &str| Ok((host.to_owned(), port, transport, stun, text.to_owned()));
    assert_eq!(read("turn:a.b"), expected("a.b", 3478, Transport::Udp, false, "turn:a.b:3478"));
    assert_eq!(read("turn:[::1]:99"), expected("::1", 99, Transport::Udp, false, "turn:[::1]:99"));
    let tcp = "turn:192.0.2.1:3478?transport=tcp";
    assert_eq!(read("turn:192.0.2.1?transport=tcp"), expected("192.0.2.1", 3478, Transport::Tcp, false, tcp));
    assert_eq!(read("turns:a.b"), expected("a.b", 5349, Transport::Tls, false, "turns:a.b:5349"));
    assert_eq!(read("stun:a.b"), expected("a.b", 3478, Transport::Udp, true, "stun:a.b:3478"));
    for wrong in
        ["", "a.b", "http://a.b", "turn:", "turn:a:b", "turn:a:0", "turn:::1", "turn:[::1", "turn:a?x", "turn://a"]
    {
        assert!(read(wrong).unwrap_err().contains("write turn:HOST"), "{wrong}");
    }
    match read("turns:a?transport=udp") {
        Ok(read) => assert!(SERVED && read.2 == Transport::Dtls && read.4 == "turns:a:5349?transport=udp"),
        Err(why) => assert!(!SERVED && why.contains("build with --features dtls"), "{why}"),
    }
}

#[test]
fn sizes_and_directions_add_up() {
    assert_eq!(Sizes::Fixed(200).mean(), 200.0);
    let call = Sizes::Call.list();
    assert!(call.iter().all(|size| (16..=1400).contains(size)) && call.len() > 10);
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let (up, down) = direction.shares();
        assert_eq!(up + down, 1.0);
    }
}
