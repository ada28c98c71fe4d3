// SPDX-License-Identifier: BSD-3-Clause
/*
 * Any bytes as a segment file: opened, listed, every row group verified, every value of every column read, rows copied
 * as a merge does. The first byte of the input says under what name the file is read and whether its hashes are put
 * right first, so that what lies behind them is reached. Short inputs grow into real segments (the mutator).
 */
#include "flow/batch.h"
#include "store/bloom.h"
#include "store/reader.h"
#include "store/segment_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { FLAG_MEND = 1, FLAG_LIVE = 2, FLAG_KEEP_FOOTER_HEAD = 4 };

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* ---- hashes put right ---- */

static void mend_pages(uint8_t *filter, uint64_t length)
{
    for (uint64_t page = 0; page * SC_BLOOM_PAGE_BYTES < length; page++) {
        uint64_t at = page * SC_BLOOM_PAGE_BYTES, left = length - at;
        uint64_t size = left < SC_BLOOM_PAGE_BYTES ? left : SC_BLOOM_PAGE_BYTES;
        if (size > 8)
            sc_store_le64(filter + at, XXH3_64bits_withSeed(filter + at + 8, size - 8, page));
    }
}

static void mend_entries(uint8_t *group, size_t left, uint32_t meta_bytes)
{
    uint32_t protocols = sc_load_le32(group + 64 + 64), entries = sc_load_le16(group + 26);
    uint64_t at = 64 + 72 + (uint64_t)protocols * 40 + (uint64_t)sc_load_le32(group + 28) * SC_SPAN_BYTES;
    for (uint32_t i = 0; i < entries && at + SC_ENTRY_BYTES <= 64 + (uint64_t)meta_bytes;
         i++, at += SC_ENTRY_BYTES) {
        uint64_t offset = sc_load_le64(group + at + 40), length = sc_load_le32(group + at + 48);
        if (length > left || offset > left - length)
            continue;
        if (group[at + 8] == SC_CHUNK_FILTER)
            mend_pages(group + offset, length);
        sc_store_le64(group + at + 56, XXH3_64bits(group + offset, length));
    }
}

static void mend_group(uint8_t *group, size_t left)
{
    uint32_t meta_bytes = sc_load_le32(group + 12);
    if (meta_bytes <= left - 64) {
        if (meta_bytes >= 72)
            mend_entries(group, left, meta_bytes);
        sc_store_le64(group + 32, XXH3_64bits(group + 64, meta_bytes));
    }
    sc_store_le64(group + 56, XXH3_64bits(group, 56));
}

static void mend(uint8_t *bytes, size_t length, bool keep_footer_head)
{
    if (length < SC_SEGMENT_HEAD_BYTES)
        return;
    sc_store_le64(bytes + 56, XXH3_64bits(bytes, 56));
    for (size_t at = 64; at + 64 <= length; at += 8) {
        if (memcmp(bytes + at, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) == 0)
            mend_group(bytes + at, length - at);
    }
    if (length < 64 + 80 + SC_TRAILER_BYTES)
        return;
    uint8_t *trailer = bytes + length - SC_TRAILER_BYTES;
    uint64_t footer = sc_load_le64(trailer);
    if (footer < 80 || footer > length - 64 - SC_TRAILER_BYTES)
        return;
    if (!keep_footer_head)
        memcpy(trailer - footer + 16, bytes, 64);
    sc_store_le64(trailer + 8, XXH3_64bits(trailer - footer, footer));
    sc_store_le64(trailer + 16, length);
}

/* ---- reading all ---- */

static uint64_t touch(const struct sc_column *c)
{
    uint64_t sum = 0;
    for (uint32_t row = 0; row < c->rows; row++) {
        uint32_t length;
        sum += sc_column_is_null(c, row);
        if (c->key.kind == SC_COLUMN_ADDRESS) {
            sum += sc_column_addr(c, row)->b[15];
        } else if (c->key.kind == SC_COLUMN_BYTES) {
            const uint8_t *bytes = sc_column_bytes(c, row, &length);
            sum += length == 0 ? 0 : bytes[0] + bytes[length - 1];
        } else {
            sum += sc_column_u64(c, row);
        }
    }
    return sum;
}

