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
#include "reactor/service.h"
#include "socket/snapshot.h"
#include "socket/window.h"

/* So many may look at once; of more, the one that came first goes. */
#define VISITORS_MAX 16
/* How long a visitor may take to ask, and to read the answer. */
#define VISIT_NS (5 * NS_PER_S)
#define ACCEPT_ROUNDS 16
#define QUERY_MAX 1024 /* bytes of a line */
#define BACKLOG 128

struct window {
    struct service service; /* first */
    struct io_thread *thread;
    uint32_t user; /* who may come in; this process may become another user later */
    char path[PLACE_MAX];
};

struct looker {
    struct visitor visitor; /* first */
    char query[QUERY_MAX];
    size_t query_len;
    struct json reply;
    size_t sent;
    bool answered;
};

/* fork_generation + 1 of the process that has looked at FASTMQ_INSPECT */
static _Atomic(unsigned) asked;

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

static struct looker *looker_of(struct visitor *v)
{
    return (struct looker *)v;
}

static struct visitor *new_visitor(struct service *s)
{
    (void)s;
    struct looker *l = mem_zalloc(sizeof(*l));
    return l ? &l->visitor : NULL;
}

static void free_visitor(struct visitor *v)
{
    json_fini(&looker_of(v)->reply);
    mem_free(looker_of(v));
}

static void write_reply(struct looker *l)
{
    while (l->sent < l->reply.len) {
        ssize_t n = net_send(l->visitor.io.fd, l->reply.text + l->sent, l->reply.len - l->sent);
        if (n == -EAGAIN && io_watch(&l->visitor.service->reactor, &l->visitor.io, POLLER_OUT) == 0)
            return;
        if (n <= 0)
            break;
        l->sent += (size_t)n;
    }
    service_send_away(&l->visitor);
}

static void read_question(struct looker *l)
{
    size_t room = sizeof(l->query) - 1 - l->query_len;
    ssize_t n = net_recv(l->visitor.io.fd, l->query + l->query_len, room);
    if (n == -EAGAIN)
        return;
    if (n > 0) {
        l->query_len += (size_t)n;
        l->query[l->query_len] = 0;
        char *end = strchr(l->query, '\n');
        if (end) {
            *end = 0;
            l->answered = true;
            if (answer(&l->reply, l->query) != -ENOMEM) {
                service_renew(&l->visitor);
                write_reply(l);
                return;
            }
        } else if (l->query_len < sizeof(l->query) - 1) {
            return;
        }
    }
    service_send_away(&l->visitor);
}

static void visitor_ready(struct visitor *v)
{
    struct looker *l = looker_of(v);
    if (l->answered)
        write_reply(l);
    else
        read_question(l);
}

/* Whether a program of the window's user is at the other end. */
static bool is_own(const struct window *w, int fd)
{
    uint32_t pid, uid, gid;
    return net_peer_cred(fd, &pid, &uid, &gid) == 0 && uid == w->user;
}

static int accept_own(struct service *s, int listener)
{
    int fd = net_accept(listener, NULL);
    if (fd < 0 || is_own((struct window *)s, fd))
        return fd;
    net_close(fd);
    return -EACCES;
}

static void released(struct service *s)
{
    mem_free((struct window *)s);
}

static const struct service_ops ops = {
    .visitors_max = VISITORS_MAX,
    .visit_ns = VISIT_NS,
    .accept_rounds = ACCEPT_ROUNDS,
    .accept = accept_own,
    .visit = new_visitor,
    .ready = visitor_ready,
    .free = free_visitor,
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
    service_init(&w->service, &ops);
    w->user = place_user();
    int fd = open_listener(w->path);
    int rc = fd < 0 ? fd : io_thread_create(&w->thread, "fmq/inspect", &policy);
    if (rc == 0)
        rc = service_start(&w->service, fd, w->thread);
    if (rc == 0) {
        *out = w;
        return 0;
    }
    if (fd >= 0) {
        net_close(fd);
        place_remove(w->path);
    }
    struct io_thread *thread = w->thread;
    service_abandon(&w->service);
    if (thread)
        io_thread_destroy(thread);
    return rc;
}

static void close_window(struct window *w)
{
    struct io_thread *thread = w->thread;
    place_remove(w->path);
    service_stop(&w->service);
    io_thread_destroy(thread);
}

/* Takes the lock: the place of the process's window. */
static struct window **enter(void)
{
    fmq_setup();
    return window_lock();
}

int fmq_inspect_serve(void)
{
    struct window **window = enter();
    detail_clear();
    int rc = *window ? 0 : open_window(window);
    window_unlock();
    return rc;
}

void fmq_inspect_path(char *path)
{
    struct window **window = enter();
    snprintf(path, PLACE_MAX, "%s", *window ? (*window)->path : "");
    window_unlock();
}

void fmq_inspect_stop(void)
{
    struct window **window = enter();
    if (*window)
        close_window(*window);
    *window = NULL;
    window_unlock();
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
