/* SPDX-License-Identifier: MIT */
/*
 * What two processes with many loopback TCP connections between them reach with nothing but the
 * kernel's calls: the floor of the scenarios "router" and "connect".
 *
 *   many echo [clients [seconds]]       64 bytes there and back; the client goes through its
 *                                       connections in turn: takes the answer, asks again
 *   many connect [clients [seconds]]    waves of new connections, each with the bytes and the steps
 *                                       of a ZMTP 3.1 NULL handshake, a message and its answer
 *
 * Prints {"rate": round trips or clients a second, "cpu": us of both ends for each of them}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 20000
#define BATCH 64
#define ECHO_SIZE 64
#define WAVES_MIN 3
#define WAVES_MAX 10000

/* What each side of a handshake sends, and how many bytes of the other side it waits for before. */
static const uint8_t SIGNATURE[10] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f};
static const uint8_t MAJOR[1] = {3};
static const uint8_t REST[53] = {1, 'N', 'U', 'L', 'L'};
static const uint8_t READY[] = "\x04\x29\x05READY"
                               "\x0bSocket-Type\0\0\0\x06"
                               "DEALER"
                               "\x08Identity\0\0\0";
static const uint8_t MESSAGE[] = "\0\5first";

#define READY_SIZE sizeof(READY) /* the zero at its end is the last byte of a length */
#define MESSAGE_SIZE (sizeof(MESSAGE) - 1)
#define READY_AT 64
#define MESSAGE_AT (READY_AT + READY_SIZE)
#define ALL_SIZE (MESSAGE_AT + MESSAGE_SIZE)

struct step {
    const void *data;
    size_t size;
    size_t after;
};

static const struct step CLIENT_STEPS[] = {{SIGNATURE, sizeof(SIGNATURE), 0},
                                           {MAJOR, sizeof(MAJOR), 10},
                                           {REST, sizeof(REST), 11},
                                           {READY, READY_SIZE, READY_AT},
                                           {MESSAGE, MESSAGE_SIZE, MESSAGE_AT}};
static const struct step SERVER_STEPS[] = {{SIGNATURE, sizeof(SIGNATURE), 0},
                                           {MAJOR, sizeof(MAJOR), 10},
                                           {REST, sizeof(REST), 11},
                                           {READY, READY_SIZE, READY_AT},
                                           {MESSAGE, MESSAGE_SIZE, ALL_SIZE}};

#define STEPS (sizeof(CLIENT_STEPS) / sizeof(CLIENT_STEPS[0]))

