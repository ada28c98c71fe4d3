// SPDX-License-Identifier: BSD-3-Clause
/*
 * A bump allocator: many allocations, one reset. Memory is kept over resets, so that a thread that works
 * through row groups asks the system only for its largest. Zero-initialise; one thread. Alignment is 16
 * bytes; 16 readable bytes follow each allocation, so that decoders may load whole words.
 */
#ifndef SC_BASE_ARENA_H
#define SC_BASE_ARENA_H

#include <stddef.h>

struct sc_arena_block;

struct sc_arena {
    struct sc_arena_block *first;
    struct sc_arena_block *current;
    size_t used; /* bytes used of the current block */
};

/* Uninitialised memory that lives until the next reset; NULL when there is none. */
void *sc_arena_alloc(struct sc_arena *arena, size_t size);
void *sc_arena_zalloc(struct sc_arena *arena, size_t size);
void sc_arena_reset(struct sc_arena *arena);
void sc_arena_free(struct sc_arena *arena);

#endif
