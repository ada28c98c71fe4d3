// SPDX-License-Identifier: BSD-3-Clause
#include "store/read_ahead.h"

#include "store/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

bool sc_read_cached(int fd, uint64_t offset, void *out, size_t count)
{
    struct iovec there = {.iov_base = out, .iov_len = count};
    ssize_t n = preadv2(fd, &there, 1, (off_t)offset, RWF_NOWAIT);
    size_t got = 0;
    if (n < 0 && errno != EAGAIN)
        return sc_io_read_all_at(sc_io_system(), fd, offset, out, count, &got) == 0 && got == count;
    return n >= 0 && (size_t)n == count;
}

static bool has(const struct sc_chunks_noted *noted, const struct sc_entry *e)
{
    for (uint32_t i = 0; i < noted->count; i++) {
        if (noted->chunks[i].role == e->role && sc_column_key_equal(noted->chunks[i].key, e->key))
            return true;
    }
    return false;
}

void sc_read_note(const struct sc_row_group *group, const struct sc_entry *entry)
{
    struct sc_chunks_noted *now = &group->context->now;
    if (now->count == SC_CHUNKS_NOTED)
        return;
    now->chunks[now->count].key = entry->key;
    now->chunks[now->count++].role = entry->role;
}

static void ask(int fd, uint64_t offset, uint64_t length)
{
    (void)posix_fadvise(fd, (off_t)offset, (off_t)length,
                        POSIX_FADV_WILLNEED); /* who is refused reads later */
}

void sc_read_chunks_ahead(const struct sc_row_group *group, int fd)
{
    struct sc_read_context *context = group->context;
    for (uint32_t i = 0; i < group->entry_count && !context->asked; i++) {
        const struct sc_entry *e = &group->entries[i];
        if (has(&context->before, e) && !has(&context->now, e))
            ask(fd, group->ref->offset + e->offset, e->length);
    }
    context->asked = true;
}

#define HEADS_AHEAD 4u
#define HEAD_BYTES  8192u /* most directories, with the statistics and some spans */

void sc_read_heads_ahead(const struct sc_row_group *group, int fd)
{
    const struct sc_segment *segment = group->segment;
    uint32_t index = (uint32_t)(group->ref - segment->groups);
    for (uint32_t i = index; i < segment->group_count && i <= index + HEADS_AHEAD; i++)
        ask(fd, segment->groups[i].offset, HEAD_BYTES);
}

void sc_read_next(struct sc_read_context *context)
{
    context->before = context->now;
    context->now.count = 0;
    context->asked = false;
}
