//! Kernels that do not take the program, and what might be thought to keep it away: a line says why, and media flows.

use crate::harness::name;
use crate::machine::has;
use crate::scene::{Scene, VIRTIO};
use hairpin::wire::address::Family;

#[test]
fn a_kernel_that_is_too_old_is_named_with_what_is_needed() {
    if !has(&name(), "5.10") {
        return;
    }
    let mut scene = Scene::new("5.10", "", &[VIRTIO], &[]);
    let why = "needs Linux 5.18 or later, and this is 5.10.0-";
    scene.serves("auto", &[0], &format!("INFO kernel path: off; packets are relayed in user space why=\"{why}"));
    scene.talk((0, 0), Family::V4).by_user_space();
    assert!(scene.counts().is("off", "", why));
    let said = format!("WARN kernel path: cannot be had; packets are relayed in user space why=\"{why}");
    scene.serves("native", &[0], &said);
    scene.talk((0, 0), Family::V6).by_user_space();
}

/// The kernel's own description of its types, and the right to see its memory: neither is needed. Its description of
/// itself is, for the number of cores.
#[test]
fn a_kernel_locked_down_or_without_its_types_takes_the_program() {
    if !has(&name(), "6.1") {
        return;
    }
    let mut scene = Scene::new("6.1", "lsm=lockdown lockdown=confidentiality", &[VIRTIO], &[]);
    let state =
        scene.machine.run("mount -t securityfs security /sys/kernel/security; cat /sys/kernel/security/lockdown");
    assert!(state.contains("[confidentiality]"), "{state}");
    scene
        .machine
        .run("ls /sys/kernel/btf/vmlinux && mount -t tmpfs none /sys/kernel/btf && ! ls /sys/kernel/btf/vmlinux");
    scene.serves("auto", &[0], "INFO kernel path: on mode=native interfaces=\"card0\"");
    scene.talk((0, 0), Family::V4).by_kernel();
    scene.machine.run("umount /sys/kernel/btf /sys/kernel/security /sys");
    let said = "INFO kernel path: off; packets are relayed in user space why=\"cannot count the cores: /sys/";
    scene.serves("auto", &[0], said);
    scene.talk((0, 0), Family::V4).by_user_space();
}
