// SPDX-License-Identifier: BSD-3-Clause
#include "store/span_set.h"

#include "base/hash.h"

#include <stdlib.h>

static struct sc_span_id *find_place(const struct sc_span_set *set, const struct sc_span_id *id)
{
    uint64_t h = sc_hash_pair(id->stream, id->sequence, set->seed ^ id->lane);
    for (uint32_t i = (uint32_t)h & (set->size - 1);; i = (i + 1) & (set->size - 1)) {
        struct sc_span_id *place = &set->table[i];
        if (!place->used ||
            (place->stream == id->stream && place->sequence == id->sequence && place->lane == id->lane))
            return place;
    }
}

static bool grow_set(struct sc_span_set *set)
{
    struct sc_span_set bigger = {.seed = set->size == 0 ? sc_hash_draw_seed() : set->seed,
                                 .size = set->size == 0 ? 256 : set->size * 2,
                                 .count = set->count};
    bigger.table = calloc(bigger.size, sizeof(*bigger.table));
    if (bigger.table == NULL)
        return false;
    for (uint32_t i = 0; i < set->size; i++) {
        if (set->table[i].used)
            *find_place(&bigger, &set->table[i]) = set->table[i];
    }
    free(set->table);
    *set = bigger;
    return true;
}

enum sc_status sc_span_set_add(struct sc_span_set *set, const struct sc_span *span, bool *fresh)
{
    if (set->count * 2 >= set->size && !grow_set(set))
        return SC_NOMEM;
    struct sc_span_id id = {
        .stream = span->stream, .sequence = span->sequence, .lane = span->lane, .used = 1};
    struct sc_span_id *place = find_place(set, &id);
    *fresh = !place->used;
    if (*fresh) {
        *place = id;
        set->count++;
    }
    return SC_OK;
}

bool sc_span_set_has(const struct sc_span_set *set, const struct sc_span *span)
{
    struct sc_span_id id = {.stream = span->stream, .sequence = span->sequence, .lane = span->lane};
    return set->size != 0 && find_place(set, &id)->used;
}

void sc_span_set_free(struct sc_span_set *set)
{
    free(set->table);
    *set = (struct sc_span_set){0};
}

bool sc_spans_cover(const struct sc_batch *batch)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < batch->span_count; i++) {
        if (batch->spans[i].first_row != next || batch->spans[i].rows > batch->rows - next)
            return false;
        next += batch->spans[i].rows;
    }
    return next == batch->rows;
}
