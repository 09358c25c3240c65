//! The drivers of network cards, and what a kernel makes of cards.

use crate::harness::name;
use crate::machine::{Card, has};
use crate::scene::{Scene, VIRTIO};
use hairpin::wire::address::Family;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// As many queues as a driver would like to have for two cores.
const MANY_QUEUES: Card = Card { device: "virtio-net-pci,mq=on,vectors=10", driver: "virtio_net", queues: 4 };
/// Whatever comes has a whole checksum, as from a network of copper. A machine on the same host leaves it to hardware
/// that never comes, and such packets are user space's.
const WHOLE: Card = Card { device: "virtio-net-pci,guest_csum=off", driver: "virtio_net", queues: 1 };
const E1000: Card = Card { device: "e1000", driver: "e1000", queues: 1 };
const E1000E: Card = Card { device: "e1000e", driver: "e1000e", queues: 1 };
const VMXNET3: Card = Card { device: "vmxnet3", driver: "vmxnet3", queues: 1 };
const RTL8139: Card = Card { device: "rtl8139", driver: "8139cp", queues: 1 };

/// Linux says of each driver whether it sends what came in elsewhere.
#[test]
fn linux_6_12_relays_in_the_drivers_and_across() {
    if !has(&name(), "6.12") {
        return;
    }
    let mut scene = Scene::new("6.12", "", &[VIRTIO, MANY_QUEUES, VMXNET3], &[]);
    scene.serves(
        "auto",
        &[0, 1, 2],
        "INFO kernel path: on mode=native interfaces=\"card0 card1 card2\" why=\"every driver has it",
    );
    for family in FAMILIES {
        for way in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 0), (0, 2), (2, 1)] {
            scene.talk(way, family).by_kernel();
        }
    }
    scene.bench_by_kernel(0);
    assert!(scene.counts().is("native", "card1", "every driver has it"));
    // Neighbours are known by now, and what they send shows that there is room before packets.
    let cards = "interfaces=\"card0 card1 card2\" why=\"as configured\"";
    scene.serves("native", &[0, 1, 2], &format!("INFO kernel path: on mode=native {cards}"));
}

/// Linux says nothing yet of what drivers send: what would leave elsewhere is left to user space.
#[test]
fn linux_6_1_relays_in_the_driver() {
    if !has(&name(), "6.1") {
        return;
    }
    let mut scene = Scene::new("6.1", "", &[VIRTIO, VIRTIO], &[]);
    scene.serves(
        "auto",
        &[0, 1],
        "INFO kernel path: on mode=native interfaces=\"card0 card1\" why=\"every driver has it",
    );
    for family in FAMILIES {
        scene.talk((0, 0), family).by_kernel();
        scene.talk((1, 1), family).by_kernel();
    }
    scene.talk((0, 1), Family::V4).to_peer_by_user_space();
    let said = "INFO kernel path: off; packets are relayed in user space why=\"this kernel takes the program only with CAP_PERFMON";
    scene.serves_without("CAP_PERFMON", "auto", &[0, 1], said);
    scene.talk((0, 0), Family::V4).by_user_space();
}

/// A driver without a native mode is said to be one, and does not matter where the mode is free.
#[test]
fn what_a_driver_lacks_the_kernel_does_behind_it() {
    if !has(&name(), "6.1") {
        return;
    }
    let cards = [E1000, E1000E, VMXNET3, RTL8139, WHOLE];
    let mut scene = Scene::new("6.1", "", &cards, &[]);
    for card in 0..4 {
        let lacks = format!(
            "card{card}: its driver has no native mode, or not with LRO or rx-gro-hw; card{card}: tc mode needs Linux 6.6 (tcx)"
        );
        let said = format!("INFO kernel path: on mode=generic interfaces=\"card{card}\" why=\"{lacks}\"");
        scene.serves("auto", &[card], &said);
        scene.talk((card, card), Family::V4).by_kernel();
        assert!(scene.counts().is("generic", &format!("card{card}"), &lacks));
    }
    // One of several: all are taken as that one can be.
    scene.serves(
        "auto",
        &[0, 4],
        "INFO kernel path: on mode=generic interfaces=\"card0 card4\" why=\"card0: its driver has no native mode, or not with LRO or rx-gro-hw; ",
    );
    for family in FAMILIES {
        for way in [(4, 4), (0, 4), (4, 0)] {
            scene.talk(way, family).by_kernel();
        }
    }
    let lacks = "card0: its driver has no native mode, or not with LRO or rx-gro-hw";
    scene.serves(
        "native",
        &[0],
        &format!("WARN kernel path: cannot be had; packets are relayed in user space why=\"{lacks}\""),
    );
    scene.talk((0, 0), Family::V4).by_user_space();
    assert!(scene.counts().is("off", "", lacks));
}

/// In the stack, or behind the driver: whatever carries Ethernet can have them.
#[test]
fn a_bridge_and_a_bond_are_not_taken_in_a_driver() {
    if !has(&name(), "6.12") {
        return;
    }
    let mut scene = Scene::new("6.12", "", &[WHOLE, WHOLE], &["bridge", "bonding"]);
    scene.machine.run(
        "/bin/ip link add bridge0 type bridge && /bin/ip link set card0 master bridge0 && \
         { [ -e /sys/class/net/bond0 ] || /bin/ip link add bond0 type bond; } && \
         /bin/ip link set card1 down && /bin/ip link set card1 master bond0",
    );
    let (bridge, bond) = (2, 3);
    for (cable, tap, interface) in [(bridge, "tap0", "bridge0"), (bond, "tap1", "bond0")] {
        scene.dress(cable, tap);
        scene.address(cable, interface);
        for (mode, found, why) in
            [("auto", "tc", format!("{interface} is virtual")), ("generic", "generic", "as configured".to_owned())]
        {
            scene.serves(mode, &[cable], &format!("on mode={found} interfaces=\"{interface}\" why=\"{why}"));
            FAMILIES.iter().for_each(|family| scene.talk((cable, cable), *family).by_kernel());
        }
    }
}
