// SPDX-License-Identifier: BSD-3-Clause
#include "store/blocks_layout.h"

/* The numbers of a block; their base is in *base. */
static void make_numbers(const uint64_t *values, uint32_t n, bool steps, uint64_t *base, uint64_t *numbers)
{
    uint64_t least = values[0];
    for (uint32_t i = 1; i < n && !steps; i++)
        least = values[i] < least ? values[i] : least;
    *base = least;
    numbers[0] = values[0] - least;
    for (uint32_t i = 1; i < n; i++)
        numbers[i] = values[i] - (steps ? values[i - 1] : least);
}

static unsigned high_bytes_of(unsigned bits)
{
    return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}

static unsigned bit_length(uint64_t v)
{
    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/* The width that takes the least room; what is longer becomes an exception. */
static struct sc_block plan_block(uint64_t base, const uint64_t *numbers, uint32_t n)
{
    uint32_t lengths[65] = {0}, others[3][65] = {{0}}, longer = 0, i = 0;
    for (; i + 3 < n; i += 4) { /* of every fourth number: counts do not wait for one another */
        lengths[bit_length(numbers[i])]++;
        others[0][bit_length(numbers[i + 1])]++;
        others[1][bit_length(numbers[i + 2])]++;
        others[2][bit_length(numbers[i + 3])]++;
    }
    for (; i < n; i++)
        lengths[bit_length(numbers[i])]++;
    for (unsigned bits = 0; bits <= 64; bits++)
        lengths[bits] += others[0][bits] + others[1][bits] + others[2][bits];
    unsigned most = 64;
    while (most > 0 && lengths[most] == 0)
        most--;
    struct sc_block best = {.base = base, .count = n, .bits = most};
    uint32_t least = sc_block_size(&best);
    for (unsigned bits = most; bits-- > 0;) {
        longer += lengths[bits + 1];
        struct sc_block b = {.base = base,
                             .count = n,
                             .bits = bits,
                             .high_bytes = high_bytes_of(most - bits),
                             .exceptions = longer};
        if (sc_block_size(&b) < least) {
            least = sc_block_size(&b);
            best = b;
        }
    }
    return best;
}

bool sc_blocks_ascend(const uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (values[i] < values[i - 1])
            return false;
    }
    return true;
}

static size_t size_of_block(const uint64_t *values, uint32_t n, bool steps)
{
    uint64_t numbers[SC_BLOCK_VALUES] = {0}, base;
    make_numbers(values, n, steps, &base, numbers);
    struct sc_block b = plan_block(base, numbers, n);
    return sc_block_size(&b);
}

