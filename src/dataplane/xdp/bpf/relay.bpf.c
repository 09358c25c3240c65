// SPDX-License-Identifier: MIT OR GPL-2.0
//
// The relay of established channels and permissions, in the driver or where the kernel's stack begins.
//
// User space decides which of them stand and writes two entries for each: one finds what the client sends, the other
// what the peer sends. A packet of theirs gets new headers and leaves at once. Whatever else comes,
// or cannot be carried for any reason, goes on to user space as if this program were not there, with the packet
// untouched. What is more than an allocation may send is dropped, as there, and in the stack what the
// kernel has no memory left for; nothing else is.
//
//     parse ─▶ find ─▶ measure ─▶ next hop ─▶ admit ─▶ rewrite ─▶ count
//     packet.h find.h            hop.h       session.h rewrite.h  session.h
//
// Between client and server a payload comes in ChannelData, or in a Send or Data indication of the usual layout: the
// peer's address, then the data, and nothing else.

#include "hop.h"
#include "rewrite.h"
#include "session.h"

// What becomes of a packet: it goes on to user space, or ends, or leaves by the interface it came by, or by another.
enum fate { ON, END, BACK, OUT };

INLINE int leave(enum counter why)
{
	__u32 index = why;
	struct count *count = map_lookup(&counters, &index);
	if (count)
		count->packets++;
	return ON;
}

// What the sum gains by lengths: that of UDP stands twice in it, once for the header before the addresses.
INLINE __u32 lengths(__u32 before, __u32 after)
{
	return 2 * (__u16)~htons(before) + 2 * htons(after);
}

// A packet of a route: how long it is when it leaves, and its sum; or why it is left.
INLINE int measure(struct packet *packet, struct exit *exit)
{
	exit->sum += packet->sum + exit->way.change;
	if (exit->way.is_inward && !exit->target_port)
		return INWARD;
	if (!packet->has_checksum && !exit->way.is_ipv4)
		return CHECKSUM;
	if (exit->receiver && exit->way.channel) {
		exit->after = CHANNEL;
	} else if (exit->receiver) {
		exit->after = is_mapped(packet->flow.remote) ? HEAD_IPV4 : HEAD_IPV6;
		exit->padding = -exit->body & 3;
	}
	__u32 datagram = sizeof(struct udphdr) + exit->after + exit->body + exit->padding;
	exit->sum += lengths(packet->datagram, datagram);
	exit->length = datagram + (exit->way.is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	return 0;
}

INLINE int is_same(const __u8 *one, const __u8 *other)
{
	for (int i = 0; i < ETH_ALEN; i++)
		if (one[i] != other[i])
			return 0;
	return 1;
}

// Whether packets may leave by an interface. For the driver's program that is where this one goes from now on, too, if it
// is redirected in the end.
INLINE int may_leave(enum door door, __u32 interface)
{
	return door == DRIVER ? redirect_map(&interfaces, interface, XDP_PASS) == XDP_REDIRECT
	                      : map_lookup(&interfaces, &interface) != 0;
}

// What becomes of a packet; from then on, its interface is the one that it leaves by.
INLINE enum fate carry(void *ctx, enum door door, struct packet *packet)
{
	void *data = begin(ctx, door), *end = end_of(ctx, door);
	struct exit exit = {};
	if (!parse(packet, data, end) || !find(packet, &exit, data, end))
		return ON;
	if (packet->is_joined)
		return leave(JOINED);
	if (packet->datagram > LONGEST - HEAD_IPV6)
		return leave(LAYOUT);
	if (packet->hops <= 1)
		return leave(HOPS);
	if (packet->has_checksum ? is_unfinished(packet) : is_ipv6(packet))
		return leave(CHECKSUM);
	if (exit.sender && !is_padding(ctx, door, packet, &exit))
		return leave(LAYOUT);
	int why = measure(packet, &exit);
	if (why)
		return leave(why);
	struct hop hop = {};
	why = next_hop(ctx, packet, &exit, &hop);
	if (why)
		return leave(why);
	int turns = hop.interface == packet->interface;
	// A switch may flood what is for another station, which the kernel drops.
	if (turns && !is_same(packet->target, hop.source))
		return ON;
	// One end of a veth pair wakes the other for what is redirected to it, but for what is turned round only if the other
	// has a program, too.
	int redirects = (!turns || redirects_back) && may_leave(door, hop.interface);
	if (!turns && !redirects)
		return leave(INTERFACE);
	if (!is_within_bandwidth(&exit)) {
		leave(BANDWIDTH);
		return END;
	}
	if (exit.way.is_ipv4)
		exit.id = identification(&exit);
	put_head(&exit, packet);
	if (!rewrite(ctx, door, packet, &exit, &hop)) {
		leave(HEAD_ROOM);
		return door == DRIVER ? ON : END;
	}
	count_all(&exit);
	packet->interface = hop.interface;
	return redirects ? OUT : BACK;
}

SEC("xdp")
int relay(struct xdp_md *ctx)
{
	struct packet packet = {.interface = ctx->ingress_ifindex, .frame = frame_length(ctx)};
	switch (carry(ctx, DRIVER, &packet)) {
	case END:
		return XDP_DROP;
	case BACK:
		return XDP_TX;
	case OUT:
		return XDP_REDIRECT;
	default:
		return XDP_PASS;
	}
}

// Tries whether there is room before a packet for the longest headers that one of a route may get, and lets it pass.
SEC("xdp")
int probe(struct xdp_md *ctx)
{
	int longer = sizeof(struct ipv6hdr) - sizeof(struct iphdr) + HEAD_IPV6;
	int lacks = adjust_head(ctx, -longer) != 0;
	if (!lacks)
		adjust_head(ctx, longer);
	leave(lacks ? LACKS_ROOM : HAS_ROOM);
	return XDP_PASS;
}

// Whether a packet of the stack is UDP, as far as its beginning tells. Others are not touched: what applications map is
// not to be moved.
INLINE int is_udp(struct __sk_buff *ctx)
{
	if (begin(ctx, STACK) + START > end_of(ctx, STACK) && pull_data(ctx, START))
		return 0;
	__u8 *data = begin(ctx, STACK);
	if ((void *)data + START > end_of(ctx, STACK))
		return 0;
	if (ctx->protocol == htons(ETH_P_IP))
		return data[23] == IPPROTO_UDP;
	return ctx->protocol == htons(ETH_P_IPV6) && data[20] == IPPROTO_UDP;
}

// Whether a packet of the stack may be one of a route, with all its headers in one place. A tag that the card has taken
// off stands beside the packet.
INLINE int is_whole(struct __sk_buff *ctx)
{
	if (ctx->pkt_type != HOST || ctx->vlan_present || !is_udp(ctx))
		return 0;
	__u32 size = ctx->len < HEADERS ? ctx->len : HEADERS;
	return begin(ctx, STACK) + HEADERS <= end_of(ctx, STACK) || !pull_data(ctx, size);
}

SEC("classifier")
int relay_stack(struct __sk_buff *ctx)
{
	if (!is_whole(ctx))
		return TC_ACT_UNSPEC;
	struct packet packet = {.interface = ctx->ifindex, .frame = ctx->len, .is_joined = ctx->gso_size != 0};
	switch (carry(ctx, STACK, &packet)) {
	case END:
		return TC_ACT_SHOT;
	case BACK:
	case OUT:
		return redirect(packet.interface, 0);
	default:
		return TC_ACT_UNSPEC;
	}
}

char terms[] SEC("license") = "Dual MIT/GPL";
