// SPDX-License-Identifier: BSD-3-Clause
/* What the tests of the store share: random numbers, flows that are a function of their number, temporary
 * folders, and a scan that checks every value. */
#ifndef TESTS_STORE_KIT_H
#define TESTS_STORE_KIT_H

#include "flow/batch.h"
#include "store/catalogue.h"
#include "store/maintain.h"
#include "store/reader.h"
#include "store/segment_writer.h"
#include "store/span_set.h"
#include "store/store.h"
#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define KIT_UNUSED __attribute__((unused))

/* ---- random numbers (splitmix64): the same everywhere ---- */

static inline uint64_t kit_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t kit_mix(uint64_t number, uint64_t salt)
{
    uint64_t state = number * 31 + salt;
    return kit_random(&state);
}

static inline uint64_t kit_mask(unsigned bits)
{
    return bits >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
}

/* ---- temporary folders ---- */

/* Where TMPDIR says: hundreds of syncs take no time in memory. */
static KIT_UNUSED char *kit_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *path;
    assert_true(asprintf(&path, "%s/sc-store-XXXXXX", parent == NULL ? "/tmp" : parent) > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

/* How many descriptors of this process are files with such an end of their names. */
static inline unsigned kit_open_files(const char *suffix)
{
    char link[64], target[4096];
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof(target));
        count += length >= (ssize_t)strlen(suffix) &&
                 memcmp(target + length - strlen(suffix), suffix, strlen(suffix)) == 0;
    }
    return count;
}

static inline int kit_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* As an administrator does it, whoever writes there meanwhile. */
static KIT_UNUSED void kit_wipe(const char *path)
{
    char command[4200];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    (void)!system(command);
}

static KIT_UNUSED void kit_remove(char *path)
{
    nftw(path, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static KIT_UNUSED uint8_t *kit_read_file(const char *path, size_t *length)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    *length = fread(bytes, 1, (size_t)st.st_size, f);
    assert_int_equal(*length, st.st_size);
    fclose(f);
    return bytes;
}

static KIT_UNUSED void kit_write_file(const char *path, const void *bytes, size_t length)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
}

/* ---- flows: every value is a function of the flow's number (flowId, IE 148) ---- */

enum kit_column {
    KIT_FLOW_ID,
    KIT_SOURCE,
    KIT_DESTINATION,
    KIT_PROTOCOL,
    KIT_SOURCE_PORT,
    KIT_PACKETS,
    KIT_BYTES,
    KIT_FIRST,
    KIT_LAST,
    KIT_AS,
    KIT_INTERFACE,
    KIT_SIGNED,
    KIT_FLOAT,
    KIT_UNKNOWN,
    KIT_COLUMNS
};

static const struct sc_column_key kit_keys[KIT_COLUMNS] = {
    [KIT_FLOW_ID] = {SC_PEN_IANA, 148, 0, SC_COLUMN_UINT},
    [KIT_SOURCE] = {SC_PEN_COLLECTOR, SC_IE_SOURCE_ADDRESS, 0, SC_COLUMN_ADDRESS},
    [KIT_DESTINATION] = {SC_PEN_COLLECTOR, SC_IE_DESTINATION_ADDRESS, 0, SC_COLUMN_ADDRESS},
    [KIT_PROTOCOL] = {SC_PEN_IANA, 4, 0, SC_COLUMN_UINT},
    [KIT_SOURCE_PORT] = {SC_PEN_IANA, 7, 0, SC_COLUMN_UINT},
    [KIT_PACKETS] = {SC_PEN_IANA, 2, 0, SC_COLUMN_UINT},
    [KIT_BYTES] = {SC_PEN_IANA, 1, 0, SC_COLUMN_UINT},
    [KIT_FIRST] = {SC_PEN_IANA, 152, 0, SC_COLUMN_UINT},
    [KIT_LAST] = {SC_PEN_IANA, 153, 0, SC_COLUMN_UINT},
    [KIT_AS] = {SC_PEN_IANA, 16, 0, SC_COLUMN_UINT},
    [KIT_INTERFACE] = {SC_PEN_IANA, 82, 0, SC_COLUMN_BYTES},
    [KIT_SIGNED] = {SC_PEN_IANA, 434, 0, SC_COLUMN_INT},
    [KIT_FLOAT] = {SC_PEN_IANA, 320, 0, SC_COLUMN_FLOAT},
    [KIT_UNKNOWN] = {64999, 77, 1, SC_COLUMN_BYTES},
};

