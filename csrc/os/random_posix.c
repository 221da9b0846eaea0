/* SPDX-License-Identifier: MIT */
#include "os/random.h"

#include <stdlib.h>
#include <string.h>

#ifdef __linux__

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/sys.h"

/* Kernel headers may be older than the call, C libraries too. */
#ifdef SYS_getrandom
static ssize_t kernel_random(void *buf, size_t len)
{
    return SYS(RANDOM, syscall(SYS_getrandom, buf, len, 0));
}
#else
static ssize_t kernel_random(void *buf, size_t len)
{
    (void)buf;
    (void)len;
    errno = ENOSYS;
    return -1;
}
#endif

static size_t device_random(uint8_t *at, size_t len)
{
    size_t have = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (have < len) {
        ssize_t n = read(fd, at + have, len - have);
        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    close(fd);
    return have;
}

static void weak_random(uint8_t *at, size_t len)
{
    static uint64_t calls;
    uint64_t x = clock_now() ^ (uint64_t)getpid() << 32 ^
                 __atomic_add_fetch(&calls, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        at[i] = (uint8_t)(x >> 32);
    }
}

void random_bytes(void *buf, size_t len)
{
    uint8_t *at = buf;
    while (len) {
        ssize_t n = kernel_random(at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += n;
        len -= (size_t)n;
    }
    if (!len)
        return;
    size_t n = device_random(at, len);
    weak_random(at + n, len - n);
}

#else

void random_bytes(void *buf, size_t len)
{
    arc4random_buf(buf, len);
}

#endif

uint32_t random_u32(void)
{
    uint32_t v;
    random_bytes(&v, sizeof(v));
    return v;
}
