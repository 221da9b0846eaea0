/* SPDX-License-Identifier: MIT */
#include "wire/peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/greeting.h"
#include "wire/mechanism.h"

#define RAW_MAX_DEFAULT 8192

static int copy_config(struct peer *p, const struct peer_config *cfg)
{
    p->cfg = *cfg;
    p->cfg.identity = NULL;
    p->cfg.extra_props = NULL;
    memset(&p->cfg.security, 0, sizeof(p->cfg.security)); /* the mechanism keeps what it needs */
    size_t size = cfg->identity_len + cfg->extra_props_len;
    if (size == 0)
        return 0;
    uint8_t *mem = mem_alloc(size);
    if (!mem)
        return -ENOMEM;
    if (cfg->identity_len)
        memcpy(mem, cfg->identity, cfg->identity_len);
    if (cfg->extra_props_len)
        memcpy(mem + cfg->identity_len, cfg->extra_props, cfg->extra_props_len);
    p->cfg_mem = mem;
    p->cfg.identity = mem;
    p->cfg.extra_props = mem + cfg->identity_len;
    return 0;
}

static int create_mechanism(struct peer *p, const struct peer_security *sec)
{
    static int (*const create[])(struct mechanism **, const struct peer_security *) = {
        [PEER_MECH_NULL] = null_create,
        [PEER_MECH_PLAIN] = plain_create,
        [PEER_MECH_CURVE] = curve_create,
    };
    int rc = create[sec->mechanism](&p->mech, sec);
    if (rc)
        return rc;
    p->crypto_overhead = p->mech->ops->crypto_overhead;
    if (sec->mechanism != PEER_MECH_NULL || sec->asks)
        p->cfg.v3_only = true;
    return 0;
}

int peer_init(struct peer *p, const struct peer_config *cfg, uint64_t now)
{
    assert(cfg->identity_len <= 255);
    memset(p, 0, sizeof(*p));
    p->now = now;
    p->framing = FRAMING_V2;
    p->remote.type = -1;
    int rc = copy_config(p, cfg);
    peer_in_init(p);
    outq_init(&p->tx.buf, cfg->pool);
    heartbeat_init(p);
    if (rc == 0 && cfg->raw) {
        if (p->cfg.raw_max == 0)
            p->cfg.raw_max = RAW_MAX_DEFAULT;
        p->remote.meta = meta_new();
        rc = p->remote.meta ? 0 : -ENOMEM;
        p->state = PEER_TRAFFIC;
        p->due_ready = true;
    } else if (rc == 0) {
        rc = create_mechanism(p, &cfg->security);
        p->state = cfg->ws ? PEER_UPGRADE : PEER_SIGNATURE;
        if (rc == 0 && !cfg->ws)
            rc = greeting_start(p);
    }
    if (rc)
        peer_fini(p);
    return rc;
}

void peer_fini(struct peer *p)
{
    peer_in_fini(p);
    if (p->mech)
        p->mech->ops->destroy(p->mech);
    p->mech = NULL;
    peer_out_fini(p);
    handshake_fini(p);
    meta_unref(p->remote.meta);
    p->remote.meta = NULL;
    mem_free(p->cfg_mem);
    p->cfg_mem = NULL;
}

void peer_trim(struct peer *p)
{
    peer_in_trim(p);
    outq_trim(&p->tx.buf);
}

int peer_next(struct peer *p, struct peer_event *ev)
{
    int rc;
    peer_in_drop_held(p);
    do {
        switch (p->state) {
        case PEER_DEAD:
            rc = -EPROTO;
            break;
        case PEER_TRAFFIC:
            rc = peer_in_step(p, ev);
            break;
        case PEER_HANDSHAKE:
            rc = handshake_step(p, ev);
            break;
        default:
            rc = greeting_step(p);
            break;
        }
    } while (rc == PEER_AGAIN);
    if (rc == 0)
        p->rx.drained = true;
    return rc;
}
