/* SPDX-License-Identifier: MIT */
#include "net/conn_set.h"

void conn_set_init(struct conn_set *s, const struct conn_listener *listener)
{
    s->listener = listener;
    s->linger_until = CLOCK_NEVER;
    list_init(&s->endpoints);
    list_init(&s->conns);
    list_init(&s->draining);
    list_init(&s->warm);
}
