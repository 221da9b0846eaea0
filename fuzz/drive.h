/* SPDX-License-Identifier: MIT */
/*
 * One peer and its queue, fed in pieces of any size. The including file defines take_events, which
 * looks at what came of each piece.
 */
#ifndef FUZZ_DRIVE_H
#define FUZZ_DRIVE_H

#include "fuzz.h"
#include "wire/outq_drain.h"
#include "wire/peer.h"

#define MS UINT64_C(1000000)

static struct peer peer;
static struct outq queue;
static uint64_t now, cut_state;

static void take_events(void);

/* How much of `most` bytes comes or goes at once; cut_state is the seed. */
static size_t cut(size_t most)
{
    cut_state = cut_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    size_t limit = cut_state >> 60 == 0 ? most : 1 + (cut_state >> 33) % 64;
    return limit < most ? limit : most;
}

static void write_some(void)
{
    struct iovec iov[8];
    int n = peer_send_iov(&peer, &queue, iov, 8);
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (n > 0)
        peer_sent(&peer, &queue, cut(total));
}

static void say(const uint8_t *data, size_t len)
{
    while (len && peer.state != PEER_DEAD) {
        uint8_t *buf;
        size_t room;
        if (peer_recv_buf(&peer, &buf, &room))
            continue;
        CHECK(room > 0);
        size_t n = cut(len < room ? len : room);
        memcpy(buf, data, n);
        now += MS;
        peer_recv_done(&peer, n, now);
        data += n;
        len -= n;
        take_events();
        write_some();
        if (cut(64) == 1)
            peer_tick(&peer, &queue, now);
        if (cut(64) == 2)
            peer_trim(&peer);
    }
}

#endif
