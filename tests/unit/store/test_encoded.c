// SPDX-License-Identifier: BSD-3-Clause
/* Row groups that come encoded: what is whole is stored as it is, a changed byte anywhere is found. */
#include "store_kit.h"

#include "base/clock.h"
#include "flow/vector.h"
#include "store/catalogue.h"
#include "store/row_group_encode.h"
#include "store/store.h"

static void encode_as(struct sc_batch *batch, enum sc_effort effort, uint16_t format, struct sc_buf *out)
{
    struct sc_row_group_encoder encoder;
    struct sc_row_stats stats;
    assert_int_equal(sc_row_group_encoder_init(&encoder, effort, NULL), SC_OK);
    sc_row_group_encoder_set_format(&encoder, format);
    assert_int_equal(sc_row_group_encode(&encoder, batch, out, &stats, NULL), SC_OK);
    sc_row_stats_free(&stats);
    sc_row_group_encoder_free(&encoder);
}

static void encode(struct sc_batch *batch, struct sc_buf *out)
{
    encode_as(batch, SC_EFFORT_LIVE, 0, out);
}

static void make(uint64_t first, uint32_t rows, uint64_t window_ms, uint64_t sequence, struct sc_buf *out)
{
    struct sc_batch *batch = kit_batch(first, rows, window_ms);
    kit_span(batch, 77, sequence);
    encode(batch, out);
    sc_batch_free(batch);
}

static void stored_as_they_came(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err);
    struct kit_scan scan;
    assert_non_null(w);
    for (uint32_t i = 0; i < 12; i++) {
        struct sc_buf bytes = {0};
        struct sc_encoded_group group;
        uint64_t window = KIT_WINDOW + i / 4 * 300000u;
        make(i * 500u, 500, window, i, &bytes);
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
        assert_int_equal(group.ref.rows, 500);
        assert_int_equal(group.span.stream, 77);
        assert_int_equal(group.span.sequence, i);
        /* the third comes twice: the reader counts it once */
        for (int times = i == 2 ? 2 : 1; times > 0; times--)
            assert_int_equal(
                sc_store_writer_append_encoded(w, &(struct sc_window){window, 300}, 0, &group, &err), SC_OK);
        sc_encoded_group_free(&group);
        sc_buf_free(&bytes);
    }
    for (int sealed = 0; sealed < 2; sealed++) {
        assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
        kit_scan_store(&scan, path, 6000);
        assert_int_equal(scan.rows, 6000);
        assert_int_equal(scan.rows_stored, sealed ? 6000 : 6500);
        assert_int_equal(scan.damaged, 0);
        kit_scan_free(&scan);
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    }
    struct sc_store_stats stats;
    sc_store_writer_stats(w, &stats);
    assert_int_equal(stats.flows, 6500);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    kit_remove(path);
}

static void append_at(struct sc_store_writer *w, uint64_t window_ms, uint64_t sequence, uint64_t came_ms)
{
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    struct sc_error err = {0};
    make(sequence * 10, 10, window_ms, sequence, &bytes);
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
    const struct sc_window window = {window_ms, 300};
    if (sc_store_writer_append_encoded(w, &window, came_ms, &group, &err) != SC_OK)
        fail_msg("%s", err.message);
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
}

/* Appends 600 flows as a member gives them out of its sealed files of that format. */
static void append_lent(struct sc_store_writer *w, uint16_t format, uint64_t sequence)
{
    struct sc_batch *batch = kit_batch(sequence * 600, 600, KIT_WINDOW);
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    kit_span(batch, 77, sequence);
    encode_as(batch, SC_EFFORT_SEALED, format, &bytes);
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, NULL), SC_OK);
    assert_int_equal(group.format, format);
    assert_int_equal(sc_store_writer_append_encoded(w, &(struct sc_window){KIT_WINDOW, 300}, 0, &group, NULL),
                     SC_OK);
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
    sc_batch_free(batch);
}

/* How many files have each format. */
static void count_formats(const char *path, uint32_t found[SC_SEGMENT_VERSION + 1])
{
    struct sc_catalogue c = {0};
    memset(found, 0, (SC_SEGMENT_VERSION + 1) * sizeof(*found));
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++) {
        struct sc_segment *segment;
        assert_int_equal(sc_segment_open(c.files[i].path, &segment, NULL), SC_OK);
        found[segment->format]++;
        sc_segment_close(segment);
    }
    sc_catalogue_free(&c);
}