struct kit_value {
    bool null;
    uint64_t number;
    struct sc_addr address;
    uint8_t bytes[32];
    uint32_t length;
};

static inline void kit_address(uint64_t h, struct sc_addr *out)
{
    *out = sc_addr_v4(0x0a000000u | ((uint32_t)h & 0x3ffu));
    if (h >> 61 == 0) { /* one in eight is IPv6 */
        memset(out->b, 0, sizeof(out->b));
        sc_store_be32(out->b, 0x20010db8u);
        sc_store_be64(out->b + 8, h & 0x1fu);
    }
}

/* The value that flow `id` has in a column. */
static KIT_UNUSED struct kit_value kit_value(enum kit_column column, uint64_t id)
{
    struct kit_value v = {0};
    uint64_t h = kit_mix(id, column);
    switch (column) {
    case KIT_FLOW_ID:
        v.number = id;
        break;
    case KIT_SOURCE:
    case KIT_DESTINATION:
        kit_address(h, &v.address);
        break;
    case KIT_PROTOCOL:
        v.null = h % 16 == 0;
        v.number = v.null ? 0 : h % 3 == 0 ? 17 : 6;
        break;
    case KIT_SOURCE_PORT:
        v.number = h & 0xffff;
        break;
    case KIT_PACKETS:
        v.number = 1 + (h & 0x3f);
        break;
    case KIT_BYTES:
        v.number = 40 + (h & 0xfffff);
        break;
    case KIT_FIRST:
        v.number = UINT64_C(1800000000000) + id * 3 + (h & 0xff);
        break;
    case KIT_LAST:
        v.number = kit_value(KIT_FIRST, id).number + (h & 0x7ff);
        break;
    case KIT_AS:
        v.number = kit_mix(kit_value(KIT_SOURCE, id).address.b[15], 99) & 0xffff;
        break;
    case KIT_INTERFACE:
        v.length = (uint32_t)snprintf((char *)v.bytes, sizeof(v.bytes), "eth%u", (unsigned)(h % 5));
        break;
    case KIT_SIGNED:
        v.number = (uint64_t)((int64_t)(h & 0xffff) - 0x8000);
        break;
    case KIT_FLOAT: {
        double d = (double)(h & 0xffffff) / 256;
        memcpy(&v.number, &d, sizeof(d));
        break;
    }
    default: /* an element that no registry knows: mostly absent, any bytes */
        v.null = h % 4 != 0;
        v.length = v.null ? 0 : (uint32_t)(h >> 8) % 24;
        for (uint32_t i = 0; i < v.length; i++)
            v.bytes[i] = (uint8_t)kit_mix(h, i);
        break;
    }
    return v;
}

static inline void kit_put(struct sc_column *c, const struct kit_value *v)
{
    enum sc_status status = SC_OK;
    if (v->null)
        status = sc_column_put_null(c);
    else if (c->key.kind == SC_COLUMN_ADDRESS)
        sc_column_put_addr(c, &v->address);
    else if (c->key.kind == SC_COLUMN_BYTES)
        status = sc_column_put_bytes(c, v->bytes, v->length);
    else
        sc_column_put_u64(c, v->number);
    assert_int_equal(status, SC_OK);
}

#define KIT_WINDOW UINT64_C(1800000000000)

