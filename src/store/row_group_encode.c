// SPDX-License-Identifier: BSD-3-Clause
/*
 * A batch to one row group: the address dictionary and the Bloom filter, then each column in the smallest of
 * the encodings that fit it, then directory, spans and statistics in front. The format is at the head of
 * segment_writer.c.
 */
#include "store/row_group_encode.h"

#include "base/hash.h"
#include "base/saturate.h"
#include "flow/vector.h"
#include "store/bloom.h"
#include "store/span_set.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static enum sc_status find_fields(struct sc_row_group_encoder *encoder, struct sc_error *err)
{
    static const char *const names[SC_STAT_COUNT] = {
        [SC_STAT_FIRST] = "first",       [SC_STAT_LAST] = "last",
        [SC_STAT_RECEIVED] = "received", [SC_STAT_PROTOCOL] = "proto",
        [SC_STAT_FLOWS] = "flows",       [SC_STAT_OBSERVED] = "observationTimeMilliseconds",
        [SC_STAT_PACKETS] = "packets",   [SC_STAT_BYTES] = "bytes",
    };
    for (unsigned i = 0; i < SC_STAT_COUNT; i++)
        SC_TRY(sc_field_find(NULL, names[i], strlen(names[i]), &encoder->fields[i], err));
    return SC_OK;
}

enum sc_status sc_row_group_encoder_init(struct sc_row_group_encoder *encoder, enum sc_effort effort,
                                         struct sc_error *err)
{
    *encoder = (struct sc_row_group_encoder){.columns.seed = sc_hash_draw_seed()};
    enum sc_status status = find_fields(encoder, err);
    bool memory = sc_stream_encoder_init(&encoder->columns.streams, effort) == SC_OK;
    for (unsigned i = 0; i < SC_STAT_COUNT && memory; i++) {
        encoder->numbers[i] = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
        memory = encoder->numbers[i] != NULL;
    }
    encoder->valid = malloc(SC_STAT_COUNT * SC_ROW_GROUP_ROWS / 8);
    if (status == SC_OK && (!memory || encoder->valid == NULL))
        status = sc_fail_nomem(err, "the store's encoder");
    if (status != SC_OK)
        sc_row_group_encoder_free(encoder);
    return status;
}

void sc_row_group_encoder_set_format(struct sc_row_group_encoder *encoder, uint16_t format)
{
    encoder->columns.streams.format = format == 0 ? SC_SEGMENT_VERSION : format;
}

void sc_row_group_encoder_free(struct sc_row_group_encoder *encoder)
{
    sc_stream_encoder_free(&encoder->columns.streams);
    sc_address_set_free(&encoder->columns.addresses);
    for (unsigned i = 0; i < SC_STAT_COUNT; i++)
        free(encoder->numbers[i]);
    free(encoder->valid);
    sc_buf_free(&encoder->chunks);
    sc_buf_free(&encoder->columns.trial);
    sc_buf_free(&encoder->columns.best);
    *encoder = (struct sc_row_group_encoder){0};
}

/* ---- statistics ---- */

static bool is_valid(const uint64_t *valid, uint32_t row)
{
    return (valid[row / 64] >> (row % 64) & 1) != 0;
}

