// SPDX-License-Identifier: BSD-3-Clause
/* Reading blocks. The bytes are not trusted: every length is checked before it is used. */
#include "flow/batch.h"
#include "store/blocks_layout.h"
#include "store/by_width.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- numbers from words ---- */

static SC_IN_EACH void take_row_u32(const uint8_t *words, unsigned bits, uint32_t row, uint32_t out[32])
{
    uint32_t bit = row * bits, mask = UINT32_MAX >> (32 - bits);
    unsigned shift = bit % 32;
    words += (size_t)(bit / 32) * SC_BLOCK_LINE;
    if (shift + bits <= 32) {
        for (unsigned l = 0; l < 32; l++)
            out[l] = sc_load_le32(words + 4 * (size_t)l) >> shift & mask;
    } else {
        for (unsigned l = 0; l < 32; l++)
            out[l] = (sc_load_le32(words + 4 * (size_t)l) >> shift |
                      sc_load_le32(words + SC_BLOCK_LINE + 4 * (size_t)l) << (32 - shift)) &
                     mask;
    }
}

static SC_IN_EACH void take_row_u64(const uint8_t *words, unsigned bits, uint32_t row, uint64_t out[16])
{
    uint32_t bit = row * bits;
    uint64_t mask = UINT64_MAX >> (64 - bits);
    unsigned shift = bit % 64;
    words += (size_t)(bit / 64) * SC_BLOCK_LINE;
    if (shift + bits <= 64) {
        for (unsigned l = 0; l < 16; l++)
            out[l] = sc_load_le64(words + 8 * (size_t)l) >> shift & mask;
    } else {
        for (unsigned l = 0; l < 16; l++)
            out[l] = (sc_load_le64(words + 8 * (size_t)l) >> shift |
                      sc_load_le64(words + SC_BLOCK_LINE + 8 * (size_t)l) << (64 - shift)) &
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

/* ---- which numbers of words lie in a range ---- */

/* A bit for each number of a row of 32: low <= number <= low + span. */
static SC_IN_EACH uint32_t match_row_portable(const uint8_t *words, unsigned bits, uint32_t row, uint32_t low,
                                              uint32_t span)
{
    uint32_t numbers[32], found = 0;
    take_row_u32(words, bits, row, numbers);
    for (unsigned l = 0; l < 32; l++)
        found |= (uint32_t)(numbers[l] - low <= span) << l;
    return found;
}

#if defined(__x86_64__)
SC_FOR_AVX2 static inline uint32_t match_row_avx2(const uint8_t *words, unsigned bits, uint32_t row,
                                                  uint32_t low, uint32_t span)
{
    const __m256i lows = _mm256_set1_epi32((int)low), spans = _mm256_set1_epi32((int)span);
    const __m256i mask = _mm256_set1_epi32((int)(UINT32_MAX >> (32 - bits)));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    unsigned shift = row * bits % 32;
    const __m128i right = _mm_cvtsi32_si128((int)shift), left = _mm_cvtsi32_si128((int)(32 - shift));
    const __m256i *from = (const __m256i *)(words + (size_t)(row * bits / 32) * SC_BLOCK_LINE);
    __m256i in[4];
    for (unsigned i = 0; i < 4; i++) {
        __m256i n = _mm256_srl_epi32(_mm256_loadu_si256(from + i), right);
        if (shift + bits > 32)
            n = _mm256_or_si256(n, _mm256_sll_epi32(_mm256_loadu_si256(from + 4 + i), left));
        n = _mm256_sub_epi32(_mm256_and_si256(n, mask), lows);
        in[i] = _mm256_cmpeq_epi32(_mm256_min_epu32(n, spans), n);
    }
    /* to bytes, of which each half has four of each vector */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(in[0], in[1]), _mm256_packs_epi32(in[2], in[3]));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order));
}

SC_FOR_AVX512 static inline uint32_t match_row_avx512(const uint8_t *words, unsigned bits, uint32_t row,
                                                      uint32_t low, uint32_t span)
{
    const __m512i lows = _mm512_set1_epi32((int)low), spans = _mm512_set1_epi32((int)span);
    const __m512i mask = _mm512_set1_epi32((int)(UINT32_MAX >> (32 - bits)));
    unsigned shift = row * bits % 32;
    const __m128i right = _mm_cvtsi32_si128((int)shift), left = _mm_cvtsi32_si128((int)(32 - shift));
    const uint8_t *from = words + (size_t)(row * bits / 32) * SC_BLOCK_LINE;
    uint32_t found = 0;
    for (unsigned i = 0; i < 2; i++) {
        __m512i n = _mm512_srl_epi32(_mm512_loadu_si512(from + 64 * i), right);
        if (shift + bits > 32)
            n = _mm512_or_si512(n, _mm512_sll_epi32(_mm512_loadu_si512(from + SC_BLOCK_LINE + 64 * i), left));
        n = _mm512_sub_epi32(_mm512_and_si512(n, mask), lows);
        found |= (uint32_t)_mm512_cmple_epu32_mask(n, spans) << (16 * i);
    }
    return found;
}
#endif

