// SPDX-License-Identifier: BSD-3-Clause
/*
 * The records of a listing from ranks that nobody trusts: rank 0 asks, merges and prints what they answer, in all formats. The first byte
 * chooses the listing; each answer stands behind its length (2 bytes), and who has none left is through. What is read as a record is
 * written as it was. The mutator adds answers of the writer.
 */
#include "cluster/listing.h"
#include "cluster/listing_feed.h"
#include "query/request.h"
#include "show/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANKS   3u
#define FORMATS 4u

struct shape {
    const char *fields, *orders;
};

static const struct shape shapes[] = {
    {"srcip,dstport,proto,bytes,first", "bytes"},
    {"username,srcmac,flags,duration,flowDirection,samplingProbability", "srcip#asc,first"},
    {"flowId,last,app,tos", NULL},
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static struct sc_request_listing requests[SHAPES];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static void must(bool true_)
{
    if (!true_)
        __builtin_trap();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sc_error err;
    (void)argc;
    (void)argv;
    for (size_t i = 0; i < SHAPES; i++) {
        if (sc_request_list(NULL, shapes[i].fields, shapes[i].orders, &requests[i], &err) != SC_OK) {
            fprintf(stderr, "%s\n", err.message);
            abort();
        }
    }
    return 0;
}

/* ---- the other ranks ---- */

struct others {
    struct sc_cursor in;
    uint64_t used[RANKS];
    uint32_t ended;
    bool listed; /* all have been told that it is enough */
};

static enum sc_status pass(void *arg, uint32_t to, const struct sc_buf *send, uint32_t from,
                           struct sc_buf *receive, struct sc_error *err)
{
    static const uint8_t through[] = {1, SC_OK};
    struct others *o = arg;
    (void)err;
    if (to != SC_NO_RANK && !o->listed && send->len == 9) {
        o->used[to] = sc_load_le64(send->data + 1);
        o->listed = ++o->ended == RANKS - 1;
    }
    if (from == SC_NO_RANK)
        return SC_OK;
    sc_buf_clear(receive);
    size_t left = sc_cursor_left(&o->in), n = left < 2 ? 0 : sc_cursor_le16(&o->in);
    n = n < sc_cursor_left(&o->in) ? n : sc_cursor_left(&o->in);
    if (o->listed) /* how they fared: well */
        sc_buf_append_le64(receive, SC_OK);
    else if (left < 2)
        sc_buf_append(receive, through, sizeof(through));
    else if (n != 0)
        sc_buf_append(receive, sc_cursor_take(&o->in, n), n);
    return SC_OK;
}

static bool take_text(void *arg, const void *bytes, size_t count)
{
    uint64_t *sum = arg;
    for (size_t i = 0; i < count; i++)
        *sum += ((const uint8_t *)bytes)[i]; /* the sanitizer looks */
    return true;
}

static void list(const struct sc_request_listing *q, const uint8_t *bytes, size_t length, uint8_t choice)
{
    struct sc_output_options options = {.format = (enum sc_output_format)(choice % FORMATS)};
    struct others others = {.in = {.data = bytes, .len = length}};
    const struct sc_ranks ranks = {.count = RANKS, .pass = pass, .arg = &others};
    struct sc_listing listing = {.output = sc_output_create(&options, q->columns, q->column_count),
                                 .fields = q->fields,
                                 .field_count = q->column_count,
                                 .orders = q->orders,
                                 .order_count = q->order_count,
                                 .limit = choice / FORMATS % 4 * 3,
                                 .separator = options.format == SC_OUTPUT_JSON ? ",\n" : "",
                                 .fit = options.format == SC_OUTPUT_PRETTY};
    uint64_t sum = 0;
    const struct sc_sink sink = {.write = take_text, .arg = &sum};
    const struct sc_scan_options scan = {.threads = 1};
    struct sc_source source = {.planned_above = true};
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    struct sc_cluster_list_stats list_stats;
    struct sc_error err = {0};
    must(listing.output != NULL);
    enum sc_status status =
        sc_cluster_list(&ranks, &source, &scan, &listing, &sink, &summary, &stats, &list_stats, &err);
    must(others.listed && list_stats.records == 0 && others.used[0] == 0);
    must(status == SC_OK || err.message[0] != '\0');
    must(listing.limit == 0 || others.used[1] + others.used[2] <= listing.limit);
    sc_output_free(listing.output);
    sc_source_close(&source);
}

/* ---- a record alone ---- */

static void read_records(const struct sc_request_listing *q, const uint8_t *bytes, size_t length)
{
    struct sc_value values[64];
    uint32_t count = q->column_count + q->order_count;
    must(count <= 64);
    for (size_t own; (own = sc_record_length(bytes, length)) != 0; bytes += own, length -= own) {
        struct sc_buf out = {0};
        if (sc_record_get(bytes, own, values, count) == SC_OK) {
            sc_record_put(&out, values, count);
            must(out.len == own && memcmp(out.data, bytes, own) == 0);
        }
        sc_buf_free(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 2)
        return 0;
    const struct sc_request_listing *q = &requests[bytes[0] % SHAPES];
    struct sc_cursor in = {.data = bytes + 2, .len = length - 2};
    while (sc_cursor_left(&in) > 2) {
        size_t n = sc_cursor_le16(&in);
        n = n < sc_cursor_left(&in) ? n : sc_cursor_left(&in);
        const uint8_t *answer = sc_cursor_take(&in, n);
        if (n > 2)
            read_records(q, answer + 2, n - 2);
    }
    list(q, bytes + 2, length - 2, bytes[1]);
    return 0;
}

/* ---- inputs ---- */

static struct sc_value make_value(enum sc_value_type type, uint64_t random)
{
    struct sc_value v = {.type = (uint8_t)type, .null = random % 11 == 0};
    if (v.null)
        return v;
    switch (type) {
    case SC_VALUE_ADDRESS:
        sc_store_le64(v.addr.b, random);
        break;
    case SC_VALUE_BYTES:
    case SC_VALUE_STRING:
        v.bytes = (const uint8_t *)"d\xc3\xb6rte, \"x\"\n";
        v.length = (uint32_t)(random % 13);
        break;
    case SC_VALUE_FLOAT:
        v.f = (double)random / 7;
        break;
    default:
        v.u = random;
        break;
    }
    return v;
}

static void put_answer(struct sc_buf *out, const struct sc_request_listing *q, uint64_t *random)
{
    struct sc_value values[64];
    struct sc_buf answer = {0};
    uint32_t count = q->column_count + q->order_count;
    sc_buf_append_u8(&answer, *random % 3 == 0);
    sc_buf_append_u8(&answer, SC_OK);
    for (unsigned records = 0; records < *random % 4; records++) {
        for (uint32_t i = 0; i < count; i++) {
            *random = (*random + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
            enum sc_value_type type =
                i < q->column_count ? q->columns[i].field.type : q->orders[i - q->column_count].field.type;
            values[i] = make_value(type, *random >> 24);
        }
        sc_record_put(&answer, values, count);
    }
    sc_buf_append_le16(out, (uint16_t)answer.len);
    sc_buf_append(out, answer.data, answer.len);
    sc_buf_free(&answer);
}

/* An empty input becomes one of several answers; sometimes one is added; else any change. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct sc_buf out = {0};
    uint64_t random = (seed + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) >> 8;
    if (size > 2 && seed % 8 != 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (size < 2) {
        sc_buf_append_u8(&out, (uint8_t)random);
        sc_buf_append_u8(&out, (uint8_t)(random >> 8));
        size = 0;
    }
    const struct sc_request_listing *q = &requests[(size == 0 ? out.data[0] : data[0]) % SHAPES];
    for (unsigned i = 0; i <= random % 4; i++)
        put_answer(&out, q, &random);
    if (size + out.len <= max_size) {
        memcpy(data + size, out.data, out.len);
        size += out.len;
    }
    sc_buf_free(&out);
    return size == 0 ? LLVMFuzzerMutate(data, size, max_size) : size;
}
