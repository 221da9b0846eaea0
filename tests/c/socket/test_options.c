/* SPDX-License-Identifier: MIT */
// needs: engine
/* Options: ranges, defaults, when they take effect, and what a refusal says. */
#include "check.h"

#include <errno.h>
#include <inttypes.h>

#include "engine.h"
#include "fake_crypto.h"
#include "pipe/option_ids.h"
#include "pipe/option_values.h"
#include "socket/option_security.h"
#include "socket/option_special.h"
#include "socket/option_table.h"
#include "wire/peer_state.h"

#define NOBODY "tcp://127.0.0.1:1" /* connections are refused and tried again */

static bool detail_has(const char *text)
{
    if (strstr(fmq_last_detail(), text))
        return true;
    fprintf(stderr, "'%s' is not in '%s'\n", text, fmq_last_detail());
    return false;
}

static bool is_number(const struct fmq_option_info *o)
{
    return o->kind != FMQ_OPT_BYTES && o->kind != FMQ_OPT_STRING;
}

static int64_t get(fmq_socket *s, int option)
{
    int64_t value = -77;
    eng_must(fmq_get_int(s, option, &value), "get_int");
    return value;
}

/* Calls `each` for every option that a socket stores as a number. */
static void for_stored(fmq_socket *s, void (*each)(fmq_socket *s, const struct option_row *r))
{
    int count = 0;
    const struct fmq_option_info *o;
    for (int i = 0; (o = fmq_option_at(i)); i++) {
        const struct option_row *r = option_find(o->id);
        CHECK(r && &r->info == o && fmq_option_find(o->id) == o);
        if (!option_is_stored(r))
            continue;
        count++;
        each(s, r);
    }
    CHECK(count > 40);
    CHECK(!fmq_option_at(-1) && !fmq_option_find(9999));
}

static void has_default(fmq_socket *s, const struct option_row *r)
{
    if (r->info.id != OPT_SPIN_US) /* the environment may say */
        CHECK_EQ(get(s, r->info.id), r->fallback);
}

TEST(a_new_socket_has_the_defaults_of_the_table)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    for_stored(s, has_default);
    CHECK_EQ(get(s, OPT_HWM), 1000);
    CHECK_EQ(get(s, OPT_TYPE), FMQ_PUSH);
    CHECK_EQ(get(s, OPT_RCVMORE), 0);
    CHECK_EQ(get(s, OPT_THREAD_SAFE), 0);
    CHECK_EQ(get(s, OPT_IPV4ONLY), 1);
    eng_close(s);
    eng_end(ctx);
}

static void keeps_its_range(fmq_socket *s, const struct option_row *r)
{
    const struct fmq_option_info *o = &r->info;
    if (!(o->access & FMQ_OPT_SET)) {
        CHECK_EQ(fmq_set_int(s, o->id, o->min), -EINVAL);
        CHECK(detail_has(o->name) && detail_has("only be read"));
        return;
    }
    bool flag = o->kind == FMQ_OPT_BOOL;
    CHECK_EQ(fmq_set_int(s, o->id, o->max), 0);
    CHECK_EQ(get(s, o->id), flag ? 1 : o->max);
    CHECK_EQ(fmq_set_int(s, o->id, o->min), 0);
    CHECK_EQ(get(s, o->id), flag ? o->min != 0 : o->min);
    char range[64];
    snprintf(range, sizeof(range), "%" PRId64 " to %" PRId64, o->min, o->max);
    CHECK_EQ(fmq_set_int(s, o->id, o->min - 1), -EINVAL);
    CHECK(detail_has(o->name) && detail_has(range));
    if (o->max < INT64_MAX) {
        CHECK_EQ(fmq_set_int(s, o->id, o->max + 1), -EINVAL);
        CHECK(detail_has(o->name) && detail_has(range));
    }
    CHECK_EQ(get(s, o->id), flag ? o->min != 0 : o->min); /* as it was */
    CHECK_EQ(fmq_set_int(s, o->id, r->fallback), 0);
}

