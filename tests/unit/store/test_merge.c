// SPDX-License-Identifier: BSD-3-Clause
/* Merging segments: whole batches, each once, in order, in full row groups; damage is left out and told. */
#include "store/merge.h"

#include "base/bounds.h"
#include "store/sealer.h"
#include "store_kit.h"

#include <fcntl.h>

enum { MOST_INPUTS = 8 };

struct desk {
    char *folder;
    char paths[MOST_INPUTS][256];
    const char *inputs[MOST_INPUTS];
    uint32_t count;
    uint32_t made;   /* files, for their names */
    uint16_t format; /* of what is written next; 0: the newest */
    char out[256];
    struct sc_merge_report report;
};

static const struct sc_segment_id desk_id = {
    .window_ms = KIT_WINDOW, .window_s = 60, .lane = 4, .stream = 99};

static struct sc_segment_id id_of(const struct desk *d)
{
    struct sc_segment_id id = desk_id;
    id.format = d->format;
    return id;
}

static void desk_start(struct desk *d)
{
    *d = (struct desk){.folder = kit_folder()};
    snprintf(d->out, sizeof(d->out), "%s/20270115T080000Z-0000000000000063-00000001.scs", d->folder);
}

static void desk_end(struct desk *d)
{
    kit_remove(d->folder);
}

/* A live file with `groups` row groups of `rows` flows each; batch ids go by the first flow's number. */
static const char *add_input(struct desk *d, uint64_t first_id, uint32_t groups, uint32_t rows)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    const struct sc_segment_id id = id_of(d);
    char *path = d->paths[d->count];
    snprintf(path, sizeof(d->paths[0]), "%s/%u.sclive", d->folder, d->made++);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &id, NULL), SC_OK);
    for (uint32_t i = 0; i < groups; i++) {
        struct sc_batch *batch = kit_batch(first_id + (uint64_t)i * rows, rows, KIT_WINDOW);
        kit_span(batch, 1, first_id + (uint64_t)i * rows);
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
        sc_batch_free(batch);
    }
    sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
    d->inputs[d->count++] = path;
    return path;
}

static void merge(struct desk *d, const struct sc_span_set *held)
{
    const struct sc_segment_id id = id_of(d);
    struct sc_error err = {0};
    if (sc_merge_segments(sc_io_system(), d->inputs, d->count, d->out, &id, held, NULL, &d->report, &err) !=
        SC_OK)
        fail_msg("%s", err.message);
}

/* The merged file holds each flow below `rows` once, in order. */
static void expect(const struct desk *d, uint64_t rows, uint32_t groups)
{
    struct kit_scan scan = {.limit = rows, .seen = calloc(rows + 1, sizeof(uint32_t))};
    assert_non_null(scan.seen);
    kit_scan_segment(&scan, d->out);
    assert_int_equal(scan.segments, 1);
    assert_int_equal(scan.live + scan.damaged, 0);
    assert_int_equal(scan.groups, groups);
    assert_int_equal(scan.rows_stored, rows);
    assert_false(scan.out_of_order);
    for (uint64_t id = 0; id < rows; id++)
        assert_int_equal(scan.seen[id], 1);
    kit_scan_free(&scan);
}

/* ---- what comes out ---- */

static void inputs_in_their_order(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 10, 7);
    add_input(&d, 70, 1, 30);
    add_input(&d, 100, 0, 0);
    add_input(&d, 100, 100, 1);
    merge(&d, NULL);
    assert_int_equal(d.report.rows, 200);
    assert_int_equal(d.report.groups_read, 111);
    assert_int_equal(d.report.groups_damaged + d.report.stretches_damaged + d.report.batches_double, 0);
    struct stat st;
    assert_int_equal(stat(d.out, &st), 0);
    assert_true(d.report.bytes_written > 1000 && d.report.bytes_written <= (uint64_t)st.st_size);
    expect(&d, 200, 1);
    struct sc_segment *segment;
    assert_int_equal(sc_segment_open(d.out, &segment, NULL), SC_OK);
    assert_true(segment->lane == 4 && segment->stream == 99 && segment->window_s == 60);
    sc_segment_close(segment);
    desk_end(&d);
}