/* A member that still writes the old format is lent the new one, and the other way round; then it is told to write the new one. */
static void formats_that_differ(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_store_options options = {.window_s = 300, .format = 1};
    struct sc_store_writer *w = sc_store_writer_open(path, &options, NULL);
    uint32_t found[SC_SEGMENT_VERSION + 1];
    struct kit_scan scan;
    assert_non_null(w);
    for (unsigned round = 0; round < 2; round++) {
        append_lent(w, 1, 3 * round);
        append_lent(w, 2, 3 * round + 1);
        append_lent(w, 1, 3 * round + 2);
        count_formats(path, found);
        assert_true(found[1] == 1 && found[2] == 1); /* in the second round the first one is sealed already */
        assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, NULL), SC_OK);
        count_formats(path, found);
        assert_true(found[1] == 1 && found[2] == round); /* as the writer was told */
        kit_scan_store(&scan, path, 1800 * (round + 1));
        assert_int_equal(scan.rows, 1800 * (round + 1));
        assert_int_equal(scan.damaged, 0);
        kit_scan_free(&scan);
        sc_store_writer_set_format(w, 0);
    }
    assert_int_equal(sc_store_writer_close(w, NULL), SC_OK);
    kit_remove(path);
}

/* The created times of the files of a window: the least and the greatest. @return how many files */
static uint32_t created_of(const char *path, uint64_t window_ms, uint64_t *least, uint64_t *most)
{
    struct sc_catalogue c = {0};
    uint32_t found = 0;
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.files[i].window_ms != window_ms)
            continue;
        uint64_t created = sc_segment_created_ms(c.files[i].path);
        *least = found == 0 || created < *least ? created : *least;
        *most = found++ == 0 || created > *most ? created : *most;
    }
    sc_catalogue_free(&c);
    return found;
}

static void set_all_created(const char *path, uint64_t window_ms, uint64_t created_ms)
{
    struct sc_catalogue c = {0};
    assert_int_equal(sc_catalogue_add(&c, path, NULL), SC_OK);
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.files[i].window_ms == window_ms)
            kit_set_created(c.files[i].path, created_ms);
    }
    sc_catalogue_free(&c);
}

/* What was somewhere else before keeps its age, also when it is sealed; with what comes late the window is as young as that. */
static void what_came_long_ago_is_old(void **state)
{
    (void)state;
    enum { LENGTH_MS = 300000 };
    const uint64_t past = KIT_WINDOW - UINT64_C(1000) * 86400000, other = past + LENGTH_MS,
                   usual = other + LENGTH_MS;
    char *path = kit_folder();
    struct sc_error err = {0};
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err);
    const uint64_t now = sc_clock_wall_ms();
    uint64_t least, most;
    assert_non_null(w);
    append_at(w, past, 1, past + LENGTH_MS);
    append_at(w, other, 2, other + LENGTH_MS);
    append_at(w, other, 3, 0);
    append_at(w, other, 4, other + LENGTH_MS);
    append_at(w, usual, 5, 0);
    set_all_created(path, usual, usual + 1); /* as at its begin, or by a clock that was behind */
    assert_int_equal(sc_store_writer_sync(w, &err), SC_OK);
    assert_int_equal(created_of(path, other, &least, &most), 2);
    assert_true(least == other + LENGTH_MS && most >= now);
    assert_int_equal(sc_store_writer_seal(w, UINT64_MAX, &err), SC_OK);
    assert_int_equal(created_of(path, past, &least, &most), 1);
    assert_true(least == past + LENGTH_MS);
    assert_int_equal(created_of(path, other, &least, &most), 1);
    assert_true(least >= now);
    assert_int_equal(created_of(path, usual, &least, &most), 1);
    assert_true(least >= now); /* its last flow may have come just now */
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    kit_remove(path);
}

