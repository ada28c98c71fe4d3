// SPDX-License-Identifier: BSD-3-Clause
#include "collect/exporters.h"

#include <stdlib.h>

void sc_exporters_free(struct sc_exporters *exporters)
{
    free(exporters->entries);
    free(exporters->index);
    *exporters = (struct sc_exporters){0};
}

static bool same_account(const struct sc_exporter_stats *a, const struct sc_exporter_stats *b)
{
    return sc_addr_equal(&a->exporter, &b->exporter) && a->port == b->port && a->transport == b->transport &&
           a->domain == b->domain && a->version == b->version;
}

static uint32_t hash_account(const struct sc_exporter_stats *s)
{
    uint64_t h = sc_load_le64(s->exporter.b + 8) ^ sc_load_le64(s->exporter.b);
    h ^= (uint64_t)s->port << 32 | s->domain;
    h = (h ^ (uint64_t)s->version << 56 ^ (uint64_t)s->transport << 48) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

/* Where the account stands in the index, or the empty place for it. */
static uint32_t *find_place(const struct sc_exporters *e, const struct sc_exporter_stats *stats)
{
    uint32_t mask = e->index_size - 1;
    for (uint32_t i = hash_account(stats) & mask;; i = (i + 1) & mask) {
        uint32_t entry = e->index[i];
        if (entry == 0 || same_account(&e->entries[entry - 1].view.stats, stats))
            return &e->index[i];
    }
}

static void rebuild_index(struct sc_exporters *e)
{
    memset(e->index, 0, e->index_size * sizeof(*e->index));
    for (uint32_t i = 0; i < e->count; i++)
        *find_place(e, &e->entries[i].view.stats) = i + 1;
}

static bool grow(struct sc_exporters *e)
{
    uint32_t capacity = e->capacity == 0 ? 64 : e->capacity * 2;
    struct sc_exporter_entry *entries = realloc(e->entries, capacity * sizeof(*entries));
    if (entries == NULL)
        return false;
    e->entries = entries;
    uint32_t *index = malloc((size_t)capacity * 2 * sizeof(*index));
    if (index == NULL)
        return false;
    free(e->index);
    e->index = index;
    e->index_size = capacity * 2;
    e->capacity = capacity;
    rebuild_index(e);
    return true;
}

void sc_exporters_begin(struct sc_exporters *exporters, uint64_t mono_ms)
{
    exporters->times[exporters->sample % SC_EXPORTERS_SAMPLES] = mono_ms;
}

static double rate_of(const struct sc_exporters *e, const struct sc_exporter_entry *entry)
{
    uint64_t oldest = e->sample < SC_EXPORTERS_SAMPLES ? 0 : e->sample - (SC_EXPORTERS_SAMPLES - 1);
    if (oldest < entry->first_sample)
        oldest = entry->first_sample;
    uint64_t now_ms = e->times[e->sample % SC_EXPORTERS_SAMPLES],
             then_ms = e->times[oldest % SC_EXPORTERS_SAMPLES];
    uint64_t before = entry->flows[oldest % SC_EXPORTERS_SAMPLES];
    if (now_ms <= then_ms || entry->view.stats.flows < before)
        return 0;
    return (double)(entry->view.stats.flows - before) * 1000 / (double)(now_ms - then_ms);
}

bool sc_exporters_add(struct sc_exporters *exporters, const struct sc_exporter_stats *stats)
{
    struct sc_exporters *e = exporters;
    if (stats->messages == 0)
        return true; /* known from the saved template state only */
    if (e->count == e->capacity && (e->count >= SC_EXPORTERS_MAX || !grow(e)))
        return false;
    uint32_t *place = find_place(e, stats);
    if (*place == 0) {
        /* It began after the last sample, so it had no flows then. */
        e->entries[e->count] = (struct sc_exporter_entry){.first_sample = e->sample == 0 ? 0 : e->sample - 1};
        *place = ++e->count;
    }
    struct sc_exporter_entry *entry = &e->entries[*place - 1];
    entry->view.stats = *stats;
    entry->last_sample = e->sample;
    entry->flows[e->sample % SC_EXPORTERS_SAMPLES] = stats->flows;
    entry->view.flows_per_s = rate_of(e, entry);
    return true;
}

static void drop_gone(struct sc_exporters *e)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->entries[i].last_sample == e->sample)
            e->entries[kept++] = e->entries[i];
    }
    bool changed = kept != e->count;
    e->count = kept;
    if (changed)
        rebuild_index(e);
}

void sc_exporters_end(struct sc_exporters *exporters)
{
    drop_gone(exporters);
    exporters->sample++;
}

static bool visit(void *arg, const struct sc_exporter_stats *stats)
{
    return sc_exporters_add(arg, stats);
}

void sc_exporters_sample(struct sc_exporters *exporters, const struct sc_decoder *decoder, uint64_t mono_ms)
{
    sc_exporters_begin(exporters, mono_ms);
    sc_decoder_each_exporter(decoder, visit, exporters);
    sc_exporters_end(exporters);
}
