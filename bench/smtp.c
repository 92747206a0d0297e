/*
 * An SMTP load: so many sessions at once, each of so many messages of so many recipients.
 *
 * usage: smtp PORT SESSIONS MESSAGES RECIPIENTS PREFIX FIRST COUNT uniform|each leave|send
 *
 * Recipients are PREFIX with five digits at example.com, of COUNT from FIRST on: drawn
 * uniformly, or each in turn.  With `leave` a message ends with RSET after its recipients, with
 * `send` by its text, as soon as one of them was taken.  No command goes out before the last one
 * was answered.  It prints one line of JSON; times are nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 4096, WAIT_SECONDS = 60 };

static int port, messages, recipients, each, send_them;
static unsigned first, count;
static const char *prefix;
static unsigned long next_key, accepted, refused, deferred;

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

/* Reads a reply, and returns its code; a line whose fourth octet is a hyphen is not the last. */
static int reply(int sock, char *buffer)
{
    size_t used = 0;
    for (;;) {
        ssize_t got = read(sock, buffer + used, LINE - 1 - used);
        if (got <= 0)
            die("read");
        used += (size_t)got;
        buffer[used] = 0;
        if (buffer[used - 1] != '\n')
            continue;
        char *last = buffer;
        for (char *at = buffer; (at = strchr(at, '\n')) && at[1]; at++)
            last = at + 1;
        if (last[3] != '-')
            return atoi(last);
    }
}

static int command(int sock, char *buffer, const char *text)
{
    size_t size = strlen(text);
    if (write(sock, text, size) != (ssize_t)size)
        die("write");
    return reply(sock, buffer);
}

static void expect(int sock, char *buffer, const char *text, int code)
{
    if (command(sock, buffer, text) != code) {
        fprintf(stderr, "%s was answered: %s", text, buffer);
        exit(1);
    }
}

static int connected(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    int one = 1, sock = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(sock, (struct sockaddr *)&at, sizeof at) < 0)
        die("connect");
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    return sock;
}

static void *session(void *argument)
{
    char buffer[LINE], text[256];
    unsigned seed = (unsigned)(uintptr_t)argument ^ (unsigned)now();
    int sock = connected();

    if (reply(sock, buffer) != 220)
        die("greeting");
    expect(sock, buffer, "EHLO client.elsewhere.test\r\n", 250);
    for (int m = 0; m < messages; m++) {
        int taken = 0;
        expect(sock, buffer, "MAIL FROM:<author@elsewhere.test>\r\n", 250);
        for (int r = 0; r < recipients; r++) {
            unsigned key = each ? (unsigned)__sync_fetch_and_add(&next_key, 1)
                                : (unsigned)rand_r(&seed);
            snprintf(text, sizeof text, "RCPT TO:<%s%05u@example.com>\r\n", prefix,
                     first + key % count);
            int code = command(sock, buffer, text) / 100;
            taken += code == 2;
            __sync_fetch_and_add(code == 2 ? &accepted : code == 5 ? &refused : &deferred, 1);
            if (code == 4 && deferred == 1)
                fprintf(stderr, "%s", buffer);
        }
        if (send_them && taken) {
            expect(sock, buffer, "DATA\r\n", 354);
            expect(sock, buffer, "Subject: x\r\n\r\nx\r\n.\r\n", 250);
        } else {
            expect(sock, buffer, "RSET\r\n", 250);
        }
    }
    command(sock, buffer, "QUIT\r\n");
    close(sock);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 10)
        return 64;
    port = atoi(argv[1]);
    int sessions = atoi(argv[2]);
    messages = atoi(argv[3]);
    recipients = atoi(argv[4]);
    prefix = argv[5];
    first = (unsigned)atoi(argv[6]);
    count = (unsigned)atoi(argv[7]);
    each = strcmp(argv[8], "each") == 0;
    send_them = strcmp(argv[9], "send") == 0;
    pthread_t *threads = calloc((size_t)sessions, sizeof *threads);
    uint64_t start = now();
    for (int n = 0; n < sessions; n++)
        if (pthread_create(&threads[n], NULL, session, (void *)(uintptr_t)(n * 7919 + 1)))
            die("pthread_create");
    for (int n = 0; n < sessions; n++)
        pthread_join(threads[n], NULL);
    printf("{\"elapsed\": %llu, \"accepted\": %lu, \"refused\": %lu, \"deferred\": %lu}\n",
           (unsigned long long)(now() - start), accepted, refused, deferred);
    return 0;
}