/* A batch is never cut: a row group is closed when the next batch would not fit. */
static void batches_stay_whole(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 3, 40000);
    add_input(&d, 120000, 2, 8192);
    add_input(&d, 136384, 1, SC_ROW_GROUP_ROWS);
    merge(&d, NULL);
    expect(&d, 136384 + SC_ROW_GROUP_ROWS, 4);
    struct sc_segment *segment;
    static const uint32_t rows[] = {40000, 40000, 40000 + 2 * 8192, SC_ROW_GROUP_ROWS};
    assert_int_equal(sc_segment_open(d.out, &segment, NULL), SC_OK);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(segment->groups[i].rows, rows[i]);
    sc_segment_close(segment);
    desk_end(&d);
}

static void each_batch_once(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 4, 10);
    add_input(&d, 20, 4, 10); /* two of them again */
    add_input(&d, 0, 6, 10);
    d.inputs[d.count] = d.inputs[0]; /* and a file twice */
    d.count++;
    merge(&d, NULL);
    assert_int_equal(d.report.rows, 60);
    assert_int_equal(d.report.batches_double, 2 + 6 + 4);
    expect(&d, 60, 1);
    desk_end(&d);
}

static void held_batches_are_left_out(void **state)
{
    (void)state;
    struct desk d;
    struct sc_span_set held = {0};
    desk_start(&d);
    const char *before = add_input(&d, 30, 3, 10);
    assert_int_equal(sc_merge_note_held(before, &held, NULL), SC_OK);
    assert_int_equal(held.count, 3);
    d.count = 0;
    add_input(&d, 0, 6, 10);
    merge(&d, &held);
    assert_int_equal(d.report.batches_double, 3);
    expect(&d, 30, 1);
    unlink(d.out);
    d.count = 0;
    add_input(&d, 30, 2, 10);
    merge(&d, &held); /* nothing is left */
    assert_int_equal(d.report.rows, 0);
    expect(&d, 0, 0);
    sc_span_set_free(&held);
    desk_end(&d);
}

static void sealed_files_can_be_merged(void **state)
{
    (void)state;
    struct desk d;
    char first[300];
    desk_start(&d);
    add_input(&d, 0, 5, 100);
    merge(&d, NULL);
    snprintf(first, sizeof(first), "%s/first.scs", d.folder);
    assert_int_equal(rename(d.out, first), 0);
    d.inputs[0] = first;
    add_input(&d, 500, 5, 100);
    merge(&d, NULL);
    expect(&d, 1000, 1);
    desk_end(&d);
}

/* Columns that only one of the inputs has are null in the rows of the other. */
static void columns_that_differ(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 1, 10);
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    struct sc_column_key key = {0, 777, 3, SC_COLUMN_UINT};
    struct sc_column *c = sc_batch_begin(batch, key, NULL, 4, 5);
    for (uint32_t i = 0; i < 5; i++)
        sc_column_put_u64(c, 100000 + i);
    sc_batch_commit(batch, 5);
    kit_span(batch, 2, 2);
    snprintf(d.paths[1], sizeof(d.paths[1]), "%s/other.sclive", d.folder);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), d.paths[1], &desk_id, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_add(&writer, &encoder, batch, NULL), SC_OK);
    sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
    sc_batch_free(batch);
    d.inputs[d.count++] = d.paths[1];
    merge(&d, NULL);

    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    const struct sc_column *ids, *seven;
    assert_int_equal(sc_segment_open(d.out, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, segment, 0, &group, NULL), SC_OK);
    assert_int_equal(sc_row_group_column(group, key, &seven, NULL), SC_OK);
    assert_int_equal(sc_row_group_column(group, kit_keys[KIT_FLOW_ID], &ids, NULL), SC_OK);
    assert_int_equal(group->rows, 15);
    for (uint32_t row = 0; row < 15; row++) {
        assert_int_equal(sc_column_is_null(seven, row), row < 10);
        assert_int_equal(sc_column_is_null(ids, row), row >= 10);
        assert_int_equal(sc_column_u64(seven, row), row < 10 ? 0 : 100000 + row - 10);
        assert_int_equal(sc_column_u64(ids, row), row < 10 ? row : 0);
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    desk_end(&d);
}

