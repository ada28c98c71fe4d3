// SPDX-License-Identifier: BSD-3-Clause
#include "store/row_group_encode.h"

#include "flow/vector.h"
#include "store/by_width.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* More distinct values than this and a dictionary is not tried. */
#define MAX_DISTINCT   4096u
#define DISTINCT_BITS  14u
#define DISTINCT_TABLE (1u << DISTINCT_BITS)
/* Address columns that others are tried to be functions of: of any number, all pairs would take hours. */
#define MOST_ARGUMENTS 8u

bool sc_column_partner_of(struct sc_column_key key, struct sc_column_key *base)
{
    static const struct {
        uint32_t pen;
        uint16_t id, base;
    } partners[] = {
        {SC_PEN_IANA, 151, 150},
        {SC_PEN_IANA, 153, 152},
        {SC_PEN_IANA, 155, 154},
        {SC_PEN_IANA, 157, 156},
        {SC_PEN_COLLECTOR, SC_IE_FLOW_END, SC_IE_FLOW_START},
        {SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, SC_IE_EXPORT_TIME},
    };
    for (unsigned i = 0; i < sizeof(partners) / sizeof(partners[0]); i++) {
        if (key.pen == partners[i].pen && key.id == partners[i].id && key.kind == SC_COLUMN_UINT) {
            if (base != NULL)
                *base = (struct sc_column_key){key.pen, partners[i].base, key.instance, SC_COLUMN_UINT};
            return true;
        }
    }
    return false;
}

/* ---- the coder ---- */

static enum sc_status collect_addresses(struct sc_column_coder *coder, struct sc_coded_column *coded)
{
    struct sc_address_set *set = &coder->encoder->addresses;
    const struct sc_addr *values = coded->column->values;
    uint32_t rows = coder->batch->rows, last = UINT32_MAX; /* the last address's code */
    for (uint32_t row = 0; row < rows; row++) {
        if (sc_column_is_null(coded->column, row))
            continue;
        if (last == UINT32_MAX || !sc_addr_equal(&set->values[last], &values[row]))
            last = sc_address_set_add(set, &values[row]);
        if (last == UINT32_MAX)
            return SC_NOMEM;
        coded->codes[row] = last;
    }
    return SC_OK;
}

static void arrival_to_code(struct sc_column_coder *coder, struct sc_coded_column *coded)
{
    for (uint32_t row = 0; row < coder->batch->rows; row++) {
        if (!sc_column_is_null(coded->column, row))
            coded->codes[row] = coder->encoder->addresses.rank[coded->codes[row]];
    }
}

/* ---- addresses that are codes already: of a pool (struct sc_address_pool) ---- */

/* Each address of the pool that a row has goes to the set; its place there replaces the mark. */
static void take_marked(struct sc_address_set *set, const struct sc_address_pool *pool, uint32_t *places)
{
    for (uint32_t i = 0; i < pool->count; i++) {
        if (places[i] != 0)
            places[i] = sc_address_set_append(set, &pool->values[i]);
    }
}

static void mark_used(const struct sc_column *column, uint32_t rows, uint32_t *places)
{
    const uint32_t *codes = column->values;
    for (uint32_t row = 0; row < rows; row++) {
        if (!sc_column_is_null(column, row))
            places[codes[row]] = 1;
    }
}

static void pool_to_code(const struct sc_coded_column *coded, uint32_t rows, const uint32_t *places)
{
    const uint32_t *pooled = coded->column->values;
    for (uint32_t row = 0; row < rows; row++)
        coded->codes[row] = sc_column_is_null(coded->column, row) ? 0 : places[pooled[row]];
}

/* The i-th address column; set for all that are counted. */
static struct sc_coded_column *address_column(const struct sc_column_coder *coder, uint32_t i)
{
    return i < coder->address_count && coder->addresses[i].column != NULL ? &coder->addresses[i] : NULL;
}

