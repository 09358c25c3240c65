// SPDX-License-Identifier: MIT OR GPL-2.0
//
// Which route a packet is of.

#pragma once

#include "packet.h"

// A STUN header, and the attributes of an indication: with the address of a peer of either family, 36 or 48 bytes.
struct indication {
	__be16 type;
	__be16 length;
	__be32 cookie;
	__be32 transaction[3];
	__be16 peer_type;
	__be16 peer_length;
	__be16 family;
	__be16 port;
	__be32 address[4]; // of IPv4 one word, and the two below follow it
	__be16 data_type;
	__be16 data_length;
};

#define HEAD_IPV4 36
#define HEAD_IPV6 48

// A packet that is to leave.
struct exit {
	struct way way;          // where it goes: a copy, as an entry may become another's at any moment
	__u32 tag;               // of the key that it was found by
	struct hop *known;       // the next hop as it was remembered for it
	struct session *sender;   // it comes from a client, and this is its allocation
	struct session *receiver; // it goes to a client, and this is its allocation
	__be16 target_port;      // the port that it goes to
	__u16 id;                // the identification of an IPv4 packet
	__u32 before;            // bytes between UDP header and payload when it came
	__u32 body;              // bytes of payload
	__u32 after;             // bytes between UDP header and payload when it leaves
	__u32 padding;           // bytes behind the payload when it leaves
	__u32 length;            // bytes of IP header, UDP header and payload that leave
	__u64 sum;               // of the datagram that leaves
	union {                  // one after the other, as the stack of a program is small
		struct send send;          // what a Send indication is looked up by
		struct bpf_fib_lookup ask; // what the kernel's routing is asked
		__u32 head[12];            // what stands between UDP header and payload when it leaves
	};
};

// A number that tells keys apart.
INLINE __u32 tag(const void *key, int size)
{
	const __u32 *words = key;
	__u32 number = 0;
	for (int i = 0; i < size / 4; i++)
		number ^= words[i];
	return number;
}

// Takes the way that a packet goes from now on; 0 if the entry has become another's since it was found. The kernel gives
// entries to others at once: what is copied meanwhile is of another key, all but certainly with another tag.
INLINE int take(struct exit *exit, struct route *route)
{
	__builtin_memcpy(&exit->way, &route->way, sizeof(exit->way));
	exit->known = &route->hop;
	asm volatile("" : : : "memory");
	return *(volatile __u32 *)&route->tag == exit->tag;
}

// Looks a flow up.
INLINE struct route *look_up(const struct packet *packet, struct exit *exit)
{
	exit->tag = tag(&packet->flow, sizeof(packet->flow));
	return map_lookup(&routes, &packet->flow);
}

// ChannelData: what is to become of it.
INLINE struct route *from_channel(struct packet *packet, struct exit *exit, const __be16 *header)
{
	packet->flow.channel = header[0];
	exit->body = htons(header[1]);
	exit->before = CHANNEL;
	exit->sum = (__u16)~header[0] + (__u16)~header[1];
	return look_up(packet, exit);
}

// A Send indication of the usual layout: what is to become of it.
INLINE struct route *from_send(struct packet *packet, struct exit *exit, const struct indication *head, void *end)
{
	int is_ipv4 = head->peer_length == htons(8) && head->family == htons(1);
	int is_ipv6 = head->peer_length == htons(20) && head->family == htons(2);
	if (head->cookie != COOKIE || head->peer_type != XOR_PEER_ADDRESS || !(is_ipv4 || is_ipv6))
		return 0;
	struct send *send = &exit->send;
	__builtin_memcpy(send->local, packet->flow.local, 32);
	send->local_port = packet->flow.local_port;
	send->remote_port = packet->flow.remote_port;
	const __be16 *data;
	if (is_ipv4) {
		map_ipv4(send->peer, head->address[0] ^ COOKIE);
		data = PLACE((void *)head, 32);
		exit->before = HEAD_IPV4;
		exit->sum = csum_diff(head, HEAD_IPV4, 0, 0, 0);
	} else {
		if ((void *)(head + 1) > end)
			return 0;
		send->peer[0] = head->address[0] ^ COOKIE;
		for (int i = 1; i < 4; i++)
			send->peer[i] = head->address[i] ^ head->transaction[i - 1];
		data = PLACE((void *)head, 44);
		exit->before = HEAD_IPV6;
		exit->sum = csum_diff(head, HEAD_IPV6, 0, 0, 0);
	}
	exit->body = htons(data[1]);
	exit->target_port = head->port ^ (__be16)COOKIE;
	exit->sum += exit->target_port;
	__u32 padded = (exit->body + 3) & ~3;
	if (data[0] != DATA_ATTRIBUTE || htons(head->length) != exit->before - 20 + padded || !exit->target_port)
		return 0;
	if (packet->datagram != sizeof(struct udphdr) + exit->before + padded)
		return 0;
	exit->tag = tag(send, sizeof(*send));
	return map_lookup(&sends, send);
}

// What a client sent.
INLINE struct route *from_client(struct packet *packet, struct exit *exit, void *data, void *end)
{
	__be16 *head = is_ipv6(packet) ? PLACE(data, 62) : PLACE(data, 42);
	if ((void *)(head + 2) > end || packet->datagram < sizeof(struct udphdr) + CHANNEL)
		return 0;
	if (head[0] != SEND)
		return from_channel(packet, exit, head);
	if ((void *)head + HEAD_IPV4 > end)
		return 0;
	return from_send(packet, exit, (void *)head, end);
}

// What a peer sent: by its channel, or by the permission that every port of it has.
INLINE struct route *from_peer(struct packet *packet, struct exit *exit)
{
	exit->body = packet->datagram - sizeof(struct udphdr);
	exit->before = 0;
	exit->sum = 0;
	struct route *route = look_up(packet, exit);
	if (route)
		return route;
	__be16 port = packet->flow.remote_port;
	packet->flow.remote_port = 0;
	route = look_up(packet, exit);
	packet->flow.remote_port = port;
	exit->sum = (__u16)~port;
	return route;
}

// Whether what follows the payload is padding: at most three bytes, and zero.
INLINE int is_padding(void *ctx, enum door door, const struct packet *packet, const struct exit *exit)
{
	__u32 announced = sizeof(struct udphdr) + exit->before + exit->body;
	__u32 padding = packet->datagram - announced;
	__u32 bytes = 0;
	if (announced > packet->datagram || padding > 3)
		return 0;
	if (padding == 0)
		return 1;
	padding = few(padding);
	__u32 from = packet->headers + exit->before + exit->body;
	long failed = door == DRIVER ? xdp_load(ctx, from, &bytes, padding) : skb_load(ctx, from, &bytes, padding);
	return !failed && bytes == 0;
}

// Where the peer's datagram or the client's message leads; 0: nowhere.
INLINE int find(struct packet *packet, struct exit *exit, void *data, void *end)
{
	struct route *route = is_from_peer(packet) ? from_peer(packet, exit) : 0;
	if (route) {
		if (!take(exit, route))
			return 0;
		exit->receiver = map_lookup(&sessions, &exit->way.session);
		exit->target_port = exit->way.target_port;
		return exit->receiver != 0;
	}
	// It comes from a client, then, or a listener stands among the ports of relays.
	route = from_client(packet, exit, data, end);
	if (!route || !take(exit, route))
		return 0;
	exit->sender = map_lookup(&sessions, &exit->way.session);
	if (exit->way.is_inward)
		exit->receiver = map_lookup(&sessions, &exit->way.far);
	if (exit->way.target_port)
		exit->target_port = exit->way.target_port;
	return exit->sender != 0;
}
