// SPDX-License-Identifier: BSD-3-Clause
#include "store/blocks.h"

#include "flow/batch.h"
#include "store/by_width.h"

#define HEAD 16u
#define LINE 128u /* a word of each lane */

/* What the head of a block says. */
struct block {
    uint64_t base;
    uint32_t at;
    uint32_t count; /* of its values */
    unsigned bits, high_bytes;
    uint32_t exceptions;
};

static uint32_t block_count(uint32_t count)
{
    return (uint32_t)(((uint64_t)count + SC_BLOCK_VALUES - 1) / SC_BLOCK_VALUES);
}

static uint32_t words_size(uint32_t count, unsigned bits)
{
    return bits <= 32 ? ((count + 31) / 32 * bits + 31) / 32 * LINE
                      : ((count + 15) / 16 * bits + 63) / 64 * LINE;
}

static uint32_t block_size(const struct block *b)
{
    return words_size(b->count, b->bits) + b->exceptions * (2 + b->high_bytes);
}

static uint64_t low_bits(unsigned bits)
{
    return bits == 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
}

/* ---- encoding ---- */

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
static struct block plan_block(uint64_t base, const uint64_t *numbers, uint32_t n)
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
    struct block best = {.base = base, .count = n, .bits = most};
    uint32_t least = block_size(&best);
    for (unsigned bits = most; bits-- > 0;) {
        longer += lengths[bits + 1];
        struct block b = {.base = base,
                          .count = n,
                          .bits = bits,
                          .high_bytes = high_bytes_of(most - bits),
                          .exceptions = longer};
        if (block_size(&b) < least) {
            least = block_size(&b);
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
    struct block b = plan_block(base, numbers, n);
    return block_size(&b);
}

size_t sc_blocks_size(const uint64_t *values, uint32_t count, bool steps)
{
    size_t size = (size_t)block_count(count) * HEAD;
    for (uint32_t at = 0; at < count; at += SC_BLOCK_VALUES)
        size +=
            size_of_block(values + at, count - at < SC_BLOCK_VALUES ? count - at : SC_BLOCK_VALUES, steps);
    return size;
}

/* Of so many blocks one stands for all; batches of the cluster have eight of them, whose places must not be alike. */
#define EACH 7u

size_t sc_blocks_estimate(const uint64_t *values, uint32_t count)
{
    const uint32_t blocks = block_count(count), each = blocks < EACH ? 1 : EACH;
    size_t plain = 0, steps = 0, looked_at = 0;
    for (uint32_t i = each / 2; i < blocks; i += each, looked_at++) {
        const uint64_t *from = values + (size_t)i * SC_BLOCK_VALUES;
        uint32_t left = count - i * SC_BLOCK_VALUES, n = left < SC_BLOCK_VALUES ? left : SC_BLOCK_VALUES;
        size_t size = size_of_block(from, n, false);
        plain += size;
        steps += sc_blocks_ascend(from, n) ? size_of_block(from, n, true) : size;
    }
    return looked_at == 0 ? 0 : (size_t)blocks * HEAD + (steps < plain ? steps : plain) * blocks / looked_at;
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

static void put_words(const struct block *b, const uint64_t *numbers, uint8_t *out)
{
    const uint64_t mask = low_bits(b->bits);
    if (b->bits == 0)
        return;
    if (b->bits <= 32) {
        PUT_ROWS(uint32_t, 32u, sc_store_le32)
    } else {
        PUT_ROWS(uint64_t, 16u, sc_store_le64)
    }
}

static void put_exceptions(const struct block *b, const uint64_t *numbers, uint8_t *places)
{
    uint8_t *high = places + 2 * (size_t)b->exceptions;
    uint64_t mask = low_bits(b->bits);
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

static void put_head(const struct block *b, uint8_t *head)
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
    size_t start = out->len, heads = (size_t)block_count(count) * HEAD;
    if (sc_buf_reserve(out, heads) == NULL)
        return SC_NOMEM;
    out->len += heads;
    for (uint32_t i = 0; i < block_count(count); i++) {
        uint32_t at = i * SC_BLOCK_VALUES, n = count - at < SC_BLOCK_VALUES ? count - at : SC_BLOCK_VALUES;
        make_numbers(values + at, n, steps, &base, numbers);
        struct block b = plan_block(base, numbers, n);
        b.at = (uint32_t)(out->len - start);
        uint8_t *place = sc_buf_reserve(out, block_size(&b));
        if (place == NULL)
            return SC_NOMEM;
        put_words(&b, numbers, place);
        put_exceptions(&b, numbers, place + words_size(n, b.bits));
        put_head(&b, out->data + start + (size_t)i * HEAD);
        out->len += block_size(&b);
    }
    return SC_OK;
}

/* ---- numbers from words ---- */

static SC_IN_EACH void take_row_u32(const uint8_t *words, unsigned bits, uint32_t row, uint32_t out[32])
{
    uint32_t bit = row * bits, mask = UINT32_MAX >> (32 - bits);
    unsigned shift = bit % 32;
    words += (size_t)(bit / 32) * LINE;
    if (shift + bits <= 32) {
        for (unsigned l = 0; l < 32; l++)
            out[l] = sc_load_le32(words + 4 * (size_t)l) >> shift & mask;
    } else {
        for (unsigned l = 0; l < 32; l++)
            out[l] = (sc_load_le32(words + 4 * (size_t)l) >> shift |
                      sc_load_le32(words + LINE + 4 * (size_t)l) << (32 - shift)) &
                     mask;
    }
}

static SC_IN_EACH void take_row_u64(const uint8_t *words, unsigned bits, uint32_t row, uint64_t out[16])
{
    uint32_t bit = row * bits;
    uint64_t mask = UINT64_MAX >> (64 - bits);
    unsigned shift = bit % 64;
    words += (size_t)(bit / 64) * LINE;
    if (shift + bits <= 64) {
        for (unsigned l = 0; l < 16; l++)
            out[l] = sc_load_le64(words + 8 * (size_t)l) >> shift & mask;
    } else {
        for (unsigned l = 0; l < 16; l++)
            out[l] = (sc_load_le64(words + 8 * (size_t)l) >> shift |
                      sc_load_le64(words + LINE + 8 * (size_t)l) << (64 - shift)) &
                     mask;
    }
}

/* All numbers of a block, 1 to 64 bits each, plus base, to values of a type. */
// NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in parentheses
#define ROWS_TO(type, row_type, lanes, take)                                                                 \
    for (uint32_t row = 0, at = 0; at < count; row++, at += (lanes)) {                                       \
        row_type numbers[lanes];                                                                             \
        take(words, bits, row, numbers);                                                                     \
        type *to = (type *)out + at;                                                                         \
        if (count - at >= (lanes)) {                                                                         \
            for (unsigned l = 0; l < (lanes); l++)                                                           \
                to[l] = (type)(base + numbers[l]);                                                           \
        } else {                                                                                             \
            for (unsigned l = 0; l < count - at; l++)                                                        \
                to[l] = (type)(base + numbers[l]);                                                           \
        }                                                                                                    \
    }
#define NUMBERS_TO(type)                                                                                     \
    {                                                                                                        \
        if (bits <= 32) {                                                                                    \
            ROWS_TO(type, uint32_t, 32u, take_row_u32)                                                       \
        } else {                                                                                             \
            ROWS_TO(type, uint64_t, 16u, take_row_u64)                                                       \
        }                                                                                                    \
    }
// NOLINTEND(bugprone-macro-parentheses)

static SC_IN_EACH void unpack(const uint8_t *words, unsigned bits, uint32_t count, uint64_t base,
                              unsigned width, void *out)
{
    if (width == 1)
        NUMBERS_TO(uint8_t)
    else if (width == 2)
        NUMBERS_TO(uint16_t)
    else if (width == 4)
        NUMBERS_TO(uint32_t)
    else
        NUMBERS_TO(uint64_t)
}

typedef void unpack_function(const uint8_t *words, unsigned bits, uint32_t count, uint64_t base,
                             unsigned width, void *out);

static void unpack_portable(const uint8_t *words, unsigned bits, uint32_t count, uint64_t base,
                            unsigned width, void *out)
{
    unpack(words, bits, count, base, width, out);
}

SC_FOR_AVX2 static void unpack_avx2(const uint8_t *words, unsigned bits, uint32_t count, uint64_t base,
                                    unsigned width, void *out)
{
    unpack(words, bits, count, base, width, out);
}

/* Stores are what it waits for: wider vectors are no quicker. */
static unpack_function *const unpack_of[SC_VECTORS_COUNT] = {unpack_portable, unpack_avx2, unpack_avx2};

/* ---- decoding ---- */

struct payload {
    const uint8_t *bytes;
    size_t length;
    uint32_t count;
    bool steps;
    unpack_function *unpack;
};

/* The i-th block, which begins at *at; moves that to its end. */
static enum sc_status next_block(const struct payload *p, uint32_t i, size_t *at, struct block *b)
{
    const uint8_t *head = p->bytes + (size_t)i * HEAD;
    uint32_t first = i * SC_BLOCK_VALUES;
    b->base = sc_load_le64(head);
    b->at = sc_load_le32(head + 8);
    b->bits = head[12];
    b->high_bytes = head[13];
    b->exceptions = sc_load_le16(head + 14);
    b->count = p->count - first < SC_BLOCK_VALUES ? p->count - first : SC_BLOCK_VALUES;
    bool width = b->high_bytes == 1 || b->high_bytes == 2 || b->high_bytes == 4 || b->high_bytes == 8;
    bool patched = width && b->exceptions != 0 && b->exceptions <= b->count && b->bits < 64;
    if (b->at != *at || b->bits > 64 || !(patched || (b->high_bytes == 0 && b->exceptions == 0)))
        return SC_DAMAGED;
    *at += block_size(b);
    return *at <= p->length ? SC_OK : SC_DAMAGED;
}

#define FILL(type)                                                                                           \
    do {                                                                                                     \
        for (uint32_t i = 0; i < b->count; i++)                                                              \
            ((type *)out)[i] = (type)b->base;                                                                \
    } while (0)

static SC_IN_EACH uint64_t high_part(const struct block *b, const uint8_t *parts, uint32_t i)
{
    switch (b->high_bytes) {
    case 1:
        return (uint64_t)parts[i] << b->bits;
    case 2:
        return (uint64_t)sc_load_le16(parts + 2 * (size_t)i) << b->bits;
    case 4:
        return (uint64_t)sc_load_le32(parts + 4 * (size_t)i) << b->bits;
    default:
        return sc_load_le64(parts + 8 * (size_t)i) << b->bits;
    }
}

#define PATCH(type)                                                                                          \
    do {                                                                                                     \
        for (uint32_t i = 0; i < b->exceptions; i++) {                                                       \
            uint32_t place = sc_load_le16(places + 2 * (size_t)i);                                           \
            if (place >= b->count)                                                                           \
                return SC_DAMAGED;                                                                           \
            ((type *)out)[place] += (type)high_part(b, parts, i);                                            \
        }                                                                                                    \
    } while (0)

/* Adds the high parts to the values of the block, which lie at `out`. */
static enum sc_status patch(const struct payload *p, const struct block *b, unsigned width, void *out)
{
    const uint8_t *places = p->bytes + b->at + words_size(b->count, b->bits);
    const uint8_t *parts = places + 2 * (size_t)b->exceptions;
    SC_BY_WIDTH(width, PATCH);
    return SC_OK;
}

static enum sc_status get_numbers(const struct payload *p, const struct block *b, unsigned width, void *out)
{
    if (b->bits == 0)
        SC_BY_WIDTH(width, FILL);
    else
        p->unpack(p->bytes + b->at, b->bits, b->count, b->base, width, out);
    return b->exceptions == 0 ? SC_OK : patch(p, b, width, out);
}

#define SUM_UP(type)                                                                                         \
    do {                                                                                                     \
        for (uint32_t i = 0; i < b->count; i++)                                                              \
            ((type *)out)[i] = (type)(value += numbers[i]);                                                  \
    } while (0)

static enum sc_status sum_up(const struct payload *p, const struct block *b, unsigned width, void *out)
{
    uint64_t numbers[SC_BLOCK_VALUES] = {0}, value = b->base;
    struct block steps = *b;
    steps.base = 0;
    SC_TRY(get_numbers(p, &steps, 8, numbers));
    SC_BY_WIDTH(width, SUM_UP);
    return SC_OK;
}

static enum sc_status get_block(const struct payload *p, const struct block *b, unsigned width, void *out)
{
    return p->steps ? sum_up(p, b, width, out) : get_numbers(p, b, width, out);
}

static bool open_payload(enum sc_vectors vectors, const uint8_t *bytes, size_t length, uint32_t count,
                         bool steps, struct payload *p)
{
    *p = (struct payload){
        .bytes = bytes, .length = length, .count = count, .steps = steps, .unpack = unpack_of[vectors]};
    return length >= (size_t)block_count(count) * HEAD;
}

enum sc_status sc_blocks_get(enum sc_vectors vectors, const uint8_t *bytes, size_t length, uint32_t count,
                             bool steps, unsigned width, void *out)
{
    struct payload p;
    struct block b;
    size_t at = (size_t)block_count(count) * HEAD;
    if (!open_payload(vectors, bytes, length, count, steps, &p))
        return SC_DAMAGED;
    for (uint32_t i = 0; i < block_count(count); i++) {
        SC_TRY(next_block(&p, i, &at, &b));
        SC_TRY(get_block(&p, &b, width, (uint8_t *)out + (size_t)i * SC_BLOCK_VALUES * width));
    }
    return at == length ? SC_OK : SC_DAMAGED;
}

/* ---- single values ---- */

/* From so many rows of a block on all of it is decoded. */
#define ALL_FROM 32u

static SC_IN_EACH uint64_t number_u32(const uint8_t *words, unsigned bits, uint32_t i)
{
    uint32_t bit = i / 32 * bits;
    unsigned shift = bit % 32;
    words += (size_t)(bit / 32) * LINE + 4 * (size_t)(i % 32);
    uint64_t v = sc_load_le32(words) >> shift;
    if (shift + bits > 32)
        v |= (uint64_t)sc_load_le32(words + LINE) << (32 - shift);
    return v & low_bits(bits);
}

static SC_IN_EACH uint64_t number_u64(const uint8_t *words, unsigned bits, uint32_t i)
{
    uint32_t bit = i / 16 * bits;
    unsigned shift = bit % 64;
    words += (size_t)(bit / 64) * LINE + 8 * (size_t)(i % 16);
    uint64_t v = sc_load_le64(words) >> shift;
    if (shift + bits > 64)
        v |= sc_load_le64(words + LINE) << (64 - shift);
    return v & low_bits(bits);
}

#define PICK(type)                                                                                           \
    do {                                                                                                     \
        if (b->bits == 0) {                                                                                  \
            for (uint32_t k = 0; k < n; k++)                                                                 \
                ((type *)out)[rows[k]] = (type)b->base;                                                      \
        } else if (b->bits <= 32) {                                                                          \
            for (uint32_t k = 0; k < n; k++)                                                                 \
                ((type *)out)[rows[k]] = (type)(b->base + number_u32(words, b->bits, rows[k]));              \
        } else {                                                                                             \
            for (uint32_t k = 0; k < n; k++)                                                                 \
                ((type *)out)[rows[k]] = (type)(b->base + number_u64(words, b->bits, rows[k]));              \
        }                                                                                                    \
    } while (0)

#define PATCH_PICKED(type)                                                                                   \
    do {                                                                                                     \
        for (uint32_t i = 0, k = 0; i < b->exceptions; i++) {                                                \
            uint32_t place = sc_load_le16(places + 2 * (size_t)i);                                           \
            while (k < n && rows[k] < place)                                                                 \
                k++;                                                                                         \
            if (k < n && rows[k] == place)                                                                   \
                ((type *)out)[place] += (type)high_part(b, parts, i);                                        \
        }                                                                                                    \
    } while (0)

/* The values of a block whose bits are set in as many words as it has. */
static enum sc_status pick(const struct payload *p, const struct block *b, const uint64_t *set,
                           unsigned width, void *out)
{
    const uint8_t *words = p->bytes + b->at;
    const uint8_t *places = words + words_size(b->count, b->bits),
                  *parts = places + 2 * (size_t)b->exceptions;
    size_t set_words = sc_bitmap_words(b->count);
    uint32_t n = sc_bitmap_count(set, set_words);
    if (n == 0)
        return SC_OK;
    if (p->steps || n >= ALL_FROM)
        return get_block(p, b, width, out);
    uint32_t rows[ALL_FROM + SC_BITMAP_SLACK] = {0};
    sc_bitmap_list(set, set_words, 0, rows);
    SC_BY_WIDTH(width, PICK);
    SC_BY_WIDTH(width, PATCH_PICKED);
    return SC_OK;
}

enum sc_status sc_blocks_get_rows(enum sc_vectors vectors, const uint8_t *bytes, size_t length,
                                  uint32_t count, bool steps, unsigned width, const uint64_t *bits, void *out)
{
    struct payload p;
    struct block b;
    size_t at = (size_t)block_count(count) * HEAD;
    if (!open_payload(vectors, bytes, length, count, steps, &p))
        return SC_DAMAGED;
    for (uint32_t i = 0; i < block_count(count); i++) {
        size_t first = (size_t)i * SC_BLOCK_VALUES;
        SC_TRY(next_block(&p, i, &at, &b));
        SC_TRY(pick(&p, &b, bits + first / 64, width, (uint8_t *)out + first * width));
    }
    return at == length ? SC_OK : SC_DAMAGED;
}
