// SPDX-License-Identifier: BSD-3-Clause
#include "flow/batch.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

/* Sets of lengths: bit i, i bytes. */
#define ANY  UINT32_MAX
#define TO_8 0x1fe

/* Of an abstract data type: the kind of column, its width, and the lengths on the wire, of which bytes may have greater ones too. */
static const struct {
    uint8_t kind, width;
    uint32_t lengths;
} types[SC_TYPE_COUNT] = {
    [SC_TYPE_OCTET_ARRAY] = {SC_COLUMN_BYTES, 0, ANY},
    [SC_TYPE_UNSIGNED8] = {SC_COLUMN_UINT, 1, TO_8},
    [SC_TYPE_UNSIGNED16] = {SC_COLUMN_UINT, 2, TO_8},
    [SC_TYPE_UNSIGNED32] = {SC_COLUMN_UINT, 4, TO_8},
    [SC_TYPE_UNSIGNED64] = {SC_COLUMN_UINT, 8, TO_8},
    [SC_TYPE_SIGNED8] = {SC_COLUMN_INT, 1, TO_8},
    [SC_TYPE_SIGNED16] = {SC_COLUMN_INT, 2, TO_8},
    [SC_TYPE_SIGNED32] = {SC_COLUMN_INT, 4, TO_8},
    [SC_TYPE_SIGNED64] = {SC_COLUMN_INT, 8, TO_8},
    [SC_TYPE_FLOAT32] = {SC_COLUMN_FLOAT, 8, 1 << 4 | 1 << 8},
    [SC_TYPE_FLOAT64] = {SC_COLUMN_FLOAT, 8, 1 << 4 | 1 << 8},
    [SC_TYPE_BOOLEAN] = {SC_COLUMN_UINT, 1, TO_8},
    [SC_TYPE_MAC_ADDRESS] = {SC_COLUMN_UINT, 8, 1 << 6},
    [SC_TYPE_STRING] = {SC_COLUMN_BYTES, 0, ANY},
    [SC_TYPE_DATE_TIME_SECONDS] = {SC_COLUMN_UINT, 4, 1 << 4},
    [SC_TYPE_DATE_TIME_MILLISECONDS] = {SC_COLUMN_UINT, 8, 1 << 8},
    [SC_TYPE_DATE_TIME_MICROSECONDS] = {SC_COLUMN_UINT, 8, 1 << 8},
    [SC_TYPE_DATE_TIME_NANOSECONDS] = {SC_COLUMN_UINT, 8, 1 << 8},
    [SC_TYPE_IPV4_ADDRESS] = {SC_COLUMN_ADDRESS, 16, 1 << 4},
    [SC_TYPE_IPV6_ADDRESS] = {SC_COLUMN_ADDRESS, 16, 1 << 16},
    [SC_TYPE_BASIC_LIST] = {SC_COLUMN_BYTES, 0, ANY},
    [SC_TYPE_SUB_TEMPLATE_LIST] = {SC_COLUMN_BYTES, 0, ANY},
    [SC_TYPE_SUB_TEMPLATE_MULTI_LIST] = {SC_COLUMN_BYTES, 0, ANY},
};

enum sc_column_kind sc_column_kind_of(enum sc_ie_type type)
{
    return (enum sc_column_kind)types[type].kind;
}

unsigned sc_column_width_of(enum sc_ie_type type)
{
    return types[type].width;
}

bool sc_column_length_fits(enum sc_ie_type type, uint32_t length)
{
    return length < 32 ? (types[type].lengths >> length & 1) != 0 : types[type].lengths == ANY;
}

/* ---- reading ---- */

static uint64_t sign_extend(uint64_t v, unsigned width)
{
    unsigned shift = 64 - 8 * width;
    return (uint64_t)((int64_t)(v << shift) >> shift);
}

uint64_t sc_column_u64(const struct sc_column *c, uint32_t row)
{
    if (sc_column_is_null(c, row))
        return 0;
    uint64_t v = sc_column_uint(c, row);
    return c->key.kind == SC_COLUMN_INT && c->form == SC_FORM_FLAT ? sign_extend(v, c->width) : v;
}