/* `places` is zero, an entry for each address of the pool, and has their codes in the end. */
static enum sc_status sort_pool(struct sc_column_coder *coder, uint32_t *places)
{
    const struct sc_address_pool *pool = &coder->batch->pool;
    struct sc_address_set *set = &coder->encoder->addresses;
    struct sc_coded_column *coded;
    if (!sc_address_set_reserve(set, pool->count))
        return SC_NOMEM;
    for (uint32_t i = 0; (coded = address_column(coder, i)) != NULL; i++)
        mark_used(coded->column, coder->batch->rows, places);
    take_marked(set, pool, places);
    SC_TRY(sc_address_set_sort(set));
    for (uint32_t i = 0; i < pool->count && set->count != 0; i++)
        places[i] = set->rank[places[i]]; /* of those that no row has any */
    for (uint32_t i = 0; (coded = address_column(coder, i)) != NULL; i++)
        pool_to_code(coded, coder->batch->rows, places);
    return SC_OK;
}

static enum sc_status code_pool(struct sc_column_coder *coder)
{
    uint32_t *places = calloc((size_t)coder->batch->pool.count + 1, sizeof(*places));
    enum sc_status status = places == NULL ? SC_NOMEM : sort_pool(coder, places);
    free(places);
    return status;
}

static enum sc_status code_flat(struct sc_column_coder *coder)
{
    struct sc_coded_column *coded;
    for (uint32_t i = 0; (coded = address_column(coder, i)) != NULL; i++)
        SC_TRY(collect_addresses(coder, coded));
    SC_TRY(sc_address_set_sort(&coder->encoder->addresses));
    for (uint32_t i = 0; (coded = address_column(coder, i)) != NULL; i++)
        arrival_to_code(coder, coded);
    return SC_OK;
}

static enum sc_status code_addresses(struct sc_column_coder *coder)
{
    const struct sc_batch *batch = coder->batch;
    coder->addresses = calloc((size_t)batch->slots + 1, sizeof(*coder->addresses));
    if (coder->addresses == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i];
        if (c == NULL || c->rows == 0 || c->nulls == c->rows || c->key.kind != SC_COLUMN_ADDRESS)
            continue;
        struct sc_coded_column *coded = &coder->addresses[coder->address_count++];
        coded->column = c;
        coded->entry = SC_NO_REFERENCE;
        coded->codes = calloc(batch->rows, sizeof(*coded->codes));
        if (coded->codes == NULL)
            return SC_NOMEM;
    }
    SC_TRY(batch->pools ? code_pool(coder) : code_flat(coder));
    coder->encoder->bound = "2^24 addresses";
    return coder->encoder->addresses.count > SC_MAX_ADDRESSES ? SC_LIMIT : SC_OK;
}

enum sc_status sc_column_coder_init(struct sc_column_coder *coder, struct sc_column_encoder *encoder,
                                    const struct sc_batch *batch)
{
    *coder = (struct sc_column_coder){.encoder = encoder, .batch = batch};
    sc_address_set_clear(&encoder->addresses);
    encoder->addresses.seed = encoder->seed;
    SC_TRY(code_addresses(coder));
    size_t most = batch->rows > encoder->addresses.count ? batch->rows : encoder->addresses.count;
    coder->values = malloc((size_t)batch->rows * sizeof(uint64_t));
    coder->mapped = malloc(most * sizeof(uint64_t));
    coder->known = malloc((size_t)encoder->addresses.count + 1);
    coder->present = malloc((size_t)batch->rows * sizeof(uint32_t));
    return coder->values == NULL || coder->mapped == NULL || coder->known == NULL || coder->present == NULL
               ? SC_NOMEM
               : SC_OK;
}

void sc_column_coder_free(struct sc_column_coder *coder)
{
    for (uint32_t i = 0; i < coder->address_count; i++)
        free(coder->addresses[i].codes);
    free(coder->addresses);
    free(coder->values);
    free(coder->mapped);
    free(coder->known);
    free(coder->present);
    *coder = (struct sc_column_coder){0};
}

