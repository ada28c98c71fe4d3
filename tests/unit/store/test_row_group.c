// SPDX-License-Identifier: BSD-3-Clause
/* Row groups: what is written is what is read, for every kind of column; encodings where they should be;
 * statistics, protocol totals and the Bloom filter against a plain recomputation. */
#include "flow/field.h"
#include "store/address_dict.h"
#include "store/segment_writer.h"

#include "store_kit.h"

/* ---- one batch to a segment and back ---- */

struct trip {
    char *folder;
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
};

/* All tests run with each. */
static uint16_t format;

static void trip_start(struct trip *t, const struct sc_batch *batch, enum sc_effort effort)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {
        .window_ms = KIT_WINDOW, .window_s = 300, .lane = 7, .stream = 0x1234, .format = format};
    char path[256];
    struct sc_error err = {0};
    t->folder = kit_folder();
    snprintf(path, sizeof(path), "%s/x.scs", t->folder);
    assert_int_equal(sc_row_group_encoder_init(&encoder, effort, NULL), SC_OK);
    sc_row_group_encoder_set_format(&encoder, format);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    if (sc_segment_writer_add(&writer, &encoder, batch, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    sc_row_group_encoder_free(&encoder);
    assert_int_equal(sc_segment_open(path, &t->segment, NULL), SC_OK);
    assert_int_equal(t->segment->group_count, 1);
    assert_int_equal(sc_read_context_init(&t->context), SC_OK);
    if (sc_row_group_open(&t->context, t->segment, 0, &t->group, &err) != SC_OK)
        fail_msg("%s", err.message);
    uint32_t damaged;
    if (sc_row_group_verify(t->group, &damaged, &err) != SC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(damaged, 0);
}

static void trip_end(struct trip *t)
{
    sc_read_context_free(&t->context);
    sc_segment_close(t->segment);
    kit_remove(t->folder);
}

static bool same_value(const struct sc_column *a, const struct sc_column *b, uint32_t row)
{
    if (sc_column_is_null(a, row) != sc_column_is_null(b, row))
        return false;
    if (sc_column_is_null(a, row))
        return true;
    if (a->key.kind == SC_COLUMN_ADDRESS)
        return sc_addr_equal(sc_column_addr(a, row), sc_column_addr(b, row));
    if (a->key.kind != SC_COLUMN_BYTES)
        return sc_column_u64(a, row) == sc_column_u64(b, row);
    uint32_t n, m;
    const uint8_t *x = sc_column_bytes(a, row, &n), *y = sc_column_bytes(b, row, &m);
    return n == m && memcmp(x, y, n) == 0;
}

/* Every value of the batch is in the row group, and nothing else is. */
static void check_equal(const struct sc_batch *batch, struct sc_row_group *group)
{
    uint32_t columns = 0, entries = 0;
    assert_int_equal(group->rows, batch->rows);
    assert_int_equal(group->record_kind, batch->record_kind);
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *want = batch->columns[i], *got;
        if (want == NULL || want->rows == 0)
            continue;
        assert_int_equal(sc_row_group_column(group, want->key, &got, NULL), SC_OK);
        if (want->nulls == want->rows) {
            assert_null(got);
            continue;
        }
        assert_non_null(got);
        assert_int_equal(got->nulls, want->nulls);
        columns++;
        for (uint32_t row = 0; row < batch->rows; row++) {
            if (!same_value(want, got, row))
                fail_msg("column %u:%u kind %u encoding %u row %u of %u differs", want->key.pen, want->key.id,
                         want->key.kind, sc_row_group_entry(group, want->key)->encoding, row, batch->rows);
        }
    }
    for (uint32_t i = 0; i < group->entry_count; i++)
        entries += group->entries[i].role == SC_CHUNK_COLUMN;
    assert_int_equal(entries, columns);
    assert_int_equal(group->span_count, batch->span_count);
    assert_memory_equal(group->spans, batch->spans, batch->span_count * sizeof(*batch->spans));
}

/* Rows copied from what was read, by the way merging takes, are the rows again. */
static void check_copy(const struct sc_batch *batch, struct sc_row_group *group)
{
    struct sc_batch *copy = sc_batch_create((enum sc_record_kind)batch->record_kind);
    assert_non_null(copy);
    uint32_t cut = batch->rows / 3;
    const struct sc_column *const *columns = (const struct sc_column *const *)group->columns;
    assert_int_equal(sc_batch_append_rows(copy, columns, group->entry_count, 0, cut), SC_OK);
    assert_int_equal(sc_batch_append_rows(copy, columns, group->entry_count, cut, batch->rows - cut), SC_OK);
    assert_int_equal(sc_batch_finish(copy), SC_OK);
    assert_int_equal(copy->rows, batch->rows);
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *want = batch->columns[i];
        if (want == NULL || want->nulls == want->rows)
            continue;
        const struct sc_column *got = sc_batch_find(copy, want->key);
        assert_non_null(got);
        for (uint32_t row = 0; row < batch->rows; row++)
            assert_true(same_value(want, got, row));
    }
    sc_batch_free(copy);
}

