/* SPDX-License-Identifier: MIT */
/* CURVE as server. */
#define MECHANISM PEER_MECH_CURVE
#define SERVER 1
#include "mechanism.h"