static void range_of(const uint64_t *values, const uint64_t *valid, uint32_t rows,
                     struct sc_time_range *range)
{
    uint64_t min = range->min, max = range->max;
    for (uint32_t i = 0; i < rows; i++) {
        if (!is_valid(valid, i))
            continue;
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    *range = (struct sc_time_range){min, max};
}

static void selection_times(uint64_t *const *numbers, const uint64_t *const *valid, uint32_t rows,
                            struct sc_row_stats *stats)
{
    static const enum sc_stat_field order[] = {SC_STAT_FIRST, SC_STAT_OBSERVED, SC_STAT_RECEIVED};
    for (uint32_t i = 0; i < rows; i++) {
        for (unsigned k = 0; k < 3; k++) {
            if (!is_valid(valid[order[k]], i))
                continue;
            uint64_t t = numbers[order[k]][i];
            stats->time_min = t < stats->time_min ? t : stats->time_min;
            stats->time_max = t > stats->time_max ? t : stats->time_max;
            break;
        }
    }
}

static enum sc_status protocol_totals(uint64_t *const *numbers, const uint64_t *const *valid, uint32_t rows,
                                      struct sc_row_stats *stats)
{
    struct sc_protocol_total *totals = calloc(257, sizeof(*totals));
    if (totals == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t p = is_valid(valid[SC_STAT_PROTOCOL], i) ? numbers[SC_STAT_PROTOCOL][i] : 256;
        struct sc_protocol_total *t = &totals[p < 256 ? p : 256];
        t->records++;
        t->flows = sc_add_saturated(t->flows, numbers[SC_STAT_FLOWS][i]);
        t->packets = sc_add_saturated(t->packets, numbers[SC_STAT_PACKETS][i]);
        t->bytes = sc_add_saturated(t->bytes, numbers[SC_STAT_BYTES][i]);
    }
    for (uint32_t p = 0; p <= 256; p++) {
        if (totals[p].records == 0)
            continue;
        totals[stats->protocol_count] = totals[p];
        totals[stats->protocol_count++].protocol = p;
    }
    stats->protocols = totals;
    return SC_OK;
}

static enum sc_status make_stats(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                 struct sc_row_stats *stats)
{
    const uint64_t *valid[SC_STAT_COUNT];
    const struct sc_column *const *columns = (const struct sc_column *const *)batch->columns;
    for (unsigned i = 0; i < SC_STAT_COUNT; i++) {
        uint64_t *bits = encoder->valid + (size_t)i * (SC_ROW_GROUP_ROWS / 64);
        sc_field_integers(&encoder->fields[i], columns, batch->slots, batch->rows, encoder->numbers[i], bits);
        valid[i] = bits;
    }
    uint64_t *const *numbers = encoder->numbers;
    for (unsigned i = 0; i <= SC_STAT_RECEIVED; i++)
        range_of(numbers[i], valid[i], batch->rows, &stats->times[i]);
    selection_times(numbers, valid, batch->rows, stats);
    return protocol_totals(numbers, valid, batch->rows, stats);
}

/* ---- chunks ---- */

struct chunk_list {
    struct sc_entry *entries;
    uint32_t count;
};

static void finish_entry(struct sc_row_group_encoder *encoder, struct sc_entry *entry, size_t start)
{
    entry->offset = start; /* within the chunks; the front's length is added when it is known */
    entry->length = (uint32_t)(encoder->chunks.len - start);
    entry->hash = sc_hash_stored(encoder->chunks.data + start, entry->length);
}

static void encode_filter(struct sc_row_group_encoder *encoder, struct chunk_list *list)
{
    const struct sc_address_set *set = &encoder->columns.addresses;
    bool paged = encoder->columns.streams.format > 1;
    struct sc_entry *filter = &list->entries[list->count++];
    *filter = (struct sc_entry){.role = paged ? SC_CHUNK_FILTER : SC_CHUNK_BLOOM,
                                .reference = SC_NO_REFERENCE,
                                .key = {SC_PEN_COLLECTOR, 0, 1, SC_COLUMN_ADDRESS}};
    size_t start = encoder->chunks.len;
    sc_bloom_write(set->values, set->count, paged, &encoder->chunks);
    finish_entry(encoder, filter, start);
}

static enum sc_status encode_addresses(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                       struct chunk_list *list)
{
    struct sc_address_set *set = &encoder->columns.addresses;
    if (set->count == 0)
        return SC_OK;
    struct sc_entry *dict = &list->entries[list->count++];
    *dict = (struct sc_entry){.role = SC_CHUNK_ADDRESSES,
                              .dict_count = set->count,
                              .reference = SC_NO_REFERENCE,
                              .key = {SC_PEN_COLLECTOR, 0, 0, SC_COLUMN_ADDRESS}};
    size_t start = encoder->chunks.len;
    SC_TRY(sc_address_dict_write(&encoder->columns.streams, set->values, set->count, &encoder->chunks));
    finish_entry(encoder, dict, start);
    if (encoder->columns.streams.effort == SC_EFFORT_LIVE || batch->record_kind != SC_RECORDS_FLOWS)
        return SC_OK;
    encode_filter(encoder, list);
    return SC_OK;
}

static bool is_used(const struct sc_column *c)
{
    return c != NULL && c->rows != 0 && c->nulls < c->rows;
}

/* Address columns first, since others may be functions of them; then what differences refer to; then the
 * rest. */
static unsigned pass_of(const struct sc_column *c)
{
    if (c->key.kind == SC_COLUMN_ADDRESS)
        return 0;
    return sc_column_partner_of(c->key, NULL) ? 2 : 1;
}

static enum sc_status encode_columns(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                     struct sc_column_coder *coder, struct chunk_list *list)
{
    for (unsigned pass = 0; pass < 3; pass++) {
        for (uint32_t i = 0; i < batch->slots; i++) {
            const struct sc_column *c = batch->columns[i];
            if (!is_used(c) || pass_of(c) != pass)
                continue;
            struct sc_entry *entry = &list->entries[list->count];
            size_t start = encoder->chunks.len;
            SC_TRY(sc_column_encode(coder, c, list->count, entry, &encoder->chunks));
            finish_entry(encoder, entry, start);
            list->count++;
        }
    }
    return SC_OK;
}

/* ---- the front: head, statistics, spans, directory ---- */

static void write_spans(const struct sc_batch *batch, struct sc_buf *out)
{
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const struct sc_span *s = &batch->spans[i];
        sc_buf_append_le64(out, s->stream);
        sc_buf_append_le64(out, s->sequence);
        sc_buf_append_le32(out, s->lane);
        sc_buf_append_le32(out, s->first_row);
        sc_buf_append_le32(out, s->rows);
        sc_buf_append_le32(out, 0);
    }
}

