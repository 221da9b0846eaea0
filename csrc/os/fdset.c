/* SPDX-License-Identifier: MIT */
#include "os/fdset.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* Not allocated, so that a process that holds few descriptors leaves no memory behind. */
static uint64_t first_words[64];
static uint64_t *words = first_words;
static size_t words_cap = sizeof(first_words) / sizeof(first_words[0]);
static long count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fdset_lock(void)
{
    pthread_mutex_lock(&lock);
}

void fdset_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static int grow(size_t need)
{
    size_t cap = words_cap;
    while (cap < need)
        cap *= 2;
    uint64_t *more = mem_zalloc(cap * sizeof(*more));
    if (!more)
        return -ENOMEM;
    memcpy(more, words, words_cap * sizeof(*more));
    if (words != first_words)
        mem_free(words);
    words = more;
    words_cap = cap;
    return 0;
}

/* Back to the static words once all is closed: leak accounting then finds nothing. */
static void shrink(void)
{
    if (count || words == first_words)
        return;
    mem_free(words);
    memset(first_words, 0, sizeof(first_words)); /* what was set when the set grew is over */
    words = first_words;
    words_cap = sizeof(first_words) / sizeof(first_words[0]);
}

int fdset_note(int fd)
{
    size_t at = (size_t)fd / 64;
    uint64_t bit = UINT64_C(1) << (fd % 64);
    if (at >= words_cap && grow(at + 1) < 0)
        return -ENOMEM;
    if (!(words[at] & bit)) {
        words[at] |= bit;
        count++;
    }
    return fd;
}

int fdset_finish(int fd)
{
    int result;
    if (fd < 0) {
        result = -errno;
    } else {
        result = fdset_note(fd);
        if (result < 0)
            close(fd);
    }
    fdset_unlock();
    return result;
}

void fdset_close(int fd)
{
    if (fd < 0)
        return;
    fdset_lock();
    size_t at = (size_t)fd / 64;
    uint64_t bit = UINT64_C(1) << (fd % 64);
    if (at < words_cap && (words[at] & bit)) {
        words[at] &= ~bit;
        count--;
        shrink();
        close(fd);
    } /* else it went at fork, and the number may be somebody else's by now */
    fdset_unlock();
}

long fdset_count(void)
{
    fdset_lock();
    long n = count;
    fdset_unlock();
    return n;
}

void fdset_close_all_after_fork(void)
{
    for (size_t at = 0; at < words_cap; at++) {
        while (words[at]) {
            int bit = __builtin_ctzll(words[at]);
            words[at] &= words[at] - 1;
            close((int)(at * 64) + bit);
        }
    }
    count = 0;
    fdset_unlock();
}
