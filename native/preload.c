/*
 * Asks for addresses in the place of a program: loaded before the C library (LD_PRELOAD), it gives
 * IPv6 sockets that connect or send without a source one of the type that MOORAGE_SERVICE names. As
 * the hooks do, it leaves alone what is bound, and destinations that have nothing to do with the
 * network; and without an address, connecting and sending fail.
 */

#define _GNU_SOURCE /* RTLD_NEXT, struct mmsghdr, struct in6_pktinfo */

#include "setsc.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The C library's own calls, and the type; 0: none is named. */
static int (*real_connect)(int, const struct sockaddr *, socklen_t);
static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_sendmmsg)(int, struct mmsghdr *, unsigned int, int);
static int type;

/* ISO C has no way from what dlsym() returns to a function, POSIX has this one. */
#define FIND(call) (*(void **)&real_##call = dlsym(RTLD_NEXT, #call))

static void find_all(void)
{
    const char *named = getenv("MOORAGE_SERVICE");

    FIND(connect);
    FIND(sendto);
    FIND(sendmsg);
    FIND(sendmmsg);
    if (named != NULL && named[0] >= '1' && named[0] <= '4' && named[1] == '\0')
        type = named[0] - '0';
}

/* Before main(), since signal handlers may call what follows; sooner where others begin sooner. */
__attribute__((constructor)) static void get_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_all);
}

/* Whether packets to it leave the host: not to itself, to its links only, or by IPv4. */
static bool is_remote(const struct sockaddr *destination, socklen_t length)
{
    const struct sockaddr_in6 *to = (const void *)destination;

    return destination != NULL && length >= offsetof(struct sockaddr_in6, sin6_scope_id) &&
           destination->sa_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&to->sin6_addr) &&
           !IN6_IS_ADDR_LOOPBACK(&to->sin6_addr) && !IN6_IS_ADDR_LINKLOCAL(&to->sin6_addr) &&
           !IN6_IS_ADDR_MULTICAST(&to->sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&to->sin6_addr);
}

/* Whether it is one of TCP or UDP that is not bound to anything yet. */
static bool is_unbound(int sockfd)
{
    struct sockaddr_in6 name;
    socklen_t length = sizeof name;
    int kind;

    if (getsockname(sockfd, (struct sockaddr *)&name, &length) != 0 || length < sizeof name ||
        name.sin6_family != AF_INET6 || name.sin6_port != 0 ||
        !IN6_IS_ADDR_UNSPECIFIED(&name.sin6_addr))
        return false;
    length = sizeof kind;
    return getsockopt(sockfd, SOL_SOCKET, SO_TYPE, &kind, &length) == 0 &&
           (kind == SOCK_STREAM || kind == SOCK_DGRAM);
}

/* Binds a socket that is to send there, if it needs that. Returns false where it must not send. */
static bool choose(int sockfd, const struct sockaddr *destination, socklen_t length)
{
    const int errno_before = errno, on = 1;
    struct sockaddr_in6 source = {.sin6_family = AF_INET6};
    bool chosen = true;

    if (type != 0 && is_remote(destination, length) && is_unbound(sockfd)) {
        /* As without this library, the port is chosen when it is known who is called. */
        setsockopt(sockfd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        chosen = setsc(sockfd, &source.sin6_addr, (sc_type)type) == 0 &&
                 bind(sockfd, (const struct sockaddr *)&source, sizeof source) == 0;
    }
    errno = chosen ? errno_before : EADDRNOTAVAIL;
    return chosen;
}

/* Whether a message says itself what its source is (RFC 3542 section 6.2). */
static bool has_source(const struct msghdr *message)
{
    struct msghdr copy = *message; /* what goes through one wants it not to be constant */
    struct in6_pktinfo info;

    for (struct cmsghdr *each = CMSG_FIRSTHDR(&copy); each != NULL; each = CMSG_NXTHDR(&copy, each))
        if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO &&
            each->cmsg_len >= CMSG_LEN(sizeof info)) {
            memcpy(&info, CMSG_DATA(each), sizeof info);
            return !IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr);
        }
    return false;
}

static bool choose_for(int sockfd, const struct msghdr *message)
{
    return message == NULL || has_source(message) ||
           choose(sockfd, message->msg_name, message->msg_namelen);
}

#pragma GCC visibility push(default)

int connect(int sockfd, const struct sockaddr *destination, socklen_t length)
{
    get_ready();
    return choose(sockfd, destination, length) ? real_connect(sockfd, destination, length) : -1;
}

ssize_t sendto(int sockfd, const void *data, size_t size, int flags,
               const struct sockaddr *destination, socklen_t length)
{
    get_ready();
    if (!choose(sockfd, destination, length))
        return -1;
    return real_sendto(sockfd, data, size, flags, destination, length);
}

ssize_t sendmsg(int sockfd, const struct msghdr *message, int flags)
{
    get_ready();
    return choose_for(sockfd, message) ? real_sendmsg(sockfd, message, flags) : -1;
}

int sendmmsg(int sockfd, struct mmsghdr *messages, unsigned int count, int flags)
{
    get_ready();
    for (unsigned int each = 0; messages != NULL && each < count; each++)
        if (!choose_for(sockfd, &messages[each].msg_hdr))
            return -1;
    return real_sendmmsg(sockfd, messages, count, flags);
}

#pragma GCC visibility pop