const struct sc_addr *sc_column_addr(const struct sc_column *c, uint32_t row)
{
    if (c->form == SC_FORM_FLAT)
        return (const struct sc_addr *)c->values + row;
    return (const struct sc_addr *)c->dict.values + sc_column_code(c, row);
}

const uint8_t *sc_column_bytes(const struct sc_column *c, uint32_t row, uint32_t *length)
{
    const uint32_t *offsets = c->offsets;
    const uint8_t *heap = c->heap;
    if (c->form != SC_FORM_FLAT) {
        if (sc_column_is_null(c, row)) {
            *length = 0;
            return (const uint8_t *)"";
        }
        offsets = c->dict.offsets;
        heap = c->dict.heap;
        row = sc_column_code(c, row);
    }
    *length = offsets[row + 1] - offsets[row];
    return heap == NULL ? (const uint8_t *)"" : heap + offsets[row];
}

/* ---- schema ---- */

#define LEAST_KEYS 64u /* that there is room for at first */

void sc_schema_init(struct sc_schema *schema, uint32_t limit)
{
    *schema = (struct sc_schema){.limit = limit, .seed = sc_hash_draw_seed()};
}

void sc_schema_free(struct sc_schema *schema)
{
    free(schema->keys);
    sc_table_free(&schema->table);
    *schema = (struct sc_schema){.limit = schema->limit, .seed = schema->seed};
}

static uint64_t hash_of(const struct sc_schema *schema, struct sc_column_key key)
{
    return sc_hash_u64(sc_column_key_bits(key), schema->seed);
}

static bool make_place(struct sc_schema *schema)
{
    uint32_t more = schema->count == 0 ? LEAST_KEYS : 1;
    if (schema->count < schema->table.size / 2)
        return true;
    return sc_array_more(schema->keys, schema->count, more) && sc_table_reserve(&schema->table, more);
}

uint32_t sc_schema_find(const struct sc_schema *schema, struct sc_column_key key)
{
    struct sc_probe p = sc_table_first(&schema->table, hash_of(schema, key));
    while (p.number != SC_TABLE_NONE && !sc_column_key_equal(schema->keys[p.number], key))
        sc_table_next(&schema->table, &p);
    return p.number == SC_TABLE_NONE ? SC_NO_SLOT : p.number;
}

uint32_t sc_schema_slot(struct sc_schema *schema, struct sc_column_key key)
{
    uint32_t slot = sc_schema_find(schema, key);
    if (slot != SC_NO_SLOT)
        return slot;
    if (schema->count >= schema->limit || !make_place(schema))
        return SC_NO_SLOT;
    schema->keys[schema->count] = key;
    sc_table_add(&schema->table, hash_of(schema, key), schema->count);
    return schema->count++;
}

/* Forgets all keys, keeps the memory. */
static void clear_schema(struct sc_schema *schema)
{
    schema->count = 0;
    sc_table_clear(&schema->table);
}

/* ---- columns: room ---- */

/* That a column has room for at first. */
#define LEAST_ROWS 64u
/* What a batch may have been given beyond twice what it needs, before the rest is given back. */
#define SLACK ((size_t)64 << 10)

static void free_column(struct sc_column *c)
{
    if (c == NULL)
        return;
    free(c->valid);
    free(c->values);
    free(c->offsets);
    free(c->heap);
    free(c);
}

/* To more or fewer bytes: a column grows to what its rows need, and gives back what they don't (sc_batch_pack). */
static bool resize_array(void *pointer, size_t size)
{
    void *old;
    memcpy(&old, pointer, sizeof(old));
    void *p = realloc(old, size);
    if (p != NULL)
        memcpy(pointer, &p, sizeof(p));
    return p != NULL;
}

