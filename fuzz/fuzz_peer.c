/* SPDX-License-Identifier: MIT */
/*
 * A peer is told anything. Input: socket type, flags, a seed for how the bytes are cut, the
 * allocation that fails (0: none), then what the other side says. Flags:
 *
 *   01 raw       02 v3_only      04 max_msg_size 64     08 max_parts 3
 *   10 heartbeats on             60 what is said before the input: nothing, a 3.1 greeting and
 *                                   READY, a 2.0 greeting, a 1.0 identity
 */
#include <errno.h>

#include "base/alloc.h"
#include "drive.h"

static int next_event(struct peer_event *ev)
{
    if (peer_next_small(&peer, &ev->msg)) {
        ev->kind = PEER_EV_FRAME;
        return 1;
    }
    return peer_next(&peer, ev);
}

static void answer(const struct peer_event *ev)
{
    if (!peer.ready || queue.bytes > 200000)
        return;
    if (ev->kind == PEER_EV_FRAME) {
        struct msg parts[2];
        msg_init_borrowed(&parts[0], msg_data(&ev->msg), msg_size(&ev->msg), NULL);
        msg_init_borrowed(&parts[1], "", 0, NULL);
        (void)outq_put(&queue, parts, 2);
    } else if (ev->kind == PEER_EV_SUBSCRIBE || ev->kind == PEER_EV_CANCEL) {
        (void)peer_put_subscription(&peer, &queue, ev->data, ev->len,
                                    ev->kind == PEER_EV_SUBSCRIBE);
    }
}

static void take_events(void)
{
    struct peer_event ev;
    int rc;
    while ((rc = next_event(&ev)) != 0) {
        if (rc == -ENOMEM)
            continue;
        if (rc < 0) {
            CHECK(rc == -EPROTO && peer.state == PEER_DEAD && peer.failure != PEER_OK);
            return;
        }
        CHECK(peer.state == PEER_TRAFFIC);
        if (!peer.cfg.raw)
            answer(&ev);
        if (ev.kind == PEER_EV_FRAME) {
            volatile uint8_t sum = 0;
            for (size_t i = 0; i < msg_size(&ev.msg); i++)
                sum = (uint8_t)(sum + msg_data(&ev.msg)[i]);
            CHECK(peer.cfg.max_msg_size < 0 || peer.cfg.raw ||
                  msg_size(&ev.msg) <= (size_t)peer.cfg.max_msg_size);
            msg_drop(&ev.msg);
        }
    }
    CHECK(!peer_buffered(&peer) || peer.state != PEER_TRAFFIC || !peer.cfg.raw);
}

static void introduce(int type, unsigned how)
{
    static const char *const partner[] = {"PAIR", "SUB",  "PUB",  "REP", "REQ", "DEALER",
                                          "REQ",  "PUSH", "PULL", "SUB", "PUB", ""};
    static const uint8_t signature[10] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f};
    uint8_t greeting[64] = {0};
    memcpy(greeting, signature, sizeof(signature));
    if (how == 1) {
        uint8_t ready[64] = "\4\0\5READY\13Socket-Type\0\0\0";
        size_t len = strlen(partner[type]);
        ready[1] = (uint8_t)(6 + 12 + 4 + len);
        ready[23] = (uint8_t)len;
        memcpy(ready + 24, partner[type], len);
        memcpy(greeting + 10, "\3\1NULL", 6);
        say(greeting, sizeof(greeting));
        say(ready, 24 + len);
    } else if (how == 2) {
        memcpy(greeting + 10, "\1\5\0\2id", 6);
        say(greeting, 16);
    } else if (how == 3) {
        say((const uint8_t *)"\3\0id", 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    int type = input_u8(&in) % 12;
    unsigned flags = input_u8(&in);
    cut_state = input_u8(&in);
    long failing = input_u8(&in);
    struct pool *pool;
    long live = mem_live();
    struct peer_config cfg = {.socket_type = type,
                              .identity = (const uint8_t *)"fuzz",
                              .identity_len = 4,
                              .max_msg_size = flags & 4 ? 64 : -1,
                              .max_parts = flags & 8 ? 3 : 0,
                              .heartbeat_ivl_ms = flags & 16 ? 20 : 0,
                              .heartbeat_ttl_ms = 1000,
                              .heartbeat_timeout_ms = -1,
                              .handshake_ms = 1000,
                              .raw = flags & 1,
                              .v3_only = flags & 2};
    if (pool_create(&pool))
        abort();
    cfg.pool = pool;
    now = 0;
    outq_init(&queue, pool);
    mem_fail_at(failing);
    if (peer_init(&peer, &cfg, now) == 0) {
        take_events();
        introduce(type, flags >> 5 & 3);
        say(in.at, in.left);
        peer_put_error(&peer, "end");
        for (int i = 0; i < 50; i++)
            write_some();
        peer_tick(&peer, &queue, now + 5000 * MS);
        peer_fini(&peer);
    }
    mem_fail_at(0);
    outq_rewind(&queue);
    outq_fini(&queue);
    pool_release(pool);
    CHECK_EQ(mem_live(), live);
    return 0;
}
