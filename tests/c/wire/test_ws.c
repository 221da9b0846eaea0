/* SPDX-License-Identifier: MIT */
// needs: base msg wire
#include "check.h"

#include <errno.h>

#include "wire/frame.h"
#include "wire/ws_frame.h"
#include "wire/ws_upgrade.h"

/* ---- the opening handshake ---- */

#define RFC_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define RFC_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ASKED                                                                                      \
    "Host: x\r\n" UPGRADE "Sec-WebSocket-Key: " RFC_KEY "\r\nSec-WebSocket-Version: 13\r\n"

static int answer(const char *request, unsigned offers, char *text, unsigned *protocol)
{
    size_t len, scanned = 0;
    size_t size = strlen(request);
    CHECK_EQ(ws_head_length((const uint8_t *)request, size, true, &scanned), (int)size);
    int status = ws_answer(text, &len, (const uint8_t *)request, size, "/chat", offers, protocol);
    CHECK_EQ(strlen(text), len);
    CHECK(len < WS_TEXT_MAX);
    return status;
}

static void check_status(const char *request, int status, const char *first)
{
    char text[WS_TEXT_MAX];
    unsigned protocol;
    CHECK_EQ(answer(request, WS_ZWS_NULL | WS_PLAIN_ZWS, text, &protocol), status);
    CHECK_MEM(text, first, strlen(first));
}

TEST(a_request_is_answered_as_the_rfc_has_it)
{
    char text[WS_TEXT_MAX];
    unsigned protocol = 0;
    CHECK_EQ(answer("GET /chat HTTP/1.1\r\n" ASKED "Sec-WebSocket-Protocol: ZWS2.0/NULL\r\n\r\n",
                    WS_ZWS_NULL, text, &protocol),
             0);
    CHECK_EQ(protocol, WS_ZWS_NULL);
    CHECK_STR(text, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE
                    "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\n"
                    "Sec-WebSocket-Protocol: ZWS2.0/NULL\r\n\r\n");
}

TEST(names_are_read_in_any_case_and_lists_in_any_form)
{
    char text[WS_TEXT_MAX];
    unsigned protocol = 0;
    CHECK_EQ(answer("GET /chat?x=1 HTTP/1.1\r\nhost:x\r\nUPGRADE:  foo , WebSocket \r\n"
                    "connection: keep-alive, upgrade\r\nsec-websocket-key:\t" RFC_KEY " \r\n"
                    "SEC-WEBSOCKET-VERSION:13\r\nOrigin: http://example.com\r\n"
                    "Sec-WebSocket-Protocol: other\r\n"
                    "Sec-WebSocket-Protocol: zws2.0,ZWS2.0 ,ZWS2.0/NULL\r\n"
                    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                    WS_ZWS_NULL | WS_PLAIN_ZWS, text, &protocol),
             0);
    CHECK_EQ(protocol, WS_PLAIN_ZWS); /* the first of the client's that is offered */
}

