/* The two ways to an address: the kernel's hooks, and the host daemon. */
#ifndef ASK_H
#define ASK_H

#include "setsc.h"

#include <stdbool.h>
#include <stdint.h>

/* What is asked for. */
struct wish {
    sc_type type;
    bool on_net;
    uint32_t timeout_ms; /* 0: the daemon's own */
    uint32_t lifetime;   /* seconds; 0: the daemon's own */
};

/* What the kernel says. */
enum kernel_answer {
    KERNEL_GAVE,       /* *address is it */
    KERNEL_KNOWS_NOT,  /* the daemon has to be asked */
    KERNEL_REFUSED     /* this is no IPv6 socket; errno says what it is */
};

/* Asks the kernel; sets wish->on_net where the flag of the socket is set. */
enum kernel_answer setsc_ask_kernel(int sockfd, struct wish *wish, struct in6_addr *address);

/* Asks the daemon. Returns what setsc() does; where that is not 0, errno says why. */
int setsc_ask_daemon(int sockfd, const struct wish *wish, struct in6_addr *address);

#endif