/* ---- null bitmap: in front of every chunk that has nulls ---- */

static enum sc_status put_validity(struct sc_column_coder *coder, const struct sc_column *c,
                                   struct sc_buf *out)
{
    if (c->nulls == 0)
        return SC_OK;
    uint32_t rows = coder->batch->rows;
    size_t words = sc_bitmap_words(rows);
    uint64_t last = rows % 64 == 0 ? ~UINT64_C(0) : (UINT64_C(1) << (rows % 64)) - 1;
    uint64_t *bits = malloc(words * sizeof(*bits));
    if (bits == NULL)
        return SC_NOMEM;
    memcpy(bits, c->valid, words * sizeof(*bits));
    bits[words - 1] &= last;
    enum sc_status status =
        sc_stream_put_bytes(&coder->encoder->streams, bits, (uint32_t)(words * sizeof(*bits)), out);
    free(bits);
    return status;
}

/* ---- integers ---- */

/* Moves the numbers of rows that are not null to the front. @return how many these are. */
#define PACK_PRESENT(numbers)                                                                                \
    for (uint32_t row = 0; row < rows; row++) {                                                              \
        (numbers)[n] = (numbers)[row];                                                                       \
        n += (uint32_t)(c->valid[row / 64] >> (row % 64) & 1);                                               \
    }

/* Values that are not null to coder->values; their number. */
static uint32_t present_values(struct sc_column_coder *coder, const struct sc_column *c)
{
    uint32_t rows = coder->batch->rows, n = 0;
    sc_column_widen(c, rows, coder->values);
    if (c->nulls == 0)
        return rows;
    PACK_PRESENT(coder->values)
    return n;
}

static int compare_u64(const void *x, const void *y)
{
    uint64_t a, b;
    memcpy(&a, x, sizeof(a));
    memcpy(&b, y, sizeof(b));
    return a < b ? -1 : a > b;
}

struct distinct {
    uint64_t
        multiplier; /* odd, and nobody knows it: multiply-shift, no two values are likelier to meet than others */
    uint64_t values[MAX_DISTINCT];
    uint16_t table[DISTINCT_TABLE]; /* index + 1 */
    uint32_t count;
};

static uint16_t *distinct_place(struct distinct *d, uint64_t value)
{
    uint32_t i = (uint32_t)(value * d->multiplier >> (64 - DISTINCT_BITS));
    while (d->table[i] != 0 && d->values[d->table[i] - 1] != value)
        i = (i + 1) % DISTINCT_TABLE;
    return &d->table[i];
}

/* False when there are too many. Then sorted, with the table pointing at the sorted places. */
static bool find_distinct(struct distinct *d, const uint64_t *values, uint32_t count)
{
    d->count = 0;
    memset(d->table, 0, sizeof(d->table));
    for (uint32_t i = 0; i < count; i++) {
        uint16_t *place = distinct_place(d, values[i]);
        if (*place != 0)
            continue;
        if (d->count == MAX_DISTINCT)
            return false;
        d->values[d->count] = values[i];
        *place = (uint16_t)++d->count;
    }
    qsort(d->values, d->count, sizeof(d->values[0]), compare_u64);
    memset(d->table, 0, sizeof(d->table));
    for (uint32_t i = 0; i < d->count; i++)
        *distinct_place(d, d->values[i]) = (uint16_t)(i + 1);
    return true;
}

/* What is clearly less than the least so far is better: it must be worth another encoding. */
static bool is_better(const struct sc_column_coder *coder, size_t size)
{
    return size + size / 32 < coder->least;
}

/* Keeps the trial when it is better than the best so far. */
static void keep_better(struct sc_column_coder *coder, struct sc_entry *entry, enum sc_encoding encoding,
                        uint32_t reference, uint32_t dict_count)
{
    struct sc_column_encoder *encoder = coder->encoder;
    if (!sc_buf_ok(&encoder->trial) || !is_better(coder, encoder->trial.len))
        return;
    struct sc_buf swap = encoder->best;
    encoder->best = encoder->trial;
    encoder->trial = swap;
    coder->least = encoder->best.len;
    entry->encoding = (uint8_t)encoding;
    entry->reference = reference;
    entry->dict_count = dict_count;
}

