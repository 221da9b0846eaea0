/* SPDX-License-Identifier: MIT */
#include "net/security.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/secret.h"
#include "pipe/option_values.h"
#include "wire/crypto.h"
#include "wire/peer.h"

/* ---- life ---- */

static bool copy_list(void *to, size_t *to_count, const void *from, size_t count, size_t size)
{
    if (!count)
        return true;
    void *copy = mem_alloc(count * size);
    if (!copy)
        return false;
    memcpy(copy, from, count * size);
    memcpy(to, &copy, sizeof(copy)); /* `to` is a pointer to the list's pointer */
    *to_count = count;
    return true;
}

static bool copy_filters(struct security *sec, const struct option_values *o)
{
    return copy_list(&sec->accept_filters, &sec->accept_filter_count, o->accept_filters,
                     o->accept_filter_count, sizeof(*o->accept_filters)) &&
           copy_list(&sec->ipc_pids, &sec->ipc_pid_count, o->ipc_pids, o->ipc_pid_count,
                     sizeof(*o->ipc_pids)) &&
           copy_list(&sec->ipc_uids, &sec->ipc_uid_count, o->ipc_uids, o->ipc_uid_count,
                     sizeof(*o->ipc_uids)) &&
           copy_list(&sec->ipc_gids, &sec->ipc_gid_count, o->ipc_gids, o->ipc_gid_count,
                     sizeof(*o->ipc_gids));
}

struct security *security_new(const struct option_values *o)
{
    struct security *sec = mem_zalloc(sizeof(*sec));
    if (!sec)
        return NULL;
    atomic_init(&sec->refs, 1);
    sec->mechanism = o->mechanism;
    sec->as_server = o->as_server;
    sec->enforce_domain = o->zap_enforce_domain;
    sec->has_public_key = o->has_curve_public;
    memcpy(sec->username, o->plain_username, sizeof(sec->username));
    memcpy(sec->password, o->plain_password, sizeof(sec->password));
    memcpy(sec->domain, o->zap_domain, sizeof(sec->domain));
    sec->username_len = o->plain_username_len;
    sec->password_len = o->plain_password_len;
    sec->domain_len = o->zap_domain_len;
    memcpy(sec->public_key, o->curve_public, sizeof(sec->public_key));
    memcpy(sec->secret_key, o->curve_secret, sizeof(sec->secret_key));
    memcpy(sec->server_key, o->curve_server, sizeof(sec->server_key));
    sec->max_msg_size = o->maxmsgsize;
    sec->max_parts = o->max_parts;
    sec->handshake_ivl = o->handshake_ivl;
    if (!copy_filters(sec, o)) {
        security_unref(sec);
        return NULL;
    }
    return sec;
}

struct security *security_ref(struct security *sec)
{
    atomic_fetch_add_explicit(&sec->refs, 1, memory_order_relaxed);
    return sec;
}

void security_unref(struct security *sec)
{
    if (!sec || atomic_fetch_sub_explicit(&sec->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(sec->accept_filters);
    mem_free(sec->ipc_pids);
    mem_free(sec->ipc_uids);
    mem_free(sec->ipc_gids);
    secret_wipe(sec, sizeof(*sec));
    mem_free(sec);
}

/* ---- use ---- */

/* Whether a connection has to ask an authenticator before it lets a peer in. */
static bool asks(const struct security *sec)
{
    switch (sec->mechanism) {
    case PEER_MECH_PLAIN:
        return sec->as_server;
    case PEER_MECH_CURVE:
        return sec->as_server && (sec->domain_len || !sec->enforce_domain);
    default:
        return sec->domain_len;
    }
}

void security_of_peer(const struct security *sec, struct peer_security *out)
{
    memset(out, 0, sizeof(*out));
    out->mechanism = (enum peer_mechanism)sec->mechanism;
    out->server = sec->as_server;
    out->asks = asks(sec);
    out->username = sec->username;
    out->username_len = sec->username_len;
    out->password = sec->password;
    out->password_len = sec->password_len;
    out->public_key = sec->has_public_key ? sec->public_key : NULL;
    out->secret_key = sec->secret_key;
    out->server_key = sec->server_key;
}

/* What security is asked for; NULL: none. */
static const char *asked_for(int mechanism, bool enforce_domain, size_t domain_len)
{
    return mechanism == PEER_MECH_CURVE   ? "CURVE"
           : mechanism == PEER_MECH_PLAIN ? "PLAIN"
           : enforce_domain               ? "ZAP_ENFORCE_DOMAIN"
           : domain_len                   ? "ZAP_DOMAIN"
                                          : NULL;
}

/* What is wrong with it, "" when nothing is. */
static void find_fault(const struct option_values *o, bool raw, char *text, size_t size)
{
    const char *asked = asked_for(o->mechanism, o->zap_enforce_domain, o->zap_domain_len);
    text[0] = 0;
    if (raw && asked)
        snprintf(
            text, size,
            "%s is not to be had with STREAM or ROUTER_RAW, nor over datagrams: no ZMTP is spoken "
            "there, so nobody is asked for a key or a name, and nothing is encrypted",
            asked);
    else if (o->mechanism != PEER_MECH_CURVE)
        return;
    else if (!o->has_curve_secret)
        snprintf(text, size, "CURVE needs CURVE_SECRETKEY");
    else if (!o->as_server && !o->has_curve_server)
        snprintf(text, size,
                 "a CURVE client needs CURVE_SERVERKEY, the server's public key (or is this the "
                 "server: CURVE_SERVER)");
}

int security_check(const struct option_values *o, bool raw)
{
    char text[256];
    find_fault(o, raw, text, sizeof(text));
    if (!text[0])
        return 0;
    detail_set("%s", text);
    return -EINVAL;
}

bool security_is_kept(const struct security *sec, const struct option_values *o, bool raw)
{
    return !raw || (!asked_for(sec->mechanism, sec->enforce_domain, sec->domain_len) &&
                    !asked_for(o->mechanism, o->zap_enforce_domain, o->zap_domain_len));
}
