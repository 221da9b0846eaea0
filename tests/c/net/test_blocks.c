/* SPDX-License-Identifier: MIT */
// needs: base os msg wire reactor pipe net
/* What a receiver borrows: checked, its own, and given back once nothing refers to it. */
#include "check.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "net/borrow.h"
#include "os/net.h"
#include "os/shm.h"
#include "os/sys.h"

#define SIZE ((size_t)1 << 20)

/* Both sides in one process: what the sender sees, and the receiver. */
struct both {
    int page_fd, arena_fd, socks[2];
    struct blocks_shared *page;
    uint8_t *arena;
    struct borrower *borrower;
};

/* False: this system has no such memory. */
static bool both_new(struct both *b)
{
    void *at;
    b->page_fd = shm_create(shm_page());
    if (b->page_fd == -ENOTSUP)
        return false;
    CHECK_EQ(shm_map(b->page_fd, 0, shm_page(), &at), 0);
    b->page = at;
    b->arena_fd = shm_create_arena(SIZE, &at);
    CHECK(b->arena_fd >= 0);
    b->arena = at;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, b->socks), 0);
    for (int i = 0; i < 2; i++) {
        b->socks[i] = net_fd_adopt(b->socks[i]);
        CHECK(b->socks[i] >= 0);
    }
    /* One of them is the borrower's to close. */
    CHECK_EQ(borrower_new(&b->borrower, b->page_fd, b->arena_fd, SIZE, b->socks[1]), 0);
    return true;
}

static void both_free(struct both *b)
{
    shm_unmap(b->page, shm_page());
    shm_unmap(b->arena, SIZE);
    net_close(b->page_fd);
    net_close(b->arena_fd);
    net_close(b->socks[0]);
}

static bool gone(struct both *b)
{
    char byte;
    return recv(b->socks[0], &byte, 1, MSG_DONTWAIT) == 0;
}

static struct blocks_place at(uint32_t slot, uint32_t generation, uint64_t offset, uint64_t size)
{
    return (struct blocks_place){
        .slot = slot, .generation = generation, .offset = offset, .size = size};
}

static int take(struct both *b, uint32_t slot, uint64_t offset, uint64_t size, struct msg *m)
{
    struct blocks_place place = at(slot, 1, offset, size);
    return borrower_take(b->borrower, &place, m);
}

TEST(a_message_lies_on_the_senders_memory_until_it_is_dropped)
{
    struct both b;
    struct msg m, other;
    if (!both_new(&b))
        return;
    CHECK_EQ(b.page->taken, 0);
    borrower_begin(b.borrower);
    CHECK_EQ(b.page->taken, 1);
    memcpy(b.arena + 5000, "hello", 5);
    CHECK_EQ(take(&b, 9, 5000, 100, &m), 0);
    CHECK_EQ(msg_size(&m), 100);
    CHECK_MEM(msg_data(&m), "hello", 5);
    CHECK_EQ(msg_dup(&other, &m), 0);
    msg_drop(&m);
    CHECK_EQ(b.page->given[9], 0);
    msg_drop(&other);
    CHECK_EQ(b.page->given[9], 1);
    CHECK(!gone(&b));
    borrower_unref(b.borrower);
    CHECK(gone(&b));
    both_free(&b);
}

TEST(it_outlives_the_connection)
{
    struct both b;
    struct msg m;
    if (!both_new(&b))
        return;
    CHECK_EQ(take(&b, 0, 0, SIZE, &m), 0);
    borrower_unref(b.borrower);
    CHECK(!gone(&b));
    b.arena[7] = 7;
    CHECK_EQ(msg_data(&m)[7], 7);
    msg_drop(&m);
    CHECK_EQ(b.page->given[0], 1);
    CHECK(gone(&b));
    both_free(&b);
}

TEST(what_the_program_writes_is_forgotten_with_the_message)
{
    struct both b;
    struct msg m, other;
    if (!both_new(&b))
        return;
    CHECK_EQ(take(&b, 0, 100, 10, &m), 0);
    CHECK(msg_expose(&m));
    ((uint8_t *)(uintptr_t)msg_data(&m))[0] = 1;
    CHECK_EQ(b.arena[100], 0);
    msg_drop(&m);
    CHECK_EQ(take(&b, 0, 100, 10, &m), 0);
    CHECK_EQ(msg_data(&m)[0], 0);
    CHECK_EQ(msg_dup(&other, &m), 0);
    CHECK(!msg_expose(&m)); /* the other would see it */
    msg_drop(&m);
    msg_drop(&other);
    borrower_unref(b.borrower);
    both_free(&b);
}

