/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The kernel's part of the host daemon: what "Kernel hooks" in docs/protocol.md says.
 *
 * All programs hang on the group of all processes, beside those of daemons in other network
 * namespaces and of others; so each looks first whether it is about our option or a typed address,
 * and then whether the socket is of our own namespace, and leaves everything else as it is.
 */

#include "kept.h"

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#ifndef IPV6_ADDR_PREFERENCES
#define IPV6_ADDR_PREFERENCES 72
#endif

/* Of the kernel's own flags those that contradict each other (RFC 5014). */
#define ADDRESS_PRIVACY (0x0001 | 0x0002 | 0x0100)
#define HOME_OR_CARE_OF (0x0004 | 0x0400)
#define GENERATED_OR_NOT (0x0008 | 0x0800)

enum {
    ON_NET = 0x1000,
    TYPE_SHIFT = 13,
    TYPE_FIELD = 7 << TYPE_SHIFT,
    OURS = ON_NET | TYPE_FIELD,
    TYPES = 4, /* of addresses, from 1 on */
    AF_INET6 = 10,
    PASS = 1, /* what a hook returns that has no objection; 0 is one */
    PAGE = 4096,
    SECOND = 1000000000 /* nanoseconds */
};

#define READ_ONCE(what) (*(const volatile typeof(what) *)&(what))

/* The cookie of the network namespace whose sockets are ours. */
const volatile __u64 network;

/* ---- what the daemon knows -------------------------------------------------------------------- */

/* The address that a new socket gets of a type, without a question to the daemon. */
struct offer {
    __u32 number;     /* of the address, which no other one ever has; 0: there is no offer */
    __u32 restricted; /* not 0: not everybody may use it by himself */
    __u32 told;       /* not 0: the daemon was told that it was taken */
    __u32 padding;
    __u64 until;       /* when it ends; nanoseconds on CLOCK_BOOTTIME */
    __u64 valid_until; /* when the address ends */
    struct in6_addr address;
};

/* The daemon writes 0 to the number before it changes the rest, so nobody takes half an offer. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, TYPES + 1);
    __type(key, __u32); /* a type */
    __type(value, struct offer);
} offers SEC(".maps");

/* When the offer of a type was taken last, in nanoseconds on CLOCK_BOOTTIME. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, TYPES + 1);
    __type(key, __u32); /* a type */
    __type(value, __u64);
} taken SEC(".maps");

/* Types of which an offer was taken that the daemon had not been told of. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, PAGE);
} news SEC(".maps");

/* What a user may do; bit n stands for type n. */
struct rights {
    __u32 without_asking; /* take what is offered */
    __u32 by_himself;     /* use addresses without setsc() */
};

enum { OTHERS = 0xFFFFFFFF }; /* in the place of a user: all who are not named */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1 << 16);
    __type(key, __u32); /* a user */
    __type(value, struct rights);
} users SEC(".maps");

/* Addresses that not everybody may use by himself. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1 << 16);
    __type(key, struct in6_addr);
    __type(value, __u32); /* its type */
} restricted SEC(".maps");

/* Sockets that the daemon authorised itself. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1 << 20);
    __type(key, __u64);   /* the socket's cookie */
    __type(value, __u32); /* bit n stands for type n */
} granted SEC(".maps");

#define COPY(where, what) \
    struct in6_addr where = {.s6_addr32 = {(what)[0], (what)[1], (what)[2], (what)[3]}}

static __always_inline bool is_unspecified(const struct in6_addr *address)
{
    return !(address->s6_addr32[0] | address->s6_addr32[1] | address->s6_addr32[2] |
             address->s6_addr32[3]);
}

/* Of task_struct and cred what is needed here. */
struct cred {
    struct {
        __u32 val;
    } euid;
} __attribute__((preserve_access_index));

struct task_struct {
    const struct cred *cred;
} __attribute__((preserve_access_index));

static __always_inline struct rights *rights_of_caller(void)
{
    const __u32 others = OTHERS;
    struct task_struct *caller = bpf_get_current_task_btf();
    __u32 user = caller->cred->euid.val;
    struct rights *rights = bpf_map_lookup_elem(&users, &user);

    return rights ? rights : bpf_map_lookup_elem(&users, &others);
}