size_t sc_blocks_size(const uint64_t *values, uint32_t count, bool steps)
{
    size_t size = (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
    for (uint32_t at = 0; at < count; at += SC_BLOCK_VALUES)
        size +=
            size_of_block(values + at, count - at < SC_BLOCK_VALUES ? count - at : SC_BLOCK_VALUES, steps);
    return size;
}

/* Of so many blocks one stands for all; batches of the cluster have eight of them, whose places must not be alike. */
#define EACH 7u

size_t sc_blocks_estimate(const uint64_t *values, uint32_t count)
{
    const uint32_t blocks = sc_block_count(count), each = blocks < EACH ? 1 : EACH;
    size_t plain = 0, steps = 0, looked_at = 0;
    for (uint32_t i = each / 2; i < blocks; i += each, looked_at++) {
        const uint64_t *from = values + (size_t)i * SC_BLOCK_VALUES;
        uint32_t left = count - i * SC_BLOCK_VALUES, n = left < SC_BLOCK_VALUES ? left : SC_BLOCK_VALUES;
        size_t size = size_of_block(from, n, false);
        plain += size;
        steps += sc_blocks_ascend(from, n) ? size_of_block(from, n, true) : size;
    }
    return looked_at == 0
               ? 0
               : (size_t)blocks * SC_BLOCK_HEAD + (steps < plain ? steps : plain) * blocks / looked_at;
}

/* The word of each lane. */
#define STORE_WORDS(type, lanes, store)                                                                      \
    for (uint32_t l = 0; l < (lanes); l++, out += sizeof(type))                                              \
    store(out, word[l])

/* Numbers to words of a type, row after row into all lanes at once; the reverse of take_row. Behind the last number there are zeros. */
// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses
#define PUT_ROWS(type, lanes, store)                                                                         \
    {                                                                                                        \
        type low[SC_BLOCK_VALUES] = {0}, word[lanes] = {0};                                                  \
        uint32_t filled = 0;                                                                                 \
        for (uint32_t i = 0; i < b->count; i++)                                                              \
            low[i] = (type)(numbers[i] & mask);                                                              \
        for (uint32_t at = 0; at < b->count; at += (lanes)) {                                                \
            for (uint32_t l = 0; l < (lanes); l++)                                                           \
                word[l] |= low[at + l] << filled;                                                            \
            filled += b->bits;                                                                               \
            if (filled < 8 * sizeof(type))                                                                   \
                continue;                                                                                    \
            STORE_WORDS(type, lanes, store);                                                                 \
            filled -= 8 * sizeof(type);                                                                      \
            for (uint32_t l = 0; l < (lanes); l++)                                                           \
                word[l] = filled == 0 ? 0 : low[at + l] >> (b->bits - filled);                               \
        }                                                                                                    \
        if (filled != 0)                                                                                     \
            STORE_WORDS(type, lanes, store);                                                                 \
    }
// NOLINTEND(bugprone-macro-parentheses)

static void put_words(const struct sc_block *b, const uint64_t *numbers, uint8_t *out)
{
    const uint64_t mask = sc_low_bits(b->bits);
    if (b->bits == 0)
        return;
    if (b->bits <= 32) {
        PUT_ROWS(uint32_t, 32u, sc_store_le32)
    } else {
        PUT_ROWS(uint64_t, 16u, sc_store_le64)
    }
}

static void put_exceptions(const struct sc_block *b, const uint64_t *numbers, uint8_t *places)
{
    uint8_t *high = places + 2 * (size_t)b->exceptions;
    uint64_t mask = sc_low_bits(b->bits);
    for (uint32_t i = 0; i < b->count && b->exceptions != 0; i++) {
        if (numbers[i] <= mask)
            continue;
        uint64_t part = numbers[i] >> b->bits;
        sc_store_le16(places, (uint16_t)i);
        memcpy(high, &part, b->high_bytes);
        places += 2;
        high += b->high_bytes;
    }
}

static void put_head(const struct sc_block *b, uint8_t *head)
{
    sc_store_le64(head, b->base);
    sc_store_le32(head + 8, b->at);
    head[12] = (uint8_t)b->bits;
    head[13] = (uint8_t)b->high_bytes;
    sc_store_le16(head + 14, (uint16_t)b->exceptions);
}

enum sc_status sc_blocks_put(const uint64_t *values, uint32_t count, bool steps, struct sc_buf *out)
{
    uint64_t numbers[SC_BLOCK_VALUES] = {0}, base;
    size_t start = out->len, heads = (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
    if (sc_buf_reserve(out, heads) == NULL)
        return SC_NOMEM;
    out->len += heads;
    for (uint32_t i = 0; i < sc_block_count(count); i++) {
        uint32_t at = i * SC_BLOCK_VALUES, n = count - at < SC_BLOCK_VALUES ? count - at : SC_BLOCK_VALUES;
        make_numbers(values + at, n, steps, &base, numbers);
        struct sc_block b = plan_block(base, numbers, n);
        b.at = (uint32_t)(out->len - start);
        uint8_t *place = sc_buf_reserve(out, sc_block_size(&b));
        if (place == NULL)
            return SC_NOMEM;
        put_words(&b, numbers, place);
        put_exceptions(&b, numbers, place + sc_block_words_size(n, b.bits));
        put_head(&b, out->data + start + (size_t)i * SC_BLOCK_HEAD);
        out->len += sc_block_size(&b);
    }
    return SC_OK;
}