TEST(what_is_no_proper_request_is_refused_with_a_status)
{
#define TAIL "Sec-WebSocket-Protocol: ZWS2.0\r\n\r\n"
    check_status("GET /chat HTTP/1.1\r\n" ASKED TAIL, 0, "HTTP/1.1 101 ");
    check_status("GET /other HTTP/1.1\r\n" ASKED TAIL, 404, "HTTP/1.1 404 ");
    check_status("GET /chat/ HTTP/1.1\r\n" ASKED TAIL, 404, "HTTP/1.1 404 ");
    check_status("GET /cha HTTP/1.1\r\n" ASKED TAIL, 404, "HTTP/1.1 404 ");
    check_status("GET /chat HTTP/1.0\r\n" ASKED TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat  HTTP/1.1\r\n" ASKED TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat\r\n" ASKED TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "no colon\r\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "a b: c\r\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "a: \1\r\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "a: b\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\nHost: x\r\n\r\n", 426, "HTTP/1.1 426 ");
    check_status("GET /chat HTTP/1.1\r\nHost: x\r\n" UPGRADE "Sec-WebSocket-Key: " RFC_KEY
                 "\r\nSec-WebSocket-Version: 8\r\n" TAIL,
                 426, "HTTP/1.1 426 ");
    check_status("GET /chat HTTP/1.1\r\nHost: x\r\n" UPGRADE
                 "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n" TAIL,
                 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Sec-WebSocket-Key: " RFC_KEY "\r\n" TAIL, 400,
                 "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Key: " RFC_KEY
                 "\r\nSec-WebSocket-Version: 13\r\n" TAIL,
                 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Host: y\r\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Sec-WebSocket-Version: 13\r\n" TAIL, 400,
                 "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Sec-WebSocket-Version: 8\r\n" TAIL, 400,
                 "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Transfer-Encoding: chunked\r\n" TAIL, 400,
                 "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Content-Length: 10\r\n" TAIL, 400,
                 "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Content-Length: 0\r\ncontent-length: 1\r\n" TAIL,
                 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Content-Length: \r\n" TAIL, 400, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Content-Length: 0\r\n" TAIL, 0, "HTTP/1.1 101 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "Sec-WebSocket-Protocol: ZWS2.0/CURVE\r\n\r\n",
                 WS_NO_PROTOCOL, "HTTP/1.1 400 ");
    check_status("GET /chat HTTP/1.1\r\n" ASKED "\r\n", WS_NO_PROTOCOL, "HTTP/1.1 400 ");
}

TEST(a_refusal_says_how_long_its_text_is)
{
    static const int statuses[] = {400, WS_NO_PROTOCOL, 404, 426, 431};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        char text[WS_TEXT_MAX];
        size_t len = ws_refusal(text, statuses[i]);
        const char *body = strstr(text, "\r\n\r\n") + 4;
        char field[40];
        snprintf(field, sizeof(field), "Content-Length: %zu\r\n", strlen(body));
        CHECK(strstr(text, field));
        CHECK_EQ(strlen(text), len);
    }
}

TEST(a_head_is_found_however_it_is_cut_and_no_further_than_its_limit)
{
    static char text[WS_HEAD_MAX + 10];
    memset(text, 'x', sizeof(text));
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    size_t scanned = 0;
    for (size_t len = 1; len < WS_HEAD_MAX; len++)
        CHECK_EQ(ws_head_length((uint8_t *)text, len, true, &scanned), 0);
    CHECK_EQ(ws_head_length((uint8_t *)text, WS_HEAD_MAX, true, &scanned), -EPROTO);
    memcpy(text + WS_HEAD_MAX - 4, "\r\n\r\n", 4);
    scanned = 0;
    CHECK_EQ(ws_head_length((uint8_t *)text, sizeof(text), true, &scanned), (int)WS_HEAD_MAX);
    memcpy(text + 100, "\r\n\r\n", 4);
    scanned = 0;
    for (size_t len = 1; len < 104; len++)
        CHECK_EQ(ws_head_length((uint8_t *)text, len, true, &scanned), 0);
    CHECK_EQ(ws_head_length((uint8_t *)text, 104, true, &scanned), 104);
    scanned = 0;
    CHECK_EQ(ws_head_length((const uint8_t *)"\xff", 1, true, &scanned), -EPROTO);
    CHECK_EQ(ws_head_length((const uint8_t *)"GE", 2, true, &scanned), 0);
    CHECK_EQ(ws_head_length((const uint8_t *)"GET /", 5, false, &scanned), -EPROTO);
}

TEST(a_request_of_ours_is_answered_by_ours_and_the_answer_is_taken)
{
    static const uint8_t nonce[WS_NONCE_LEN + 1] = "the sample nonce";
    char request[WS_TEXT_MAX], text[WS_TEXT_MAX], key[WS_KEY_SIZE];
    for (unsigned offer = WS_PLAIN_ZWS; offer <= WS_ZWS_CURVE; offer *= 2) {
        size_t len = ws_request(request, "h:1", "/chat", offer, nonce, key);
        unsigned chosen = 0, taken = 0;
        size_t size;
        CHECK_EQ(strlen(request), len);
        CHECK_STR(key, RFC_KEY);
        CHECK_EQ(answer(request, 15, text, &chosen), 0);
        CHECK_EQ(chosen, offer);
        size = strlen(text);
        CHECK_EQ(ws_check_answer((uint8_t *)text, size, key, offer, &taken), 0);
        CHECK_EQ(taken, offer);
        /* One that was not offered, or the accept of another key. */
        CHECK_EQ(ws_check_answer((uint8_t *)text, size, key, 15 & ~offer, &taken), -EPROTO);
        key[0]++;
        CHECK_EQ(ws_check_answer((uint8_t *)text, size, key, offer, &taken), -EPROTO);
    }
}