static bool column_reserve(struct sc_column *c, uint32_t rows)
{
    if (rows <= c->capacity)
        return true;
    uint32_t capacity = c->capacity < LEAST_ROWS ? LEAST_ROWS : c->capacity;
    while (capacity < rows)
        capacity *= 2;
    if (c->key.kind == SC_COLUMN_BYTES) {
        bool fresh = c->offsets == NULL;
        if (!resize_array(&c->offsets, ((size_t)capacity + 1) * sizeof(*c->offsets)))
            return false;
        if (fresh)
            c->offsets[0] = 0;
    } else if (!resize_array(&c->values, (size_t)capacity * c->width)) {
        return false;
    }
    if (c->valid != NULL && !resize_array(&c->valid, sc_bitmap_words(capacity) * sizeof(*c->valid)))
        return false;
    c->capacity = capacity;
    return true;
}

/* All rows so far valid; bits past `rows` are undefined and set as rows are put. */
static bool need_valid(struct sc_column *c)
{
    if (c->valid != NULL)
        return true;
    c->valid = malloc(sc_bitmap_words(c->capacity) * sizeof(*c->valid));
    if (c->valid == NULL)
        return false;
    memset(c->valid, 0xff, sc_bitmap_words(c->capacity) * sizeof(*c->valid));
    return true;
}

/* The bits of rows [row, end) as far as they lie in the word of `row`. */
static uint64_t bits_in_word(uint32_t row, uint32_t end)
{
    uint64_t bits = ~UINT64_C(0) << row % 64;
    return end / 64 == row / 64 ? bits & ((UINT64_C(1) << end % 64) - 1) : bits;
}

static void set_valid_range(struct sc_column *c, uint32_t first, uint32_t n, bool valid)
{
    for (uint32_t row = first; row < first + n; row = (row / 64 + 1) * 64) {
        if (valid)
            c->valid[row / 64] |= bits_in_word(row, first + n);
        else
            c->valid[row / 64] &= ~bits_in_word(row, first + n);
    }
}

static void zero_values(struct sc_column *c, uint32_t first, uint32_t n)
{
    if (c->key.kind == SC_COLUMN_BYTES) {
        for (uint32_t i = 0; i < n; i++)
            c->offsets[first + i + 1] = c->offsets[first];
    } else {
        memset((uint8_t *)c->values + (size_t)first * c->width, 0, (size_t)n * c->width);
    }
}

enum sc_status sc_column_mark_null(struct sc_column *c, uint32_t first, uint32_t n)
{
    if (n == 0)
        return SC_OK;
    if (!need_valid(c))
        return SC_NOMEM;
    set_valid_range(c, first, n, false);
    c->nulls += n;
    return SC_OK;
}

static bool pad_to(struct sc_column *c, uint32_t rows)
{
    if (c->rows >= rows)
        return true;
    uint32_t n = rows - c->rows;
    if (!column_reserve(c, rows) || sc_column_mark_null(c, c->rows, n) != SC_OK)
        return false;
    zero_values(c, c->rows, n);
    c->rows = rows;
    return true;
}

static bool widen(struct sc_column *c, unsigned width)
{
    void *wide = malloc((size_t)c->capacity * width);
    if (wide == NULL)
        return false;
    for (uint32_t row = 0; row < c->rows; row++) {
        uint64_t v = sc_column_stored(c, row);
        if (c->key.kind == SC_COLUMN_INT)
            v = sign_extend(v, c->width);
        memcpy((uint8_t *)wide + (size_t)row * width, &v, width);
    }
    free(c->values);
    c->values = wide;
    c->width = (uint8_t)width;
    return true;
}

/* ---- batch ---- */

struct sc_batch *sc_batch_create(enum sc_record_kind kind)
{
    struct sc_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return NULL;
    batch->record_kind = (uint8_t)kind;
    sc_schema_init(&batch->schema, UINT32_MAX);
    batch->serial = batch->schema.seed;
    return batch;
}

