// SPDX-License-Identifier: BSD-3-Clause
/* Aggregation: random keys and output fields over random stores are what a naive grouping of the same records
 * gives; partial results merge to the same in any split and order, in memory and through bytes. */
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
    {"exporterip/48", "exporterip", 255, 48, 0},
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

static void make_key(const struct key_word *word, struct key *out)
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
    char how; /* s sum, m min, M max, a average, o or, d duration, b bps, p pps, q bpp */
};

struct reference {
    struct ref_group *groups;
    uint32_t count, capacity;
    uint32_t *table;
    uint32_t table_size;
    struct key keys[12];
    uint32_t key_count;
    struct ref_value values[MAX_VALUES];
    uint32_t value_count;
    struct sc_field first, last, bytes, packets;
    bool scaled;
};

static char how_of(const char *text, const struct sc_field *f)
{
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

static void add_value(struct reference *ref, const char *text)
{
    char name[64];
    const char *open = strchr(text, '(');
    snprintf(name, sizeof(name), "%s", open == NULL ? text : open + 1);
    name[strcspn(name, ")")] = '\0';
    struct ref_value *v = &ref->values[ref->value_count++];
    v->text = text;
    v->field = query_field(name);
    v->how = how_of(text, &v->field);
}

static void put_key(char *out, size_t *at, const struct sc_value *v)
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

static struct sc_value key_value(const struct query_table *t, const struct key *k, unsigned side, uint64_t id)
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

static struct ref_group *find_group(struct reference *ref, const char *key)
{
    uint64_t hash = 1469598103934665603u;
    for (const char *p = key; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211u;
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

static void add(struct sums *s, char how, const struct sc_value *v)
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

static void add_field(const struct query_table *t, struct sums *s, char how, const struct sc_field *f,
                      uint64_t id)
{
    struct sc_value v = query_field_value(t, f, id);
    add(s, how, &v);
}

static void add_record(const struct query_table *t, struct reference *ref, const char *key, uint64_t id)
{
    struct ref_group *g = find_group(ref, key);
    add_field(t, &g->first, 'm', &ref->first, id);
    add_field(t, &g->last, 'M', &ref->last, id);
    add_field(t, &g->bytes, 's', &ref->bytes, id);
    add_field(t, &g->packets, 's', &ref->packets, id);
    for (uint32_t i = 0; i < ref->value_count; i++) {
        if (strchr("dbpq", ref->values[i].how) != NULL)
            continue;
        struct sc_value v = query_field_value(t, &ref->values[i].field, id);
        add(&g->values[i], ref->values[i].how == 'a' ? 's' : ref->values[i].how, &v);
        v.u = 1;
        add(&g->counts[i], 's', &v);
    }
}

/* Each of the record's keys: one, or two where a pair key has two values. */
static void group_record(const struct query_table *t, struct reference *ref, uint64_t id)
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

static void scale_reference(struct reference *ref)
{
    sc_field_scale(&ref->bytes);
    sc_field_scale(&ref->packets);
    for (uint32_t i = 0; i < ref->value_count; i++)
        sc_field_scale(&ref->values[i].field);
    for (uint32_t k = 0; k < ref->key_count; k++)
        sc_field_scale(&ref->keys[k].fields[0]);
}

static void group_all(const struct query_table *t, struct reference *ref, const struct sc_filter *filter)
{
    ref->capacity = (uint32_t)t->records * 2 + 1;
    ref->table_size = 1;
    while (ref->table_size < ref->capacity * 2)
        ref->table_size *= 2;
    ref->groups = malloc(ref->capacity * sizeof(*ref->groups));
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
}

static void free_reference(struct reference *ref)
{
    free(ref->groups);
    free(ref->table);
}

static struct sc_value wanted_value(const struct reference *ref, const struct ref_group *g, uint32_t i)
{
    const struct sums *s = &g->values[i];
    struct sc_value v = {.null = !s->seen, .u = s->u};
    uint64_t duration = g->last.u > g->first.u ? g->last.u - g->first.u : 0;
    bool no_time = !g->first.seen || !g->last.seen;
    switch (ref->values[i].how) {
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

static void entry_key(const struct sc_request *r, const struct sc_groups *groups, const uint8_t *entry,
                      char *out)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t k = 0; k < r->aggregate.key_count; k++) {
        struct sc_result_column column = {.source = SC_RESULT_KEY, .a = k};
        struct sc_value v = sc_groups_value(groups, entry, &column);
        put_key(out, &at, &v);
    }
}

static void check_entry(const struct reference *ref, const struct sc_request *r,
                        const struct sc_groups *groups, const uint8_t *entry, const struct ref_group *g)
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

static void check_groups(struct reference *ref, const struct sc_request *r, const struct sc_groups *groups)
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

/* ---- random requests ---- */

static const char *const value_words[] = {
    "flows",    "bytes", "packets",       "flags",      "duration",   "bps",          "pps",
    "bpp",      "first", "last",          "outbytes",   "min(bytes)", "max(packets)", "avg(bytes)",
    "sum(tos)", "gap",   "min(duration)", "max(first)", "avg(flows)", "sum(bytes)",   "max(dstport)",
};

static uint32_t most_keys = 4, tried_values = 6;

static bool random_request(struct query_table *t, struct reference *ref, struct sc_request *r)
{
    char keys[512] = "", fields[512] = "", orders[64] = "";
    bool pair = false;
    size_t words = sizeof(key_words) / sizeof(key_words[0]);
    ref->key_count = (uint32_t)(kit_random(&t->seed) % most_keys);
    ref->value_count = 0;
    ref->key_count += ref->key_count == 0 && kit_random(&t->seed) % 2 == 0;
    for (uint32_t k = 0; k < ref->key_count; k++) {
        struct key *key = &ref->keys[k];
        do
            make_key(&key_words[kit_random(&t->seed) % words], key);
        while (key->pair && pair);
        pair = pair || key->pair;
        snprintf(keys + strlen(keys), sizeof(keys) - strlen(keys), "%s%s", k == 0 ? "" : ",",
                 key->word->text);
    }
    for (unsigned i = 0; i < tried_values; i++) {
        const char *word = value_words[kit_random(&t->seed) % (sizeof(value_words) / sizeof(value_words[0]))];
        bool known = false;
        for (uint32_t k = 0; k < ref->value_count; k++)
            known = known || strcmp(ref->values[k].text, word) == 0;
        for (uint32_t k = 0; k < ref->key_count; k++) /* a key is not summed too */
            known = known || strcmp(ref->keys[k].word->name, word) == 0;
        if (known)
            continue;
        snprintf(fields + strlen(fields), sizeof(fields) - strlen(fields), "%s%s",
                 ref->value_count == 0 ? "" : ",", word);
        add_value(ref, word);
    }
    if (ref->value_count != 0 && kit_random(&t->seed) % 4 != 0) {
        static const char *const directions[] = {"", "#asc", "#desc"};
        snprintf(orders, sizeof(orders), "%s%s", ref->values[kit_random(&t->seed) % ref->value_count].text,
                 directions[kit_random(&t->seed) % 3]);
    }
    if (ref->key_count == 0) /* one group of all: the command line has no way to ask for it */
        return false;
    struct sc_error err = {0};
    enum sc_status asked =
        sc_request_aggregate(NULL, keys, orders[0] == '\0' ? NULL : orders, fields, r, &err);
    if (asked != SC_OK && most_keys > 4) /* too many sums */
        return false;
    if (asked != SC_OK)
        fail_msg("%s (%s) %s: %s", keys, fields, orders, err.message);
    return true;
}

static struct sc_groups *run(struct sc_source *source, const struct sc_filter *filter, const uint8_t *wanted,
                             bool scaled, unsigned threads, struct sc_request *r, struct sc_summary *summary)
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

static void check_summary(const struct query_table *t, const struct sc_filter *filter, bool scaled,
                          const struct sc_summary *got)
{
    static const char *const names[] = {"flows", "packets", "bytes"};
    uint64_t want[4] = {0};
    for (uint64_t id = 0; id < t->records; id++) {
        if (!query_matches(t, filter, id))
            continue;
        want[3]++;
        for (unsigned i = 0; i < 3; i++) {
            struct sc_field f = query_field(names[i]);
            if (scaled)
                sc_field_scale(&f);
            struct sc_value v = query_field_value(t, &f, id);
            want[i] += v.null ? 0 : v.u;
        }
    }
    assert_int_equal(got->records, want[3]);
    assert_int_equal(got->flows, want[0]);
    assert_int_equal(got->packets, want[1]);
    assert_int_equal(got->bytes, want[2]);
}

/* The same through parts: units split at random, partial results merged in memory or through bytes. */
static void check_parts(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                        struct reference *ref, struct sc_request *r)
{
    unsigned parts = 2 + (unsigned)(kit_random(&t->seed) % 3);
    uint8_t *part_of = malloc(source->unit_count + 1), *wanted = malloc(source->unit_count + 1);
    struct sc_groups *all = NULL;
    struct sc_error err = {0};
    assert_non_null(part_of);
    assert_non_null(wanted);
    for (uint32_t u = 0; u < source->unit_count; u++)
        part_of[u] = (uint8_t)(kit_random(&t->seed) % parts);
    for (unsigned part = 0; part < parts; part++) {
        struct sc_summary summary;
        for (uint32_t u = 0; u < source->unit_count; u++)
            wanted[u] = part_of[u] == part;
        struct sc_groups *one = run(source, filter, wanted, ref->scaled, 1, r, &summary);
        if (all == NULL) {
            all = one;
            continue;
        }
        if (kit_random(&t->seed) % 2 == 0) {
            struct sc_groups *into = part % 2 == 0 ? all : one, *from = into == all ? one : all;
            struct sc_groups *both[] = {into, from};
            assert_int_equal(sc_groups_join(both, 2, NULL, 3, &err), SC_OK);
            assert_int_equal(sc_groups_count(from), 0);
            sc_groups_free(from);
            all = into;
        } else {
            struct sc_buf bytes = {0};
            assert_int_equal(sc_groups_write(one, &bytes), SC_OK);
            assert_int_equal(sc_groups_read(all, bytes.data, bytes.len, &err), SC_OK);
            sc_buf_free(&bytes);
            sc_groups_free(one);
        }
    }
    check_groups(ref, r, all);
    sc_groups_free(all);
    free(part_of);
    free(wanted);
}

/* ---- order ---- */

static bool stands_before(const struct sc_request *r, const struct sc_groups *groups, const uint8_t *x,
                          const uint8_t *y)
{
    for (uint32_t i = 0; i < r->order_count + r->aggregate.key_count; i++) {
        struct sc_result_column key = {.source = SC_RESULT_KEY, .a = i - r->order_count};
        bool by_order = i < r->order_count;
        const struct sc_result_column *c = by_order ? &r->orders[i].column : &key;
        struct sc_value a = sc_groups_value(groups, x, c), b = sc_groups_value(groups, y, c);
        if (a.null != b.null)
            return b.null;
        if (a.null)
            continue;
        bool less, more;
        if (a.type == SC_VALUE_ADDRESS) {
            less = memcmp(a.addr.b, b.addr.b, 16) < 0;
            more = memcmp(a.addr.b, b.addr.b, 16) > 0;
        } else if (a.type == SC_VALUE_STRING || a.type == SC_VALUE_BYTES) {
            uint32_t n = a.length < b.length ? a.length : b.length;
            int order = n == 0 ? 0 : memcmp(a.bytes, b.bytes, n);
            less = order < 0 || (order == 0 && a.length < b.length);
            more = order > 0 || (order == 0 && a.length > b.length);
        } else if (a.type == SC_VALUE_FLOAT) {
            less = a.f < b.f;
            more = a.f > b.f;
        } else if (a.type == SC_VALUE_INT) {
            less = (int64_t)a.u < (int64_t)b.u;
            more = (int64_t)a.u > (int64_t)b.u;
        } else {
            less = a.u < b.u;
            more = a.u > b.u;
        }
        if (less || more)
            return by_order && r->orders[i].descending ? more : less;
    }
    return false;
}

static void check_order(struct query_table *t, const struct sc_request *r, const struct sc_groups *groups)
{
    struct sc_result all, some;
    struct sc_error err = {0};
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 0, &all, &err), SC_OK);
    for (uint64_t i = 1; i < all.count; i++)
        assert_true(stands_before(r, groups, all.entries[i - 1], all.entries[i]));
    for (unsigned i = 0; i < 3; i++) {
        uint64_t limit = 1 + kit_random(&t->seed) % (i == 0 ? 3 : all.count + 2);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &some, &err), SC_OK);
        assert_int_equal(some.count, limit < all.count ? limit : all.count);
        for (uint64_t k = 0; k < some.count; k++)
            assert_ptr_equal(some.entries[k], all.entries[k]);
        free(some.entries);
    }
    free(all.entries);
}

