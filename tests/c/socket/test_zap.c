/* SPDX-License-Identifier: MIT */
// needs: engine
/* The question to an authenticator, frame by frame, and what each answer leads to. */
#include "check.h"

#include <errno.h>

#include "engine.h"
#include "fake_crypto.h"
#include "net/events.h"
#include "socket/zap.h"

#define HANDLER "inproc://zeromq.zap.01"
#define ENFORCE_DOMAIN 93

/* A server with a monitor, a client that knocks once, and a handler (a ROUTER), if there is one. */
struct scene {
    fmq_ctx *ctx;
    fmq_socket *server, *client, *events, *handler;
    struct eng_name name;
};

static void scene_begin(struct scene *w, bool has_handler)
{
    w->ctx = eng_ctx();
    w->handler = NULL;
    if (has_handler) {
        w->handler = eng_socket(w->ctx, FMQ_ROUTER);
        eng_must(fmq_bind(w->handler, HANDLER), "bind the handler");
    }
    w->server = eng_socket(w->ctx, FMQ_PULL);
    w->client = eng_socket(w->ctx, FMQ_PUSH);
    eng_set(w->client, ENG_LINGER, 0);
    eng_set(w->client, ENG_RECONNECT_IVL, -1);
    eng_must(fmq_monitor(w->server, "inproc://events",
                         EVENT_HANDSHAKE_SUCCEEDED | EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                             EVENT_HANDSHAKE_FAILED_PROTOCOL | EVENT_HANDSHAKE_FAILED_AUTH,
                         2, FMQ_PAIR),
             "monitor");
    w->events = eng_socket(w->ctx, FMQ_PAIR);
    eng_must(fmq_connect(w->events, "inproc://events"), "connect the monitor");
}

static void scene_end(struct scene *w)
{
    eng_close(w->client);
    eng_close(w->server);
    eng_close(w->events);
    if (w->handler)
        eng_close(w->handler);
    eng_end(w->ctx);
}

static void meet(struct scene *w)
{
    w->name = eng_bind(w->server, "tcp");
    eng_connect(w->client, &w->name);
}

static void by_password(struct scene *w)
{
    eng_set(w->server, ENG_PLAIN_SERVER, 1);
    eng_must(fmq_set_bytes(w->client, ENG_PLAIN_USERNAME, "me", 2), "username");
    eng_must(fmq_set_bytes(w->client, ENG_PLAIN_PASSWORD, "secret", 6), "password");
    meet(w);
}

/* The next event of the server is this one. */
static void expect_event(struct scene *w, uint64_t event, uint64_t value)
{
    struct parts p;
    uint64_t got;
    parts_init(&p);
    eng_must(eng_recv(w->events, &p, ENG_WAIT_MS), "the next event");
    CHECK_EQ(p.len, 5);
    memcpy(&got, msg_data(&p.v[0]), 8);
    CHECK_EQ(got, event);
    memcpy(&got, msg_data(&p.v[2]), 8);
    CHECK_EQ(got, value);
    parts_fini(&p);
}

/* Waits for a question; its first part, the envelope, stays in `out`. */
static void question(struct scene *w, struct parts *out)
{
    parts_init(out);
    eng_must(eng_recv(w->handler, out, ENG_WAIT_MS), "the question");
    CHECK(out->len >= 8);
    CHECK_EQ(msg_size(&out->v[1]), 0);
    CHECK(msg_is_text(&out->v[2], "1.0"));
}

/* Sends an answer, its parts separated by '|', to whoever asked. Drops the question. */
static void answer(struct scene *w, struct parts *asked, const char *text)
{
    struct parts p;
    struct msg m;
    parts_init(&p);
    CHECK_EQ(msg_dup(&m, &asked->v[0]), 0);
    CHECK_EQ(parts_push(&p, &m), 0);
    for (const char *end; text; text = end ? end + 1 : NULL) {
        end = strchr(text, '|');
        CHECK_EQ(msg_init_copy(&m, text, end ? (size_t)(end - text) : strlen(text)), 0);
        CHECK_EQ(parts_push(&p, &m), 0);
    }
    eng_must(fmq_send(w->handler, p.v, p.len, false, 0), "answer");
    parts_fini(asked);
    p.len = 0;
    parts_fini(&p);
}

