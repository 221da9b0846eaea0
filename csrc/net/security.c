/* SPDX-License-Identifier: MIT */
#include "net/security.h"

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

int security_check(const struct option_values *o)
{
    if (o->mechanism != PEER_MECH_CURVE)
        return 0;
    if (!o->has_curve_secret) {
        detail_set("CURVE needs CURVE_SECRETKEY");
        return -EINVAL;
    }
    if (!o->as_server && !o->has_curve_server) {
        detail_set("a CURVE client needs CURVE_SERVERKEY, the server's public key (or is this the "
                   "server: CURVE_SERVER)");
        return -EINVAL;
    }
    return 0;
}
