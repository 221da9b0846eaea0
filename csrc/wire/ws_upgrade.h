/* SPDX-License-Identifier: MIT */
/*
 * The opening handshake of a WebSocket (RFC 6455) as ZWS 2.0 uses it: the subprotocol names the
 * mechanism. No I/O: text in, text out.
 */
#ifndef WIRE_WS_UPGRADE_H
#define WIRE_WS_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request or an answer is no longer than this, with the empty line at its end. */
#define WS_HEAD_MAX ((size_t)8192)
#define WS_NONCE_LEN 16
#define WS_KEY_SIZE 25   /* the nonce as text, with its end */
#define WS_TEXT_MAX 1024 /* of what is made here */

/* The subprotocols, as bits of what one side offers. */
enum ws_protocol { WS_PLAIN_ZWS = 1, WS_ZWS_NULL = 2, WS_ZWS_PLAIN = 4, WS_ZWS_CURVE = 8 };

/* "ZWS2.0/NULL"; NULL: no such. */
const char *ws_protocol_name(unsigned protocol);

/* The bytes of the head that `text` begins with; 0: it is not there yet; -EPROTO: it never will be,
 * since it does not begin as `request` (or an answer) must, or is too long. `scanned` is what was
 * looked at before, kept from call to call. */
int ws_head_length(const uint8_t *text, size_t len, bool request, size_t *scanned);

/* What the connecting side writes. Its length, which is below WS_TEXT_MAX; host and path are
 * checked by those who parse addresses (WS_PATH_MAX). `key` gets the nonce as text. */
size_t ws_request(char *out, const char *host, const char *path, unsigned offers,
                  const uint8_t nonce[WS_NONCE_LEN], char key[WS_KEY_SIZE]);

/* Reads a whole request and writes the answer, shorter than WS_TEXT_MAX, of *answer_len bytes. 0
 * and the protocol; or the status of the answer, which is a refusal (or WS_NO_PROTOCOL). */
int ws_answer(char *answer, size_t *answer_len, const uint8_t *head, size_t len, const char *path,
              unsigned offers, unsigned *protocol);
/* A status of ours: 400, since no subprotocol fits. */
#define WS_NO_PROTOCOL 1400
/* A refusal without a request that could be read. */
size_t ws_refusal(char *answer, int status);

/* Reads a whole answer. 0 and the protocol; or the status where that is no 101; or -EPROTO. */
int ws_check_answer(const uint8_t *head, size_t len, const char *key, unsigned offers,
                    unsigned *protocol);

/* Whether `path` can stand in a request: it begins with a slash, and all of it is printable ASCII
 * without a space or a number sign. */
bool ws_path_is_valid(const char *path);
#define WS_PATH_MAX 200

#endif
