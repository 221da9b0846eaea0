/* SPDX-License-Identifier: MIT */
/* Values of the options whose home is FIELD or IGNORED, and of those that need memory. Table:
 * options.def. */
#ifndef PIPE_OPTION_VALUES_H
#define PIPE_OPTION_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/net.h"

/* Bits of reconnect_stop. The last is fastmq's own. */
#define STOP_REFUSED 1
#define STOP_HANDSHAKE 2
#define STOP_AFTER_DISCONNECT 4
#define STOP_PROTOCOL_ERROR 8

struct blob_opt {
    uint8_t *data;
    size_t len;
};

struct cidr {
    struct net_addr addr;
    unsigned bits;
};

/* Taken and read back for programs that set them, and without effect. */
struct ignored_values {
    uint64_t affinity;
    int in_batch_size, out_batch_size, loopback_fastpath;
};

struct option_values {
    int64_t maxmsgsize, sndhwm_bytes, rcvhwm_bytes;
    int sndbuf, rcvbuf, linger, reconnect_ivl, backlog, reconnect_ivl_max;
    int sndhwm, rcvhwm, rcvtimeo, sndtimeo, multicast_hops, multicast_loop;
    int tcp_keepalive, tcp_keepalive_cnt, tcp_keepalive_idle, tcp_keepalive_intvl;
    int immediate, ipv6, mechanism, conflate, tos, handshake_ivl, invert_matching;
    int heartbeat_ivl, heartbeat_ttl, heartbeat_timeout, connect_timeout, tcp_maxrt;
    int use_fd, reconnect_stop, priority, busy_poll;
    int rate, recovery_ivl, multicast_maxtpdu;
    int spin_us, max_parts, ipc_steal, shm;
    int zap_enforce_domain;

    struct ignored_values ignored;

    uint8_t routing_id[255];
    uint8_t routing_id_len;
    char bind_to_device[16];
    /* Security: `mechanism` is what the last of these that was set stands for. */
    bool as_server;
    uint8_t plain_username[255], plain_password[255], zap_domain[255];
    uint8_t plain_username_len, plain_password_len, zap_domain_len;
    uint8_t curve_public[32], curve_secret[32], curve_server[32];
    bool has_curve_public, has_curve_secret, has_curve_server;
    char tcp_congestion[16];  /* empty: the system's, but see transport/tcp.c */
    struct blob_opt metadata; /* in meta.h's encoding */
    struct blob_opt hello_msg, disconnect_msg, hiccup_msg;
    struct cidr *accept_filters;
    size_t accept_filter_count;
    uint32_t *ipc_pids, *ipc_uids, *ipc_gids;
    size_t ipc_pid_count, ipc_uid_count, ipc_gid_count;
};

#endif