void sc_batch_free(struct sc_batch *batch)
{
    if (batch == NULL)
        return;
    for (uint32_t i = 0; i < batch->slots; i++)
        free_column(batch->columns[i]);
    free(batch->columns);
    free(batch->pool.values);
    free(batch->spans);
    sc_schema_free(&batch->schema);
    free(batch);
}

/* Frees the columns that have no rows. True: some went. */
static bool drop_unused(struct sc_batch *batch)
{
    uint32_t kept = 0, slots = batch->schema.count < batch->slots ? batch->schema.count : batch->slots;
    for (uint32_t i = 0; i < slots; i++) {
        struct sc_column *c = batch->columns[i];
        bool keep = c != NULL && c->rows != 0;
        batch->columns[i] = NULL;
        if (keep)
            batch->columns[kept++] = c;
        else
            free_column(c);
    }
    bool went = kept != batch->schema.count;
    if (went)
        clear_schema(&batch->schema);
    for (uint32_t i = 0; i < kept && went; i++)
        sc_schema_slot(&batch->schema, batch->columns[i]->key); /* there is room: there were more */
    return went;
}

void sc_batch_reset(struct sc_batch *batch)
{
    drop_unused(batch);
    for (uint32_t i = 0; i < batch->schema.count; i++) {
        struct sc_column *c = batch->columns[i];
        c->rows = c->nulls = 0;
        free(c->valid);
        c->valid = NULL;
    }
    batch->rows = batch->used = batch->row_bytes = 0;
    batch->heap_bytes = 0;
    batch->pool.count = 0;
    batch->pool.source = NULL;
    batch->serial++;
    batch->window_ms = 0;
    free(batch->spans);
    batch->spans = NULL;
    batch->span_count = 0;
}

/* Of a value, or of its place in the heap. */
static unsigned place_bytes(const struct sc_column *c)
{
    return c->key.kind == SC_COLUMN_BYTES ? sizeof(uint32_t) : c->width;
}

size_t sc_batch_memory(const struct sc_batch *batch)
{
    size_t total = 0;
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i];
        if (c == NULL)
            continue;
        total += sizeof(*c) + c->heap_cap + (size_t)c->capacity * place_bytes(c);
        total += c->valid == NULL ? 0 : sc_bitmap_words(c->capacity) * sizeof(*c->valid);
    }
    return total + batch->pool.capacity * sizeof(*batch->pool.values) +
           batch->slots * sizeof(struct sc_column *);
}

/* What cannot be moved stays where it is. */
static void trim_column(struct sc_column *c)
{
    size_t heap = c->key.kind == SC_COLUMN_BYTES ? c->offsets[c->rows] : 0;
    if (c->heap_cap > heap) {
        (void)resize_array(&c->heap, heap == 0 ? 1 : heap);
        c->heap_cap = heap;
    }
    if (c->key.kind == SC_COLUMN_BYTES)
        (void)resize_array(&c->offsets, ((size_t)c->rows + 1) * sizeof(*c->offsets));
    else
        (void)resize_array(&c->values, (size_t)c->rows * c->width);
    if (c->valid != NULL)
        (void)resize_array(&c->valid, sc_bitmap_words(c->rows) * sizeof(*c->valid));
    c->capacity = c->rows;
}

void sc_batch_pack(struct sc_batch *batch)
{
    if (sc_batch_memory(batch) <= 2 * sc_batch_finished_bytes(batch) + SLACK)
        return;
    drop_unused(batch);
    for (uint32_t i = 0; i < batch->schema.count; i++)
        trim_column(batch->columns[i]);
}

static struct sc_column *make_column(struct sc_batch *batch, uint32_t slot, struct sc_column_key key,
                                     unsigned width)
{
    if (slot >= batch->slots) {
        uint32_t slots = slot + 1 < 32 ? 32 : (slot + 1) * 2;
        if (!resize_array(&batch->columns, slots * sizeof(struct sc_column *)))
            return NULL;
        memset(batch->columns + batch->slots, 0, (slots - batch->slots) * sizeof(struct sc_column *));
        batch->slots = slots;
    }
    struct sc_column *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->key = key;
    bool address = key.kind == SC_COLUMN_ADDRESS, coded = address && batch->pools;
    c->width = (uint8_t)(coded ? sizeof(uint32_t) : address ? sizeof(struct sc_addr) : width);
    c->form = coded ? SC_FORM_DICT : SC_FORM_FLAT;
    c->heap_account = &batch->heap_bytes;
    batch->columns[slot] = c;
    return c;
}