/* One row of so many, or rows that lie together. */
static void draw_rows(uint64_t *seed, uint32_t rows, uint64_t *bits)
{
    uint64_t part = 2 + kit_random(seed) % (rows / 2 + 1);
    uint32_t first = kit_random(seed) % 2 == 0 ? 0 : (uint32_t)(kit_random(seed) % rows);
    memset(bits, 0, sc_bitmap_words(rows) * sizeof(*bits));
    for (uint32_t row = first; row < rows && row < first + (first == 0 ? rows : rows / 5); row++) {
        if (first != 0 || kit_random(seed) % part == 0)
            bits[row / 64] |= UINT64_C(1) << row % 64;
    }
}

static bool is_wanted(const struct sc_row_group *group, uint32_t row)
{
    return group->wanted.bits == NULL || (group->wanted.bits[row / 64] >> row % 64 & 1) != 0;
}

static void check_wanted(struct sc_row_group *group, const struct sc_column *want)
{
    const struct sc_column *got;
    assert_int_equal(sc_row_group_column(group, want->key, &got, NULL), SC_OK);
    assert_non_null(got);
    for (uint32_t row = 0; row < group->rows; row++) {
        assert_int_equal(sc_column_is_null(got, row), sc_column_is_null(want, row));
        if (is_wanted(group, row))
            assert_true(same_value(want, got, row));
        else if (got->form == SC_FORM_DICT)
            assert_true(sc_column_code(got, row) < got->dict.count);
    }
}

/* Rows are asked for in sets that narrow, and widen again, between columns in any order; what is wanted is right each time. */
static void check_some_rows(const struct sc_batch *batch, struct trip *t)
{
    uint64_t seed = batch->rows, *bits = malloc(sc_bitmap_words(batch->rows) * sizeof(*bits));
    struct sc_wanted before[4];
    unsigned depth = 0;
    struct sc_row_group *group;
    assert_non_null(bits);
    sc_read_context_reset(&t->context);
    assert_int_equal(sc_row_group_open(&t->context, t->segment, 0, &group, NULL), SC_OK);
    for (unsigned step = 0; step < 60; step++) {
        const struct sc_column *want = batch->columns[kit_random(&seed) % batch->slots];
        if (depth < 4 && kit_random(&seed) % 3 == 0) {
            before[depth++] = group->wanted;
            draw_rows(&seed, batch->rows, bits);
            assert_int_equal(sc_row_group_want(group, bits, NULL), SC_OK);
        } else if (depth > 0 && kit_random(&seed) % 4 == 0) {
            group->wanted = before[--depth];
        }
        if (want != NULL && want->nulls < want->rows)
            check_wanted(group, want);
    }
    free(bits);
}

static void check_trip(const struct sc_batch *batch)
{
    for (int effort = SC_EFFORT_LIVE; effort <= SC_EFFORT_SEALED; effort++) {
        struct trip t;
        trip_start(&t, batch, (enum sc_effort)effort);
        check_equal(batch, t.group);
        check_copy(batch, t.group);
        check_some_rows(batch, &t);
        trip_end(&t);
    }
}

/* ---- random batches ---- */