static int check_answer(const char *text)
{
    unsigned protocol = 0;
    return ws_check_answer((const uint8_t *)text, strlen(text), RFC_KEY, WS_ZWS_NULL, &protocol);
}

TEST(an_answer_that_lacks_anything_is_none)
{
#define ACCEPTED "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\n"
#define CHOSEN "Sec-WebSocket-Protocol: ZWS2.0/NULL\r\n"
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" UPGRADE ACCEPTED CHOSEN "\r\n"), 0);
    CHECK_EQ(check_answer("HTTP/1.1 101\r\n" UPGRADE ACCEPTED CHOSEN "\r\n"), 0);
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" ACCEPTED CHOSEN "\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" UPGRADE CHOSEN "\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" UPGRADE ACCEPTED "\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" UPGRADE ACCEPTED CHOSEN CHOSEN "\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 101 x\r\n" UPGRADE ACCEPTED CHOSEN
                          "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
             -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 404 Not Found\r\n\r\n"), 404);
    CHECK_EQ(check_answer("HTTP/1.1 1014\r\n\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 x01 a\r\n\r\n"), -EPROTO);
    CHECK_EQ(check_answer("HTTP/1.1 000 a\r\n\r\n"), -EPROTO);
}

TEST(a_path_is_of_printable_ascii)
{
    char longest[WS_PATH_MAX + 2];
    memset(longest, '/', sizeof(longest));
    longest[WS_PATH_MAX + 1] = 0;
    CHECK(!ws_path_is_valid(longest));
    longest[WS_PATH_MAX] = 0;
    CHECK(ws_path_is_valid(longest));
    CHECK(ws_path_is_valid("/") && ws_path_is_valid("/a/b%20c?d=e"));
    CHECK(!ws_path_is_valid("") && !ws_path_is_valid("a") && !ws_path_is_valid("/a b"));
    CHECK(!ws_path_is_valid("/a\r\nb") && !ws_path_is_valid("/#a") && !ws_path_is_valid("/\xc3"));
}

/* ---- frames in ---- */

#define OUT_MAX 300000

struct run {
    uint8_t out[OUT_MAX];
    size_t len;
    int rc;
    size_t left; /* of the input, after the end */
};

/* Decodes all of it, in pieces of `cut` bytes to rooms of `room` bytes. */
static void decode(struct run *r, struct ws_decoder *d, const uint8_t *in, size_t len, size_t cut,
                   size_t room)
{
    size_t at = 0;
    r->len = 0;
    r->rc = 0;
    while ((at < len || ws_decode_pending(d)) && r->rc == 0 && !(d->closed && at < len)) {
        size_t used, made, n = len - at < cut ? len - at : cut;
        size_t direct = ws_decode_direct(d);
        if (direct && cut % 2) { /* by the other way */
            n = direct < n ? direct : n;
            memcpy(r->out + r->len, in + at, n);
            ws_decode_body(d, r->out + r->len, n);
            used = made = n;
        } else {
            r->rc = ws_decode(d, in + at, n, &used, r->out + r->len, room, &made);
            CHECK(used <= n && made <= room);
        }
        at += used;
        r->len += made;
    }
    r->left = len - at;
}

static const size_t cuts[] = {1, 2, 3, 7, 64, 1000, OUT_MAX};

/* As a server (masked input) it has to give just this, however it is cut. */
static void check_frames(bool server, const void *in, size_t in_len, const void *out,
                         size_t out_len)
{
    static struct run r;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++)
        for (size_t k = 0; k < sizeof(cuts) / sizeof(*cuts); k++) {
            struct ws_decoder d;
            ws_decoder_init(&d, server, 1 << 20);
            decode(&r, &d, in, in_len, cuts[i], cuts[k]);
            CHECK_EQ(r.rc, 0);
            CHECK_EQ(r.left, 0);
            CHECK_EQ(r.len, out_len);
            CHECK_MEM(r.out, out, out_len);
            ws_decoder_fini(&d);
        }
}

