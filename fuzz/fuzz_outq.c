/* SPDX-License-Identifier: MIT */
/* An outq against a naive model. Input: operations, a byte each, with their arguments behind. */
#include "base/alloc.h"
#include "fuzz.h"
#include "outq_model.h"

static uint8_t source[1 << 17];

static size_t read_size(struct input *in)
{
    uint8_t kind = input_u8(in);
    if (kind < 0xf0)
        return kind;
    size_t size = input_u16(in);
    return kind >= 0xfc ? size * 2 % (sizeof(source) - 256) : size % 1000;
}

static void put_message(struct outq *q, struct input *in)
{
    struct msg parts[4];
    uint32_t n = 1 + input_u8(in) % 4;
    size_t sizes[4];
    for (uint32_t i = 0; i < n; i++) {
        sizes[i] = read_size(in);
        msg_init_borrowed(&parts[i], source + i, sizes[i], NULL);
    }
    mem_fail_at(input_u8(in) % 8);
    int rc = outq_put(q, parts, n);
    mem_fail_at(0);
    for (uint32_t i = 0; i < n; i++) {
        if (rc == 0)
            model_add(i + 1 < n ? FRAME_MORE : 0, source + i, sizes[i]);
        else
            msg_drop(&parts[i]);
    }
}

static void step(struct outq *q, struct input *in)
{
    size_t size;
    switch (input_u8(in) % 8) {
    case 0:
        put_message(q, in);
        break;
    case 1:
        size = read_size(in);
        CHECK_EQ(outq_put_copy(q, source, size), 0);
        model_add(0, source, size);
        break;
    case 2:
        size = read_size(in);
        CHECK_EQ(outq_put_command(q, source, 3, source + 3, size), 0);
        model_add(FRAME_COMMAND, source, size + 3);
        break;
    case 3:
        size = q->bytes ? read_size(in) % (q->bytes + 1) : 0;
        outq_sent(q, size);
        model_sent(size);
        break;
    case 4:
        size = q->bytes;
        outq_sent(q, size);
        model_sent(size);
        outq_trim(q);
        break;
    case 5:
        outq_rewind(q);
        model_rewind();
        break;
    case 6:
        size = q->bytes ? read_size(in) % (q->bytes + 1) : 0;
        outq_drop_pending(q, size);
        model_drop_pending(size);
        break;
    case 7: {
        struct msg m;
        if (q->mid_frame || q->bytes == 0)
            break;
        CHECK_EQ(outq_take(q, &m), 1);
        size_t head = model.f[0].bytes[0] & FRAME_LONG ? 9 : 2;
        CHECK_EQ(msg_size(&m), model.f[0].len - head);
        CHECK_MEM(msg_data(&m), model.f[0].bytes + head, msg_size(&m));
        msg_drop(&m);
        model_pop();
        break;
    }
    }
    model_compare(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct pool *pool;
    struct outq q;
    if (source[1] == 0) {
        for (size_t i = 0; i < sizeof(source); i++)
            source[i] = (uint8_t)(i * 31 + i / 251 + 1);
    }
    long live = mem_live();
    if (pool_create(&pool))
        abort();
    outq_init(&q, pool);
    for (int steps = 0; in.left && steps < 500; steps++)
        step(&q, &in);
    outq_fini(&q);
    model_clear();
    pool_release(pool);
    CHECK_EQ(mem_live(), live);
    return 0;
}