/* ---- what goes wrong ---- */

/* ---- bounds ---- */

/* A batch of `rows` rows in `columns` columns of 8 bytes of an enterprise, from flow `first` on, with one span. */
static struct sc_batch *wide_batch(uint32_t pen, uint32_t columns, uint64_t first, uint32_t rows)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    for (uint32_t i = 0; i < columns; i++) {
        const struct sc_column_key key = {pen, (uint16_t)i, 0, SC_COLUMN_UINT};
        struct sc_column *c = sc_batch_begin(batch, key, NULL, 8, rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++)
            sc_column_put_u64(c, (first + row) << 40 | i);
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    kit_span(batch, pen, first);
    return batch;
}

static void add_batches(struct desk *d, struct sc_batch *const *batches, uint32_t count)
{
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    char *path = d->paths[d->count];
    snprintf(path, sizeof(d->paths[0]), "%s/%u.sclive", d->folder, d->made++);
    assert_int_equal(sc_row_group_encoder_init(&encoder, SC_EFFORT_LIVE, NULL), SC_OK);
    assert_int_equal(sc_segment_writer_create(&writer, sc_io_system(), path, &desk_id, NULL), SC_OK);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(sc_segment_writer_add(&writer, &encoder, batches[i], NULL), SC_OK);
    sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
    d->inputs[d->count++] = path;
}

struct found {
    uint32_t groups, most_columns;
    uint64_t rows, values, most_bytes;
};

/* Every value is that of its row and column. */
static void find_values(struct sc_row_group *group, struct found *found)
{
    const struct sc_column *c;
    for (uint32_t i = 0; i < group->entry_count; i++) {
        assert_int_equal(sc_row_group_column_at(group, i, &c, NULL), SC_OK);
        for (uint32_t row = 0; c != NULL && row < group->rows; row++) {
            if (sc_column_is_null(c, row))
                continue;
            assert_int_equal(sc_column_u64(c, row) & 0xffff, c->key.id);
            found->values++;
        }
    }
}