/* ---- closed groups, and groups apart, against the same reference ---- */

/* The winners alone, filled by a scan of their own. */
static void check_closed(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                         struct reference *ref, struct sc_request *r, const struct sc_groups *groups)
{
    struct sc_result winners;
    struct sc_error err = {0};
    uint64_t limit = 1 + kit_random(&t->seed) % 6;
    assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, limit, &winners, &err), SC_OK);
    struct sc_seed seed = {.from = groups, .winners = &winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.filter = filter,
                                      .time = Q_ALWAYS,
                                      .threads = 1 + (unsigned)(kit_random(&t->seed) % 3),
                                      .no_summary = true,
                                      .scale_sampling = ref->scaled};
    struct sc_groups *filled = NULL;
    struct sc_summary unused;
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, source, &options, &filled, &unused, &stats, &err), SC_OK);
    assert_int_equal(sc_groups_count(filled), winners.count);
    struct sc_result all;
    assert_int_equal(sc_groups_top(filled, r->orders, r->order_count, 0, &all, &err), SC_OK);
    for (uint64_t i = 0; i < all.count; i++) {
        char key[KEY_MAX];
        uint32_t before = ref->count;
        entry_key(r, filled, all.entries[i], key);
        const struct ref_group *g = find_group(ref, key);
        if (ref->count != before)
            fail_msg("%s: closed: there is no group %s", r->name, key);
        check_entry(ref, r, filled, all.entries[i], g);
    }
    free(all.entries);
    sc_groups_free(filled);
    free(winners.entries);
}