/* The column of a key, made when new. */
static inline struct sc_column *column_of(struct sc_batch *batch, struct sc_column_key key, uint32_t *hint,
                                          unsigned width)
{
    uint32_t slot = *hint;
    if (slot >= batch->schema.count || !sc_column_key_equal(batch->schema.keys[slot], key)) {
        slot = sc_schema_slot(&batch->schema, key);
        if (slot == SC_NO_SLOT)
            return NULL;
        *hint = slot;
    }
    struct sc_column *c = slot < batch->slots ? batch->columns[slot] : NULL;
    return c != NULL ? c : make_column(batch, slot, key, width);
}

/* The first rows of a column: it counts from now on. */
static void note_used(struct sc_batch *batch, const struct sc_column *c)
{
    batch->used++;
    batch->row_bytes += place_bytes(c);
}

struct sc_column *sc_batch_begin_any(struct sc_batch *batch, struct sc_column_key key, uint32_t *hint,
                                     unsigned width, uint32_t n)
{
    uint32_t none = SC_NO_SLOT;
    struct sc_column *c = column_of(batch, key, hint == NULL ? &none : hint, width);
    if (c == NULL || !column_reserve(c, batch->rows + n))
        return NULL;
    bool fresh = c->rows == 0, integer = key.kind == SC_COLUMN_UINT || key.kind == SC_COLUMN_INT;
    if (!pad_to(c, batch->rows))
        return NULL;
    if (integer && width > c->width) {
        uint32_t more = width - c->width;
        if (!widen(c, width))
            return NULL;
        batch->row_bytes += fresh ? 0 : more;
    }
    if (fresh)
        note_used(batch, c);
    if (c->valid != NULL)
        set_valid_range(c, batch->rows, n, true);
    return c;
}

void sc_batch_commit(struct sc_batch *batch, uint32_t n)
{
    batch->rows += n;
}

static uint32_t count_nulls(const struct sc_column *c, uint32_t first, uint32_t rows)
{
    uint32_t nulls = 0;
    for (uint32_t row = first; c->valid != NULL && row < rows; row++)
        nulls += sc_column_is_null(c, row);
    return nulls;
}

/* Counts anew what columns there are: after a run that was given up. */
static void count_used(struct sc_batch *batch)
{
    batch->used = batch->row_bytes = 0;
    for (uint32_t i = 0; i < batch->slots; i++) {
        if (batch->columns[i] != NULL && batch->columns[i]->rows != 0)
            note_used(batch, batch->columns[i]);
    }
}

void sc_batch_rollback(struct sc_batch *batch)
{
    for (uint32_t i = 0; i < batch->slots; i++) {
        struct sc_column *c = batch->columns[i];
        if (c == NULL || c->rows <= batch->rows)
            continue;
        if (c->key.kind == SC_COLUMN_BYTES)
            batch->heap_bytes -= c->offsets[c->rows] - c->offsets[batch->rows];
        c->nulls -= count_nulls(c, batch->rows, c->rows);
        c->rows = batch->rows;
    }
    count_used(batch);
}

enum sc_status sc_batch_finish(struct sc_batch *batch)
{
    for (uint32_t i = 0; i < batch->slots; i++) {
        struct sc_column *c = batch->columns[i];
        if (c != NULL && c->rows != 0 && !pad_to(c, batch->rows))
            return SC_NOMEM;
        if (c != NULL && c->form == SC_FORM_DICT)
            c->dict = (struct sc_dictionary){.count = batch->pool.count, .values = batch->pool.values};
    }
    return SC_OK;
}

