/* SPDX-License-Identifier: MIT */
/*
 * What two processes reach with datagrams over loopback and nothing but the kernel's calls: one
 * sends as fast as it can by sendmmsg, the other receives by recvmmsg. The floor of the scenario
 * "datagrams".
 *
 *   datagrams [size [seconds]]
 *
 * Prints {"sent": datagrams a second that the kernel took, "heard": that the other process got}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define SIZE_MAX_ 2048
#define HEAD 2 /* the length of the group, and a group of one byte */
#define RCVBUF (4 << 20)

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fill(struct mmsghdr *h, struct iovec *iov, uint8_t (*bytes)[SIZE_MAX_], size_t size)
{
    memset(h, 0, BATCH * sizeof(*h));
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], size};
        h[i].msg_hdr.msg_iov = &iov[i];
        h[i].msg_hdr.msg_iovlen = 1;
    }
}

/* Counts into shared memory until it is killed. */
static void receive(int fd, volatile uint64_t *heard)
{
    static uint8_t bytes[BATCH][SIZE_MAX_];
    struct mmsghdr h[BATCH];
    struct iovec iov[BATCH];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        fill(h, iov, bytes, SIZE_MAX_);
        int n = recvmmsg(fd, h, BATCH, MSG_WAITFORONE, NULL);
        if (n > 0)
            *heard += (uint64_t)n;
    }
}

int main(int argc, char **argv)
{
    static uint8_t bytes[BATCH][SIZE_MAX_];
    size_t size = HEAD + (size_t)(argc > 1 ? atoi(argv[1]) : 64);
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    int room = RCVBUF;
    volatile uint64_t *heard =
        mmap(NULL, sizeof(*heard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (size > SIZE_MAX_ || in < 0 || out < 0 || heard == MAP_FAILED ||
        setsockopt(in, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) ||
        bind(in, (struct sockaddr *)&at, len) || getsockname(in, (struct sockaddr *)&at, &len) ||
        connect(out, (struct sockaddr *)&at, len)) {
        perror("datagrams");
        return 1;
    }
    pid_t child = fork();
    if (child == 0)
        receive(in, heard);
    struct mmsghdr h[BATCH];
    struct iovec iov[BATCH];
    fill(h, iov, bytes, size);
    uint64_t sent = 0, before = 0;
    double start = now(), end = start + seconds * 1.2, from = start, took;
    while (now() < end) {
        int n = sendmmsg(out, h, BATCH, 0);
        if (n > 0)
            sent += (uint64_t)n;
        if (!before && now() - start > seconds / 5) { /* it has warmed up */
            from = now();
            before = *heard;
            sent = 0;
        }
    }
    took = now() - from;
    double rate = (double)(*heard - before) / took;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("{\"sent\": %.0f, \"heard\": %.0f}\n", (double)sent / took, rate);
    return 0;
}
