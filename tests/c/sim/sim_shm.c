/* SPDX-License-Identifier: MIT */
/*
 * os/shm.h in the simulated world: see sim.h. The memory is the system's, as it has to be mapped in
 * several places; descriptors, meeting points and what comes there are the simulator's.
 */
#include "os/shm.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/net.h"
#include "os/random.h"
#include "sim.h"
#include "sim_engine.h"

#define SPACE ((size_t)1 << 36) /* of addresses: nothing is mapped where something was before */
#define MAPPINGS_MAX 4096
#define CROWD_MAX 64

struct sim_memory {
    int fd; /* of the system */
    size_t size;
    unsigned users; /* descriptors, mappings, visits */
    struct sim_weak *weak;
};

struct handle { /* a descriptor that stands for memory */
    struct sim_object object;
    struct sim_memory *memory;
    unsigned holder;
};

struct said { /* a message with what came along */
    struct said *next;
    uint64_t at;
    size_t len;
    struct sim_memory *memory[SHM_FDS_MAX];
    int count;
    uint8_t message[SHM_MESSAGE_MAX];
};

/* A connection to a meeting point. Each end may ring for the other and hears when that one is
 * closed. */
struct visit {
    struct visit *next;
    unsigned ends; /* that are open */
    uint64_t at;   /* when it is at the door */
    struct said *said;
    uint64_t bell_at[2], closed_at[2]; /* to be heard by the caller, and by who was called */
};

struct meeting_point {
    struct sim_object object;
    struct meeting_point *next; /* all that are open */
    char name[SHM_NAME_MAX];
    struct visit *visits;
};

struct visitor { /* one of its ends */
    struct sim_object object;
    struct visit *visit;
    unsigned called; /* 0: the end of the caller, 1: the other */
};

struct mapping {
    char *at;
    size_t length, offset;
    struct sim_memory *memory;
    unsigned holder;
};

const char *sim_shared_from, *sim_shared_to;

static char *space_next;
static struct mapping mappings[MAPPINGS_MAX];
static unsigned mapping_count, mapped, last_found;
static struct meeting_point *points;
static long memories;

/* ---- the memory ---- */

static void forget(struct sim_memory *m)
{
    if (--m->users)
        return;
    close(m->fd);
    sim_weak_free(m->weak);
    free(m);
    memories--;
}

static uint32_t never_ready(struct sim_object *o, uint64_t now)
{
    (void)o;
    (void)now;
    return 0;
}

static uint64_t never(struct sim_object *o, uint64_t now)
{
    (void)o;
    (void)now;
    return CLOCK_NEVER;
}

static void drop_handle(struct sim_object *o)
{
    struct handle *h = (struct handle *)o;
    forget(h->memory);
    free(h);
}

static const struct sim_object_ops handle_ops = {never_ready, never, drop_handle};

