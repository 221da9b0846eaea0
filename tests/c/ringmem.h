/* SPDX-License-Identifier: MIT */
/* Memory with one ring in it, as two processes share it. */
#ifndef RINGMEM_H
#define RINGMEM_H

#include "check.h"

#include <errno.h>

#include "net/ring.h"
#include "os/net.h"
#include "os/shm.h"

struct ring_mem {
    int fd;
    size_t size;
    struct ring_shared *shared;
    uint8_t *data;
};

/* Maps what `fd` stands for. */
static inline void ring_mem_map(struct ring_mem *m)
{
    void *page, *data;
    CHECK_EQ(shm_map(m->fd, 0, shm_page(), &page), 0);
    CHECK_EQ(shm_map(m->fd, shm_page(), m->size, &data), 0);
    m->shared = page;
    m->data = data;
}

/* False: this system has no such memory. */
static inline bool ring_mem_new(struct ring_mem *m, size_t size)
{
    m->size = size;
    m->fd = shm_create(shm_page() + size);
    if (m->fd == -ENOTSUP)
        return false;
    CHECK(m->fd >= 0);
    ring_mem_map(m);
    return true;
}

static inline void ring_mem_free(struct ring_mem *m)
{
    shm_unmap(m->shared, shm_page());
    shm_unmap(m->data, m->size);
    net_close(m->fd);
}

#endif
