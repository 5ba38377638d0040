/*
 * Calls to be measured. For each character that comes it makes a block of them, and prints how many
 * nanoseconds one has taken; arguments: an address of the host of Session-lasting type.
 *
 *     p  socket, bind, close            t  TCP: socket, an option, connect, an option, close
 *     s  socket, setsc, bind, close     u  UDP: sendto to ourselves
 *     d  the same by the daemon
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setsc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 100 };

static struct sockaddr_in6 typed = {.sin6_family = AF_INET6};
static struct sockaddr_in6 server = {.sin6_family = AF_INET6};
static struct sockaddr_in6 sink = {.sin6_family = AF_INET6};
static int listener, receiver, sender;

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

static int bound(int kind, struct sockaddr_in6 *name)
{
    socklen_t length = sizeof *name;
    int s = socket(AF_INET6, kind, 0);

    name->sin6_addr = in6addr_loopback;
    must(bind(s, (struct sockaddr *)name, length), "bind");
    must(getsockname(s, (struct sockaddr *)name, &length), "getsockname");
    return s;
}

static void use(int how)
{
    /* What has a lifetime of its own is beyond the hooks; the address is there from the second on. */
    const struct moorage_options options = {.lifetime = 3600};
    struct sockaddr_in6 source = typed;
    int s = socket(AF_INET6, SOCK_STREAM, 0);

    if (how == 's')
        must(setsc(s, &source.sin6_addr, SESSION_LASTING_IPV6_ADDRESS), "setsc");
    else if (how == 'd')
        must(moorage_setsc(s, &source.sin6_addr, SESSION_LASTING_IPV6_ADDRESS, &options), "setsc");
    must(bind(s, (struct sockaddr *)&source, sizeof source), "bind");
    close(s);
}

static void connect_to_ourselves(void)
{
    /* No TIME-WAIT. */
    const struct linger reset = {.l_onoff = 1};
    int error = 0, s = socket(AF_INET6, SOCK_STREAM, 0);
    socklen_t length = sizeof error;

    must(setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "setsockopt");
    must(connect(s, (struct sockaddr *)&server, sizeof server), "connect");
    must(getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &length), "getsockopt");
    close(accept(listener, NULL, NULL));
    close(s);
}

static void send_to_ourselves(void)
{
    char data[64] = {0};

    must(sendto(sender, data, sizeof data, 0, (struct sockaddr *)&sink, sizeof sink), "sendto");
    must(recv(receiver, data, sizeof data, 0), "recv");
}

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
    int what;

    if (argc != 2 || inet_pton(AF_INET6, argv[1], &typed.sin6_addr) != 1)
        return EXIT_FAILURE;
    listener = bound(SOCK_STREAM, &server);
    must(listen(listener, 8), "listen");
    receiver = bound(SOCK_DGRAM, &sink);
    must(sender = socket(AF_INET6, SOCK_DGRAM, 0), "socket");
    while ((what = getchar()) != EOF) {
        long long begin = now();

        for (int i = 0; i < BLOCK; i++) {
            if (what == 't')
                connect_to_ourselves();
            else if (what == 'u')
                send_to_ourselves();
            else
                use(what);
        }
        printf("%lld\n", (now() - begin) / BLOCK);
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
