/* SPDX-License-Identifier: MIT */
/*
 * XPUB and PUB: publish to the peers that subscribed.
 *
 * Subscriptions come as commands or as messages and take effect when they arrive, whether or not
 * the program receives. They are reported to an XPUB's program, in the order of arrival with
 * the messages that subscribers send (struct note). A pipe is read ahead only as far as its RCVHWM
 * allows; beyond that its messages stay where they are, and push back.
 *
 * What a program does not receive must not pile up. A topic that came and went need not
 * be reported: with RCVHWM notices waiting, such pairs cancel each other out, so that there are
 * never many more than topics. Where each single request is reported (XPUB_VERBOSE, XPUB_MANUAL)
 * none can be left out. There a subscriber is read no further while more notices of it wait than it
 * has subscriptions and RCVHWM together, and no subscriber is while RCVHWM notices wait of peers
 * that left.
 *
 * With XPUB_MANUAL nothing takes effect by itself: the program decides, for the pipe it last
 * received from.
 *
 * A publisher that connects keeps the subscriptions over a lost connection, so that what it
 * publishes in the meantime is queued. The subscriber repeats them; what it has not repeated by the
 * time the next connection is lost is dropped (member.round).
 */
#ifndef PATTERN_XPUB_STATE_H
#define PATTERN_XPUB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "msg/msg.h"
#include "pattern/keep.h"
#include "pattern/route.h"
#include "pattern/topics.h"
#include "pipe/pipe_set.h"

struct xpub {
    struct topics topics; /* in effect */
    struct topics asked;  /* XPUB_MANUAL: what subscribers asked for */
    struct fanout out;
    uint32_t to_all;            /* pipes in `out` to whose links everything goes */
    struct fairq in;            /* pipes that could not be read empty */
    struct list notes;          /* for the program */
    uint32_t notices;           /* notes that are not of the user */
    uint32_t orphans;           /* notes of pipes that are gone */
    bool any_rx_paused;         /* pipes may be paused for has_enough */
    bool orphans_stop;          /* some of them because of the orphans */
    uint32_t max_subscriptions; /* a peer; 0: no limit */
    struct pipe *last; /* XPUB_MANUAL: the program last received from it; NULL: gone, or none */
    uint64_t sending;  /* number of the message being matched */
    struct msg welcome;
    bool has_welcome;
    bool verbose_add, verbose_cancel;
    bool manual, last_value;
    bool nodrop, only_first;
    bool plain; /* not nodrop, last_value or keep.max: a message goes to its subscribers at once */
    struct keep keep; /* PUB_KEEP_LAST */
    struct list late; /* xpub_pipe.late_node: pipes that are behind, see xpub_late.h */
    uint64_t given;   /* kept messages that were written to pipes */
};

struct place {
    uint32_t slot, turn; /* of a topic, see keep.h */
};

/* Topics whose last messages a pipe is still to be given, each once. */
struct line {
    struct place *places; /* a ring */
    uint32_t head, len, cap;
    uint32_t slots;
    uint32_t *turns; /* by slot: of the topic that has a place; 0: none */
};

struct xpub_pipe {
    struct subscriber topics;
    struct subscriber asked;
    struct pipe *pipe;
    struct list notes; /* note.of_pipe */
    uint64_t matched;  /* xpub.sending of the last message that it matched */
    uint32_t held;     /* user messages among the notes */
    struct parts kept; /* a message that there was no memory to work through */
    uint32_t notices;  /* the others among them */
    uint8_t round;
    bool reading; /* reading may make more readable, and call back */
    struct list late_node;
    struct line line;
};

struct note {
    struct list node;
    struct list of_pipe;
    struct xpub_pipe *from; /* NULL: gone */
    struct topic *topic; /* whose coming it reports, while the topic lasts and is reported once */
    bool user;
    uint32_t len;
    uint64_t bytes; /* of a user's message, as long as its pipe holds it */
    struct msg v[];
};

/* Whether the program wants to hear of every request. */
static inline bool xpub_tells_all(const struct xpub *me)
{
    return me->manual || me->verbose_add || me->verbose_cancel;
}

#endif