#define SPILLERS 3u

struct spiller {
    struct sc_groups *partials[SPILLERS];
    uint64_t seed;
};

static enum sc_status spill_unit(void *arg, unsigned thread, uint32_t unit, struct sc_row_group *group,
                                 struct sc_selection *selection, struct sc_error *err)
{
    struct spiller *s = arg;
    struct sc_groups *g = s->partials[unit % SPILLERS];
    (void)thread;
    if (kit_random(&s->seed) % 3 == 0)
        g->spill.apart = 1 + kit_random(&s->seed) % 3000; /* as after rows that met no group */
    enum sc_status status = sc_groups_add_rows(g, group, selection, err);
    if (status == SC_OK && kit_random(&s->seed) % 2 == 0)
        status = sc_groups_consider_spill(g, 1);
    return status;
}

static char *dump(const struct sc_request *r, const struct sc_groups *groups, uint64_t limit);

static void check_apart(struct query_table *t, struct sc_source *source, const struct sc_filter *filter,
                        struct reference *ref, struct sc_request *r, const struct sc_groups *groups)
{
    struct spiller s = {.seed = kit_random(&t->seed)};
    struct sc_error err = {0};
    struct sc_scan_options options = {
        .filter = filter, .time = Q_ALWAYS, .threads = 1, .scale_sampling = ref->scaled};
    struct sc_scan_consumer consumer = {.unit = spill_unit, .arg = &s};
    struct sc_scan_stats stats = {0};
    uint64_t limit = 1 + kit_random(&t->seed) % 5;
    struct sc_keep keep = {r->orders, r->order_count, limit};
    bool keeps = kit_random(&t->seed) % 2 == 0;
    for (unsigned i = 0; i < SPILLERS; i++) {
        s.partials[i] = sc_groups_create(&r->aggregate);
        assert_non_null(s.partials[i]);
        sc_groups_set_spill_budget(s.partials[i], 1 + kit_random(&t->seed) % 100000);
        if (kit_random(&t->seed) % 3 != 0) {
            /* a small share, so that much goes to the file, and a limit that nothing passes */
            sc_groups_set_memory_limit(s.partials[i], UINT64_C(64) << (10 + kit_random(&t->seed) % 5), 1);
            s.partials[i]->spill.limit = UINT64_C(1) << 40;
        }
    }
    assert_int_equal(sc_scan_run(source, &options, &consumer, &stats, &err), SC_OK);
    assert_int_equal(sc_groups_join(s.partials, SPILLERS, keeps ? &keep : NULL,
                                    1 + (unsigned)(kit_random(&t->seed) % 4), &err),
                     SC_OK);
    if (!keeps) {
        check_groups(ref, r, s.partials[0]);
    } else {
        char *want = dump(r, groups, limit), *got = dump(r, s.partials[0], limit);
        assert_string_equal(got, want);
        free(want);
        free(got);
    }
    for (unsigned i = 0; i < SPILLERS; i++)
        sc_groups_free(s.partials[i]);
}