/* Adds what is found among the numbers of up to 32 bits to a set. */
typedef void match_function(const uint8_t *words, unsigned bits, uint32_t count, uint32_t low, uint32_t span,
                            uint64_t *found);

#define DEFINE_MATCH(variant)                                                                                \
    static void match_##variant(const uint8_t *words, unsigned bits, uint32_t count, uint32_t low,           \
                                uint32_t span, uint64_t *found)                                              \
    {                                                                                                        \
        for (uint32_t row = 0; row < (count + 31) / 32; row++)                                               \
            found[row / 2] |= (uint64_t)match_row_##variant(words, bits, row, low, span) << (row % 2 * 32);  \
    }

DEFINE_MATCH(portable)
#if defined(__x86_64__)
SC_FOR_AVX2 DEFINE_MATCH(avx2)
SC_FOR_AVX512 DEFINE_MATCH(avx512)
#else
#define match_avx2   match_portable
#define match_avx512 match_portable
#endif

    static match_function *const match_of[SC_VECTORS_COUNT] = {match_portable, match_avx2, match_avx512};

/* ---- decoding ---- */

struct payload {
    const uint8_t *bytes;
    size_t length;
    uint32_t count;
    bool steps;
    unpack_function *unpack;
    match_function *match;
};

/* The i-th block, which begins at *at; moves that to its end. */
static enum sc_status next_block(const struct payload *p, uint32_t i, size_t *at, struct sc_block *b)
{
    const uint8_t *head = p->bytes + (size_t)i * SC_BLOCK_HEAD;
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
    *at += sc_block_size(b);
    return *at <= p->length ? SC_OK : SC_DAMAGED;
}

#define FILL(type)                                                                                           \
    do {                                                                                                     \
        for (uint32_t i = 0; i < b->count; i++)                                                              \
            ((type *)out)[i] = (type)b->base;                                                                \
    } while (0)

static SC_IN_EACH uint64_t high_part(const struct sc_block *b, const uint8_t *parts, uint32_t i)
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
static enum sc_status patch(const struct payload *p, const struct sc_block *b, unsigned width, void *out)
{
    const uint8_t *places = p->bytes + b->at + sc_block_words_size(b->count, b->bits);
    const uint8_t *parts = places + 2 * (size_t)b->exceptions;
    SC_BY_WIDTH(width, PATCH);
    return SC_OK;
}

static enum sc_status get_numbers(const struct payload *p, const struct sc_block *b, unsigned width,
                                  void *out)
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

static enum sc_status sum_up(const struct payload *p, const struct sc_block *b, unsigned width, void *out)
{
    uint64_t numbers[SC_BLOCK_VALUES] = {0}, value = b->base;
    struct sc_block steps = *b;
    steps.base = 0;
    SC_TRY(get_numbers(p, &steps, 8, numbers));
    SC_BY_WIDTH(width, SUM_UP);
    return SC_OK;
}

static enum sc_status get_block(const struct payload *p, const struct sc_block *b, unsigned width, void *out)
{
    return p->steps ? sum_up(p, b, width, out) : get_numbers(p, b, width, out);
}