TEST(a_number_is_taken_within_its_range_and_a_refusal_names_it)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    for_stored(s, keeps_its_range);
    eng_close(s);
    eng_end(ctx);
}

TEST(a_refusal_says_what_was_wrong)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    int64_t value;
    char bytes[300] = "";
    size_t len = sizeof(bytes);
    const struct fmq_option_info *o;
    for (int i = 0; (o = fmq_option_at(i)); i++) {
        const struct option_row *r = option_find(o->id);
        int set = is_number(o) ? fmq_set_int(s, o->id, o->min) : fmq_set_bytes(s, o->id, "", 0);
        if (r->home == HOME_ABSENT) {
            CHECK_EQ(set, -EINVAL);
            CHECK(detail_has(o->name) && detail_has("this build does not have"));
            continue;
        }
        if (o->access == FMQ_OPT_GET) {
            CHECK_EQ(set, -EINVAL);
            CHECK(detail_has(o->name) && detail_has("can only be read"));
        } else if (is_number(o)) {
            CHECK_EQ(fmq_set_bytes(s, o->id, "1", 1), -EINVAL);
            CHECK(detail_has(o->name) && detail_has("takes a number, not bytes"));
        } else if (o->id != OPT_SUBSCRIBE) {
            CHECK_EQ(fmq_set_int(s, o->id, 1), -EINVAL);
            CHECK(detail_has(o->name) && detail_has("takes bytes, not a number"));
        }
        if (o->access == FMQ_OPT_SET) {
            CHECK_EQ(fmq_get_int(s, o->id, &value), -EINVAL);
            CHECK(detail_has(o->name) && detail_has("can only be set"));
        } else if (!is_number(o)) {
            CHECK_EQ(fmq_get_int(s, o->id, &value), -EINVAL);
        }
    }
    CHECK_EQ(fmq_set_int(s, 9999, 1), -EINVAL);
    CHECK(detail_has("socket option 9999 is not known"));
    CHECK_EQ(fmq_get_bytes(s, 9999, bytes, &len), -EINVAL);
    CHECK_EQ(fmq_get_bytes(s, OPT_SNDHWM, bytes, &len), -EINVAL);
    CHECK_EQ(fmq_set_bytes(s, OPT_SUBSCRIBE, "a", 1), -EINVAL);
    CHECK(detail_has("SUBSCRIBE does not apply to PULL sockets"));
    CHECK_EQ(fmq_set_int(s, OPT_ROUTER_MANDATORY, 1), -EINVAL);
    CHECK(detail_has("ROUTER_MANDATORY does not apply to PULL sockets"));
    CHECK_EQ(fmq_get_int(s, OPT_TOPICS_COUNT, &value), -EINVAL);
    CHECK(detail_has("TOPICS_COUNT does not apply to PULL sockets"));
    CHECK_EQ(fmq_set_bytes(s, OPT_CONNECT_ROUTING_ID, "a", 1), -EINVAL);
    CHECK(detail_has("CONNECT_ROUTING_ID does not apply to PULL sockets"));
    eng_close(s);
    eng_end(ctx);
}

TEST(an_error_of_another_call_is_not_said_again)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    int64_t value;
    char bytes[8];
    size_t len = sizeof(bytes);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(fmq_set_int(s, 9999, 1), -EINVAL);
        CHECK(detail_has("9999"));
        if (i == 0)
            CHECK_EQ(fmq_set_int(s, OPT_SNDHWM, 1), 0);
        else if (i == 1)
            CHECK_EQ(fmq_set_bytes(s, OPT_ROUTING_ID, "a", 1), 0);
        else if (i == 2)
            CHECK_EQ(fmq_get_int(s, OPT_SNDHWM, &value), 0);
        else
            CHECK_EQ(fmq_get_bytes(s, OPT_ROUTING_ID, bytes, &len), 0);
        CHECK_STR(fmq_last_detail(), "");
    }
    eng_close(s);
    eng_end(ctx);
}

