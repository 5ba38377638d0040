/*
 * A connection to the host daemon. One is kept from call to call, since the daemon takes its time
 * to find out who somebody is; who finds it taken makes one of his own. Nobody waits for another.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>

struct connection {
    int descriptor; /* -1: there is none yet */
    uint32_t requests;
    /* What it was made for; somebody else must not use it. */
    uint64_t cookie;
    pid_t process;
    uid_t user;
    gid_t group;
    struct sockaddr_un daemon;
};

/* Returns the one that is kept, or *own. */
struct connection *setsc_take(struct connection *own);

/* Keeps what was the one that is kept; hangs up otherwise. */
void setsc_give_back(struct connection *connection);

/* Closes it; leaves errno alone. */
void setsc_hang_up(struct connection *connection);

/* Whether it leads to that daemon, and was made by this very caller. If not, it is closed. */
bool setsc_is_usable(struct connection *connection, const struct sockaddr_un *daemon);

/* What follows waits until a moment at the latest (ETIMEDOUT), and returns whether it succeeded. */

struct timespec setsc_from_now(uint64_t milliseconds);

bool setsc_connect(struct connection *connection, const struct sockaddr_un *daemon,
                   const struct timespec *deadline);

/* Sends a record with a descriptor beside it. */
bool setsc_send(const struct connection *connection, const void *record, size_t length,
                int descriptor, const struct timespec *deadline);

/* Receives a record of that length, no other (EPROTO). */
bool setsc_receive(const struct connection *connection, void *record, size_t length,
                   const struct timespec *deadline);

#endif