static void check_wrong(bool server, const void *in, size_t in_len, unsigned code)
{
    static struct run r;
    for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
        struct ws_decoder d;
        ws_decoder_init(&d, server, 100);
        decode(&r, &d, in, in_len, cuts[i], 100);
        CHECK_EQ(r.rc, -EPROTO);
        CHECK_EQ(d.close_code, code);
        ws_decoder_fini(&d);
    }
}

#define FRAMES(server, in, out) check_frames(server, in, sizeof(in) - 1, out, sizeof(out) - 1)
#define WRONG(server, in, code) check_wrong(server, in, sizeof(in) - 1, code)

TEST(a_message_becomes_a_frame)
{
    FRAMES(false, "\x82\3\0ab", "\0\2ab");
    FRAMES(false, "\x82\3\1ab", "\1\2ab");
    FRAMES(false, "\x82\3\2ab", "\4\2ab");
    FRAMES(false, "\x82\1\0\x82\2\0x", "\0\0\0\1x");
}

TEST(a_masked_message_becomes_the_same_frame)
{
    FRAMES(true, "\x82\x83\1\2\3\4\1cq", "\0\2ar");
    FRAMES(true,
           "\x82\x86\xff\0\0\0\xfe"
           "abc\x9bx",
           "\1\5abcdx");
}

