// SPDX-License-Identifier: BSD-3-Clause
/* Aggregations as a table of records would answer them, one scalar value after the other, for tests of the query engine. */
#ifndef TESTS_AGGREGATE_KIT_H
#define TESTS_AGGREGATE_KIT_H

#include "group/part.h"
#include "group_kit.h"
#include "query/aggregate.h"
#include "query_kit.h"

#include <stdatomic.h>

/* ---- keys, as the user writes them and as the reference understands them ---- */

struct key_word {
    const char *text, *name;
    unsigned prefix4, prefix6; /* addresses; 255: none */
    uint64_t bucket;
};

static const struct key_word key_words[] = {
    {"srcip", "srcip", 255, 255, 0},
    {"dstip", "dstip", 255, 255, 0},
    {"srcip/24/64", "srcip", 24, 64, 0},
    {"dstip/0/0", "dstip", 0, 0, 0},
    {"nexthop/30", "nexthop", 30, 255, 0},
    {"exporterip/32/48", "exporterip", 32, 48, 0},
    {"ip", "ip", 255, 255, 0},
    {"net/24/32", "net", 24, 32, 0},
    {"port", "port", 0, 0, 0},
    {"port/1000", "port", 0, 0, 1000},
    {"as", "as", 0, 0, 0},
    {"if", "if", 0, 0, 0},
    {"vlan", "vlan", 0, 0, 0},
    {"mac", "mac", 0, 0, 0},
    {"srcport", "srcport", 0, 0, 0},
    {"dstport/1000", "dstport", 0, 0, 1000},
    {"proto", "proto", 0, 0, 0},
    {"flags", "flags", 0, 0, 0},
    {"tos", "tos", 0, 0, 0},
    {"first/10s", "first", 0, 0, 10000},
    {"last/1m", "last", 0, 0, 60000},
    {"received/30s", "received", 0, 0, 30000},
    {"srcas", "srcas", 0, 0, 0},
    {"inif", "inif", 0, 0, 0},
    {"appname", "appname", 0, 0, 0},
    {"app", "app", 0, 0, 0},
    {"interfaceName", "interfaceName", 0, 0, 0},
    {"64999:77", "64999:77", 0, 0, 0},
    {"srcmac", "srcmac", 0, 0, 0},
    {"icmptype", "icmptype", 0, 0, 0},
    {"mibObjectValueInteger", "mibObjectValueInteger", 0, 0, 0},
    {"bytes/100000", "bytes", 0, 0, 100000},
    {"flows", "flows", 0, 0, 0},
    {"duration/1000", "duration", 0, 0, 1000},
    {"sampling", "sampling", 0, 0, 0},
    {"sourceIPv4Address", "sourceIPv4Address", 255, 255, 0},
    {"srcip/24/0", "srcip", 24, 0, 0},
    {"dstip/0/16", "dstip", 0, 16, 0},
    {"ip/24/0", "ip", 24, 0, 0},
    {"destinationIPv4Address", "destinationIPv4Address", 255, 255, 0},
    {"destinationIPv6Address", "destinationIPv6Address", 255, 255, 0},
    {"sourceIPv6Address/64", "sourceIPv6Address", 255, 64, 0},
};

struct key {
    const struct key_word *word;
    struct sc_field fields[2];
    bool pair;
};

static KIT_UNUSED void make_key(const struct key_word *word, struct key *out)
{
    out->word = word;
    out->pair = sc_field_find_pair(word->name, strlen(word->name), out->fields);
    if (!out->pair)
        out->fields[0] = query_field(word->name);
}

/* ---- the reference ---- */

#define MAX_VALUES 24
#define KEY_MAX    1000

struct sums {
    uint64_t u;
    bool seen;
};

struct ref_group {
    char key[KEY_MAX];
    struct sums values[MAX_VALUES], counts[MAX_VALUES];
    struct sums first, last, bytes, packets;
};