/* A finished batch of the flows [first_id, first_id + rows). */
static KIT_UNUSED struct sc_batch *kit_batch(uint64_t first_id, uint32_t rows, uint64_t window_ms)
{
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    assert_non_null(batch);
    batch->window_ms = window_ms;
    for (uint32_t i = 0; i < KIT_COLUMNS; i++) {
        struct sc_column *c = sc_batch_begin(batch, kit_keys[i], NULL, 8, rows);
        assert_non_null(c);
        for (uint32_t row = 0; row < rows; row++) {
            struct kit_value v = kit_value((enum kit_column)i, first_id + row);
            kit_put(c, &v);
        }
    }
    sc_batch_commit(batch, rows);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    return batch;
}

/* One span over all rows. */
static KIT_UNUSED void kit_span(struct sc_batch *batch, uint64_t stream, uint64_t sequence)
{
    free(batch->spans);
    batch->spans = calloc(1, sizeof(*batch->spans));
    assert_non_null(batch->spans);
    batch->span_count = 1;
    batch->spans[0] = (struct sc_span){.stream = stream, .sequence = sequence, .rows = batch->rows};
}

static inline void kit_check_value(const struct sc_column *c, enum kit_column which, uint32_t row,
                                   uint64_t id)
{
    struct kit_value want = kit_value(which, id);
    if (c == NULL) {
        assert_true(want.null);
        return;
    }
    if (sc_column_is_null(c, row) != want.null)
        fail_msg("flow %llu column %d: null is %d", (unsigned long long)id, which, !want.null);
    if (want.null)
        return;
    if (c->key.kind == SC_COLUMN_ADDRESS) {
        assert_true(sc_addr_equal(sc_column_addr(c, row), &want.address));
    } else if (c->key.kind == SC_COLUMN_BYTES) {
        uint32_t length;
        const uint8_t *bytes = sc_column_bytes(c, row, &length);
        assert_int_equal(length, want.length);
        assert_memory_equal(bytes, want.bytes, length);
    } else if (sc_column_u64(c, row) != want.number) {
        fail_msg("flow %llu column %d: %llx, want %llx", (unsigned long long)id, which,
                 (unsigned long long)sc_column_u64(c, row), (unsigned long long)want.number);
    }
}

/* ---- scanning ---- */

/* What a scan of a store found. Flow numbers below `limit` are counted one by one. */
struct kit_scan {
    uint32_t *seen; /* times that a flow was met, after batch ids are counted once */
    uint64_t limit;
    uint64_t rows;        /* counted once */
    uint64_t rows_stored; /* as they lie on disk */
    uint32_t segments, live, groups;
    uint32_t damaged; /* segments, stretches, footers and row groups */
    uint32_t tails;
    uint32_t gone; /* files that were listed but not there any more: list again */
    uint64_t last_id;
    bool out_of_order; /* within a segment a flow came before one with a lower number */
    struct sc_span_set spans;
};

static inline void kit_check_rows(struct kit_scan *scan, const struct sc_column *const *columns,
                                  uint32_t first, uint32_t rows)
{
    assert_non_null(columns[KIT_FLOW_ID]);
    for (uint32_t row = first; row < first + rows; row++) {
        uint64_t id = sc_column_u64(columns[KIT_FLOW_ID], row);
        for (uint32_t i = 0; i < KIT_COLUMNS; i++)
            kit_check_value(columns[i], (enum kit_column)i, row, id);
        if (id >= scan->limit)
            fail_msg("flow %llu was never stored", (unsigned long long)id);
        scan->out_of_order = scan->out_of_order || id < scan->last_id;
        scan->last_id = id;
        scan->seen[id]++;
    }
}

