/* SPDX-License-Identifier: MIT */
#include "transport/ws_stream.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "os/net.h"
#include "os/random.h"
#include "os/thread.h"
#include "wire/ws_frame.h"
#include "wire/ws_upgrade.h"

/* Bytes of the descriptor read ahead, and bytes for it: at least and at most. Memory for them is
 * there while they are; where there is none, what lies in the stream itself goes on slowly. */
#define STAGE_SPARE ((size_t)512)
#define STAGE_MIN ((size_t)4 << 10)
#define STAGE_MAX ((size_t)64 << 10)
/* A body of which so much is missing is read to where it belongs. */
#define DIRECT_MIN ((size_t)4 << 10)
#define MASKS 64 /* drawn at once */
/* Pieces in a row that bring the peer nothing, before others have their turn. */
#define READ_ROUNDS 16
/* Stages that one write fills, however much the kernel takes: its thread has other connections. */
#define WRITE_ROUNDS 16

struct stage {
    uint8_t *data;
    size_t cap, begin, end;
    uint8_t spare[STAGE_SPARE];
};

struct ws_stream {
    struct stream stream; /* first */
    bool connects;
    atomic_bool open;                  /* the opening handshake is over */
    atomic_ullong bytes_in, bytes_out; /* of the descriptor */
    atomic_uint close_code;            /* what the close frame is to say; 0: nothing */
    unsigned offers;
    char path[WS_PATH_MAX + 1]; /* of the accepting side */
    char key[WS_KEY_SIZE];      /* of the connecting side */
    size_t scanned;

    /* Of the thread that reads. */
    struct stage in;
    struct ws_decoder decoder;
    unsigned pings; /* that were passed on to `pong` */
    int failed;     /* what `read` answers from now on */

    /* Of the thread that writes. */
    struct stage out;
    struct ws_encoder encoder;
    bool ahead; /* the first byte that comes is in `out` already */
    bool close_sent;
    int write_failed; /* what `write` answers from now on */
    uint8_t masks[4 * MASKS];
    unsigned mask_at;

    struct mutex lock; /* of the rest */
    uint8_t pong[WS_CONTROL_MAX];
    uint8_t pong_len;
    bool pong_due;
};

static struct ws_stream *of(struct stream *st)
{
    return (struct ws_stream *)st;
}

/* ---- memory ---- */

static bool stage_empty(const struct stage *s)
{
    return s->begin == s->end;
}

static void stage_free(struct stage *s)
{
    if (s->data != s->spare)
        mem_free(s->data);
    s->data = NULL;
    s->cap = s->begin = s->end = 0;
}

/* An empty stage of about so many bytes. */
static void stage_make(struct stage *s, size_t size)
{
    stage_free(s);
    size = size < STAGE_MIN ? STAGE_MIN : size > STAGE_MAX ? STAGE_MAX : size;
    s->data = mem_alloc(size);
    s->cap = s->data ? size : STAGE_SPARE;
    if (!s->data)
        s->data = s->spare;
}

/* ---- the descriptor ---- */

static ssize_t receive(struct ws_stream *w, void *buf, size_t len)
{
    ssize_t n = net_recv(w->stream.fd, buf, len);
    if (n > 0)
        atomic_fetch_add_explicit(&w->bytes_in, (unsigned long long)n, memory_order_relaxed);
    return n;
}

static ssize_t transmit(struct ws_stream *w, const void *data, size_t len)
{
    ssize_t n = net_send(w->stream.fd, data, len);
    if (n > 0)
        atomic_fetch_add_explicit(&w->bytes_out, (unsigned long long)n, memory_order_relaxed);
    return n;
}

static void ws_carried(const struct stream *st, uint64_t *in, uint64_t *out)
{
    const struct ws_stream *w = (const struct ws_stream *)st;
    *in = atomic_load_explicit(&w->bytes_in, memory_order_relaxed);
    *out = atomic_load_explicit(&w->bytes_out, memory_order_relaxed);
}

/* ---- the opening handshake ---- */

