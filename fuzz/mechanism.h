/* SPDX-License-Identifier: MIT */
/*
 * The body of the targets for one mechanism in one role; the including file defines MECHANISM and
 * SERVER. CURVE's primitives are a double that opens every box (fake_crypto.h), so that inputs
 * reach what is behind it. Input: flags, a seed for how the bytes are cut, the allocation that
 * fails (0: none), then what the other side says after its greeting. Flags:
 *
 *   03 the answer about the peer: let in, 400, 300, none    04 the peer is asked about
 *   08 max_msg_size 64     10 max_parts 3     20 heartbeats on     40 strict boxes
 *   80 the greeting is part of the input
 */
#ifndef FUZZ_MECHANISM_H
#define FUZZ_MECHANISM_H

#include <errno.h>

#include "base/alloc.h"
#include "drive.h"
#include "fake_crypto.h"

static unsigned flags;

static void judge(void)
{
    struct peer_credentials shown;
    peer_credentials(&peer, &shown);
    volatile uint8_t sum = 0;
    for (int i = 0; i < shown.count; i++)
        for (size_t k = 0; k < shown.part[i].len; k++)
            sum = (uint8_t)(sum + shown.part[i].data[k]);
    if ((flags & 3) == 0)
        peer_auth(&peer, NULL);
    else if ((flags & 3) < 3)
        peer_refuse(&peer, (flags & 3) == 1 ? 400 : 300);
}

static void take_events(void)
{
    struct peer_event ev;
    int rc;
    while ((rc = peer_next(&peer, &ev)) != 0) {
        if (rc == -ENOMEM)
            continue;
        if (rc < 0) {
            CHECK(rc == -EPROTO && peer.state == PEER_DEAD && peer.failure != PEER_OK);
            return;
        }
        if (ev.kind == PEER_EV_AUTH) {
            CHECK(peer_auth_pending(&peer) && !peer.ready);
            judge();
        } else if (ev.kind == PEER_EV_FRAME) {
            CHECK(peer.ready);
            CHECK(peer.cfg.max_msg_size < 0 || msg_size(&ev.msg) <= (size_t)peer.cfg.max_msg_size);
            if (queue.bytes < 200000) {
                struct msg part;
                msg_init_borrowed(&part, msg_data(&ev.msg), msg_size(&ev.msg), NULL);
                (void)outq_put(&queue, &part, 1);
            }
            msg_drop(&ev.msg);
        } else {
            CHECK(peer.state == PEER_TRAFFIC);
            CHECK(!peer_identity_is_reserved(peer.remote.identity, peer.remote.identity_len));
        }
    }
}

static void greet(void)
{
    static const char *const names[] = {"NULL", "PLAIN", "CURVE"};
    uint8_t greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1};
    memcpy(greeting + 12, names[MECHANISM], strlen(names[MECHANISM]));
    say(greeting, sizeof(greeting));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1, 2, 3};
    struct input in = {data, size};
    flags = input_u8(&in);
    cut_state = input_u8(&in);
    long failing = input_u8(&in);
    struct pool *pool;
    long live = mem_live();
    struct peer_config cfg = {
        .socket_type = SERVER ? FMQ_ROUTER : FMQ_DEALER,
        .identity = (const uint8_t *)"fuzz",
        .identity_len = 4,
        .max_msg_size = flags & 8 ? 64 : -1,
        .max_parts = flags & 16 ? 3 : 0,
        .heartbeat_ivl_ms = flags & 32 ? 20 : 0,
        .heartbeat_timeout_ms = -1,
        .handshake_ms = 1000,
        .security = {.mechanism = MECHANISM,
                     .server = SERVER,
                     .asks = (flags & 4) != 0,
                     .username = (const uint8_t *)"user",
                     .username_len = 4,
                     .secret_key = key,
                     .server_key = key},
    };
    if (pool_create(&pool))
        abort();
    cfg.pool = pool;
    now = 0;
    fake_crypto_set();
    fake_state = 1;
    fake_lenient = !(flags & 64);
    outq_init(&queue, pool);
    mem_fail_at(failing);
    if (peer_init(&peer, &cfg, now) == 0) {
        take_events();
        if (!(flags & 128))
            greet();
        say(in.at, in.left);
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

#endif