const struct sc_column *sc_batch_find(const struct sc_batch *batch, struct sc_column_key key)
{
    uint32_t slot = sc_batch_slot(batch, key, SC_NO_SLOT);
    const struct sc_column *c = slot == SC_NO_SLOT ? NULL : batch->columns[slot];
    return c != NULL && c->nulls < c->rows ? c : NULL;
}

/* ---- columns: one value at a time ---- */

void sc_column_put_u64(struct sc_column *c, uint64_t value)
{
    memcpy((uint8_t *)c->values + (size_t)c->rows * c->width, &value, c->width);
    c->rows++;
}

void sc_column_put_addr(struct sc_column *c, const struct sc_addr *value)
{
    ((struct sc_addr *)c->values)[c->rows++] = *value;
}

enum sc_status sc_column_put_bytes(struct sc_column *c, const void *bytes, uint32_t length)
{
    size_t at = c->offsets[c->rows];
    if (length > UINT32_MAX - at)
        return SC_LIMIT;
    if (at + length > c->heap_cap) {
        size_t cap = c->heap_cap * 2 + 64;
        if (cap < at + length)
            cap = at + length;
        if (!resize_array(&c->heap, cap))
            return SC_NOMEM;
        c->heap_cap = cap;
    }
    if (length != 0)
        memcpy(c->heap + at, bytes, length);
    *c->heap_account += length;
    c->offsets[++c->rows] = (uint32_t)(at + length);
    return SC_OK;
}

enum sc_status sc_column_put_null(struct sc_column *c)
{
    if (sc_column_mark_null(c, c->rows, 1) != SC_OK)
        return SC_NOMEM;
    zero_values(c, c->rows, 1);
    c->rows++;
    return SC_OK;
}

static enum sc_status put_from(struct sc_column *to, const struct sc_column *from, uint32_t row)
{
    if (sc_column_is_null(from, row))
        return sc_column_put_null(to);
    uint32_t length;
    if (from->key.kind == SC_COLUMN_BYTES) {
        const uint8_t *bytes = sc_column_bytes(from, row, &length);
        return sc_column_put_bytes(to, bytes, length);
    }
    if (from->key.kind == SC_COLUMN_ADDRESS)
        sc_column_put_addr(to, sc_column_addr(from, row));
    else
        sc_column_put_u64(to, sc_column_u64(from, row));
    return SC_OK;
}

static unsigned width_needed(const struct sc_column *from)
{
    if (from->key.kind != SC_COLUMN_UINT || from->form == SC_FORM_FLAT)
        return from->form == SC_FORM_FLAT ? from->width : 8;
    uint64_t max = ((const uint64_t *)from->dict.values)[from->dict.count - 1]; /* ascending */
    return max > UINT32_MAX ? 8 : max > UINT16_MAX ? 4 : max > UINT8_MAX ? 2 : 1;
}

/* Bits of rows [row, row + 64), as far as there are so many. */
static uint64_t valid_bits(const struct sc_column *c, uint32_t row)
{
    uint64_t bits = c->valid[row / 64] >> row % 64;
    if (row % 64 != 0 && row / 64 + 1 < sc_bitmap_words(c->rows))
        bits |= c->valid[row / 64 + 1] << (64 - row % 64);
    return bits;
}

/* Takes over which of the rows are null; those of `to` count as valid so far. */
static enum sc_status put_validity(struct sc_column *to, const struct sc_column *from, uint32_t first,
                                   uint32_t n)
{
    uint32_t nulls = 0;
    for (uint32_t i = 0; i < n && from->nulls != 0; i += 64) {
        uint64_t null = ~valid_bits(from, first + i);
        uint32_t at = to->rows + i;
        if (n - i < 64)
            null &= (UINT64_C(1) << (n - i)) - 1;
        if (null == 0)
            continue;
        if (!need_valid(to))
            return SC_NOMEM;
        to->valid[at / 64] &= ~(null << at % 64);
        if (at % 64 != 0 && null >> (64 - at % 64) != 0)
            to->valid[at / 64 + 1] &= ~(null >> (64 - at % 64));
        nulls += sc_bitmap_count(&null, 1);
    }
    to->nulls += nulls;
    return SC_OK;
}

