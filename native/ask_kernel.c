/*
 * The fast way: the hooks of the host daemon answer a getsockopt() of IPV6_ADDR_PREFERENCES that has
 * room for more than that option with an address of the type that the room is for. See "Kernel
 * hooks" in docs/protocol.md. No hooks, no longer answer.
 */

#include "ask.h"

#include <errno.h>
#include <sys/socket.h>

struct answer {
    uint32_t flags; /* those of the kernel, IPV6_REQUIRE_SRC_ON_NET and the socket's own type */
    uint32_t status;
    struct in6_addr address;
    uint32_t valid_for;
    uint32_t reserved;
};

enum { VALID = 0 }; /* of struct answer: the daemon need not be asked */

_Static_assert(sizeof(struct answer) == 32, "as the hooks know it");

enum kernel_answer setsc_ask_kernel(int sockfd, struct wish *wish, struct in6_addr *address)
{
    union {
        struct answer answer;
        char room[sizeof(struct answer) + GRACEFUL_REPLACEMENT_IPV6_ADDRESS];
    } found;
    /* The bytes beyond the answer name the type; without them it is only about the flags. */
    const bool ask = !wish->on_net && wish->lifetime == 0;
    socklen_t length = ask ? sizeof found.answer + wish->type : sizeof found.answer.flags;

    if (getsockopt(sockfd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &found, &length) != 0) {
        /* Which of the two depends on the protocol; both mean that the option is not IPv6's. */
        if (errno == EOPNOTSUPP || errno == ENOPROTOOPT)
            errno = EAFNOSUPPORT;
        return KERNEL_REFUSED;
    }
    if (found.answer.flags & IPV6_REQUIRE_SRC_ON_NET)
        wish->on_net = true;
    if (length != sizeof found.answer || found.answer.status != VALID)
        return KERNEL_KNOWS_NOT;
    *address = found.answer.address;
    return KERNEL_GAVE;
}