TEST(what_shares_a_page_with_what_is_held_is_copied)
{
    struct both b;
    struct msg held, m;
    if (!both_new(&b))
        return;
    uint64_t page = shm_page();
    CHECK_EQ(take(&b, 0, 2 * page + 10, page, &held), 0); /* pages 2 and 3 */
    static const struct {
        int first, last; /* bytes, from the beginning of page 2 */
        bool shares;
    } cases[] = {{-10, -1, false}, {-10, 0, true}, {20, 30, true}, {-1, 20000, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t from = (uint64_t)((int64_t)(2 * page) + cases[i].first);
        CHECK_EQ(take(&b, 1, from, (uint64_t)(cases[i].last - cases[i].first + 1), &m), 0);
        CHECK_EQ(b.page->given[1] == 1, cases[i].shares);
        msg_drop(&m);
        CHECK_EQ(b.page->given[1], 1);
        b.page->given[1] = 0;
    }
    CHECK_EQ(take(&b, 1, 4 * page, 5, &m), 0);
    CHECK_EQ(b.page->given[1], 0);
    msg_drop(&m);
    msg_drop(&held);
    borrower_unref(b.borrower);
    both_free(&b);
}

TEST(there_is_no_place_outside_the_arena)
{
    struct both b;
    struct msg m;
    if (!both_new(&b))
        return;
    CHECK_EQ(take(&b, BLOCKS_SLOTS, 0, 1, &m), -EPROTO);
    CHECK_EQ(take(&b, UINT32_MAX, 0, 1, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, 0, 0, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, 0, SIZE + 1, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, SIZE, 1, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, SIZE - 1, 2, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, UINT64_MAX, 2, &m), -EPROTO);
    CHECK_EQ(take(&b, 0, 2, UINT64_MAX - 1, &m), -EPROTO);
    CHECK_EQ(take(&b, BLOCKS_SLOTS - 1, SIZE - 1, 1, &m), 0);
    msg_drop(&m);
    borrower_unref(b.borrower);
    both_free(&b);
}

TEST(a_sender_that_waits_is_rung_for)
{
    struct both b;
    struct msg m;
    char byte;
    if (!both_new(&b))
        return;
    CHECK_EQ(take(&b, 0, 0, 10, &m), 0);
    msg_drop(&m);
    CHECK(recv(b.socks[0], &byte, 1, MSG_DONTWAIT) < 0);
    b.page->wanted = 1;
    CHECK_EQ(take(&b, 0, 0, 10, &m), 0);
    msg_drop(&m);
    CHECK_EQ(recv(b.socks[0], &byte, 1, MSG_DONTWAIT), 1);
    borrower_unref(b.borrower);
    both_free(&b);
}

TEST(other_memory_is_refused)
{
    struct both b;
    struct borrower *none;
    if (!both_new(&b))
        return;
    CHECK_EQ(borrower_new(&none, b.page_fd, b.arena_fd, 2 * SIZE, -1), -EPROTO);
    CHECK_EQ(borrower_new(&none, b.arena_fd, b.arena_fd, SIZE, -1), -EPROTO);
    CHECK_EQ(borrower_new(&none, b.page_fd, b.page_fd, SIZE, -1), -EPROTO);
    CHECK_EQ(borrower_new(&none, -1, b.arena_fd, SIZE, -1), -EPROTO);
    borrower_unref(b.borrower);
    both_free(&b);
}

#ifdef FMQ_DEBUG
TEST(without_memory_a_place_is_taken_later)
{
    struct both b;
    struct msg m;
    if (!both_new(&b))
        return;
    for (long nth = 1; nth <= 2; nth++) {
        mem_fail_at(nth);
        CHECK_EQ(take(&b, 0, 0, 10, &m), -ENOMEM);
        mem_fail_at(0);
        CHECK_EQ(b.page->given[0], 0);
    }
    CHECK_EQ(take(&b, 0, 0, 10, &m), 0);
    msg_drop(&m);
    for (long nth = 1; nth <= 2; nth++) {
        struct borrower *none;
        sys_fail_call(SYS_SHM_MAP, nth, 0, 0);
        CHECK_EQ(borrower_new(&none, b.page_fd, b.arena_fd, SIZE, -1), -ENOMEM);
        sys_fail_call(SYS_SHM_MAP, 0, 0, 0);
    }
    borrower_unref(b.borrower);
    both_free(&b);
}
#endif

TEST(a_twin_is_made_once_and_goes_with_its_message)
{
    struct msg m, second, copy, late, seen;
    uint8_t *data;
    CHECK_EQ(msg_init_blob(&m, 100, &data), 0);
    CHECK_EQ(msg_init_blob(&copy, 100, &data), 0);
    msg_set_twin(&m, &copy); /* nobody else has it */
    CHECK(!msg_twin(&m, &seen));
    CHECK_EQ(msg_dup(&second, &m), 0);
    msg_set_twin(&m, &copy);
    CHECK(msg_twin(&second, &seen));
    CHECK(msg_data(&seen) == msg_data(&copy));
    CHECK_EQ(msg_size(&seen), 100);
    CHECK_EQ(msg_init_blob(&late, 100, &data), 0);
    msg_set_twin(&second, &late);
    msg_drop(&seen);
    CHECK(msg_twin(&m, &seen));
    CHECK(msg_data(&seen) == msg_data(&copy));
    msg_drop(&seen);
    msg_drop(&late);
    msg_drop(&copy);
    msg_drop(&m);
    msg_drop(&second);
}
