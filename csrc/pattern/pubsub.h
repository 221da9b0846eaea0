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

/* Takes the subscriptions out of a message: `take` gets each of them, and those that it took are
 * dropped. Its first error ends that, with the rest of the message as it was. `only_first`: all of
 * it is the program's unless the first part is a subscription. The peer decides how many parts
 * there are, so each is moved once at most. */
static inline int
parts_take_subscriptions(struct parts *m, bool only_first,
                         int (*take)(void *arg, const void *topic, size_t len, bool add), void *arg)
{
    if (only_first && !msg_is_subscription(&m->v[0]))
        return 0;
    uint32_t at = 0, kept = 0;
    int rc = 0;
    for (; at < m->len; at++) {
        struct msg *part = &m->v[at];
        if (msg_is_subscription(part)) {
            const uint8_t *data = msg_data(part);
            rc = take(arg, data + 1, msg_size(part) - 1, data[0] == BYTE_SUBSCRIBE);
            if (rc)
                break;
            msg_drop(part);
        } else if (kept++ != at) {
            m->v[kept - 1] = *part;
        }
    }
    if (at < m->len && kept != at)
        memmove(m->v + kept, m->v + at, (m->len - at) * sizeof(*m->v));
    m->len -= at - kept;
    return rc;
}

#endif
