// SPDX-License-Identifier: BSD-3-Clause
/*
 * The batch of flow records in columns: the one type that decoders fill, stores write and queries read.
 *
 * A *column* is one information element over consecutive rows. Its key is (PEN, id, instance): the n-th
 * occurrence of an element in one template is instance n - 1. Its values lie in one of three forms:
 *
 *   FLAT   values[row], of `width` bytes (integers: 1, 2, 4, 8; SC_COLUMN_ADDRESS: 16, a struct sc_addr)
 *          SC_COLUMN_BYTES: the bytes of row r are heap[offsets[r] .. offsets[r + 1])
 *   DICT   values[row] is a code of `width` bytes (1, 2, 4) into a dictionary of distinct values in ascending
 *          order (integers: uint64_t; addresses: struct sc_addr; bytes: offsets + heap, memcmp order)
 *   CONST  every row that is not null has the value of dictionary entry 0
 *
 * Decoders and other producers write FLAT only; the store's reader gives any of the three. Of addresses that are gathered to be encoded
 * again there is a fourth, DICT with a dictionary that does not ascend (sc_batch_pool_addresses).
 * A null row has bit 0 in `valid` (bit r % 64 of word r / 64) and a zero value; valid == NULL: no row is
 * null.
 *
 * Each batch has its own *schema*, which gives the key of each of its columns a small slot number. A producer that writes the same
 * columns again and again keeps the slot as a hint, also for other batches: whether it holds there is one comparison. Columns that
 * were not used since the last reset leave the batch, so that nothing outlives what needed it. A batch belongs to one thread at a
 * time and may be handed to another whole. Memory is malloc; a function that cannot get any returns SC_NOMEM or NULL and leaves the
 * batch as it was.
 */
#ifndef SC_FLOW_BATCH_H
#define SC_FLOW_BATCH_H

#include "base/addr.h"
#include "base/bounds.h"
#include "base/status.h"
#include "base/table.h"
#include "ie/ie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rows in a row group, and in a batch that is cut from the flow of records (docs/formats.md, relay/proxy.h). */
#define SC_ROW_GROUP_ROWS 65536u
#define SC_SPAN_ROWS      8192u

enum sc_column_kind {
    SC_COLUMN_UINT,    /* unsigned, boolean, MAC (48 bits), all times; 1, 2, 4 or 8 bytes wide */
    SC_COLUMN_INT,     /* signed, two's complement, sign-extended to `width` */
    SC_COLUMN_FLOAT,   /* IEEE 754 double in 8 bytes */
    SC_COLUMN_ADDRESS, /* struct sc_addr */
    SC_COLUMN_BYTES    /* octet arrays, strings, lists, and any element whose length does not fit its type */
};

enum sc_column_form { SC_FORM_FLAT, SC_FORM_DICT, SC_FORM_CONST };

struct sc_column_key {
    uint32_t pen;
    uint16_t id;
    uint8_t instance;
    uint8_t
        kind; /* enum sc_column_kind; part of the key: an address of wrong length is another, BYTES column */
};

/* The key in one number, in the order of memory: one load. */
static inline uint64_t sc_column_key_bits(struct sc_column_key key)
{
    return key.pen | (uint64_t)key.id << 32 | (uint64_t)key.instance << 48 | (uint64_t)key.kind << 56;
}

static inline bool sc_column_key_equal(struct sc_column_key a, struct sc_column_key b)
{
    return sc_column_key_bits(a) == sc_column_key_bits(b);
}

/* The kind of column that holds values of an abstract data type, and the bytes an integer of it needs. */
enum sc_column_kind sc_column_kind_of(enum sc_ie_type type);
unsigned sc_column_width_of(enum sc_ie_type type);
/* Whether a value of `length` bytes on the wire is one of the type (RFC 7011 section 6); else it is kept as bytes. */
bool sc_column_length_fits(enum sc_ie_type type, uint32_t length);

struct sc_dictionary {
    uint32_t count;
    const void *values; /* uint64_t[count] (UINT, INT, FLOAT bits) or struct sc_addr[count]; NULL for BYTES */
    const uint32_t *offsets; /* BYTES: count + 1 */
    const uint8_t *heap;
};

struct sc_column {
    struct sc_column_key key;
    uint8_t form;  /* enum sc_column_form */
    uint8_t width; /* bytes of one element of `values` */
    uint32_t rows; /* rows written so far */
    uint32_t nulls;
    uint32_t capacity;         /* rows that `values`, `offsets` and `valid` have room for */
    uint64_t *valid;           /* NULL while no row is null */
    void *values;              /* NULL for FLAT BYTES and CONST */
    uint32_t *offsets;         /* FLAT BYTES: rows + 1 entries */
    uint8_t *heap;             /* FLAT BYTES */
    size_t heap_cap;           /* bytes allocated at heap */
    size_t *heap_account;      /* of the batch that made the column: bytes in its heaps */
    struct sc_dictionary dict; /* DICT, CONST */
};