static __always_inline int refuse(int error)
{
    bpf_set_retval(-error);
    return 0;
}

/* ---- the option -------------------------------------------------------------------------------- */

static __always_inline bool is_our_option(struct bpf_sockopt *ctx)
{
    return ctx->level == IPPROTO_IPV6 && ctx->optname == IPV6_ADDR_PREFERENCES;
}

static __always_inline bool is_ours(struct bpf_sockopt *ctx)
{
    return is_our_option(ctx) && ctx->sk && ctx->sk->family == AF_INET6 &&
           bpf_get_netns_cookie(ctx) == network;
}

/*
 * The kernel shows hooks the first page of an option and, before Linux 6.5, failed where there was
 * more, unless told to go on with the original. That is left to it; but not for our option, of
 * which the hook of another namespace has still to see the length.
 */
static __always_inline int pass(struct bpf_sockopt *ctx)
{
    if (ctx->optlen > PAGE && !is_our_option(ctx))
        ctx->optlen = 0;
    return PASS;
}

static __always_inline bool several(__u32 flags)
{
    return flags & (flags - 1);
}

/* Whether the kernel itself will refuse these flags. */
static __always_inline bool contradictory(__u32 flags)
{
    return several(flags & ADDRESS_PRIVACY) || several(flags & HOME_OR_CARE_OF) ||
           several(flags & GENERATED_OR_NOT);
}

SEC("cgroup/setsockopt")
int keep_flags(struct bpf_sockopt *ctx)
{
    __u32 *flags = ctx->optval;

    if (!is_ours(ctx) || (void *)(flags + 1) > ctx->optval_end || ctx->optlen < (int)sizeof *flags)
        return pass(ctx);

    const __u32 ours = *flags & OURS;
    if (contradictory(*flags))
        return pass(ctx);
    if ((ours & TYPE_FIELD) >> TYPE_SHIFT > TYPES)
        return refuse(EINVAL);

    struct kept *socket =
        bpf_sk_storage_get(&kept, ctx->sk, 0, ours ? BPF_SK_STORAGE_GET_F_CREATE : 0);
    if (socket)
        socket->flags = ours;
    else if (ours)
        return refuse(ENOMEM);
    if (!ours)
        return pass(ctx);
    *flags &= ~OURS;
    ctx->optlen = sizeof *flags;
    return PASS;
}

/* What getsockopt() of the option returns where there is room for it. */
struct answer {
    __u32 flags;
    __u32 status; /* 0, or */
    struct in6_addr address;
    __u32 valid_for; /* seconds */
    __u32 reserved;
};

enum { ASK_THE_DAEMON = 1 };

/* Gives the offered address of a type to a socket, if the daemon need not be asked. */
static __always_inline bool give(struct bpf_sock *sk, __u32 type, struct answer *answer)
{
    struct offer *offer = bpf_map_lookup_elem(&offers, &type);
    __u64 *last = bpf_map_lookup_elem(&taken, &type);
    COPY(source, sk->src_ip6);

    if (!offer || !last || !is_unspecified(&source))
        return false;
    /* The daemon finds the others' users in no other way than by being asked. */
    if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_UDP)
        return false;
    const __u32 number = READ_ONCE(offer->number);
    const __u64 now = bpf_ktime_get_boot_ns();
    if (number == 0 || now >= offer->until)
        return false;
    struct rights *rights = rights_of_caller();
    if (!rights || !(rights->without_asking & 1 << type))
        return false;
    if (offer->restricted && !authorise(sk, type))
        return false;
    answer->address = offer->address;
    answer->valid_for = (offer->valid_until - now) / SECOND;
    /*
     * The daemon withdraws an offer before it looks when it was taken last: so either it sees
     * this time, or the withdrawal is seen here. The exchange keeps the order.
     */
    __sync_lock_test_and_set(last, now);
    if (READ_ONCE(offer->number) != number)
        return false;
    if (!offer->told) {
        offer->told = 1;
        bpf_ringbuf_output(&news, &type, sizeof type, 0);
    }
    return true;
}