static struct found find_all(const struct desk *d)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct found found = {0};
    assert_int_equal(sc_segment_open(d->out, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    for (uint32_t i = 0; i < segment->group_count; i++) {
        struct sc_row_group *group;
        sc_read_context_reset(&context);
        assert_int_equal(sc_row_group_open(&context, segment, i, &group, NULL), SC_OK);
        find_values(group, &found);
        struct sc_weight weight = sc_batch_weight((const struct sc_column *const *)group->columns,
                                                  group->entry_count, 0, group->rows);
        uint64_t bytes = sc_weight_bytes(&weight);
        found.groups++;
        found.rows += group->rows;
        found.most_columns = weight.columns > found.most_columns ? weight.columns : found.most_columns;
        found.most_bytes = bytes > found.most_bytes ? bytes : found.most_bytes;
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return found;
}

/* Together they have more columns than a directory can name. */
static void many_columns_go_into_several_row_groups(void **state)
{
    (void)state;
    struct desk d;
    struct sc_batch *batches[30];
    desk_start(&d);
    for (uint32_t i = 0; i < 30; i++)
        batches[i] = wide_batch(1000 + i, 1000, i, 2);
    add_batches(&d, batches, 30);
    merge(&d, NULL);
    struct found found = find_all(&d);
    assert_int_equal(found.rows, 60);
    assert_int_equal(found.values, 60 * 1000);
    assert_int_equal(found.most_columns, 2000);
    assert_int_equal(found.groups, 15);
    assert_int_equal(d.report.groups_copied, 0);
    for (uint32_t i = 0; i < 30; i++)
        sc_batch_free(batches[i]);
    desk_end(&d);
}

/* Few bytes as they come; but a row has room in every column of its row group. */
static void rows_of_other_columns_weigh_too(void **state)
{
    (void)state;
    struct desk d;
    struct sc_batch *batches[2] = {wide_batch(1, 1000, 0, 8000), wide_batch(2, 1000, 8000, 2000)};
    desk_start(&d);
    add_batches(&d, batches, 2);
    merge(&d, NULL);
    struct found found = find_all(&d);
    assert_int_equal(found.rows, 10000);
    assert_int_equal(found.values, 10000 * 1000);
    assert_int_equal(found.groups, 2);
    assert_true(found.most_bytes <= SC_BOUND_GROUP_BYTES);
    sc_batch_free(batches[0]);
    sc_batch_free(batches[1]);
    desk_end(&d);
}

/* Whether a row group that came out stands in `path` as it is. */
static bool is_from(const struct desk *d, uint32_t group, const char *path)
{
    size_t before_length, after_length;
    uint8_t *before = kit_read_file(path, &before_length), *after = kit_read_file(d->out, &after_length);
    struct sc_segment *segment;
    assert_int_equal(sc_segment_open(d->out, &segment, NULL), SC_OK);
    const struct sc_group_ref *copy = &segment->groups[group];
    bool is = memmem(before, before_length, after + copy->offset, copy->length) != NULL;
    sc_segment_close(segment);
    free(before);
    free(after);
    return is;
}

/* Of an earlier version: it is taken as it is, in its place, once. */
static void larger_row_groups_are_copied(void **state)
{
    (void)state;
    struct desk d;
    struct sc_batch *batches[4] = {wide_batch(1, 10, 0, 5), wide_batch(2, 5000, 5, 3),
                                   wide_batch(2, 5000, 5, 3), wide_batch(1, 10, 8, 5)};
    desk_start(&d);
    add_batches(&d, batches, 4);
    merge(&d, NULL);
    struct found found = find_all(&d);
    assert_int_equal(found.groups, 3);
    assert_int_equal(found.most_columns, 5000);
    assert_int_equal(found.rows, 13);
    assert_int_equal(found.values, 10 * 10 + 3 * 5000);
    assert_true(d.report.groups_copied == 1 && d.report.batches_double == 1 && d.report.rows == 13);
    assert_true(is_from(&d, 1, d.inputs[0]));
    for (uint32_t i = 0; i < 4; i++)
        sc_batch_free(batches[i]);
    desk_end(&d);
}

/* The input that was added last, sealed. */
static const char *seal_input(struct desk *d)
{
    struct sc_merge_report report;
    char *path = d->paths[d->count - 1], sealed[256];
    snprintf(sealed, sizeof(sealed), "%s/%u.scs", d->folder, d->made++);
    const char *input = path;
    const struct sc_segment_id id = id_of(d);
    assert_int_equal(sc_merge_segments(sc_io_system(), &input, 1, sealed, &id, NULL, NULL, &report, NULL),
                     SC_OK);
    memcpy(path, sealed, sizeof(sealed));
    return path;
}

/* Of row group `index` of a sealed file, the place and the length of its filter. */
static off_t filter_of(const char *path, uint32_t index)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    off_t at = -1;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(sc_row_group_open(&context, segment, index, &group, NULL), SC_OK);
    const struct sc_entry *filter = sc_row_group_filter(group);
    if (filter != NULL)
        at = (off_t)(group->ref->offset + filter->offset);
    sc_read_context_free(&context);
    sc_segment_close(segment);
    return at;
}

static void write_at(const char *path, off_t at, uint8_t change)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= change;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* What is sealed and full is not encoded again; the rest is filled up. */
static void full_sealed_row_groups_are_copied(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 9, 8192);
    const char *sealed = seal_input(&d);
    add_input(&d, 9 * 8192, 10, 10);
    merge(&d, NULL);
    assert_int_equal(d.report.groups_copied, 1);
    assert_int_equal(d.report.rows, 9 * 8192 + 100);
    expect(&d, 9 * 8192 + 100, 2);
    assert_true(is_from(&d, 0, sealed));
    assert_true(filter_of(d.out, 0) > 0 && filter_of(d.out, 1) > 0);
    unlink(d.out);
    d.count = 0;
    add_input(&d, 0, 1, 10); /* too few for a row group of their own */
    add_input(&d, 10, 8, 8192);
    (void)seal_input(&d);
    add_input(&d, 10 + 8 * 8192, 8, 8192);
    sealed = seal_input(&d); /* behind what is left of the one before */
    merge(&d, NULL);
    assert_int_equal(d.report.groups_copied, 1);
    expect(&d, 10 + 16 * 8192, 3);
    assert_true(is_from(&d, 2, sealed));
    desk_end(&d);
}

