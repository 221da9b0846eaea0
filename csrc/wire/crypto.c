/* SPDX-License-Identifier: MIT */
#include "wire/crypto.h"

#include <stdatomic.h>
#include <string.h>

#include "base/secret.h"

static struct fmq_crypto table;
static _Atomic(const struct fmq_crypto *) current;

const struct fmq_crypto *crypto_get(void)
{
    return atomic_load_explicit(&current, memory_order_acquire);
}

void fmq_set_crypto(const struct fmq_crypto *functions)
{
    /* Once: connections may be using it. */
    if (crypto_get())
        return;
    table = *functions;
    atomic_store_explicit(&current, &table, memory_order_release);
}

/* ---- boxes in series ---- */

#define POLY_KEY 32 /* the first bytes of a box's key stream; the content has those after them */
#define MAC_AT (CRYPTO_SPACE - CRYPTO_MAC)
#define SMALL 256 /* content that is decrypted beside its place */

void crypto_series_init(struct crypto_series *s, const uint8_t *shared, const char *begin)
{
    memcpy(s->begin, begin, CRYPTO_BEGIN);
    if (table.core_hsalsa20)
        (void)table.core_hsalsa20(s->key, s->begin, shared, NULL);
    else
        memcpy(s->key, shared, CRYPTO_KEY);
}

void crypto_encrypt(const struct crypto_series *s, uint8_t *space, size_t len, uint64_t counter)
{
    uint8_t nonce[CRYPTO_NONCE], poly_key[POLY_KEY];
    crypto_counter_nonce(nonce, s->begin, counter);
    /* With a key that was worked out before and a length that fits in memory nothing fails. */
    if (!table.core_hsalsa20) {
        (void)table.box_easy_afternm(space + MAC_AT, space + CRYPTO_SPACE, len, nonce, s->key);
        return;
    }
    memset(space, 0, POLY_KEY);
    (void)table.stream_salsa20_xor(space, space, POLY_KEY + len, nonce + CRYPTO_BEGIN, s->key);
    memcpy(poly_key, space, POLY_KEY);
    (void)table.onetimeauth_poly1305(space + MAC_AT, space + CRYPTO_SPACE, len, poly_key);
    secret_wipe(poly_key, sizeof(poly_key));
    memset(space, 0, MAC_AT);
}

/* The key stream at one go, into another place: only the MAC tells whether it is of any use. */
static int decrypt_small(const struct crypto_series *s, uint8_t *space, size_t len,
                         const uint8_t *nonce, const uint8_t *mac)
{
    uint8_t plain[POLY_KEY + SMALL];
    (void)table.stream_salsa20_xor(plain, space, POLY_KEY + len, nonce, s->key);
    int rc = table.onetimeauth_poly1305_verify(mac, space + CRYPTO_SPACE, len, plain);
    if (rc == 0)
        memcpy(space + CRYPTO_SPACE, plain + POLY_KEY, len);
    secret_wipe(plain, POLY_KEY + len);
    return rc;
}

static int decrypt_large(const struct crypto_series *s, uint8_t *space, size_t len,
                         const uint8_t *nonce, const uint8_t *mac)
{
    uint8_t poly_key[POLY_KEY];
    (void)table.stream_salsa20_xor(poly_key, space, POLY_KEY, nonce, s->key);
    int rc = table.onetimeauth_poly1305_verify(mac, space + CRYPTO_SPACE, len, poly_key);
    if (rc == 0) {
        (void)table.stream_salsa20_xor(space, space, POLY_KEY + len, nonce, s->key);
        secret_wipe(space, POLY_KEY);
    }
    secret_wipe(poly_key, sizeof(poly_key));
    return rc;
}

int crypto_decrypt(const struct crypto_series *s, uint8_t *space, size_t len, uint64_t counter)
{
    uint8_t nonce[CRYPTO_NONCE], mac[CRYPTO_MAC];
    crypto_counter_nonce(nonce, s->begin, counter);
    if (!table.core_hsalsa20)
        return table.box_open_easy_afternm(space + CRYPTO_SPACE, space + MAC_AT, CRYPTO_MAC + len,
                                           nonce, s->key);
    memcpy(mac, space + MAC_AT, CRYPTO_MAC);
    memset(space, 0, POLY_KEY);
    return (len <= SMALL ? decrypt_small : decrypt_large)(s, space, len, nonce + CRYPTO_BEGIN, mac);
}
