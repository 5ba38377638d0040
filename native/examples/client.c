/*
 * The example of the draft's section 4.1, made compilable: a TCP connection with a Session-lasting
 * source address, which goes on while the host moves.
 *
 *     cc -o client client.c $(pkg-config --cflags --libs libsetsc)
 *     ./client 2001:db8::1 7
 *
 * It sends what it reads to the server and prints what comes back; "connected from ADDRESS" first.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setsc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sends each line of the standard input and prints as much as comes back. */
static int converse(int s)
{
    char line[1024];

    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t left = strlen(line);

        if (send(s, line, left, MSG_NOSIGNAL) != (ssize_t)left) {
            perror("send");
            return EXIT_FAILURE;
        }
        while (left > 0) {
            ssize_t count = recv(s, line, left, 0);

            if (count <= 0) {
                perror("recv");
                return EXIT_FAILURE;
            }
            fwrite(line, 1, (size_t)count, stdout);
            left -= (size_t)count;
        }
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int s;       /* socket id */
    int outcome; /* of setsc(), and of the program */

    /* Source information, for setsc() and bind() */
    struct sockaddr_in6 sourceInfo = {.sin6_family = AF_INET6};
    struct in6_addr sourceAddress; /* will contain the provisioned source address */
    const sc_type type = IPV6_REQUIRE_SESSION_LASTING_IP;
    char text[INET6_ADDRSTRLEN];

    /* Destination information, for connect() */
    struct sockaddr_in6 serverInfo = {.sin6_family = AF_INET6};

    if (argc != 3 || inet_pton(AF_INET6, argv[1], &serverInfo.sin6_addr) != 1) {
        fprintf(stderr, "usage: %s ADDRESS PORT\n", argv[0]);
        return EXIT_FAILURE;
    }
    serverInfo.sin6_port = htons((uint16_t)strtoul(argv[2], NULL, 10));

    s = socket(AF_INET6, SOCK_STREAM, 0);
    if (s < 0) {
        perror("socket");
        return EXIT_FAILURE;
    }

    /* A Session-lasting source address has to be there before the application connects. */
    outcome = setsc(s, &sourceAddress, type);
    if (outcome == 0) {
        /* Bind to that address, and let the stack choose the port. */
        sourceInfo.sin6_port = 0;
        sourceInfo.sin6_addr = sourceAddress;
        if (bind(s, (const struct sockaddr *)&sourceInfo, sizeof sourceInfo) != 0) {
            perror("bind");
            close(s);
            return EXIT_FAILURE;
        }
    } else {
        /* Connect without the desired service. */
        fprintf(stderr, "setsc: %s\n", setsc_strerror(outcome));
    }

    if (connect(s, (const struct sockaddr *)&serverInfo, sizeof serverInfo) != 0) {
        perror("connect");
        close(s);
        return EXIT_FAILURE;
    }
    if (outcome == 0)
        printf("connected from %s\n", inet_ntop(AF_INET6, &sourceAddress, text, sizeof text));
    else
        puts("connected");
    fflush(stdout);

    outcome = converse(s);
    close(s);
    return outcome;
}
