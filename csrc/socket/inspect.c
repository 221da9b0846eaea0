/* SPDX-License-Identifier: MIT */
/* The window into this process: serves snapshots to programs of the same user, see fastmq.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "fastmq.h"
#include "os/clock.h"
#include "os/net.h"
#include "os/place.h"
#include "reactor/io_run.h"
#include "reactor/io_thread.h"
#include "reactor/reactor.h"
#include "socket/snapshot.h"

/* So many may look at once; of more, the one that came first goes. */
#define VISITORS_MAX 16
/* How long a visitor may take to ask, and to read the answer. */
#define VISIT_NS (5 * NS_PER_S)
#define ACCEPT_ROUNDS 16
/* How long nobody is let in for want of descriptors. */
#define REST_NS (100 * NS_PER_MS)
#define QUERY_MAX 1024 /* bytes of a line */
#define BACKLOG 128

struct window {
    struct reactor reactor; /* first */
    struct io_thread *thread;
    struct io listener;
    struct timer rest;
    struct list visitors; /* the longest there first */
    unsigned visitor_count;
    char path[PLACE_MAX];
};

struct visitor {
    struct io io;
    struct list node;
    struct timer patience;
    struct window *window;
    char query[QUERY_MAX];
    size_t query_len;
    struct json reply;
    size_t sent;
    bool answered;
};

/* The process's, and the generation of the process that it belongs to. */
static struct mutex lock = MUTEX_INITIALIZER;
static struct window *window;
static _Atomic(unsigned) generation;
static _Atomic(unsigned)
    asked; /* generation + 1 of the process that has looked at FASTMQ_INSPECT */

/* ---- queries ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct snapshot_query *q, const char *text)
{
    q->has_topic = true;
    q->topic_len = 0;
    for (; text[0]; text += 2) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || q->topic_len == sizeof(q->topic))
            return false;
        q->topic[q->topic_len++] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_number(uint64_t *out, const char *text, uint64_t most)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > (most - (uint64_t)(*text - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

/* "snapshot", then words: topic=HEX, socket=NUMBER, peers=NUMBER. */
static bool read_query(struct snapshot_query *q, char *line)
{
    char *rest = NULL;
    char *word = strtok_r(line, " \r\n", &rest);
    uint64_t peers;
    snapshot_query_init(q);
    if (!word || strcmp(word, "snapshot") != 0)
        return false;
    while ((word = strtok_r(NULL, " \r\n", &rest))) {
        if (strncmp(word, "topic=", 6) == 0) {
            if (!read_hex(q, word + 6))
                return false;
        } else if (strncmp(word, "socket=", 7) == 0) {
            if (!read_number(&q->socket, word + 7, UINT64_MAX))
                return false;
        } else if (strncmp(word, "peers=", 6) == 0) {
            if (!read_number(&peers, word + 6, SNAPSHOT_PEERS_MAX))
                return false;
            q->peers = (uint32_t)peers;
        } else {
            return false;
        }
    }
    return true;
}

/* The line is changed. */
static int answer(struct json *j, char *line)
{
    struct snapshot_query q;
    json_init(j, SNAPSHOT_LIMIT);
    if (!read_query(&q, line)) {
        json_object(j, NULL);
        json_text(j, "error", "a query is `snapshot`, topic=HEX, socket=NUMBER, peers=NUMBER");
        json_end_object(j);
        return -EINVAL;
    }
    snapshot_write(j, &q);
    return j->failed ? -ENOMEM : 0;
}

int fmq_snapshot(const char *query, char **text, size_t *len)
{
    char line[QUERY_MAX];
    struct json j;
    fmq_setup();
    if (strlen(query) >= sizeof(line))
        return -EINVAL;
    strcpy(line, query);
    int rc = answer(&j, line);
    if (rc) {
        json_fini(&j);
        return rc;
    }
    *text = j.text;
    *len = j.len;
    return 0;
}

void fmq_snapshot_free(char *text)
{
    mem_free(text);
}

/* ---- visitors ---- */

static void free_visitor(struct io *io)
{
    struct visitor *v = LIST_ENTRY(io, struct visitor, io);
    net_close(io->fd);
    json_fini(&v->reply);
    mem_free(v);
}

static void send_away(struct visitor *v)
{
    struct window *w = v->window;
    timer_cancel(&w->reactor, &v->patience);
    list_remove(&v->node);
    w->visitor_count--;
    io_free_later(&w->reactor, &v->io);
}

