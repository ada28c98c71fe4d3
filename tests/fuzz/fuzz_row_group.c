// SPDX-License-Identifier: BSD-3-Clause
/*
 * Batches made from any bytes: what is encoded as a row group, live and sealed, is what is read back, value by value.
 * The input is a program: for each column its key, its kind, how it is filled; then the bytes that it is filled with.
 */
#include "store/reader.h"
#include "store/segment_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* Keys that differences and functions are tried for, and others. */
static const struct sc_column_key keys[] = {{SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, 0},
                                            {SC_PEN_COLLECTOR, SC_IE_NEXT_HOP, 0, 0},
                                            {0, 16, 0, 0},
                                            {0, 150, 0, 0},
                                            {0, 151, 0, 0},
                                            {0, 152, 0, 0},
                                            {0, 153, 0, 0},
                                            {0, 1, 0, 0},
                                            {0, 2, 0, 0},
                                            {0, 4, 0, 0},
                                            {0, 82, 0, 0},
                                            {29305, 1, 7, 0}};

enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

static uint64_t take(struct sc_cursor *in, unsigned count)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < count; i++)
        v = v << 8 | sc_cursor_u8(in);
    return v;
}

static void put_value(struct sc_column *c, uint64_t v, struct sc_cursor *in)
{
    struct sc_addr a = sc_addr_v4((uint32_t)v);
    size_t length = (size_t)(v % 40) < sc_cursor_left(in) ? (size_t)(v % 40) : sc_cursor_left(in);
    if (c->key.kind == SC_COLUMN_ADDRESS) {
        if (v % 5 == 0)
            sc_store_be64(a.b, v);
        sc_column_put_addr(c, &a);
    } else if (c->key.kind == SC_COLUMN_BYTES) {
        CHECK(sc_column_put_bytes(c, in->data + in->pos, (uint32_t)length) == SC_OK);
    } else {
        sc_column_put_u64(c, v);
    }
}

static void fill(struct sc_column *c, uint32_t rows, struct sc_cursor *in)
{
    unsigned how = sc_cursor_u8(in), bytes = how % 9;
    uint64_t v = take(in, 8), step = take(in, 2);
    for (uint32_t row = 0; row < rows; row++) {
        if ((how & 0x80) != 0 && row % (1 + step % 7) == 0) {
            CHECK(sc_column_put_null(c) == SC_OK);
            continue;
        }
        if ((how & 0x40) != 0)
            v += step;
        else
            v = (v & ~(bytes == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * bytes) - 1)) | take(in, bytes);
        put_value(c, (how & 0x20) != 0 ? v % (1 + step % 300) : v, in);
    }
}

static struct sc_batch *make_batch(struct sc_cursor *in)
{
    struct sc_batch *batch =
        sc_batch_create(sc_cursor_u8(in) % 4 == 0 ? SC_RECORDS_OPTIONS : SC_RECORDS_FLOWS);
    CHECK(batch != NULL);
    uint32_t rows = 1 + (uint32_t)(take(in, 2) % 5000);
    uint16_t used = (uint16_t)take(in, 2);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct sc_column_key key = keys[i];
        if ((used >> i & 1) == 0)
            continue;
        key.kind = (uint8_t)(i < 2 ? SC_COLUMN_ADDRESS : sc_cursor_u8(in) % (SC_COLUMN_BYTES + 1));
        unsigned width = key.kind == SC_COLUMN_FLOAT ? 8 : 1u << sc_cursor_u8(in) % 4;
        struct sc_column *c = sc_batch_begin(batch, key, NULL, width, rows);
        CHECK(c != NULL);
        fill(c, rows, in);
    }
    sc_batch_commit(batch, rows);
    CHECK(sc_batch_finish(batch) == SC_OK);
    batch->spans = calloc(1, sizeof(*batch->spans));
    CHECK(batch->spans != NULL);
    batch->spans[0].rows = rows;
    batch->span_count = 1;
    return batch;
}

/* ---- a file in memory ---- */

struct memory_io {
    struct sc_io io;
    int fd;
};

static int memory_create(struct sc_io *io, const char *path)
{
    (void)path;
    return ((struct memory_io *)io)->fd;
}

static ssize_t memory_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    (void)io;
    return write(handle, bytes, count);
}

static int memory_nothing(struct sc_io *io, int handle)
{
    (void)io;
    (void)handle;
    return 0;
}

static const struct sc_io_ops memory_ops = {
    .create = memory_create, .write = memory_write, .datasync = memory_nothing, .close = memory_nothing};

/* Each `step`-th row. */
static void check_column(const struct sc_column *want, const struct sc_column *got, uint32_t step)
{
    CHECK((got == NULL) == (want->nulls == want->rows));
    for (uint32_t row = 0; got != NULL && row < want->rows; row += step) {
        CHECK(sc_column_is_null(want, row) == sc_column_is_null(got, row));
        if (sc_column_is_null(want, row))
            continue;
        if (want->key.kind == SC_COLUMN_ADDRESS) {
            CHECK(sc_addr_equal(sc_column_addr(want, row), sc_column_addr(got, row)));
        } else if (want->key.kind == SC_COLUMN_BYTES) {
            uint32_t n, m;
            const uint8_t *x = sc_column_bytes(want, row, &n), *y = sc_column_bytes(got, row, &m);
            CHECK(n == m && memcmp(x, y, n) == 0);
        } else {
            CHECK(sc_column_u64(want, row) == sc_column_u64(got, row));
        }
    }
}