static struct handle *handle_of(int fd)
{
    struct sim_object *o = sim_fd_object(fd, &handle_ops);
    if (!o)
        sim_fail("descriptor %d is no memory", fd);
    return (struct handle *)o;
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static int new_handle(struct sim_memory *m, unsigned holder)
{
    struct handle *h = must(calloc(1, sizeof(*h)));
    *h = (struct handle){.object.ops = &handle_ops, .memory = m, .holder = holder};
    int fd = sim_fd_of_object(&h->object);
    if (fd < 0)
        free(h);
    else
        m->users++;
    return fd;
}

size_t shm_page(void)
{
    return 4096;
}

int shm_create(size_t size)
{
    sim_spend(2000);
    struct sim_memory *m = must(calloc(1, sizeof(*m)));
    m->size = size;
    m->users = 1;
    m->fd = memfd_create("sim", MFD_CLOEXEC);
    if (m->fd < 0 || ftruncate(m->fd, (off_t)size) < 0)
        abort();
    m->weak = sim_weak_new();
    memories++;
    int fd = new_handle(m, 0);
    forget(m);
    sim_event("memory", (uint64_t)fd, size);
    return fd;
}

int shm_check(int fd, size_t size)
{
    return handle_of(fd)->memory->size == size ? 0 : -EPROTO;
}

static void add_mapping(struct handle *h, void *at, size_t length, size_t offset)
{
    mappings[mapping_count++] = (struct mapping){
        .at = at, .length = length, .offset = offset, .memory = h->memory, .holder = h->holder};
    h->memory->users++;
    mapped++;
}

/* Maps at the next free place. */
static int map_next(int fd, size_t offset, size_t size, int flags, void **at)
{
    struct handle *h = handle_of(fd);
    sim_spend(1500);
    if (sim_chance(sim_knobs.no_fds) || mapping_count == MAPPINGS_MAX ||
        space_next + size > sim_shared_to)
        return -ENOMEM;
    if (mmap(space_next, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, h->memory->fd,
             (off_t)offset) == MAP_FAILED)
        abort();
    *at = space_next;
    space_next += size;
    add_mapping(h, *at, size, offset);
    return 0;
}

int shm_map(int fd, size_t offset, size_t size, void **at)
{
    return map_next(fd, offset, size, MAP_SHARED, at);
}

/* One process writes, by its own mapping; who is given it has a copy of each page that it writes to
 * itself. */
static int map_whole(int fd, size_t size, int flags, void **at)
{
    return map_next(fd, 0, size, flags | MAP_NORESERVE, at);
}

int shm_create_arena(size_t size, void **at)
{
    int fd = shm_create(size);
    int rc = fd < 0 ? fd : map_whole(fd, size, MAP_SHARED, at);
    if (rc && fd >= 0)
        net_close(fd);
    return rc ? rc : fd;
}

int shm_map_arena(int fd, size_t size, void **at)
{
    return map_whole(fd, size, MAP_PRIVATE, at);
}

int shm_map_to_read(int fd, size_t size, void **at)
{
    return map_whole(fd, size, MAP_SHARED, at);
}

void shm_discard(void *at, size_t size)
{
    memset(at, 0x5a, size); /* whoever still looks there is seen */
}

void shm_forget(void *at, size_t size)
{
    size_t before = (uintptr_t)at & (shm_page() - 1);
    madvise((uint8_t *)at - before, size + before, MADV_DONTNEED);
}

static struct mapping *find(const volatile void *p)
{
    const volatile char *at = p;
    for (unsigned i = 0; i <= mapping_count; i++) {
        struct mapping *m = &mappings[i ? i - 1 : last_found];
        if (m->memory && at >= m->at && at < m->at + m->length) {
            last_found = (unsigned)(m - mappings);
            return m;
        }
    }
    sim_fail("shared memory is used that is mapped no more");
}

/* The place is left without memory, so that a late access is found. */
void shm_unmap(void *at, size_t length)
{
    if (!at)
        return;
    struct mapping *m = find(at);
    if (m->at != at || m->length != length)
        sim_fail("a part of what was mapped is unmapped");
    mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    forget(m->memory);
    m->memory = NULL;
    mapped--;
}

struct sim_place sim_shm_place(const volatile void *p)
{
    const struct mapping *m = find(p);
    size_t in = (size_t)((const volatile char *)p - m->at);
    return (struct sim_place){.memory = m->memory, .holder = m->holder, .offset = m->offset + in};
}

struct sim_weak *sim_shm_weak(struct sim_memory *m)
{
    return m->weak;
}

/* ---- who and where: all contexts are processes of one user, on one host ---- */

int shm_host(bool unix_socket, char text[SHM_HOST_MAX])
{
    (void)unix_socket;
    snprintf(text, SHM_HOST_MAX, "sim/1");
    return 0;
}

uint32_t shm_user(void)
{
    return 0;
}

uint32_t shm_process(void)
{
    return 1;
}

int64_t shm_peer_number(int fd, const struct net_addr *peer)
{
    (void)fd;
    return shm_own_number(peer);
}

int64_t shm_own_number(const struct net_addr *own)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&own->ss;
    return own->ss.ss_family == AF_INET ? ntohs(in->sin_port) : 1;
}

/* ---- the meeting point ---- */

static void free_said(struct said *t)
{
    for (int i = 0; i < t->count; i++)
        forget(t->memory[i]);
    free(t);
}

/* One of its ends is closed. */
static void leave_visit(struct visit *v)
{
    if (--v->ends)
        return;
    while (v->said) {
        struct said *t = v->said;
        v->said = t->next;
        free_said(t);
    }
    free(v);
}

static uint32_t point_ready(struct sim_object *o, uint64_t now)
{
    struct meeting_point *p = (struct meeting_point *)o;
    return p->visits && p->visits->at <= now ? POLLER_IN : 0;
}

static uint64_t point_next(struct sim_object *o, uint64_t now)
{
    struct meeting_point *p = (struct meeting_point *)o;
    return p->visits && p->visits->at > now ? p->visits->at : CLOCK_NEVER;
}