static void write_reply(struct visitor *v)
{
    while (v->sent < v->reply.len) {
        ssize_t n = net_send(v->io.fd, v->reply.text + v->sent, v->reply.len - v->sent);
        if (n == -EAGAIN && io_watch(&v->window->reactor, &v->io, POLLER_OUT) == 0)
            return;
        if (n <= 0)
            break;
        v->sent += (size_t)n;
    }
    send_away(v);
}

static void read_question(struct visitor *v)
{
    size_t room = sizeof(v->query) - 1 - v->query_len;
    ssize_t n = net_recv(v->io.fd, v->query + v->query_len, room);
    if (n == -EAGAIN)
        return;
    if (n > 0) {
        v->query_len += (size_t)n;
        v->query[v->query_len] = 0;
        char *end = strchr(v->query, '\n');
        if (end) {
            *end = 0;
            v->answered = true;
            if (answer(&v->reply, v->query) != -ENOMEM) {
                timer_set(&v->window->reactor, &v->patience, clock_now() + VISIT_NS);
                write_reply(v);
                return;
            }
        } else if (v->query_len < sizeof(v->query) - 1) {
            return;
        }
    }
    send_away(v);
}

static void visitor_ready(struct io *io, uint32_t events)
{
    struct visitor *v = LIST_ENTRY(io, struct visitor, io);
    (void)events;
    if (v->answered)
        write_reply(v);
    else
        read_question(v);
}

static void visitor_timer(struct timer *t, uint64_t now)
{
    (void)now;
    send_away(LIST_ENTRY(t, struct visitor, patience));
}

/* Whether a program of this user is at the other end. */
static bool is_own(int fd)
{
    uint32_t pid, uid, gid;
    return net_peer_cred(fd, &pid, &uid, &gid) == 0 && uid == place_user();
}

static void let_in(struct window *w, int fd)
{
    struct visitor *v = is_own(fd) ? mem_zalloc(sizeof(*v)) : NULL;
    if (!v) {
        net_close(fd);
        return;
    }
    v->window = w;
    v->io.fd = fd;
    v->io.ready = visitor_ready;
    v->io.free = free_visitor;
    list_init(&v->io.deferred);
    list_init(&v->node);
    timer_init(&v->patience, visitor_timer);
    if (io_watch(&w->reactor, &v->io, POLLER_IN)) {
        free_visitor(&v->io);
        return;
    }
    list_push_back(&w->visitors, &v->node);
    timer_set(&w->reactor, &v->patience, clock_now() + VISIT_NS);
    if (++w->visitor_count > VISITORS_MAX)
        send_away(LIST_ENTRY(w->visitors.next, struct visitor, node));
}

static void listener_ready(struct io *io, uint32_t events)
{
    struct window *w = LIST_ENTRY(io, struct window, listener);
    (void)events;
    for (int i = 0; i < ACCEPT_ROUNDS; i++) {
        int fd = net_accept(io->fd, NULL);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            io_watch(&w->reactor, io, 0);
            timer_set(&w->reactor, &w->rest, clock_now() + REST_NS);
            return;
        }
        let_in(w, fd);
    }
}

static void rest_timer(struct timer *t, uint64_t now)
{
    struct window *w = LIST_ENTRY(t, struct window, rest);
    if (io_watch(&w->reactor, &w->listener, POLLER_IN))
        timer_set(&w->reactor, &w->rest, now + REST_NS);
}

/* ---- the reactor ---- */

static struct window *window_of(struct reactor *r)
{
    return (struct window *)r;
}

static void no_flush(struct reactor *r, bool all)
{
    (void)r;
    (void)all;
}

static bool never_read(struct reactor *r, uint64_t until)
{
    (void)r;
    (void)until;
    return false;
}

static int no_events(struct reactor *r)
{
    (void)r;
    return 0;
}

static bool finish(struct reactor *r)
{
    struct window *w = window_of(r);
    if (r->finished)
        return true;
    if (r->polling || r->waiters)
        return false;
    r->finished = true;
    timer_cancel(r, &w->rest);
    while (!list_empty(&w->visitors))
        send_away(LIST_ENTRY(w->visitors.next, struct visitor, node));
    io_free_deferred(r);
    io_watch(r, &w->listener, 0);
    net_close(w->listener.fd);
    io_thread_remove(r->io_thread, r);
    return true;
}

static void released(struct reactor *r)
{
    reactor_fini(r);
    mem_free(window_of(r));
}

static const struct reactor_ops ops = {
    .flush = no_flush,
    .reap = io_free_deferred,
    .finish = finish,
    .read_lone = never_read,
    .events = no_events,
    .shared_events = no_events,
    .released = released,
};

/* ---- opening and closing it ---- */