/* The filter, if there is one, denies no address that is there. */
static void check_filter(struct sc_row_group *group, const struct sc_column *c)
{
    bool possible;
    for (uint32_t row = 0; row < c->rows && c->key.kind == SC_COLUMN_ADDRESS; row++) {
        if (sc_column_is_null(c, row))
            continue;
        CHECK(sc_row_group_may_contain(group, sc_column_addr(c, row), 128 - row % 3 * 8, &possible, NULL) ==
              SC_OK);
        CHECK(possible);
    }
}

/* Rows whose number is no less than that of the first one, and no more than that of the last, without decoding and with it. */
static void check_match(struct sc_row_group *group, const struct sc_column *c, uint32_t step)
{
    uint64_t found[SC_ROW_GROUP_ROWS / 64] = {0};
    const struct sc_entry *e = sc_row_group_entry(group, c->key);
    bool done;
    if (e == NULL || c->key.kind != SC_COLUMN_UINT || sc_column_is_null(c, 0) ||
        sc_column_is_null(c, c->rows - 1))
        return;
    uint64_t low = sc_column_u64(c, 0), high = sc_column_u64(c, c->rows - 1);
    uint64_t least = low < high ? low : high, most = low < high ? high : low;
    CHECK(sc_row_group_match(group, (uint32_t)(e - group->entries), least, most, found, &done, NULL) ==
          SC_OK);
    for (uint32_t row = 0; done && row < c->rows; row += step) {
        uint64_t v = sc_column_u64(c, row);
        CHECK((found[row / 64] >> row % 64 & 1) == (v >= least && v <= most));
    }
}

/* Columns of which only some rows are read. */
static void check_some_rows(struct sc_read_context *context, const struct sc_segment *segment,
                            const struct sc_batch *batch)
{
    uint64_t bits[SC_ROW_GROUP_ROWS / 64] = {0};
    uint32_t step = 5 + batch->rows % 60;
    struct sc_row_group *group;
    const struct sc_column *got;
    sc_read_context_reset(context);
    CHECK(sc_row_group_open(context, segment, 0, &group, NULL) == SC_OK);
    for (uint32_t row = 0; row < batch->rows; row += step)
        bits[row / 64] |= UINT64_C(1) << row % 64;
    CHECK(sc_row_group_want(group, bits, NULL) == SC_OK);
    for (uint32_t i = batch->slots; i-- > 0;) {
        const struct sc_column *c = batch->columns[i];
        if (c == NULL || c->rows == 0)
            continue;
        check_match(group, c, step);
        CHECK(sc_row_group_column(group, c->key, &got, NULL) == SC_OK);
        check_column(c, got, step);
    }
}

static void check_file(const char *path, const struct sc_batch *batch)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_row_group *group;
    uint32_t damaged;
    CHECK(sc_segment_open(path, &segment, NULL) == SC_OK && segment->group_count == 1);
    CHECK(sc_read_context_init(&context) == SC_OK);
    CHECK(sc_row_group_open(&context, segment, 0, &group, NULL) == SC_OK);
    for (uint32_t i = 0; i < batch->slots; i++) {
        if (batch->columns[i] != NULL && batch->columns[i]->rows != 0)
            check_match(group, batch->columns[i], 1);
    }
    CHECK(sc_row_group_verify(group, &damaged, NULL) == SC_OK);
    for (uint32_t i = 0; i < batch->slots; i++) {
        const struct sc_column *c = batch->columns[i], *got;
        if (c == NULL || c->rows == 0)
            continue;
        CHECK(sc_row_group_column(group, c->key, &got, NULL) == SC_OK);
        check_column(c, got, 1);
        check_filter(group, c);
    }
    check_some_rows(&context, segment, batch);
    sc_read_context_free(&context);
    sc_segment_close(segment);
}

static void round_trip(const struct sc_batch *batch, enum sc_effort effort, uint16_t format)
{
    struct memory_io io = {.io = {&memory_ops}, .fd = memfd_create("segment", MFD_CLOEXEC)};
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_s = 300, .format = format};
    char path[64];
    CHECK(io.fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", io.fd);
    CHECK(sc_row_group_encoder_init(&encoder, effort, NULL) == SC_OK);
    sc_row_group_encoder_set_format(&encoder, format);
    CHECK(sc_segment_writer_create(&writer, &io.io, path, &id, NULL) == SC_OK);
    CHECK(sc_segment_writer_add(&writer, &encoder, batch, NULL) == SC_OK);
    CHECK(sc_segment_writer_finish(&writer, NULL) == SC_OK);
    sc_row_group_encoder_free(&encoder);
    check_file(path, batch);
    close(io.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    struct sc_batch *batch = make_batch(&in);
    bool any = false;
    for (uint32_t i = 0; i < batch->slots; i++)
        any = any || (batch->columns[i] != NULL && batch->columns[i]->rows != 0);
    if (any) {
        round_trip(batch, SC_EFFORT_LIVE, SC_SEGMENT_VERSION);
        for (uint16_t format = 1; format <= SC_SEGMENT_VERSION; format++)
            round_trip(batch, SC_EFFORT_SEALED, format);
    }
    sc_batch_free(batch);
    return 0;
}