static void random_aggregations(uint64_t seed, uint32_t batches, uint32_t most, unsigned requests)
{
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    assert_non_null(r);
    query_table_make(&t, seed, batches, most);
    query_open(&source, t.store);
    for (unsigned i = 0; i < requests; i++) {
        struct reference ref = {0};
        if (!random_request(&t, &ref, r))
            continue;
        ref.scaled = i % 4 == 1;
        if (ref.scaled)
            sc_request_scale(r);
        char *text = i % 3 == 0 ? NULL : query_random_filter(&t, 1);
        struct sc_filter *filter = text == NULL ? NULL : query_parse(text);
        struct sc_summary summary;
        group_all(&t, &ref, filter);
        struct sc_groups *groups = run(&source, filter, NULL, ref.scaled, 1 + i % 4, r, &summary);
        check_groups(&ref, r, groups);
        check_order(&t, r, groups);
        check_summary(&t, filter, ref.scaled, &summary);
        if (ref.count != 0)
            check_closed(&t, &source, filter, &ref, r, groups);
        check_apart(&t, &source, filter, &ref, r, groups);
        sc_groups_free(groups);
        check_parts(&t, &source, filter, &ref, r);
        free_reference(&ref);
        sc_filter_free(filter);
        free(text);
    }
    sc_source_close(&source);
    query_table_free(&t);
    free(r);
}

static void aggregations_over_small_groups(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        random_aggregations(seed, 24, 120, 80);
}

/* A head of four bytes, and more than eight sums. */
static void aggregations_of_many_keys(void **state)
{
    (void)state;
    most_keys = 11;
    tried_values = 14;
    for (uint64_t seed = 101; seed <= 104; seed++)
        random_aggregations(seed, 16, 200, 40);
    random_aggregations(105, 6, 5000, 12);
    most_keys = 4;
    tried_values = 6;
}

static void aggregations_over_large_groups(void **state)
{
    (void)state;
    random_aggregations(40, 8, 4000, 16);
}

/* ---- one group of all rows ---- */

