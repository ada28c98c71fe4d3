// SPDX-License-Identifier: BSD-3-Clause
/*
 * Arrays that grow by doubling. How much room one has follows from how many entries are in it (sc_array_room), so that a pointer and a
 * count are all that is kept:
 *
 *   if (!sc_array_more(list->entries, list->count, 1))
 *       return SC_NOMEM;
 *   list->entries[list->count++] = entry;
 *
 * Such an array begins as NULL and is allocated here only. It may lose entries. One that is emptied and filled again and again keeps
 * its memory with a capacity of its own (sc_array_reserve). Either is freed by its owner.
 *
 * Both are false without memory, also when there is no number for so many bytes, and leave the array as it was.
 */
#ifndef SC_BASE_ARRAY_H
#define SC_BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_ARRAY_LEAST 4u /* entries that there is room for at first */

/* How many entries an array of `count` has room for: 0, or a power of two. SIZE_MAX: there is no such array. */
static inline size_t sc_array_room(size_t count)
{
    if (count <= SC_ARRAY_LEAST)
        return count == 0 ? 0 : SC_ARRAY_LEAST;
    return count > SIZE_MAX / 2 + 1 ? SIZE_MAX : (size_t)1 << (64 - __builtin_clzll(count - 1));
}

/* Bytes of an array of `count` with its room, for who is charged for them. */
#define sc_array_bytes(array, count) (sc_array_room(count) * sc_array_entry_bytes(array))

/* Of arrays of pointers too. */
#define sc_array_entry_bytes(array) sizeof(*(array)) /* NOLINT(bugprone-sizeof-expression) */

/* Room for `more` entries behind those that there are. `array` is the pointer, of any type. */
#define sc_array_more(array, count, more)                                                                    \
    (((array) != NULL && (more) <= sc_array_room(count) - (count)) ||                                        \
     sc_array_grow(&(array), sc_array_entry_bytes(array), count, more))

/* Room for `count` entries in all; `capacity` is the owner's uint32_t. */
#define sc_array_reserve(array, capacity, count)                                                             \
    ((count) <= (capacity) || sc_array_grow_to(&(array), sc_array_entry_bytes(array), &(capacity), count))

/* How many of `count` entries, which begin with a uint64_t and ascend by it, are below `key`. */
static inline uint32_t sc_array_below(const void *array, size_t entry_bytes, uint32_t count, uint64_t key)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (*(const uint64_t *)((const char *)array + mid * entry_bytes) < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* What the macros call; `array` points to the pointer. */
bool sc_array_grow(void *array, size_t entry_bytes, size_t count, size_t more);
bool sc_array_grow_to(void *array, size_t entry_bytes, uint32_t *capacity, size_t count);

#endif