static void drop_point(struct sim_object *o)
{
    struct meeting_point *p = (struct meeting_point *)o;
    for (struct meeting_point **link = &points; *link; link = &(*link)->next) {
        if (*link == p) {
            *link = p->next;
            break;
        }
    }
    while (p->visits) {
        struct visit *v = p->visits;
        p->visits = v->next;
        leave_visit(v);
    }
    free(p);
}

static const struct sim_object_ops point_ops = {point_ready, point_next, drop_point};

int shm_listen(char name[SHM_NAME_MAX])
{
    sim_spend(1000);
    snprintf(name, SHM_NAME_MAX, "sim-%016llx", (unsigned long long)sim_rand());
    struct meeting_point *p = must(calloc(1, sizeof(*p)));
    p->object.ops = &point_ops;
    snprintf(p->name, sizeof(p->name), "%s", name);
    int fd = sim_fd_of_object(&p->object);
    if (fd < 0) {
        free(p);
        return fd;
    }
    p->next = points;
    points = p;
    return fd;
}

static uint32_t visitor_ready(struct sim_object *o, uint64_t now)
{
    const struct visitor *v = (struct visitor *)o;
    const struct visit *to = v->visit;
    bool said = v->called && to->said && to->said->at <= now;
    return said || to->bell_at[v->called] <= now || to->closed_at[v->called] <= now ? POLLER_IN : 0;
}

static uint64_t visitor_next(struct sim_object *o, uint64_t now)
{
    const struct visitor *v = (struct visitor *)o;
    const struct visit *to = v->visit;
    uint64_t next = CLOCK_NEVER, times[] = {to->bell_at[v->called], to->closed_at[v->called],
                                            v->called && to->said ? to->said->at : CLOCK_NEVER};
    for (unsigned i = 0; i < 3; i++)
        next = times[i] > now && times[i] < next ? times[i] : next;
    return next;
}

static void drop_visitor(struct sim_object *o)
{
    struct visitor *from = (struct visitor *)o;
    struct visit *v = from->visit;
    uint64_t when = sim_now() + sim_latency();
    for (const struct said *t = v->said; t && !from->called; t = t->next)
        when = t->at > when ? t->at : when;
    when = v->at > when ? v->at : when;
    v->closed_at[!from->called] = when;
    sim_net_happens_at(when);
    leave_visit(v);
    free(from);
}

static const struct sim_object_ops visitor_ops = {visitor_ready, visitor_next, drop_visitor};

static struct visitor *visitor_of(int fd, unsigned called)
{
    struct visitor *v = (struct visitor *)sim_fd_object(fd, &visitor_ops);
    return v && v->called == called ? v : NULL;
}

static int new_visitor(struct visit *visit, unsigned called)
{
    struct visitor *v = must(calloc(1, sizeof(*v)));
    v->object.ops = &visitor_ops;
    v->visit = visit;
    v->called = called;
    int fd = sim_fd_of_object(&v->object);
    if (fd < 0)
        free(v);
    return fd;
}

int shm_accept(int listen_fd)
{
    sim_spend(1000);
    struct meeting_point *p = (struct meeting_point *)sim_fd_object(listen_fd, &point_ops);
    if (!p)
        return -EINVAL;
    if (!p->visits || p->visits->at > sim_now())
        return -EAGAIN;
    struct visit *v = p->visits;
    int fd = new_visitor(v, 1);
    if (fd >= 0)
        p->visits = v->next;
    return fd;
}

ssize_t shm_receive_all(int fd, void *message, size_t size, int *memory, int max, int *count)
{
    sim_spend(1000);
    struct visitor *at = visitor_of(fd, 1);
    *count = 0;
    for (int i = 0; i < max; i++)
        memory[i] = -1;
    if (!at)
        return -ENOTSOCK;
    struct visit *v = at->visit;
    struct said *t = v->said;
    if (!t)
        return v->closed_at[1] <= sim_now() ? 0 : -EAGAIN;
    if (t->at > sim_now() || sim_chance(sim_knobs.spurious))
        return -EAGAIN;
    v->said = t->next;
    ssize_t len = (ssize_t)t->len;
    if (t->len > size)
        sim_fail("a message to a meeting point is longer than it may be");
    memcpy(message, t->message, t->len);
    if (t->count > max)
        len = -EPROTO;
    for (int i = 0; i < t->count && len >= 0; i++) {
        memory[i] = new_handle(t->memory[i], 1);
        if (memory[i] < 0) /* Linux passes on what there is room for */
            len = -EPROTO;
    }
    *count = len < 0 ? 0 : t->count;
    for (int i = 0; i < max && len < 0; i++) {
        net_close(memory[i]);
        memory[i] = -1;
    }
    free_said(t);
    return len;
}

