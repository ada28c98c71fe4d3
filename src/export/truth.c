// SPDX-License-Identifier: BSD-3-Clause
#include "export/truth.h"

#include "base/clock.h"

#include <stdlib.h>
#include <xxhash.h>

enum { PORTS = 65536, PROTOCOLS = 256, TOP = 10 };

struct account {
    uint64_t flows, packets, bytes;
};

struct source {
    struct sc_addr address;
    bool used;
    struct account account;
};

struct sc_truth {
    struct account total;
    struct account protocols[PROTOCOLS];
    struct account ports[PORTS]; /* by destination port */
    uint64_t first_ms, last_ms;
    struct source *sources; /* open hash */
    size_t source_size, source_count;
    XXH128_hash_t *tuples; /* open hash; {0, 0}: empty */
    size_t tuple_size, tuple_count;
};

enum { SOURCES_AT_START = 1 << 12, TUPLES_AT_START = 1 << 16 };

struct sc_truth *sc_truth_create(void)
{
    struct sc_truth *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->first_ms = UINT64_MAX;
    t->source_size = SOURCES_AT_START;
    t->tuple_size = TUPLES_AT_START;
    t->sources = calloc(t->source_size, sizeof(*t->sources));
    t->tuples = calloc(t->tuple_size, sizeof(*t->tuples));
    if (t->sources == NULL || t->tuples == NULL) {
        sc_truth_free(t);
        return NULL;
    }
    return t;
}

void sc_truth_free(struct sc_truth *t)
{
    if (t == NULL)
        return;
    free(t->sources);
    free(t->tuples);
    free(t);
}

static void account_add(struct account *a, const struct sc_truth_flow *f)
{
    a->flows += f->flows;
    a->packets += f->packets;
    a->bytes += f->bytes;
}

static struct source *source_slot(struct source *sources, size_t size, const struct sc_addr *address)
{
    size_t i = XXH3_64bits(address, sizeof(*address)) & (size - 1);
    while (sources[i].used && !sc_addr_equal(&sources[i].address, address))
        i = (i + 1) & (size - 1);
    return &sources[i];
}

static bool sources_grow(struct sc_truth *t)
{
    size_t size = t->source_size * 2;
    struct source *wide = calloc(size, sizeof(*wide));
    if (wide == NULL)
        return false;
    for (size_t i = 0; i < t->source_size; i++)
        if (t->sources[i].used)
            *source_slot(wide, size, &t->sources[i].address) = t->sources[i];
    free(t->sources);
    t->sources = wide;
    t->source_size = size;
    return true;
}

static bool source_add(struct sc_truth *t, const struct sc_truth_flow *f)
{
    if (f->source == NULL)
        return true;
    if (t->source_count * 2 >= t->source_size && !sources_grow(t))
        return false;
    struct source *s = source_slot(t->sources, t->source_size, f->source);
    t->source_count += !s->used;
    s->used = true;
    s->address = *f->source;
    account_add(&s->account, f);
    return true;
}

static XXH128_hash_t *tuple_slot(XXH128_hash_t *tuples, size_t size, XXH128_hash_t key)
{
    size_t i = key.low64 & (size - 1);
    while ((tuples[i].low64 | tuples[i].high64) != 0 && !XXH128_isEqual(tuples[i], key))
        i = (i + 1) & (size - 1);
    return &tuples[i];
}

static bool tuples_grow(struct sc_truth *t)
{
    size_t size = t->tuple_size * 2;
    XXH128_hash_t *wide = calloc(size, sizeof(*wide));
    if (wide == NULL)
        return false;
    for (size_t i = 0; i < t->tuple_size; i++)
        if ((t->tuples[i].low64 | t->tuples[i].high64) != 0)
            *tuple_slot(wide, size, t->tuples[i]) = t->tuples[i];
    free(t->tuples);
    t->tuples = wide;
    t->tuple_size = size;
    return true;
}

/* Distinct by a 128 bit hash: two of a billion tuples meet with a chance below 10^-20. */
static bool tuple_add(struct sc_truth *t, const struct sc_truth_flow *f)
{
    uint8_t bytes[38] = {0};
    if (f->source != NULL)
        memcpy(bytes, f->source, 16);
    if (f->destination != NULL)
        memcpy(bytes + 16, f->destination, 16);
    sc_store_be16(bytes + 32, f->source_port);
    sc_store_be16(bytes + 34, f->destination_port);
    bytes[36] = f->protocol;
    bytes[37] = (uint8_t)((f->absent & (SC_TRUTH_NO_FIRST - 1)) | (f->source == NULL) << 6 |
                          (f->destination == NULL) << 7);
    if (t->tuple_count * 4 >= t->tuple_size * 3 && !tuples_grow(t))
        return false;
    XXH128_hash_t key = XXH3_128bits(bytes, sizeof(bytes));
    XXH128_hash_t *slot = tuple_slot(t->tuples, t->tuple_size, key);
    t->tuple_count += (slot->low64 | slot->high64) == 0;
    *slot = key;
    return true;
}

enum sc_status sc_truth_add(struct sc_truth *t, const struct sc_truth_flow *f)
{
    if (!source_add(t, f) || !tuple_add(t, f))
        return SC_NOMEM;
    account_add(&t->total, f);
    if ((f->absent & SC_TRUTH_NO_PROTOCOL) == 0)
        account_add(&t->protocols[f->protocol], f);
    if ((f->absent & SC_TRUTH_NO_DESTINATION_PORT) == 0)
        account_add(&t->ports[f->destination_port], f);
    if ((f->absent & SC_TRUTH_NO_FIRST) == 0 && f->first_ms < t->first_ms)
        t->first_ms = f->first_ms;
    if ((f->absent & SC_TRUTH_NO_LAST) == 0 && f->last_ms > t->last_ms)
        t->last_ms = f->last_ms;
    return SC_OK;
}

