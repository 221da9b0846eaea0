/* SPDX-License-Identifier: MIT */
/* Routing ids of ROUTER and STREAM: which pipe a message's first frame means. */
#ifndef PATTERN_IDS_H
#define PATTERN_IDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/map.h"
#include "msg/msg.h"
#include "pipe/pipe.h"

#define ID_AUTO_LEN 5 /* 0x00, then a big-endian counter */

struct id {
    uint8_t bytes[255];
    uint8_t len;
};

struct ids {
    struct map pipes;
    uint32_t next;
};

void ids_init(struct ids *t);
void ids_fini(struct ids *t);
/* An id of our own making that no peer has. */
void ids_make(struct ids *t, struct id *id);
/* The first frame of what is to be received from that peer. 0 or -ENOMEM. */
int id_frame(const struct id *id, struct msg *m);

static inline void id_set(struct id *id, const void *bytes, uint8_t len)
{
    memcpy(id->bytes, bytes, len);
    id->len = len;
}

static inline struct pipe *ids_find(const struct ids *t, const struct msg *m)
{
    return map_get(&t->pipes, msg_data(m), msg_size(m));
}

#endif