/* The `count` numbers in coder->mapped to the trial, unless a sample of them says that this is not worth it. */
static enum sc_status try_mapped(struct sc_column_coder *coder, uint32_t count, struct sc_entry *entry,
                                 enum sc_encoding encoding, uint32_t reference)
{
    struct sc_column_encoder *encoder = coder->encoder;
    if (!is_better(coder, sc_stream_estimate(&encoder->streams, coder->mapped, count)))
        return SC_OK;
    sc_buf_clear(&encoder->trial);
    SC_TRY(sc_stream_put_integers(&encoder->streams, coder->mapped, count, &encoder->trial));
    keep_better(coder, entry, encoding, reference, 0);
    return SC_OK;
}

/* Codes of so many values take the bits that number them; exceptions may save a quarter. Of layouts that are compressed nobody knows. */
static bool is_worth_codes(const struct sc_column_coder *coder, uint32_t count, uint32_t distinct)
{
    if (distinct < 2 || distinct >= count / 4)
        return false;
    unsigned bits = 32 - (unsigned)__builtin_clz(distinct - 1);
    return !coder->estimated || is_better(coder, (size_t)count * bits / 8 / 4 * 3);
}

static enum sc_status try_dictionary(struct sc_column_coder *coder, uint32_t count, struct sc_entry *entry)
{
    struct sc_column_encoder *encoder = coder->encoder;
    struct distinct *d = malloc(sizeof(*d));
    if (d == NULL)
        return SC_NOMEM;
    enum sc_status status = SC_OK;
    d->multiplier = encoder->seed | 1;
    if (find_distinct(d, coder->values, count) && is_worth_codes(coder, count, d->count)) {
        for (uint32_t i = 0; i < count; i++)
            coder->mapped[i] = (uint64_t)*distinct_place(d, coder->values[i]) - 1;
        sc_buf_clear(&encoder->trial);
        status = sc_stream_put_integers(&encoder->streams, d->values, d->count, &encoder->trial);
        if (status == SC_OK)
            status = sc_stream_put_integers(&encoder->streams, coder->mapped, count, &encoder->trial);
        if (status == SC_OK)
            keep_better(coder, entry, SC_ENCODING_DICT, SC_NO_REFERENCE, d->count);
    }
    free(d);
    return status;
}

/* So many rows mostly show that a column is no function. */
#define FIRST_ROWS 1024u

/* The value of each address in the rows, the last one, and which addresses there are. */
static void map_codes(struct sc_column_coder *coder, const uint32_t *codes, uint32_t count)
{
    memset(coder->known, 0, coder->encoder->addresses.count);
    for (uint32_t i = 0; i < count; i++) {
        coder->mapped[codes[i]] = coder->values[i];
        coder->known[codes[i]] = 1;
    }
}

/* Whether each row has the value of its address. */
static bool agrees(const struct sc_column_coder *coder, const uint32_t *codes, uint32_t count)
{
    uint64_t differ = 0;
    for (uint32_t i = 0; i < count; i++)
        differ |= coder->mapped[codes[i]] ^ coder->values[i];
    return differ == 0;
}

/*
 * The value per address when the column is a function of it, in coder->mapped. coder->values holds the `count` values of the rows that
 * are not null, one behind the other, `codes` their addresses.
 */
static bool is_function(struct sc_column_coder *coder, const uint32_t *codes, uint32_t count)
{
    uint32_t addresses = coder->encoder->addresses.count, few = count < FIRST_ROWS ? count : FIRST_ROWS;
    map_codes(coder, codes, few);
    if (!agrees(coder, codes, few))
        return false;
    map_codes(coder, codes, count);
    if (!agrees(coder, codes, count))
        return false;
    /* An address without a value repeats its neighbour's: the order is that of the prefixes. */
    uint64_t previous = coder->values[0];
    for (uint32_t i = 0; i < addresses; i++) {
        if (coder->known[i] == 0)
            coder->mapped[i] = previous;
        previous = coder->mapped[i];
    }
    return true;
}

