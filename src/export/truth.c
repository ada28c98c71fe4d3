// SPDX-License-Identifier: BSD-3-Clause
#include "export/truth.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/table.h"

#include <stdlib.h>
#include <xxhash.h>

enum { PORTS = 65536, PROTOCOLS = 256, TOP = 10 };

struct account {
    uint64_t flows, packets, bytes;
};

struct source {
    struct sc_addr address;
    struct account account;
};

struct sc_truth {
    struct account total;
    struct account protocols[PROTOCOLS];
    struct account ports[PORTS]; /* by destination port */
    uint64_t first_ms, last_ms;
    uint64_t seed;
    struct source *sources;
    uint32_t source_count;
    struct sc_table source_table; /* of the sources, by address */
    XXH128_hash_t *tuples;
    uint32_t tuple_count;
    struct sc_table tuple_table; /* of the tuples */
};

struct sc_truth *sc_truth_create(void)
{
    struct sc_truth *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->first_ms = UINT64_MAX;
    t->seed = sc_hash_draw_seed();
    return t;
}

void sc_truth_free(struct sc_truth *t)
{
    if (t == NULL)
        return;
    free(t->sources);
    sc_table_free(&t->source_table);
    free(t->tuples);
    sc_table_free(&t->tuple_table);
    free(t);
}

static void account_add(struct account *a, const struct sc_truth_flow *f)
{
    a->flows += f->flows;
    a->packets += f->packets;
    a->bytes += f->bytes;
}

static struct source *source_of(struct sc_truth *t, const struct sc_addr *address)
{
    uint64_t hash = sc_hash_pair(sc_load_le64(address->b), sc_load_le64(address->b + 8), t->seed);
    if (!sc_table_reserve(&t->source_table, 1) || !sc_array_more(t->sources, t->source_count, 1))
        return NULL;
    struct sc_probe p = sc_table_first(&t->source_table, hash);
    while (p.number != SC_TABLE_NONE && !sc_addr_equal(&t->sources[p.number].address, address))
        sc_table_next(&t->source_table, &p);
    if (p.number != SC_TABLE_NONE)
        return &t->sources[p.number];
    t->sources[t->source_count] = (struct source){.address = *address};
    sc_table_put(&t->source_table, &p, t->source_count);
    return &t->sources[t->source_count++];
}

static bool source_add(struct sc_truth *t, const struct sc_truth_flow *f)
{
    struct source *s = f->source == NULL ? NULL : source_of(t, f->source);
    if (s != NULL)
        account_add(&s->account, f);
    return s != NULL || f->source == NULL;
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
    if (!sc_table_reserve(&t->tuple_table, 1) || !sc_array_more(t->tuples, t->tuple_count, 1))
        return false;
    XXH128_hash_t key = XXH3_128bits_withSeed(bytes, sizeof(bytes), t->seed);
    struct sc_probe p = sc_table_first(&t->tuple_table, key.low64);
    while (p.number != SC_TABLE_NONE && !XXH128_isEqual(t->tuples[p.number], key))
        sc_table_next(&t->tuple_table, &p);
    if (p.number != SC_TABLE_NONE)
        return true;
    t->tuples[t->tuple_count] = key;
    sc_table_put(&t->tuple_table, &p, t->tuple_count++);
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
    for (uint32_t i = 0; i < t->source_count; i++) {
        const struct source *s = &t->sources[i];
        if (count == TOP && !source_before(s, top[TOP - 1], by_bytes))
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
    sc_buf_printf(out, "  \"distinct_5tuples\": %u,\n", t->tuple_count);
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
