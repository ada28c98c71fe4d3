// SPDX-License-Identifier: BSD-3-Clause
/* Groups to results: order, top-N, values; and partial results to bytes and back. */
#include "base/saturate.h"
#include "base/sort.h"
#include "group/table.h"

#include <stdlib.h>

/* ---- values ---- */

static struct sc_value key_value(const struct sc_groups *groups, const uint8_t *entry, uint32_t index)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_group_key *key = &a->keys[index];
    uint64_t nulls = sc_key_load(entry + a->null_at, a->key_count > 8 ? 2 : 1);
    for (uint32_t k = 0; k < index; k++)
        entry += a->keys[k].width;
    struct sc_value v = {.type = key->field.type, .null = (nulls >> index & 1) != 0};
    v.u = sc_key_load(entry, key->width);
    if (!key->interned || v.null)
        return v;
    v.bytes = sc_interner_bytes(&groups->interner, (uint32_t)v.u, &v.length);
    if (key->field.type == SC_VALUE_ADDRESS)
        memcpy(v.addr.b, v.bytes, sizeof(v.addr.b));
    return v;
}

static bool accumulated(const struct sc_aggregate *a, const uint8_t *entry, uint32_t index, uint64_t *out)
{
    uint64_t seen = sc_key_load(entry + a->seen_at, a->accumulator_count > 8 ? 2 : 1);
    *out = sc_load_le64(entry + a->accumulators_at + 8 * index);
    return (seen >> index & 1) != 0;
}

static struct sc_value computed_value(const struct sc_aggregate *a, const uint8_t *entry,
                                      const struct sc_result_column *column)
{
    struct sc_value v = {.type = column->type};
    uint64_t x, y, z = 0;
    if (!accumulated(a, entry, column->a, &x) || !accumulated(a, entry, column->b, &y)) {
        v.null = true;
        return v;
    }
    if (column->computed == SC_COMPUTED_BPP) {
        v.f = y == 0 ? 0 : (double)x / (double)y;
        v.saturated = x == SC_SATURATED || y == SC_SATURATED;
        return v;
    }
    uint64_t duration = y > x ? y - x : 0;
    v.u = duration;
    if (column->computed == SC_COMPUTED_DURATION)
        return v;
    v.null = !accumulated(a, entry, column->c, &z);
    v.saturated = !v.null && z == SC_SATURATED;
    double factor = column->computed == SC_COMPUTED_BPS ? 8000.0 : 1000.0;
    v.f = duration == 0 ? 0 : factor * (double)z / (double)duration;
    return v;
}

struct sc_value sc_groups_value(const struct sc_groups *groups, const uint8_t *entry,
                                const struct sc_result_column *column)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_value v = {.type = column->type};
    uint64_t sum, count;
    switch (column->source) {
    case SC_RESULT_KEY:
        return key_value(groups, entry, column->a);
    case SC_RESULT_ACCUMULATOR:
        v.null = !accumulated(a, entry, column->a, &v.u);
        v.saturated = !v.null && v.u == SC_SATURATED && a->accumulators[column->a].how == SC_ACCUMULATE_SUM;
        return v;
    case SC_RESULT_COMPUTED:
        return computed_value(a, entry, column);
    default:
        v.null = !accumulated(a, entry, column->a, &sum) || !accumulated(a, entry, column->b, &count);
        v.f = v.null ? 0 : (double)sum / (double)count;
        v.saturated = !v.null && sum == SC_SATURATED;
        return v;
    }
}

/* ---- order ---- */

static int compare_values(const struct sc_value *x, const struct sc_value *y)
{
    int order;
    uint32_t shorter;
    switch (x->type) {
    case SC_VALUE_ADDRESS:
        return sc_addr_compare(&x->addr, &y->addr);
    case SC_VALUE_FLOAT:
        return x->f < y->f ? -1 : x->f > y->f;
    case SC_VALUE_INT:
        return (int64_t)x->u < (int64_t)y->u ? -1 : (int64_t)x->u > (int64_t)y->u;
    case SC_VALUE_BYTES:
    case SC_VALUE_STRING:
        shorter = x->length < y->length ? x->length : y->length;
        order = shorter == 0 ? 0 : memcmp(x->bytes, y->bytes, shorter);
        return order != 0 ? order : x->length < y->length ? -1 : x->length > y->length;
    default:
        return x->u < y->u ? -1 : x->u > y->u;
    }
}

struct ordering {
    const struct sc_groups *groups;
    const struct sc_result_order *orders;
    uint32_t count;
};

/*
 * The first order, when it is by a counter that both have, without any detour: sorting millions of groups is nothing else. 0: not
 * decided.
 */
static int compare_counters(const uint8_t *x, const uint8_t *y, const struct ordering *o)
{
    const struct sc_result_column *column = o->count == 0 ? NULL : &o->orders[0].column;
    uint64_t a, b;
    if (column == NULL || column->source != SC_RESULT_ACCUMULATOR || column->type != SC_VALUE_UINT ||
        !accumulated(o->groups->aggregate, x, column->a, &a) ||
        !accumulated(o->groups->aggregate, y, column->a, &b) || a == b)
        return 0;
    return (a < b) == o->orders[0].descending ? 1 : -1;
}