/* The codes of the rows in which `c` is not null. */
static const uint32_t *codes_where(struct sc_column_coder *coder, const struct sc_column *c,
                                   const uint32_t *codes)
{
    uint32_t rows = coder->batch->rows, n = 0;
    if (c->nulls == 0)
        return codes;
    for (uint32_t row = 0; row < rows; row++) {
        coder->present[n] = codes[row];
        n += (uint32_t)(c->valid[row / 64] >> (row % 64) & 1);
    }
    return coder->present;
}

static enum sc_status try_functions(struct sc_column_coder *coder, const struct sc_column *c, uint32_t count,
                                    struct sc_entry *entry)
{
    for (uint32_t i = 0; i < coder->address_count && i < MOST_ARGUMENTS; i++) {
        const struct sc_coded_column *coded = &coder->addresses[i];
        if (coded->column->nulls == 0 && coded->entry != SC_NO_REFERENCE &&
            is_function(coder, codes_where(coder, c, coded->codes), count))
            SC_TRY(try_mapped(coder, coder->encoder->addresses.count, entry, SC_ENCODING_FUNCTION,
                              coded->entry));
    }
    return SC_OK;
}

static enum sc_status try_difference(struct sc_column_coder *coder, const struct sc_column *c,
                                     struct sc_entry *entry)
{
    struct sc_column_key base_key;
    if (!sc_column_partner_of(c->key, &base_key))
        return SC_OK;
    for (uint32_t i = 0; i < coder->base_count; i++) {
        const struct sc_column *base = coder->bases[i].column;
        if (!sc_column_key_equal(base->key, base_key) || base->nulls != 0)
            continue;
        for (uint32_t row = 0; row < coder->batch->rows; row++) {
            int64_t d = (int64_t)(coder->values[row] - sc_column_u64(base, row));
            coder->mapped[row] = (uint64_t)d << 1 ^ (uint64_t)(d >> 63);
        }
        SC_TRY(try_mapped(coder, coder->batch->rows, entry, SC_ENCODING_DIFFERENCE, coder->bases[i].entry));
    }
    return SC_OK;
}

struct range {
    uint64_t min, max;
};

#define RANGE(type)                                                                                          \
    do {                                                                                                     \
        const type *v = c->values;                                                                           \
        type least = v[0], most = v[0];                                                                      \
        for (uint32_t i = 1; i < count; i++) {                                                               \
            least = v[i] < least ? v[i] : least;                                                             \
            most = v[i] > most ? v[i] : most;                                                                \
        }                                                                                                    \
        range = (struct range){least, most};                                                                 \
    } while (0)

/* Narrow values where they lie, which is sooner done. */
static struct range range_of_values(const struct sc_column *c, const uint64_t *values, uint32_t count)
{
    struct range range = {values[0], values[0]};
    if (c->key.kind == SC_COLUMN_UINT && c->form == SC_FORM_FLAT && c->nulls == 0) {
        SC_BY_WIDTH(c->width, RANGE);
        return range;
    }
    for (uint32_t i = 1; i < count; i++) {
        range.min = values[i] < range.min ? values[i] : range.min;
        range.max = values[i] > range.max ? values[i] : range.max;
    }
    return range;
}

static void describe_integers(const struct sc_column *c, const uint64_t *values, uint32_t count,
                              struct sc_entry *entry)
{
    const struct range range = range_of_values(c, values, count);
    bool ordered = c->key.kind == SC_COLUMN_UINT || c->key.kind == SC_COLUMN_ADDRESS;
    entry->min = ordered ? range.min : 0;
    entry->max = ordered ? range.max : UINT64_MAX;
    bool wide = !ordered || range.max > UINT32_MAX;
    entry->width = wide ? 8 : range.max > UINT16_MAX ? 4 : range.max > UINT8_MAX ? 2 : 1;
}

