/* SPDX-License-Identifier: MIT */
#include "wire/ws_upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/sha1.h"

/* Header fields that are looked at; more than anyone sends. */
#define FIELDS_MAX 100

struct text {
    const char *at;
    size_t len;
};

static const struct {
    unsigned protocol;
    const char *name;
} protocols[] = {
    {WS_ZWS_NULL, "ZWS2.0/NULL"},
    {WS_PLAIN_ZWS, "ZWS2.0"},
    {WS_ZWS_PLAIN, "ZWS2.0/PLAIN"},
    {WS_ZWS_CURVE, "ZWS2.0/CURVE"},
};

#define PROTOCOL_COUNT (sizeof(protocols) / sizeof(*protocols))

const char *ws_protocol_name(unsigned protocol)
{
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        if (protocols[i].protocol == protocol)
            return protocols[i].name;
    return NULL;
}

/* ---- base64 ---- */

/* Writes 4 characters for each 3 bytes or part of them, and the end of the text. */
static void to_base64(char *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16;
        if (have > 1)
            bits |= (uint32_t)data[i + 1] << 8;
        if (have > 2)
            bits |= data[i + 2];
        for (size_t k = 0; k < 4; k++)
            *out++ = k <= have ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    *out = 0;
}

/* What a text of 24 characters stands for is a nonce of 16 bytes. */
static bool is_key(struct text t)
{
    if (t.len != WS_KEY_SIZE - 1 || memcmp(t.at + 22, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = t.at[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

#define ACCEPT_SIZE 29

static void accept_of(char out[ACCEPT_SIZE], const char *key)
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    char both[WS_KEY_SIZE - 1 + sizeof(suffix)];
    uint8_t digest[SHA1_LEN];
    memcpy(both, key, WS_KEY_SIZE - 1);
    memcpy(both + WS_KEY_SIZE - 1, suffix, sizeof(suffix));
    sha1(digest, both, sizeof(both) - 1);
    to_base64(out, digest, sizeof(digest));
}

/* ---- text ---- */

static bool is_word(struct text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

static bool is_exactly(struct text t, const char *word)
{
    return t.len == strlen(word) && memcmp(t.at, word, t.len) == 0;
}

static struct text trimmed(struct text t)
{
    while (t.len && (t.at[0] == ' ' || t.at[0] == '\t')) {
        t.at++;
        t.len--;
    }
    while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t'))
        t.len--;
    return t;
}

/* Takes what stands before `sep`, or all; false: nothing is left. */
static bool take_until(struct text *rest, char sep, struct text *out)
{
    if (!rest->at)
        return false;
    const char *end = rest->len ? memchr(rest->at, sep, rest->len) : NULL;
    *out = (struct text){rest->at, end ? (size_t)(end - rest->at) : rest->len};
    if (end) {
        rest->at = end + 1;
        rest->len -= out->len + 1;
    } else {
        rest->at = NULL;
    }
    return true;
}

/* A line without its CR LF. False: there is none, or it is no line of a head. */
static bool take_line(struct text *rest, struct text *line)
{
    if (!rest->at || !rest->len || !take_until(rest, '\n', line) || !rest->at)
        return false;
    if (!line->len || line->at[line->len - 1] != '\r')
        return false;
    line->len--;
    for (size_t i = 0; i < line->len; i++) {
        unsigned char c = (unsigned char)line->at[i];
        if (c == 0x7f || (c < ' ' && c != '\t'))
            return false;
    }
    return true;
}

static bool lists(struct text value, const char *word)
{
    struct text item;
    while (take_until(&value, ',', &item))
        if (is_word(trimmed(item), word))
            return true;
    return false;
}

/* The first of the list that is among those offered; 0: none. */
static unsigned choose(struct text value, unsigned offers)
{
    struct text item;
    while (take_until(&value, ',', &item))
        for (size_t i = 0; i < PROTOCOL_COUNT; i++)
            if ((offers & protocols[i].protocol) && is_exactly(trimmed(item), protocols[i].name))
                return protocols[i].protocol;
    return 0;
}

/* ---- heads ---- */

/* What the fields of either head say. */
struct fields {
    bool upgrades, connects;
    bool has_body;
    unsigned hosts, keys, versions, protocols, others; /* how often they came */
    struct text key;                                   /* or Sec-WebSocket-Accept */
    struct text version;
    unsigned chosen;
};

static bool is_token(struct text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] == ' ' || t.at[i] == '\t')
            return false;
    return t.len > 0;
}

/* Of the value of Content-Length; what is no number counts as one that is not 0. */
static bool is_zero(struct text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] != '0')
            return false;
    return t.len > 0;
}

