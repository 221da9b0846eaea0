/* SPDX-License-Identifier: MIT */
/*
 * The security settings of an endpoint's connections, its filters and its limits: a copy of the
 * socket's options at the time of bind or connect. Later changes apply only to later endpoints, so
 * that no change can make an existing endpoint less secure.
 */
#ifndef NET_SECURITY_H
#define NET_SECURITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cidr;
struct option_values;
struct peer_security;

/* Shared by an endpoint and its connections, which may outlive it. Does not change. */
struct security {
    atomic_uint refs;
    int mechanism; /* enum peer_mechanism */
    bool as_server, enforce_domain;
    bool has_public_key;
    uint8_t username[255], password[255], domain[255];
    uint8_t username_len, password_len, domain_len;
    uint8_t public_key[32], secret_key[32], server_key[32];
    int64_t max_msg_size;
    int max_parts, handshake_ivl;
    struct cidr *accept_filters;
    size_t accept_filter_count;
    uint32_t *ipc_pids, *ipc_uids, *ipc_gids;
    size_t ipc_pid_count, ipc_uid_count, ipc_gid_count;
};

/* NULL: no memory. */
struct security *security_new(const struct option_values *o);
struct security *security_ref(struct security *sec);
/* Wipes its secrets with the last reference. */
void security_unref(struct security *sec);

/* What a new connection is to be secured with; points into `sec`. */
void security_of_peer(const struct security *sec, struct peer_security *out);
/* Before bind and connect: -EINVAL, with a detail, when the mechanism lacks a key, or when security
 * is asked for where no ZMTP is spoken (`raw`): any peer would come in and be served in the clear.
 */
int security_check(const struct option_values *o, bool raw);
/* Whether a connection that speaks no ZMTP (`raw`) may be had: not where security is asked for, by
 * its endpoint or, since then, by the socket's options. */
bool security_is_kept(const struct security *sec, const struct option_values *o, bool raw);

#endif