static void no_keys(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request r = {.name = "none"};
    struct reference ref = {0};
    struct sc_error err = {0};
    struct sc_summary summary;
    struct sc_field bytes = query_field("bytes");
    query_table_make(&t, 9, 8, 100);
    query_open(&source, t.store);
    assert_int_equal(sc_aggregate_add(&r.aggregate, &bytes, SC_ACCUMULATE_SUM), 0);
    sc_aggregate_prepare(&r.aggregate);
    add_value(&ref, "sum(bytes)");
    snprintf(r.columns[0].label, sizeof(r.columns[0].label), "sum(bytes)");
    r.columns[0].result = (struct sc_result_column){.source = SC_RESULT_ACCUMULATOR, .type = SC_VALUE_UINT};
    r.column_count = 1;
    group_all(&t, &ref, NULL);
    assert_int_equal(ref.count, 1);
    struct sc_groups *groups = run(&source, NULL, NULL, false, 2, &r, &summary);
    check_groups(&ref, &r, groups);
    sc_groups_free(groups);
    struct sc_filter *none = query_parse("not any");
    groups = run(&source, none, NULL, false, 2, &r, &summary);
    assert_int_equal(sc_groups_count(groups), 0);
    assert_int_equal(summary.records, 0);
    sc_groups_free(groups);
    sc_filter_free(none);
    free_reference(&ref);
    sc_source_close(&source);
    query_table_free(&t);
    (void)err;
}

/* ---- keys wider than their element says ---- */

