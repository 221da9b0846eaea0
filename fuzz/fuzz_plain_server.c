/* SPDX-License-Identifier: MIT */
/* PLAIN as server. */
#define MECHANISM PEER_MECH_PLAIN
#define SERVER 1
#include "mechanism.h"