struct ref_value {
    const char *text;
    struct sc_field field;
    char
        how; /* s sum, m min, M max, a average, o or, d duration, b bps, p pps, q bpp, D distinct, P percentile */
    struct key key;    /* D */
    unsigned permille; /* P */
};

/* One value of a group, for D and P: the number, or a hash of what is shown. */
struct ref_item {
    uint32_t group, value;
    uint64_t u;
};

struct reference {
    struct ref_group *groups;
    uint32_t count, capacity;
    struct ref_item *items;
    uint64_t item_count;
    uint32_t *table;
    uint32_t table_size;
    struct key keys[12];
    uint32_t key_count;
    struct ref_value values[MAX_VALUES];
    uint32_t value_count;
    struct sc_field first, last, bytes, packets;
    bool scaled;
};

static KIT_UNUSED char how_of(const char *text, const struct sc_field *f)
{
    if (strncmp(text, "distinct(", 9) == 0)
        return 'D';
    if (text[0] == 'p' && strchr("0123456789", text[1]) != NULL)
        return 'P';
    if (strchr(text, '(') != NULL)
        return strncmp(text, "min", 3) == 0 ? 'm' : strncmp(text, "max", 3) == 0 ? 'M' : text[0];
    switch (f->computed) {
    case SC_COMPUTED_DURATION:
        return 'd';
    case SC_COMPUTED_BPS:
        return 'b';
    case SC_COMPUTED_PPS:
        return 'p';
    case SC_COMPUTED_BPP:
        return 'q';
    default:
        return " smMo"[f->combine];
    }
}

static KIT_UNUSED void add_value(struct reference *ref, const char *text)
{
    char name[64];
    const char *open = strchr(text, '(');
    snprintf(name, sizeof(name), "%s", open == NULL ? text : open + 1);
    name[strcspn(name, ")")] = '\0';
    struct ref_value *v = &ref->values[ref->value_count++];
    v->text = text;
    v->how = strncmp(text, "distinct(", 9) == 0 ? 'D' : 0;
    for (size_t i = 0; v->how == 'D' && i < sizeof(key_words) / sizeof(key_words[0]); i++) {
        if (strcmp(key_words[i].text, name) == 0)
            make_key(&key_words[i], &v->key);
    }
    v->field = v->how == 'D' ? v->key.fields[0] : query_field(name);
    v->how = how_of(text, &v->field);
    v->permille = v->how == 'P' ? (unsigned)(atof(text + 1) * 10 + 0.5) : 0;
}

static KIT_UNUSED void put_key(char *out, size_t *at, const struct sc_value *v)
{
    if (v->null) {
        *at += (size_t)snprintf(out + *at, KEY_MAX - *at, "null|");
    } else if (v->type == SC_VALUE_ADDRESS) {
        *at += sc_addr_format(&v->addr, out + *at);
        out[(*at)++] = '|';
    } else if (v->type == SC_VALUE_STRING || v->type == SC_VALUE_BYTES) {
        out[(*at)++] = 'x';
        for (uint32_t i = 0; i < v->length; i++)
            *at += (size_t)snprintf(out + *at, KEY_MAX - *at, "%02x", v->bytes[i]);
        out[(*at)++] = '|';
    } else {
        *at += (size_t)snprintf(out + *at, KEY_MAX - *at, "%llu|", (unsigned long long)v->u);
    }
    out[*at] = '\0';
}

static KIT_UNUSED struct sc_value key_value(const struct query_table *t, const struct key *k, unsigned side,
                                            uint64_t id)
{
    struct sc_value v = query_field_value(t, &k->fields[side], id);
    if (v.null)
        return v;
    if (v.type == SC_VALUE_ADDRESS) {
        bool v4 = sc_addr_is_v4(&v.addr);
        unsigned prefix = v4 ? k->word->prefix4 : k->word->prefix6;
        if (prefix != 255)
            v.addr = sc_addr_mask(&v.addr, v4 ? 96 + prefix : prefix);
    } else if (k->word->bucket != 0) {
        v.u = v.u / k->word->bucket * k->word->bucket;
    }
    return v;
}

