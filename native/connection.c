#define _GNU_SOURCE

#include "connection.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static struct connection kept = {.descriptor = -1};
static atomic_flag taken = ATOMIC_FLAG_INIT;

struct connection *setsc_take(struct connection *own)
{
    if (!atomic_flag_test_and_set_explicit(&taken, memory_order_acquire))
        return &kept;
    own->descriptor = -1;
    return own;
}

void setsc_give_back(struct connection *connection)
{
    /* A program without standard output must not find this in its place. */
    if (connection != &kept || connection->descriptor <= STDERR_FILENO)
        setsc_hang_up(connection);
    if (connection == &kept)
        atomic_flag_clear_explicit(&taken, memory_order_release);
}

void setsc_hang_up(struct connection *connection)
{
    const int errno_before = errno;

    if (connection->descriptor >= 0)
        close(connection->descriptor);
    connection->descriptor = -1;
    errno = errno_before;
}

/* When the program ends or the library is unloaded. */
__attribute__((destructor)) static void hang_up_at_last(void)
{
    struct connection own;

    if (setsc_take(&own) == &kept)
        setsc_hang_up(&kept);
}

static uint64_t cookie_of(int descriptor)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;

    getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &length);
    return cookie;
}

bool setsc_is_usable(struct connection *connection, const struct sockaddr_un *daemon)
{
    if (connection->descriptor < 0)
        return false;
    if (cookie_of(connection->descriptor) != connection->cookie) {
        /* The program closed what it did not know, and its number may be something else's now. */
        connection->descriptor = -1;
        return false;
    }
    if (connection->process != getpid() || connection->user != geteuid() ||
        connection->group != getegid() ||
        strcmp(connection->daemon.sun_path, daemon->sun_path) != 0) {
        setsc_hang_up(connection);
        return false;
    }
    return true;
}

struct timespec setsc_from_now(uint64_t milliseconds)
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

/* Lets calls wait until then (SO_SNDTIMEO or SO_RCVTIMEO). */
static bool wait_until(int descriptor, int option, const struct timespec *deadline)
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
    return setsockopt(descriptor, SOL_SOCKET, option, &left, sizeof left) == 0;
}

/* Whether a signal interrupted a call. One whose time is over says EAGAIN. */
static bool interrupted(ssize_t result)
{
    if (result < 0 && errno == EAGAIN)
        errno = ETIMEDOUT;
    return result < 0 && errno == EINTR;
}

bool setsc_connect(struct connection *connection, const struct sockaddr_un *daemon,
                   const struct timespec *deadline)
{
    int result;

    connection->descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connection->descriptor < 0)
        return false;
    do {
        if (!wait_until(connection->descriptor, SO_SNDTIMEO, deadline))
            return false;
        result = connect(connection->descriptor, (const struct sockaddr *)daemon, sizeof *daemon);
    } while (interrupted(result));
    connection->requests = 0;
    connection->cookie = cookie_of(connection->descriptor);
    connection->process = getpid();
    connection->user = geteuid();
    connection->group = getegid();
    connection->daemon = *daemon;
    return result == 0;
}

bool setsc_send(const struct connection *connection, const void *record, size_t length,
                int descriptor, const struct timespec *deadline)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof descriptor)];
    } beside = {0};
    struct iovec data = {.iov_base = (void *)record, .iov_len = length};
    const struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &beside,
        .msg_controllen = sizeof beside.room,
    };
    ssize_t result;

    beside.head.cmsg_level = SOL_SOCKET;
    beside.head.cmsg_type = SCM_RIGHTS;
    beside.head.cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(&beside.head), &descriptor, sizeof descriptor);
    do {
        if (!wait_until(connection->descriptor, SO_SNDTIMEO, deadline))
            return false;
        result = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL);
    } while (interrupted(result));
    return result == (ssize_t)length;
}

bool setsc_receive(const struct connection *connection, void *record, size_t length,
                   const struct timespec *deadline)
{
    ssize_t result;

    do {
        if (!wait_until(connection->descriptor, SO_RCVTIMEO, deadline))
            return false;
        /* With MSG_TRUNC the result is the record's true length. */
        result = recv(connection->descriptor, record, length, MSG_TRUNC);
    } while (interrupted(result));
    if (result == 0)
        errno = ECONNRESET;
    else if (result > 0)
        errno = EPROTO;
    return result == (ssize_t)length;
}