TEST(long_messages_pass_in_pieces)
{
    static uint8_t in[OUT_MAX], out[OUT_MAX];
    static const size_t sizes[] = {124, 125, 254, 255, 256, 65534, 65535, 65536, 70000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (int server = 0; server < 2; server++) {
            size_t n = sizes[i], at = 2, payload = n + 1;
            uint8_t mask[4] = {(uint8_t)(server * 7), 0, (uint8_t)(server * 99), 0};
            in[0] = 0x82;
            if (payload <= 125) {
                in[1] = (uint8_t)payload;
            } else if (payload <= 65535) {
                in[1] = 126;
                put_be16(in + 2, (uint16_t)payload);
                at = 4;
            } else {
                in[1] = 127;
                put_be64(in + 2, payload);
                at = 10;
            }
            if (server) {
                in[1] |= 0x80;
                memcpy(in + at, mask, 4);
                at += 4;
            }
            size_t head = frame_build_v2(out, 0, n);
            in[at] = mask[0];
            for (size_t k = 0; k < n; k++) {
                out[head + k] = (uint8_t)(k * 31);
                in[at + 1 + k] = (uint8_t)(k * 31) ^ mask[(k + 1) % 4];
            }
            static struct run r;
            struct ws_decoder d;
            ws_decoder_init(&d, server, 0);
            decode(&r, &d, in, at + payload, n > 1000 ? 4001 : 5, 1000);
            CHECK_EQ(r.rc, 0);
            CHECK_EQ(r.len, head + n);
            CHECK_MEM(r.out, out, r.len);
            ws_decoder_fini(&d);
        }
}

TEST(fragments_become_one_frame_with_control_frames_in_between_before_it)
{
    FRAMES(false, "\2\1\1\0\0\x80\2ab", "\1\2ab");
    FRAMES(false, "\2\0\0\1\0\x80\1x", "\0\1x");
    FRAMES(false, "\2\1\0\x80\0", "\0\0");
    FRAMES(false, "\2\2\0a\x8a\2hi\0\1b\x89\3xyz\x80\1c\x82\1\0",
           "\4\7\4PONGhi\4\12\4PING\0\0xyz\0\3abc\0\0");
    FRAMES(true, "\2\x82\1\0\0\0\1a\x80\x81\0\0\0\0b", "\0\2ab");
}

TEST(fragments_together_are_no_longer_than_the_limit)
{
    uint8_t in[200] = {2, 50};
    in[52] = 0x80;
    in[53] = 50;
    static struct run r;
    struct ws_decoder d;
    ws_decoder_init(&d, false, 100);
    decode(&r, &d, in, 104, 200, 300);
    CHECK_EQ(r.rc, 0);
    CHECK_EQ(r.len, 101);
    in[53] = 51;
    decode(&r, &d, in, 105, 200, 300);
    CHECK_EQ(r.rc, -EPROTO);
    CHECK_EQ(d.close_code, WS_CLOSE_TOO_BIG);
    ws_decoder_fini(&d);
}

/* Ten bytes are held of a message in two fragments of 20. */
static void begin_held(struct ws_decoder *d, struct run *r, uint8_t in[44])
{
    memset(in, 0, 44);
    in[0] = 2;
    in[1] = in[23] = 20;
    in[22] = 0x80;
    ws_decoder_init(d, false, 100);
    ws_decoder_hold(d, 10);
    decode(r, d, in, 12, 3, 300);
    CHECK_EQ(r->rc, 0);
    CHECK_EQ(d->parts_len, 10);
}

TEST(no_more_is_held_of_fragments_before_the_peer_is_admitted)
{
    uint8_t in[44];
    static struct run r;
    struct ws_decoder d;
    begin_held(&d, &r, in);
    decode(&r, &d, in + 12, 1, 1, 300);
    CHECK_EQ(r.rc, -EPROTO);
    CHECK_EQ(d.close_code, WS_CLOSE_TOO_BIG);
    ws_decoder_fini(&d);
}

TEST(a_peer_that_is_admitted_goes_on_with_its_fragments)
{
    uint8_t in[44];
    static struct run r;
    struct ws_decoder d;
    begin_held(&d, &r, in);
    ws_decoder_admit(&d);
    decode(&r, &d, in + 12, 32, 7, 300);
    CHECK_EQ(r.rc, 0);
    CHECK_EQ(r.len, 2 + 39);
    ws_decoder_fini(&d);
}

TEST(heartbeats_become_commands)
{
    FRAMES(false, "\x89\0\x8a\0", "\4\7\4PING\0\0\4\5\4PONG");
    FRAMES(true, "\x89\x81\1\1\1\1`", "\4\x8\4PING\0\0a");
    /* Of a long one the peer gets what its answers have room for; the rest is kept. */
    struct ws_decoder d;
    uint8_t in[127] = {0x89, 125};
    static struct run r;
    memset(in + 2, 'p', 125);
    ws_decoder_init(&d, false, 0);
    decode(&r, &d, in, sizeof(in), 10, 1000);
    CHECK_EQ(r.len, 2 + 5 + 2 + 16);
    CHECK_EQ(d.pings, 1);
    CHECK_EQ(d.ping_len, 125);
    CHECK_MEM(d.ping, in + 2, 125);
    in[0] = 0x8a;
    decode(&r, &d, in, sizeof(in), 10, 1000);
    CHECK_EQ(r.len, 2 + 5 + 125);
    CHECK_EQ(r.out[1], 130);
    ws_decoder_fini(&d);
}

TEST(a_close_frame_ends_it)
{
    static struct run r;
    struct ws_decoder d;
    ws_decoder_init(&d, false, 0);
    decode(&r, &d, (const uint8_t *)"\x82\1\0\x88\5\x03\xe9xyz\x82\1\0", 13, 13, 100);
    CHECK_EQ(r.rc, 0);
    CHECK(d.closed);
    CHECK_EQ(d.close_code, 1001);
    CHECK_EQ(r.len, 2);
    CHECK_EQ(r.left, 3);
    ws_decoder_init(&d, false, 0);
    decode(&r, &d, (const uint8_t *)"\x88\0", 2, 1, 100);
    CHECK(d.closed && d.close_code == 0 && r.rc == 0);
    WRONG(false, "\x88\1x", WS_CLOSE_PROTOCOL);
}

TEST(what_breaks_the_rules_is_told_apart)
{
    WRONG(true, "\x82\1\0", WS_CLOSE_PROTOCOL);            /* not masked */
    WRONG(false, "\x82\x81\1\1\1\1\1", WS_CLOSE_PROTOCOL); /* masked */
    WRONG(false, "\xc2\1\0", WS_CLOSE_PROTOCOL);           /* compressed */
    WRONG(false, "\x92\1\0", WS_CLOSE_PROTOCOL);
    WRONG(false, "\x81\1\0", WS_CLOSE_UNSUPPORTED); /* text */
    WRONG(false, "\x83\1\0", WS_CLOSE_PROTOCOL);    /* no such opcode */
    WRONG(false, "\x8b\0", WS_CLOSE_PROTOCOL);
    WRONG(false, "\x82\0", WS_CLOSE_PROTOCOL);   /* no flags */
    WRONG(false, "\x82\1\3", WS_CLOSE_PROTOCOL); /* no such flags */
    WRONG(false, "\x82\1\4", WS_CLOSE_PROTOCOL);
    WRONG(false, "\x80\1\0", WS_CLOSE_PROTOCOL);       /* continues nothing */
    WRONG(false, "\2\1\0\x82\1\0", WS_CLOSE_PROTOCOL); /* while one is continued */
    WRONG(false, "\2\0\x80\0", WS_CLOSE_PROTOCOL);     /* no flags */
    WRONG(false, "\2\1\7\x80\0", WS_CLOSE_PROTOCOL);   /* no such flags */
    WRONG(false, "\x09\0", WS_CLOSE_PROTOCOL);         /* a PING in fragments */
    WRONG(false, "\x89\x7e\0\x7e", WS_CLOSE_PROTOCOL); /* a long one */
    WRONG(false, "\x82\x7e\0\x7d", WS_CLOSE_PROTOCOL); /* a short length in a long form */
    WRONG(false, "\x82\x7f\0\0\0\0\0\0\xff\xff", WS_CLOSE_PROTOCOL);
    WRONG(false, "\x82\x7f\x80\0\0\0\0\1\0\0", WS_CLOSE_TOO_BIG);
    WRONG(false, "\2\x7f\0\0\0\xff\xff\xff\0\0", WS_CLOSE_TOO_BIG);
}

TEST(memory_for_fragments_grows_only_as_they_arrive)
{
    struct ws_decoder d;
    uint8_t out[10], in[20] = {2, 127, 0, 0, 0, 0, 0x7f, 0, 0, 0};
    size_t used, made;
    ws_decoder_init(&d, false, UINT64_MAX);
    CHECK_EQ(ws_decode(&d, in, sizeof(in), &used, out, sizeof(out), &made), 0);
    CHECK_EQ(used, sizeof(in));
    CHECK(d.parts_cap <= 4096);
    ws_decoder_fini(&d);
}

#ifdef FMQ_DEBUG
TEST(without_memory_for_fragments_nothing_is_lost)
{
    struct ws_decoder d;
    uint8_t out[10];
    static const uint8_t in[] = {2, 2, 0, 'a', 0x80, 1, 'b'};
    size_t used, made, at;
    ws_decoder_init(&d, false, 100);
    mem_fail_at(1);
    CHECK_EQ(ws_decode(&d, in, sizeof(in), &used, out, sizeof(out), &made), -ENOMEM);
    mem_fail_at(0);
    at = used;
    CHECK_EQ(ws_decode(&d, in + at, sizeof(in) - at, &used, out, sizeof(out), &made), 0);
    CHECK_EQ(at + used, sizeof(in));
    CHECK_EQ(made, 4);
    CHECK_MEM(out, "\0\2ab", 4);
    ws_decoder_fini(&d);
}
#endif

/* ---- frames out, and back ---- */

static void test_mask(void *arg, uint8_t key[4])
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        key[i] = (uint8_t)check_rand();
}

