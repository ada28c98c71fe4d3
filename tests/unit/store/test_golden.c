// SPDX-License-Identifier: BSD-3-Clause
/*
 * Files of each format as a collector of that version left them: tests/data/vN.scs, vN.sclive. They must be readable for as long as
 * their format is; whoever changes the format adds files of the next version beside them. v2b.scs is of format 2 since its Bloom
 * filters have pages; live files have none.
 *
 *     unit_store test_golden                          reads them
 *     SC_WRITE_GOLDEN=FOLDER unit_store test_golden   makes such files with the writer of today
 */
#include "store_kit.h"

#include "store/maintain.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The bytes are those of that version, not of a writer that came later. */
static const struct golden {
    uint16_t format;
    uint8_t filter; /* the role of its Bloom filters */
    const char *sealed, *live;
    uint64_t sealed_hash, live_hash;
} files[] = {
    {1, SC_CHUNK_BLOOM, SC_SOURCE_DIR "/tests/data/v1.scs", SC_SOURCE_DIR "/tests/data/v1.sclive",
     UINT64_C(0x3aea8a79ca4d83c9), UINT64_C(0x9dc6c49c63fb872f)},
    {2, SC_CHUNK_BLOOM, SC_SOURCE_DIR "/tests/data/v2.scs", SC_SOURCE_DIR "/tests/data/v2.sclive",
     UINT64_C(0x8b06411a26d13f4b), UINT64_C(0x2e5ad1c3714aa358)},
    {2, SC_CHUNK_FILTER, SC_SOURCE_DIR "/tests/data/v2b.scs", SC_SOURCE_DIR "/tests/data/v2.sclive",
     UINT64_C(0xe64f833013f6dd77), UINT64_C(0x2e5ad1c3714aa358)},
};

enum { FILES = sizeof(files) / sizeof(files[0]) };
static_assert(FILES > SC_SEGMENT_VERSION,
              "there are files of each format, and of format 2 with both filters");

/* All tests run with each; `golden` is its files. */
static uint16_t format;
static const struct golden *golden;

enum { GROUPS = 3, TINY = 4, MANY = 1150, SOME = 40, LIVE_MANY = 300, TAIL_BYTES = 500 };

static const uint32_t sealed_rows[GROUPS] = {TINY, MANY, SOME};
/* Of the last one only the first bytes are there. */
static const uint32_t live_rows[GROUPS + 1] = {TINY, LIVE_MANY, SOME, SOME};

/* ---- columns beside the kit's, for the encodings that those do not come to ---- */

enum more { SEGMENT_ID, NEXT_HOP, STATION, MORE };

static const struct sc_column_key more_keys[MORE] = {
    [SEGMENT_ID] = {SC_PEN_IANA, 351, 0, SC_COLUMN_UINT},                  /* DICT */
    [NEXT_HOP] = {SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, 0, SC_COLUMN_ADDRESS}, /* FUNCTION, with nulls */
    [STATION] = {SC_PEN_IANA, 350, 0, SC_COLUMN_BYTES},                    /* compressed bytes */
};

static struct kit_value more_value(enum more column, uint64_t id)
{
    struct kit_value v = {0};
    struct sc_addr destination = kit_value(KIT_DESTINATION, id).address;
    uint64_t h = kit_mix(id, 100 + column);
    switch (column) {
    case SEGMENT_ID:
        v.number = kit_mix(h % 5, 7);
        break;
    case NEXT_HOP:
        v.null = !sc_addr_is_v4(&destination);
        if (!v.null)
            v.address = sc_addr_v4(0x0a000000u | (uint32_t)(kit_mix(destination.b[15], 8) & 63));
        break;
    default:
        v.length = (uint32_t)snprintf((char *)v.bytes, sizeof(v.bytes), "station %llu of the lab",
                                      (unsigned long long)id);
        break;
    }
    return v;
}

static void check_more(const struct sc_column *c, enum more which, uint32_t row, uint64_t id)
{
    struct kit_value want = more_value(which, id);
    assert_non_null(c);
    assert_int_equal(sc_column_is_null(c, row), want.null);
    if (want.null)
        return;
    if (which == NEXT_HOP) {
        assert_true(sc_addr_equal(sc_column_addr(c, row), &want.address));
    } else if (which == STATION) {
        uint32_t length;
        const uint8_t *bytes = sc_column_bytes(c, row, &length);
        assert_int_equal(length, want.length);
        assert_memory_equal(bytes, want.bytes, length);
    } else {
        assert_true(sc_column_u64(c, row) == want.number);
    }
}

/* ---- writing ---- */

