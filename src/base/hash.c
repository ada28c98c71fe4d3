// SPDX-License-Identifier: BSD-3-Clause
#include "base/hash.h"

#include <sys/random.h>
#include <time.h>
#ifdef SC_XXHASH_DISPATCH
#include <xxh_x86dispatch.h> /* XXH3_64bits is what chooses then */
#else
#include <xxhash.h>
#endif

uint64_t sc_hash_draw_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed))
        return seed;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return sc_hash_pair((uint64_t)now.tv_nsec, (uint64_t)now.tv_sec, (uintptr_t)&seed);
}

uint64_t sc_hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, length, seed);
}

uint64_t sc_hash_stored(const void *bytes, size_t length)
{
    return XXH3_64bits(bytes, length);
}
