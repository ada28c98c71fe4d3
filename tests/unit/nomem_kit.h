// SPDX-License-Identifier: BSD-3-Clause
/*
 * An allocator that refuses when it is told to: the n-th allocation, for every n until the work succeeds. One file of a room may
 * include this, and the room's program is linked with --wrap of what is below (CMakeLists.txt). Libraries that we call have their
 * own memory.
 */
#ifndef SC_TEST_NOMEM_KIT_H
#define SC_TEST_NOMEM_KIT_H

#include "unit.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static atomic_bool nomem_armed, nomem_hit, nomem_for_good;
static atomic_long nomem_left; /* allocations that still succeed */

/* `n` allocations succeed, the next is refused, or all that follow. */
static inline void nomem_arm(long n, bool all_that_follow)
{
    atomic_store(&nomem_hit, false);
    atomic_store(&nomem_left, n);
    atomic_store(&nomem_for_good, all_that_follow);
    atomic_store(&nomem_armed, true);
}

/* All succeed again. @return true when one was refused */
static inline bool nomem_disarm(void)
{
    atomic_store(&nomem_armed, false);
    return atomic_load(&nomem_hit);
}

static bool nomem_refuses(void)
{
    if (!atomic_load(&nomem_armed))
        return false;
    long n = atomic_fetch_sub(&nomem_left, 1);
    bool now = n == 0 || (n < 0 && atomic_load(&nomem_for_good));
    if (now)
        atomic_store(&nomem_hit, true);
    return now;
}

void *__wrap_malloc(size_t size)
{
    return nomem_refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return nomem_refuses() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return nomem_refuses() ? NULL : __real_realloc(old, size);
}

#ifdef NOMEM_ALIGNED /* the room is linked with --wrap of it, too */
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return nomem_refuses() ? NULL : __real_aligned_alloc(alignment, size);
}
#endif

char *__wrap_strdup(const char *text)
{
    return nomem_refuses() ? NULL : __real_strdup(text);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    if (nomem_refuses())
        return -1;
    va_start(args, format);
    int length = vasprintf(out, format, args);
    va_end(args);
    return length;
}

#endif
