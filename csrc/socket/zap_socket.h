/* SPDX-License-Identifier: MIT */
/* When the context's internal socket is there, which asks the authenticator (zap.h). */
#ifndef SOCKET_ZAP_SOCKET_H
#define SOCKET_ZAP_SOCKET_H

#include <stdbool.h>

struct fmq_ctx;
struct fmq_socket;

/* Makes it if setting this option of `s` may lead to questions. No lock held. 0 or a negative
 * errno. */
int zap_socket_prepare(struct fmq_socket *s, int option);
/* Frees it if it is the context's last: no socket is left whose peers it asks about. True: done. No
 * lock held. */
bool zap_socket_end(struct fmq_ctx *ctx);

#endif