TEST(the_question_names_domain_address_identity_mechanism_and_credentials)
{
    struct scene w;
    scene_begin(&w, true);
    eng_must(fmq_set_bytes(w.server, ENG_ZAP_DOMAIN, "home", 4), "domain");
    eng_must(fmq_set_bytes(w.server, 5, "door", 4), "ROUTING_ID");
    by_password(&w);
    struct parts p;
    question(&w, &p);
    char text[256];
    struct parts asked = {.v = p.v + 1, .len = p.len - 1}; /* behind the handler's own envelope */
    eng_text(&asked, text, sizeof(text));
    CHECK_STR(text, "|1.0|1|home|127.0.0.1|door|PLAIN|me|secret");
    CHECK_EQ(p.len, 10);
    answer(&w, &p, "|1.0|1|200|OK|user|");
    expect_event(&w, EVENT_HANDSHAKE_SUCCEEDED, 0);
    scene_end(&w);
}

TEST(null_shows_no_credentials_and_curve_the_key)
{
    struct scene w;
    struct parts p;
    scene_begin(&w, true);
    eng_must(fmq_set_bytes(w.server, ENG_ZAP_DOMAIN, "home", 4), "domain");
    meet(&w);
    question(&w, &p);
    CHECK_EQ(p.len, 8);
    CHECK(msg_is_text(&p.v[7], "NULL"));
    answer(&w, &p, "|1.0|1|200|OK|user|");
    expect_event(&w, EVENT_HANDSHAKE_SUCCEEDED, 0);
    scene_end(&w);

    uint8_t keys[4][32];
    fake_crypto_set();
    for (int i = 0; i < 2; i++) {
        memset(keys[2 * i + 1], i + 1, 32);
        fake_public(keys[2 * i], keys[2 * i + 1]);
    }
    scene_begin(&w, true);
    eng_set(w.server, ENG_CURVE_SERVER, 1);
    eng_must(fmq_set_bytes(w.server, ENG_CURVE_SECRETKEY, keys[1], 32), "secret key");
    eng_must(fmq_set_bytes(w.client, ENG_CURVE_PUBLICKEY, keys[2], 32), "public key");
    eng_must(fmq_set_bytes(w.client, ENG_CURVE_SECRETKEY, keys[3], 32), "secret key");
    eng_must(fmq_set_bytes(w.client, ENG_CURVE_SERVERKEY, keys[0], 32), "server key");
    meet(&w);
    question(&w, &p);
    CHECK_EQ(p.len, 9);
    CHECK(msg_is_text(&p.v[7], "CURVE"));
    CHECK_EQ(msg_size(&p.v[8]), 32);
    CHECK_MEM(msg_data(&p.v[8]), keys[2], 32);
    answer(&w, &p, "|1.0|1|200|OK|user|");
    expect_event(&w, EVENT_HANDSHAKE_SUCCEEDED, 0);
    scene_end(&w);
}

