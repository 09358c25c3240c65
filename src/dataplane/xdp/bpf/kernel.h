// SPDX-License-Identifier: MIT OR GPL-2.0
//
// What this program needs of the kernel: its functions, and how it is written for its verifier.

#pragma once

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
#define START 34              // bytes of the headers of Ethernet and IPv4
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

// Where a packet is taken: in the driver or right behind it (XDP), or in the kernel's stack (tc), where it may have been
// joined with others and lies in several parts.
enum door { DRIVER, STACK };

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

// A size of one to three, as it is: but the verifier of Linux 6.1 learns by arithmetic alone that it is at least one, and
// the compiler must not know how little this changes.
INLINE __u32 few(__u32 size)
{
	asm volatile("" : "+r"(size));
	return ((size - 1) & 3) + 1;
}
