/* SPDX-License-Identifier: MIT */
/* An endpoint whose pipe has a link of packets (packets.h). */
#ifndef NET_ENDPOINT_PACKETS_H
#define NET_ENDPOINT_PACKETS_H

struct endpoint;

/* Opens the link for the present candidate, and connects the pipe. 0 or a negative errno; where the
 * link is there all the same, it goes with the endpoint. */
int endpoint_open_packets(struct endpoint *ep);

#endif