enum nulls { NULLS_NONE, NULLS_SOME, NULLS_MOST, NULLS_ALL_BUT_ONE, NULLS_ALL, NULLS_KINDS };

static bool is_null(enum nulls nulls, uint32_t row, uint32_t rows, uint64_t r)
{
    switch (nulls) {
    case NULLS_NONE:
        return false;
    case NULLS_SOME:
        return r >> 60 == 0;
    case NULLS_MOST:
        return r >> 60 != 0;
    case NULLS_ALL_BUT_ONE:
        return row != rows / 2;
    default:
        return true;
    }
}

/* How varied the values are: constant, few, a function of the row, any. */
static uint64_t vary(unsigned variety, uint32_t row, uint64_t r)
{
    uint64_t forms[] = {7, r % 5 * UINT64_C(0x0101010101010101), row * UINT64_C(3), r};
    return forms[variety];
}

static void put_address(struct sc_column *c, unsigned family, uint64_t v)
{
    struct sc_addr a = sc_addr_v4((uint32_t)v);
    if (family == 1 || (family == 2 && v % 3 == 0)) {
        sc_store_be64(a.b, v % 7 == 0 ? 0 : UINT64_C(0x20010db800000000) | v % 3);
        sc_store_be64(a.b + 8, v);
    }
    sc_column_put_addr(c, &a);
}

static void put_any(struct sc_column *c, unsigned form, uint64_t v)
{
    uint8_t bytes[300];
    uint32_t length = (uint32_t)(v % (form == 0 ? 20 : 300));
    switch (c->key.kind) {
    case SC_COLUMN_ADDRESS:
        put_address(c, form, v);
        break;
    case SC_COLUMN_BYTES:
        memset(bytes, (int)(v >> 8), sizeof(bytes));
        assert_int_equal(sc_column_put_bytes(c, bytes, length), SC_OK);
        break;
    default:
        sc_column_put_u64(c, v);
    }
}

static void fill_column(struct sc_column *c, uint32_t rows, enum nulls nulls, unsigned form, uint64_t *seed)
{
    unsigned variety = (unsigned)(kit_random(seed) % 4);
    for (uint32_t row = 0; row < rows; row++) {
        if (is_null(nulls, row, rows, kit_random(seed)))
            assert_int_equal(sc_column_put_null(c), SC_OK);
        else
            put_any(c, form,
                    vary(variety, row, kit_random(seed)) &
                        (c->key.kind <= SC_COLUMN_FLOAT ? kit_mask(8 * c->width) : ~UINT64_C(0)));
    }
}

/* One column for each kind, width and amount of nulls; each element in several instances. */
static struct sc_batch *random_batch(uint64_t seed, uint32_t rows, enum sc_record_kind record_kind)
{
    static const uint8_t kinds[] = {SC_COLUMN_UINT,    SC_COLUMN_UINT,    SC_COLUMN_UINT,    SC_COLUMN_UINT,
                                    SC_COLUMN_INT,     SC_COLUMN_INT,     SC_COLUMN_INT,     SC_COLUMN_FLOAT,
                                    SC_COLUMN_ADDRESS, SC_COLUMN_ADDRESS, SC_COLUMN_ADDRESS, SC_COLUMN_BYTES,
                                    SC_COLUMN_BYTES};
    static const uint8_t widths[] = {1, 2, 4, 8, 1, 4, 8, 8, 16, 16, 16, 0, 0};
    static const uint8_t forms[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 1};
    struct sc_batch *batch = sc_batch_create(record_kind);
    assert_non_null(batch);
    for (unsigned k = 0; k < sizeof(kinds); k++) {
        for (unsigned n = 0; n < NULLS_KINDS; n++) {
            struct sc_column_key key = {n % 2 == 0 ? 0 : 64000, (uint16_t)(500 + k), (uint8_t)n, kinds[k]};
            struct sc_column *c = sc_batch_begin(batch, key, NULL, widths[k], rows);
            assert_non_null(c);
            fill_column(c, rows, (enum nulls)n, forms[k], &seed);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, seed, 5);
    return batch;
}

static void random_batches(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 2, 63, 64, 65, 128, 1000, 4097, 20000};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint64_t seed = 0; seed < (rows[i] > 2000 ? 1 : 5); seed++) {
            struct sc_batch *batch = random_batch(seed * 100 + i, rows[i], SC_RECORDS_FLOWS);
            check_trip(batch);
            sc_batch_free(batch);
        }
    }
}