static void write_entry(const struct sc_entry *e, uint64_t front, struct sc_buf *out)
{
    sc_buf_append_le32(out, e->key.pen);
    sc_buf_append_le16(out, e->key.id);
    sc_buf_append_u8(out, e->key.instance);
    sc_buf_append_u8(out, e->key.kind);
    sc_buf_append_u8(out, e->role);
    sc_buf_append_u8(out, e->encoding);
    sc_buf_append_u8(out, e->width);
    sc_buf_append_u8(out, 0);
    sc_buf_append_le32(out, e->nulls);
    sc_buf_append_le32(out, e->reference);
    sc_buf_append_le32(out, e->dict_count);
    sc_buf_append_le64(out, e->min);
    sc_buf_append_le64(out, e->max);
    sc_buf_append_le64(out, e->offset + front);
    sc_buf_append_le32(out, e->length);
    sc_buf_append_le32(out, 0);
    sc_buf_append_le64(out, e->hash);
}

static enum sc_status write_row_group(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                      const struct chunk_list *list, const struct sc_row_stats *stats,
                                      struct sc_buf *out)
{
    struct sc_buf *meta = &encoder->columns.trial;
    sc_buf_clear(meta);
    sc_row_stats_write(stats, meta);
    write_spans(batch, meta);
    uint64_t meta_bytes = meta->len + (uint64_t)list->count * SC_ENTRY_BYTES;
    uint64_t front = SC_ROW_GROUP_HEAD_BYTES + meta_bytes;
    for (uint32_t i = 0; i < list->count; i++)
        write_entry(&list->entries[i], front, meta);
    uint64_t padding = (8 - (front + encoder->chunks.len) % 8) % 8;
    uint64_t total = front + encoder->chunks.len + padding;
    encoder->columns.bound = meta_bytes > SC_MAX_META_BYTES ? "16 MiB of directory" : "1 GiB";
    if (meta_bytes > SC_MAX_META_BYTES || total > SC_MAX_ROW_GROUP_BYTES)
        return SC_LIMIT;
    const struct sc_stream_encoder *streams = &encoder->columns.streams;
    uint64_t format =
        streams->effort == SC_EFFORT_LIVE ? 1 : streams->format; /* every format has what LIVE writes */
    size_t at = out->len;
    sc_buf_append(out, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES);
    sc_buf_append_le32(out, batch->rows);
    sc_buf_append_le32(out, (uint32_t)meta_bytes);
    sc_buf_append_le64(out, total);
    sc_buf_append_le16(out, batch->record_kind);
    sc_buf_append_le16(out, (uint16_t)list->count);
    sc_buf_append_le32(out, batch->span_count);
    sc_buf_append_le64(out, XXH3_64bits(meta->data, meta->len));
    sc_buf_append_le64(out, (format > 1 ? format : 0) |
                                (streams->effort == SC_EFFORT_PACKED ? SC_ROW_GROUP_PACKED << 16 : 0));
    sc_buf_append_le64(out, 0);
    if (sc_buf_ok(out))
        sc_buf_append_le64(out, XXH3_64bits(out->data + at, SC_ROW_GROUP_HEAD_BYTES - 8));
    sc_buf_append(out, meta->data, meta->len);
    sc_buf_append(out, encoder->chunks.data, encoder->chunks.len);
    sc_buf_append(out, "\0\0\0\0\0\0\0", padding);
    return sc_buf_ok(out) && sc_buf_ok(meta) && sc_buf_ok(&encoder->chunks) ? SC_OK : SC_NOMEM;
}

