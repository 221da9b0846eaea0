/* SPDX-License-Identifier: MIT */
#include "socket/option_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "pipe/option_ids.h"
#include "pipe/option_values.h"

#define KIND_INT FMQ_OPT_INT
#define KIND_INT64 FMQ_OPT_INT64
#define KIND_UINT64 FMQ_OPT_UINT64
#define KIND_BOOL FMQ_OPT_BOOL
#define KIND_BYTES FMQ_OPT_BYTES
#define KIND_STRING FMQ_OPT_STRING
#define KIND_FD FMQ_OPT_FD
#define ACCESS_G FMQ_OPT_GET
#define ACCESS_S FMQ_OPT_SET
#define ACCESS_GS (FMQ_OPT_GET | FMQ_OPT_SET)
#define PLACE_FIELD(field)                                                                         \
    offsetof(struct option_values, field), sizeof(((struct option_values *)0)->field)
#define PLACE_IGNORED(field)                                                                       \
    offsetof(struct option_values, ignored.field),                                                 \
        sizeof(((struct option_values *)0)->ignored.field)
#define PLACE_SOCKET(field) 0, 0
#define PLACE_PATTERN(field) 0, 0
#define PLACE_ABSENT(field) 0, 0

static const struct option_row rows[] = {
#define OPT(id, name, kind, access, min, max, def, home, field)                                    \
    {{id, #name, KIND_##kind, ACCESS_##access, min, max}, HOME_##home, def, PLACE_##home(field)},
#include "pipe/options.def"
#undef OPT
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

const struct option_row *option_find(int id)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].info.id == id)
            return &rows[i];
    return NULL;
}

const struct fmq_option_info *fmq_option_at(int index)
{
    return index >= 0 && (size_t)index < ROW_COUNT ? &rows[index].info : NULL;
}

const struct fmq_option_info *fmq_option_find(int id)
{
    const struct option_row *r = option_find(id);
    return r ? &r->info : NULL;
}

bool option_is_stored(const struct option_row *r)
{
    return r->home == HOME_FIELD || r->home == HOME_IGNORED;
}

void option_store(struct option_values *o, const struct option_row *r, int64_t value)
{
    /* Atomic since timeouts are read without the lock. */
    if (r->size == sizeof(int))
        __atomic_store_n((int *)((char *)o + r->offset), (int)value, __ATOMIC_RELAXED);
    else
        *(int64_t *)((char *)o + r->offset) = value;
}

int64_t option_load(const struct option_values *o, const struct option_row *r)
{
    if (r->size == sizeof(int))
        return *(const int *)((const char *)o + r->offset);
    return *(const int64_t *)((const char *)o + r->offset);
}

/* Options whose defaults the environment may give. What is no such value is ignored. */
static const struct {
    int id;
    const char *name;
} from_environment[] = {
    {OPT_SPIN_US, "FASTMQ_SPIN_US"},
    {OPT_SHM, "FASTMQ_SHM"},
};

/* Nothing but a few decimal digits. */
static bool read_number(const char *text, int *value)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    *value = atoi(text);
    return true;
}

void options_init(struct option_values *o)
{
    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (option_is_stored(&rows[i]))
            option_store(o, &rows[i], rows[i].fallback);
    for (size_t i = 0; i < sizeof(from_environment) / sizeof(from_environment[0]); i++) {
        const struct option_row *r = option_find(from_environment[i].id);
        const char *text = getenv(from_environment[i].name);
        int value;
        if (text && read_number(text, &value) && value >= r->info.min && value <= r->info.max)
            option_store(o, r, value);
    }
}

void options_fini(struct option_values *o)
{
    mem_free(o->metadata.data);
    mem_free(o->hello_msg.data);
    mem_free(o->disconnect_msg.data);
    mem_free(o->hiccup_msg.data);
    mem_free(o->accept_filters);
    mem_free(o->ipc_pids);
    mem_free(o->ipc_uids);
    mem_free(o->ipc_gids);
    secret_wipe(o->plain_password, sizeof(o->plain_password));
    secret_wipe(o->curve_secret, sizeof(o->curve_secret));
}