/* ---- writing ---- */

static void put_account(struct sc_buf *out, const struct account *a)
{
    sc_buf_printf(out, "\"flows\": %llu, \"packets\": %llu, \"bytes\": %llu", (unsigned long long)a->flows,
                  (unsigned long long)a->packets, (unsigned long long)a->bytes);
}

static void put_time(struct sc_buf *out, const char *name, uint64_t ms, bool known)
{
    char text[40];
    if (known) {
        sc_time_format_utc(ms, text, sizeof(text));
        sc_buf_printf(out, "  \"%s\": \"%s\",\n  \"%s_ms\": %llu,\n", name, text, name,
                      (unsigned long long)ms);
    } else {
        sc_buf_printf(out, "  \"%s\": null,\n  \"%s_ms\": null,\n", name, name);
    }
}

static void put_protocols(const struct sc_truth *t, struct sc_buf *out)
{
    const char *separator = "\n";
    sc_buf_append_str(out, "  \"protocols\": [");
    for (unsigned i = 0; i < PROTOCOLS; i++) {
        if (t->protocols[i].flows == 0)
            continue;
        sc_buf_printf(out, "%s    {\"proto\": %u, ", separator, i);
        put_account(out, &t->protocols[i]);
        sc_buf_append_str(out, "}");
        separator = ",\n";
    }
    sc_buf_append_str(out, "\n  ],\n");
}

/* Whether x goes before y: more bytes (or flows), then the lower address. */
static bool source_before(const struct source *x, const struct source *y, bool by_bytes)
{
    uint64_t a = by_bytes ? x->account.bytes : x->account.flows;
    uint64_t b = by_bytes ? y->account.bytes : y->account.flows;
    return a != b ? a > b : sc_addr_compare(&x->address, &y->address) < 0;
}

static void put_sources(const struct sc_truth *t, const char *name, bool by_bytes, struct sc_buf *out)
{
    const struct source *top[TOP];
    unsigned count = 0;
    for (size_t i = 0; i < t->source_size; i++) {
        const struct source *s = &t->sources[i];
        if (!s->used || (count == TOP && !source_before(s, top[TOP - 1], by_bytes)))
            continue;
        unsigned at = count < TOP ? count++ : TOP - 1;
        for (; at > 0 && source_before(s, top[at - 1], by_bytes); at--)
            top[at] = top[at - 1];
        top[at] = s;
    }
    sc_buf_printf(out, "  \"%s\": [", name);
    for (unsigned i = 0; i < count; i++) {
        char text[SC_ADDR_TEXT_MAX];
        sc_addr_format(&top[i]->address, text);
        sc_buf_printf(out, "%s    {\"srcip\": \"%s\", ", i == 0 ? "\n" : ",\n", text);
        put_account(out, &top[i]->account);
        sc_buf_append_str(out, "}");
    }
    sc_buf_append_str(out, "\n  ],\n");
}

static void put_ports(const struct sc_truth *t, struct sc_buf *out)
{
    uint32_t top[TOP];
    unsigned count = 0;
    for (uint32_t port = 0; port < PORTS; port++) {
        uint64_t flows = t->ports[port].flows;
        if (flows == 0 || (count == TOP && flows <= t->ports[top[TOP - 1]].flows))
            continue;
        unsigned at = count < TOP ? count++ : TOP - 1;
        for (; at > 0 && flows > t->ports[top[at - 1]].flows; at--)
            top[at] = top[at - 1];
        top[at] = port;
    }
    sc_buf_append_str(out, "  \"top_dstport_by_flows\": [");
    for (unsigned i = 0; i < count; i++) {
        sc_buf_printf(out, "%s    {\"dstport\": %u, ", i == 0 ? "\n" : ",\n", top[i]);
        put_account(out, &t->ports[top[i]]);
        sc_buf_append_str(out, "}");
    }
    sc_buf_append_str(out, "\n  ],\n");
}

enum sc_status sc_truth_write(const struct sc_truth *t, const struct sc_truth_export *sent,
                              struct sc_buf *out)
{
    sc_buf_append_str(out, "{\n  ");
    put_account(out, &t->total);
    sc_buf_append_str(out, ",\n");
    put_time(out, "first", t->first_ms, t->first_ms != UINT64_MAX);
    put_time(out, "last", t->last_ms, t->last_ms != 0);
    sc_buf_printf(out, "  \"distinct_5tuples\": %zu,\n", t->tuple_count);
    sc_buf_printf(out, "  \"dstport_53_flows\": %llu,\n", (unsigned long long)t->ports[53].flows);
    put_protocols(t, out);
    put_sources(t, "top_srcip_by_flows", false, out);
    put_sources(t, "top_srcip_by_bytes", true, out);
    put_ports(t, out);
    sc_buf_printf(out, "  \"messages\": %llu,\n  \"skipped\": %llu,\n  \"values_dropped\": %llu\n}\n",
                  (unsigned long long)sent->messages, (unsigned long long)sent->skipped,
                  (unsigned long long)sent->values_dropped);
    return sc_buf_ok(out) ? SC_OK : SC_NOMEM;
}