TEST(types_that_know_peers_by_name_take_a_name_for_the_next)
{
    static const int types[] = {FMQ_ROUTER, FMQ_STREAM, FMQ_REP};
    fmq_ctx *ctx = eng_ctx();
    for (int i = 0; i < 3; i++) {
        fmq_socket *s = eng_socket(ctx, types[i]);
        CHECK_EQ(fmq_set_bytes(s, OPT_CONNECT_ROUTING_ID, "next", 4), 0);
        eng_close(s);
    }
    eng_end(ctx);
}

TEST(bytes_are_taken_within_their_lengths_and_read_back)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_DEALER);
    char long_id[256], got[256];
    memset(long_id, 'x', sizeof(long_id));
    for (size_t size = 1; size <= 255; size += 127) {
        size_t len = sizeof(got);
        CHECK_EQ(fmq_set_bytes(s, OPT_ROUTING_ID, long_id, size), 0);
        CHECK_EQ(fmq_get_bytes(s, OPT_ROUTING_ID, got, &len), 0);
        CHECK_EQ(len, size);
        CHECK_MEM(got, long_id, size);
        len = size - 1;
        CHECK_EQ(fmq_get_bytes(s, OPT_ROUTING_ID, got, &len), -EINVAL); /* no room */
    }
    for (size_t size = 0; size <= 256; size += 256) {
        CHECK_EQ(fmq_set_bytes(s, OPT_ROUTING_ID, long_id, size), -EINVAL);
        CHECK(detail_has("ROUTING_ID takes 1 to 255 bytes, not"));
    }
    size_t len = sizeof(got);
    CHECK_EQ(fmq_set_bytes(s, OPT_BINDTODEVICE, "lo", 2), 0);
    CHECK_EQ(fmq_set_bytes(s, OPT_BINDTODEVICE, "e", 1), 0);
    CHECK_EQ(fmq_get_bytes(s, OPT_BINDTODEVICE, got, &len), 0);
    CHECK(len == 1 && got[0] == 'e'); /* nothing of the longer one is left */
    len = sizeof(got);
    CHECK_EQ(fmq_get_bytes(s, OPT_LAST_ENDPOINT, got, &len), 0);
    CHECK_EQ(len, 0);
    eng_must(fmq_bind(s, "inproc://last"), "bind");
    len = sizeof(got);
    CHECK_EQ(fmq_get_bytes(s, OPT_LAST_ENDPOINT, got, &len), 0);
    CHECK(len == 13 && memcmp(got, "inproc://last", 13) == 0);
    eng_close(s);
    eng_end(ctx);
}

TEST(high_water_marks_take_effect_at_once)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    eng_set(s, ENG_LINGER, 0);
    eng_must(fmq_connect(s, NOBODY), "connect");
    eng_set(s, OPT_HWM, 2);
    CHECK(get(s, OPT_SNDHWM) == 2 && get(s, OPT_RCVHWM) == 2);
    CHECK_EQ(eng_try_send(s, "1"), 0);
    CHECK_EQ(eng_try_send(s, "2"), 0);
    CHECK_EQ(eng_try_send(s, "3"), -EAGAIN);
    eng_set(s, OPT_SNDHWM, 3);
    CHECK_EQ(get(s, OPT_RCVHWM), 2);
    CHECK_EQ(get(s, OPT_HWM), 3);
    CHECK_EQ(fmq_events(s), FMQ_POLLOUT);
    CHECK_EQ(eng_try_send(s, "3"), 0);
    CHECK_EQ(eng_try_send(s, "4"), -EAGAIN);
    eng_set(s, OPT_SNDHWM, 1);
    CHECK_EQ(eng_try_send(s, "4"), -EAGAIN);
    eng_set(s, OPT_SNDHWM, 0); /* no limit */
    eng_set(s, OPT_SNDHWM_BYTES, 4);
    CHECK_EQ(eng_try_send(s, "4"), 0);
    CHECK_EQ(eng_try_send(s, "5"), -EAGAIN);
    eng_set(s, OPT_SNDHWM_BYTES, 0);
    CHECK_EQ(eng_try_send(s, "5"), 0);
    eng_close(s);
    eng_end(ctx);
}

