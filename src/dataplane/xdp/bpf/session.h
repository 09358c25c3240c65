// SPDX-License-Identifier: MIT OR GPL-2.0
//
// What an allocation may send, and what it has sent.

#pragma once

#include "find.h"

// Takes time from what an allocation may send; 0 if there is not as much. A cell may come when those before it are
// due, or up to a second earlier: that is a bucket of tokens in one word, which several cores can share.
INLINE int admits(struct half *half, __u64 now, __u64 cost)
{
	for (int i = 0; i < 4; i++) {
		__u64 due = *(volatile __u64 *)&half->due;
		__u64 next = (due > now ? due : now) + cost;
		if (next > now + SECOND)
			return 0;
		if (__sync_val_compare_and_swap(&half->due, due, next) == due)
			return 1;
	}
	// Others were faster each time: then there are too many.
	return 0;
}

// Whether the allocations that the packet crosses may send as much.
INLINE int is_within_bandwidth(const struct exit *exit)
{
	if (!byte_time)
		return 1;
	__u64 now = nanoseconds(), cost = exit->body * byte_time >> 20;
	if (exit->sender && !admits(&exit->sender->to_peer, now, cost))
		return 0;
	return !exit->receiver || admits(&exit->receiver->to_client, now, cost);
}

INLINE void count(enum counter which, struct half *half, __u32 bytes)
{
	__u32 index = which;
	struct count *total = map_lookup(&counters, &index);
	if (!total)
		return;
	total->packets++;
	total->bytes += bytes;
	// Another core may carry packets of the same allocation.
	__sync_fetch_and_add(&half->count.packets, 1);
	__sync_fetch_and_add(&half->count.bytes, bytes);
}

INLINE void count_all(const struct exit *exit)
{
	if (exit->sender)
		count(TO_PEER, &exit->sender->to_peer, exit->body);
	if (exit->receiver)
		count(TO_CLIENT, &exit->receiver->to_client, exit->body);
}

// The identification of a packet: one more for each of an allocation, and far from those of its neighbours.
INLINE __u16 identification(const struct exit *exit)
{
	const struct session *session = exit->receiver ? exit->receiver : exit->sender;
	__u32 place = exit->way.is_inward ? exit->way.far : exit->way.session;
	if (!session)
		return 0;
	return place * 40503 + session->to_peer.count.packets + session->to_client.count.packets;
}
