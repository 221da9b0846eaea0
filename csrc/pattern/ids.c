/* SPDX-License-Identifier: MIT */
#include "pattern/ids.h"

#include "os/random.h"

void ids_init(struct ids *t)
{
    map_init(&t->pipes);
    t->next = random_u32();
}

void ids_fini(struct ids *t)
{
    map_fini(&t->pipes);
}

void ids_make(struct ids *t, struct id *id)
{
    do { /* a peer may have chosen an id that looks like ours */
        uint32_t n = t->next++;
        const uint8_t bytes[ID_AUTO_LEN] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
                                            (uint8_t)(n >> 8), (uint8_t)n};
        id_set(id, bytes, sizeof(bytes));
    } while (map_get(&t->pipes, id->bytes, id->len));
}

int id_frame(const struct id *id, struct msg *m)
{
    int rc = msg_init_copy(m, id->bytes, id->len);
    if (rc == 0)
        m->flags = PART_MORE;
    return rc;
}
