/* SPDX-License-Identifier: MIT */
#include "wire/datagram.h"

bool datagram_parse(const uint8_t *data, size_t len, struct datagram *out)
{
    if (len == 0 || data[0] > len - 1)
        return false;
    out->group = data + 1;
    out->group_len = data[0];
    out->body = out->group + out->group_len;
    out->body_len = len - 1 - out->group_len;
    return true;
}