struct peer {
    size_t got;
    unsigned step;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int must(int rc, const char *what)
{
    if (rc < 0)
        die(what);
    return rc;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    must(clock_gettime(clock, &now), "clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The processor time of this process and of another one. */
static double cpu_of_both(pid_t other)
{
    clockid_t clock;

    if (clock_getcpuclockid(other, &clock) != 0)
        die("clock_getcpuclockid");
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID) + seconds_of(clock);
}

static void no_delay(int fd)
{
    int one = 1;

    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "TCP_NODELAY");
}

/* As the engine chooses it within a host; where it is missing, the system's own serves too. */
static void reno(int fd)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static void watch(int epoll, int fd, struct peer *peer)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = (uint64_t)fd}};

    peer[fd] = (struct peer){0};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void send_small(int fd, const void *data, size_t size)
{
    if (send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        die("send");
}

/* Sends what the bytes that came allow, in one call as far as it goes. */
static void advance(int fd, struct peer *peer, const struct step *steps)
{
    uint8_t out[256];
    size_t size = 0;

    while (peer->step < STEPS && peer->got >= steps[peer->step].after) {
        memcpy(out + size, steps[peer->step].data, steps[peer->step].size);
        size += steps[peer->step++].size;
    }
    if (size > 0)
        send_small(fd, out, size);
}

/* Takes what a connection has and answers it; closes it at its end. */
static void attend(int fd, struct peer *peer, bool shake)
{
    char buf[512];
    ssize_t size = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (size == 0 || (size < 0 && errno == ECONNRESET)) {
        close(fd);
        return;
    }
    if (size < 0 && errno != EAGAIN)
        die("recv");
    if (shake) {
        peer->got += size > 0 ? (size_t)size : 0;
        advance(fd, peer, SERVER_STEPS);
    } else if (size > 0) {
        send_small(fd, buf, (size_t)size);
    }
}

/* Serves until it is killed: echoes, or answers handshakes. */
static void serve(int listener, struct peer *peer, bool shake)
{
    int epoll = must(epoll_create1(0), "epoll_create1");

    watch(epoll, listener, peer);
    for (;;) {
        struct epoll_event events[BATCH];
        int n = must(epoll_wait(epoll, events, BATCH, -1), "epoll_wait");

        for (int i = 0; i < n; i++) {
            int fd = (int)events[i].data.u64;

            if (fd != listener) {
                attend(fd, &peer[fd], shake);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                no_delay(fd);
                watch(epoll, fd, peer);
                if (shake) /* the client's signature is mostly there */
                    attend(fd, &peer[fd], true);
            }
        }
    }
}

/* Connects; *connected when that is done already, which within a host shows at the second call. */
static int start_connect(const struct sockaddr_in *addr, bool *connected)
{
    const struct sockaddr *to = (const struct sockaddr *)addr;
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");

    reno(fd);
    no_delay(fd);
    *connected = connect(fd, to, sizeof(*addr)) == 0 ||
                 (errno == EINPROGRESS && connect(fd, to, sizeof(*addr)) == 0);
    if (!*connected && errno != EINPROGRESS && errno != EALREADY)
        die("connect");
    return fd;
}

static void take_echo(int fd)
{
    char buf[ECHO_SIZE];
    size_t got = 0;

    while (got < sizeof(buf)) {
        ssize_t n = recv(fd, buf + got, sizeof(buf) - got, MSG_DONTWAIT);

        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            die("recv");
    }
}

static void echo(const struct sockaddr_in *addr, int clients, double seconds, pid_t server)
{
    static const char payload[ECHO_SIZE];
    int *fds = calloc((size_t)clients, sizeof(*fds));
    double start, cpu, took;
    long rounds = 0;

    if (fds == NULL)
        die("calloc");
    for (int i = 0; i < clients; i++) {
        fds[i] = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
        reno(fds[i]);
        no_delay(fds[i]);
        must(connect(fds[i], (const struct sockaddr *)addr, sizeof(*addr)), "connect");
        send_small(fds[i], payload, sizeof(payload));
    }
    /* A fifth more for warm-up. */
    for (int warm = 1; warm >= 0; warm--) {
        rounds = 0;
        start = seconds_of(CLOCK_MONOTONIC);
        cpu = cpu_of_both(server);
        do {
            for (int i = 0; i < clients; i++) {
                take_echo(fds[i]);
                send_small(fds[i], payload, sizeof(payload));
            }
            rounds++;
            took = seconds_of(CLOCK_MONOTONIC) - start;
        } while (took < (warm ? seconds / 5 : seconds));
        cpu = cpu_of_both(server) - cpu;
    }
    for (int i = 0; i < clients; i++)
        close(fds[i]);
    free(fds);
    printf("{\"rate\": %.1f, \"cpu\": %.3f}\n", (double)rounds * clients / took,
           cpu / (double)rounds / clients * 1e6);
}

/* New connections until each has its answer, with their descriptors in fds. */
static void wave(int epoll, const struct sockaddr_in *addr, struct peer *peer, int *fds,
                 int clients)
{
    int missing = clients;

    for (int i = 0; i < clients; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET};
        bool connected;
        int fd = fds[i] = start_connect(addr, &connected);

        peer[fd] = (struct peer){0};
        event.data.u64 = (uint64_t)fd;
        if (connected)
            advance(fd, &peer[fd], CLIENT_STEPS);
        else
            event.events |= EPOLLOUT;
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }
    while (missing > 0) {
        struct epoll_event events[BATCH];
        int n = must(epoll_wait(epoll, events, BATCH, -1), "epoll_wait");

        for (int i = 0; i < n; i++) {
            int fd = (int)events[i].data.u64;
            char buf[512];
            ssize_t size;

            if (events[i].events & (EPOLLERR | EPOLLHUP))
                die("connection");
            if (events[i].events & EPOLLIN) {
                size = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
                if (size <= 0)
                    die("recv");
                peer[fd].got += (size_t)size;
                missing -= peer[fd].got == ALL_SIZE;
            }
            advance(fd, &peer[fd], CLIENT_STEPS);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void connect_waves(const struct sockaddr_in *addr, struct peer *peer, int clients,
                          double seconds, pid_t server)
{
    static double took[WAVES_MAX], cpu[WAVES_MAX];
    const struct timespec rest = {.tv_nsec = 50000000};
    int *fds = calloc((size_t)clients, sizeof(*fds));
    int epoll = must(epoll_create1(0), "epoll_create1");
    double end = seconds_of(CLOCK_MONOTONIC) + seconds;
    int n = 0;

    if (fds == NULL)
        die("calloc");
    /* The first wave is warm-up. */
    for (int i = -1; i < WAVES_MIN || (i < WAVES_MAX && seconds_of(CLOCK_MONOTONIC) < end); i++) {
        double cpu_before = cpu_of_both(server), start = seconds_of(CLOCK_MONOTONIC);

        wave(epoll, addr, peer, fds, clients);
        n = i < 0 ? 0 : i;
        took[n] = seconds_of(CLOCK_MONOTONIC) - start;
        cpu[n] = cpu_of_both(server) - cpu_before;
        for (int k = 0; k < clients; k++)
            close(fds[k]);
        nanosleep(&rest, NULL); /* the other end sees its peers go, outside of what is measured */
    }
    close(epoll);
    free(fds);
    printf("{\"rate\": %.1f, \"cpu\": %.3f}\n", clients / median(took, n + 1),
           median(cpu, n + 1) / clients * 1e6);
}

int main(int argc, char **argv)
{
    int clients = argc > 2 ? atoi(argv[2]) : 200;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0.5;
    bool shake = argc > 1 && strcmp(argv[1], "connect") == 0;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t addr_len = sizeof(addr);
    struct rlimit files;
    struct peer *peer;
    int listener;
    pid_t child;

    if (argc < 2 || (!shake && strcmp(argv[1], "echo") != 0) || clients < 1 ||
        clients > CLIENTS_MAX || seconds <= 0) {
        fprintf(stderr, "usage: many echo|connect [clients [seconds]]\n");
        return 2;
    }
    must(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = (rlim_t)clients * 2 + 100; /* the other wave's may not be closed yet */
    if (files.rlim_cur > files.rlim_max)
        files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    peer = calloc((size_t)clients * 2 + 100, sizeof(*peer)); /* by descriptor */
    if (peer == NULL)
        die("calloc");

    listener = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    reno(listener); /* what is accepted there inherits it */
    must(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), "bind");
    must(listen(listener, 2 * clients), "listen");
    must(getsockname(listener, (struct sockaddr *)&addr, &addr_len), "getsockname");
    child = must(fork(), "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the client dies of an error */
        serve(listener, peer, shake);
    }
    close(listener);
    if (shake)
        connect_waves(&addr, peer, clients, seconds, child);
    else
        echo(&addr, clients, seconds, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    free(peer);
    return 0;
}
