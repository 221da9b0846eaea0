/* SPDX-License-Identifier: MIT */
#include "socket/option_security.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/z85.h"
#include "pipe/option_ids.h"
#include "pipe/option_values.h"
#include "wire/crypto.h"
#include "wire/peer_state.h"

static int check_crypto(void)
{
    if (crypto_get())
        return 0;
    detail_set("CURVE needs libsodium, which comes with PyNaCl: pip install PyNaCl");
    return -ENOTSUP;
}

static void set_role(struct option_values *o, enum peer_mechanism mechanism, bool on)
{
    o->mechanism = on ? mechanism : PEER_MECH_NULL;
    o->as_server = on;
}

/* 32 bytes as they are, or 40 characters of Z85 with or without a NUL. */
static int set_key(struct option_values *o, const char *name, uint8_t *key, bool *has,
                   const void *value, size_t len)
{
    uint8_t raw[CRYPTO_KEY];
    int rc = check_crypto();
    if (rc)
        return rc;
    if (len == CRYPTO_KEY)
        memcpy(raw, value, CRYPTO_KEY);
    else if ((len != 40 && (len != 41 || ((const char *)value)[40] != 0)) ||
             z85_decode(raw, value, 40)) {
        secret_wipe(raw, sizeof(raw));
        detail_set("%s takes 32 bytes, or the 40 characters of their Z85 form", name);
        return -EINVAL;
    }
    memcpy(key, raw, CRYPTO_KEY);
    secret_wipe(raw, sizeof(raw));
    *has = true;
    o->mechanism = PEER_MECH_CURVE;
    return 0;
}

static void set_short(uint8_t *to, uint8_t *to_len, const void *value, size_t len)
{
    secret_wipe(to, *to_len);
    if (len)
        memcpy(to, value, len);
    *to_len = (uint8_t)len;
}

int option_set_security(struct option_values *o, int id, int64_t num, const void *value, size_t len)
{
    int rc = 0;
    switch (id) {
    case OPT_PLAIN_SERVER:
        set_role(o, PEER_MECH_PLAIN, num);
        break;
    case OPT_PLAIN_USERNAME:
        set_short(o->plain_username, &o->plain_username_len, value, len);
        set_role(o, PEER_MECH_PLAIN, true);
        o->as_server = false;
        break;
    case OPT_PLAIN_PASSWORD:
        set_short(o->plain_password, &o->plain_password_len, value, len);
        set_role(o, PEER_MECH_PLAIN, true);
        o->as_server = false;
        break;
    case OPT_CURVE_SERVER:
        rc = check_crypto();
        if (rc == 0)
            set_role(o, PEER_MECH_CURVE, num);
        break;
    case OPT_CURVE_PUBLICKEY:
        rc = set_key(o, "CURVE_PUBLICKEY", o->curve_public, &o->has_curve_public, value, len);
        break;
    case OPT_CURVE_SECRETKEY:
        rc = set_key(o, "CURVE_SECRETKEY", o->curve_secret, &o->has_curve_secret, value, len);
        break;
    case OPT_CURVE_SERVERKEY:
        rc = set_key(o, "CURVE_SERVERKEY", o->curve_server, &o->has_curve_server, value, len);
        if (rc == 0)
            o->as_server = false;
        break;
    case OPT_ZAP_DOMAIN:
        set_short(o->zap_domain, &o->zap_domain_len, value, len);
        break;
    default:
        rc = -EINVAL;
    }
    return rc;
}

const void *option_get_security(const struct option_values *o, int id, char text[OPTION_KEY_TEXT],
                                size_t *len)
{
    const uint8_t *key = NULL;
    bool has = false;
    switch (id) {
    case OPT_PLAIN_USERNAME:
        *len = o->plain_username_len;
        return o->plain_username;
    case OPT_PLAIN_PASSWORD:
        *len = o->plain_password_len;
        return o->plain_password;
    case OPT_ZAP_DOMAIN:
        *len = o->zap_domain_len;
        return o->zap_domain;
    case OPT_CURVE_PUBLICKEY:
        key = o->curve_public;
        has = o->has_curve_public;
        break;
    case OPT_CURVE_SECRETKEY:
        key = o->curve_secret;
        has = o->has_curve_secret;
        break;
    case OPT_CURVE_SERVERKEY:
        key = o->curve_server;
        has = o->has_curve_server;
        break;
    default:
        return NULL;
    }
    z85_encode(text, key, CRYPTO_KEY);
    *len = has ? OPTION_KEY_TEXT : 0;
    return text;
}