static size_t encode(struct ws_encoder *e, const uint8_t *in, size_t len, size_t cut, uint8_t *out,
                     size_t room)
{
    size_t at = 0, size = 0;
    while (at < len) {
        size_t used, made, n = len - at < cut ? len - at : cut;
        bool answered;
        ws_encode(e, in + at, n, &used, out + size, room, &made, NULL, 0, &answered);
        CHECK(used <= n && made <= room && !answered);
        CHECK(used);
        at += used;
        size += made;
    }
    return size;
}

TEST(a_frame_becomes_a_message)
{
    struct ws_encoder e = {0};
    uint8_t out[400];
    CHECK_EQ(encode(&e, (const uint8_t *)"\0\2ab\1\0\4\1c", 9, 100, out, 400), 12);
    CHECK_MEM(out, "\x82\3\0ab\x82\1\1\x82\2\2c", 12);
    CHECK(ws_encoder_at_boundary(&e));
}

TEST(heartbeat_commands_become_heartbeats)
{
    struct ws_encoder e = {0};
    uint8_t out[400];
    CHECK_EQ(
        encode(&e, (const uint8_t *)"\4\11\4PING\0\1xy\4\5\4PONG\4\6\4PINGx", 26, 100, out, 400),
        15);
    CHECK_MEM(out, "\x89\2xy\x8a\0\x82\7\2\4PINGx", 15);
}