static void copy_rows(const struct sc_row_group *group, const struct sc_column *c)
{
    struct sc_batch *batch = sc_batch_create((enum sc_record_kind)(group->record_kind & 1));
    CHECK(batch != NULL);
    CHECK(sc_batch_append_rows(batch, &c, 1, group->rows / 2, group->rows - group->rows / 2) == SC_OK);
    CHECK(sc_batch_append_rows(batch, &c, 1, 0, 1) == SC_OK);
    CHECK(sc_batch_finish(batch) == SC_OK);
    sc_batch_free(batch);
}

/* Every seventh row, or few of one block. */
static void want_some(struct sc_row_group *group, uint32_t entry)
{
    uint64_t bits[SC_ROW_GROUP_ROWS / 64] = {0};
    for (uint32_t row = entry % 7; row < group->rows; row += entry % 2 == 0 ? 7 : 301)
        bits[row / 64] |= entry % 2 == 0 || row / 1024 == entry % 3 ? UINT64_C(1) << row % 64 : 0;
    CHECK(sc_row_group_want(group, bits, NULL) == SC_OK);
}

/* Whatever is found, the column can be read behind it. */
static void match_some(struct sc_row_group *group, uint32_t entry)
{
    uint64_t found[SC_ROW_GROUP_ROWS / 64] = {0};
    bool done;
    if (group->entries[entry].role == SC_CHUNK_COLUMN)
        (void)sc_row_group_match(group, entry, entry % 5, UINT64_MAX / (entry % 3 + 1), found, &done, NULL);
}

/* A context holds what it decoded until its reset, so each column gets a row group of its own; `some`: rows of it are read. */
static void read_column(struct sc_read_context *context, const struct sc_segment *segment, uint32_t index,
                        uint32_t entry, bool some)
{
    struct sc_row_group *group;
    const struct sc_column *c;
    struct sc_error err;
    sc_read_context_reset(context);
    CHECK(sc_row_group_open(context, segment, index, &group, &err) == SC_OK);
    if (some)
        want_some(group, entry);
    if (entry % 2 == 0)
        match_some(group, entry);
    if (sc_row_group_column_at(group, entry, &c, &err) != SC_OK || c == NULL)
        return;
    CHECK(c->rows == group->rows && c->nulls < c->rows);
    volatile uint64_t sum = touch(c);
    (void)sum;
    copy_rows(group, c);
}

/* Also so many questions that all of a filter is read. */
static void ask_filter(struct sc_row_group *group)
{
    struct sc_error err;
    bool possible;
    for (uint32_t i = 0; i < 20; i++) {
        struct sc_addr prefix = sc_addr_v4(0x0a000000 + i * 77);
        for (unsigned bits = 0; bits <= 128; bits += 8) {
            enum sc_status status = sc_row_group_may_contain(group, &prefix, bits, &possible, &err);
            CHECK(status == SC_OK || status == SC_DAMAGED);
        }
    }
}

enum { FEW_ENTRIES = 32 }; /* all columns at once need no more memory than that */

static void read_group(struct sc_read_context *context, const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    struct sc_error err;
    uint32_t damaged;
    sc_read_context_reset(context);
    enum sc_status status = sc_row_group_open(context, segment, index, &group, &err);
    CHECK(status == SC_OK || status == SC_DAMAGED);
    if (status != SC_OK)
        return;
    CHECK(group->rows >= 1 && group->rows <= SC_ROW_GROUP_ROWS);
    ask_filter(group);
    uint32_t entries = group->entry_count;
    if (entries <= FEW_ENTRIES) {
        status = sc_row_group_verify(group, &damaged, &err);
        CHECK(status == SC_OK || status == SC_DAMAGED);
    }
    for (uint32_t i = 0; i < 2 * entries; i++)
        read_column(context, segment, index, i / 2, i % 2 != 0);
}

