/*
 * The slow way: one record each way over a connection to the host daemon, with the socket beside
 * the request, so that the daemon sees for itself which it is. The records are those of
 * moorage.wire.app.
 */

#define _GNU_SOURCE /* secure_getenv */

#include "ask.h"
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char default_socket[] = "/run/moorage/host.sock";

/* Milliseconds. The daemon knows how long to wait for the network, and says so when it did. */
enum {
    GRACE = 1000,    /* beyond the time that it was given, for its answer to come */
    PATIENCE = 60000 /* with one that knows the time itself, before it counts as hung */
};

enum { VERSION = 1, REQUEST = 1, REPLY = 2, SETSC = 1 };
static const char magic[2] = {'M', 'R'};

/* The records have no gaps; numbers are in network byte order. */
struct head {
    char magic[2];
    uint8_t version;
    uint8_t kind;
    uint32_t id;
};

struct request {
    struct head head;
    uint8_t operation;
    uint8_t type;
    uint8_t on_net;
    uint8_t unused;
    uint32_t timeout_ms;
    uint32_t lifetime;
};

struct reply {
    struct head head;
    uint32_t status;
    uint8_t reason;
    uint8_t unused[3];
    struct in6_addr address;
    uint32_t valid_for;
};

_Static_assert(sizeof(struct request) == 20, "as the daemon knows it");
_Static_assert(sizeof(struct reply) == 36, "as the daemon knows it");

/* What errno says of the daemon's reason, which is finer than the draft's two codes. */
static int errno_of(uint8_t reason)
{
    switch (reason) {
    case 1:  /* TYPE_NOT_OFFERED */
    case 18: /* NO_SERVICE */
        return EOPNOTSUPP;
    case 2: /* POOL_FULL */
        return EADDRNOTAVAIL;
    case 3:  /* QUOTA */
    case 22: /* HOST_QUOTA */
        return EDQUOT;
    case 4:  /* NOT_AUTHORISED */
    case 21: /* HOST_NOT_AUTHORISED */
        return EACCES;
    case 5: /* TRY_LATER */
        return EAGAIN;
    case 6: /* SIGNATURE_OR_TIME */
        return EKEYREJECTED;
    case 16: /* DETACHED */
        return ENETUNREACH;
    case 17: /* TIMEOUT */
        return ETIMEDOUT;
    case 19: /* BAD_REQUEST */
        return EINVAL;
    default:
        return EPROTO;
    }
}

static int fail(int status, int reason)
{
    errno = reason;
    return status;
}

/* Returns false where the path is longer than such an address can be. */
static bool find_daemon(struct sockaddr_un *daemon)
{
    const char *path = secure_getenv("MOORAGE_SOCKET");

    if (path == NULL)
        path = default_socket;
    *daemon = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof daemon->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(daemon->sun_path, path);
    return true;
}

static bool is_answer(const struct reply *reply, const struct request *request)
{
    errno = EPROTO; /* unless it is */
    return memcmp(reply->head.magic, magic, sizeof magic) == 0 && reply->head.version == VERSION &&
           reply->head.kind == REPLY && reply->head.id == request->head.id;
}

static bool put(struct connection *connection, struct request *request, int sockfd,
                const struct timespec *deadline)
{
    request->head.id = htonl(++connection->requests);
    return setsc_send(connection, request, sizeof *request, sockfd, deadline);
}

/* What it means that no connection can be made: whether there is no daemon, or something else. */
static int status_of_connecting(int reason)
{
    switch (reason) {
    case ETIMEDOUT:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return EAI_REQUIREDIPFAILED;
    default:
        return EAI_REQUIREDIPNOTSUPPORTED;
    }
}

/* Returns 0 where there is a reply. */
static int exchange(struct connection *connection, int sockfd, const struct wish *wish,
                    struct reply *reply)
{
    const struct timespec deadline =
        setsc_from_now(wish->timeout_ms != 0 ? (uint64_t)wish->timeout_ms + GRACE : PATIENCE);
    struct request request = {
        .head = {.magic = {magic[0], magic[1]}, .version = VERSION, .kind = REQUEST},
        .operation = SETSC,
        .type = (uint8_t)wish->type,
        .on_net = wish->on_net,
        .timeout_ms = htonl(wish->timeout_ms),
        .lifetime = htonl(wish->lifetime),
    };
    struct sockaddr_un daemon;

    if (!find_daemon(&daemon))
        return EAI_REQUIREDIPNOTSUPPORTED;
    if (!setsc_is_usable(connection, &daemon) || !put(connection, &request, sockfd, &deadline)) {
        /* There is none yet, or the daemon was started anew since the last call. */
        setsc_hang_up(connection);
        if (!setsc_connect(connection, &daemon, &deadline))
            return status_of_connecting(errno);
        if (!put(connection, &request, sockfd, &deadline))
            return EAI_REQUIREDIPFAILED;
    }
    if (!setsc_receive(connection, reply, sizeof *reply, &deadline) || !is_answer(reply, &request))
        return EAI_REQUIREDIPFAILED;
    return 0;
}

/* After a failure, lest the next call gets what may still come; where a thread is cancelled, too. */
static void drop(void *connection)
{
    setsc_hang_up(connection);
    setsc_give_back(connection);
}

int setsc_ask_daemon(int sockfd, const struct wish *wish, struct in6_addr *address)
{
    struct connection own, *connection = setsc_take(&own);
    struct reply reply;
    int status;

    pthread_cleanup_push(drop, connection);
    status = exchange(connection, sockfd, wish, &reply);
    pthread_cleanup_pop(status != 0);
    if (status != 0)
        return status;
    setsc_give_back(connection);
    switch ((int)ntohl(reply.status)) {
    case 0:
        *address = reply.address;
        return 0;
    case EAI_REQUIREDIPNOTSUPPORTED:
        return fail(EAI_REQUIREDIPNOTSUPPORTED, errno_of(reply.reason));
    default:
        return fail(EAI_REQUIREDIPFAILED, errno_of(reply.reason));
    }
}
