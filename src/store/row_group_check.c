// SPDX-License-Identifier: BSD-3-Clause
#include "base/hash.h"
#include "store/reader.h"
#include "store/span_set.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void sc_encoded_group_free(struct sc_encoded_group *group)
{
    sc_row_stats_free(&group->stats);
}

/* Chunks lie one behind the other from the directory to the zero bytes at the end. */
static enum sc_status check_chunks(struct sc_cursor *in, const uint8_t *bytes, size_t length, uint64_t at,
                                   uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t *entry = sc_cursor_take(in, SC_ENTRY_BYTES);
        if (entry == NULL)
            return SC_DAMAGED;
        uint64_t offset = sc_load_le64(entry + 40), size = sc_load_le32(entry + 48);
        if (offset != at || size > length - at ||
            sc_hash_stored(bytes + at, size) != sc_load_le64(entry + 56))
            return SC_DAMAGED;
        at += size;
    }
    if (length - at >= 8)
        return SC_DAMAGED;
    for (; at < length; at++) {
        if (bytes[at] != 0)
            return SC_DAMAGED;
    }
    return SC_OK;
}

struct sc_span sc_encoded_group_span(const struct sc_encoded_group *group, uint32_t i)
{
    struct sc_cursor in = {.data = group->encoded_spans + (size_t)i * SC_SPAN_BYTES, .len = SC_SPAN_BYTES};
    return sc_span_read(&in);
}

static enum sc_status check_spans(struct sc_encoded_group *group)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < group->span_count; i++) {
        const struct sc_span span = sc_encoded_group_span(group, i);
        if (span.first_row != next || span.rows > group->ref.rows - next)
            return SC_DAMAGED;
        next += span.rows;
    }
    group->span = sc_encoded_group_span(group, 0);
    return next == group->ref.rows ? SC_OK : SC_DAMAGED;
}

static enum sc_status check_meta(const uint8_t *bytes, uint32_t meta_bytes, struct sc_encoded_group *out)
{
    struct sc_cursor in = {.data = bytes + SC_ROW_GROUP_HEAD_BYTES, .len = meta_bytes};
    uint32_t entries = sc_load_le16(bytes + 26), spans = sc_load_le32(bytes + 28);
    if (XXH3_64bits(in.data, in.len) != sc_load_le64(bytes + 32))
        return SC_DAMAGED;
    SC_TRY(sc_row_stats_read(&in, &out->stats));
    uint64_t span_bytes = (uint64_t)spans * SC_SPAN_BYTES;
    if (spans == 0 || sc_cursor_left(&in) != span_bytes + (uint64_t)entries * SC_ENTRY_BYTES)
        return SC_DAMAGED;
    out->span_count = spans;
    out->encoded_spans = sc_cursor_take(&in, span_bytes);
    SC_TRY(check_spans(out));
    return check_chunks(&in, bytes, out->length, SC_ROW_GROUP_HEAD_BYTES + (uint64_t)meta_bytes, entries);
}

static enum sc_status check(struct sc_encoded_group *out)
{
    const uint8_t *bytes = out->bytes;
    if (out->length < SC_ROW_GROUP_HEAD_BYTES || out->length > SC_MAX_ROW_GROUP_BYTES ||
        out->length % 8 != 0 || memcmp(bytes, SC_ROW_GROUP_MAGIC, SC_MAGIC_BYTES) != 0 ||
        XXH3_64bits(bytes, 56) != sc_load_le64(bytes + 56) || sc_load_le64(bytes + 16) != out->length)
        return SC_DAMAGED;
    uint32_t meta_bytes = sc_load_le32(bytes + 12);
    out->ref.rows = sc_load_le32(bytes + 8);
    out->ref.record_kind = sc_load_le16(bytes + 24);
    out->format = sc_row_group_format(bytes);
    if (out->ref.rows == 0 || out->ref.rows > SC_ROW_GROUP_ROWS ||
        out->ref.record_kind > SC_RECORDS_OPTIONS || out->format > SC_SEGMENT_VERSION ||
        meta_bytes > SC_MAX_META_BYTES || meta_bytes > out->length - SC_ROW_GROUP_HEAD_BYTES)
        return SC_DAMAGED;
    return check_meta(bytes, meta_bytes, out);
}

enum sc_status sc_row_group_check(const uint8_t *bytes, size_t length, struct sc_encoded_group *out,
                                  struct sc_error *err)
{
    *out = (struct sc_encoded_group){.bytes = bytes, .length = length, .ref = {.length = length}};
    sc_row_stats_init(&out->stats);
    enum sc_status status = check(out);
    if (status == SC_OK) {
        memcpy(out->ref.times, out->stats.times, sizeof(out->ref.times));
        return SC_OK;
    }
    sc_encoded_group_free(out);
    return status == SC_NOMEM ? sc_fail_nomem(err, "a row group")
                              : sc_fail(err, SC_DAMAGED, "these %zu bytes are no whole row group", length);
}
