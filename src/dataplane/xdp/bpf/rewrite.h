// SPDX-License-Identifier: MIT OR GPL-2.0
//
// New headers.

#pragma once

#include "find.h"

INLINE void write_ipv4(struct iphdr *ip, const struct packet *packet, const struct exit *exit)
{
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = packet->traffic_class;
	ip->tot_len = htons(exit->length);
	ip->id = exit->id;
	// Fragments are allowed (RFC 8656 §14): who asked otherwise asked by a Send indication.
	ip->frag_off = 0;
	ip->ttl = packet->hops - 1;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	ip->saddr = exit->way.source[3];
	ip->daddr = exit->way.target[3];
	ip->check = ~sum_ipv4(ip);
}

INLINE void write_ipv6(struct ipv6hdr *ip, const struct packet *packet, const struct exit *exit)
{
	ip->version = 6;
	ip->priority = packet->traffic_class >> 4;
	ip->flow_lbl[0] = packet->traffic_class << 4;
	ip->flow_lbl[1] = 0;
	ip->flow_lbl[2] = 0;
	ip->payload_len = htons(exit->length - sizeof(*ip));
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = packet->hops - 1;
	__builtin_memcpy(&ip->saddr, exit->way.source, 16);
	__builtin_memcpy(&ip->daddr, exit->way.target, 16);
}

INLINE void write_udp(struct udphdr *udp, const struct packet *packet, const struct exit *exit, __u32 length)
{
	udp->source = exit->way.source_port;
	udp->dest = exit->target_port;
	udp->len = htons(length);
	// A sum of 0xffff would read as no checksum: it is written as the other form of zero (RFC 768).
	__u16 check = ~fold(exit->sum);
	udp->check = !packet->has_checksum ? 0 : check ? check : 0xffff;
}

// The header of ChannelData.
INLINE void put_channel(struct exit *exit)
{
	exit->head[0] = exit->way.channel | (__u32)htons(exit->body) << 16;
	exit->sum += exit->head[0];
}

// A Data indication with a fresh transaction id, around what the peer sent (RFC 8656 §11.3).
INLINE void put_data(struct exit *exit, const struct packet *packet)
{
	struct indication *head = (void *)exit->head;
	const __be32 *peer = packet->flow.remote;
	int is_ipv4 = exit->after == HEAD_IPV4;
	head->type = DATA;
	head->length = htons(exit->after - 20 + exit->body + exit->padding);
	head->cookie = COOKIE;
	for (int i = 0; i < 3; i++)
		head->transaction[i] = random();
	head->peer_type = XOR_PEER_ADDRESS;
	head->peer_length = is_ipv4 ? htons(8) : htons(20);
	head->family = is_ipv4 ? htons(1) : htons(2);
	head->port = packet->flow.remote_port ^ (__be16)COOKIE;
	head->address[0] = (is_ipv4 ? peer[3] : peer[0]) ^ COOKIE;
	__u32 data = DATA_ATTRIBUTE | (__u32)htons(exit->body) << 16;
	if (is_ipv4) {
		head->address[1] = data;
	} else {
		for (int i = 1; i < 4; i++)
			head->address[i] = peer[i] ^ head->transaction[i - 1];
		exit->head[11] = data;
	}
	for (int i = 0; i < 12; i++)
		exit->sum += exit->head[i];
}

// What stands between UDP header and payload of what goes to a client.
INLINE void put_head(struct exit *exit, const struct packet *packet)
{
	if (!exit->receiver)
		return;
	__builtin_memset(exit->head, 0, sizeof(exit->head));
	if (exit->way.channel)
		put_channel(exit);
	else
		put_data(exit, packet);
}