static void read_segment(const char *path)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_error err = {0};
    enum sc_status status = sc_segment_open(path, &segment, &err);
    CHECK(status == SC_OK || status == SC_DAMAGED || status == SC_NOT_OURS || status == SC_UNSUPPORTED);
    if (status != SC_OK) {
        CHECK(err.message[0] != '\0');
        return;
    }
    CHECK(sc_read_context_init(&context) == SC_OK);
    for (uint32_t i = 0; i < segment->group_count && i < 20; i++)
        read_group(&context, segment, i);
    sc_read_context_free(&context);
    sc_segment_close(segment);
}

/* A file in memory with two names, one of a sealed and one of a live segment. */
static struct {
    int fd;
    char folder[32];
    char paths[2][64];
} memory_file;

static void remove_names(void)
{
    unlink(memory_file.paths[0]);
    unlink(memory_file.paths[1]);
    rmdir(memory_file.folder);
}

static void make_file(void)
{
    char target[64];
    memory_file.fd = memfd_create("segment", MFD_CLOEXEC);
    snprintf(memory_file.folder, sizeof(memory_file.folder), "/tmp/fuzz-segment-XXXXXX");
    CHECK(memory_file.fd > 0 && mkdtemp(memory_file.folder) != NULL);
    snprintf(target, sizeof(target), "/proc/self/fd/%d", memory_file.fd);
    snprintf(memory_file.paths[0], sizeof(memory_file.paths[0]), "%s/x.scs", memory_file.folder);
    snprintf(memory_file.paths[1], sizeof(memory_file.paths[1]), "%s/x.sclive", memory_file.folder);
    CHECK(symlink(target, memory_file.paths[0]) == 0 && symlink(target, memory_file.paths[1]) == 0);
    CHECK(atexit(remove_names) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length == 0)
        return 0;
    if (memory_file.fd == 0)
        make_file();
    uint8_t flags = bytes[0];
    uint8_t *file = malloc(length);
    CHECK(file != NULL);
    memcpy(file, bytes + 1, length - 1);
    if ((flags & FLAG_MEND) != 0)
        mend(file, length - 1, (flags & FLAG_KEEP_FOOTER_HEAD) != 0);
    CHECK(ftruncate(memory_file.fd, 0) == 0);
    CHECK(pwrite(memory_file.fd, file, length - 1, 0) == (ssize_t)length - 1);
    free(file);
    read_segment(memory_file.paths[(flags & FLAG_LIVE) != 0]);
    return 0;
}

/* ---- real segments to begin with ---- */

struct memory_io {
    struct sc_io io;
    struct sc_buf bytes;
};

static int memory_create(struct sc_io *io, const char *path)
{
    (void)io;
    (void)path;
    return 1;
}

static ssize_t memory_write(struct sc_io *io, int handle, const void *bytes, size_t count)
{
    (void)handle;
    sc_buf_append(&((struct memory_io *)io)->bytes, bytes, count);
    return (ssize_t)count;
}

static int memory_nothing(struct sc_io *io, int handle)
{
    (void)io;
    (void)handle;
    return 0;
}

static const struct sc_io_ops memory_ops = {
    .create = memory_create, .write = memory_write, .datasync = memory_nothing, .close = memory_nothing};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 24;
}

static void put_random(struct sc_column *c, uint64_t r)
{
    struct sc_addr a = sc_addr_v4((uint32_t)r & 0xff);
    if (r % 3 == 0)
        CHECK(sc_column_put_null(c) == SC_OK);
    else if (c->key.kind == SC_COLUMN_ADDRESS)
        sc_column_put_addr(c, &a);
    else if (c->key.kind == SC_COLUMN_BYTES)
        CHECK(sc_column_put_bytes(c, &r, (uint32_t)(r % 9)) == SC_OK);
    else
        sc_column_put_u64(c, r % 5 == 0 ? r : r & 0x3f);
}