/* Of a live file, not full, with a batch that another has, or with a damaged filter: encoded anew. */
static void what_a_seal_would_make_otherwise_is_not_copied(void **state)
{
    (void)state;
    struct desk d;
    struct sc_span_set held = {0};
    bool fresh;
    desk_start(&d);
    add_input(&d, 0, 6, 8192);
    merge(&d, NULL);
    assert_int_equal(d.report.groups_copied, 0);
    unlink(d.out);
    const char *sealed = seal_input(&d);
    merge(&d, NULL);
    assert_int_equal(d.report.groups_copied, 1);
    unlink(d.out);
    assert_int_equal(sc_span_set_add(&held, &(struct sc_span){.stream = 1, .sequence = 5 * 8192}, &fresh),
                     SC_OK);
    merge(&d, &held);
    assert_true(d.report.groups_copied == 0 && d.report.batches_double == 1);
    expect(&d, 5 * 8192, 1);
    sc_span_set_free(&held);
    unlink(d.out);
    write_at(sealed, filter_of(sealed, 0), 1);
    merge(&d, NULL);
    assert_true(d.report.groups_copied == 0 && d.report.groups_damaged == 0);
    expect(&d, 6 * 8192, 1);
    unlink(d.out);
    d.count = 0;
    add_input(&d, 0, 5, 8192);
    (void)seal_input(&d);
    merge(&d, NULL);
    assert_int_equal(d.report.groups_copied, 0);
    desk_end(&d);
}

enum { ANY_BATCHES = 24, ANY_ROWS = 8192 };

/* Batches from `first` on in a file, live or sealed, whole or not; `sound`: which have a copy in a file that is whole. */
static void add_any(struct desk *d, uint64_t *random, bool *sound)
{
    uint32_t first = (uint32_t)(kit_random(random) % ANY_BATCHES),
             count = 1 + (uint32_t)(kit_random(random) % 16);
    count = count < ANY_BATCHES - first ? count : ANY_BATCHES - first;
    d->format = (uint16_t)(1 + kit_random(random) % SC_SEGMENT_VERSION);
    const char *path = add_input(d, (uint64_t)first * ANY_ROWS, count, ANY_ROWS);
    if (kit_random(random) % 3 != 0)
        path = seal_input(d);
    if (kit_random(random) % 3 == 0) {
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        write_at(path, (off_t)(kit_random(random) % (uint64_t)st.st_size),
                 (uint8_t)(1 + kit_random(random) % 255));
        return;
    }
    for (uint32_t i = first; i < first + count; i++)
        sound[i] = true;
}

/* A program of that format reads the file and all that is in it. */
static void check_format(const struct desk *d)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    assert_int_equal(sc_segment_open(d->out, &segment, NULL), SC_OK);
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    assert_int_equal(segment->format, d->format);
    for (uint32_t i = 0; i < segment->group_count; i++) {
        sc_read_context_reset(&context);
        assert_int_equal(sc_row_group_open(&context, segment, i, &group, NULL), SC_OK);
        assert_true(group->format <= d->format);
        assert_int_equal(segment->groups[i].span_count, d->format > 1 ? group->span_count : 0);
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
}

