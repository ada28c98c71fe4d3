// SPDX-License-Identifier: BSD-3-Clause
/*
 * Numbers from a seed, the same on every machine: integers only, no libm. The generator is xoshiro256**
 * (Blackman and Vigna 2018, public domain), seeded through splitmix64.
 */
#ifndef SC_EXPORT_RANDOM_H
#define SC_EXPORT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sc_random {
    uint64_t s[4];
};

/* A well mixed 64 bit value of x; also a hash of small integers. */
static inline uint64_t sc_random_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline void sc_random_seed(struct sc_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = sc_random_mix(seed + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t sc_random_next(struct sc_random *r)
{
    uint64_t *s = r->s;
    uint64_t x = s[1] * 5;
    uint64_t result = (x << 7 | x >> 57) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* Uniform in [0, n), n > 0; the bias is below n / 2^32. */
static inline uint32_t sc_random_below(struct sc_random *r, uint32_t n)
{
    return (uint32_t)((sc_random_next(r) >> 32) * n >> 32);
}

/* Uniform in [low, high]. */
static inline uint32_t sc_random_between(struct sc_random *r, uint32_t low, uint32_t high)
{
    return low + sc_random_below(r, high - low + 1);
}

/* True in `percent` of 100 cases. */
static inline bool sc_random_percent(struct sc_random *r, uint32_t percent)
{
    return sc_random_below(r, 100) < percent;
}

/*
 * Heavy-tailed, at least `least`: doubles while a coin of p / 256 falls, then uniform within the octave. The
 * tail is that of a Pareto distribution with exponent -log2(p / 256): 1.0 for 128, 1.2 for 111, 0.7 for 158.
 * At most 2^20 * 2 * least.
 */
static inline uint64_t sc_random_pareto(struct sc_random *r, uint32_t least, uint32_t p)
{
    uint64_t value = least;
    uint64_t coins = sc_random_next(r);
    for (unsigned k = 0; k < 20 && (coins & 0xff) < p; k++) {
        value *= 2;
        coins = k % 6 == 5 ? sc_random_next(r) : coins >> 8;
    }
    return value + (value * (coins >> 8 & 0xffff) >> 16); /* bits that the coins have not used */
}

#endif
