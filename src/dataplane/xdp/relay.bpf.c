// SPDX-License-Identifier: MIT OR GPL-2.0
//
// The relay of established channels and permissions, in the driver.
//
// User space decides which of them stand and writes two entries for each: one finds what the client sends, the other
// what the peer sends. A packet of theirs gets new headers and leaves at once. Whatever else comes,
// or cannot be carried for any reason, goes on to user space as if this program were not there: XDP_PASS, with the
// packet untouched. What is more than an allocation may send is dropped, as there; nothing else is.
//
//     parse ─▶ find ─▶ measure ─▶ next hop ─▶ rewrite
//
// Between client and server a payload comes in ChannelData, or in a Send or Data indication of the usual layout: the
// peer's address, then the data, and nothing else.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name

static void *(*map_lookup)(const void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*adjust_head)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_head;
static long (*adjust_tail)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;
static __u64 (*frame_length)(struct xdp_md *ctx) = (void *)BPF_FUNC_xdp_get_buff_len;
static long (*xdp_load)(void *ctx, __u32 from, void *to, __u32 size) = (void *)BPF_FUNC_xdp_load_bytes;
static long (*xdp_store)(void *ctx, __u32 to, void *from, __u32 size) = (void *)BPF_FUNC_xdp_store_bytes;
static long (*skb_load)(void *ctx, __u32 from, void *to, __u32 size) = (void *)BPF_FUNC_skb_load_bytes;
static long (*skb_store)(void *ctx, __u32 to, void *from, __u32 size, __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*pull_data)(struct __sk_buff *ctx, __u32 size) = (void *)BPF_FUNC_skb_pull_data;
static long (*change_tail)(void *ctx, __u32 size, __u64 flags) = (void *)BPF_FUNC_skb_change_tail;
static long (*change_proto)(void *ctx, __be16 proto, __u64 flags) = (void *)BPF_FUNC_skb_change_proto;
static long (*adjust_room)(void *ctx, __s32 delta, __u32 mode, __u64 flags) = (void *)BPF_FUNC_skb_adjust_room;
static long (*redirect)(__u32 interface, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*fib_lookup)(void *ctx, struct bpf_fib_lookup *to, int size, __u32 flags) = (void *)BPF_FUNC_fib_lookup;
static long (*redirect_map)(const void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;
static __s64 (*csum_diff)(const void *from, __u32 from_size, const void *to, __u32 to_size, __u32 seed) =
	(void *)BPF_FUNC_csum_diff;
static __u64 (*jiffies)(void) = (void *)BPF_FUNC_jiffies64;
static __u64 (*nanoseconds)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u32 (*random)(void) = (void *)BPF_FUNC_get_prandom_u32;

#define htons(value) __builtin_bswap16(value)
#define htonl(value) __builtin_bswap32(value)
#define CHANNEL 4             // bytes of the header of ChannelData (RFC 8656 §12.4)
#define HEADERS 110           // bytes of the longest headers: Ethernet, IPv6, UDP, a Send indication
#define LONGEST 2048          // bytes of the longest UDP payload that is carried
#define FRAGMENT 0x3fff       // more fragments, or an offset (RFC 791 §3.1)
#define SECOND 1000000000ull
#define AF_INET 2
#define AF_INET6 10
#define HOST 0 // the kernel's word for what is for this station
#define COOKIE htonl(0x2112a442)
#define SEND htons(0x0016)             // types of messages and attributes (RFC 8656 §18)
#define DATA htons(0x0017)
#define XOR_PEER_ADDRESS htons(0x0012)
#define DATA_ATTRIBUTE htons(0x0013)

// Written before the program is loaded.

// Whose routing is asked: that of what this host itself sends (1, the loopback device), or of what it forwards (0).
const volatile __u32 routing = 0;
// Checksums may be still to be completed: packets come from within the host, or by a hypervisor.
const volatile __u32 may_be_unfinished = 0;
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

#define BEING_WRITTEN 1
#define HOLDS 32 // jiffies: a third of a second at most, where a second has a hundred
#define PERIOD 11 // of 2,048 jiffies: 2 to 20 seconds

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

// What becomes of a packet: it goes on to user space, or ends, or leaves by the interface it came by, or by another.
enum fate { ON, END, BACK, OUT };

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

// Where a packet is taken: in the driver or right behind it (XDP), or in the kernel's stack (tc), where it may have been
// joined with others and lies in several parts.
enum door { DRIVER, STACK };

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
	struct hop *known;       // the next hop as it was remembered for it
	struct session *sender;   // it comes from a client, and this is its allocation
	struct session *receiver; // it goes to a client, and this is its allocation
	__be16 target_port;      // the port that it goes to
	__u32 before;            // bytes between UDP header and payload when it came
	__u32 body;              // bytes of payload
	__u32 after;             // bytes between UDP header and payload when it leaves
	__u32 padding;           // bytes behind the payload when it leaves
	__u32 length;            // bytes of IP header, UDP header and payload that leave
	__u64 sum;               // of the datagram that leaves
	__u16 id;                // the identification of an IPv4 packet
	__u32 head[12];          // what stands between UDP header and payload when it leaves
};