static void every_changed_byte_is_found(void **state)
{
    (void)state;
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    struct sc_error err;
    make(3, 40, KIT_WINDOW, 1, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x10;
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_DAMAGED);
        bytes.data[i] ^= 0x10;
    }
    for (size_t length = 0; length < bytes.len; length++) {
        uint8_t *cut = malloc(length + 1); /* so that a read behind the end is seen */
        assert_non_null(cut);
        memcpy(cut, bytes.data, length);
        assert_int_equal(sc_row_group_check(cut, length, &group, NULL), SC_DAMAGED);
        free(cut);
    }
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
}

/* A row group by itself in a file. */
struct reading {
    char *path;
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
};

static void reading_start(struct reading *r, const struct sc_buf *bytes)
{
    char file[4096];
    struct sc_segment_id id = {.window_ms = KIT_WINDOW, .window_s = 300};
    struct sc_segment_writer writer;
    struct sc_encoded_group group;
    r->path = kit_folder();
    snprintf(file, sizeof(file), "%s/x.scs", r->path);
    assert_int_equal(sc_row_group_check(bytes->data, bytes->len, &group, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), file, &id, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_add_encoded(&writer, &group, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
    sc_encoded_group_free(&group);
    assert_int_equal(sc_segment_open(file, &r->segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&r->context), SC_OK);
    assert_int_equal(sc_row_group_open(&r->context, r->segment, 0, &r->group, NULL), SC_OK);
}

static void reading_end(struct reading *r)
{
    sc_read_context_free(&r->context);
    sc_segment_close(r->segment);
    kit_remove(r->path);
}

static enum sc_status read_back(const struct sc_buf *bytes, uint32_t *damaged)
{
    struct reading r;
    struct sc_error err = {0};
    reading_start(&r, bytes);
    enum sc_status status = sc_row_group_verify(r.group, damaged, &err);
    reading_end(&r);
    return status;
}

/* A bit behind the last row stands for one that is missing before it: their number is right, and every value would move. */
static void bits_behind_the_last_row_are_damage(void **state)
{
    (void)state;
    struct sc_buf bytes = {0};
    uint32_t damaged;
    uint64_t bits = UINT64_C(0xaaaaaaaaaa); /* of 40 rows, every other */
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column_key key = {SC_PEN_IANA, 1, 0, SC_COLUMN_UINT};
    struct sc_column *c = sc_batch_begin(batch, key, NULL, 8, 40);
    assert_non_null(c);
    batch->window_ms = KIT_WINDOW;
    for (unsigned i = 0; i < 40; i++) {
        if ((bits >> i & 1) != 0)
            sc_column_put_u64(c, 1000 + i * i);
        else
            assert_int_equal(sc_column_put_null(c), SC_OK);
    }
    sc_batch_commit(batch, 40);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 77, 1);
    encode(batch, &bytes);
    assert_int_equal(read_back(&bytes, &damaged), SC_OK);
    uint8_t stored[8], *at;
    sc_store_le64(stored, bits);
    at = memmem(bytes.data, bytes.len, stored, sizeof(stored));
    assert_non_null(at);
    sc_store_le64(at, (bits & ~UINT64_C(2)) | UINT64_C(1) << 40);
    kit_set_hashes(bytes.data);
    assert_int_equal(read_back(&bytes, &damaged), SC_DAMAGED);
    assert_int_equal(damaged, 1);
    sc_batch_free(batch);
    sc_buf_free(&bytes);
}

/* ---- many batches in one row group: what a seal makes, and members give each other ---- */

enum { SPANS = 30, SPAN_ROWS = SPANS * (SPANS + 1) / 2 };

/* Of 1 to SPANS rows. */
static void make_spans(struct sc_buf *out)
{
    struct sc_batch *batch = kit_batch(0, SPAN_ROWS, KIT_WINDOW);
    free(batch->spans);
    batch->spans = calloc(SPANS, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = SPANS;
    for (uint32_t i = 0, row = 0; i < SPANS; row += ++i)
        batch->spans[i] = (struct sc_span){
            .stream = UINT64_MAX - i, .sequence = 7 * i, .lane = 5, .first_row = row, .rows = i + 1};
    encode(batch, out);
    sc_batch_free(batch);
}

/* Where the first span stands: before the directory, which ends the front. */
static uint8_t *first_span(const struct sc_buf *bytes)
{
    uint32_t meta = sc_load_le32(bytes->data + 12), entries = sc_load_le16(bytes->data + 26);
    return bytes->data + SC_ROW_GROUP_HEAD_BYTES + meta - (size_t)entries * SC_ENTRY_BYTES -
           (size_t)SPANS * SC_SPAN_BYTES;
}

static void all_spans_are_told(void **state)
{
    (void)state;
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    struct sc_error err;
    make_spans(&bytes);
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_OK);
    assert_int_equal(group.span_count, SPANS);
    assert_int_equal(group.ref.rows, SPAN_ROWS);
    assert_true(group.span.stream == UINT64_MAX && group.span.sequence == 0 && group.span.rows == 1);
    for (uint32_t i = 0, row = 0; i < SPANS; row += ++i) {
        const struct sc_span span = sc_encoded_group_span(&group, i);
        assert_true(span.stream == UINT64_MAX - i && span.sequence == 7 * i && span.lane == 5);
        assert_true(span.first_row == row && span.rows == i + 1);
    }
    sc_encoded_group_free(&group);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x01;
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, &err), SC_DAMAGED);
        bytes.data[i] ^= 0x01;
    }
    sc_buf_free(&bytes);
}