/* A short text; nothing was written before, so that it fits or the connection is lost. */
static int write_text(struct ws_stream *w, const char *text, size_t len)
{
    ssize_t n = transmit(w, text, len);
    return n == (ssize_t)len ? 0 : n < 0 && n != -EAGAIN ? (int)n : -EPIPE;
}

static int fail(struct ws_stream *w, int rc)
{
    w->failed = rc;
    return rc;
}

static int refuse(struct ws_stream *w, int status)
{
    char text[WS_TEXT_MAX];
    (void)write_text(w, text, ws_refusal(text, status));
    net_shutdown(w->stream.fd, NET_SHUT_SEND);
    return fail(w, -EPROTO);
}

static void now_open(struct ws_stream *w, unsigned protocol)
{
    ws_decoder_open(&w->decoder, ws_protocol_name(protocol));
    atomic_store_explicit(&w->open, true, memory_order_release);
}

/* The whole head of the other side is there. */
static int judge(struct ws_stream *w, const uint8_t *head, size_t len)
{
    unsigned protocol = 0;
    if (w->connects) {
        if (ws_check_answer(head, len, w->key, w->offers, &protocol))
            return fail(w, -EPROTO);
        now_open(w, protocol);
        return 0;
    }
    char text[WS_TEXT_MAX];
    size_t size;
    int status = ws_answer(text, &size, head, len, w->path, w->offers, &protocol);
    int rc = write_text(w, text, size);
    if (status) {
        net_shutdown(w->stream.fd, NET_SHUT_SEND);
        return fail(w, -EPROTO);
    }
    if (rc)
        return fail(w, rc);
    now_open(w, protocol);
    return 0;
}

/* 0: open; -EAGAIN: more is to come; or why not. */
static int shake_hands(struct ws_stream *w)
{
    struct stage *in = &w->in;
    for (;;) {
        ssize_t n = receive(w, in->data + in->end, in->cap - in->end);
        if (n == 0)
            return fail(w, -ECONNRESET);
        if (n < 0)
            return (int)n;
        in->end += (size_t)n;
        int head = ws_head_length(in->data, in->end, !w->connects, &w->scanned);
        if (head < 0)
            return w->connects ? fail(w, -EPROTO) : refuse(w, in->end < WS_HEAD_MAX ? 400 : 431);
        if (head > 0) {
            in->begin = (size_t)head;
            return judge(w, in->data, (size_t)head);
        }
    }
}

/* ---- in ---- */

/* A PING that came is for the thread that writes to answer. */
static void pass_ping(struct ws_stream *w)
{
    if (w->pings == w->decoder.pings)
        return;
    w->pings = w->decoder.pings;
    mutex_lock(&w->lock);
    memcpy(w->pong, w->decoder.ping, w->decoder.ping_len);
    w->pong_len = w->decoder.ping_len;
    w->pong_due = true;
    mutex_unlock(&w->lock);
}

/* What is staged, for the peer: how many bytes, 0 where there are none. */
static ssize_t decode(struct ws_stream *w, void *buf, size_t len)
{
    static const uint8_t none[1];
    struct stage *in = &w->in;
    size_t used, made;
    int rc = ws_decode(&w->decoder, in->data ? in->data + in->begin : none, in->end - in->begin,
                       &used, buf, len, &made);
    in->begin += used;
    pass_ping(w);
    if (rc == -ENOMEM && made == 0)
        return rc;
    if (rc == -EPROTO)
        w->failed = rc;
    if (rc == -EPROTO || w->decoder.closed) {
        uint16_t code = w->decoder.close_code;
        if (code && !ws_close_code_is_valid(code))
            code = WS_CLOSE_PROTOCOL;
        atomic_store_explicit(&w->close_code, code, memory_order_relaxed);
    }
    if (stage_empty(in) || rc == -EPROTO || w->decoder.closed)
        stage_free(in);
    return (ssize_t)made;
}