/* Whatever the files are: each batch once, and each of which there is a whole copy. */
static void any_files(void **state)
{
    (void)state;
    uint64_t random = 7;
    uint32_t copied = 0, encoded = 0;
    for (unsigned walk = 0; walk < 24; walk++) {
        struct desk d;
        bool sound[ANY_BATCHES] = {0};
        const uint64_t rows = (uint64_t)ANY_BATCHES * ANY_ROWS;
        desk_start(&d);
        for (uint32_t i = 0; i < 1 + walk % MOST_INPUTS; i++)
            add_any(&d, &random, sound);
        d.format = (uint16_t)(1 + walk / 2 % SC_SEGMENT_VERSION);
        merge(&d, NULL);
        check_format(&d);
        struct kit_scan scan = {.limit = rows, .seen = calloc(rows + 1, sizeof(uint32_t))};
        kit_scan_segment(&scan, d.out);
        for (uint64_t id = 0; id < rows; id++)
            assert_true(scan.seen[id] == sound[id / ANY_ROWS] ||
                        (scan.seen[id] == 1 && !sound[id / ANY_ROWS]));
        assert_int_equal(scan.rows_stored, d.report.rows);
        copied += d.report.groups_copied;
        encoded += scan.groups - d.report.groups_copied;
        kit_scan_free(&scan);
        desk_end(&d);
    }
    assert_true(copied > 5 && encoded > 10);
}

static void damage_is_left_out(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    const char *path = add_input(&d, 0, 3, 10);
    add_input(&d, 10, 2, 10); /* what the damage takes is whole here */
    struct sc_segment *segment;
    assert_int_equal(sc_segment_open(path, &segment, NULL), SC_OK);
    off_t middle = (off_t)(segment->groups[1].offset + segment->groups[1].length - 20);
    off_t last = (off_t)(segment->groups[2].offset + 3);
    sc_segment_close(segment);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "\xff\x00\xff", 3, middle), 3);
    assert_int_equal(pwrite(fd, "\xff\x00\xff", 3, last), 3);
    close(fd);
    merge(&d, NULL);
    assert_int_equal(d.report.groups_damaged, 1);
    assert_int_equal(d.report.stretches_damaged, 1);
    expect(&d, 30, 1);
    desk_end(&d);
}

static void missing_and_foreign_inputs(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 1, 10);
    const char *gone = add_input(&d, 500, 1, 10), *foreign = add_input(&d, 600, 1, 10);
    add_input(&d, 10, 1, 10);
    unlink(gone);
    kit_write_file(foreign, d.folder, 5);
    assert_int_equal(truncate(foreign, 500), 0);
    merge(&d, NULL);
    assert_int_equal(d.report.stretches_damaged, 1); /* the foreign one; who is gone was expired */
    expect(&d, 20, 1);
    desk_end(&d);
}

static void a_merge_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct desk d;
    struct sc_error err = {0};
    int cancel = 1;
    desk_start(&d);
    add_input(&d, 0, 3, 10);
    assert_int_equal(
        sc_merge_segments(sc_io_system(), d.inputs, d.count, d.out, &desk_id, NULL, &cancel, &d.report, &err),
        SC_CANCELLED);
    assert_int_not_equal(access(d.out, F_OK), 0);
    snprintf(d.out, sizeof(d.out), "%s/no/such/folder", d.folder);
    assert_int_equal(
        sc_merge_segments(sc_io_system(), d.inputs, d.count, d.out, &desk_id, NULL, NULL, &d.report, &err),
        SC_NOTFOUND);
    desk_end(&d);
}

static ssize_t write_changed(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    char *copy = malloc(count);
    (void)io;
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    copy[count / 2] ^= 1;
    ssize_t n = sc_io_system()->ops->write(sc_io_system(), handle, copy, count);
    free(copy);
    return n;
}

