// SPDX-License-Identifier: BSD-3-Clause
/* Groups to results: order, top-N, values; and partial results to bytes and back. */
#include "base/saturate.h"
#include "base/sort.h"
#include "group/registers.h"
#include "group/table.h"

#include <math.h>
#include <stdlib.h>

/* ---- values ---- */

static struct sc_value key_value(const struct sc_groups *groups, const uint8_t *entry, uint32_t index)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_group_key *key = &a->keys[index];
    uint32_t head = sc_key_head(a, entry + a->key_at), layout = head & SC_HEAD_LAYOUT;
    const uint8_t *at = entry + a->key_at + key->at[layout];
    struct sc_value v = {.type = key->field.type, .null = (head & SC_HEAD_NULL(index)) != 0};
    if (key->address) {
        if (key->width[layout] == 4)
            v.addr = sc_addr_v4(sc_load_be32(at));
        else
            memcpy(v.addr.b, at, sizeof(v.addr.b));
        return v;
    }
    v.u = sc_key_load(at, key->width[layout]);
    if (key->interned && !v.null)
        v.bytes = sc_interner_bytes(&groups->interner, (uint32_t)v.u, &v.length);
    return v;
}

static struct sc_value computed_value(const struct sc_aggregate *a, const uint8_t *entry,
                                      const struct sc_result_column *column)
{
    struct sc_value v = {.type = column->type};
    uint64_t x, y, z = 0;
    if (!sc_entry_value(a, entry, column->a, &x) || !sc_entry_value(a, entry, column->b, &y)) {
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
    v.null = !sc_entry_value(a, entry, column->c, &z);
    v.saturated = !v.null && z == SC_SATURATED;
    double factor = column->computed == SC_COMPUTED_BPS ? 8000.0 : 1000.0;
    v.f = duration == 0 ? 0 : factor * (double)z / (double)duration;
    return v;
}

/*
 * How many values there were, by how many registers have seen any and what these hold (O. Ertl 2017, algorithm 6; the correction
 * for registers that are full is left out, as they hold 2^40).
 */
static uint64_t estimate(uint64_t registers, uint64_t harmonic)
{
    double m = SC_REGISTERS, seen = registers < SC_REGISTERS ? (double)registers : m;
    double x = (m - seen) / m, power = 1, sigma = x, before;
    if (registers == 0)
        return 0;
    do {
        x *= x;
        before = sigma;
        sigma += x * power;
        power += power;
    } while (sigma != before);
    double sum = m * sigma + ldexp((double)harmonic, -(int)SC_MOST_ZEROS - 1);
    double values = m * m / (2 * log(2)) / sum + 0.5;
    return values < 0x1p63 ? (uint64_t)values : UINT64_C(1) << 63; /* a peer may say anything */
}

static struct sc_value distinct_value(const struct sc_aggregate *a, const uint8_t *entry,
                                      const struct sc_result_column *column)
{
    struct sc_value v = {.type = column->type};
    uint64_t harmonic;
    v.null = !sc_entry_value(a, entry, column->a, &v.u);
    v.estimated = !v.null && sc_entry_value(a, entry, column->b, &harmonic);
    if (v.estimated)
        v.u = estimate(v.u, harmonic);
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
        v.null = !sc_entry_value(a, entry, column->a, &v.u);
        v.saturated = !v.null && v.u == SC_SATURATED && a->accumulators[column->a].how == SC_ACCUMULATE_SUM;
        return v;
    case SC_RESULT_COMPUTED:
        return computed_value(a, entry, column);
    case SC_RESULT_DISTINCT:
        return distinct_value(a, entry, column);
    default:
        v.null = !sc_entry_value(a, entry, column->a, &sum) || !sc_entry_value(a, entry, column->b, &count);
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

/* What the first order is by, where that is a counter which the entry has. */
static bool first_counter(const uint8_t *entry, const struct ordering *o, uint64_t *value)
{
    const struct sc_result_column *column = o->count == 0 ? NULL : &o->orders[0].column;
    const struct sc_aggregate *a = o->groups->aggregate;
    uint64_t harmonic;
    return column != NULL && column->type == SC_VALUE_UINT &&
           (column->source == SC_RESULT_ACCUMULATOR ||
            (column->source == SC_RESULT_DISTINCT && !sc_entry_value(a, entry, column->b, &harmonic))) &&
           sc_entry_value(a, entry, column->a, value);
}

/* The first order without any detour: sorting millions of groups is nothing else. 0: not decided. */
static int compare_counters(const uint8_t *x, const uint8_t *y, const struct ordering *o)
{
    uint64_t a, b;
    if (!first_counter(x, o, &a) || !first_counter(y, o, &b) || a == b)
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
    uint64_t value, least;
    return out->count >= limit && o->count != 0 && o->orders[0].descending &&
           first_counter(entry, o, &value) && first_counter(out->entries[0], o, &least) && value < least;
}

static void offer_all(struct sc_result *out, uint64_t limit, const struct sc_partition *p,
                      const struct ordering *o)
{
    for (uint32_t n = 0; n < p->count; n++) {
        const uint8_t *entry = sc_partition_entry(p, n);
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

#define PARTIAL_MAGIC UINT32_C(0x32475053) /* "SPG2" */

void sc_groups_write_head(struct sc_buf *out, const struct sc_aggregate *a, uint32_t strings,
                          uint64_t entries)
{
    sc_buf_append_le32(out, PARTIAL_MAGIC);
    sc_buf_append_le32(out, a->entry_bytes[SC_KEY_NARROW]);
    sc_buf_append_le32(out, strings);
    sc_buf_append_le32(out, 0);
    sc_buf_append_le64(out, entries);
}

enum sc_status sc_groups_write(const struct sc_groups *groups, struct sc_buf *out)
{
    sc_groups_write_head(out, groups->aggregate, groups->interner.count, sc_groups_count(groups));
    for (uint32_t id = 0; id < groups->interner.count; id++) {
        uint32_t length;
        const uint8_t *bytes = sc_interner_bytes(&groups->interner, id, &length);
        sc_buf_append_le32(out, length);
        sc_buf_append(out, bytes, length);
    }
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        const struct sc_partition *p = &groups->partitions[i];
        for (uint32_t n = 0; n < p->count; n++)
            sc_buf_append(out, sc_partition_entry(p, n), p->entry_bytes);
    }
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}

/* The strings of a foreign partial result. */
struct strings {
    uint32_t *remap; /* their numbers here */
    uint32_t count;
};

static uint32_t number_here(const void *arg, uint32_t id)
{
    const struct strings *strings = arg;
    return id < strings->count ? strings->remap[id] : UINT32_MAX;
}

static enum sc_status read_strings(struct sc_groups *to, struct sc_cursor *in, struct strings *strings)
{
    for (uint32_t id = 0; id < strings->count; id++) {
        uint32_t length = sc_cursor_le32(in);
        const uint8_t *bytes = sc_cursor_take(in, length);
        if (bytes == NULL)
            return SC_DAMAGED;
        strings->remap[id] = sc_interner_add(&to->interner, bytes, length);
        if (strings->remap[id] == UINT32_MAX)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* The next entry, of the layout that its head names; NULL when there is none. */
static const uint8_t *take_entry(const struct sc_aggregate *a, struct sc_cursor *in,
                                 enum sc_key_layout *layout)
{
    if (sc_cursor_left(in) < a->key_at + sc_head_bytes(a))
        return NULL;
    *layout = sc_entry_layout(a, in->data + in->pos);
    return *layout < SC_KEY_LAYOUTS ? sc_cursor_take(in, a->entry_bytes[*layout]) : NULL;
}

static enum sc_status read_entries(struct sc_groups *to, struct sc_cursor *in, uint64_t groups,
                                   const struct strings *strings)
{
    const struct sc_aggregate *a = to->aggregate;
    uint8_t key[SC_MOST_KEY_BYTES];
    for (uint64_t g = 0; g < groups; g++) {
        enum sc_key_layout layout;
        const uint8_t *from = take_entry(a, in, &layout);
        if (from == NULL)
            return SC_DAMAGED;
        memcpy(key, from + a->key_at, a->key_bytes[layout]);
        if (!sc_key_renumber(a, key, number_here, strings))
            return SC_DAMAGED;
        uint8_t *place = sc_groups_find(to, layout, key, sc_groups_hash(to, layout, key));
        if (place == NULL)
            return SC_NOMEM;
        sc_groups_combine(a, place, from);
    }
    return sc_cursor_left(in) == 0 ? SC_OK : SC_DAMAGED;
}

enum sc_status sc_groups_read(struct sc_groups *to, const uint8_t *bytes, size_t length, struct sc_error *err)
{
    struct sc_cursor in = {.data = bytes, .len = length};
    uint32_t magic = sc_cursor_le32(&in), entry_bytes = sc_cursor_le32(&in);
    struct strings strings = {.count = sc_cursor_le32(&in)};
    sc_cursor_le32(&in);
    uint64_t groups = sc_cursor_le64(&in);
    to->most = SC_SATURATED;
    if (in.failed || magic != PARTIAL_MAGIC || entry_bytes != to->aggregate->entry_bytes[SC_KEY_NARROW] ||
        strings.count > sc_cursor_left(&in) / 4)
        return sc_fail(err, SC_DAMAGED, "a partial result is damaged or of another query");
    strings.remap = malloc(((size_t)strings.count + 1) * sizeof(*strings.remap));
    enum sc_status status = strings.remap == NULL ? SC_NOMEM : read_strings(to, &in, &strings);
    if (status == SC_OK)
        status = read_entries(to, &in, groups, &strings);
    free(strings.remap);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "partial results");
    return status == SC_OK ? SC_OK : sc_fail(err, status, "a partial result is damaged");
}
