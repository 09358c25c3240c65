// SPDX-License-Identifier: MIT OR GPL-2.0
//
// Packets as they come.

#pragma once

#include "tables.h"

// A packet that came, without its frame.
struct packet {
	struct flow flow;
	__u32 interface; // that it came by
	__u32 frame;    // bytes of the frame
	__u32 headers;  // bytes of the headers of Ethernet, IP and UDP
	__u32 datagram; // bytes of UDP header and payload
	__u32 sum;      // of the datagram, as its checksum says
	__u8 hops;
	__u8 traffic_class;
	__u8 has_checksum;
	__u8 is_joined; // several in one
	__u8 target[ETH_ALEN]; // the station that the frame is for
};

// Folds a sum of 16-bit words into one (RFC 1071).
INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

INLINE __u16 sum_ipv4(const struct iphdr *ip)
{
	const __u32 *words = (void *)ip;
	__u64 sum = 0;
	for (int i = 0; i < 5; i++)
		sum += words[i];
	return fold(sum);
}

INLINE void map_ipv4(__be32 *to, __be32 address)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = htonl(0xffff);
	to[3] = address;
}

INLINE int is_mapped(const __be32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == htonl(0xffff);
}

INLINE void copy_ipv6(__be32 *to, const struct in6_addr *address)
{
	__builtin_memcpy(to, address, sizeof(*address));
}

INLINE int read_udp(struct packet *packet, const struct udphdr *udp)
{
	packet->datagram = htons(udp->len);
	packet->has_checksum = udp->check != 0;
	packet->sum = (__u16)~udp->check;
	packet->flow.local_port = udp->dest;
	packet->flow.remote_port = udp->source;
	packet->flow.channel = 0;
	packet->flow.zero = 0;
	return packet->datagram >= sizeof(*udp);
}

// An IPv4 header of 20 bytes whose checksum fits, and no fragment; 0 if not.
INLINE int read_ipv4(struct packet *packet, void *data, void *end)
{
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = PLACE(data, 34);
	if ((void *)(udp + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return 0;
	if (ip->frag_off & htons(FRAGMENT))
		return 0;
	__u32 length = htons(ip->tot_len);
	if (sum_ipv4(ip) != 0xffff || length < sizeof(*ip) + htons(udp->len))
		return 0;
	packet->headers = sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*udp);
	packet->hops = ip->ttl;
	packet->traffic_class = ip->tos;
	map_ipv4(packet->flow.local, ip->daddr);
	map_ipv4(packet->flow.remote, ip->saddr);
	return sizeof(struct ethhdr) + length <= packet->frame && read_udp(packet, udp);
}

// An IPv6 header with UDP right behind it; 0 if not.
INLINE int read_ipv6(struct packet *packet, void *data, void *end)
{
	struct ipv6hdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = PLACE(data, 54);
	if ((void *)(udp + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return 0;
	__u32 length = htons(ip->payload_len);
	if (length < htons(udp->len))
		return 0;
	packet->headers = sizeof(struct ethhdr) + sizeof(*ip) + sizeof(*udp);
	packet->hops = ip->hop_limit;
	packet->traffic_class = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	copy_ipv6(packet->flow.local, &ip->daddr);
	copy_ipv6(packet->flow.remote, &ip->saddr);
	// On no wire: here they would pass for IPv4.
	if (is_mapped(packet->flow.local) || is_mapped(packet->flow.remote))
		return 0;
	return sizeof(struct ethhdr) + sizeof(*ip) + length <= packet->frame && read_udp(packet, udp);
}

// Reads a packet; 0 if it cannot be one of a route.
INLINE int parse(struct packet *packet, void *data, void *end)
{
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end || eth->h_dest[0] & 1)
		return 0;
	__builtin_memcpy(packet->target, eth->h_dest, ETH_ALEN);
	if (eth->h_proto == htons(ETH_P_IP))
		return read_ipv4(packet, data, end);
	return eth->h_proto == htons(ETH_P_IPV6) && read_ipv6(packet, data, end);
}

// Whether a packet came by IPv6.
INLINE int is_ipv6(const struct packet *packet)
{
	return packet->headers == sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + sizeof(struct udphdr);
}

// Whether a packet comes to a port of relays, and so from a peer.
INLINE int is_from_peer(const struct packet *packet)
{
	__u16 port = htons(packet->flow.local_port);
	return first_relay_port <= port && port <= last_relay_port;
}

// Whether a packet's checksum is still to be completed: the sum of addresses, protocol and length alone, for hardware to
// finish that a packet within a host never meets. So are those that are still to be cut into several. One in 65,536 looks
// so by chance, which costs it no more than the way through user space.
INLINE int is_unfinished(const struct packet *packet)
{
	__u64 sum = (__u64)htons(IPPROTO_UDP) + htons(packet->datagram);
	const __u32 *words = packet->flow.local;
	// Both addresses. What a mapped one has before it counts as zero in such a sum.
	for (int i = 0; i < 8; i++)
		sum += words[i];
	return fold(sum) == (__u16)~packet->sum;
}
