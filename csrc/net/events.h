/* SPDX-License-Identifier: MIT */
/* The events of a monitor, with ZeroMQ's numbers. */
#ifndef NET_EVENTS_H
#define NET_EVENTS_H

#define EVENT_CONNECTED 0x0001u
#define EVENT_CONNECT_DELAYED 0x0002u
#define EVENT_CONNECT_RETRIED 0x0004u
#define EVENT_LISTENING 0x0008u
#define EVENT_BIND_FAILED 0x0010u
#define EVENT_ACCEPTED 0x0020u
#define EVENT_ACCEPT_FAILED 0x0040u
#define EVENT_CLOSED 0x0080u
#define EVENT_CLOSE_FAILED 0x0100u
#define EVENT_DISCONNECTED 0x0200u
#define EVENT_MONITOR_STOPPED 0x0400u
#define EVENT_HANDSHAKE_FAILED_NO_DETAIL 0x0800u
#define EVENT_HANDSHAKE_SUCCEEDED 0x1000u
#define EVENT_HANDSHAKE_FAILED_PROTOCOL 0x2000u
#define EVENT_HANDSHAKE_FAILED_AUTH 0x4000u
/* fastmq's own: a connection was ended because its peer broke the protocol after the handshake.
 * Value: a PROTO_ code. With PROTO_WRONG_PARTS and PROTO_PACKETS_LOST messages were dropped, and it
 * goes on.
 */
#define EVENT_PROTOCOL_VIOLATION 0x8000u
#define EVENT_PIPES_STATS 0x10000u
/* fastmq's own, of version 2 alone: what carries a connection, once it is known and when it
 * changes. Value: the low 32 bits are 0 for shared memory, or say why it is the socket
 * (fmq_carrier_reason); the high 32 bits are the errno that belongs to that, or 0. */
#define EVENT_LINK 0x20000u

#endif
