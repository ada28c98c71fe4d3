// SPDX-License-Identifier: BSD-3-Clause
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_FIRST ((size_t)128 << 10) /* who needs little gets little */
#define BLOCK_MIN   ((size_t)4 << 20)
#define SLACK       16u
#define HUGE_PAGE   ((size_t)2 << 20)

struct sc_arena_block {
    struct sc_arena_block *next;
    size_t size;
    max_align_t bytes[];
};

/*
 * All but the first in large pages: each thread of a query has some, and pages of 4 KiB cost more than what is decoded to them. The first
 * is seldom filled: 2 MiB cleared for some of them cost more than small pages, and milliseconds where a virtual machine's host has to find
 * them too.
 */
static struct sc_arena_block *make_large_block(const struct sc_arena *arena, size_t *size)
{
    bool first = arena->first == NULL || arena->first->next == NULL; /* but for a small one */
    size_t bytes = (sizeof(struct sc_arena_block) + *size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    struct sc_arena_block *block = aligned_alloc(HUGE_PAGE, bytes);
    if (block != NULL && !first)
        madvise(block, bytes, MADV_HUGEPAGE);
    *size = bytes - sizeof(*block);
    return block;
}

static struct sc_arena_block *add_block(struct sc_arena *arena, size_t need)
{
    size_t least = arena->first == NULL ? BLOCK_FIRST : BLOCK_MIN;
    size_t size = need < least ? least : need;
    struct sc_arena_block *block =
        size < BLOCK_MIN ? malloc(sizeof(*block) + size) : make_large_block(arena, &size);
    if (block == NULL)
        return NULL;
    block->size = size;
    if (arena->current == NULL) {
        block->next = arena->first;
        arena->first = block;
    } else {
        block->next = arena->current->next;
        arena->current->next = block;
    }
    return block;
}

void *sc_arena_alloc(struct sc_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t need = (size + SLACK + 15) & ~(size_t)15;
    if (arena->current == NULL || need > arena->current->size - arena->used) {
        struct sc_arena_block *next = arena->current == NULL ? arena->first : arena->current->next;
        if (next == NULL || next->size < need)
            next = add_block(arena, need);
        if (next == NULL)
            return NULL;
        arena->current = next;
        arena->used = 0;
    }
    void *p = (uint8_t *)arena->current->bytes + arena->used;
    arena->used += need;
    return p;
}

void *sc_arena_zalloc(struct sc_arena *arena, size_t size)
{
    void *p = sc_arena_alloc(arena, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void sc_arena_reset(struct sc_arena *arena)
{
    arena->current = NULL;
    arena->used = 0;
}

void sc_arena_free(struct sc_arena *arena)
{
    while (arena->first != NULL) {
        struct sc_arena_block *next = arena->first->next;
        free(arena->first);
        arena->first = next;
    }
    sc_arena_reset(arena);
}
