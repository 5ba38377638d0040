/*
 * The source address of sockets in a control group that name none. Where a socket is bound to an
 * address, or a message says its source, and for destinations that have nothing to do with the
 * network, the choice is left to the program and the kernel. While there is no address, connecting
 * and sending fail where one was promised, since a program must not go on with another then; where
 * none was, the kernel chooses. Of groups in groups the innermost that chooses comes first.
 */

#include "kept.h"

#include <linux/bpf.h>
#include <linux/in6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { AF_INET6 = 10, EADDRNOTAVAIL = 99, ALLOW = 1, REFUSE = 0 };

/* The cookie of the network namespace that it is about. */
const volatile __u64 network = 0;

struct choice {
    struct in6_addr address; /* unspecified: there is none, but one was promised */
    __u32 type;              /* of the address */
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH); /* an element is replaced as a whole; none: nothing is chosen */
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct choice);
} choice SEC(".maps");

static bool is_unspecified(const __u32 *address)
{
    return (address[0] | address[1] | address[2] | address[3]) == 0;
}

/* Whether packets to it leave the host: no loopback, link-local, multicast or IPv4 address. */
static bool is_remote(const __u32 *address)
{
    const __u32 first = bpf_ntohl(address[0]);

    if ((address[0] | address[1]) == 0 &&
        (address[2] == 0 || address[2] == bpf_htonl(0xFFFF)))
        return false; /* ::1, ::, and ::ffff:0:0/96 */
    return (first & 0xFFC00000) != 0xFE800000 && (first & 0xFF000000) != 0xFF000000;
}

static int refuse(void)
{
    bpf_set_retval(-EADDRNOTAVAIL);
    return REFUSE;
}

/* Returns what is to be chosen; nothing where a group within this one has refused. */
static const struct choice *choose(void)
{
    const __u32 only = 0;

    return bpf_get_retval() == 0 ? bpf_map_lookup_elem(&choice, &only) : NULL;
}

/* Whether there is an address; who may have it was found out before it was chosen. */
static bool is_given(const struct choice *found, struct bpf_sock *socket)
{
    return !is_unspecified(found->address.in6_u.u6_addr32) && authorise(socket, found->type & 7);
}

/* TCP, and UDP that connects. Where a port is bound, an address cannot be any more. */
SEC("cgroup/connect6")
int choose_for_connection(struct bpf_sock_addr *context)
{
    const __u32 destination[4] = {context->user_ip6[0], context->user_ip6[1],
                                  context->user_ip6[2], context->user_ip6[3]};
    struct bpf_sock *socket = context->sk;
    const struct choice *found;
    struct sockaddr_in6 source;

    if (bpf_get_netns_cookie(context) != network || !is_remote(destination) || socket == NULL ||
        socket->src_port != 0)
        return ALLOW;
    const __u32 bound[4] = {socket->src_ip6[0], socket->src_ip6[1], socket->src_ip6[2],
                            socket->src_ip6[3]};
    if (!is_unspecified(bound))
        return ALLOW;
    found = choose();
    if (found == NULL)
        return ALLOW;
    if (!is_given(found, socket))
        return refuse();
    /* By an initialiser it would be a constant, of which there must be no other but ours. */
    __builtin_memset(&source, 0, sizeof source);
    source.sin6_family = AF_INET6;
    source.sin6_addr = found->address;
    return bpf_bind(context, (struct sockaddr *)&source, sizeof source) == 0 ? ALLOW : refuse();
}

/* UDP that does not. */
SEC("cgroup/sendmsg6")
int choose_for_message(struct bpf_sock_addr *context)
{
    const __u32 destination[4] = {context->user_ip6[0], context->user_ip6[1],
                                  context->user_ip6[2], context->user_ip6[3]};
    const __u32 source[4] = {context->msg_src_ip6[0], context->msg_src_ip6[1],
                             context->msg_src_ip6[2], context->msg_src_ip6[3]};
    struct bpf_sock *socket = context->sk;
    const struct choice *found;

    if (bpf_get_netns_cookie(context) != network || !is_remote(destination) || socket == NULL ||
        !is_unspecified(source))
        return ALLOW;
    found = choose();
    if (found == NULL)
        return ALLOW;
    if (!is_given(found, socket))
        return refuse();
    context->msg_src_ip6[0] = found->address.in6_u.u6_addr32[0];
    context->msg_src_ip6[1] = found->address.in6_u.u6_addr32[1];
    context->msg_src_ip6[2] = found->address.in6_u.u6_addr32[2];
    context->msg_src_ip6[3] = found->address.in6_u.u6_addr32[3];
    return ALLOW;
}

char LICENSE[] SEC("license") = "GPL";
