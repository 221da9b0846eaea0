/* SPDX-License-Identifier: MIT */
/* PLAIN as client. */
#define MECHANISM PEER_MECH_PLAIN
#define SERVER 0
#include "mechanism.h"