/* A set of rows has one bit for each, as `valid` above. */
static inline size_t sc_bitmap_words(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}

/* Takes out what is behind the last row. */
static inline void sc_bitmap_cut(uint64_t *bits, uint32_t rows)
{
    if (rows % 64 != 0)
        bits[rows / 64] &= (UINT64_C(1) << (rows % 64)) - 1;
}

/* The bits of each byte of a word, added up in pairs, then in nibbles. */
static inline uint64_t sc_count_by_byte(uint64_t v)
{
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    return (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
}

/* Words whose counts by byte are added up before a byte is full: an even number, as vectors hold. */
#define SC_COUNTED_AT_ONCE 28u

/* The rows that are in both sets. Vector code, where an instruction that counts may not be there. */
static inline uint32_t sc_bitmap_count_both(const uint64_t *x, const uint64_t *y, size_t words)
{
    uint64_t n = 0;
    for (size_t w = 0; w < words;) {
        size_t end = words - w < SC_COUNTED_AT_ONCE ? words : w + SC_COUNTED_AT_ONCE;
        uint64_t bytes = 0;
        for (; w < end; w++)
            bytes += sc_count_by_byte(x[w] & y[w]);
        bytes = (bytes & UINT64_C(0x00ff00ff00ff00ff)) + (bytes >> 8 & UINT64_C(0x00ff00ff00ff00ff));
        n += bytes * UINT64_C(0x0001000100010001) >> 48;
    }
    return (uint32_t)n;
}

static inline bool sc_bitmap_any(const uint64_t *bits, size_t words)
{
    uint64_t any = 0;
    for (size_t w = 0; w < words; w++)
        any |= bits[w];
    return any != 0;
}

static inline uint32_t sc_bitmap_count(const uint64_t *bits, size_t words)
{
    return sc_bitmap_count_both(bits, bits, words);
}

/*
 * The numbers of the bits that are set, from `first` on, to *out, which has room for so many more: eight at a time, as one at a time is
 * a jump that nobody can foretell. Returns how many there are.
 */
#define SC_BITMAP_SLACK 8u

static inline uint32_t sc_bitmap_list(const uint64_t *bits, size_t words, uint32_t first, uint32_t *out)
{
    uint32_t n = 0;
    for (size_t w = 0; w < words; w++, first += 64) {
        uint64_t left = bits[w];
        if (left == 0) /* of few rows most words */
            continue;
        uint32_t end = n + (uint32_t)(sc_count_by_byte(left) * UINT64_C(0x0101010101010101) >> 56);
        for (; n < end; n += 8) {
            for (unsigned i = 0; i < 8; i++, left &= left - 1)
                out[n + i] = first + (uint32_t)__builtin_ctzll(left | UINT64_C(1) << 63);
        }
        n = end;
    }
    return n;
}

static inline void sc_bitmap_fill(uint64_t *bits, uint32_t rows)
{
    memset(bits, 0xff, sc_bitmap_words(rows) * sizeof(*bits));
    sc_bitmap_cut(bits, rows);
}

static inline bool sc_column_is_null(const struct sc_column *c, uint32_t row)
{
    return c->valid != NULL && (c->valid[row / 64] >> (row % 64) & 1) == 0;
}

/* What stands in `values` for a row. */
static inline uint64_t sc_column_stored(const struct sc_column *c, uint32_t row)
{
    switch (c->width) {
    case 1:
        return ((const uint8_t *)c->values)[row];
    case 2:
        return ((const uint16_t *)c->values)[row];
    case 4:
        return ((const uint32_t *)c->values)[row];
    default:
        return ((const uint64_t *)c->values)[row];
    }
}

/* The place of a row's value in the dictionary. */
static inline uint32_t sc_column_code(const struct sc_column *c, uint32_t row)
{
    return c->form == SC_FORM_CONST ? 0 : (uint32_t)sc_column_stored(c, row);
}

/* Of integers without sign, a row that is not null. */
static inline uint64_t sc_column_uint(const struct sc_column *c, uint32_t row)
{
    return c->form == SC_FORM_FLAT ? sc_column_stored(c, row)
                                   : ((const uint64_t *)c->dict.values)[sc_column_code(c, row)];
}

/* Integer value (UINT, INT sign-extended, FLOAT bits) of a row in any form; 0 for null. */
uint64_t sc_column_u64(const struct sc_column *c, uint32_t row);
/* Address of a row in any form; ADDRESS columns only. The pointer lives as long as the column's data. */
const struct sc_addr *sc_column_addr(const struct sc_column *c, uint32_t row);
/* Bytes of a row in any form; BYTES columns only. */
const uint8_t *sc_column_bytes(const struct sc_column *c, uint32_t row, uint32_t *length);

/* ---- schema ---- */

struct sc_schema {
    struct sc_column_key *keys; /* by slot; there is room for what the table has */
    uint32_t count;
    uint32_t limit;
    struct sc_table table; /* of slots, by key */
    uint64_t seed;
};

#define SC_NO_SLOT UINT32_MAX

/* An empty schema that takes at most `limit` keys. No memory is used until the first key. */
void sc_schema_init(struct sc_schema *schema, uint32_t limit);
void sc_schema_free(struct sc_schema *schema);
/* The key's slot, added when new. SC_NO_SLOT when the limit is reached or memory is short. Slots never
 * change. */
uint32_t sc_schema_slot(struct sc_schema *schema, struct sc_column_key key);
/* The key's slot; SC_NO_SLOT when it has none. */
uint32_t sc_schema_find(const struct sc_schema *schema, struct sc_column_key key);

/* ---- batch ---- */

/* A batch within the rows, by its id: whole and contiguous, so that a reader can count each id once. */
struct sc_span {
    uint64_t stream;
    uint32_t lane;
    uint32_t first_row;
    uint64_t sequence;
    uint32_t rows;
    uint32_t reserved; /* 0 */
};

enum sc_record_kind { SC_RECORDS_FLOWS = 0, SC_RECORDS_OPTIONS = 1 };

/* Addresses of dictionaries that rows came with, one dictionary behind the other: not in order, and some of them several times. */
struct sc_address_pool {
    struct sc_addr *values;
    uint32_t count, capacity;
    const void *source; /* the dictionary that came last, while it is known to be the same */
    uint32_t base;      /* where it begins */
};

struct sc_batch {
    struct sc_column **columns; /* by slot; NULL where the slot was never used here */
    uint32_t slots;             /* entries of `columns` */
    uint32_t rows;              /* committed rows */
    uint32_t used;              /* columns that have rows */
    uint32_t row_bytes;         /* of these columns, for one row: values or offsets */
    size_t heap_bytes;          /* in their heaps */
    uint64_t
        serial; /* another one after each reset, and in each batch: what was looked up in it holds as long */
    struct sc_schema schema;
    uint8_t record_kind; /* enum sc_record_kind: options records never share a batch with flows */
    uint64_t window_ms;  /* start of the window that all rows lie in; set by the producer */
    bool pools;          /* address columns are DICT, with codes of four bytes, and their dictionary is: */
    struct sc_address_pool pool;
    struct sc_span *spans; /* ascending, disjoint, covering all rows when set; owned by the batch */
    uint32_t span_count;
};

/* Returns an empty batch, or NULL without memory. */
struct sc_batch *sc_batch_create(enum sc_record_kind kind);
void sc_batch_free(struct sc_batch *batch);

/* Forgets all rows and spans, keeps memory and columns for reuse. */
void sc_batch_reset(struct sc_batch *batch);

/*
 * Of an empty batch, for all its life: addresses that are appended with sc_batch_append_rows stay codes, so that who encodes them again
 * looks each up once, not row by row. Their columns can be read when the batch is finished; nothing else appends addresses to it.
 */
void sc_batch_pool_addresses(struct sc_batch *batch);
/* What is appended next may have another dictionary, in the place of the one before. */
void sc_batch_forget_source(struct sc_batch *batch);

/* Bytes that the columns have been given, for limits. O(columns). */
size_t sc_batch_memory(const struct sc_batch *batch);

/* What a batch needs that has so many rows, columns, bytes of values in a row and bytes in heaps; when it is finished, with the nulls
 * of rows that a column did not have when it was new. */
static inline size_t sc_batch_cost(size_t rows, size_t columns, size_t row_bytes, size_t heap_bytes)
{
    return rows * row_bytes + (rows / 64 + 1) * sizeof(uint64_t) * columns + heap_bytes +
           columns * SC_BOUND_COLUMN_COST;
}

/* Of the rows and columns that it has. O(1). */
static inline size_t sc_batch_finished_bytes(const struct sc_batch *batch)
{
    return sc_batch_cost(batch->rows, batch->used, batch->row_bytes, batch->heap_bytes);
}

/* Gives back what the columns of a finished batch have been given and do not need, where that is much; for a batch that is kept.
 * Where memory is short nothing happens. */
void sc_batch_pack(struct sc_batch *batch);

/*
 * Appending is column-wise: a run of `n` rows begins at row batch->rows. For each column that the run has
 * values for: sc_batch_begin gives the column, padded with nulls up to the run and with room for it; the
 * producer writes the values (sc_column_put_* or straight into `values`) and adds n to column->rows. Then
 * sc_batch_commit makes the run part of the batch. A run that is given up is undone by sc_batch_rollback.
 *
 * sc_batch_begin: `width` is the widest integer that the run will write; a narrower column is widened in
 * place, and the returned column's own `width` (>= the asked) is the one to write with. *hint (may be NULL) is the
 * slot that the key had in this batch or another one, SC_NO_SLOT at first; it is brought up to date.
 * Returns NULL without memory.
 */
struct sc_column *sc_batch_begin_any(struct sc_batch *batch, struct sc_column_key key, uint32_t *hint,
                                     unsigned width, uint32_t n);

/* The common case in line: the hint holds, and the column had a value in every row, has room for the run, and its width. */
static inline struct sc_column *sc_batch_begin(struct sc_batch *batch, struct sc_column_key key,
                                               uint32_t *hint, unsigned width, uint32_t n)
{
    uint32_t slot = hint == NULL ? SC_NO_SLOT : *hint, rows = batch->rows;
    struct sc_column *c = slot < batch->slots ? batch->columns[slot] : NULL;
    if (c != NULL && sc_column_key_equal(c->key, key) && c->rows == rows && rows != 0 &&
        n <= c->capacity - rows && c->valid == NULL && width <= c->width)
        return c;
    return sc_batch_begin_any(batch, key, hint, width, n);
}
void sc_batch_commit(struct sc_batch *batch, uint32_t n);
void sc_batch_rollback(struct sc_batch *batch);

/* Pads every used column with nulls to batch->rows. Call before handing the batch to a reader. */
enum sc_status sc_batch_finish(struct sc_batch *batch);

/* The slot of a key whose column has rows, SC_NO_SLOT: none; `hint` as above. */
static inline uint32_t sc_batch_slot(const struct sc_batch *batch, struct sc_column_key key, uint32_t hint)
{
    uint32_t slot = hint < batch->schema.count && sc_column_key_equal(batch->schema.keys[hint], key)
                        ? hint
                        : sc_schema_find(&batch->schema, key);
    return slot < batch->slots && batch->columns[slot] != NULL && batch->columns[slot]->rows != 0
               ? slot
               : SC_NO_SLOT;
}

/* The column of a key, or NULL when the batch has no such column or it is null in every row. */
const struct sc_column *sc_batch_find(const struct sc_batch *batch, struct sc_column_key key);

/* Appends one value or null at row c->rows (there must be room: sc_batch_begin). */
void sc_column_put_u64(struct sc_column *c, uint64_t value);
void sc_column_put_addr(struct sc_column *c, const struct sc_addr *value);
enum sc_status sc_column_put_bytes(struct sc_column *c, const void *bytes, uint32_t length);
enum sc_status sc_column_put_null(struct sc_column *c);

/* Marks rows [first, first + n) null, where room is and rows are already counted or about to be. */
enum sc_status sc_column_mark_null(struct sc_column *c, uint32_t first, uint32_t n);

/* Appends rows [first, first + n) of a finished batch or read columns to `to`, any form to FLAT, or addresses to codes. */
enum sc_status sc_batch_append_rows(struct sc_batch *to, const struct sc_column *const *columns,
                                    uint32_t column_count, uint32_t first, uint32_t n);

/* ---- weight: what base/bounds.h counts ---- */

/* What rows weigh in columns of their own: FLAT, and no columns that are null in all of them. */
struct sc_weight {
    uint32_t rows;
    uint32_t columns;
    uint64_t row_bits; /* of one row: values, offsets, validity */
    uint64_t heap;     /* bytes of all rows */
};

static inline uint64_t sc_weight_bytes(const struct sc_weight *weight)
{
    return (weight->row_bits * weight->rows + 7) / 8 + weight->heap;
}

/* Adds rows [first, first + n) of a column, in any form, to the bits and the heap; false, and nothing is added, when all are null. */
bool sc_column_weigh(const struct sc_column *c, uint32_t first, uint32_t n, struct sc_weight *weight);
/* Of rows [first, first + n) of a finished batch or read columns; columns may be NULL. O(columns), and the rows of dictionaries. */
struct sc_weight sc_batch_weight(const struct sc_column *const *columns, uint32_t column_count,
                                 uint32_t first, uint32_t n);

#endif
