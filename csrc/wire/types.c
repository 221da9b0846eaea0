/* SPDX-License-Identifier: MIT */
#include "wire/types.h"

#include <string.h>

#include "include/fastmq.h"

#define BIT(type) (UINT32_C(1) << (type))

enum { SENDS_IDENTITY = 1, PUBLISHER = 2, V1_GETS_ALL = 4 };

struct row {
    const char *name; /* NULL: a number that no type has */
    uint32_t peers;   /* bits of the types it may talk to */
    unsigned facts;
};

_Static_assert(FMQ_TYPE_COUNT <= 32, "row.peers has a bit for every type");

static const struct row types[FMQ_TYPE_COUNT] = {
    [FMQ_PAIR] = {"PAIR", BIT(FMQ_PAIR), 0},
    [FMQ_PUB] = {"PUB", BIT(FMQ_SUB) | BIT(FMQ_XSUB), PUBLISHER | V1_GETS_ALL},
    [FMQ_SUB] = {"SUB", BIT(FMQ_PUB) | BIT(FMQ_XPUB), 0},
    [FMQ_REQ] = {"REQ", BIT(FMQ_REP) | BIT(FMQ_ROUTER), SENDS_IDENTITY},
    [FMQ_REP] = {"REP", BIT(FMQ_REQ) | BIT(FMQ_DEALER), 0},
    [FMQ_DEALER] = {"DEALER", BIT(FMQ_REP) | BIT(FMQ_DEALER) | BIT(FMQ_ROUTER), SENDS_IDENTITY},
    [FMQ_ROUTER] = {"ROUTER", BIT(FMQ_REQ) | BIT(FMQ_DEALER) | BIT(FMQ_ROUTER), SENDS_IDENTITY},
    [FMQ_PULL] = {"PULL", BIT(FMQ_PUSH), 0},
    [FMQ_PUSH] = {"PUSH", BIT(FMQ_PULL), 0},
    [FMQ_XPUB] = {"XPUB", BIT(FMQ_SUB) | BIT(FMQ_XSUB), PUBLISHER | V1_GETS_ALL},
    [FMQ_XSUB] = {"XSUB", BIT(FMQ_PUB) | BIT(FMQ_XPUB), 0},
    [FMQ_STREAM] = {"STREAM", 0, 0}, /* speaks no ZMTP */
    [FMQ_SERVER] = {"SERVER", BIT(FMQ_CLIENT), 0},
    [FMQ_CLIENT] = {"CLIENT", BIT(FMQ_SERVER), 0},
    [FMQ_RADIO] = {"RADIO", BIT(FMQ_DISH), 0},
    [FMQ_DISH] = {"DISH", BIT(FMQ_RADIO), 0},
    [FMQ_GATHER] = {"GATHER", BIT(FMQ_SCATTER), 0},
    [FMQ_SCATTER] = {"SCATTER", BIT(FMQ_GATHER), 0},
    [FMQ_DGRAM] = {"DGRAM", 0, 0}, /* speaks no ZMTP */
    [FMQ_PEER] = {"PEER", BIT(FMQ_PEER), 0},
    [FMQ_CHANNEL] = {"CHANNEL", BIT(FMQ_CHANNEL), 0},
};

static const struct row *row_of(int type)
{
    static const struct row none;
    return type >= 0 && type < FMQ_TYPE_COUNT ? &types[type] : &none;
}

const char *type_name(int type)
{
    return row_of(type)->name;
}

int type_from_name(const uint8_t *name, size_t len)
{
    for (int t = 0; t < FMQ_TYPE_COUNT; t++) {
        const char *known = types[t].name;
        if (known && strlen(known) == len && memcmp(known, name, len) == 0)
            return t;
    }
    return -1;
}

bool type_accepts(int type, int remote_type)
{
    if (remote_type == -1)
        return true;
    return type_name(remote_type) && row_of(type)->peers & BIT(remote_type);
}

bool type_sends_identity(int type)
{
    return row_of(type)->facts & SENDS_IDENTITY;
}

bool type_is_publisher(int type)
{
    return row_of(type)->facts & PUBLISHER;
}

bool type_v1_gets_all(int type)
{
    return row_of(type)->facts & V1_GETS_ALL;
}