static void full_row_group(void **state)
{
    (void)state;
    struct sc_batch *batch = kit_batch(1000, SC_ROW_GROUP_ROWS, KIT_WINDOW);
    kit_span(batch, 1, 2);
    check_trip(batch);
    sc_batch_free(batch);
}

static void put_function(struct sc_column *c, uint32_t address, uint32_t row)
{
    if (c->key.id == SC_IE_NEXT_HOP && row % 7 == 0)
        assert_int_equal(sc_column_put_null(c), SC_OK);
    else
        put_any(c, 0, c->key.id == SC_IE_SOURCE_ADDRESS ? address : address * UINT64_C(2654435761) % 251);
}

/* Some of the rows need a few of the table's values, one, or most of them. */
static void functions_of_an_address(void **state)
{
    (void)state;
    static const struct sc_column_key keys[] = {
        {SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS},
        {SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, 0, SC_COLUMN_ADDRESS},
        {SC_PEN_IANA, 16, 0, SC_COLUMN_UINT}};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct trip t;
    uint32_t rows = 20000;
    assert_non_null(batch);
    for (unsigned k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        struct sc_column *c = sc_batch_begin(batch, keys[k], NULL, k < 2 ? 16 : 4, rows);
        uint64_t seed = 1;
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++)
            put_function(c, (uint32_t)(kit_random(&seed) % 4000), row);
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 1, 5);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    for (unsigned k = 1; k < sizeof(keys) / sizeof(keys[0]); k++)
        assert_int_equal(sc_row_group_entry(t.group, keys[k])->encoding, SC_ENCODING_FUNCTION);
    trip_end(&t);
    check_trip(batch);
    sc_batch_free(batch);
}

static void options_records(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = random_batch(77, 100, SC_RECORDS_OPTIONS);
    check_trip(batch);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    assert_int_equal(t.segment->groups[0].record_kind, SC_RECORDS_OPTIONS);
    assert_int_equal(t.segment->flow_stats.protocol_count, 0); /* only flow records count in the footer */
    trip_end(&t);
    sc_batch_free(batch);
}

static void several_spans(void **state)
{
    (void)state;
    struct sc_batch *batch = kit_batch(0, 100, KIT_WINDOW);
    batch->span_count = 3;
    batch->spans = calloc(3, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    uint32_t first[] = {0, 1, 60, 100};
    for (uint32_t i = 0; i < 3; i++)
        batch->spans[i] = (struct sc_span){.stream = UINT64_MAX - i,
                                           .lane = i,
                                           .sequence = i << 20,
                                           .first_row = first[i],
                                           .rows = first[i + 1] - first[i]};
    check_trip(batch);
    sc_batch_free(batch);
}

static void too_many_rows_are_refused(void **state)
{
    (void)state;
    struct sc_batch *batch = kit_batch(0, 1, KIT_WINDOW);
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    struct sc_buf out = {0};
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    batch->rows = 0;
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_LIMIT);
    batch->rows = SC_ROW_GROUP_ROWS + 1;
    assert_int_equal(sc_row_group_encode(&encoder, batch, &out, &stats, NULL), SC_LIMIT);
    assert_int_equal(out.len, 0);
    sc_row_group_encoder_free(&encoder);
    sc_buf_free(&out);
    sc_batch_free(batch);
}

/* ---- encodings ---- */

enum { ROWS = 20000 };

static struct sc_column *add_column(struct sc_batch *batch, uint32_t pen, uint16_t id, unsigned kind)
{
    struct sc_column_key key = {pen, id, 0, (uint8_t)kind};
    struct sc_column *c = sc_batch_begin(batch, key, NULL, 8, ROWS);
    assert_non_null(c);
    return c;
}