// A place in a packet. The number is added in the code and not from a register, whatever the compiler would rather do
// where several ways meet: without CAP_PERFMON the verifier takes nothing else.
#define PLACE(data, offset)                                       \
	({                                                            \
		void *place = data;                                       \
		asm volatile("%0 += %1" : "+r"(place) : "i"(offset));     \
		place;                                                    \
	})

// What is there of a frame.
INLINE void *begin(void *ctx, enum door door)
{
	return (void *)(long)(door == DRIVER ? ((struct xdp_md *)ctx)->data : ((struct __sk_buff *)ctx)->data);
}

// Where that ends.
INLINE void *end_of(void *ctx, enum door door)
{
	return (void *)(long)(door == DRIVER ? ((struct xdp_md *)ctx)->data_end : ((struct __sk_buff *)ctx)->data_end);
}

INLINE int leave(enum counter why)
{
	__u32 index = why;
	struct count *count = map_lookup(&counters, &index);
	if (count)
		count->packets++;
	return ON;
}

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

// Takes the way that a packet goes from now on.
INLINE void take(struct exit *exit, struct route *route)
{
	__builtin_memcpy(&exit->way, &route->way, sizeof(exit->way));
	exit->known = &route->hop;
}

// ChannelData: what is to become of it.
INLINE struct route *from_channel(struct packet *packet, struct exit *exit, const __be16 *header)
{
	packet->flow.channel = header[0];
	exit->body = htons(header[1]);
	exit->before = CHANNEL;
	exit->sum = (__u16)~header[0] + (__u16)~header[1];
	return map_lookup(&routes, &packet->flow);
}