static KIT_UNUSED uint64_t hash_text(const char *text)
{
    uint64_t hash = 1469598103934665603u;
    for (const char *p = text; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
    return hash;
}

static KIT_UNUSED struct ref_group *find_group(struct reference *ref, const char *key)
{
    uint64_t hash = hash_text(key);
    uint32_t i = (uint32_t)(hash >> 20) & (ref->table_size - 1);
    for (; ref->table[i] != 0; i = (i + 1) & (ref->table_size - 1)) {
        if (strcmp(ref->groups[ref->table[i] - 1].key, key) == 0)
            return &ref->groups[ref->table[i] - 1];
    }
    assert_true(ref->count < ref->capacity);
    struct ref_group *g = &ref->groups[ref->count++];
    memset(g, 0, sizeof(*g));
    snprintf(g->key, sizeof(g->key), "%s", key);
    ref->table[i] = ref->count;
    return g;
}

static KIT_UNUSED void add(struct sums *s, char how, const struct sc_value *v)
{
    if (v->null)
        return;
    if (how == 'm')
        s->u = s->seen && s->u < v->u ? s->u : v->u;
    else if (how == 'M')
        s->u = s->seen && s->u > v->u ? s->u : v->u;
    else if (how == 'o')
        s->u |= v->u;
    else
        s->u += v->u;
    s->seen = true;
}

static KIT_UNUSED void add_field(const struct query_table *t, struct sums *s, char how,
                                 const struct sc_field *f, uint64_t id)
{
    struct sc_value v = query_field_value(t, f, id);
    add(s, how, &v);
}

/* A value that D or P is made of. */
static KIT_UNUSED void add_item(const struct query_table *t, struct reference *ref, uint32_t group,
                                uint32_t i, uint64_t id)
{
    const struct ref_value *r = &ref->values[i];
    struct sc_value v = r->how == 'D' ? key_value(t, &r->key, 0, id) : query_field_value(t, &r->field, id);
    char text[KEY_MAX];
    size_t at = 0;
    if (v.null)
        return;
    put_key(text, &at, &v);
    ref->items[ref->item_count++] =
        (struct ref_item){.group = group, .value = i, .u = r->how == 'D' ? hash_text(text) : v.u};
}

static KIT_UNUSED void add_record(const struct query_table *t, struct reference *ref, const char *key,
                                  uint64_t id)
{
    struct ref_group *g = find_group(ref, key);
    add_field(t, &g->first, 'm', &ref->first, id);
    add_field(t, &g->last, 'M', &ref->last, id);
    add_field(t, &g->bytes, 's', &ref->bytes, id);
    add_field(t, &g->packets, 's', &ref->packets, id);
    for (uint32_t i = 0; i < ref->value_count; i++) {
        if (strchr("DP", ref->values[i].how) != NULL)
            add_item(t, ref, (uint32_t)(g - ref->groups), i, id);
        if (strchr("dbpqDP", ref->values[i].how) != NULL)
            continue;
        struct sc_value v = query_field_value(t, &ref->values[i].field, id);
        add(&g->values[i], ref->values[i].how == 'a' ? 's' : ref->values[i].how, &v);
        v.u = 1;
        add(&g->counts[i], 's', &v);
    }
}

/* Each of the record's keys: one, or two where a pair key has two values. */
static KIT_UNUSED void group_record(const struct query_table *t, struct reference *ref, uint64_t id)
{
    char first[KEY_MAX] = "";
    for (unsigned side = 0; side < 2; side++) {
        char key[KEY_MAX] = "";
        size_t at = 0;
        bool again = false;
        for (uint32_t k = 0; k < ref->key_count; k++) {
            struct sc_value v = key_value(t, &ref->keys[k], 0, id);
            if (ref->keys[k].pair) {
                struct sc_value other = key_value(t, &ref->keys[k], 1, id);
                again = side == 1 && !other.null && !v.null;
                v = v.null || side == 1 ? other : v;
            }
            put_key(key, &at, &v);
        }
        if (side == 0)
            snprintf(first, sizeof(first), "%s", key);
        if (side == 0 || (again && strcmp(first, key) != 0))
            add_record(t, ref, key, id);
    }
}

static KIT_UNUSED void scale_reference(struct reference *ref)
{
    sc_field_scale(&ref->bytes);
    sc_field_scale(&ref->packets);
    for (uint32_t i = 0; i < ref->value_count; i++) {
        sc_field_scale(&ref->values[i].field);
        sc_field_scale(&ref->values[i].key.fields[0]);
    }
    for (uint32_t k = 0; k < ref->key_count; k++)
        sc_field_scale(&ref->keys[k].fields[0]);
}

static KIT_UNUSED int compare_items(const void *x, const void *y)
{
    const struct ref_item *a = x, *b = y;
    if (a->group != b->group || a->value != b->value)
        return a->group != b->group ? (a->group < b->group ? -1 : 1) : (a->value < b->value ? -1 : 1);
    return a->u < b->u ? -1 : a->u > b->u;
}

static KIT_UNUSED void group_all(const struct query_table *t, struct reference *ref,
                                 const struct sc_filter *filter)
{
    ref->capacity = (uint32_t)t->records * 2 + 1;
    ref->table_size = 1;
    while (ref->table_size < ref->capacity * 2)
        ref->table_size *= 2;
    ref->groups = malloc(ref->capacity * sizeof(*ref->groups));
    ref->items = malloc((uint64_t)ref->capacity * (ref->value_count + 1) * sizeof(*ref->items));
    ref->item_count = 0;
    assert_non_null(ref->items);
    ref->table = calloc(ref->table_size, sizeof(*ref->table));
    ref->count = 0;
    ref->first = query_field("first");
    ref->last = query_field("last");
    ref->bytes = query_field("bytes");
    ref->packets = query_field("packets");
    if (ref->scaled)
        scale_reference(ref);
    assert_non_null(ref->groups);
    assert_non_null(ref->table);
    for (uint64_t id = 0; id < t->records; id++) {
        if (query_matches(t, filter, id))
            group_record(t, ref, id);
    }
    qsort(ref->items, ref->item_count, sizeof(*ref->items), compare_items);
}

static KIT_UNUSED void free_reference(struct reference *ref)
{
    free(ref->groups);
    free(ref->items);
    free(ref->table);
}

/* A percentile is told by the 8 uppermost bits of a value, and a bit that stands for the middle of what they leave open. */
static KIT_UNUSED uint64_t in_cell(uint64_t value)
{
    unsigned bits = 0;
    while (value >> bits > 255)
        bits++;
    return bits == 0 ? value : (value >> bits << bits) + (UINT64_C(1) << bits) / 2;
}

/* D or P. */
static KIT_UNUSED struct sc_value wanted_of_items(const struct reference *ref, const struct ref_group *g,
                                                  uint32_t i)
{
    const struct ref_value *r = &ref->values[i];
    const struct ref_item first = {.group = (uint32_t)(g - ref->groups), .value = i};
    uint64_t low = 0, high = ref->item_count, n = 0, distinct = 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (compare_items(&ref->items[middle], &first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct ref_item *items = ref->items + low;
    for (; low + n < ref->item_count && items[n].group == first.group && items[n].value == i; n++)
        distinct += n == 0 || items[n].u != items[n - 1].u;
    if (r->how == 'D')
        return (struct sc_value){.u = distinct};
    uint64_t rank = (n * r->permille + 999) / 1000;
    return (struct sc_value){.null = n == 0, .u = n == 0 ? 0 : in_cell(items[rank - 1].u)};
}

static KIT_UNUSED struct sc_value wanted_value(const struct reference *ref, const struct ref_group *g,
                                               uint32_t i)
{
    const struct sums *s = &g->values[i];
    struct sc_value v = {.null = !s->seen, .u = s->u};
    uint64_t duration = g->last.u > g->first.u ? g->last.u - g->first.u : 0;
    bool no_time = !g->first.seen || !g->last.seen;
    switch (ref->values[i].how) {
    case 'D':
    case 'P':
        v = wanted_of_items(ref, g, i);
        break;
    case 'a':
        v.f = v.null ? 0 : (double)s->u / (double)g->counts[i].u;
        break;
    case 'd':
        v = (struct sc_value){.null = no_time, .u = duration};
        break;
    case 'b':
        v = (struct sc_value){.null = no_time || !g->bytes.seen};
        v.f = duration == 0 ? 0 : 8000.0 * (double)g->bytes.u / (double)duration;
        break;
    case 'p':
        v = (struct sc_value){.null = no_time || !g->packets.seen};
        v.f = duration == 0 ? 0 : 1000.0 * (double)g->packets.u / (double)duration;
        break;
    case 'q':
        v = (struct sc_value){.null = !g->bytes.seen || !g->packets.seen};
        v.f = g->packets.u == 0 ? 0 : (double)g->bytes.u / (double)g->packets.u;
        break;
    default:
        break;
    }
    return v;
}

/* ---- comparing ---- */

static KIT_UNUSED void entry_key(const struct sc_request *r, const struct sc_groups *groups,
                                 const uint8_t *entry, char *out)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t k = 0; k < r->aggregate.key_count; k++) {
        struct sc_result_column column = {.source = SC_RESULT_KEY, .a = k};
        struct sc_value v = sc_groups_value(groups, entry, &column);
        put_key(out, &at, &v);
    }
}

static KIT_UNUSED void check_entry(const struct reference *ref, const struct sc_request *r,
                                   const struct sc_groups *groups, const uint8_t *entry,
                                   const struct ref_group *g)
{
    for (uint32_t i = 0; i < ref->value_count; i++) {
        uint32_t c = 0;
        while (c < r->column_count && strcmp(r->columns[c].label, ref->values[i].text) != 0)
            c++;
        assert_true(c < r->column_count);
        if (r->columns[c].result.source == SC_RESULT_KEY)
            continue;
        struct sc_value got = sc_groups_value(groups, entry, &r->columns[c].result);
        struct sc_value want = wanted_value(ref, g, i);
        bool is_float = strchr("abpq", ref->values[i].how) != NULL;
        bool same = got.null == want.null && (got.null || (is_float ? got.f == want.f : got.u == want.u));
        if (!same)
            fail_msg("%s, key %s, %s: %s %llu %f, want %s %llu %f", r->name, g->key, ref->values[i].text,
                     got.null ? "null" : "", (unsigned long long)got.u, got.f, want.null ? "null" : "",
                     (unsigned long long)want.u, want.f);
    }
}

static KIT_UNUSED void check_groups(struct reference *ref, const struct sc_request *r,
                                    const struct sc_groups *groups)
{
    struct sc_result all;
    struct sc_error err = {0};
    assert_int_equal(sc_groups_count(groups), ref->count);
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    assert_int_equal(all.count, ref->count);
    for (uint64_t i = 0; i < all.count; i++) {
        char key[KEY_MAX];
        uint32_t before = ref->count;
        entry_key(r, groups, all.entries[i], key);
        const struct ref_group *g = find_group(ref, key);
        if (ref->count != before)
            fail_msg("%s: there is no group %s", r->name, key);
        check_entry(ref, r, groups, all.entries[i], g);
    }
    free(all.entries);
}

/* ---- ours ---- */

static KIT_UNUSED struct sc_groups *run(struct sc_source *source, const struct sc_filter *filter,
                                        const uint8_t *wanted, bool scaled, unsigned threads,
                                        struct sc_request *r, struct sc_summary *summary)
{
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = threads, .wanted = wanted, .scale_sampling = scaled};
    struct sc_groups *groups = NULL;
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    if (sc_query_aggregate(source, &options, &r->aggregate, 1, 0, &groups, summary, &stats, &err) != SC_OK)
        fail_msg("%s: %s", r->name, err.message);
    assert_non_null(groups);
    return groups;
}

