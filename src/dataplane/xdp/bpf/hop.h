// SPDX-License-Identifier: MIT OR GPL-2.0
//
// Where a packet goes next.

#pragma once

#include "find.h"

#define BEING_WRITTEN 1
#define HOLDS 32 // jiffies: a third of a second at most, where a second has a hundred
#define PERIOD 11 // of 2,048 jiffies: 2 to 20 seconds

// A number that tells ways apart.
INLINE __u32 owner(const struct way *way)
{
	__u32 number = way->session * 0x9e3779b1 + way->source_port + ((__u32)way->target_port << 16);
	for (int i = 0; i < 4; i++)
		number = (number ^ way->target[i]) * 0x9e3779b1 + way->source[i];
	return number;
}

// Asks the kernel's routing where a packet goes next.
INLINE int ask(void *ctx, const struct packet *packet, struct exit *exit, struct hop *hop)
{
	const struct way *way = &exit->way;
	struct bpf_fib_lookup *to = &exit->ask;
	__builtin_memset(to, 0, sizeof(*to));
	to->l4_protocol = IPPROTO_UDP;
	to->sport = way->source_port;
	to->dport = exit->target_port;
	to->tot_len = exit->length;
	to->ifindex = routing ? routing : packet->interface;
	if (way->is_ipv4) {
		to->family = AF_INET;
		to->tos = packet->traffic_class & 0xfc;
		to->ipv4_src = way->source[3];
		to->ipv4_dst = way->target[3];
	} else {
		to->family = AF_INET6;
		__builtin_memcpy(to->ipv6_src, way->source, 16);
		__builtin_memcpy(to->ipv6_dst, way->target, 16);
	}
	int result = fib_lookup(ctx, to, sizeof(*to), 0);
	hop->interface = to->ifindex;
	// The MTU, since Linux 5.12; before, the length of this packet: longer ones will ask again.
	hop->mtu = to->tot_len;
	hop->traffic_class = packet->traffic_class & 0xfc;
	hop->owner = owner(way);
	__builtin_memcpy(hop->target, to->dmac, ETH_ALEN);
	__builtin_memcpy(hop->source, to->smac, ETH_ALEN);
	return result;
}

// Remembers a next hop, unless another core does.
INLINE void remember(struct hop *known, const struct hop *hop, __u64 now)
{
	__u64 until = *(volatile __u64 *)&known->until;
	if (until == BEING_WRITTEN || __sync_val_compare_and_swap(&known->until, until, BEING_WRITTEN) != until)
		return;
	__builtin_memcpy(&known->interface, &hop->interface, sizeof(*hop) - sizeof(hop->until));
	__sync_lock_test_and_set(&known->until, now + HOLDS);
}

// Whether two moments are in different periods. Those of each route begin at a time of their own.
INLINE int is_another_period(__u64 one, __u64 other, __u32 shift)
{
	return (one + shift) >> PERIOD != (other + shift) >> PERIOD;
}

// Where a packet goes next, or why it is left. What the kernel said holds for a moment; then it is asked again, so that
// a way that ends, a neighbour that moves and an interface that goes down are noticed. Asking is not sending: a neighbour
// that only this program sends to is never asked whether it is still there.
INLINE int next_hop(void *ctx, const struct packet *packet, struct exit *exit, struct hop *hop)
{
	struct hop *known = exit->known;
	__u64 now = jiffies(), until = *(volatile __u64 *)&known->until;
	if (now < until && exit->length <= known->mtu && (packet->traffic_class & 0xfc) == known->traffic_class) {
		__builtin_memcpy(&hop->interface, &known->interface, sizeof(*hop) - sizeof(hop->until));
		if (*(volatile __u64 *)&known->until == until && hop->owner == owner(&exit->way))
			return 0;
	}
	int result = ask(ctx, packet, exit, hop);
	if (result)
		return result == BPF_FIB_LKUP_RET_FRAG_NEEDED ? TOO_BIG : NEXT_HOP;
	remember(known, hop, now);
	return until > BEING_WRITTEN && is_another_period(until - HOLDS, now, hop->owner) ? NEIGHBOUR : 0;
}
