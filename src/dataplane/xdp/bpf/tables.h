// SPDX-License-Identifier: MIT OR GPL-2.0
//
// What user space writes, and what is counted: the constants and tables that both share (`abi.rs`).

#pragma once

#include "kernel.h"

// Written before the program is loaded.

// Whose routing is asked: that of what this host itself sends (1, the loopback device), or of what it forwards (0).
const volatile __u32 routing = 0;
// Packets that leave by the interface they came by are redirected there, too.
const volatile __u32 redirects_back = 0;
// How long an allocation's bandwidth takes for a byte of payload in either direction, in nanoseconds with 20 bits behind
// the point; a second's worth may come at once. 0: it has no limit.
const volatile __u64 byte_time = 0;
// The ports of relays; clients come to others, as a rule.
const volatile __u16 first_relay_port = 49152;
const volatile __u16 last_relay_port = 65535;

// A 5-tuple as this host sees it, with the channel where ChannelData comes in. IPv4 addresses are mapped.
struct flow {
	__be32 local[4];
	__be32 remote[4];
	__be16 local_port;
	__be16 remote_port;
	__be16 channel;
	__u16 zero;
};

// A client's 5-tuple, and the peer that a Send indication of it names.
struct send {
	__be32 local[4];
	__be32 remote[4];
	__be32 peer[4];
	__be16 local_port;
	__be16 remote_port;
};

// Where a route leads next, as the kernel's routing said not long ago.
struct hop {
	__u64 until; // until when that holds, in jiffies; below: not known, or being written
	__u32 interface;
	__u16 mtu; // bytes of the longest packet
	__u8 traffic_class;
	__u8 zero;
	__u8 target[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__u32 owner; // whose it is: an entry may have become another's while it was being written
};

// What becomes of a packet.
struct way {
	__be32 source[4];
	__be32 target[4];
	__be16 source_port;
	__be16 target_port; // 0: the one that the Send indication names
	__be16 channel; // to a client: the channel of the payload, or 0 for a Data indication
	__u8 is_ipv4;   // the family of source and target
	__u8 is_inward; // the peer is a relay of this server: the target is its client, if it has a channel for it
	__u32 session;  // the allocation's place among the sessions
	__u32 far;      // that of the other, if the peer is a relay of this server
	__u32 change;   // what the checksum's sum gains by addresses and ports
};

// What user space writes, and what this program remembers beside it.
struct route {
	__u32 tag; // of the key it was written for
	struct way way;
	struct hop hop;
};

// Packets and bytes of payload.
struct count {
	__u64 packets;
	__u64 bytes;
};

// One direction of an allocation.
struct half {
	struct count count;
	__u64 due; // when all that was sent is within the rate, in nanoseconds
};

// What of an allocation went this way.
struct session {
	struct half to_peer;
	struct half to_client;
};

// Packets of routes: those carried, and those left to user space by why.
enum counter {
	TO_PEER,
	TO_CLIENT,
	LAYOUT,    // padding that is no padding, a length that does not fit, a packet longer than any that is carried
	CHECKSUM,  // none where IPv6 needs one, or one that is still to be completed
	HOPS,      // the last hop was this one
	NEXT_HOP,  // no way leads there, or the neighbour is not known yet
	TOO_BIG,   // the next link carries no packet as long as this
	INTERFACE, // the way leads out where this program is not
	HEAD_ROOM, // the driver leaves no room before the packet
	INWARD,    // the relay of this server that is the target has no such route
	NEIGHBOUR, // one now and then goes by user space, whose sending makes the kernel see whether the neighbour is there
	JOINED,    // the kernel has made one of several
	BANDWIDTH, // dropped: more than the allocation may send
	HAS_ROOM,  // before packets of the moment when that is tried
	LACKS_ROOM,
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 196608);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct send);
	__type(value, struct route);
} sends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct session);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, struct count);
} counters SEC(".maps");

// Interfaces with this program: packets may leave by them.
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} interfaces SEC(".maps");
