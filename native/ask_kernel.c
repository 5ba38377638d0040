/*
 * The fast way: hooks in the kernel keep the type that a socket asks for in IPV6_ADDR_PREFERENCES,
 * and answer a getsockopt() with room for more than that option with an address of the type. See
 * "Kernel hooks" in docs/protocol.md. No hooks, no longer answer.
 */

#include "ask.h"

#include <errno.h>
#include <sys/socket.h>

enum { TYPE_SHIFT = 13, TYPE_MASK = 0xE000 };

struct answer {
    uint32_t flags; /* those of the kernel, IPV6_REQUIRE_SRC_ON_NET and the type */
    uint32_t status;
    struct in6_addr address;
    uint32_t valid_for;
    uint32_t reserved;
};

enum { VALID = 0 }; /* of struct answer: the daemon need not be asked */

_Static_assert(sizeof(struct answer) == 32, "as the hooks know it");

static bool read_answer(int sockfd, struct answer *answer, socklen_t *length)
{
    *length = sizeof *answer;
    return getsockopt(sockfd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, answer, length) == 0;
}

/* Flags of the kernel's own that are not mentioned stay as they are. */
static bool set_type(int sockfd, uint32_t type)
{
    return setsockopt(sockfd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &type, sizeof type) == 0;
}

enum kernel_answer setsc_ask_kernel(int sockfd, struct wish *wish, struct in6_addr *address)
{
    const uint32_t type = (uint32_t)wish->type << TYPE_SHIFT;
    struct answer answer;
    socklen_t length;

    if (!read_answer(sockfd, &answer, &length)) {
        /* Which of the two depends on the protocol; both mean that the option is not IPv6's. */
        if (errno == EOPNOTSUPP || errno == ENOPROTOOPT)
            errno = EAFNOSUPPORT;
        return KERNEL_REFUSED;
    }
    if (answer.flags & IPV6_REQUIRE_SRC_ON_NET)
        wish->on_net = true;
    if (length != sizeof answer || wish->on_net || wish->lifetime != 0)
        return KERNEL_KNOWS_NOT;

    const uint32_t type_before = answer.flags & TYPE_MASK;
    if (type_before != type) {
        /* The socket's own type is for traffic without bind(): it is as before afterwards. */
        bool asked = set_type(sockfd, type) && read_answer(sockfd, &answer, &length);
        if (!set_type(sockfd, type_before) || !asked || length != sizeof answer)
            return KERNEL_KNOWS_NOT;
    }
    if (answer.status != VALID)
        return KERNEL_KNOWS_NOT;
    *address = answer.address;
    return KERNEL_GAVE;
}