static bool open_payload(enum sc_vectors vectors, const uint8_t *bytes, size_t length, uint32_t count,
                         bool steps, struct payload *p)
{
    *p = (struct payload){.bytes = bytes,
                          .length = length,
                          .count = count,
                          .steps = steps,
                          .unpack = unpack_of[vectors],
                          .match = match_of[vectors]};
    return length >= (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
}

enum sc_status sc_blocks_get(enum sc_vectors vectors, const uint8_t *bytes, size_t length, uint32_t count,
                             bool steps, unsigned width, void *out)
{
    struct payload p;
    struct sc_block b;
    size_t at = (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
    if (!open_payload(vectors, bytes, length, count, steps, &p))
        return SC_DAMAGED;
    for (uint32_t i = 0; i < sc_block_count(count); i++) {
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
    words += (size_t)(bit / 32) * SC_BLOCK_LINE + 4 * (size_t)(i % 32);
    uint64_t v = sc_load_le32(words) >> shift;
    if (shift + bits > 32)
        v |= (uint64_t)sc_load_le32(words + SC_BLOCK_LINE) << (32 - shift);
    return v & sc_low_bits(bits);
}

static SC_IN_EACH uint64_t number_u64(const uint8_t *words, unsigned bits, uint32_t i)
{
    uint32_t bit = i / 16 * bits;
    unsigned shift = bit % 64;
    words += (size_t)(bit / 64) * SC_BLOCK_LINE + 8 * (size_t)(i % 16);
    uint64_t v = sc_load_le64(words) >> shift;
    if (shift + bits > 64)
        v |= sc_load_le64(words + SC_BLOCK_LINE) << (64 - shift);
    return v & sc_low_bits(bits);
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
static enum sc_status pick(const struct payload *p, const struct sc_block *b, const uint64_t *set,
                           unsigned width, void *out)
{
    const uint8_t *words = p->bytes + b->at;
    const uint8_t *places = words + sc_block_words_size(b->count, b->bits),
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
    struct sc_block b;
    size_t at = (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
    if (!open_payload(vectors, bytes, length, count, steps, &p))
        return SC_DAMAGED;
    for (uint32_t i = 0; i < sc_block_count(count); i++) {
        size_t first = (size_t)i * SC_BLOCK_VALUES;
        SC_TRY(next_block(&p, i, &at, &b));
        SC_TRY(pick(&p, &b, bits + first / 64, width, (uint8_t *)out + first * width));
    }
    return at == length ? SC_OK : SC_DAMAGED;
}

/* ---- which values lie in a range ---- */

/* low <= number <= low + span. */
struct number_range {
    uint64_t low, span;
};

static uint64_t number_at(const uint8_t *words, unsigned bits, uint32_t i)
{
    return bits == 0 ? 0 : bits <= 32 ? number_u32(words, bits, i) : number_u64(words, bits, i);
}

static void match_words(const struct payload *p, const struct sc_block *b, struct number_range r,
                        uint64_t *found)
{
    const uint8_t *words = p->bytes + b->at;
    uint64_t most = sc_low_bits(b->bits);
    if (r.low > most)
        return;
    uint64_t span = r.span < most - r.low ? r.span : most - r.low;
    if (span == most) {
        sc_bitmap_fill(found, b->count);
    } else if (b->bits <= 32) {
        p->match(words, b->bits, b->count, (uint32_t)r.low, (uint32_t)span, found);
    } else {
        for (uint32_t i = 0; i < b->count; i++)
            found[i / 64] |= (uint64_t)(number_u64(words, b->bits, i) - r.low <= span) << i % 64;
    }
}

/* Of exceptions the words hold only a part. */
static enum sc_status match_exceptions(const struct payload *p, const struct sc_block *b,
                                       struct number_range r, uint64_t *found)
{
    const uint8_t *words = p->bytes + b->at;
    const uint8_t *places = words + sc_block_words_size(b->count, b->bits),
                  *parts = places + 2 * (size_t)b->exceptions;
    for (uint32_t i = 0; i < b->exceptions; i++) {
        uint32_t place = sc_load_le16(places + 2 * (size_t)i);
        if (place >= b->count)
            return SC_DAMAGED;
        uint64_t bit = UINT64_C(1) << place % 64;
        uint64_t number = number_at(words, b->bits, place) + high_part(b, parts, i);
        found[place / 64] = number - r.low <= r.span ? found[place / 64] | bit : found[place / 64] & ~bit;
    }
    return SC_OK;
}

static enum sc_status match_block(const struct payload *p, const struct sc_block *b, uint64_t low,
                                  uint64_t high, uint64_t *out)
{
    uint64_t found[SC_BLOCK_VALUES / 64] = {0};
    if (high < b->base)
        return SC_OK;
    uint64_t from = low < b->base ? 0 : low - b->base;
    struct number_range r = {.low = from, .span = high - b->base - from};
    match_words(p, b, r, found);
    SC_TRY(match_exceptions(p, b, r, found));
    sc_bitmap_cut(found, b->count);
    for (size_t w = 0; w < sc_bitmap_words(b->count); w++)
        out[w] |= found[w];
    return SC_OK;
}

enum sc_status sc_blocks_match(enum sc_vectors vectors, const uint8_t *bytes, size_t length, uint32_t count,
                               uint64_t low, uint64_t high, const uint64_t *wanted, uint64_t *out)
{
    struct payload p;
    struct sc_block b;
    size_t at = (size_t)sc_block_count(count) * SC_BLOCK_HEAD;
    if (!open_payload(vectors, bytes, length, count, false, &p))
        return SC_DAMAGED;
    for (uint32_t i = 0; i < sc_block_count(count); i++) {
        size_t word = (size_t)i * (SC_BLOCK_VALUES / 64);
        SC_TRY(next_block(&p, i, &at, &b));
        if (wanted == NULL || sc_bitmap_any(wanted + word, sc_bitmap_words(b.count)))
            SC_TRY(match_block(&p, &b, low, high, out + word));
    }
    return at == length ? SC_OK : SC_DAMAGED;
}