static int read_fields(struct text rest, bool request, unsigned offers, struct fields *f)
{
    struct text line;
    memset(f, 0, sizeof(*f));
    for (unsigned n = 0; take_line(&rest, &line); n++) {
        struct text name;
        if (!line.len)
            return 0;
        if (n == FIELDS_MAX || !take_until(&line, ':', &name) || !line.at || !is_token(name))
            return -EPROTO;
        struct text value = trimmed(line);
        if (is_word(name, "Host")) {
            f->hosts++;
        } else if (is_word(name, "Upgrade")) {
            f->upgrades |= lists(value, "websocket");
        } else if (is_word(name, "Connection")) {
            f->connects |= lists(value, "Upgrade");
        } else if (is_word(name, request ? "Sec-WebSocket-Key" : "Sec-WebSocket-Accept")) {
            f->keys++;
            f->key = value;
        } else if (is_word(name, "Sec-WebSocket-Version")) {
            f->versions++;
            f->version = value;
        } else if (is_word(name, "Transfer-Encoding")) {
            f->has_body = true;
        } else if (is_word(name, "Content-Length")) {
            f->has_body |= !is_zero(value);
        } else if (is_word(name, "Sec-WebSocket-Extensions")) {
            f->others++;
        } else if (is_word(name, "Sec-WebSocket-Protocol")) {
            f->protocols++;
            if (!f->chosen)
                f->chosen = choose(value, offers);
        }
    }
    return -EPROTO;
}

int ws_head_length(const uint8_t *text, size_t len, bool request, size_t *scanned)
{
    const char *begins = request ? "GET /" : "HTTP/1.1 ";
    size_t known = strlen(begins);
    if (memcmp(text, begins, len < known ? len : known) != 0)
        return -EPROTO;
    size_t most = len < WS_HEAD_MAX ? len : WS_HEAD_MAX;
    for (size_t i = *scanned > 3 ? *scanned : 3; i < most; i++)
        if (text[i] == '\n' && memcmp(text + i - 3, "\r\n\r\n", 4) == 0)
            return (int)(i + 1);
    *scanned = most;
    return len < WS_HEAD_MAX ? 0 : -EPROTO;
}

bool ws_path_is_valid(const char *path)
{
    size_t len = strlen(path);
    if (path[0] != '/' || len > WS_PATH_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (path[i] <= ' ' || path[i] == 0x7f || path[i] == '#' || (unsigned char)path[i] > 0x7f)
            return false;
    return true;
}

/* ---- the connecting side ---- */

size_t ws_request(char *out, const char *host, const char *path, unsigned offers,
                  const uint8_t nonce[WS_NONCE_LEN], char key[WS_KEY_SIZE])
{
    char list[64] = "";
    size_t at = 0;
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        if (offers & protocols[i].protocol)
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? "," : "",
                                   protocols[i].name);
    to_base64(key, nonce, WS_NONCE_LEN);
    return (size_t)snprintf(out, WS_TEXT_MAX,
                            "GET %.200s HTTP/1.1\r\nHost: %.300s\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                            "Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                            path, host, key, list);
}

