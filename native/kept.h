/* What hooks keep of sockets: those of hooks.bpf.c, and others that share the table with them. */
#ifndef KEPT_H
#define KEPT_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* What a socket keeps, and each that it accepts. */
struct kept {
    __u32 flags; /* IPV6_REQUIRE_SRC_ON_NET and the type field */
    __u32 types; /* that it is authorised for; bit n stands for type n */
};

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, struct kept);
} kept SEC(".maps");

static __always_inline _Bool authorise(struct bpf_sock *sk, __u32 type)
{
    struct kept *socket = bpf_sk_storage_get(&kept, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

    if (socket)
        socket->types |= 1 << type;
    return socket;
}

#endif
