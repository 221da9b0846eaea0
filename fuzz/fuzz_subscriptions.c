/* SPDX-License-Identifier: MIT */
/*
 * A message whose parts are subscriptions or not: what is taken out, what stays, and in which
 * order, also where taking one fails. Input: whether only the first decides, which one fails, then
 * a byte a part: its kind, and how long it is.
 */
#include <errno.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "pattern/pubsub.h"

enum { PARTS_MAX = 300 };

struct taken {
    const uint8_t *kinds; /* of all parts */
    uint32_t n, next;     /* the part from which the next subscription is looked for */
    uint32_t left;        /* so many are taken before it fails */
};

static bool is_subscription(uint8_t kind)
{
    return (kind & 3) < 2 && kind >= 4;
}

/* A part's first byte is its kind, the others are its length. */
static void make_part(struct msg *m, uint8_t kind)
{
    uint8_t bytes[64];
    size_t len = kind < 4 ? 0 : kind / 4;
    memset(bytes, (int)len, sizeof(bytes));
    bytes[0] = kind & 3;
    if (msg_init_copy(m, bytes, len))
        abort();
}

static int take(void *arg, const void *topic, size_t len, bool add)
{
    struct taken *t = arg;
    while (t->next < t->n && !is_subscription(t->kinds[t->next]))
        t->next++;
    CHECK(t->next < t->n);
    uint8_t kind = t->kinds[t->next];
    CHECK_EQ(len, (size_t)kind / 4 - 1);
    CHECK_EQ(add, (kind & 3) == BYTE_SUBSCRIBE);
    for (size_t i = 0; i < len; i++)
        CHECK_EQ(((const uint8_t *)topic)[i], kind / 4);
    if (t->left == 0)
        return -ENOMEM;
    t->left--;
    t->next++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool only_first = input_u8(&in) & 1;
    uint32_t fails = input_u8(&in);
    long live = mem_live();
    uint32_t n = in.left < PARTS_MAX ? (uint32_t)in.left : PARTS_MAX;
    if (n == 0)
        return 0;
    struct parts m;
    parts_init(&m);
    for (uint32_t i = 0; i < n; i++) {
        struct msg part;
        make_part(&part, in.at[i]);
        if (parts_push(&m, &part))
            abort();
    }
    struct taken t = {in.at, n, 0, fails ? fails - 1 : UINT32_MAX};
    int rc = parts_take_subscriptions(&m, only_first, take, &t);
    bool untouched = only_first && !is_subscription(in.at[0]);
    CHECK(rc == 0 || (rc == -ENOMEM && fails));
    CHECK(!untouched || (rc == 0 && m.len == n));
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool gone = is_subscription(in.at[i]) && !untouched && (rc == 0 || i < t.next);
        if (gone)
            continue;
        struct msg part;
        make_part(&part, in.at[i]);
        CHECK(at < m.len);
        CHECK_EQ(msg_size(&m.v[at]), msg_size(&part));
        CHECK_MEM(msg_data(&m.v[at]), msg_data(&part), msg_size(&part));
        msg_drop(&part);
        at++;
    }
    CHECK_EQ(at, m.len);
    parts_fini(&m);
    CHECK_EQ(mem_live(), live);
    return 0;
}