static inline enum sc_status kit_scan_group(struct kit_scan *scan, struct sc_read_context *context,
                                            const struct sc_segment *segment, uint32_t index)
{
    struct sc_row_group *group;
    const struct sc_column *columns[KIT_COLUMNS];
    SC_TRY(sc_row_group_open(context, segment, index, &group, NULL));
    for (uint32_t i = 0; i < KIT_COLUMNS; i++)
        SC_TRY(sc_row_group_column(group, kit_keys[i], &columns[i], NULL));
    scan->rows_stored += group->rows;
    for (uint32_t i = 0; i < group->span_count; i++) {
        bool fresh;
        assert_int_equal(sc_span_set_add(&scan->spans, &group->spans[i], &fresh), SC_OK);
        if (!fresh)
            continue;
        kit_check_rows(scan, columns, group->spans[i].first_row, group->spans[i].rows);
        scan->rows += group->spans[i].rows;
    }
    return SC_OK;
}

static KIT_UNUSED void kit_scan_segment(struct kit_scan *scan, const char *path)
{
    struct sc_segment *segment;
    struct sc_read_context context;
    struct sc_error err = {0};
    enum sc_status status = sc_segment_open(path, &segment, &err);
    if (status != SC_OK) {
        scan->gone += status == SC_NOTFOUND;
        scan->damaged += status != SC_NOTFOUND;
        return;
    }
    assert_int_equal(sc_read_context_init(&context), SC_OK);
    scan->segments++;
    scan->last_id = 0;
    scan->live += !segment->sealed;
    scan->tails += segment->unfinished_tail;
    scan->damaged += segment->damaged_stretches + segment->footer_damaged;
    for (uint32_t i = 0; i < segment->group_count; i++) {
        sc_read_context_reset(&context);
        scan->groups++;
        scan->damaged += kit_scan_group(scan, &context, segment, i) != SC_OK;
    }
    sc_read_context_free(&context);
    sc_segment_close(segment);
}

/* Reads all of a store as a query does. Free with kit_scan_free. */
static KIT_UNUSED void kit_scan_store(struct kit_scan *scan, const char *path, uint64_t limit)
{
    struct sc_catalogue catalogue = {0};
    struct sc_error err = {0};
    *scan = (struct kit_scan){.limit = limit, .seen = calloc(limit + 1, sizeof(uint32_t))};
    assert_non_null(scan->seen);
    enum sc_status status = sc_catalogue_add(&catalogue, path, &err);
    if (status != SC_OK)
        fail_msg("%s", err.message);
    sc_catalogue_sort(&catalogue);
    for (uint32_t i = 0; i < catalogue.count; i++)
        kit_scan_segment(scan, catalogue.files[i].path);
    sc_catalogue_free(&catalogue);
}

static KIT_UNUSED void kit_scan_free(struct kit_scan *scan)
{
    free(scan->seen);
    sc_span_set_free(&scan->spans);
}

/* A row group as a writer with another idea of the format would leave it: the hashes of head, directory and chunks are right. */
static KIT_UNUSED void kit_set_hashes(uint8_t *group)
{
    uint32_t meta = sc_load_le32(group + 12), entries = sc_load_le16(group + 26);
    uint8_t *entry = group + SC_ROW_GROUP_HEAD_BYTES + meta - (size_t)entries * SC_ENTRY_BYTES;
    for (uint32_t i = 0; i < entries; i++, entry += SC_ENTRY_BYTES)
        sc_store_le64(entry + 56, XXH3_64bits(group + sc_load_le64(entry + 40), sc_load_le32(entry + 48)));
    sc_store_le64(group + 32, XXH3_64bits(group + SC_ROW_GROUP_HEAD_BYTES, meta));
    sc_store_le64(group + 56, XXH3_64bits(group, 56));
}

/* The head of a file as if it had been made then. */
static KIT_UNUSED void kit_set_created(const char *path, uint64_t created_ms)
{
    uint8_t head[64];
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    sc_store_le64(head + 40, created_ms);
    sc_store_le64(head + 56, XXH3_64bits(head, 56));
    rewind(f);
    assert_int_equal(fwrite(head, 1, sizeof(head), f), sizeof(head));
    fclose(f);
}

#endif