static ssize_t ws_read(struct stream *st, void *buf, size_t len)
{
    struct ws_stream *w = of(st);
    if (w->failed)
        return w->failed;
    if (!atomic_load_explicit(&w->open, memory_order_relaxed)) {
        int rc = shake_hands(w);
        if (rc)
            return rc;
    }
    for (int i = 0; i < READ_ROUNDS; i++) {
        ssize_t n = 0;
        if (!stage_empty(&w->in) || ws_decode_pending(&w->decoder))
            n = decode(w, buf, len);
        if (n != 0)
            return n;
        if (w->failed)
            return w->failed;
        if (w->decoder.closed)
            return 0;
        size_t direct = ws_decode_direct(&w->decoder);
        if (direct >= DIRECT_MIN && len >= DIRECT_MIN) {
            n = receive(w, buf, direct < len ? direct : len);
            if (n > 0)
                ws_decode_body(&w->decoder, buf, (size_t)n);
            return n;
        }
        stage_make(&w->in, len);
        n = receive(w, w->in.data, w->in.cap);
        if (n <= 0) {
            stage_free(&w->in);
            return n;
        }
        w->in.end = (size_t)n;
    }
    return -EAGAIN; /* the poller tells of the rest */
}

static int ws_peek(struct stream *st)
{
    struct ws_stream *w = of(st);
    if (w->failed)
        return w->failed;
    if (!stage_empty(&w->in) || ws_decode_pending(&w->decoder))
        return 1;
    return w->decoder.closed ? 0 : net_pending(st->fd);
}

/* The end as well may be known before it was read. Before the stream is open, the stage holds a
 * head that is not complete. */
static bool ws_pending(const struct stream *st)
{
    const struct ws_stream *w = (const struct ws_stream *)st;
    if (!atomic_load_explicit(&w->open, memory_order_relaxed))
        return false;
    return w->failed || w->decoder.closed || !stage_empty(&w->in) || ws_decode_pending(&w->decoder);
}

static void ws_admitted(struct stream *st)
{
    ws_decoder_admit(&of(st)->decoder);
}

static uint32_t ws_interest(const struct stream *st, uint32_t wanted)
{
    (void)st;
    return wanted;
}

/* ---- out ---- */

static void draw_mask(void *arg, uint8_t key[4])
{
    struct ws_stream *w = arg;
    if (w->mask_at == 0) {
        random_bytes(w->masks, sizeof(w->masks));
        w->mask_at = MASKS;
    }
    w->mask_at--;
    memcpy(key, w->masks + 4 * w->mask_at, 4);
}

/* What is staged goes to the kernel. 0: all of it. */
static int flush(struct ws_stream *w)
{
    struct stage *out = &w->out;
    while (!stage_empty(out)) {
        ssize_t n = transmit(w, out->data + out->begin, out->end - out->begin);
        if (n < 0)
            return (int)n;
        out->begin += (size_t)n;
    }
    return 0;
}

static void encode(struct ws_stream *w, const struct iovec *iov, size_t from, size_t *used)
{
    struct stage *out = &w->out;
    bool answered;
    size_t made;
    mutex_lock(&w->lock);
    ws_encode(&w->encoder, (const uint8_t *)iov->iov_base + from, iov->iov_len - from, used,
              out->data + out->end, out->cap - out->end, &made, w->pong_due ? w->pong : NULL,
              w->pong_len, &answered);
    if (answered)
        w->pong_due = false;
    mutex_unlock(&w->lock);
    out->end += made;
}

/*
 * A byte that was encoded counts as written when the kernel has it. What it has not is staged, and
 * of that the last byte does not count: so the connection still has something to write, and comes
 * back. Then it is that byte that comes first, and is passed over.
 *
 * An error takes nothing back that the kernel has: what it took before counts, and the next call
 * gives the error. What counts for less is sent again by the next connection.
 */
