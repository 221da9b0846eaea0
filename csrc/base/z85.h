/* SPDX-License-Identifier: MIT */
/* Z85 (ZeroMQ RFC 32): four bytes as five printable characters. */
#ifndef BASE_Z85_H
#define BASE_Z85_H

#include <stddef.h>
#include <stdint.h>

/* `len` is a multiple of 4; writes len * 5 / 4 characters and no NUL. */
void z85_encode(char *out, const uint8_t *data, size_t len);
/* `len` is a multiple of 5; writes len * 4 / 5 bytes. 0, or -EINVAL: a character that is none of
 * Z85, or a group of five above 2^32 - 1; `out` then holds nothing of use. */
int z85_decode(uint8_t *out, const char *text, size_t len);

#endif
