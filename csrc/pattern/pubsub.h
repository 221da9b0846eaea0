/* SPDX-License-Identifier: MIT */
/* What the two sides of publish/subscribe share: the form of a subscription that travels as a
 * message. */
#ifndef PATTERN_PUBSUB_H
#define PATTERN_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "msg/msg.h"

#define BYTE_CANCEL 0
#define BYTE_SUBSCRIBE 1

static inline bool msg_is_subscription(const struct msg *m)
{
    return msg_size(m) > 0 && msg_data(m)[0] <= BYTE_SUBSCRIBE;
}

/* The byte and the topic as one message of a single part. 0 or -ENOMEM. */
static inline int msg_init_subscription(struct msg *m, const void *topic, size_t len, bool add)
{
    uint8_t *data = m->u.inl;
    if (len + 1 > MSG_INLINE_MAX) {
        int rc = msg_init_blob(m, len + 1, &data);
        if (rc)
            return rc;
    } else {
        msg_init(m);
        m->inl_len = (uint8_t)(len + 1);
    }
    data[0] = add ? BYTE_SUBSCRIBE : BYTE_CANCEL;
    if (len)
        memcpy(data + 1, topic, len);
    return 0;
}

#endif