TEST(a_connection_keeps_the_options_it_was_made_with)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *router = eng_socket(ctx, FMQ_ROUTER), *dealer = eng_socket(ctx, FMQ_DEALER);
    struct eng_name name = eng_bind(router, "tcp");
    eng_must(fmq_set_bytes(dealer, OPT_ROUTING_ID, "first", 5), "id");
    eng_connect(dealer, &name);
    eng_send(dealer, "a");
    eng_expect(router, "first|a");
    eng_must(fmq_set_bytes(dealer, OPT_ROUTING_ID, "second", 6), "id");
    eng_send(dealer, "b");
    eng_expect(router, "first|b");
    eng_must(fmq_disconnect(dealer, name.text), "disconnect");
    eng_connect(dealer, &name);
    eng_send(dealer, "c");
    eng_expect(router, "second|c");
    eng_close(dealer);
    eng_close(router);
    eng_end(ctx);
}

TEST(the_environment_gives_the_default_of_spinning)
{
    const char *before = getenv("FASTMQ_SPIN_US");
    char *kept = before ? strdup(before) : NULL;
    static const struct {
        const char *text;
        int value;
    } cases[] = {{"0", 0},   {"7", 7},     {"1000000", 1000000}, {"1000001", 50},
                 {"-1", 50}, {"", 50},     {"abc", 50},          {"7us", 50},
                 {" 7", 50}, {"0x10", 50}, {"1e3", 50},          {"+7", 50},
                 {"007", 7}, {"7.5", 50},  {"4294967303", 50},   {"18446744073709551623", 50},
                 {NULL, 50}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct option_values o;
        if (cases[i].text)
            setenv("FASTMQ_SPIN_US", cases[i].text, 1);
        else
            unsetenv("FASTMQ_SPIN_US");
        options_init(&o);
        CHECK_EQ(o.spin_us, cases[i].value);
        options_fini(&o);
    }
    if (kept)
        setenv("FASTMQ_SPIN_US", kept, 1);
    free(kept);
}

TEST(the_environment_gives_the_default_of_shared_memory_as_0_to_2)
{
    const char *before = getenv("FASTMQ_SHM");
    char *kept = before ? strdup(before) : NULL;
    static const struct {
        const char *text;
        int value;
    } cases[] = {{"1", 1},  {"0", 0},  {"2", 2}, {"3", 1}, {"yes", 1},
                 {"0 ", 1}, {"-1", 1}, {"", 1},  {NULL, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct option_values o;
        if (cases[i].text)
            setenv("FASTMQ_SHM", cases[i].text, 1);
        else
            unsetenv("FASTMQ_SHM");
        options_init(&o);
        CHECK_EQ(o.shm, cases[i].value);
        options_fini(&o);
    }
    if (kept)
        setenv("FASTMQ_SHM", kept, 1);
    free(kept);
}

static int special(struct option_values *o, int id, const char *text)
{
    return option_set_special(o, id, 0, text, strlen(text));
}

TEST(accept_filters_are_networks_with_as_many_bits_as_the_address_has)
{
    static const struct {
        const char *text;
        unsigned bits;
    } good[] = {{"10.0.0.0/8", 8}, {"10.1.2.3", 32},   {"0.0.0.0/0", 0},  {"10.0.0.0/32", 32},
                {"::1", 128},      {"[::1]/127", 127}, {"fe80::/10", 10}, {"::/128", 128}};
    static const char *const bad[] = {
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/8x",
        "10.0.0.0/0008",
        "::/129",
        "host",
        "/8",
        " ",
        "[::1/8",
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
        "1"
        "2345678901234567890123456789012345678/8",
    };
    struct option_values o;
    options_init(&o);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_EQ(special(&o, OPT_TCP_ACCEPT_FILTER, good[i].text), 0);
        CHECK_EQ(o.accept_filter_count, i + 1);
        CHECK_EQ(o.accept_filters[i].bits, good[i].bits);
    }
    size_t count = o.accept_filter_count;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(special(&o, OPT_TCP_ACCEPT_FILTER, bad[i]), -EINVAL);
        CHECK(detail_has("TCP_ACCEPT_FILTER takes address/bits"));
    }
    CHECK_EQ(o.accept_filter_count, count);
    CHECK_EQ(special(&o, OPT_TCP_ACCEPT_FILTER, ""), 0);
    CHECK_EQ(o.accept_filter_count, 0);
    options_fini(&o);
}

