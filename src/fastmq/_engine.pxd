# SPDX-License-Identifier: MIT
"""The engine as `_core` sees it: csrc/include/fastmq.h and the parts of msg/ that it shows."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "os/pages.h" nogil:
    size_t PAGES_LARGE
    void pages_fill_soon(void *at, size_t size)

cdef extern from "base/secret.h" nogil:
    void secret_wipe(void *mem, size_t len)

cdef extern from "fastmq.h" nogil:
    # ---- messages ----
    enum:
        MSG_INLINE
        MSG_SLICE
        MSG_BLOB
        MSG_OBJECT
        MSG_BORROWED
        MSG_GROUPED
        MSG_INLINE_MAX
        GROUP_MAX

    const unsigned PART_MORE
    const unsigned PART_NOREF

    struct msg:
        uint32_t routing_id
        uint8_t kind
        uint8_t flags

    struct parts:
        msg *v
        uint32_t len

    struct meta:
        pass

    void msg_set_object_hooks(void (*ref)(void *) noexcept nogil,
                              void (*release)(void *) noexcept nogil)
    void msg_init(msg *m)
    const uint8_t *msg_data(const msg *m)
    size_t msg_size(const msg *m)
    void msg_init_borrowed(msg *m, const void *data, size_t size, void *object)
    void msg_init_object(msg *m, const void *data, size_t size, void *object)
    int msg_init_copy(msg *m, const void *data, size_t size)
    int msg_init_foreign(msg *m, void *data, size_t size,
                         void (*release)(void *, void *) noexcept nogil, void *hint)
    void msg_drop(msg *m)
    int msg_own(msg *m)
    bint msg_expose(msg *m)
    void msg_watch(msg *m)
    size_t MSG_LARGE
    int msg_dup(msg *dst, msg *src)
    int msg_dup_apart(msg *dst, msg *src)
    int msg_detach(msg *m)
    int msg_join_group(msg *m, const void *name, size_t len)
    const uint8_t *msg_group(const msg *m, size_t *len)
    void msg_leave_group(msg *m)
    void parts_init(parts *p)
    void parts_fini(parts *p)
    void parts_clear(parts *p)
    int parts_push(parts *p, const msg *m)
    void meta_ref(meta *m)
    void meta_unref(meta *m)
    int meta_get(const meta *m, const char *name, const uint8_t **value, size_t *value_len)

    # ---- library ----
    const int FMQ_EFSM
    const int FMQ_ENOCOMPATPROTO
    const int FMQ_ETERM
    const int FMQ_EMTHREAD
    const int FMQ_EFORKED
    const int FMQ_EBROKEN
    const int FMQ_ROUTER
    const int FMQ_STREAM
    const int FMQ_SERVER
    const int FMQ_CLIENT
    const int FMQ_RADIO
    const int FMQ_DISH
    const int FMQ_GATHER
    const int FMQ_SCATTER
    const int FMQ_DGRAM
    const int FMQ_PEER
    const int FMQ_CHANNEL
    const int FMQ_DONTWAIT
    const int FMQ_SNDMORE
    const int FMQ_VERSION_MAJOR
    const int FMQ_VERSION_MINOR
    const int FMQ_VERSION_PATCH
    const char *FMQ_VERSION_SUFFIX
    const int FMQ_POLLIN
    const int FMQ_POLLOUT
    const int FMQ_POLLERR
    const int FMQ_POLLCHANGE

    struct fmq_ctx:
        pass
    struct fmq_socket:
        pass
    struct fmq_pollset:
        pass

    int fmq_setup()
    const char *fmq_strerror(int err)
    int fmq_has(const char *capability)
    const char *fmq_poller_name()
    struct fmq_crypto:
        pass
    void fmq_set_crypto(const fmq_crypto *functions)
    int fmq_z85_encode(char *out, const void *data, size_t size)
    int fmq_z85_decode(void *out, const char *text, size_t len)
    int fmq_curve_keypair(uint8_t *public_key, uint8_t *secret_key)
    int fmq_curve_public(uint8_t *public_key, const uint8_t *secret_key)
    long fmq_open_fds()
    long fmq_live_blocks()

    # ---- contexts ----
    struct fmq_pending:
        int type
        int linger
        bint open
        uint64_t messages
        char *endpoint

    int fmq_ctx_new(fmq_ctx **out)
    int fmq_ctx_set(fmq_ctx *ctx, int option, int64_t value)
    int fmq_ctx_get(fmq_ctx *ctx, int option, int64_t *value)
    int fmq_ctx_set_name_prefix(fmq_ctx *ctx, const char *prefix)
    void fmq_ctx_ending(fmq_ctx *ctx)
    int fmq_ctx_shutdown(fmq_ctx *ctx)
    int fmq_ctx_term(fmq_ctx *ctx, int timeout_ms)
    void fmq_ctx_linger(fmq_ctx *ctx, int linger_ms) nogil
    void fmq_ctx_free(fmq_ctx *ctx)
    bint fmq_ctx_forked(const fmq_ctx *ctx)
    int fmq_ctx_pending(fmq_ctx *ctx, fmq_pending *rows, int max)

    # ---- sockets ----
    int fmq_socket_new(fmq_ctx *ctx, int type, fmq_socket **out)
    int fmq_close(fmq_socket *s)
    bint fmq_closed(const fmq_socket *s)
    void fmq_socket_free(fmq_socket *s)
    int fmq_socket_type(const fmq_socket *s)
    int fmq_bind(fmq_socket *s, const char *endpoint)
    int fmq_connect(fmq_socket *s, const char *endpoint)
    int fmq_unbind(fmq_socket *s, const char *endpoint)
    int fmq_disconnect(fmq_socket *s, const char *endpoint)
    int fmq_connect_peer(fmq_socket *s, const char *endpoint, uint32_t *id)
    int fmq_disconnect_peer(fmq_socket *s, uint32_t id)
    int fmq_join(fmq_socket *s, const void *group, size_t len)
    int fmq_leave(fmq_socket *s, const void *group, size_t len)

    enum fmq_addressing_kind "fmq_addressing":
        FMQ_BY_NOTHING
        FMQ_BY_ROUTING_ID
        FMQ_BY_GROUP
    int fmq_addressing(const fmq_socket *s)
    const char *fmq_last_detail()

    enum fmq_opt_kind:
        FMQ_OPT_INT
        FMQ_OPT_INT64
        FMQ_OPT_UINT64
        FMQ_OPT_BOOL
        FMQ_OPT_BYTES
        FMQ_OPT_STRING
        FMQ_OPT_FD
    const unsigned FMQ_OPT_GET
    const unsigned FMQ_OPT_SET
    struct fmq_option_info:
        int id
        const char *name
        fmq_opt_kind kind
        unsigned access
        int64_t min
        int64_t max

    const fmq_option_info *fmq_option_at(int index)
    const fmq_option_info *fmq_option_find(int id)
    int fmq_set_int(fmq_socket *s, int option, int64_t value)
    int fmq_set_bytes(fmq_socket *s, int option, const void *value, size_t len)
    int fmq_get_int(fmq_socket *s, int option, int64_t *value)
    int fmq_get_bytes(fmq_socket *s, int option, void *value, size_t *len)

    int fmq_try_send(fmq_socket *s, msg *parts, uint32_t n, bint more)
    int fmq_send(fmq_socket *s, msg *parts, uint32_t n, bint more, int timeout_ms)
    int fmq_send_again(fmq_socket *s, msg *parts, uint32_t n, bint more, int timeout_ms)
    int fmq_try_send_bytes(fmq_socket *s, const void *data, size_t size, void *object, bint more)
    int fmq_sndtimeo(const fmq_socket *s)
    int fmq_rcvtimeo(const fmq_socket *s)
    int fmq_try_recv_part(fmq_socket *s, msg *out, meta **m)
    int fmq_recv_part(fmq_socket *s, msg *out, meta **m, int timeout_ms)
    int fmq_try_recv(fmq_socket *s, parts *out, meta **m)
    int fmq_recv(fmq_socket *s, parts *out, meta **m, int timeout_ms)
    int fmq_try_recv_many(fmq_socket *s, parts *out, uint32_t max_messages)
    int fmq_recv_many(fmq_socket *s, parts *out, uint32_t max_messages, int timeout_ms)
    int fmq_drop_begun(fmq_socket *s, bint all, uint32_t *parts)
    struct fmq_receipt:
        meta *meta
    int fmq_try_take(fmq_socket *s, uint32_t limit, parts *out, fmq_receipt *receipt)
    int fmq_take(fmq_socket *s, uint32_t limit, parts *out, fmq_receipt *receipt, int timeout_ms)
    int fmq_give_back(fmq_socket *s, fmq_receipt *receipt, parts *p)
    uint32_t fmq_begun(fmq_socket *s)
    int fmq_flush(fmq_socket *s)
    int fmq_events(fmq_socket *s)
    int fmq_spin(fmq_socket *s, uint32_t limit_ns, int *gave_way)
    int fmq_spin_limit(fmq_socket *s)
    int fmq_readable(int fd)
    int fmq_poll_one(fmq_socket *s, int events, int timeout_ms)
    int fmq_watch(fmq_socket *s, int events, int *fd)
    int fmq_watch_came(fmq_socket *s)
    ctypedef struct fmq_loop:
        pass
    int fmq_loop_new(fmq_loop **out)
    void fmq_loop_free(fmq_loop *h)
    int fmq_loop_fd(const fmq_loop *h)
    int fmq_loop_watch(fmq_loop *h, fmq_socket *s, int events, void *data)
    int fmq_loop_wait(fmq_loop *h, void **ready, int max)
    int fmq_monitor(fmq_socket *s, const char *endpoint, uint64_t events, int version, int type)
    int fmq_monitor_stats(fmq_socket *s)
    const char *fmq_carrier_reason(uint32_t number)
    int fmq_peer_state(fmq_socket *s, const void *id, size_t len)

    # ---- looking inside ----
    enum fmq_link:
        pass

    struct fmq_counters:
        uint64_t msgs_sent
        uint64_t msgs_recvd
        uint64_t bytes_sent
        uint64_t bytes_recvd
        uint64_t drops
        uint64_t queued_to_send
        uint64_t queued_to_recv
        uint64_t bytes_to_send
        uint64_t bytes_to_recv
        uint64_t reconnects
        uint64_t packets_lost

    struct fmq_peer:
        fmq_link link
        bint accepted
        int type
        char *endpoint
        char *address
        uint8_t *identity
        uint8_t identity_len
        uint32_t routing_id
        int64_t since_ns
        uint64_t rtt_ns
        int64_t subscriptions
        int connect_error
        int carrier
        const char *carrier_why
        int carrier_error
        fmq_counters count

    struct fmq_socket_stats:
        fmq_counters count
        uint64_t send_waits
        uint32_t peers
        uint32_t descriptors
        int64_t subscriptions
        uint64_t resent
        uint64_t kept, kept_bytes, kept_given, kept_dropped

    struct fmq_context_stats:
        fmq_counters count
        uint64_t send_waits
        uint32_t sockets
        uint32_t peers
        uint32_t descriptors
        uint64_t pool_bytes
        uint64_t pool_spare
        int64_t queued_bytes
        uint32_t shm_connections
        uint64_t shm_bytes
        uint64_t arena_bytes
        uint32_t arena_blocks
        uint32_t arena_lent
        uint64_t arena_fallbacks

    int fmq_peers(fmq_socket *s, fmq_peer *rows, int max)
    int fmq_stats(fmq_socket *s, fmq_socket_stats *out)
    int fmq_inspect_serve()
    void fmq_inspect_path(char *path)
    void fmq_inspect_stop()
    void fmq_inspect_if_wanted()
    int fmq_snapshot(const char *query, char **text, size_t *len)
    void fmq_snapshot_free(char *text)
    int fmq_ctx_stats(fmq_ctx *ctx, fmq_context_stats *out)
    struct fmq_block:
        void *data
        size_t size
        void *owner
    int fmq_ctx_alloc(fmq_ctx *ctx, size_t size, fmq_block *out)
    void fmq_block_free(fmq_block *b)
    int fmq_wait_subscribers(fmq_socket *s, const void *topic, size_t len, uint32_t n,
                             int timeout_ms)

    # ---- poll sets ----
    int fmq_pollset_new(fmq_pollset **out)
    void fmq_pollset_free(fmq_pollset *p)
    int fmq_pollset_add(fmq_pollset *p, fmq_socket *s, int events, void *data)
    int fmq_pollset_modify(fmq_pollset *p, fmq_socket *s, int events)
    int fmq_pollset_remove(fmq_pollset *p, fmq_socket *s)
    int fmq_pollset_add_fd(fmq_pollset *p, int fd, int events, void *data)
    int fmq_pollset_modify_fd(fmq_pollset *p, int fd, int events)
    int fmq_pollset_remove_fd(fmq_pollset *p, int fd)
    struct fmq_pollevent:
        void *data
        int events
    int fmq_pollset_wait(fmq_pollset *p, fmq_pollevent *out, int max, int timeout_ms)

    # ---- proxies ----
    struct fmq_proxy_prefix:
        const void *data
        size_t size
    struct fmq_proxy_state:
        bint paused
        bint swap_ids
        uint64_t stats[8]
        fmq_proxy_prefix prefix_in
        fmq_proxy_prefix prefix_out
    int fmq_proxy(fmq_socket *front, fmq_socket *back, fmq_socket *capture, fmq_socket *control,
                  fmq_proxy_state *state)
    void fmq_proxy_end(fmq_proxy_state *state)


cdef extern from "reactor/loop_spin.h" nogil:
    struct loop_spin:
        uint32_t share
        uint64_t resume
        uint64_t began
        uint64_t found
        uint64_t failed
    uint64_t loop_spin_budget(loop_spin *l, uint64_t spin_ns, uint64_t now)
    void loop_spin_found(loop_spin *l, bint gave_way)
    void loop_spin_failed(loop_spin *l)
    bint loop_spin_lost(loop_spin *l, uint64_t ns, uint64_t now)
    void loop_spin_waits(loop_spin *l, uint64_t now)
    void loop_spin_served(loop_spin *l, uint64_t spin_ns, uint64_t now)


cdef extern from "reactor/decref_queue.h" nogil:
    bint decref_queue_push(void *object)
    unsigned decref_queue_count()
    size_t decref_queue_take(void **out, size_t max)
    bint decref_queue_wait(int timeout_ms)