// Writes what stands between UDP header and payload; 0 if it does not fit, which cannot be.
INLINE int write_head(__u32 *to, const struct exit *exit, void *end)
{
	if (exit->after >= CHANNEL) {
		if ((void *)(to + 1) > end)
			return 0;
		to[0] = exit->head[0];
	}
	if (exit->after >= HEAD_IPV4) {
		if ((void *)to + HEAD_IPV4 > end)
			return 0;
		for (int i = 1; i < HEAD_IPV4 / 4; i++)
			to[i] = exit->head[i];
	}
	if (exit->after >= HEAD_IPV6) {
		if ((void *)to + HEAD_IPV6 > end)
			return 0;
		for (int i = HEAD_IPV4 / 4; i < HEAD_IPV6 / 4; i++)
			to[i] = exit->head[i];
	}
	return 1;
}

// Zeroes what follows the payload: it may have been padding of the frame.
INLINE int write_padding(void *ctx, enum door door, const struct exit *exit, __u32 head)
{
	__u32 zero = 0, size = exit->padding;
	if (size == 0)
		return 1;
	size = few(size);
	__u32 to = head + exit->body;
	return !(door == DRIVER ? xdp_store(ctx, to, &zero, size) : skb_store(ctx, to, &zero, size, 0));
}

// Makes room for the new headers and for padding; 0 if there is none, and then nothing has changed.
INLINE int move(struct xdp_md *ctx, const struct packet *packet, const struct exit *exit, __u32 head)
{
	int ahead = (int)(packet->headers + exit->before) - (int)head;
	if (adjust_head(ctx, ahead))
		return 0;
	// What was padding in the frame or in the datagram would trail behind.
	int behind = (int)(head + exit->body + exit->padding) - ((int)packet->frame - ahead);
	if (behind && adjust_tail(ctx, behind)) {
		adjust_head(ctx, -ahead);
		return 0;
	}
	return 1;
}

// The same in the stack, which is to know the family that the packet has from now on. The room is made between Ethernet
// and IP, and lacks only where the kernel has no memory left.
INLINE int move_skb(struct __sk_buff *ctx, const struct packet *packet, const struct exit *exit, __u32 head)
{
	int more = (int)head - (int)(packet->headers + exit->before);
	__u32 size = packet->headers + exit->before + exit->body + exit->padding;
	if (size != packet->frame && change_tail(ctx, size, 0))
		return 0;
	if (exit->way.is_ipv4 == is_ipv6(packet)) {
		if (change_proto(ctx, exit->way.is_ipv4 ? htons(ETH_P_IP) : htons(ETH_P_IPV6), 0))
			return 0;
		more += exit->way.is_ipv4 ? 20 : -20;
	}
	return !more || !adjust_room(ctx, more, BPF_ADJ_ROOM_MAC, 0);
}

// Puts the new headers before the payload.
INLINE int rewrite(void *ctx, enum door door, const struct packet *packet, const struct exit *exit,
                   const struct hop *hop)
{
	__u32 ip_header = exit->way.is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 head = sizeof(struct ethhdr) + ip_header + sizeof(struct udphdr) + exit->after;
	if (!(door == DRIVER ? move(ctx, packet, exit, head) : move_skb(ctx, packet, exit, head)))
		return 0;
	void *data = begin(ctx, door), *end = end_of(ctx, door);
	struct ethhdr *eth = data;
	struct udphdr *udp;
	if (exit->way.is_ipv4) {
		struct iphdr *ip = (void *)(eth + 1);
		udp = PLACE(data, 34);
		if ((void *)(udp + 1) > end)
			return 0;
		write_ipv4(ip, packet, exit);
		eth->h_proto = htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip = (void *)(eth + 1);
		udp = PLACE(data, 54);
		if ((void *)(udp + 1) > end)
			return 0;
		write_ipv6(ip, packet, exit);
		eth->h_proto = htons(ETH_P_IPV6);
	}
	__builtin_memcpy(eth->h_dest, hop->target, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop->source, ETH_ALEN);
	write_udp(udp, packet, exit, exit->length - ip_header);
	return write_head((void *)(udp + 1), exit, end) && write_padding(ctx, door, exit, head);
}