static void remember_base(struct sc_column_coder *coder, const struct sc_column *c, uint32_t number)
{
    if (c->key.kind != SC_COLUMN_UINT || c->nulls != 0 ||
        coder->base_count == sizeof(coder->bases) / sizeof(coder->bases[0]))
        return;
    bool time =
        (c->key.pen == SC_PEN_IANA && c->key.id >= 150 && c->key.id <= 156) ||
        (c->key.pen == SC_PEN_COLLECTOR && (c->key.id == SC_IE_FLOW_START || c->key.id == SC_IE_EXPORT_TIME));
    if (time) {
        coder->bases[coder->base_count].column = c;
        coder->bases[coder->base_count++].entry = number;
    }
}

/* What is tried beside the values themselves; a function that holds says more than a dictionary. */
static enum sc_status try_others(struct sc_column_coder *coder, const struct sc_column *c, uint32_t count,
                                 struct sc_entry *entry)
{
    SC_TRY(
        try_functions(coder, c, count, entry)); /* also of addresses: a next hop is one of the destination */
    if (entry->encoding == SC_ENCODING_FUNCTION)
        return SC_OK;
    if (entry->width >= 2 && c->key.kind != SC_COLUMN_ADDRESS)
        SC_TRY(try_dictionary(coder, count, entry));
    return c->nulls == 0 ? try_difference(coder, c, entry) : SC_OK;
}

/* The `count` numbers in coder->values, of the rows that are not null: integers, or codes of addresses. What they take is estimated
 * where it can be: of most columns that are better encoded otherwise they need not be encoded then. */
static enum sc_status encode_numbers(struct sc_column_coder *coder, const struct sc_column *c, uint32_t count,
                                     struct sc_entry *entry, struct sc_buf *out)
{
    struct sc_column_encoder *encoder = coder->encoder;
    describe_integers(c, coder->values, count, entry);
    if (encoder->streams.effort == SC_EFFORT_LIVE)
        return sc_stream_put_integers(&encoder->streams, coder->values, count, out);
    sc_buf_clear(&encoder->best);
    coder->least = sc_stream_estimate(&encoder->streams, coder->values, count);
    coder->estimated = coder->least != 0;
    if (!coder->estimated) {
        SC_TRY(sc_stream_put_integers(&encoder->streams, coder->values, count, &encoder->best));
        coder->least = encoder->best.len;
    }
    if (coder->least > 64 + count / 32)
        SC_TRY(try_others(coder, c, count, entry));
    if (encoder->best.len == 0)
        return sc_stream_put_integers(&encoder->streams, coder->values, count, out);
    sc_buf_append(out, encoder->best.data, encoder->best.len);
    return sc_buf_ok(&encoder->best) && sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

/* ---- addresses ---- */

static enum sc_status encode_codes(struct sc_column_coder *coder, const struct sc_column *c, uint32_t number,
                                   struct sc_entry *entry, struct sc_buf *out)
{
    struct sc_coded_column *coded = coder->addresses;
    while (coded->column != c)
        coded++;
    uint32_t n = 0;
    for (uint32_t row = 0; row < coder->batch->rows; row++) {
        if (!sc_column_is_null(c, row))
            coder->values[n++] = coded->codes[row];
    }
    entry->encoding = SC_ENCODING_CODES;
    SC_TRY(encode_numbers(coder, c, n, entry, out));
    entry->dict_count = coder->encoder->addresses.count;
    if (entry->encoding == SC_ENCODING_CODES) /* what others may be functions of */
        coded->entry = number;
    return SC_OK;
}

/* ---- bytes ---- */

struct byte_value {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t index;
};

static int compare_bytes(const void *x, const void *y)
{
    const struct byte_value *a = x, *b = y;
    uint32_t n = a->length < b->length ? a->length : b->length;
    int order = n == 0 ? 0 : memcmp(a->bytes, b->bytes, n);
    return order != 0 ? order : a->length < b->length ? -1 : a->length > b->length;
}

static enum sc_status put_byte_values(struct sc_column_coder *coder, const struct byte_value *values,
                                      uint32_t count, struct sc_buf *out)
{
    struct sc_buf heap = {0};
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += values[i].length;
    if (total > SC_MAX_ROW_GROUP_BYTES) {
        coder->encoder->bound = "1 GiB in a column";
        return SC_LIMIT;
    }
    for (uint32_t i = 0; i < count; i++) {
        coder->mapped[i] = values[i].length;
        sc_buf_append(&heap, values[i].bytes, values[i].length);
    }
    enum sc_status status = sc_buf_ok(&heap) ? SC_OK : SC_NOMEM;
    if (status == SC_OK)
        status = sc_stream_put_integers(&coder->encoder->streams, coder->mapped, count, out);
    if (status == SC_OK)
        status = sc_stream_put_bytes(&coder->encoder->streams, heap.data, (uint32_t)total, out);
    sc_buf_free(&heap);
    return status;
}

/* Distinct values of `all`: sorted copies to the front of `all`; each row's code to coder->values. Their
 * number. */
static uint32_t reduce_bytes(struct sc_column_coder *coder, struct byte_value *all, uint32_t count)
{
    qsort(all, count, sizeof(*all), compare_bytes);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || compare_bytes(&all[distinct - 1], &all[i]) != 0) {
            all[distinct++] = all[i];
        }
        coder->values[all[i].index] = distinct - 1;
    }
    return distinct;
}

