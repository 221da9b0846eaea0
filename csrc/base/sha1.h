/* SPDX-License-Identifier: MIT */
/* SHA-1, by which the opening handshake of WebSocket is answered (RFC 6455). It protects nothing.
 */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_LEN 20

void sha1(uint8_t out[SHA1_LEN], const void *data, size_t len);

#endif