static KIT_UNUSED char *dump(const struct sc_request *r, const struct sc_groups *groups, uint64_t limit)
{
    struct sc_result top;
    struct sc_buf out = {0};
    struct sc_error err = {0};
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &top, &err), SC_OK);
    for (uint64_t i = 0; i < top.count; i++) {
        char key[KEY_MAX];
        entry_key(r, groups, top.entries[i], key);
        sc_buf_append_str(&out, key);
        for (uint32_t c = 0; c < r->column_count; c++) {
            if (r->columns[c].result.source == SC_RESULT_KEY)
                continue;
            struct sc_value v = sc_groups_value(groups, top.entries[i], &r->columns[c].result);
            if (v.type == SC_VALUE_FLOAT)
                sc_buf_printf(&out, " %d:%a", v.null, v.null ? 0 : v.f);
            else
                sc_buf_printf(&out, " %d:%llu", v.null, v.null ? 0 : (unsigned long long)v.u);
        }
        sc_buf_append_u8(&out, '\n');
    }
    free(top.entries);
    sc_buf_append_u8(&out, '\0');
    assert_true(sc_buf_ok(&out));
    return (char *)out.data;
}

/* Some groups with only some of the sums, as the first of two scans leaves them: the second fills in the others. */
struct partly {
    struct sc_aggregate aggregate;
    struct sc_groups *groups;
    struct sc_result winners; /* of them, the same as of `full` */
};