static enum sc_status encode_bytes(struct sc_column_coder *coder, const struct sc_column *c,
                                   struct sc_entry *entry, struct sc_buf *out)
{
    uint32_t rows = coder->batch->rows, n = 0;
    struct byte_value *all = malloc((size_t)rows * sizeof(*all));
    struct byte_value *sorted = malloc((size_t)rows * sizeof(*sorted));
    enum sc_status status = all == NULL || sorted == NULL ? SC_NOMEM : SC_OK;
    for (uint32_t row = 0; row < rows && status == SC_OK; row++) {
        if (sc_column_is_null(c, row))
            continue;
        all[n].bytes = sc_column_bytes(c, row, &all[n].length);
        all[n].index = n;
        sorted[n] = all[n];
        n++;
    }
    if (status == SC_OK) {
        uint32_t distinct = reduce_bytes(coder, sorted, n);
        bool dict = distinct <= n / 2 || distinct == 1;
        entry->encoding = dict ? SC_ENCODING_BYTES_DICT : SC_ENCODING_BYTES;
        entry->dict_count = dict ? distinct : 0;
        status = put_byte_values(coder, dict ? sorted : all, dict ? distinct : n, out);
        if (status == SC_OK && dict)
            status = sc_stream_put_integers(&coder->encoder->streams, coder->values, n, out);
    }
    free(all);
    free(sorted);
    return status;
}

enum sc_status sc_column_encode(struct sc_column_coder *coder, const struct sc_column *column,
                                uint32_t number, struct sc_entry *entry, struct sc_buf *out)
{
    *entry = (struct sc_entry){
        .key = column->key, .role = SC_CHUNK_COLUMN, .nulls = column->nulls, .reference = SC_NO_REFERENCE};
    SC_TRY(put_validity(coder, column, out));
    if (column->key.kind == SC_COLUMN_ADDRESS)
        return encode_codes(coder, column, number, entry, out);
    if (column->key.kind == SC_COLUMN_BYTES)
        return encode_bytes(coder, column, entry, out);
    entry->encoding = SC_ENCODING_VALUES;
    SC_TRY(encode_numbers(coder, column, present_values(coder, column), entry, out));
    remember_base(coder, column, number);
    return SC_OK;
}