TEST(each_answer_leads_to_its_event)
{
    static const struct {
        const char *text;
        uint64_t event, value;
    } cases[] = {
        {"|1.0|1|200|OK||", EVENT_HANDSHAKE_SUCCEEDED, 0},
        {"|1.0|1|300|later||", EVENT_HANDSHAKE_FAILED_AUTH, 300},
        {"|1.0|1|400|no||", EVENT_HANDSHAKE_FAILED_AUTH, 400},
        {"|1.0|1|500|broken||", EVENT_HANDSHAKE_FAILED_AUTH, 500},
        {"|1.0|1|600|what||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_INVALID_STATUS_CODE},
        {"|1.0|1|20|what||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_INVALID_STATUS_CODE},
        {"|1.1|1|200|OK||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_BAD_VERSION},
        {"|1.0|2|200|OK||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_BAD_REQUEST_ID},
        {"x|1.0|1|200|OK||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_UNSPECIFIED},
        {"|1.0|1|200|OK|", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_MALFORMED_REPLY},
        {"|1.0|1|200|OK|||", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_MALFORMED_REPLY},
        {"|1.0|1|200|OK||no metadata", EVENT_HANDSHAKE_FAILED_PROTOCOL, PROTO_ZAP_INVALID_METADATA},
        {"|1.0|1|400|no||no metadata", EVENT_HANDSHAKE_FAILED_AUTH, 400}, /* not looked at */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene w;
        struct parts p;
        scene_begin(&w, true);
        by_password(&w);
        question(&w, &p);
        answer(&w, &p, cases[i].text);
        expect_event(&w, cases[i].event, cases[i].value);
        scene_end(&w);
    }
}

TEST(the_user_that_an_answer_names_comes_with_each_message)
{
    struct scene w;
    struct parts p;
    struct meta *meta = NULL;
    const uint8_t *user;
    size_t len;
    scene_begin(&w, true);
    by_password(&w);
    question(&w, &p);
    answer(&w, &p, "|1.0|1|200|OK|somebody|");
    eng_send(w.client, "hello");
    eng_wait(w.server, FMQ_POLLIN);
    parts_init(&p);
    eng_must(fmq_recv(w.server, &p, &meta, 0), "recv");
    CHECK_EQ(meta_get(meta, "User-Id", &user, &len), 0);
    CHECK(len == 8 && memcmp(user, "somebody", 8) == 0);
    parts_fini(&p);
    meta_unref(meta);
    scene_end(&w);
}

TEST(without_a_handler_a_password_is_refused_and_null_is_let_in)
{
    struct scene w;
    scene_begin(&w, false);
    by_password(&w);
    expect_event(&w, EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);
    scene_end(&w);

    scene_begin(&w, false);
    eng_must(fmq_set_bytes(w.server, ENG_ZAP_DOMAIN, "home", 4), "domain");
    meet(&w);
    expect_event(&w, EVENT_HANDSHAKE_SUCCEEDED, 0);
    scene_end(&w);

    scene_begin(&w, false);
    eng_must(fmq_set_bytes(w.server, ENG_ZAP_DOMAIN, "home", 4), "domain");
    eng_set(w.server, ENFORCE_DOMAIN, 1);
    meet(&w);
    expect_event(&w, EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);
    scene_end(&w);
}

TEST(with_enforce_domain_a_password_needs_a_domain)
{
    struct scene w;
    scene_begin(&w, true);
    eng_set(w.server, ENFORCE_DOMAIN, 1);
    by_password(&w);
    expect_event(&w, EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);
    eng_expect_none(w.handler, 0); /* it was not asked */
    scene_end(&w);
}

TEST(a_handler_that_goes_without_an_answer_refuses)
{
    struct scene w;
    struct parts p;
    scene_begin(&w, true);
    by_password(&w);
    question(&w, &p);
    parts_fini(&p);
    eng_close(w.handler);
    w.handler = NULL;
    expect_event(&w, EVENT_HANDSHAKE_FAILED_NO_DETAIL, EPIPE);
    scene_end(&w);
}

TEST(a_second_answer_is_nobodys)
{
    struct scene w;
    struct parts p, again;
    struct msg m;
    scene_begin(&w, true);
    by_password(&w);
    question(&w, &p);
    parts_init(&again);
    CHECK_EQ(msg_dup(&m, &p.v[0]), 0);
    CHECK_EQ(parts_push(&again, &m), 0);
    answer(&w, &p, "|1.0|1|200|OK||");
    expect_event(&w, EVENT_HANDSHAKE_SUCCEEDED, 0);
    /* The question's connection is gone: a ROUTER drops what is for it. */
    answer(&w, &again, "|1.0|1|400|no||");
    eng_send(w.client, "hello");
    eng_expect(w.server, "hello");
    scene_end(&w);
}

TEST(a_connection_that_goes_withdraws_its_question)
{
    struct scene w;
    struct parts p;
    scene_begin(&w, true);
    by_password(&w);
    question(&w, &p);
    eng_must(fmq_disconnect(w.client, w.name.text), "disconnect");
    struct fmq_peer row;
    ENG_UNTIL(fmq_peers(w.server, &row, 1) == 0 || (fmq_events(w.server), 0));
    ENG_UNTIL(fmq_peers(w.handler, &row, 1) == 0); /* the question's connection */
    answer(&w, &p, "|1.0|1|200|OK||");
    scene_end(&w);
}