// A Send indication of the usual layout: what is to become of it.
INLINE struct route *from_send(struct packet *packet, struct exit *exit, const struct indication *head, void *end)
{
	int is_ipv4 = head->peer_length == htons(8) && head->family == htons(1);
	int is_ipv6 = head->peer_length == htons(20) && head->family == htons(2);
	if (head->cookie != COOKIE || head->peer_type != XOR_PEER_ADDRESS || !(is_ipv4 || is_ipv6))
		return 0;
	struct send send;
	__builtin_memcpy(send.local, packet->flow.local, 32);
	send.local_port = packet->flow.local_port;
	send.remote_port = packet->flow.remote_port;
	const __be16 *data;
	if (is_ipv4) {
		map_ipv4(send.peer, head->address[0] ^ COOKIE);
		data = PLACE((void *)head, 32);
		exit->before = HEAD_IPV4;
		exit->sum = csum_diff(head, HEAD_IPV4, 0, 0, 0);
	} else {
		if ((void *)(head + 1) > end)
			return 0;
		send.peer[0] = head->address[0] ^ COOKIE;
		for (int i = 1; i < 4; i++)
			send.peer[i] = head->address[i] ^ head->transaction[i - 1];
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
	return packet->datagram == sizeof(struct udphdr) + exit->before + padded ? map_lookup(&sends, &send) : 0;
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
	struct route *route = map_lookup(&routes, &packet->flow);
	if (route)
		return route;
	__be16 port = packet->flow.remote_port;
	packet->flow.remote_port = 0;
	route = map_lookup(&routes, &packet->flow);
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
	__u32 from = packet->headers + exit->before + exit->body;
	long failed = door == DRIVER ? xdp_load(ctx, from, &bytes, padding) : skb_load(ctx, from, &bytes, padding);
	return !failed && bytes == 0;
}

// What the sum gains by lengths: that of UDP stands twice in it, once for the header before the addresses.
INLINE __u32 lengths(__u32 before, __u32 after)
{
	return 2 * (__u16)~htons(before) + 2 * htons(after);
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

// A number that tells ways apart.
INLINE __u32 owner(const struct way *way)
{
	__u32 number = way->session * 0x9e3779b1 + way->source_port + ((__u32)way->target_port << 16);
	for (int i = 0; i < 4; i++)
		number = (number ^ way->target[i]) * 0x9e3779b1 + way->source[i];
	return number;
}

// Asks the kernel's routing where a packet goes next.
INLINE int ask(void *ctx, const struct packet *packet, const struct exit *exit, struct hop *hop)
{
	const struct way *way = &exit->way;
	struct bpf_fib_lookup to = {};
	to.l4_protocol = IPPROTO_UDP;
	to.sport = way->source_port;
	to.dport = exit->target_port;
	to.tot_len = exit->length;
	to.ifindex = routing ? routing : packet->interface;
	if (way->is_ipv4) {
		to.family = AF_INET;
		to.tos = packet->traffic_class & 0xfc;
		to.ipv4_src = way->source[3];
		to.ipv4_dst = way->target[3];
	} else {
		to.family = AF_INET6;
		__builtin_memcpy(to.ipv6_src, way->source, 16);
		__builtin_memcpy(to.ipv6_dst, way->target, 16);
	}
	int result = fib_lookup(ctx, &to, sizeof(to), 0);
	hop->interface = to.ifindex;
	// The MTU, since Linux 5.12; before, the length of this packet: longer ones will ask again.
	hop->mtu = to.tot_len;
	hop->traffic_class = packet->traffic_class & 0xfc;
	hop->owner = owner(way);
	__builtin_memcpy(hop->target, to.dmac, ETH_ALEN);
	__builtin_memcpy(hop->source, to.smac, ETH_ALEN);
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
INLINE int next_hop(void *ctx, const struct packet *packet, const struct exit *exit, struct hop *hop)
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

INLINE int is_same(const __u8 *one, const __u8 *other)
{
	for (int i = 0; i < ETH_ALEN; i++)
		if (one[i] != other[i])
			return 0;
	return 1;
}

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
	exit->after = CHANNEL;
	exit->sum += exit->head[0];
}

// A Data indication with a fresh transaction id, around what the peer sent (RFC 8656 §11.3).
INLINE void put_data(struct exit *exit, const struct packet *packet)
{
	struct indication *head = (void *)exit->head;
	const __be32 *peer = packet->flow.remote;
	int is_ipv4 = is_mapped(peer);
	exit->after = is_ipv4 ? HEAD_IPV4 : HEAD_IPV6;
	exit->padding = -exit->body & 3;
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
	if (size == 0 || size > 3)
		return 1;
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

// A packet of a route: where it goes, what stands before its payload, and its sum; or why it is left.
INLINE int measure(struct packet *packet, struct exit *exit)
{
	exit->sum += packet->sum + exit->way.change;
	if (exit->way.is_inward && !exit->target_port)
		return INWARD;
	if (!packet->has_checksum && !exit->way.is_ipv4)
		return CHECKSUM;
	if (exit->receiver && exit->way.channel)
		put_channel(exit);
	else if (exit->receiver)
		put_data(exit, packet);
	__u32 datagram = sizeof(struct udphdr) + exit->after + exit->body + exit->padding;
	exit->sum += lengths(packet->datagram, datagram);
	exit->length = datagram + (exit->way.is_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	return 0;
}

// Where the peer's datagram or the client's message leads; 0: nowhere.
INLINE int find(struct packet *packet, struct exit *exit, void *data, void *end)
{
	struct route *route = is_from_peer(packet) ? from_peer(packet, exit) : 0;
	if (route) {
		take(exit, route);
		exit->receiver = map_lookup(&sessions, &exit->way.session);
		exit->target_port = exit->way.target_port;
		return exit->receiver != 0;
	}
	// It comes from a client, then, or a listener stands among the ports of relays.
	route = from_client(packet, exit, data, end);
	if (!route)
		return 0;
	take(exit, route);
	exit->sender = map_lookup(&sessions, &exit->way.session);
	if (exit->way.is_inward)
		exit->receiver = map_lookup(&sessions, &exit->way.far);
	if (exit->way.target_port)
		exit->target_port = exit->way.target_port;
	return exit->sender != 0;
}

// Whether packets may leave by an interface. For the driver's program that is where this one goes from now on, too, if it
// is redirected in the end.
INLINE int may_leave(enum door door, __u32 interface)
{
	return door == DRIVER ? redirect_map(&interfaces, interface, XDP_PASS) == XDP_REDIRECT
	                      : map_lookup(&interfaces, &interface) != 0;
}

// What becomes of a packet, and by which interface.
INLINE enum fate carry(void *ctx, enum door door, struct packet *packet, __u32 *interface)
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
	if (packet->has_checksum ? may_be_unfinished && is_unfinished(packet) : is_ipv6(packet))
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
	if (!rewrite(ctx, door, packet, &exit, &hop)) {
		leave(HEAD_ROOM);
		return door == DRIVER ? ON : END;
	}
	count_all(&exit);
	*interface = hop.interface;
	return redirects ? OUT : BACK;
}

SEC("xdp")
int relay(struct xdp_md *ctx)
{
	struct packet packet = {.interface = ctx->ingress_ifindex, .frame = frame_length(ctx)};
	__u32 interface = 0;
	switch (carry(ctx, DRIVER, &packet, &interface)) {
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

// Whether a packet of the stack may be one of a route, with all its headers in one place. A tag that the card has taken
// off stands beside the packet.
INLINE int is_whole(struct __sk_buff *ctx)
{
	if (ctx->pkt_type != HOST || ctx->vlan_present)
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
	__u32 interface = 0;
	switch (carry(ctx, STACK, &packet, &interface)) {
	case END:
		return TC_ACT_SHOT;
	case BACK:
	case OUT:
		return redirect(interface, 0);
	default:
		return TC_ACT_UNSPEC;
	}
}

char terms[] SEC("license") = "Dual MIT/GPL";
