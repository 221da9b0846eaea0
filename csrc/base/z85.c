/* SPDX-License-Identifier: MIT */
#include "base/z85.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             ".-:+=^!/*?&<>()[]{}@%$#";

void z85_encode(char *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + 4 <= len; i += 4, out += 5) {
        uint32_t v = get_be32(data + i);
        for (int k = 4; k >= 0; k--) {
            out[k] = digits[v % 85];
            v /= 85;
        }
    }
}

int z85_decode(uint8_t *out, const char *text, size_t len)
{
    for (size_t i = 0; i + 5 <= len; i += 5, out += 4) {
        uint64_t v = 0;
        for (size_t k = 0; k < 5; k++) {
            const char *at = text[i + k] ? strchr(digits, text[i + k]) : NULL;
            if (!at)
                return -EINVAL;
            v = v * 85 + (uint64_t)(at - digits);
        }
        if (v > UINT32_MAX)
            return -EINVAL;
        put_be32(out, (uint32_t)v);
    }
    return 0;
}
