/* SPDX-License-Identifier: MIT */
/* What a socket is ready for. */
#ifndef SOCKET_READINESS_H
#define SOCKET_READINESS_H

struct fmq_socket;

/* FMQ_POLLIN and FMQ_POLLOUT as every thread sees them. Lock held. */
int socket_readiness(struct fmq_socket *s);
/* As the calling thread sees them: what it has begun to send it may go on with. Lock held. */
int socket_events(struct fmq_socket *s);

#endif