/* Negative: x stands before y. */
static int compare_entries(const uint8_t *x, const uint8_t *y, const struct ordering *o)
{
    int decided = compare_counters(x, y, o);
    if (decided != 0)
        return decided;
    for (uint32_t i = 0; i < o->count + o->groups->aggregate->key_count; i++) {
        struct sc_result_column key = {.source = SC_RESULT_KEY, .a = i - o->count};
        const struct sc_result_column *column = i < o->count ? &o->orders[i].column : &key;
        struct sc_value a = sc_groups_value(o->groups, x, column), b = sc_groups_value(o->groups, y, column);
        if (a.null || b.null) {
            if (a.null != b.null)
                return a.null ? 1 : -1;
            continue;
        }
        int order = compare_values(&a, &b);
        if (order != 0)
            return i < o->count && o->orders[i].descending ? -order : order;
    }
    return 0;
}

static int compare_pointers(const void *x, const void *y, void *arg)
{
    return compare_entries(*(const uint8_t *const *)x, *(const uint8_t *const *)y, arg);
}

/* A heap whose root is the last of those kept. */
static void sift_down(const uint8_t **heap, uint64_t count, uint64_t at, const struct ordering *o)
{
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && compare_entries(heap[child + 1], heap[child], o) > 0)
            child++;
        if (compare_entries(heap[child], heap[at], o) <= 0)
            return;
        const uint8_t *swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static void offer(struct sc_result *out, uint64_t limit, const uint8_t *entry, const struct ordering *o)
{
    if (out->count < limit) {
        out->entries[out->count++] = entry;
        for (uint64_t i = out->count == limit ? limit / 2 : 0; i-- > 0;)
            sift_down(out->entries, limit, i, o);
    } else if (compare_entries(entry, out->entries[0], o) < 0) {
        out->entries[0] = entry;
        sift_down(out->entries, limit, 0, o);
    }
}

/*
 * Where the first order is by a counter, most entries are found to be too small by one comparison of numbers. Set once
 * the heap is full.
 */
static bool too_small(const struct sc_result *out, uint64_t limit, const uint8_t *entry,
                      const struct ordering *o)
{
    const struct sc_result_column *column = &o->orders[0].column;
    if (out->count < limit || o->count == 0 || column->source != SC_RESULT_ACCUMULATOR ||
        !o->orders[0].descending || column->type != SC_VALUE_UINT)
        return false;
    uint64_t value, least;
    const struct sc_aggregate *a = o->groups->aggregate;
    return accumulated(a, entry, column->a, &value) && accumulated(a, out->entries[0], column->a, &least) &&
           value < least;
}

static void offer_all(struct sc_result *out, uint64_t limit, const struct sc_partition *p,
                      const struct ordering *o)
{
    for (uint32_t n = 0; n < p->count; n++) {
        const uint8_t *entry = sc_partition_entry(p, n, o->groups->aggregate->entry_bytes);
        if (!too_small(out, limit, entry, o))
            offer(out, limit, entry, o);
    }
}

enum sc_status sc_partition_top(const struct sc_groups *groups, const struct sc_partition *p,
                                const struct sc_keep *keep, struct sc_result *out)
{
    struct ordering o = {.groups = groups, .orders = keep->orders, .count = keep->order_count};
    uint64_t limit = keep->limit < p->count ? keep->limit : p->count;
    *out = (struct sc_result){.entries = malloc(((size_t)limit + 1) * sizeof(uint8_t *))};
    if (out->entries == NULL)
        return SC_NOMEM;
    if (limit != 0)
        offer_all(out, limit, p, &o);
    return SC_OK;
}

enum sc_status sc_groups_top(const struct sc_groups *groups, const struct sc_result_order *orders,
                             uint32_t order_count, uint64_t limit, struct sc_result *out,
                             struct sc_error *err)
{
    struct ordering o = {.groups = groups, .orders = orders, .count = order_count};
    uint64_t total = sc_groups_count(groups);
    if (limit == 0 || limit > total)
        limit = total;
    *out = (struct sc_result){.entries = malloc(((size_t)limit + 1) * sizeof(uint8_t *))};
    if (out->entries == NULL)
        return sc_fail_nomem(err, "the result; ask for fewer records (-l)");
    for (uint32_t i = 0; i < SC_PARTITIONS && limit != 0; i++)
        offer_all(out, limit, &groups->partitions[i], &o);
    enum sc_status status =
        sc_sort(out->entries, out->count, sizeof(*out->entries), compare_pointers, &o, groups->cancel);
    if (status == SC_OK)
        return SC_OK;
    free(out->entries);
    *out = (struct sc_result){0};
    return status == SC_NOMEM ? sc_fail_nomem(err, "the result; ask for fewer records (-l)")
                              : sc_fail(err, status, "before the groups were sorted");
}

/* ---- to bytes and back ---- */