static uint8_t encoding_of(const struct trip *t, uint32_t pen, uint16_t id, unsigned kind)
{
    struct sc_column_key key = {pen, id, 0, (uint8_t)kind};
    const struct sc_entry *e = sc_row_group_entry(t->group, key);
    assert_non_null(e);
    return e->encoding;
}

/* Addresses; an AS number and a mask that depend on them; a start and an end of flows; strings; few large
 * numbers. */
static struct sc_batch *typical_batch(void)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    struct sc_column *source = add_column(batch, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, SC_COLUMN_ADDRESS);
    struct sc_column *as = add_column(batch, 0, 16, SC_COLUMN_UINT);
    struct sc_column *first = add_column(batch, 0, 152, SC_COLUMN_UINT);
    struct sc_column *last = add_column(batch, 0, 153, SC_COLUMN_UINT);
    struct sc_column *few = add_column(batch, 0, 505, SC_COLUMN_UINT);
    struct sc_column *same = add_column(batch, 0, 10, SC_COLUMN_UINT);
    struct sc_column *name = add_column(batch, 0, 82, SC_COLUMN_BYTES);
    struct sc_column *unique = add_column(batch, 0, 83, SC_COLUMN_BYTES);
    struct sc_column *hop = add_column(batch, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, SC_COLUMN_ADDRESS);
    uint64_t seed = 5;
    for (uint32_t row = 0; row < ROWS; row++) {
        uint64_t r = kit_random(&seed);
        struct sc_addr a = sc_addr_v4((uint32_t)(r % 300)),
                       via = sc_addr_v4(0xc0000200u + (uint32_t)(r % 300 / 20));
        sc_column_put_addr(hop, &via);
        uint64_t start = KIT_WINDOW + kit_random(&seed) % 300000;
        sc_column_put_addr(source, &a);
        sc_column_put_u64(as, kit_mix(r % 300, 1) & 0xffffffff);
        sc_column_put_u64(first, start);
        sc_column_put_u64(last, start + r % 16);
        sc_column_put_u64(few, kit_mix((r >> 20) % 13, 2));
        sc_column_put_u64(same, 3);
        assert_int_equal(sc_column_put_bytes(name, "GigabitEthernet", 3 + (uint32_t)(r >> 40) % 12), SC_OK);
        assert_int_equal(sc_column_put_bytes(unique, &r, 8), SC_OK);
    }
    sc_batch_commit(batch, ROWS);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 1, 1);
    return batch;
}

static void encodings(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = typical_batch();
    check_trip(batch);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    assert_int_equal(encoding_of(&t, SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, SC_COLUMN_ADDRESS),
                     SC_ENCODING_CODES);
    assert_int_equal(encoding_of(&t, 0, 16, SC_COLUMN_UINT), SC_ENCODING_FUNCTION);
    assert_int_equal(encoding_of(&t, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, SC_COLUMN_ADDRESS),
                     SC_ENCODING_FUNCTION);
    assert_int_equal(encoding_of(&t, 0, 152, SC_COLUMN_UINT), SC_ENCODING_VALUES);
    assert_int_equal(encoding_of(&t, 0, 153, SC_COLUMN_UINT), SC_ENCODING_DIFFERENCE);
    assert_int_equal(encoding_of(&t, 0, 505, SC_COLUMN_UINT), SC_ENCODING_DICT);
    assert_int_equal(encoding_of(&t, 0, 10, SC_COLUMN_UINT), SC_ENCODING_VALUES);
    assert_int_equal(encoding_of(&t, 0, 82, SC_COLUMN_BYTES), SC_ENCODING_BYTES_DICT);
    assert_int_equal(encoding_of(&t, 0, 83, SC_COLUMN_BYTES), SC_ENCODING_BYTES);
    const struct sc_column *c;
    assert_int_equal(sc_row_group_column(t.group, (struct sc_column_key){0, 10, 0, SC_COLUMN_UINT}, &c, NULL),
                     SC_OK);
    assert_int_equal(c->form, SC_FORM_CONST);
    assert_int_equal(
        sc_row_group_column(t.group, (struct sc_column_key){0, 505, 0, SC_COLUMN_UINT}, &c, NULL), SC_OK);
    assert_int_equal(c->form, SC_FORM_DICT);
    trip_end(&t);
    sc_batch_free(batch);
}