static void address_of(const char *path, struct net_addr *a)
{
    memset(a, 0, sizeof(*a));
    struct sockaddr_un *un = (struct sockaddr_un *)&a->ss;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path));
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

/* Whether nobody serves the path: it was left behind by a process that had this number. */
static bool is_stale(const struct net_addr *a)
{
    int fd = net_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return false;
    int rc = net_connect(fd, a);
    net_close(fd);
    return rc == -ECONNREFUSED;
}

static int listen_at(const char *path)
{
    struct net_addr a;
    address_of(path, &a);
    int fd = net_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0)
        return fd;
    int rc = net_listen(fd, &a, BACKLOG, false, false);
    if (rc == -EADDRINUSE && is_stale(&a)) {
        place_remove(path);
        rc = net_listen(fd, &a, BACKLOG, false, false);
    }
    if (rc == 0)
        return fd;
    net_close(fd);
    return rc;
}

static int open_listener(char path[PLACE_MAX])
{
    int rc = place_open(path);
    if (rc == -EPERM)
        detail_set("'%s' is not a directory that belongs to this user alone", path);
    else if (rc == -ENOTSUP)
        detail_set("this system has no sockets that only one user may open");
    else if (rc)
        detail_set("'%s': %s", path, error_text(-rc));
    if (rc)
        return rc;
    size_t len = strlen(path);
    snprintf(path + len, PLACE_MAX - len, "/%u", (unsigned)place_process());
    int fd = listen_at(path);
    if (fd < 0)
        detail_set("'%s': %s", path, error_text(-fd));
    return fd;
}

static int open_window(struct window **out)
{
    struct thread_policy policy = {-1, -1, NULL, 0};
    struct window *w = mem_zalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    struct reactor *r = &w->reactor;
    reactor_init(r, &ops);
    list_init(&w->visitors);
    timer_init(&w->rest, rest_timer);
    list_init(&w->listener.deferred);
    w->listener.ready = listener_ready;
    w->listener.fd = open_listener(w->path);
    int rc = w->listener.fd < 0 ? w->listener.fd : io_watch(r, &w->listener, POLLER_IN);
    if (rc == 0)
        rc = io_thread_create(&w->thread, "fmq/inspect", &policy);
    r->io_thread = w->thread;
    if (rc == 0)
        rc = io_thread_add(w->thread, r);
    if (rc == 0) {
        *out = w;
        return 0;
    }
    if (w->listener.fd >= 0) {
        io_watch(r, &w->listener, 0);
        net_close(w->listener.fd);
        place_remove(w->path);
    }
    struct io_thread *thread = w->thread;
    r->finished = true;
    reactor_unref(r);
    if (thread)
        io_thread_destroy(thread);
    return rc;
}

static void close_window(struct window *w)
{
    struct reactor *r = &w->reactor;
    struct io_thread *thread = w->thread;
    place_remove(w->path);
    mutex_lock(&r->lock);
    r->closed = true;
    reactor_stop(r, ENOTSOCK);
    r->waiters++;
    while (r->polling)
        cond_wait(&r->cond, &r->lock, -1);
    r->waiters--;
    r->work |= WORK_CLOSE;
    reactor_leave(r);
    io_thread_destroy(thread);
}

/* Takes the lock. A child of a fork begins anew: lock and window are its parent's. */
static void enter(void)
{
    unsigned mine = atomic_load(&generation);
    if (mine != fork_generation &&
        atomic_compare_exchange_strong(&generation, &mine, fork_generation)) {
        mutex_init(&lock);
        window = NULL;
    }
    mutex_lock(&lock);
}

int fmq_inspect_serve(void)
{
    fmq_setup();
    detail_clear();
    enter();
    int rc = window ? 0 : open_window(&window);
    mutex_unlock(&lock);
    return rc;
}

void fmq_inspect_path(char *path)
{
    enter();
    snprintf(path, PLACE_MAX, "%s", window ? window->path : "");
    mutex_unlock(&lock);
}

void fmq_inspect_stop(void)
{
    enter();
    if (window)
        close_window(window);
    window = NULL;
    mutex_unlock(&lock);
}

void fmq_inspect_if_wanted(void)
{
    unsigned mine = fork_generation + 1;
    if (atomic_load(&asked) == mine || atomic_exchange(&asked, mine) == mine)
        return;
    const char *wanted = getenv("FASTMQ_INSPECT");
    if (!wanted || !wanted[0] || strcmp(wanted, "0") == 0)
        return;
    int rc = fmq_inspect_serve();
    if (rc)
        fprintf(stderr, "fastmq: FASTMQ_INSPECT is set, but nobody can look in: %s\n",
                detail_text()[0] ? detail_text() : error_text(-rc));
}