#define PARTIAL_MAGIC UINT32_C(0x31475053) /* "SPG1" */

void sc_groups_write_head(struct sc_buf *out, uint32_t entry_bytes, uint32_t strings, uint64_t entries)
{
    sc_buf_append_le32(out, PARTIAL_MAGIC);
    sc_buf_append_le32(out, entry_bytes);
    sc_buf_append_le32(out, strings);
    sc_buf_append_le32(out, 0);
    sc_buf_append_le64(out, entries);
}

enum sc_status sc_groups_write(const struct sc_groups *groups, struct sc_buf *out)
{
    const struct sc_aggregate *a = groups->aggregate;
    sc_groups_write_head(out, a->entry_bytes, groups->interner.count, sc_groups_count(groups));
    for (uint32_t id = 0; id < groups->interner.count; id++) {
        uint32_t length;
        const uint8_t *bytes = sc_interner_bytes(&groups->interner, id, &length);
        sc_buf_append_le32(out, length);
        sc_buf_append(out, bytes, length);
    }
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++)
            sc_buf_append(out, sc_partition_entry(p, n, a->entry_bytes), a->entry_bytes);
    }
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

/* Interner numbers of a foreign entry to ours; false when one does not exist. */
static bool localise(const struct sc_aggregate *a, const uint32_t *remap, uint32_t count, uint8_t *key)
{
    uint64_t nulls = sc_key_load(key + a->null_at, a->key_count > 8 ? 2 : 1);
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (a->keys[k].interned && (nulls >> k & 1) == 0) {
            uint32_t id = sc_load_le32(key);
            if (id >= count)
                return false;
            sc_store_le32(key, remap[id]);
        }
        key += a->keys[k].width;
    }
    return true;
}

/* Addresses are 16 bytes; other strings as long as they are. */
static enum sc_status read_strings(struct sc_groups *to, struct sc_cursor *in, uint32_t count,
                                   uint32_t *remap)
{
    for (uint32_t id = 0; id < count; id++) {
        uint32_t length = sc_cursor_le32(in);
        const uint8_t *bytes = sc_cursor_take(in, length);
        if (bytes == NULL)
            return SC_DAMAGED;
        remap[id] = sc_interner_add(&to->interner, bytes, length);
        if (remap[id] == UINT32_MAX)
            return SC_NOMEM;
    }
    return SC_OK;
}

static bool addresses_whole(const struct sc_groups *to, const uint8_t *key)
{
    const struct sc_aggregate *a = to->aggregate;
    uint64_t nulls = sc_key_load(key + a->null_at, a->key_count > 8 ? 2 : 1);
    for (uint32_t k = 0; k < a->key_count; k++) {
        uint32_t length;
        if (a->keys[k].field.type == SC_VALUE_ADDRESS && (nulls >> k & 1) == 0) {
            sc_interner_bytes(&to->interner, sc_load_le32(key), &length);
            if (length != sizeof(struct sc_addr))
                return false;
        }
        key += a->keys[k].width;
    }
    return true;
}

static enum sc_status read_entries(struct sc_groups *to, struct sc_cursor *in, uint64_t groups,
                                   const uint32_t *remap, uint32_t strings)
{
    const struct sc_aggregate *a = to->aggregate;
    uint8_t entry[SC_MAX_KEYS * 8 + 16 + SC_MAX_ACCUMULATORS * 8];
    for (uint64_t g = 0; g < groups; g++) {
        const uint8_t *from = sc_cursor_take(in, a->entry_bytes);
        if (from == NULL)
            return SC_DAMAGED;
        memcpy(entry, from, a->entry_bytes);
        if (!localise(a, remap, strings, entry) || !addresses_whole(to, entry))
            return SC_DAMAGED;
        uint8_t *place = sc_groups_find(to, entry, sc_groups_hash(to, entry));
        if (place == NULL)
            return SC_NOMEM;
        sc_groups_combine(a, place, entry);
    }
    return sc_cursor_left(in) == 0 ? SC_OK : SC_DAMAGED;
}

enum sc_status sc_groups_read(struct sc_groups *to, const uint8_t *bytes, size_t length, struct sc_error *err)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    uint32_t magic = sc_cursor_le32(&in), entry_bytes = sc_cursor_le32(&in), strings = sc_cursor_le32(&in);
    sc_cursor_le32(&in);
    uint64_t groups = sc_cursor_le64(&in);
    to->most = SC_SATURATED;
    if (in.failed || magic != PARTIAL_MAGIC || entry_bytes != to->aggregate->entry_bytes ||
        strings > sc_cursor_left(&in) / 4)
        return sc_fail(err, SC_DAMAGED, "a partial result is damaged or of another query");
    uint32_t *remap = malloc(((size_t)strings + 1) * sizeof(*remap));
    enum sc_status status = remap == NULL ? SC_NOMEM : read_strings(to, &in, strings, remap);
    if (status == SC_OK)
        status = read_entries(to, &in, groups, remap, strings);
    free(remap);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "partial results");
    return status == SC_OK ? SC_OK : sc_fail(err, status, "a partial result is damaged");
}