int ws_check_answer(const uint8_t *head, size_t len, const char *key, unsigned offers,
                    unsigned *protocol)
{
    struct text rest = {(const char *)head, len}, line;
    struct fields f;
    char accept[ACCEPT_SIZE];
    int status = 0;
    if (!take_line(&rest, &line) || line.len < 12 || (line.len > 12 && line.at[12] != ' '))
        return -EPROTO;
    for (int i = 9; i < 12; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return -EPROTO;
        status = status * 10 + (line.at[i] - '0');
    }
    if (status != 101)
        return status ? status : -EPROTO;
    accept_of(accept, key);
    if (read_fields(rest, false, offers, &f) || !f.upgrades || !f.connects || f.keys != 1 ||
        !is_exactly(f.key, accept) || f.protocols != 1 || !f.chosen || f.others)
        return -EPROTO;
    *protocol = f.chosen;
    return 0;
}

/* ---- the accepting side ---- */

size_t ws_refusal(char *answer, int status)
{
    static const struct {
        int status;
        const char *reason, *field, *why;
    } known[] = {
        {400, "Bad Request", "", "This is a ZeroMQ socket: a WebSocket handshake is expected."},
        {400, "Bad Request", "",
         "No subprotocol in Sec-WebSocket-Protocol is offered here: see ZWS 2.0 (RFC 45)."},
        {404, "Not Found", "", "The endpoint has another path."},
        {426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
         "A WebSocket handshake of version 13 is expected."},
        {431, "Request Header Fields Too Large", "", "The request is longer than 8192 bytes."},
    };
    size_t i = 0;
    bool subprotocol = status == WS_NO_PROTOCOL;
    while (i + 1 < sizeof(known) / sizeof(*known) && known[i].status != status)
        i++;
    if (subprotocol)
        i = 1;
    return (size_t)snprintf(answer, WS_TEXT_MAX,
                            "HTTP/1.1 %d %s\r\nConnection: close\r\n%s"
                            "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
                            known[i].status, known[i].reason, known[i].field,
                            strlen(known[i].why) + 1, known[i].why);
}

static int refuse(char *answer, size_t *answer_len, int status)
{
    *answer_len = ws_refusal(answer, status);
    return status;
}

/* "GET /path HTTP/1.1": the path without a query. */
static bool read_request_line(struct text line, struct text *path)
{
    struct text rest = line, method, version;
    if (!take_until(&rest, ' ', &method) || !take_until(&rest, ' ', path) ||
        !take_until(&rest, ' ', &version) || rest.at)
        return false;
    struct text target = *path;
    return is_exactly(method, "GET") && is_exactly(version, "HTTP/1.1") &&
           take_until(&target, '?', path);
}

int ws_answer(char *answer, size_t *answer_len, const uint8_t *head, size_t len, const char *path,
              unsigned offers, unsigned *protocol)
{
    struct text rest = {(const char *)head, len}, line, asked;
    struct text own_rest = {path, strlen(path)}, own;
    struct fields f;
    char accept[ACCEPT_SIZE];
    if (!take_line(&rest, &line) || !read_request_line(line, &asked) ||
        read_fields(rest, true, offers, &f) || f.hosts != 1 || f.versions > 1 || f.has_body)
        return refuse(answer, answer_len, 400);
    (void)take_until(&own_rest, '?', &own);
    if (asked.len != own.len || memcmp(asked.at, own.at, own.len) != 0)
        return refuse(answer, answer_len, 404);
    if (!f.upgrades || !f.connects || !is_exactly(f.version, "13"))
        return refuse(answer, answer_len, 426);
    if (f.keys != 1 || !is_key(f.key))
        return refuse(answer, answer_len, 400);
    if (!f.chosen)
        return refuse(answer, answer_len, WS_NO_PROTOCOL);
    *protocol = f.chosen;
    accept_of(accept, f.key.at);
    *answer_len = (size_t)snprintf(answer, WS_TEXT_MAX,
                                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                                   "Sec-WebSocket-Protocol: %s\r\n\r\n",
                                   accept, ws_protocol_name(f.chosen));
    return 0;
}
