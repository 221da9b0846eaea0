/* SPDX-License-Identifier: MIT */
/*
 * A round trip over loopback TCP as short as this machine makes it: both ends spin on recv and
 * nothing is between them and the kernel. What a messaging library adds is measured against this.
 *
 *   pingpong [size [seconds]]     prints {"p50": us, "p99": us}
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES 4000000

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Whether all of it arrived; 0 when the other end has closed. */
static int recv_all(int fd, char *buf, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t n = recv(fd, buf + got, size - got, MSG_DONTWAIT);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0)
            return 0;
        else if (errno != EAGAIN && errno != EINTR)
            return 0;
    }
    return 1;
}

static void send_all(int fd, const char *buf, size_t size)
{
    size_t sent = 0;

    while (sent < size) {
        ssize_t n = send(fd, buf + sent, size - sent, 0);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            die("send");
    }
}

static void no_delay(int fd)
{
    int one = 1;

    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        die("setsockopt");
}

static void echo(const struct sockaddr_in *addr, char *buf, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
        die("connect");
    no_delay(fd);
    while (recv_all(fd, buf, size))
        send_all(fd, buf, size);
    close(fd);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0.5;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t addr_len = sizeof(addr);
    uint32_t *samples = malloc(MAX_SAMPLES * sizeof(*samples));
    char *buf = size > 0 ? calloc(1, size) : NULL;
    size_t n = 0;
    int64_t start, end, before;
    pid_t child;
    int listener, fd;

    if (samples == NULL || buf == NULL || seconds <= 0) {
        fprintf(stderr, "usage: pingpong [size [seconds]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&addr, &addr_len) != 0)
        die("listen");
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(listener);
        echo(&addr, buf, size);
        _exit(0);
    }
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("accept");
    no_delay(fd);

    start = before = now_ns();
    end = start + (int64_t)(seconds * 1.2e9);
    while (before < end && n < MAX_SAMPLES) {
        int64_t after;

        send_all(fd, buf, size);
        if (!recv_all(fd, buf, size))
            die("recv");
        after = now_ns();
        /* A sixth of the time is warm-up. */
        if (after - start > (end - start) / 6)
            samples[n++] = (uint32_t)(after - before);
        before = after;
    }
    close(fd);
    waitpid(child, NULL, 0);
    if (n == 0)
        die("no round trip ended in time");
    qsort(samples, n, sizeof(*samples), by_value);
    printf("{\"p50\": %.3f, \"p99\": %.3f}\n", samples[n / 2] / 1e3, samples[n * 99 / 100] / 1e3);
    free(samples);
    free(buf);
    return 0;
}