static KIT_UNUSED void make_partly(struct sc_source *source, const struct sc_filter *filter, bool scaled,
                                   const struct sc_request *r, struct sc_groups *full,
                                   const struct sc_result *winners, uint64_t which, struct partly *out)
{
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = 2, .scale_sampling = scaled};
    struct sc_summary unused;
    struct sc_scan_stats stats = {0};
    struct sc_error err = {0};
    out->aggregate = r->aggregate;
    out->aggregate.accumulator_count = 0;
    for (uint32_t i = 0; i < r->aggregate.accumulator_count; i++) {
        const struct sc_accumulator *a = &r->aggregate.accumulators[i];
        bool pair = a->how == SC_ACCUMULATE_HARMONIC; /* goes with the one before it */
        if ((which >> (pair ? i - 1 : i) & 1) != 0)
            (void)sc_aggregate_add_like(&out->aggregate, a);
    }
    sc_aggregate_prepare(&out->aggregate);
    out->groups = NULL;
    assert_int_equal(
        sc_query_aggregate(source, &options, &out->aggregate, 1, 0, &out->groups, &unused, &stats, &err),
        SC_OK);
    assert_int_equal(sc_groups_count(out->groups), sc_groups_count(full));
    out->winners.entries = malloc((winners->count + 1) * sizeof(*out->winners.entries));
    assert_non_null(out->winners.entries);
    out->winners.count = winners->count;
    for (uint64_t i = 0; i < winners->count; i++) {
        out->winners.entries[i] = sc_groups_lookup(out->groups, full, winners->entries[i]);
        assert_non_null(out->winners.entries[i]);
    }
}

static KIT_UNUSED void free_partly(struct partly *p)
{
    free(p->winners.entries);
    sc_groups_free(p->groups);
}

/* Ties everywhere: flows is nearly always 1 per group of (id-like keys), so that only the keys decide. */

#endif