static struct sc_batch *golden_batch(uint64_t first_id, uint32_t rows)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = KIT_WINDOW;
    for (uint32_t i = 0; i < KIT_COLUMNS + MORE; i++) {
        bool more = i >= KIT_COLUMNS;
        struct sc_column *c =
            sc_batch_begin(batch, more ? more_keys[i - KIT_COLUMNS] : kit_keys[i], NULL, 8, rows);
        assert_non_null(c);
        for (uint64_t id = first_id; id < first_id + rows; id++) {
            struct kit_value v =
                more ? more_value((enum more)(i - KIT_COLUMNS), id) : kit_value((enum kit_column)i, id);
            kit_put(c, &v);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

/* The third row group holds options records. A tiny one comes first: docs/formats.md shows its bytes. */
static void add_groups(struct sc_segment_writer *writer, enum sc_effort effort, const uint32_t *rows,
                       uint32_t count)
{
    struct sc_row_group_encoder encoder;
    uint64_t id = 0;
    assert_int_equal(sc_row_group_encoder_init(&encoder, effort, NULL), SC_OK);
    sc_row_group_encoder_set_format(&encoder, format);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_batch *batch = golden_batch(id, rows[i]);
        batch->record_kind = i == 2 ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS;
        kit_span(batch, 0xabc, i);
        batch->spans[0].lane = 3;
        assert_int_equal(sc_segment_writer_add(writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
        id += rows[i];
    }
    sc_row_group_encoder_free(&encoder);
}

static void write_file(const char *folder, bool sealed)
{
    struct sc_segment_writer writer;
    struct sc_segment_id id = {
        .window_ms = KIT_WINDOW, .window_s = 300, .lane = 3, .stream = 0xabc, .format = format};
    char path[512];
    snprintf(path, sizeof(path), "%s/v%u%s", folder, format, sealed ? SC_SEGMENT_SUFFIX : SC_LIVE_SUFFIX);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    if (sealed) {
        add_groups(&writer, SC_EFFORT_SEALED, sealed_rows, GROUPS);
        assert_int_equal(sc_segment_writer_finish(&writer, NULL), SC_OK);
        return;
    }
    add_groups(&writer, SC_EFFORT_LIVE, live_rows, GROUPS + 1);
    uint64_t length = writer.offset, last = 0;
    struct sc_segment *segment;
    sc_segment_writer_abandon(&writer);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    last = segment->groups[GROUPS].offset;
    sc_segment_close(segment);
    assert_true(last + TAIL_BYTES < length);
    assert_int_equal(truncate(path, (off_t)(last + TAIL_BYTES)), 0);
}

static void write_files(void **state)
{
    (void)state;
    write_file(getenv("SC_WRITE_GOLDEN"), true);
    write_file(getenv("SC_WRITE_GOLDEN"), false);
}

/* ---- reading ---- */

static void check_bytes(const char *path, uint64_t hash)
{
    size_t length;
    uint8_t *bytes = kit_read_file(path, &length);
    uint64_t found = XXH3_64bits(bytes, length);
    free(bytes);
    if (found != hash)
        fail_msg("%s has the hash %llx: it is not the file that was written as version %u", path,
                 (unsigned long long)found, format);
}

/* Every value of every flow, each flow once. */
static void check_flows(const char *path, uint32_t rows, bool live)
{
    struct kit_scan scan = {.limit = rows, .seen = calloc(rows, sizeof(uint32_t))};
    assert_non_null(scan.seen);
    kit_scan_segment(&scan, path);
    assert_int_equal(scan.segments, 1);
    assert_int_equal(scan.damaged, 0);
    assert_int_equal(scan.groups, GROUPS);
    assert_int_equal(scan.live, live);
    assert_int_equal(scan.tails, live);
    assert_int_equal(scan.rows, rows);
    for (uint32_t id = 0; id < rows; id++)
        assert_int_equal(scan.seen[id], 1);
    kit_scan_free(&scan);
}

static void check_more_columns(const char *path, const uint32_t *rows)
{
    struct sc_read_context context;
    struct sc_segment *segment;
    struct sc_row_group *group;
    const struct sc_column *column;
    uint64_t first_id = 0;
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_int_equal(sc_row_group_open(&context, segment, i, &group, NULL), SC_OK);
        assert_int_equal(group->entry_count, KIT_COLUMNS + MORE + 1 + (segment->sealed && i != 2));
        for (uint32_t k = 0; k < MORE; k++) {
            assert_int_equal(sc_row_group_column(group, more_keys[k], &column, NULL), SC_OK);
            for (uint32_t row = 0; row < rows[i]; row++)
                check_more(column, (enum more)k, row, first_id + row);
        }
        first_id += rows[i];
        sc_read_context_reset(&context);
    }
    sc_segment_close(segment);
    sc_read_context_free(&context);
}

static void check_head(const char *path, const uint32_t *rows, bool sealed)
{
    struct sc_segment *segment;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_int_equal(segment->sealed, sealed);
    assert_int_equal(segment->format, format);
    assert_true(segment->window_ms == KIT_WINDOW && segment->window_s == 300);
    assert_true(segment->lane == 3 && segment->stream == 0xabc);
    assert_int_equal(segment->group_count, GROUPS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        assert_int_equal(segment->groups[i].rows, rows[i]);
        assert_int_equal(segment->groups[i].record_kind, i == 2 ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS);
        assert_int_equal(segment->groups[i].span_count, sealed && format > 1);
    }
    sc_segment_close(segment);
}

static void sealed_file(void **state)
{
    (void)state;
    check_bytes(golden->sealed, golden->sealed_hash);
    check_head(golden->sealed, sealed_rows, true);
    check_flows(golden->sealed, TINY + MANY + SOME, false);
    check_more_columns(golden->sealed, sealed_rows);
}

static void live_file(void **state)
{
    (void)state;
    check_bytes(golden->live, golden->live_hash);
    check_head(golden->live, live_rows, false);
    check_flows(golden->live, TINY + LIVE_MANY + SOME, true);
    check_more_columns(golden->live, live_rows);
}

static uint64_t number_of(enum kit_column column, uint64_t id)
{
    return kit_value(column, id).number;
}

/* The statistics of the flow row groups, as the footer keeps them. */
static void footer(void **state)
{
    (void)state;
    uint64_t first_min = UINT64_MAX, last_max = 0, records = 0, octets = 0, stored_octets = 0;
    struct sc_segment *segment;
    for (uint64_t id = 0; id < TINY + MANY; id++) {
        uint64_t first = number_of(KIT_FIRST, id), last = number_of(KIT_LAST, id);
        first_min = first < first_min ? first : first_min;
        last_max = last > last_max ? last : last_max;
        octets += number_of(KIT_BYTES, id);
    }
    assert_int_equal(sc_segment_open(golden->sealed, &segment, NULL), SC_OK);
    const struct sc_row_stats *stats = &segment->flow_stats;
    assert_true(stats->first_min == first_min && stats->last_max == last_max);
    assert_true(stats->time_min == first_min && stats->received_min > stats->received_max);
    assert_int_equal(stats->protocol_count, 3); /* TCP, UDP, none */
    for (uint32_t i = 0; i < stats->protocol_count; i++) {
        records += stats->protocols[i].records;
        stored_octets += stats->protocols[i].bytes;
    }
    assert_true(records == TINY + MANY && stored_octets == octets);
    sc_segment_close(segment);
}

/* The filters know each address and its networks, and not any address. */
static void filters(void **state)
{
    (void)state;
    struct sc_read_context context;
    struct sc_segment *segment;
    struct sc_row_group *group;
    struct sc_addr absent = sc_addr_v4(0xc6336401u);
    bool possible;
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_segment_open(golden->sealed, &segment, NULL), SC_OK);
    assert_int_equal(sc_row_group_open(&context, segment, 1, &group, NULL), SC_OK);
    assert_int_equal(sc_row_group_filter(group)->role, golden->filter);
    for (uint64_t id = TINY; id < TINY + MANY; id++) {
        struct sc_addr address = kit_value(KIT_SOURCE, id).address;
        bool v4 = sc_addr_is_v4(&address);
        for (unsigned bits = v4 ? 112 : 48; bits <= 128; bits += v4 ? 8 : 16) {
            struct sc_addr prefix = sc_addr_mask(&address, bits);
            assert_int_equal(sc_row_group_may_contain(group, &prefix, bits, &possible, NULL), SC_OK);
            assert_true(possible);
        }
    }
    assert_int_equal(sc_row_group_may_contain(group, &absent, 128, &possible, NULL), SC_OK);
    assert_false(possible);
    sc_segment_close(segment);
    sc_read_context_free(&context);
}

/* Whatever byte is changed, a verification finds it: also within blocks, which the files of test_segment are too small for. */
static void damage(void **state)
{
    (void)state;
    char *folder = kit_folder(), path[512];
    size_t length;
    uint8_t *bytes = kit_read_file(golden->sealed, &length);
    struct sc_verify_report report;
    snprintf(path, sizeof(path), "%s/20270115T080000Z-0000000000000abc-00000001.scs", folder);
    kit_write_file(path, bytes, length);
    assert_int_equal(sc_store_verify(folder, NULL, NULL, &report, NULL), SC_OK);
    for (size_t at = 0; at < length; at += 1 + at % 41) {
        bytes[at] ^= 0x10;
        kit_write_file(path, bytes, length);
        if (sc_store_verify(folder, NULL, NULL, &report, NULL) != SC_DAMAGED)
            fail_msg("byte %zu of %s may be changed", at, golden->sealed);
        bytes[at] ^= 0x10;
    }
    free(bytes);
    kit_remove(folder);
}

UNIT(test_golden)
{
    const struct CMUnitTest writing[] = {cmocka_unit_test(write_files)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_file), cmocka_unit_test(live_file), cmocka_unit_test(footer),
        cmocka_unit_test(filters),     cmocka_unit_test(damage),
    };
    int failed = 0;
    bool writes = getenv("SC_WRITE_GOLDEN") != NULL;
    for (format = 1; writes && format <= SC_SEGMENT_VERSION; format++)
        failed += cmocka_run_group_tests(writing, NULL, NULL);
    for (golden = files; !writes && golden < files + FILES; golden++) {
        format = golden->format;
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