static enum sc_status encode_parts(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                   struct chunk_list *list, struct sc_buf *out, struct sc_row_stats *stats)
{
    SC_TRY(make_stats(encoder, batch, stats));
    struct sc_column_coder coder;
    enum sc_status status = sc_column_coder_init(&coder, &encoder->columns, batch);
    if (status == SC_OK)
        status = encode_addresses(encoder, batch, list);
    if (status == SC_OK)
        status = encode_columns(encoder, batch, &coder, list);
    sc_column_coder_free(&coder);
    SC_TRY(status);
    return write_row_group(encoder, batch, list, stats, out);
}

enum sc_status sc_row_group_encode(struct sc_row_group_encoder *encoder, const struct sc_batch *batch,
                                   struct sc_buf *out, struct sc_row_stats *stats, struct sc_error *err)
{
    uint32_t used = 2;
    for (uint32_t i = 0; i < batch->slots; i++)
        used += is_used(batch->columns[i]);
    if (batch->rows == 0 || batch->rows > SC_ROW_GROUP_ROWS || used > SC_MAX_ENTRIES)
        return sc_fail(err, SC_LIMIT,
                       "a row group of %u rows in %u columns cannot be stored: it has 1 to %u rows, and at "
                       "most %u columns",
                       batch->rows, used - 2, SC_ROW_GROUP_ROWS, SC_MAX_ENTRIES - 2);
    if (!sc_spans_cover(batch))
        return sc_fail(err, SC_LIMIT, "the %u spans of a row group do not cover its %u rows",
                       batch->span_count, batch->rows);
    struct chunk_list list = {.entries = calloc(used, sizeof(struct sc_entry))};
    if (list.entries == NULL)
        return sc_fail_nomem(err, "a row group");
    sc_row_stats_init(stats);
    sc_buf_clear(&encoder->chunks);
    size_t start = out->len;
    enum sc_status status = encode_parts(encoder, batch, &list, out, stats);
    free(list.entries);
    if (status != SC_OK) {
        out->len = start;
        sc_row_stats_free(stats);
        return sc_fail(err, status, "cannot encode a row group of %u rows in %u columns: %s%s", batch->rows,
                       used - 2, status == SC_LIMIT ? "it would have more than " : "",
                       status == SC_LIMIT ? encoder->columns.bound : "out of memory");
    }
    return SC_OK;
}