/* With hashes that are right: first rows, then numbers of rows, at the places 16 + 4 and 16 + 8 of a span. */
static void spans_that_do_not_cover_the_rows(void **state)
{
    (void)state;
    static const uint32_t changes[] = {1, UINT32_MAX, 0x80000000u, SPAN_ROWS, -(uint32_t)SPAN_ROWS};
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    make_spans(&bytes);
    for (uint32_t i = 0; i < SPANS; i++) {
        for (uint32_t c = 0; c < 2 * sizeof(changes) / sizeof(changes[0]); c++) {
            uint8_t *at = first_span(&bytes) + (size_t)i * SC_SPAN_BYTES + 20 + 4 * (size_t)(c % 2);
            uint32_t before = sc_load_le32(at);
            sc_store_le32(at, before + changes[c / 2]);
            kit_set_hashes(bytes.data);
            assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, NULL), SC_DAMAGED);
            sc_store_le32(at, before);
        }
    }
    kit_set_hashes(bytes.data);
    assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, NULL), SC_OK);
    sc_encoded_group_free(&group);
    sc_buf_free(&bytes);
}

/* Nor more or fewer of them than there is room for. */
static void another_number_of_spans(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0,          1,           SPANS - 1,   SPANS + 1,
                                      UINT32_MAX, 0x08000000u, 0x8000001eu, 0x0800001eu};
    struct sc_buf bytes = {0};
    struct sc_encoded_group group;
    make_spans(&bytes);
    for (uint32_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        sc_store_le32(bytes.data + 28, counts[i]);
        sc_store_le64(bytes.data + 56, XXH3_64bits(bytes.data, 56));
        assert_int_equal(sc_row_group_check(bytes.data, bytes.len, &group, NULL), SC_DAMAGED);
    }
    sc_buf_free(&bytes);
}

/* What another lane's folder holds is part of the store, where it is asked for. */
static void replicas_are_listed(void **state)
{
    (void)state;
    char *path = kit_folder(), lane[4096];
    struct sc_error err = {0};
    snprintf(lane, sizeof(lane), "%s/.replica/beta", path);
    for (int own = 0; own < 2; own++) {
        struct sc_store_writer *w = sc_store_writer_open(own ? path : lane, NULL, &err);
        struct sc_batch *batch = kit_batch(own ? 0 : 100, 100, KIT_WINDOW);
        assert_non_null(w);
        assert_int_equal(sc_store_writer_append(w, batch, &err), SC_OK);
        assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
        sc_batch_free(batch);
    }
    for (unsigned replicas = 0; replicas < 2; replicas++) {
        struct sc_catalogue catalogue = {.replicas = replicas != 0};
        assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK);
        assert_int_equal(catalogue.count, 1 + replicas);
        sc_catalogue_free(&catalogue);
    }
    kit_remove(path);
}