static void make_null(struct sc_column *c, uint32_t row)
{
    assert_int_equal(sc_column_mark_null(c, row, 1), SC_OK);
    memset((uint8_t *)c->values + (size_t)row * c->width, 0, c->width);
}

/* A function may be null in some rows; what it is a function of may not. */
static void functions_and_nulls(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < 3; slot++) {
        struct trip t;
        struct sc_batch *batch = typical_batch();
        static const uint32_t slots[] = {0, 1, 8}; /* source address, AS, next hop */
        for (uint32_t row = 7; row < ROWS; row += 1000)
            make_null(batch->columns[slots[slot]], row);
        check_trip(batch);
        trip_start(&t, batch, SC_EFFORT_SEALED);
        uint8_t as = encoding_of(&t, 0, 16, SC_COLUMN_UINT);
        uint8_t hop = encoding_of(&t, SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, SC_COLUMN_ADDRESS);
        assert_true((as == SC_ENCODING_FUNCTION) == (slot != 0));
        assert_int_equal(hop, slot == 0 ? SC_ENCODING_CODES : SC_ENCODING_FUNCTION);
        trip_end(&t);
        sc_batch_free(batch);
    }
}

/* An end before its start, and differences that wrap around. */
static void differences_wrap(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = typical_batch();
    uint64_t *last = batch->columns[3]->values, *first = batch->columns[2]->values;
    for (uint32_t row = 0; row < ROWS; row += 50)
        last[row] = first[row] - row;
    first[5] = UINT64_MAX;
    last[5] = 3;
    check_trip(batch);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    assert_int_equal(encoding_of(&t, 0, 153, SC_COLUMN_UINT), SC_ENCODING_DIFFERENCE);
    trip_end(&t);
    sc_batch_free(batch);
}

/* ---- statistics ---- */

struct totals {
    uint64_t records[257], flows[257], packets[257], bytes[257];
    uint64_t min[4], max[4]; /* first, last, received, selection time */
};

static void widen(struct totals *t, unsigned which, struct sc_value v)
{
    if (v.null)
        return;
    t->min[which] = v.u < t->min[which] ? v.u : t->min[which];
    t->max[which] = v.u > t->max[which] ? v.u : t->max[which];
}

static struct sc_value value_of(const char *name, const struct sc_batch *batch, uint32_t row)
{
    struct sc_field field;
    assert_int_equal(sc_field_find(NULL, name, strlen(name), &field, NULL), SC_OK);
    return sc_field_value(&field, (const struct sc_column *const *)batch->columns, batch->slots, row);
}

