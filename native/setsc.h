/*
 * On-Demand Mobility for applications: a source address by what a socket needs of it.
 *
 * The call, its types, its codes and the flag are those of draft-ietf-dmm-ondemand-mobility-17,
 * sections 6.1 and 6.2; numbers that the draft leaves open are Moorage's. See setsc(3).
 */
#ifndef SETSC_H
#define SETSC_H

#include <netinet/in.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an application needs of its source address (draft sections 3.2 and 6.1). */
typedef enum {
    FIXED_IPV6_ADDRESS = 1,               /* stays for a very long time, even unused */
    SESSION_LASTING_IPV6_ADDRESS = 2,     /* stays over moves as long as a socket uses it */
    NON_PERSISTENT_IPV6_ADDRESS = 3,      /* is gone when the host moves to another router */
    GRACEFUL_REPLACEMENT_IPV6_ADDRESS = 4 /* stays for a while beside the one that replaces it */
} sc_type;

/* The names of the same in the draft's own example (section 4.1). */
#define IPV6_REQUIRE_FIXED_IP FIXED_IPV6_ADDRESS
#define IPV6_REQUIRE_SESSION_LASTING_IP SESSION_LASTING_IPV6_ADDRESS
#define IPV6_REQUIRE_NON_PERSISTENT_IP NON_PERSISTENT_IPV6_ADDRESS
#define IPV6_REQUIRE_GRACEFUL_REPLACEMENT_IP GRACEFUL_REPLACEMENT_IPV6_ADDRESS

/* What setsc() returns beside 0 (draft section 6.1). */
#define EAI_REQUIREDIPNOTSUPPORTED (-180) /* the service type is not supported here */
#define EAI_REQUIREDIPFAILED (-181)       /* the network could not fulfil the request */

/* The option of RFC 5014 at level IPPROTO_IPV6, which not every <netinet/in.h> has. */
#ifndef IPV6_ADDR_PREFERENCES
#define IPV6_ADDR_PREFERENCES 72
#endif

/*
 * The draft's flag in that option (section 6.2): setsc() gives an address from a new prefix of the
 * network that the host is on now. Linux without Moorage's hooks drops it without a word; on_net
 * of moorage_setsc() works everywhere.
 */
#define IPV6_REQUIRE_SRC_ON_NET 0x1000

/*
 * Puts an address of a type into *sourceAddress, for the IPv6 socket sockfd, which is not changed:
 * bind() it to the address to use it. Blocks where the network has to be asked.
 *
 * Returns 0, EAI_REQUIREDIPNOTSUPPORTED or EAI_REQUIREDIPFAILED. After a failure *sourceAddress is
 * as before, and errno says why.
 */
int setsc(int sockfd, struct in6_addr *sourceAddress, sc_type addressType);

/* ---- what follows is Moorage's own, not the draft's ------------------------------------------ */

/* What moorage_setsc() is told beyond setsc(); 0 everywhere is the same as setsc(). */
struct moorage_options {
    int on_net;              /* not 0: as if IPV6_REQUIRE_SRC_ON_NET were set on the socket */
    unsigned int timeout_ms; /* milliseconds to wait for the network; 0: as the host is set up */
    unsigned int lifetime;   /* seconds for which new sockets are given this Session-lasting
                                address (draft section 7); 0: as the host is set up */
};

/* As setsc(), with options; none where that is a null pointer. */
int moorage_setsc(int sockfd, struct in6_addr *sourceAddress, sc_type addressType,
                  const struct moorage_options *options);

/* Returns what a result of the calls above means, in English; never a null pointer. */
const char *setsc_strerror(int status);

#ifdef __cplusplus
}
#endif

#endif
