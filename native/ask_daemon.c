/*
 * The slow way: one record each way over a connection to the host daemon, with the socket beside
 * the request, so that the daemon sees for itself which it is ("The application protocol" in
 * docs/protocol.md).
 *
 * Each call makes a connection of its own. One that is kept would be shared with a child after
 * fork(), be under the number of something else after a program closed what it did not know, and
 * show the daemon who the caller was, not who he is.
 */

#define _GNU_SOURCE /* secure_getenv */

#include "ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char default_socket[] = "/run/moorage/host.sock";

/* Milliseconds. The daemon knows how long to wait for the network, and says so when it did. */
enum {
    GRACE = 1000,    /* beyond the time that it was given, for its answer to come */
    PATIENCE = 60000 /* with one that knows the time itself, before it counts as hung */
};

enum { VERSION = 1, REQUEST = 1, REPLY = 2, SETSC = 1, ID = 1 };
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

/* ---- waiting no longer than until a moment, whatever signals arrive -------------------------- */

static struct timespec from_now(uint64_t milliseconds)
{
    struct timespec moment;

    clock_gettime(CLOCK_MONOTONIC, &moment);
    moment.tv_sec += (time_t)(milliseconds / 1000);
    moment.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (moment.tv_nsec >= 1000000000) {
        moment.tv_sec++;
        moment.tv_nsec -= 1000000000;
    }
    return moment;
}

/* Lets calls on a connection wait until then (SO_SNDTIMEO or SO_RCVTIMEO). */
static bool wait_until(int connection, int option, const struct timespec *deadline)
{
    struct timespec now;
    struct timeval left;

    clock_gettime(CLOCK_MONOTONIC, &now);
    left.tv_sec = deadline->tv_sec - now.tv_sec;
    left.tv_usec = (deadline->tv_nsec - now.tv_nsec) / 1000;
    if (left.tv_usec < 0) {
        left.tv_sec--;
        left.tv_usec += 1000000;
    }
    if (left.tv_sec < 0 || (left.tv_sec == 0 && left.tv_usec == 0)) {
        errno = ETIMEDOUT;
        return false;
    }
    return setsockopt(connection, SOL_SOCKET, option, &left, sizeof left) == 0;
}

/* Whether a call has to be made again. A socket whose time is over says EAGAIN. */
static bool again(ssize_t result)
{
    if (result < 0 && errno == EAGAIN)
        errno = ETIMEDOUT;
    return result < 0 && errno == EINTR;
}

static bool reach(int connection, const struct sockaddr_un *there, const struct timespec *deadline)
{
    int result;

    do {
        if (!wait_until(connection, SO_SNDTIMEO, deadline))
            return false;
        result = connect(connection, (const struct sockaddr *)there, sizeof *there);
    } while (again(result));
    return result == 0;
}

static bool put(int connection, const struct request *request, int subject,
                const struct timespec *deadline)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } beside = {0};
    struct iovec record = {.iov_base = (void *)request, .iov_len = sizeof *request};
    struct msghdr message = {
        .msg_iov = &record,
        .msg_iovlen = 1,
        .msg_control = &beside,
        .msg_controllen = sizeof beside.room,
    };
    ssize_t result;

    beside.head.cmsg_level = SOL_SOCKET;
    beside.head.cmsg_type = SCM_RIGHTS;
    beside.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&beside.head), &subject, sizeof subject);
    do {
        if (!wait_until(connection, SO_SNDTIMEO, deadline))
            return false;
        result = sendmsg(connection, &message, MSG_NOSIGNAL);
    } while (again(result));
    return result == (ssize_t)sizeof *request;
}

static bool get(int connection, struct reply *reply, const struct timespec *deadline)
{
    ssize_t result;

    do {
        if (!wait_until(connection, SO_RCVTIMEO, deadline))
            return false;
        /* With MSG_TRUNC the result is the record's true length. */
        result = recv(connection, reply, sizeof *reply, MSG_TRUNC);
    } while (again(result));
    if (result == 0)
        errno = ECONNRESET;
    else if (result > 0)
        errno = EPROTO;
    return result == (ssize_t)sizeof *reply && memcmp(reply->head.magic, magic, sizeof magic) == 0 &&
           reply->head.version == VERSION && reply->head.kind == REPLY &&
           reply->head.id == htonl(ID);
}

/* ---- the exchange ---------------------------------------------------------------------------- */

/* Returns false where the path is longer than such an address can be. */
static bool find_daemon(struct sockaddr_un *there)
{
    const char *path = secure_getenv("MOORAGE_SOCKET");

    if (path == NULL)
        path = default_socket;
    *there = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof there->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(there->sun_path, path);
    return true;
}

static int exchange(int connection, int sockfd, const struct wish *wish, struct in6_addr *address)
{
    const struct timespec deadline =
        from_now(wish->timeout_ms != 0 ? (uint64_t)wish->timeout_ms + GRACE : PATIENCE);
    const struct request request = {
        .head = {.magic = {magic[0], magic[1]}, .version = VERSION, .kind = REQUEST, .id = htonl(ID)},
        .operation = SETSC,
        .type = (uint8_t)wish->type,
        .on_net = wish->on_net,
        .timeout_ms = htonl(wish->timeout_ms),
        .lifetime = htonl(wish->lifetime),
    };
    struct sockaddr_un there;
    struct reply reply;

    if (!find_daemon(&there))
        return EAI_REQUIREDIPNOTSUPPORTED;
    if (!reach(connection, &there, &deadline))
        return errno == ETIMEDOUT ? EAI_REQUIREDIPFAILED : EAI_REQUIREDIPNOTSUPPORTED;
    if (!put(connection, &request, sockfd, &deadline) || !get(connection, &reply, &deadline))
        return EAI_REQUIREDIPFAILED;
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

static void hang_up(void *connection)
{
    const int errno_before = errno;

    close(*(int *)connection);
    errno = errno_before;
}

int setsc_ask_daemon(int sockfd, const struct wish *wish, struct in6_addr *address)
{
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int status;

    if (connection < 0)
        return EAI_REQUIREDIPFAILED;
    /* A thread that is cancelled while it waits leaves nothing open. */
    pthread_cleanup_push(hang_up, &connection);
    status = exchange(connection, sockfd, wish, address);
    pthread_cleanup_pop(1);
    return status;
}