/* A disk that keeps something else than it was given. */
static void what_does_not_read_back(void **state)
{
    (void)state;
    struct desk d;
    struct sc_error err = {0};
    struct sc_io_ops ops = *sc_io_system()->ops;
    struct sc_io io = {.ops = &ops};
    desk_start(&d);
    add_input(&d, 0, 3, 10);
    ops.write = write_changed;
    assert_int_equal(sc_merge_segments(&io, d.inputs, d.count, d.out, &desk_id, NULL, NULL, &d.report, &err),
                     SC_DAMAGED);
    assert_true(strstr(err.message, d.out) != NULL);
    assert_int_equal(access(d.out, F_OK), -1);
    desk_end(&d);
}

/* An output that is there already is not ours to overwrite, nor to remove. */
static void an_output_that_is_there(void **state)
{
    (void)state;
    struct desk d;
    desk_start(&d);
    add_input(&d, 0, 1, 10);
    kit_write_file(d.out, "precious", 8);
    assert_int_equal(
        sc_merge_segments(sc_io_system(), d.inputs, d.count, d.out, &desk_id, NULL, NULL, &d.report, NULL),
        SC_IO);
    size_t length;
    uint8_t *bytes = kit_read_file(d.out, &length);
    assert_int_equal(length, 8);
    free(bytes);
    desk_end(&d);
}

/* ---- sealing ---- */

static void a_seal_of_what_is_gone(void **state)
{
    (void)state;
    struct desk d;
    struct sc_merge_report report;
    struct sc_error err = {0};
    desk_start(&d);
    char gone[300], *inputs[] = {gone}, temporary[300];
    snprintf(gone, sizeof(gone), "%s/2027/01/15/x.sclive", d.folder);
    snprintf(temporary, sizeof(temporary), "%s/2027/01/15/.x.tmp", d.folder);
    struct sc_seal_job job = {
        .folder = d.folder, .temporary = temporary, .sealed = d.out, .inputs = inputs, .input_count = 1};
    assert_int_equal(sc_seal(sc_io_system(), NULL, &job, NULL, &report, &err), SC_OK);
    assert_int_equal(report.rows, 0);
    desk_end(&d);
}

/* ---- the set of batch ids ---- */

static void span_sets(void **state)
{
    (void)state;
    struct sc_span_set set = {0};
    struct sc_span none = {0};
    assert_false(sc_span_set_has(&set, &none));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 5000; i++) {
            bool fresh;
            struct sc_span span = {.stream = i % 7 * UINT64_C(0x100000001), .lane = i % 3, .sequence = i / 2};
            struct sc_span other = span;
            other.lane += 100;
            assert_int_equal(sc_span_set_has(&set, &span), pass == 1);
            assert_int_equal(sc_span_set_add(&set, &span, &fresh), SC_OK);
            assert_int_equal(fresh, pass == 0);
            assert_true(sc_span_set_has(&set, &span) && !sc_span_set_has(&set, &other));
        }
    }
    assert_int_equal(set.count, 5000);
    sc_span_set_free(&set);
}

UNIT(test_merge)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_in_their_order),
        cmocka_unit_test(batches_stay_whole),
        cmocka_unit_test(each_batch_once),
        cmocka_unit_test(held_batches_are_left_out),
        cmocka_unit_test(sealed_files_can_be_merged),
        cmocka_unit_test(columns_that_differ),
        cmocka_unit_test(many_columns_go_into_several_row_groups),
        cmocka_unit_test(rows_of_other_columns_weigh_too),
        cmocka_unit_test(larger_row_groups_are_copied),
        cmocka_unit_test(full_sealed_row_groups_are_copied),
        cmocka_unit_test(what_a_seal_would_make_otherwise_is_not_copied),
        cmocka_unit_test(any_files),
        cmocka_unit_test(damage_is_left_out),
        cmocka_unit_test(missing_and_foreign_inputs),
        cmocka_unit_test(a_merge_that_fails_leaves_nothing),
        cmocka_unit_test(what_does_not_read_back),
        cmocka_unit_test(an_output_that_is_there),
        cmocka_unit_test(a_seal_of_what_is_gone),
        cmocka_unit_test(span_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
