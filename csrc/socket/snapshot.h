/* SPDX-License-Identifier: MIT */
/*
 * What a process knows of its contexts, sockets and peers at one moment, as JSON; its form is
 * written down in docs/reference/inspect.md. Made by one thread while all others go on: a socket's
 * lock is held for a few peers at a time, so counters of a socket with many may be of moments that
 * are a little apart.
 */
#ifndef SOCKET_SNAPSHOT_H
#define SOCKET_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

#define SNAPSHOT_LIMIT ((size_t)8 << 20) /* bytes of the text; sockets beyond are left off */
#define SNAPSHOT_TOPIC_MAX 256u
#define SNAPSHOT_PEERS 256u /* of a socket, unless more is asked for */
#define SNAPSHOT_PEERS_MAX 4096u

struct snapshot_query {
    uint64_t socket; /* only this one; 0: all */
    uint32_t peers;  /* of a socket, at most */
    bool has_topic;  /* whether anybody gets messages of this topic */
    uint8_t topic[SNAPSHOT_TOPIC_MAX];
    size_t topic_len;
};

void snapshot_query_init(struct snapshot_query *q);
/* No lock is held. Without memory j->failed. */
void snapshot_write(struct json *j, const struct snapshot_query *q);

#endif