static struct sc_batch *random_batch(uint64_t *state)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    uint32_t rows = 1 + (uint32_t)(next_random(state) % 300),
             columns = 1 + (uint32_t)(next_random(state) % 8);
    CHECK(batch != NULL);
    for (uint32_t i = 0; i < columns; i++) {
        static const uint16_t ids[] = {150, 151, 1, 4, 16, 8, 82, 320};
        struct sc_column_key key = {0, ids[i], 0, (uint8_t)(next_random(state) % (SC_COLUMN_BYTES + 1))};
        struct sc_column *c = sc_batch_begin(batch, key, NULL, 8, rows);
        uint64_t dull = next_random(state) % 2; /* few values, no nulls */
        CHECK(c != NULL);
        for (uint32_t row = 0; row < rows; row++)
            put_random(c, dull ? 1 + next_random(state) % 4 * 15 : next_random(state));
    }
    sc_batch_commit(batch, rows);
    CHECK(sc_batch_finish(batch) == SC_OK);
    batch->spans = calloc(1, sizeof(*batch->spans));
    CHECK(batch->spans != NULL);
    batch->spans[0].rows = rows;
    batch->span_count = 1;
    return batch;
}

static size_t real_segment(uint8_t *data, size_t max_size, uint64_t state)
{
    struct memory_io io = {.io = {&memory_ops}};
    struct sc_segment_writer writer;
    struct sc_row_group_encoder encoder;
    struct sc_segment_id id = {.window_ms = 300000,
                               .window_s = 300,
                               .format = (uint16_t)(1 + next_random(&state) % SC_SEGMENT_VERSION)};
    enum sc_effort effort = next_random(&state) % 2 == 0 ? SC_EFFORT_LIVE : SC_EFFORT_SEALED;
    CHECK(sc_row_group_encoder_init(&encoder, effort, NULL) == SC_OK);
    sc_row_group_encoder_set_format(&encoder, id.format);
    CHECK(sc_segment_writer_create(&writer, &io.io, "memory", &id, NULL) == SC_OK);
    for (uint64_t groups = 1 + next_random(&state) % 2; groups > 0; groups--) {
        struct sc_batch *batch = random_batch(&state);
        CHECK(sc_segment_writer_add(&writer, &encoder, batch, NULL) == SC_OK);
        sc_batch_free(batch);
    }
    if (effort == SC_EFFORT_SEALED)
        CHECK(sc_segment_writer_finish(&writer, NULL) == SC_OK);
    else
        sc_segment_writer_abandon(&writer);
    sc_row_group_encoder_free(&encoder);
    size_t size = io.bytes.len < max_size ? io.bytes.len : max_size - 1;
    memcpy(data + 1, io.bytes.data, size);
    data[0] = effort == SC_EFFORT_SEALED ? FLAG_MEND : FLAG_MEND | FLAG_LIVE;
    sc_buf_free(&io.bytes);
    return size + 1;
}

/* A field of a head or a directory: where single values matter most. */
static void change_structure(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint64_t values[] = {
        0,     1,        2,        255,       256,        65535,      65536,
        65537, 1u << 24, 1u << 30, INT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX - 63};
    size_t at = 1 + next_random(state) % (size - 1), width = (size_t)1 << next_random(state) % 4;
    uint64_t v = values[next_random(state) % (sizeof(values) / sizeof(values[0]))];
    if (next_random(state) % 4 == 0)
        v = data[at] + (next_random(state) % 2 == 0 ? 1u : (unsigned)-1);
    if (at + width <= size)
        memcpy(data + at, &v, width);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint64_t state = seed;
    if (max_size > 200 && (size < 100 || next_random(&state) % 32 == 0))
        size = real_segment(data, max_size, seed);
    if (size < 2 || next_random(&state) % 2 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (uint64_t n = 1 + next_random(&state) % 3; n > 0; n--)
        change_structure(data, size, &state);
    return size;
}