#define REPEAT(type)                                                                                         \
    do {                                                                                                     \
        for (uint32_t i = 0; i < n; i++)                                                                     \
            ((type *)place)[i] = (type)value;                                                                \
    } while (0)

/* One value in all rows. */
static void put_const(void *place, unsigned width, uint64_t value, uint32_t n)
{
    if (width == 1)
        REPEAT(uint8_t);
    else if (width == 2)
        REPEAT(uint16_t);
    else if (width == 4)
        REPEAT(uint32_t);
    else
        REPEAT(uint64_t);
}

/* Integers: those of null rows are 0. */
static void put_integers(struct sc_column *to, const struct sc_column *from, uint32_t first, uint32_t n)
{
    uint8_t *place = (uint8_t *)to->values + (size_t)to->rows * to->width;
    if (from->form == SC_FORM_FLAT && from->width == to->width) {
        memcpy(place, (const uint8_t *)from->values + (size_t)first * from->width, (size_t)n * to->width);
    } else if (from->form == SC_FORM_CONST && from->nulls == 0) {
        put_const(place, to->width, *(const uint64_t *)from->dict.values, n);
    } else {
        for (uint32_t i = 0; i < n; i++, place += to->width) {
            uint64_t v = sc_column_u64(from, first + i);
            memcpy(place, &v, to->width);
        }
    }
}

static enum sc_status put_rows(struct sc_column *to, const struct sc_column *from, uint32_t first, uint32_t n)
{
    bool bytes = from->key.kind == SC_COLUMN_BYTES, address = from->key.kind == SC_COLUMN_ADDRESS;
    if (bytes || (address && from->nulls != 0)) {
        for (uint32_t row = first; row < first + n; row++)
            SC_TRY(put_from(to, from, row));
        return SC_OK;
    }
    SC_TRY(put_validity(to, from, first, n));
    if (address) {
        for (uint32_t i = 0; i < n; i++)
            ((struct sc_addr *)to->values)[to->rows + i] = *sc_column_addr(from, first + i);
    } else {
        put_integers(to, from, first, n);
    }
    to->rows += n;
    return SC_OK;
}

/* ---- addresses that stay codes ---- */

/* A dictionary of more addresses than this for each row that is taken is not taken as a whole. */
#define MOST_FOR_ROW 8u

void sc_batch_pool_addresses(struct sc_batch *batch)
{
    batch->pools = true;
}

void sc_batch_forget_source(struct sc_batch *batch)
{
    batch->pool.source = NULL;
}

static bool add_to_pool(struct sc_address_pool *pool, const struct sc_addr *values, uint32_t count)
{
    if (!sc_array_reserve(pool->values, pool->capacity, (size_t)pool->count + count))
        return false;
    memcpy(pool->values + pool->count, values, count * sizeof(*values));
    pool->base = pool->count;
    pool->count += count;
    return true;
}

/* Each address of the rows by itself: the pool is no place for those of other rows. */
static enum sc_status pool_single(struct sc_address_pool *pool, const struct sc_column *from, uint32_t first,
                                  uint32_t n, uint32_t *codes)
{
    pool->source = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (!add_to_pool(pool, sc_column_addr(from, first + i), 1))
            return SC_NOMEM;
        codes[i] = pool->base;
    }
    return SC_OK;
}

#define ADD_BASE(type)                                                                                       \
    do {                                                                                                     \
        for (uint32_t i = 0; i < n; i++)                                                                     \
            codes[i] = base + ((const type *)from->values)[first + i];                                       \
    } while (0)