TEST(metadata_is_a_name_that_begins_with_x_and_a_value)
{
    static const char *const bad[] = {"X-a", "a:b", "X:b", "Xa:b", "", ":", "X-:b", "Y-a:b"};
    struct option_values o;
    char text[300];
    options_init(&o);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(special(&o, OPT_METADATA, bad[i]), -EINVAL);
        CHECK(detail_has("METADATA takes 'X-name:value'"));
    }
    CHECK_EQ(special(&o, OPT_METADATA, "X-a:b"), 0);
    CHECK_EQ(special(&o, OPT_METADATA, "x-bc:"), 0);
    CHECK_EQ(o.metadata.len, 1 + 3 + 4 + 1 + 1 + 4 + 4);
    CHECK_MEM(o.metadata.data, "\3X-a\0\0\0\1b\4x-bc\0\0\0", 18);
    memset(text, 'n', sizeof(text));
    memcpy(text, "X-", 2);
    text[255] = ':';
    text[256] = 0;
    CHECK_EQ(special(&o, OPT_METADATA, text), 0);
    text[255] = 'n';
    text[256] = ':';
    text[257] = 0;
    CHECK_EQ(special(&o, OPT_METADATA, text), -EINVAL);
    options_fini(&o);
}

TEST(blobs_and_lists_are_kept_apart)
{
    struct option_values o;
    options_init(&o);
    CHECK_EQ(special(&o, OPT_HELLO_MSG, "hello"), 0);
    CHECK_EQ(special(&o, OPT_DISCONNECT_MSG, "bye"), 0);
    CHECK_EQ(special(&o, OPT_HICCUP_MSG, "again"), 0);
    CHECK_EQ(special(&o, OPT_HELLO_MSG, "hi"), 0);
    CHECK(o.hello_msg.len == 2 && memcmp(o.hello_msg.data, "hi", 2) == 0);
    CHECK(o.disconnect_msg.len == 3 && memcmp(o.disconnect_msg.data, "bye", 3) == 0);
    CHECK(o.hiccup_msg.len == 5 && memcmp(o.hiccup_msg.data, "again", 5) == 0);
    CHECK_EQ(special(&o, OPT_HELLO_MSG, ""), 0);
    CHECK(o.hello_msg.len == 0 && !o.hello_msg.data);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(option_set_special(&o, OPT_IPC_FILTER_PID, 10 + i, NULL, 0), 0);
        CHECK_EQ(option_set_special(&o, OPT_IPC_FILTER_UID, 20 + i, NULL, 0), 0);
        CHECK_EQ(option_set_special(&o, OPT_IPC_FILTER_GID, UINT32_MAX, NULL, 0), 0);
    }
    CHECK(o.ipc_pid_count == 3 && o.ipc_uid_count == 3 && o.ipc_gid_count == 3);
    CHECK(o.ipc_pids[2] == 12 && o.ipc_uids[0] == 20 && o.ipc_gids[1] == UINT32_MAX);
    CHECK_EQ(special(&o, OPT_TCP_CONGESTION, "no-such-thing"), -EINVAL);
    CHECK(detail_has("no-such-thing"));
    CHECK_EQ(special(&o, OPT_TCP_CONGESTION, ""), 0);
    CHECK_EQ(option_set_special(&o, OPT_IPV4ONLY, 0, NULL, 0), 0);
    CHECK_EQ(o.ipv6, 1);
    CHECK_EQ(special(&o, OPT_TYPE, ""), -EINVAL);
    options_fini(&o);
}