static void wide_keys(void **state)
{
    (void)state;
    struct query_table t = {.seed = 3, .store = kit_folder()};
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(t.store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 4; b++) {
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        static const enum query_column columns[] = {Q_ID, Q_RECEIVED, Q_PROTO, Q_DESTINATION_PORT, Q_BYTES};
        batch->window_ms = KIT_WINDOW;
        for (unsigned i = 0; i < 5; i++) {
            struct sc_column *c = sc_batch_begin(batch, query_rules[columns[i]].key, NULL, 8, 500);
            for (uint32_t row = 0; row < 500; row++) {
                uint64_t v = i == 0 ? t.records + row : i == 1 ? KIT_WINDOW + row : row % 7;
                /* Beyond the width of its element, and equal to others in the lower bits. */
                sc_column_put_u64(
                    c, i >= 2 && i <= 3 && b >= 2 && row % 5 == 0 ? v | UINT64_C(1) << (16 + 8 * b) : v);
            }
        }
        sc_batch_commit(batch, 500);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        query_keep(&t, batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, t.store);
    struct sc_request *r = malloc(sizeof(*r));
    assert_non_null(r);
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct reference ref = {.key_count = 2};
        struct sc_summary summary;
        make_key(&key_words[16], &ref.keys[0]);
        assert_string_equal(ref.keys[0].word->text, "proto");
        static const struct key_word port = {"dstport", "dstport", 0, 0, 0};
        make_key(&port, &ref.keys[1]);
        add_value(&ref, "bytes");
        add_value(&ref, "flows");
        group_all(&t, &ref, NULL);
        assert_int_equal(sc_request_aggregate(NULL, "proto,dstport", "bytes", "bytes,flows", r, &err), SC_OK);
        assert_int_equal(r->aggregate.key_bytes[SC_KEY_NARROW], 4); /* a head, 1 and 2 bytes */
        struct sc_groups *groups = run(&source, NULL, NULL, false, threads, r, &summary);
        check_groups(&ref, r, groups);
        check_order(&t, r, groups);
        assert_int_equal(summary.records, 2000); /* of one scan, not of both */
        sc_groups_free(groups);
        free_reference(&ref);
    }
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- several in one scan, threads, top ---- */

static char *dump(const struct sc_request *r, const struct sc_groups *groups, uint64_t limit)
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

/* Ties everywhere: flows is nearly always 1 per group of (id-like keys), so that only the keys decide. */
static void same_for_any_number_of_threads(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = calloc(2, sizeof(*r));
    struct sc_error err = {0};
    char *first[2] = {NULL, NULL};
    query_table_make(&t, 77, 30, 200);
    query_open(&source, t.store);
    for (unsigned threads = 1; threads <= 8; threads++) {
        assert_int_equal(
            sc_request_aggregate(NULL, "srcip,srcport,dstport", "flows#desc", "flows,bytes,bps", &r[0], &err),
            SC_OK);
        assert_int_equal(sc_request_aggregate(NULL, "appname,ip/24/48", "bytes#asc", NULL, &r[1], &err),
                         SC_OK);
        struct sc_aggregate aggregates[2] = {r[0].aggregate, r[1].aggregate};
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
        struct sc_groups *groups[2];
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        assert_int_equal(
            sc_query_aggregate(&source, &options, aggregates, 2, 0, groups, &summary, &stats, &err), SC_OK);
        for (unsigned i = 0; i < 2; i++) {
            char *text = dump(&r[i], groups[i], 25);
            if (threads == 1)
                first[i] = text;
            else
                assert_string_equal(text, first[i]);
            if (threads != 1)
                free(text);
            sc_groups_free(groups[i]);
        }
    }
    free(first[0]);
    free(first[1]);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* So many groups that sc_query_top sums what the order needs; under this limit they go to a file. */
static void top_of_many_groups(void **state)
{
    (void)state;
    struct query_table t = {.seed = 8, .store = kit_folder()};
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(t.store, NULL, &err);
    struct sc_request *r = calloc(2, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 8; b++) {
        struct sc_batch *batch = kit_batch(b * 30000, 30000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, t.store);
    for (unsigned round = 0; round < 2; round++) {
        const char *order = round == 0 ? "bytes#desc" : "flows#desc,packets#asc";
        char *want, *got;
        assert_int_equal(
            sc_request_aggregate(NULL, "flowId,srcip,dstip,srcport", order,
                                 round == 0 ? NULL : "max(packets),bpp,min(bytes),avg(bytes),first,last",
                                 &r[0], &err),
            SC_OK);
        assert_int_equal(sc_request_aggregate(NULL, "srcip/24/64", "bytes", NULL, &r[1], &err), SC_OK);
        struct sc_aggregate aggregates[2] = {r[0].aggregate, r[1].aggregate};
        struct sc_top tops[2];
        for (unsigned i = 0; i < 2; i++)
            tops[i] = (struct sc_top){&aggregates[i], r[i].orders, r[i].order_count, 20};
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
        struct sc_groups *groups[2];
        struct sc_summary summary;
        struct sc_scan_stats stats = {0};
        assert_int_equal(sc_query_top(&source, &options, tops, 2, 16000000, groups, &summary, &stats, &err),
                         SC_OK);
        assert_int_equal(summary.records, 240000);
        assert_true(sc_groups_count(groups[0]) == 20); /* the two scans were made */
        for (unsigned i = 0; i < 2; i++) {
            struct sc_summary unused;
            struct sc_groups *full = run(&source, NULL, NULL, false, 1, &r[i], &unused);
            want = dump(&r[i], full, 20);
            got = dump(&r[i], groups[i], 20);
            assert_string_equal(got, want);
            free(want);
            free(got);
            sc_groups_free(full);
            sc_groups_free(groups[i]);
        }
    }
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- a pair of strings, closed: most rows have strings that no group has ---- */

static void closed_groups_of_pairs_of_strings(void **state)
{
    (void)state;
    static const struct sc_column_key keys[2] = {
        {SC_PEN_COLLECTOR, SC_IE_INGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES},
        {SC_PEN_COLLECTOR, SC_IE_EGRESS_INTERFACE_NAME, 0, SC_COLUMN_BYTES}};
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
    batch->window_ms = KIT_WINDOW;
    struct sc_column *c = sc_batch_begin(batch, query_rules[Q_BYTES].key, NULL, 8, 500);
    for (uint32_t row = 0; row < 500; row++)
        sc_column_put_u64(c, 1 + row % 7);
    for (unsigned side = 0; side < 2; side++) {
        c = sc_batch_begin(batch, keys[side], NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            char name[16];
            int n = snprintf(name, sizeof(name), "eth%u", (unsigned)(kit_mix(row, side) % 30));
            if (row % 11 == side)
                assert_int_equal(sc_column_put_null(c), SC_OK);
            else
                assert_int_equal(sc_column_put_bytes(c, name, (uint32_t)n), SC_OK);
        }
    }
    sc_batch_commit(batch, 500);
    assert_int_equal(sc_batch_finish(batch), SC_OK);
    query_append(w, batch);
    sc_batch_free(batch);
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(NULL, "ifname", "bytes", "bytes,flows", r, &err), SC_OK);
    struct sc_summary unused;
    struct sc_groups *full = run(&source, NULL, NULL, false, 1, r, &unused), *filled = NULL;
    struct sc_result winners;
    assert_int_equal(sc_groups_top(full, r->orders, r->order_count, 5, &winners, &err), SC_OK);
    struct sc_seed seed = {.from = full, .winners = &winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1, .no_summary = true};
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, &source, &options, &filled, &unused, &stats, &err), SC_OK);
    char *want = dump(r, full, 5), *got = dump(r, filled, 5);
    assert_string_equal(got, want);
    free(want);
    free(got);
    free(winners.entries);
    sc_groups_free(full);
    sc_groups_free(filled);
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

/* ---- addresses that an exporter has defined: bytes in the store, and in no dictionary of addresses ---- */

static void closed_groups_of_learned_addresses(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_ie_learned learned = {0};
    struct sc_ie_definition d = {.pen = 64998, .id = 5, .type = SC_TYPE_IPV4_ADDRESS};
    sc_ie_definition_name(&d, "tunnelEnd", 9);
    assert_int_equal(sc_ie_learned_add(&learned, &d), SC_IE_NEW);
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    assert_non_null(w);
    for (unsigned b = 0; b < 3; b++) {
        static const struct sc_column_key key = {64998, 5, 0, SC_COLUMN_BYTES};
        struct sc_batch *batch = sc_batch_create(SC_RECORDS_FLOWS);
        batch->window_ms = KIT_WINDOW;
        struct sc_column *c = sc_batch_begin(batch, query_rules[Q_BYTES].key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++)
            sc_column_put_u64(c, 1 + row % 7);
        c = sc_batch_begin(batch, query_rules[Q_SOURCE].key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            struct sc_addr address = sc_addr_v4(0xc0a80000u + row % 3);
            sc_column_put_addr(c, &address);
        }
        c = sc_batch_begin(batch, key, NULL, 8, 500);
        for (uint32_t row = 0; row < 500; row++) {
            uint8_t bytes[4] = {10, 0, 0, (uint8_t)(row % 50)};
            assert_int_equal(sc_column_put_bytes(c, bytes, 4), SC_OK);
        }
        sc_batch_commit(batch, 500);
        assert_int_equal(sc_batch_finish(batch), SC_OK);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_int_equal(sc_request_aggregate(&learned, "tunnelEnd", "bytes", "bytes,flows", r, &err), SC_OK);
    assert_int_equal(r->aggregate.keys[0].field.type, SC_VALUE_ADDRESS);
    struct sc_summary unused;
    struct sc_groups *full = run(&source, NULL, NULL, false, 1, r, &unused), *filled = NULL;
    assert_int_equal(sc_groups_count(full), 50);
    struct sc_result winners;
    assert_int_equal(sc_groups_top(full, r->orders, r->order_count, 5, &winners, &err), SC_OK);
    struct sc_seed seed = {.from = full, .winners = &winners};
    struct sc_aggregate *aggregate = &r->aggregate;
    struct sc_aggregate_run request = {.aggregates = &aggregate, .count = 1, .seeds = &seed};
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 1, .no_summary = true};
    struct sc_scan_stats stats = {0};
    assert_int_equal(sc_aggregate_run(&request, &source, &options, &filled, &unused, &stats, &err), SC_OK);
    char *want = dump(r, full, 5), *got = dump(r, filled, 5);
    assert_string_equal(got, want);
    free(want);
    free(got);
    free(winners.entries);
    sc_groups_free(full);
    sc_groups_free(filled);
    free(r);
    sc_ie_learned_free(&learned);
    sc_source_close(&source);
    kit_remove(store);
}

/* ---- stopped just behind the first of two scans, when its groups are so many that sorting them may be given up ---- */

static void stop_at_the_end(void *arg, const struct sc_scan_progress *so_far)
{
    if (so_far->done == so_far->total)
        atomic_store((atomic_int *)arg, 1);
}

static void stopped_before_the_winners_are_sorted(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 48; b++) {
        struct sc_batch *batch = kit_batch(b * 60000, 60000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(
        sc_request_aggregate(NULL,
                             "flowId/3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/"
                             "3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/3,flowId/3",
                             "bytes", "flows,bytes,packets,first,last,flags", r, &err),
        SC_OK);
    atomic_int cancel = 0;
    struct sc_top top = {&r->aggregate, r->orders, r->order_count, 20000};
    struct sc_scan_options options = {.time = Q_ALWAYS,
                                      .threads = 1,
                                      .cancel = &cancel,
                                      .progress = stop_at_the_end,
                                      .progress_arg = &cancel};
    struct sc_groups *groups = NULL;
    struct sc_summary summary = {0};
    struct sc_scan_stats stats = {0};
    struct sc_result all;
    enum sc_status status = sc_query_top(&source, &options, &top, 1, 0, &groups, &summary, &stats, &err);
    assert_int_equal(status, SC_CANCELLED);
    if (groups != NULL) {
        sc_groups_set_cancel(groups, NULL);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 20, &all, &err), SC_OK);
        free(all.entries);
    }
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

struct stopping {
    atomic_int cancel;
    unsigned calls, stop_at;
};

/* Row groups of 20,000 rows, all read by this thread. */
static void stop_later(void *arg, const struct sc_scan_progress *so_far)
{
    struct stopping *s = arg;
    assert_int_equal(so_far->total, 12);
    assert_true(so_far->done >= 1 && so_far->done <= so_far->total);
    assert_int_equal(so_far->rows, 20000 * so_far->done);
    assert_true(so_far->bytes >= so_far->done);
    if (++s->calls == s->stop_at)
        atomic_store(&s->cancel, 1);
}

/* Stopped in the first of the two scans: the winners so far, with what was summed for the order. */
static void a_stopped_top(void **state)
{
    (void)state;
    char *store = kit_folder();
    struct sc_error err = {0};
    struct sc_source source;
    struct sc_store_writer *w = sc_store_writer_open(store, NULL, &err);
    struct sc_request *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    assert_non_null(w);
    for (unsigned b = 0; b < 12; b++) {
        struct sc_batch *batch = kit_batch(b * 20000, 20000, KIT_WINDOW);
        query_append(w, batch);
        sc_batch_free(batch);
    }
    assert_int_equal(sc_store_writer_close(w, &err), SC_OK);
    query_open(&source, store);
    assert_int_equal(source.unit_count, 12);
    assert_int_equal(
        sc_request_aggregate(NULL, "flowId", "bytes", "flows,bytes,packets,first,last,flags", r, &err),
        SC_OK);
    unsigned empty = 0;
    /* Four units of the scan that was given up, then 12 of the next. */
    for (unsigned stop_at = 1; stop_at <= 18; stop_at++) {
        struct stopping stopping = {.stop_at = stop_at};
        struct sc_top top = {&r->aggregate, r->orders, r->order_count, 20};
        struct sc_scan_options options = {.time = Q_ALWAYS,
                                          .threads = 1,
                                          .cancel = &stopping.cancel,
                                          .progress = stop_later,
                                          .progress_arg = &stopping};
        struct sc_groups *groups = NULL;
        struct sc_summary summary = {0};
        struct sc_scan_stats stats = {0};
        struct sc_result all;
        enum sc_status status = sc_query_top(&source, &options, &top, 1, 0, &groups, &summary, &stats, &err);
        if (status == SC_OK) /* nothing was left to stop */
            assert_true(stopping.calls < stop_at || stopping.calls > 12);
        else
            assert_int_equal(status, SC_CANCELLED);
        assert_non_null(groups);
        assert_int_equal(sc_groups_top(groups, r->orders, r->order_count, 20, &all, &err), SC_OK);
        assert_true(all.count == 20 || all.count == 0);
        empty += all.count == 0;
        for (uint64_t i = 0; i < all.count; i++) {
            struct sc_value id = sc_groups_value(groups, all.entries[i], &r->columns[0].result);
            struct sc_value bytes = sc_groups_value(groups, all.entries[i], &r->columns[2].result);
            assert_false(bytes.null);
            assert_int_equal(bytes.u, kit_value(KIT_BYTES, id.u).number);
        }
        free(all.entries);
        sc_groups_free(groups);
    }
    assert_true(empty <= 1); /* just between the two */
    free(r);
    sc_source_close(&source);
    kit_remove(store);
}

static void memory_limit(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_groups *groups = NULL;
    struct sc_summary summary;
    struct sc_scan_stats stats = {0};
    query_table_make(&t, 21, 20, 400);
    query_open(&source, t.store);
    assert_int_equal(sc_request_aggregate(NULL, "flowId", "flows", NULL, r, &err), SC_OK);
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct sc_scan_options options = {.time = Q_ALWAYS, .threads = threads};
        assert_int_equal(
            sc_query_aggregate(&source, &options, &r->aggregate, 1, 20000, &groups, &summary, &stats, &err),
            SC_NOMEM);
        assert_non_null(strstr(err.message, "--memory-limit"));
        assert_null(groups);
    }
    struct sc_scan_options options = {.time = Q_ALWAYS, .threads = 2};
    assert_int_equal(
        sc_query_aggregate(&source, &options, &r->aggregate, 1, 100000000, &groups, &summary, &stats, &err),
        SC_OK);
    assert_int_equal(sc_groups_count(groups), t.records);
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

/* ---- damaged partial results ---- */

static void bytes_that_are_no_groups(void **state)
{
    (void)state;
    struct query_table t;
    struct sc_source source;
    struct sc_request *r = malloc(sizeof(*r));
    struct sc_error err = {0};
    struct sc_summary summary;
    struct sc_buf bytes = {0};
    query_table_make(&t, 13, 4, 60);
    query_open(&source, t.store);
    assert_int_equal(sc_request_aggregate(NULL, "srcip,appname,proto", "flows", NULL, r, &err), SC_OK);
    struct sc_groups *groups = run(&source, NULL, NULL, false, 1, r, &summary);
    assert_int_equal(sc_groups_write(groups, &bytes), SC_OK);
    for (size_t length = 0; length < bytes.len; length++) {
        struct sc_groups *to = sc_groups_create(&r->aggregate);
        uint8_t *cut = malloc(length + 1); /* so that the sanitizer sees a read behind it */
        memcpy(cut, bytes.data, length);
        assert_int_equal(sc_groups_read(to, cut, length, &err), SC_DAMAGED);
        free(cut);
        sc_groups_free(to);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct sc_groups *to = sc_groups_create(&r->aggregate);
        uint8_t *copy = malloc(bytes.len);
        memcpy(copy, bytes.data, bytes.len);
        copy[kit_random(&t.seed) % bytes.len] ^= (uint8_t)(1u << (kit_random(&t.seed) % 8));
        enum sc_status status = sc_groups_read(to, copy, bytes.len, &err);
        assert_true(status == SC_OK || status == SC_DAMAGED);
        struct sc_result top;
        if (status == SC_OK) { /* whatever it says can be shown */
            assert_int_equal(sc_groups_top(to, r->orders, r->order_count, 0, &top, &err), SC_OK);
            free(top.entries);
        }
        free(copy);
        sc_groups_free(to);
    }
    sc_buf_free(&bytes);
    sc_groups_free(groups);
    free(r);
    sc_source_close(&source);
    query_table_free(&t);
}

UNIT(test_aggregate)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregations_over_small_groups),
        cmocka_unit_test(aggregations_of_many_keys),
        cmocka_unit_test(aggregations_over_large_groups),
        cmocka_unit_test(no_keys),
        cmocka_unit_test(wide_keys),
        cmocka_unit_test(same_for_any_number_of_threads),
        cmocka_unit_test(top_of_many_groups),
        cmocka_unit_test(a_stopped_top),
        cmocka_unit_test(closed_groups_of_learned_addresses),
        cmocka_unit_test(closed_groups_of_pairs_of_strings),
        cmocka_unit_test(stopped_before_the_winners_are_sorted),
        cmocka_unit_test(memory_limit),
        cmocka_unit_test(bytes_that_are_no_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