TEST(a_pong_repeats_the_whole_ping_that_it_answers)
{
    struct ws_encoder e = {0};
    uint8_t out[400], ping[WS_CONTROL_MAX], pong[2 + 5 + 16] = "\4\25\4PONG";
    size_t used, made;
    bool answered;
    for (size_t i = 0; i < sizeof(ping); i++)
        ping[i] = (uint8_t)i;
    memcpy(pong + 7, ping, 16);
    ws_encode(&e, pong, sizeof(pong), &used, out, sizeof(out), &made, ping, sizeof(ping),
              &answered);
    CHECK(answered);
    CHECK_EQ(made, 2 + sizeof(ping));
    CHECK_MEM(out + 2, ping, sizeof(ping));
    pong[7]++; /* to another PING */
    ws_encode(&e, pong, sizeof(pong), &used, out, sizeof(out), &made, ping, sizeof(ping),
              &answered);
    CHECK(!answered);
    CHECK_EQ(made, 2 + 16);
}

TEST(what_is_encoded_is_decoded_again_whatever_the_pieces)
{
    static uint8_t in[OUT_MAX], out[OUT_MAX];
    static struct run r;
    for (int round = 0; round < 60; round++) {
        size_t len = 0;
        while (len < 3000) {
            static const uint8_t flags[] = {0, FRAME_MORE, FRAME_COMMAND};
            size_t n = check_rand() % (round % 2 ? 70 : 900);
            if (round == 7)
                n = 70000;
            len += frame_build_v2(in + len, flags[check_rand() % 3], n);
            for (size_t i = 0; i < n; i++)
                in[len++] = (uint8_t)check_rand();
        }
        bool masks = round & 1;
        struct ws_encoder e = {.mask = masks ? test_mask : NULL};
        struct ws_decoder d;
        size_t cut = 1 + check_rand() % 300;
        size_t size = encode(&e, in, len, cut, out, WS_ENCODE_ROOM + check_rand() % 500);
        CHECK(ws_encoder_at_boundary(&e));
        ws_decoder_init(&d, masks, 0);
        decode(&r, &d, out, size, 1 + check_rand() % 300, 1 + check_rand() % 300);
        CHECK_EQ(r.rc, 0);
        CHECK_EQ(r.len, len);
        CHECK_MEM(r.out, in, len);
        ws_decoder_fini(&d);
    }
}

TEST(a_close_frame_says_why)
{
    struct ws_encoder e = {0};
    uint8_t out[WS_CLOSE_FRAME_MAX];
    CHECK_EQ(ws_encode_close(&e, out, 1000), 4);
    CHECK_MEM(out, "\x88\2\x03\xe8", 4);
    CHECK_EQ(ws_encode_close(&e, out, 0), 2);
    e.mask = test_mask;
    CHECK_EQ(ws_encode_close(&e, out, 1000), WS_CLOSE_FRAME_MAX);
    CHECK_EQ((out[2] ^ out[6]) << 8 | (out[3] ^ out[7]), 1000);
    CHECK(ws_close_code_is_valid(1000) && ws_close_code_is_valid(1011) &&
          ws_close_code_is_valid(4999));
    CHECK(!ws_close_code_is_valid(0) && !ws_close_code_is_valid(1005) &&
          !ws_close_code_is_valid(2000) && !ws_close_code_is_valid(5000));
}
