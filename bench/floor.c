/*
 * The floor: an epoll server that reads a request and always gives the same answer.
 * No server can do less, so the CPU time of codomain is given as a multiple of this one's.
 *
 * usage: floor policy|map unix PATH | floor policy|map inet PORT
 * PORT may be 0.  It prints its port, or 0, when it listens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 64, BUFFER = 8192, CONNECTIONS = 1024 };

static const char POLICY[] = "action=DUNNO\n\n";
static const char MAP[] = "20:OK smtp:[192.0.2.20],";

struct peer {
    size_t used;
    char buffer[BUFFER];
};

static struct peer *peers[CONNECTIONS];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listening(int argc, char **argv)
{
    int one = 1, sock;

    if (argc == 4 && strcmp(argv[2], "unix") == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        snprintf(at.sun_path, sizeof at.sun_path, "%s", argv[3]);
        sock = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(sock, (struct sockaddr *)&at, sizeof at) < 0)
            die("bind");
    } else {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sock = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(sock, (struct sockaddr *)&at, sizeof at) < 0)
            die("bind");
    }
    if (listen(sock, 128) < 0)
        die("listen");
    return sock;
}

/* The length of the first whole request, 0 until it is there. */
static size_t request(const struct peer *peer, int policy)
{
    if (policy) {
        const char *end = memmem(peer->buffer, peer->used, "\n\n", 2);
        return end ? (size_t)(end - peer->buffer) + 2 : 0;
    }
    const char *colon = memchr(peer->buffer, ':', peer->used);
    if (!colon)
        return 0;
    size_t all = (size_t)(colon - peer->buffer) + 1 + strtoul(peer->buffer, NULL, 10) + 1;
    return all <= peer->used ? all : 0;
}

static int serve(int sock, int policy, const char *answer, size_t size)
{
    struct peer *peer = peers[sock];
    ssize_t got = read(sock, peer->buffer + peer->used, BUFFER - peer->used);
    size_t whole;

    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    peer->used += (size_t)got;
    while ((whole = request(peer, policy)) > 0) {
        if (write(sock, answer, size) != (ssize_t)size)
            return 0;
        peer->used -= whole;
        if (peer->used)
            memmove(peer->buffer, peer->buffer + whole, peer->used);
    }
    return peer->used < BUFFER;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    int policy = strcmp(argv[1], "policy") == 0;
    const char *answer = policy ? POLICY : MAP;
    size_t size = strlen(answer);
    int door = listening(argc, argv), poll = epoll_create1(0), one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, events[EVENTS];

    epoll_ctl(poll, EPOLL_CTL_ADD, door, &event);
    struct sockaddr_in at = {0};
    socklen_t length = sizeof at;
    getsockname(door, (struct sockaddr *)&at, &length);
    printf("%d\n", at.sin_family == AF_INET ? ntohs(at.sin_port) : 0);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int sock = events[i].data.fd;
            if (sock == door) {
                sock = accept4(door, NULL, NULL, SOCK_NONBLOCK);
                if (sock < 0 || sock >= CONNECTIONS)
                    die("accept");
                setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                free(peers[sock]);
                peers[sock] = calloc(1, sizeof(struct peer));
                event.data.fd = sock;
                epoll_ctl(poll, EPOLL_CTL_ADD, sock, &event);
            } else if (!serve(sock, policy, answer, size)) {
                close(sock);
            }
        }
    }
}