static void recompute(const struct sc_batch *batch, struct totals *t)
{
    *t = (struct totals){.min = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    for (uint32_t row = 0; row < batch->rows; row++) {
        struct sc_value protocol = value_of("proto", batch, row);
        uint64_t p = protocol.null || protocol.u > 255 ? 256 : protocol.u;
        t->records[p]++;
        t->flows[p] += value_of("flows", batch, row).u;
        t->packets[p] += value_of("packets", batch, row).u;
        t->bytes[p] += value_of("bytes", batch, row).u;
        struct sc_value times[] = {value_of("first", batch, row), value_of("last", batch, row),
                                   value_of("received", batch, row),
                                   value_of("observationTimeMilliseconds", batch, row)};
        widen(t, 0, times[0]);
        widen(t, 1, times[1]);
        widen(t, 2, times[2]);
        widen(t, 3, !times[0].null ? times[0] : !times[3].null ? times[3] : times[2]);
    }
}

static void check_stats(const struct sc_row_stats *got, const struct totals *want)
{
    uint64_t least[] = {got->first_min, got->last_min, got->received_min, got->time_min};
    uint64_t most[] = {got->first_max, got->last_max, got->received_max, got->time_max};
    for (unsigned i = 0; i < 4; i++) {
        assert_true(least[i] == want->min[i]);
        assert_true(most[i] == want->max[i]);
    }
    uint32_t n = 0;
    for (uint32_t p = 0; p <= 256; p++) {
        if (want->records[p] == 0)
            continue;
        assert_true(n < got->protocol_count);
        const struct sc_protocol_total *t = &got->protocols[n++];
        assert_int_equal(t->protocol, p);
        assert_true(t->records == want->records[p] && t->flows == want->flows[p]);
        assert_true(t->packets == want->packets[p] && t->bytes == want->bytes[p]);
    }
    assert_int_equal(n, got->protocol_count);
}

/* Columns of every source of the statistics' fields, each present in some rows only. */
static struct sc_batch *batch_for_stats(uint64_t seed, uint32_t rows)
{
    static const struct sc_column_key keys[] = {{0, 152, 0, SC_COLUMN_UINT},
                                                {0, 150, 0, SC_COLUMN_UINT},
                                                {0, 153, 0, SC_COLUMN_UINT},
                                                {0, 154, 0, SC_COLUMN_UINT},
                                                {0, 158, 0, SC_COLUMN_UINT},
                                                {0, 162, 0, SC_COLUMN_UINT},
                                                {SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, 0, SC_COLUMN_UINT},
                                                {SC_PEN_COLLECTOR, SC_IE_EXPORT_TIME, 0, SC_COLUMN_UINT},
                                                {0, 323, 0, SC_COLUMN_UINT},
                                                {0, 4, 0, SC_COLUMN_UINT},
                                                {0, 3, 0, SC_COLUMN_UINT},
                                                {0, 1, 0, SC_COLUMN_UINT},
                                                {0, 85, 0, SC_COLUMN_UINT},
                                                {0, 2, 0, SC_COLUMN_UINT},
                                                {0, 298, 0, SC_COLUMN_UINT}};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct sc_column *c = sc_batch_begin(batch, keys[i], NULL, 8, rows);
        assert_non_null(c);
        uint64_t often = kit_random(&seed) % 5; /* 0: never null, 4: nearly always */
        for (uint32_t row = 0; row < rows; row++) {
            uint64_t r = kit_random(&seed);
            if (r % 5 < often)
                assert_int_equal(sc_column_put_null(c), SC_OK);
            else
                sc_column_put_u64(c, keys[i].id == 4   ? (r >> 8) % 260
                                     : keys[i].id == 3 ? (r >> 8) % 3
                                                       : r >> 20);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, seed, 5);
    return batch;
}

static void statistics(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct trip t;
        struct totals want;
        struct sc_batch *batch = batch_for_stats(seed, 1 + (uint32_t)seed * 170);
        recompute(batch, &want);
        trip_start(&t, batch, seed % 2 == 0 ? SC_EFFORT_LIVE : SC_EFFORT_SEALED);
        check_stats(&t.group->stats, &want);
        check_stats(&t.segment->flow_stats, &want);
        const struct sc_group_ref *ref = &t.segment->groups[0];
        assert_true(ref->first_min == want.min[0] && ref->first_max == want.max[0]);
        assert_true(ref->last_min == want.min[1] && ref->last_max == want.max[1]);
        assert_true(ref->received_min == want.min[2] && ref->received_max == want.max[2]);
        assert_true(ref->time_min == want.min[3] && ref->time_max == want.max[3]);
        trip_end(&t);
        sc_batch_free(batch);
    }
}

/* Least and greatest of the directory bound every value of unsigned columns; null counts are right. */
static void column_bounds(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = random_batch(9, 3000, SC_RECORDS_FLOWS);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i];
        if (c == NULL || c->nulls == c->rows || c->key.kind != SC_COLUMN_UINT)
            continue;
        const struct sc_entry *e = sc_row_group_entry(t.group, c->key);
        uint64_t min = UINT64_MAX, max = 0;
        for (uint32_t row = 0; row < c->rows; row++) {
            uint64_t v = sc_column_u64(c, row);
            min = !sc_column_is_null(c, row) && v < min ? v : min;
            max = v > max ? v : max;
        }
        assert_true(e->min == min && e->max == max);
        assert_int_equal(e->nulls, c->nulls);
    }
    trip_end(&t);
    sc_batch_free(batch);
}