SEC("cgroup/getsockopt")
int show_flags(struct bpf_sockopt *ctx)
{
    struct answer *answer = ctx->optval;
    void *end = ctx->optval_end;

    if (!is_ours(ctx) || ctx->retval != 0 || (void *)&answer->status > end ||
        ctx->optlen < (int)sizeof answer->flags)
        return pass(ctx);
    struct kept *socket = bpf_sk_storage_get(&kept, ctx->sk, 0, 0);
    const __u32 flags = socket ? socket->flags : 0;
    if (flags)
        answer->flags |= flags;

    /* Who has room for a few bytes more asks for the type of that number. */
    void *asked = answer + 1;
    __u32 type = (flags & TYPE_FIELD) >> TYPE_SHIFT;
    if (asked > end || asked + TYPES + 1 <= end)
        return pass(ctx);
    if (asked + 4 <= end)
        type = 4;
    else if (asked + 3 <= end)
        type = 3;
    else if (asked + 2 <= end)
        type = 2;
    else if (asked + 1 <= end)
        type = 1;

    struct answer given = {.flags = answer->flags, .status = ASK_THE_DAEMON};
    if (!(flags & ON_NET) && give(ctx->sk, type, &given))
        given.status = 0;
    else
        given.address = (struct in6_addr){};
    *answer = given;
    ctx->optlen = sizeof *answer;
    return PASS;
}

/* ---- who may use an address ------------------------------------------------------------------- */

/* Whether a socket may use an address. ``type`` is that of one that not everybody may use, or 0. */
static __always_inline bool may_use(void *ctx, struct bpf_sock *sk, const struct in6_addr *address,
                                    __u32 *type)
{
    *type = 0;
    /* Echoes are not what prefixes are asked for. */
    if (sk->protocol == IPPROTO_ICMPV6 || bpf_get_netns_cookie(ctx) != network)
        return true;
    __u32 *found = bpf_map_lookup_elem(&restricted, address);
    if (!found)
        return true;
    *type = *found;
    const __u32 bit = 1 << *type;
    struct kept *socket = bpf_sk_storage_get(&kept, sk, 0, 0);
    if (socket && socket->types & bit)
        return true;
    struct rights *rights = rights_of_caller();
    if (rights && rights->by_himself & bit)
        return true;
    const __u64 cookie = bpf_get_socket_cookie(ctx);
    __u32 *types = bpf_map_lookup_elem(&granted, &cookie);
    return types && *types & bit;
}

/* After bind(), since hooks of others may have changed its address before. */
SEC("cgroup/post_bind6")
int check_bind(struct bpf_sock *sk)
{
    COPY(source, sk->src_ip6);
    __u32 type;

    if (is_unspecified(&source))
        return PASS;
    if (!may_use(sk, sk, &source, &type))
        return refuse(EACCES);
    /* What was rightly bound stays so, even if the program gives up its user's rights. */
    return type == 0 || authorise(sk, type) ? PASS : refuse(ENOMEM);
}

static __always_inline int check_source(struct bpf_sock_addr *ctx, const struct in6_addr *source)
{
    __u32 type;

    if (is_unspecified(source) || !ctx->sk || may_use(ctx, ctx->sk, source, &type))
        return PASS;
    return refuse(EACCES);
}

/* One that was bound before its address was one of ours. */
SEC("cgroup/connect6")
int check_connect(struct bpf_sock_addr *ctx)
{
    struct bpf_sock *sk = ctx->sk;

    if (!sk)
        return PASS;
    COPY(source, sk->src_ip6);
    return check_source(ctx, &source);
}

/* UDP without connect(), or with IPV6_PKTINFO. */
SEC("cgroup/sendmsg6")
int check_send(struct bpf_sock_addr *ctx)
{
    COPY(source, ctx->msg_src_ip6);
    return check_source(ctx, &source);
}

char license_of_programs[] SEC("license") = "GPL";