#ifdef FMQ_DEBUG
TEST(without_memory_an_option_stays_as_it_was)
{
    static const struct {
        int id;
        const char *text;
    } cases[] = {{OPT_HELLO_MSG, "hello"},
                 {OPT_METADATA, "X-a:b"},
                 {OPT_TCP_ACCEPT_FILTER, "10.0.0.0/8"},
                 {OPT_IPC_FILTER_UID, ""}};
    struct option_values o;
    options_init(&o);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            mem_fail_from(1, 0);
            CHECK_EQ(special(&o, cases[i].id, cases[i].text), -ENOMEM);
            mem_fail_from(0, 0);
            CHECK_EQ(o.accept_filter_count + o.ipc_uid_count + !!o.metadata.len + !!o.hello_msg.len,
                     round ? 4 : i);
            if (!round)
                CHECK_EQ(special(&o, cases[i].id, cases[i].text), 0);
        }
    }
    CHECK_MEM(o.hello_msg.data, "hello", 5);
    options_fini(&o);
}
#endif

/* Before the next test gives the primitives to the process. */
TEST(curve_without_primitives_says_what_it_needs)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    uint8_t key[32] = {1};
    CHECK_EQ(fmq_set_int(s, ENG_CURVE_SERVER, 1), -ENOTSUP);
    CHECK(detail_has("libsodium"));
    CHECK_EQ(fmq_set_bytes(s, ENG_CURVE_SECRETKEY, key, 32), -ENOTSUP);
    CHECK_EQ(get(s, OPT_MECHANISM), PEER_MECH_NULL);
    CHECK_EQ(fmq_has("curve"), 0);
    eng_close(s);
    eng_end(ctx);
}

TEST(the_mechanism_is_that_of_the_last_option_set)
{
    struct option_values o;
    uint8_t key[32] = {1, 2, 3};
    fake_crypto_set();
    options_init(&o);
    CHECK_EQ(o.mechanism, PEER_MECH_NULL);
    CHECK_EQ(option_set_security(&o, OPT_PLAIN_SERVER, 1, NULL, 0), 0);
    CHECK(o.mechanism == PEER_MECH_PLAIN && o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_PLAIN_USERNAME, 0, "me", 2), 0);
    CHECK(o.mechanism == PEER_MECH_PLAIN && !o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_CURVE_SERVER, 1, NULL, 0), 0);
    CHECK(o.mechanism == PEER_MECH_CURVE && o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_CURVE_SECRETKEY, 0, key, 32), 0);
    CHECK(o.mechanism == PEER_MECH_CURVE && o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_CURVE_SERVERKEY, 0, key, 32), 0);
    CHECK(o.mechanism == PEER_MECH_CURVE && !o.as_server); /* it is for a client */
    CHECK_EQ(option_set_security(&o, OPT_PLAIN_PASSWORD, 0, "pw", 2), 0);
    CHECK(o.mechanism == PEER_MECH_PLAIN && !o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_CURVE_SERVER, 0, NULL, 0), 0);
    CHECK(o.mechanism == PEER_MECH_NULL && !o.as_server);
    CHECK_EQ(option_set_security(&o, OPT_ZAP_DOMAIN, 0, "d", 1), 0);
    CHECK_EQ(o.mechanism, PEER_MECH_NULL);
    CHECK_EQ(option_set_security(&o, OPT_TYPE, 0, "d", 1), -EINVAL);
    options_fini(&o);
}