/* ---- the Bloom filter ---- */

static bool may_contain(const struct trip *t, const struct sc_addr *a, unsigned bits)
{
    bool possible;
    assert_int_equal(sc_row_group_may_contain(t->group, a, bits, &possible, NULL), SC_OK);
    return possible;
}

static void bloom_filter(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = random_batch(33, 5000, SC_RECORDS_FLOWS);
    trip_start(&t, batch, SC_EFFORT_SEALED);
    const struct sc_dictionary *dict;
    assert_int_equal(sc_row_group_filter(t.group)->role, format == 1 ? SC_CHUNK_BLOOM : SC_CHUNK_FILTER);
    assert_int_equal(sc_row_group_addresses(t.group, &dict, NULL), SC_OK);
    assert_true(dict->count > 1000);
    const struct sc_addr *addresses = dict->values;
    for (uint32_t i = 0; i < dict->count; i++) {
        assert_true(i == 0 || sc_addr_compare(&addresses[i - 1], &addresses[i]) < 0);
        for (unsigned bits = 0; bits <= 128; bits++) {
            struct sc_addr prefix = sc_addr_mask(&addresses[i], bits);
            if (!may_contain(&t, &prefix, bits) || (i % 64 == 0 && !may_contain(&t, &addresses[i], bits)))
                fail_msg("address %u is denied at %u bits", i, bits);
        }
    }
    trip_end(&t);
    sc_batch_free(batch);
}

/* IPv4 lies within ::/64, as ::ffff:a.b.c.d: a prefix that holds all of IPv4 must not be denied. */
static void bloom_prefixes_around_ipv4(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = typical_batch();
    trip_start(&t, batch, SC_EFFORT_SEALED);
    struct sc_addr v4 = sc_addr_v4(0);
    for (unsigned bits = 0; bits <= 96; bits++) {
        struct sc_addr prefix = sc_addr_mask(&v4, bits);
        assert_true(may_contain(&t, &prefix, bits));
    }
    trip_end(&t);
    sc_batch_free(batch);
}

static void bloom_prunes(void **state)
{
    (void)state;
    struct trip t;
    struct sc_batch *batch = typical_batch(); /* 300 addresses in 0.0.0.0/23, 15 in 192.0.2.0/24 */
    trip_start(&t, batch, SC_EFFORT_SEALED);
    uint64_t seed = 1;
    unsigned kept[3] = {0};
    for (unsigned i = 0; i < 10000; i++) {
        struct sc_addr host = sc_addr_v4((uint32_t)kit_random(&seed) | 0x01000000u);
        struct sc_addr six = {{0x20, 1, 0xd, 0xb8}};
        sc_store_be64(six.b + 8, kit_random(&seed));
        kept[0] += may_contain(&t, &host, 128);
        kept[1] += may_contain(&t, &host, 120);
        kept[2] += may_contain(&t, &six, 64 + i % 65);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (kept[i] > 800) /* 8 % */
            fail_msg("%u of 10000 absent prefixes of kind %u pass the filter", kept[i], i);
    }
    trip_end(&t);
    trip_start(&t, batch, SC_EFFORT_LIVE); /* no filter: everything is possible */
    struct sc_addr any = sc_addr_v4(0xdeadbeef);
    assert_true(may_contain(&t, &any, 128));
    trip_end(&t);
    sc_batch_free(batch);
}

UNIT(test_row_group)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_batches),
        cmocka_unit_test(full_row_group),
        cmocka_unit_test(functions_of_an_address),
        cmocka_unit_test(options_records),
        cmocka_unit_test(several_spans),
        cmocka_unit_test(too_many_rows_are_refused),
        cmocka_unit_test(encodings),
        cmocka_unit_test(functions_and_nulls),
        cmocka_unit_test(differences_wrap),
        cmocka_unit_test(statistics),
        cmocka_unit_test(column_bounds),
        cmocka_unit_test(bloom_filter),
        cmocka_unit_test(bloom_prefixes_around_ipv4),
        cmocka_unit_test(bloom_prunes),
    };
    int failed = 0;
    for (format = 1; format <= SC_SEGMENT_VERSION; format++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