/* A wrong path must not look like a store without flows. */
static void other_folders_are_no_stores(void **state)
{
    (void)state;
    char *path = kit_folder(), name[4096];
    struct sc_error err = {0};
    struct sc_catalogue catalogue = {0};
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK); /* empty: nothing was stored yet */
    snprintf(name, sizeof(name), "%s/nfcapd.202601050800", path);
    kit_write_file(name, "x", 1);
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_NOT_OURS);
    assert_non_null(strstr(err.message, "is no store"));
    struct sc_store_writer *w = sc_store_writer_open(path, NULL, &err); /* a new store beside other things */
    assert_non_null(w);
    assert_int_equal(sc_catalogue_add(&catalogue, path, &err), SC_OK);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    sc_catalogue_free(&catalogue);
    kit_remove(path);
}

/* All codes of a block are greater than the dictionary has values: it takes nine bits, for 300. */
static void spoil_codes(uint8_t *chunk, uint32_t block)
{
    uint8_t *codes =
        chunk + SC_STREAM_HEAD + sc_load_le32(chunk + 12) + SC_STREAM_HEAD; /* behind the dictionary */
    const uint8_t *head = codes + (size_t)block * 16;
    assert_int_equal(codes[-SC_STREAM_HEAD], SC_LAYOUT_BLOCKS);
    assert_int_equal(head[12], 9);
    memset(codes + sc_load_le32(head + 8), 0xff, SC_BLOCK_VALUES * 9 / 8);
}

/* Of one row that is wanted; the values of all are looked up, as who compares rows does. */
static enum sc_status read_row(const struct sc_buf *bytes, struct sc_column_key key, uint32_t row)
{
    struct reading r;
    const struct sc_column *c = NULL;
    uint64_t bits[4096 / 64] = {0}, *values = malloc(4096 * sizeof(*values));
    assert_non_null(values);
    bits[row / 64] = UINT64_C(1) << row % 64;
    reading_start(&r, bytes);
    assert_int_equal(sc_row_group_want(r.group, bits, NULL), SC_OK);
    enum sc_status status = sc_row_group_column(r.group, key, &c, NULL);
    if (status == SC_OK) {
        sc_column_widen(c, 4096, values);
        assert_int_equal(values[row], row * UINT64_C(2654435761) % 300 * 1000003);
    }
    free(values);
    reading_end(&r);
    return status;
}

/* Of a block that has rows that are wanted all codes are in the dictionary; of others none is read. */
static void codes_outside_of_the_dictionary(void **state)
{
    (void)state;
    struct sc_buf bytes = {0};
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column_key key = {SC_PEN_IANA, 1, 0, SC_COLUMN_UINT};
    struct sc_column *c = sc_batch_begin(batch, key, NULL, 8, 4096);
    assert_non_null(c);
    batch->window_ms = KIT_WINDOW;
    for (uint64_t i = 0; i < 4096; i++)
        sc_column_put_u64(c, i * UINT64_C(2654435761) % 300 * 1000003);
    sc_batch_commit(batch, 4096);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, 77, 1);
    encode_as(batch, SC_EFFORT_SEALED, SC_SEGMENT_VERSION, &bytes);
    struct reading r;
    reading_start(&r, &bytes);
    const struct sc_entry *e = sc_row_group_entry(r.group, key);
    assert_int_equal(e->encoding, SC_ENCODING_DICT);
    spoil_codes(bytes.data + e->offset, 2);
    reading_end(&r);
    kit_set_hashes(bytes.data);
    assert_int_equal(read_row(&bytes, key, 100), SC_OK);
    assert_int_equal(read_row(&bytes, key, 2 * SC_BLOCK_VALUES), SC_DAMAGED);
    assert_int_equal(read_row(&bytes, key, 3 * SC_BLOCK_VALUES), SC_OK);
    sc_batch_free(batch);
    sc_buf_free(&bytes);
}

UNIT(test_encoded)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_as_they_came),
        cmocka_unit_test(what_came_long_ago_is_old),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(bits_behind_the_last_row_are_damage),
        cmocka_unit_test(codes_outside_of_the_dictionary),
        cmocka_unit_test(all_spans_are_told),
        cmocka_unit_test(spans_that_do_not_cover_the_rows),
        cmocka_unit_test(another_number_of_spans),
        cmocka_unit_test(replicas_are_listed),
        cmocka_unit_test(other_folders_are_no_stores),
        cmocka_unit_test(formats_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