TEST(a_key_is_32_bytes_or_their_40_characters)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PULL);
    uint8_t key[41] = {0};
    char text[42] = "", got[41] = "";
    size_t len = sizeof(got);
    fake_crypto_set();
    for (int i = 0; i < 32; i++)
        key[i] = (uint8_t)(i * 7);
    CHECK_EQ(fmq_z85_encode(text, key, 32), 0);
    static const int options[] = {OPT_CURVE_PUBLICKEY, OPT_CURVE_SECRETKEY, OPT_CURVE_SERVERKEY};
    for (int i = 0; i < 3; i++) {
        len = sizeof(got);
        CHECK_EQ(fmq_get_bytes(s, options[i], got, &len), 0);
        CHECK_EQ(len, 0); /* none was set */
        CHECK_EQ(fmq_set_bytes(s, options[i], key, 32), 0);
        len = sizeof(got);
        CHECK_EQ(fmq_get_bytes(s, options[i], got, &len), 0);
        CHECK_EQ(len, 40);
        CHECK_STR(got, text);
        CHECK_EQ(fmq_set_bytes(s, options[i], text, 40), 0);
        CHECK_EQ(fmq_set_bytes(s, options[i], text, 41), 0); /* with a NUL */
        CHECK_EQ(fmq_set_bytes(s, options[i], key, 5), -EINVAL);
        CHECK(detail_has("takes 32 bytes, or the 40 characters"));
        CHECK_EQ(fmq_set_bytes(s, options[i], text, 42), -EINVAL);
        CHECK(detail_has("takes 32 bytes, or the 40 characters"));
        CHECK_EQ(fmq_set_bytes(s, options[i], key, 33), -EINVAL);
        CHECK(detail_has("takes 32 bytes, or the 40 characters"));
        CHECK_EQ(fmq_set_bytes(s, options[i], key, 40), -EINVAL); /* not Z85 */
        key[40] = 'x';
        memcpy(key, text, 40);
        CHECK_EQ(fmq_set_bytes(s, options[i], key, 41), -EINVAL); /* the last is no NUL */
        for (int j = 0; j < 32; j++)
            key[j] = (uint8_t)(j * 7);
        memset(key + 32, 0, 9);
        len = sizeof(got);
        CHECK_EQ(fmq_get_bytes(s, options[i], got, &len), 0);
        CHECK_STR(got, text); /* as it was */
    }
    eng_close(s);
    eng_end(ctx);
}

TEST(while_its_context_ends_a_socket_still_takes_linger_alone)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH), *closed = eng_socket(ctx, FMQ_PUSH);
    int64_t value;
    eng_must(fmq_close(closed), "close");
    eng_must(fmq_ctx_shutdown(ctx), "shutdown");
    CHECK_EQ(fmq_set_int(s, OPT_SNDHWM, 1), -FMQ_ETERM);
    CHECK_EQ(fmq_get_int(s, OPT_SNDHWM, &value), -FMQ_ETERM);
    CHECK_EQ(fmq_set_int(s, OPT_LINGER, 0), 0);
    CHECK_EQ(fmq_set_int(closed, OPT_LINGER, 0), -ENOTSOCK);
    fmq_socket_free(closed);
    eng_close(s);
    eng_end(ctx);
}

TEST(timeouts_are_read_without_the_lock)
{
    fmq_ctx *ctx = eng_ctx();
    fmq_socket *s = eng_socket(ctx, FMQ_PUSH);
    CHECK(fmq_sndtimeo(s) == -1 && fmq_rcvtimeo(s) == -1);
    eng_set(s, OPT_SNDTIMEO, 12);
    eng_set(s, OPT_RCVTIMEO, 34);
    CHECK(fmq_sndtimeo(s) == 12 && fmq_rcvtimeo(s) == 34);
    eng_close(s);
    eng_end(ctx);
}
