//! How the server stands, for the log: which way packets took, and what became of the others.

use super::kernel::names;
use crate::dataplane::xdp::{Kernel, Left};
use crate::io::Commons;
use crate::turn::Reason;

/// Writes into the log what user space and the kernel path have done.
pub(super) fn tell(commons: &Commons) {
    tell_user_space(commons);
    match commons.kernel() {
        Some(kernel) => tell_kernel(kernel),
        None => tracing::info!("kernel path: off"),
    }
}

/// What the workers have counted.
fn tell_user_space(commons: &Commons) {
    let counters = commons.counters();
    let drops = Reason::ALL.iter().zip(counters.drops).map(|(reason, packets)| (reason.label(), packets));
    tracing::info!(
        successes = counters.successes,
        errors = counters.errors,
        bindings = counters.bindings,
        to_peer_packets = counters.to_peer_packets,
        to_peer_bytes = counters.to_peer_bytes,
        to_client_packets = counters.to_client_packets,
        to_client_bytes = counters.to_client_bytes,
        drops = list(drops),
        "user space: status"
    );
}

/// Writes into the log what the kernel path has done.
fn tell_kernel(kernel: &Kernel) {
    let status = kernel.status();
    let left = Left::ALL.iter().zip(status.left).map(|(why, packets)| (why.label(), packets));
    tracing::info!(
        mode = %kernel.mode(),
        interfaces = names(kernel.interfaces()),
        channels = status.channels,
        permissions = status.permissions,
        sessions = status.sessions,
        refused = status.refused,
        to_peer_packets = status.to_peer.packets,
        to_peer_bytes = status.to_peer.bytes,
        to_client_packets = status.to_client.packets,
        to_client_bytes = status.to_client.bytes,
        left = list(left),
        drops = list([(Reason::Bandwidth.label(), status.bandwidth)].into_iter()),
        "kernel path: status"
    );
}

/// Those that there were.
fn list(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let some = counts.filter(|(_, packets)| *packets > 0);
    some.map(|(name, packets)| format!("{name}={packets}")).collect::<Vec<_>>().join(" ")
}
