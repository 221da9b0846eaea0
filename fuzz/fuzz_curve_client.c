/* SPDX-License-Identifier: MIT */
/* CURVE as client. */
#define MECHANISM PEER_MECH_CURVE
#define SERVER 0
#include "mechanism.h"