static ssize_t ws_write(struct stream *st, const struct iovec *iov, int count)
{
    struct ws_stream *w = of(st);
    size_t total = 0, done = w->ahead, before = 0, taken = 0;
    if (!atomic_load_explicit(&w->open, memory_order_acquire))
        return -EAGAIN;
    if (w->write_failed)
        return w->write_failed;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (stage_empty(&w->out))
        stage_make(&w->out, total + total / 8 + WS_ENCODE_ROOM);
    int rc = 0, i = 0;
    for (int rounds = 0;; rounds++) {
        rc = flush(w);
        if (rc)
            break;
        w->out.begin = w->out.end = 0;
        taken = done;
        if (rounds == WRITE_ROUNDS)
            break;
        while (i < count) {
            size_t used = 0;
            encode(w, &iov[i], done - before, &used);
            done += used;
            if (done - before < iov[i].iov_len)
                break; /* no room */
            before += iov[i].iov_len;
            i++;
        }
        if (stage_empty(&w->out))
            break;
    }
    if (rc && rc != -EAGAIN) {
        /* Of a stage that went in part, which messages went is not known: none goes twice. */
        done = w->out.begin ? done - 1 : taken;
        w->write_failed = rc;
        w->ahead = false;
        stage_free(&w->out);
        return done ? (ssize_t)done : rc;
    }
    w->ahead = !stage_empty(&w->out);
    if (!w->ahead)
        stage_free(&w->out);
    done -= w->ahead;
    return done ? (ssize_t)done : -EAGAIN;
}

/* ---- the end ---- */

/* Says why, where the other side can make something of it: best effort. */
static void send_close(struct ws_stream *w)
{
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    if (!atomic_load_explicit(&w->open, memory_order_acquire) || w->close_sent || w->write_failed ||
        !stage_empty(&w->out) || !ws_encoder_at_boundary(&w->encoder))
        return;
    w->close_sent = true;
    uint16_t code = (uint16_t)atomic_load_explicit(&w->close_code, memory_order_relaxed);
    (void)transmit(w, frame, ws_encode_close(&w->encoder, frame, code));
}

static void ws_end_writing(struct stream *st)
{
    send_close(of(st));
    net_shutdown(st->fd, NET_SHUT_SEND);
}

static void ws_close(struct stream *st)
{
    struct ws_stream *w = of(st);
    send_close(w);
    ws_decoder_fini(&w->decoder);
    stage_free(&w->in);
    stage_free(&w->out);
    mutex_fini(&w->lock);
    mem_free(w);
}

static const struct stream_ops ws_stream_ops = {
    .websocket = true,
    .read = ws_read,
    .write = ws_write,
    .peek = ws_peek,
    .pending = ws_pending,
    .interest = ws_interest,
    .carried = ws_carried,
    .admitted = ws_admitted,
    .end_writing = ws_end_writing,
    .close = ws_close,
};

/* ---- the beginning ---- */

static int send_request(struct ws_stream *w, const struct ws_terms *terms)
{
    char text[WS_TEXT_MAX];
    uint8_t nonce[WS_NONCE_LEN];
    random_bytes(nonce, sizeof(nonce));
    return write_text(w, text,
                      ws_request(text, terms->host, terms->path, terms->offers, nonce, w->key));
}

int ws_stream_new(struct stream **out, int fd, bool connects, const struct ws_terms *terms)
{
    struct ws_stream *w = mem_zalloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->in.data = mem_alloc(WS_HEAD_MAX);
    if (!w->in.data) {
        mem_free(w);
        return -ENOMEM;
    }
    w->in.cap = WS_HEAD_MAX;
    w->stream.ops = &ws_stream_ops;
    w->stream.fd = fd;
    w->connects = connects;
    atomic_init(&w->close_code, WS_CLOSE_NORMAL);
    w->offers = terms->offers;
    memcpy(w->path, terms->path, strlen(terms->path) + 1);
    ws_decoder_init(&w->decoder, !connects, terms->max_gathered);
    ws_decoder_hold(&w->decoder, terms->max_before);
    if (connects) {
        w->encoder.mask = draw_mask;
        w->encoder.arg = w;
    }
    mutex_init(&w->lock);
    int rc = connects ? send_request(w, terms) : 0;
    if (rc) {
        ws_close(&w->stream);
        return rc;
    }
    *out = &w->stream;
    return 0;
}