/* The whole dictionary, once for all rows that follow with it. */
static enum sc_status pool_dictionary(struct sc_address_pool *pool, const struct sc_column *from,
                                      uint32_t first, uint32_t n, uint32_t *codes)
{
    if (pool->source != from->dict.values && !add_to_pool(pool, from->dict.values, from->dict.count))
        return SC_NOMEM;
    pool->source = from->dict.values;
    const uint32_t base = pool->base;
    if (from->width == 1)
        ADD_BASE(uint8_t);
    else if (from->width == 2)
        ADD_BASE(uint16_t);
    else
        ADD_BASE(uint32_t);
    return SC_OK;
}

/* Null rows have the code of some address. */
static enum sc_status put_codes(struct sc_batch *batch, struct sc_column *to, const struct sc_column *from,
                                uint32_t first, uint32_t n)
{
    uint32_t *codes = (uint32_t *)to->values + to->rows;
    bool whole = from->form == SC_FORM_DICT && from->dict.count <= (uint64_t)n * MOST_FOR_ROW;
    SC_TRY(whole ? pool_dictionary(&batch->pool, from, first, n, codes)
                 : pool_single(&batch->pool, from, first, n, codes));
    SC_TRY(put_validity(to, from, first, n));
    to->rows += n;
    return SC_OK;
}

static enum sc_status put_column(struct sc_batch *batch, struct sc_column *to, const struct sc_column *from,
                                 uint32_t first, uint32_t n)
{
    bool coded = batch->pools && from->key.kind == SC_COLUMN_ADDRESS;
    return coded ? put_codes(batch, to, from, first, n) : put_rows(to, from, first, n);
}

enum sc_status sc_batch_append_rows(struct sc_batch *to, const struct sc_column *const *columns,
                                    uint32_t column_count, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < column_count && n != 0; i++) {
        const struct sc_column *from = columns[i];
        if (from == NULL || from->rows == 0 || from->nulls == from->rows)
            continue;
        uint32_t hint = i;
        struct sc_column *c = sc_batch_begin(to, from->key, &hint, width_needed(from), n);
        enum sc_status status = c == NULL ? SC_NOMEM : put_column(to, c, from, first, n);
        if (status != SC_OK) {
            sc_batch_rollback(to);
            return status;
        }
    }
    sc_batch_commit(to, n);
    return SC_OK;
}

/* ---- weight ---- */

/* Whether any of the rows has a value. */
static bool has_value(const struct sc_column *c, uint32_t first, uint32_t n)
{
    if (c->nulls < n)
        return true;
    for (uint32_t row = first; row < first + n; row = (row / 64 + 1) * 64) {
        if ((c->valid[row / 64] & bits_in_word(row, first + n)) != 0)
            return true;
    }
    return false;
}

static uint64_t heap_bytes(const struct sc_column *c, uint32_t first, uint32_t n)
{
    if (c->form == SC_FORM_FLAT)
        return c->offsets[first + n] - c->offsets[first];
    uint64_t total = 0;
    uint32_t length;
    for (uint32_t row = first; row < first + n; row++) {
        (void)sc_column_bytes(c, row, &length);
        total += length;
    }
    return total;
}

bool sc_column_weigh(const struct sc_column *c, uint32_t first, uint32_t n, struct sc_weight *weight)
{
    if (!has_value(c, first, n))
        return false;
    bool bytes = c->key.kind == SC_COLUMN_BYTES, address = c->key.kind == SC_COLUMN_ADDRESS;
    size_t width = bytes ? sizeof(uint32_t) : address ? sizeof(struct sc_addr) : width_needed(c);
    weight->row_bits += 8 * (uint64_t)width + 1;
    weight->heap += bytes ? heap_bytes(c, first, n) : 0;
    return true;
}

struct sc_weight sc_batch_weight(const struct sc_column *const *columns, uint32_t column_count,
                                 uint32_t first, uint32_t n)
{
    struct sc_weight weight = {.rows = n};
    for (uint32_t i = 0; i < column_count; i++) {
        if (columns[i] != NULL && columns[i]->rows != 0)
            weight.columns += sc_column_weigh(columns[i], first, n, &weight);
    }
    return weight;
}
