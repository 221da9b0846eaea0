/* SPDX-License-Identifier: MIT */
#include "net/security.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "pipe/option_values.h"
#include "wire/crypto.h"
#include "wire/peer.h"

bool security_asks(const struct option_values *o)
{
    switch (o->mechanism) {
    case PEER_MECH_PLAIN:
        return o->as_server;
    case PEER_MECH_CURVE:
        return o->as_server && (o->zap_domain_len || !o->zap_enforce_domain);
    default:
        return o->zap_domain_len;
    }
}

void security_of_options(const struct option_values *o, struct peer_security *sec)
{
    memset(sec, 0, sizeof(*sec));
    sec->mechanism = (enum peer_mechanism)o->mechanism;
    sec->server = o->as_server;
    sec->asks = security_asks(o);
    sec->username = o->plain_username;
    sec->username_len = o->plain_username_len;
    sec->password = o->plain_password;
    sec->password_len = o->plain_password_len;
    sec->public_key = o->has_curve_public ? o->curve_public : NULL;
    sec->secret_key = o->curve_secret;
    sec->server_key = o->curve_server;
}

/* What is wrong with it, "" when nothing is. */
static void find_fault(const struct option_values *o, bool raw, char *text, size_t size)
{
    const char *asked = o->mechanism == PEER_MECH_CURVE   ? "CURVE"
                        : o->mechanism == PEER_MECH_PLAIN ? "PLAIN"
                        : o->zap_enforce_domain           ? "ZAP_ENFORCE_DOMAIN"
                        : o->zap_domain_len               ? "ZAP_DOMAIN"
                                                          : NULL;
    text[0] = 0;
    if (raw && asked)
        snprintf(
            text, size,
            "%s is not to be had with STREAM or ROUTER_RAW: no ZMTP is spoken there, so nobody "
            "is asked for a key or a name, and nothing is encrypted",
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

bool security_is_kept(const struct option_values *o, bool raw)
{
    char text[256];
    find_fault(o, raw, text, sizeof(text));
    return !text[0];
}
