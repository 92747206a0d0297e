/*
 * A closed-loop load: so many connections, each with one request under way, as smtpd has.
 *
 * usage: load policy|map unix PATH|inet PORT CONNECTIONS KEYS DISTRIBUTION RECIPIENTS REQUESTS
 *
 * DISTRIBUTION is uniform, zipf (exponent 1), or each (every key once, in order).
 * RECIPIENTS is how many a message has: then another client, sender and instance follow.
 * It prints one line of JSON; times are nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, BUFFER = 4096, CLIENTS = 150, SAMPLES = 1 << 20 };

struct peer {
    int sock;
    uint32_t asked;   /* recipients of the message under way */
    uint32_t message; /* its number */
    uint64_t sent;
    size_t used;
    char buffer[BUFFER];
};

static int policy;
static uint32_t keys, per_message, messages;
static uint32_t *samples;
static uint64_t next_sample, samples_count;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static uint64_t random_state = 88172645463325252u;

static double random_unit(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Draws before the first request, and no more than are asked for: the server idles meanwhile. */
static void draw(const char *distribution, uint64_t wanted)
{
    samples_count = wanted < SAMPLES ? wanted : SAMPLES;
    if (strcmp(distribution, "each") == 0)
        samples_count = keys;
    samples = malloc(samples_count * sizeof *samples);
    double *sums = malloc(keys * sizeof *sums), sum = 0;
    random_state ^= now();
    for (uint32_t i = 0; i < keys; i++)
        sums[i] = sum += 1.0 / (i + 1);
    for (uint64_t n = 0; n < samples_count; n++) {
        if (strcmp(distribution, "each") == 0) {
            samples[n] = (uint32_t)n;
        } else if (strcmp(distribution, "uniform") == 0) {
            samples[n] = (uint32_t)(random_unit() * keys);
        } else {
            double at = random_unit() * sum;
            uint32_t low = 0, high = keys - 1;
            while (low < high) {
                uint32_t middle = (low + high) / 2;
                if (sums[middle] < at)
                    low = middle + 1;
                else
                    high = middle;
            }
            samples[n] = low;
        }
    }
    free(sums);
}

/* A request with fields of fixed width, into which only digits are written. */
static char template[1024];
static size_t template_size;
static char *client_at, *port_at, *sender_at, *recipient_at, *instance_at, *size_at;

static char *after(const char *text)
{
    char *at = strstr(template, text);
    if (!at)
        exit(70);
    return at + strlen(text);
}

static void prepare(void)
{
    if (!policy) {
        strcpy(template, "transport user00000@example.com,");
        char head[8];
        int size = snprintf(head, sizeof head, "%zu:", strlen(template) - 1);
        memmove(template + size, template, strlen(template) + 1);
        memcpy(template, head, (size_t)size);
        recipient_at = after("transport user");
    } else {
        strcpy(template,
               "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
               "client_address=198.51.100.100\nclient_name=unknown\nclient_port=40000\n"
               "reverse_client_name=unknown\nserver_address=192.0.2.1\nserver_port=25\n"
               "helo_name=client.example.org\nsender=someone00000@elsewhere.test\n"
               "recipient=user00000@example.com\nrecipient_count=0\nqueue_id=\n"
               "instance=00000.65d0c1d2.8f0a1.0\nsize=10000\netrn_domain=\nstress=\n"
               "sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n"
               "ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\n"
               "encryption_cipher=\nencryption_keysize=0\npolicy_context=inbound\n\n");
        client_at = after("client_address=198.51.100.");
        port_at = after("client_port=");
        sender_at = after("sender=someone");
        recipient_at = after("recipient=user");
        instance_at = after("instance=");
        size_at = after("size=");
    }
    template_size = strlen(template);
}

static void digits(char *at, int count, uint32_t number)
{
    for (; count > 0; number /= 10)
        at[--count] = (char)('0' + number % 10);
}

static void compose(struct peer *peer)
{
    digits(recipient_at, 5, samples[next_sample++ % samples_count]);
    if (!policy)
        return;
    if (peer->asked++ % per_message == 0)
        peer->message = messages++;
    digits(client_at, 3, 100 + peer->message % CLIENTS);
    digits(port_at, 5, 10000 + peer->message % 50000);
    digits(sender_at, 5, peer->message % 5000);
    digits(instance_at, 5, peer->message);
    digits(size_at, 5, 10000 + peer->message % 77777);
}

static int answered(const struct peer *peer)
{
    if (policy)
        return peer->used >= 2 && memcmp(peer->buffer + peer->used - 2, "\n\n", 2) == 0;
    const char *colon = memchr(peer->buffer, ':', peer->used);
    return colon && (size_t)(colon - peer->buffer) + strtoul(peer->buffer, NULL, 10) + 2
                        <= peer->used;
}

static void ask(struct peer *peer)
{
    compose(peer);
    peer->used = 0;
    peer->sent = now();
    if (write(peer->sock, template, template_size) != (ssize_t)template_size)
        die("write");
}

static int connected(char **argv)
{
    int sock, one = 1;

    if (strcmp(argv[2], "unix") == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        snprintf(at.sun_path, sizeof at.sun_path, "%s", argv[3]);
        sock = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(sock, (struct sockaddr *)&at, sizeof at) < 0)
            die("connect");
    } else {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sock = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(sock, (struct sockaddr *)&at, sizeof at) < 0)
            die("connect");
        setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    fcntl(sock, F_SETFL, O_NONBLOCK);
    return sock;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    if (argc != 9)
        return 64;
    policy = strcmp(argv[1], "policy") == 0;
    int count = atoi(argv[4]), poll = epoll_create1(0);
    keys = (uint32_t)atoi(argv[5]);
    per_message = (uint32_t)atoi(argv[7]);
    uint64_t wanted = strtoull(argv[8], NULL, 10), done = 0, begun = 0;
    uint32_t *times = malloc(wanted * sizeof *times);
    struct peer *peers = calloc((size_t)count, sizeof *peers);
    struct epoll_event events[EVENTS];

    prepare();
    draw(argv[6], wanted);
    messages = (uint32_t)(random_unit() * 1e9);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
        peers[i].sock = connected(argv);
        epoll_ctl(poll, EPOLL_CTL_ADD, peers[i].sock, &event);
    }
    uint64_t start = now();
    for (int i = 0; i < count && begun < wanted; i++, begun++)
        ask(&peers[i]);
    while (done < wanted) {
        int ready = epoll_wait(poll, events, EVENTS, 30000);
        if (ready <= 0)
            die("no answer for 30 s");
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            ssize_t got = read(peer->sock, peer->buffer + peer->used, BUFFER - peer->used);
            if (got <= 0)
                die("read");
            peer->used += (size_t)got;
            if (!answered(peer))
                continue;
            uint64_t took = now() - peer->sent;
            times[done++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
            if (begun < wanted) {
                begun++;
                ask(peer);
            }
        }
    }
    uint64_t took = now() - start;
    qsort(times, done, sizeof *times, by_size);
    printf("{\"requests\": %llu, \"elapsed\": %llu, \"p50\": %u, \"p99\": %u, \"p999\": %u, "
           "\"max\": %u}\n",
           (unsigned long long)done, (unsigned long long)took, times[done / 2],
           times[done * 99 / 100], times[done * 999 / 1000], times[done - 1]);
    return 0;
}
