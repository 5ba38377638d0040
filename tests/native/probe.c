/*
 * Calls setsc() in every way that a program may, for checkers of memory and threads to watch.
 *
 *     probe given       there is an answer: every call has to succeed
 *     probe refused     there is none: every call has to fail, and to leave the address alone
 *     probe cancelled   it is the daemon itself, and never answers a thread that is cancelled
 *
 * Ends with 0 if all was as it has to be, else it says what was not.
 */

#define _GNU_SOURCE

#include <netinet/in.h>
#include <pthread.h>
#include <setsc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, CALLS = 5 };

static bool given;
static pthread_barrier_t start;

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "probe: not so: %s\n", what);
        _exit(1);
    }
}

static int new_socket(int kind)
{
    int s = socket(AF_INET6, kind | SOCK_CLOEXEC, 0);

    check(s >= 0, "there is a socket");
    return s;
}

static struct in6_addr call(int s, sc_type type, const struct moorage_options *options)
{
    struct in6_addr address, before;
    int status;

    memset(&before, 0xA5, sizeof before);
    address = before;
    status = options != NULL ? moorage_setsc(s, &address, type, options) : setsc(s, &address, type);
    check((status == 0) == given, setsc_strerror(status));
    check((memcmp(&address, &before, sizeof before) != 0) == given, "the address is as it was");
    return address;
}

static void use(int s, sc_type type, const struct moorage_options *options)
{
    struct sockaddr_in6 source = {.sin6_family = AF_INET6, .sin6_addr = call(s, type, options)};

    if (given)
        check(bind(s, (struct sockaddr *)&source, sizeof source) == 0, "the address can be bound");
}

static void *thread(void *unused)
{
    pthread_barrier_wait(&start);
    for (int count = 0; count < CALLS; count++) {
        int s = new_socket(SOCK_DGRAM);

        use(s, SESSION_LASTING_IPV6_ADDRESS, NULL);
        close(s);
    }
    return unused;
}

static void in_threads(void)
{
    pthread_t threads[THREADS];

    pthread_barrier_init(&start, NULL, THREADS);
    for (int number = 0; number < THREADS; number++)
        check(pthread_create(&threads[number], NULL, thread, NULL) == 0, "there is a thread");
    for (int number = 0; number < THREADS; number++)
        pthread_join(threads[number], NULL);
    pthread_barrier_destroy(&start);
}

static void in_a_child(int s)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        call(s, SESSION_LASTING_IPV6_ADDRESS, NULL);
        _exit(0);
    }
    call(s, SESSION_LASTING_IPV6_ADDRESS, NULL);
    check(waitpid(child, &status, 0) == child && status == 0, "the child gets the same");
}

static void ignore(int number)
{
    (void)number;
}

static void under_signals(int s)
{
    const struct sigaction action = {.sa_handler = ignore}; /* without SA_RESTART */
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int count = 0; count < CALLS; count++)
        call(s, SESSION_LASTING_IPV6_ADDRESS, NULL);
    setitimer(ITIMER_REAL, &never, NULL);
}

static void *wait_in_vain(void *unused)
{
    call(new_socket(SOCK_STREAM), SESSION_LASTING_IPV6_ADDRESS, NULL);
    return unused;
}

static int cancelled(void)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0), connection;
    char request[64];
    pthread_t thread;
    void *result;

    strncpy(here.sun_path, getenv("MOORAGE_SOCKET"), sizeof here.sun_path - 1);
    check(bind(listener, (struct sockaddr *)&here, sizeof here) == 0, "it can be the daemon");
    listen(listener, 1);
    pthread_create(&thread, NULL, wait_in_vain, NULL);
    connection = accept(listener, NULL, NULL);
    check(recv(connection, request, sizeof request, 0) > 0, "there is a request");
    pthread_cancel(thread);
    pthread_join(thread, &result);
    check(result == PTHREAD_CANCELED, "the thread has ended");
    check(recv(connection, request, sizeof request, 0) == 0, "its connection has, too");
    return 0;
}

int main(int argc, char **argv)
{
    const struct moorage_options on_net = {.on_net = 1, .timeout_ms = 20000};
    const struct moorage_options lifetime = {.lifetime = 3600};
    int s, copy;

    if (argc == 2 && strcmp(argv[1], "cancelled") == 0)
        return cancelled();
    given = argc == 2 && strcmp(argv[1], "given") == 0;
    check(given || (argc == 2 && strcmp(argv[1], "refused") == 0), "usage: probe given|refused|cancelled");
    for (int type = FIXED_IPV6_ADDRESS; type <= GRACEFUL_REPLACEMENT_IPV6_ADDRESS; type++) {
        s = new_socket(SOCK_STREAM);
        use(s, (sc_type)type, NULL);
        close(s);
    }
    s = new_socket(SOCK_STREAM);
    use(s, SESSION_LASTING_IPV6_ADDRESS, &on_net);
    close(s);
    s = new_socket(SOCK_STREAM);
    use(s, SESSION_LASTING_IPV6_ADDRESS, &lifetime);
    close(s);

    s = new_socket(SOCK_STREAM);
    copy = dup(s);
    call(copy, SESSION_LASTING_IPV6_ADDRESS, NULL);
    close(copy);
    in_a_child(s);
    under_signals(s);
    close(s);
    in_threads();
    return 0;
}