ssize_t shm_receive(int fd, void *message, size_t size, int *memory)
{
    int count;
    return shm_receive_all(fd, message, size, memory, 1, &count);
}

int shm_visit(const char *name)
{
    sim_spend(2000);
    struct meeting_point *p = points;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    if (!p)
        return -ECONNREFUSED;
    unsigned waiting = 0;
    struct visit **link = &p->visits;
    for (; *link; link = &(*link)->next)
        waiting++;
    if (waiting == CROWD_MAX || sim_chance(sim_knobs.crowded))
        return -EAGAIN;
    struct visit *v = must(calloc(1, sizeof(*v)));
    v->bell_at[0] = v->bell_at[1] = v->closed_at[0] = v->closed_at[1] = CLOCK_NEVER;
    v->at = sim_now() + sim_latency();
    v->ends = 2;
    int fd = new_visitor(v, 0);
    if (fd < 0) {
        free(v);
        return fd;
    }
    *link = v;
    sim_net_happens_at(v->at);
    return fd;
}

int shm_leave_there(int fd, const void *message, size_t len, const int *memory, int count)
{
    sim_spend(2000);
    struct visitor *from = visitor_of(fd, 0);
    if (!from)
        return -ENOTSOCK;
    struct visit *v = from->visit;
    if (v->ends < 2)
        return -EPIPE;
    struct said *t = must(calloc(1, sizeof(*t))), **link = &v->said;
    t->at = sim_now() + sim_latency();
    t->at = v->at > t->at ? v->at : t->at;
    for (; *link; link = &(*link)->next)
        t->at = (*link)->at > t->at ? (*link)->at : t->at;
    t->len = len;
    memcpy(t->message, message, len);
    for (int i = 0; i < count; i++) {
        t->memory[i] = handle_of(memory[i])->memory;
        t->memory[i]->users++;
    }
    t->count = count;
    *link = t;
    sim_net_happens_at(t->at);
    sim_event("hand over", (uint64_t)fd, len);
    return 0;
}

int shm_hand_over(const char *name, const void *message, size_t len, int memory)
{
    int fd = shm_visit(name);
    if (fd < 0)
        return fd;
    int rc = shm_leave_there(fd, message, len, &memory, 1);
    net_close(fd);
    return rc;
}

/* ---- bells ---- */

void shm_ring_bell(int fd)
{
    sim_event("bell", (uint64_t)fd, 0);
    struct visitor *from = (struct visitor *)sim_fd_object(fd, &visitor_ops);
    if (!from) {
        net_send(fd, "", 1);
        return;
    }
    sim_spend(1500);
    uint64_t *at = &from->visit->bell_at[!from->called], when = sim_now() + sim_latency();
    *at = when < *at ? when : *at;
    sim_net_happens_at(*at);
}

bool shm_hush_bell(int fd, int *end)
{
    uint8_t dropped[16];
    bool rung = false;
    *end = 0;
    struct visitor *v = (struct visitor *)sim_fd_object(fd, &visitor_ops);
    if (v) {
        uint64_t *at = &v->visit->bell_at[v->called];
        sim_spend(800);
        rung = *at <= sim_now();
        *at = rung ? CLOCK_NEVER : *at;
        *end = v->visit->closed_at[v->called] <= sim_now();
        return rung;
    }
    for (;;) {
        ssize_t n = net_recv(fd, dropped, sizeof(dropped));
        if (n > 0) {
            rung = true;
            continue;
        }
        *end = n == 0 ? 1 : n == -EAGAIN ? 0 : (int)n;
        return rung;
    }
}

/* ---- a run ---- */

static size_t ring_size;

size_t sim_ring_size(void)
{
    return ring_size;
}

void sim_shm_begin(void)
{
    if (!sim_shared_from) {
        void *space =
            mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (space == MAP_FAILED)
            abort();
        sim_shared_from = space;
        sim_shared_to = sim_shared_from + SPACE;
    }
    space_next = (char *)(uintptr_t)sim_shared_from;
    mapping_count = mapped = last_found = 0;
    points = NULL;
    memories = 0;
    ring_size = (size_t)4096 << (sim_chance(600) ? 0 : sim_below(5));
    memset(&sim_fault, 0, sizeof(sim_fault));
}

void sim_shm_end(void)
{
    if (mapped)
        sim_fail("%u mappings of shared memory are left over", mapped);
    if (memories)
        sim_fail("%ld pieces of shared memory are left over", memories);
}
