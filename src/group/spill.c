// SPDX-License-Identifier: BSD-3-Clause
/* Entries that are held apart from the table, by partition, and put together again. */
#include "group/table.h"

#include "base/array.h"

#include <stdlib.h>

#define BATCH 64u /* entries whose cache misses overlap */

bool sc_groups_stopped(const struct sc_groups *groups)
{
    return groups->cancel != NULL && atomic_load_explicit(groups->cancel, memory_order_relaxed) != 0;
}

/* ---- entries to a table ---- */

/* The number of another interner's string, in ours. */
static uint32_t number_here(const void *arg, uint32_t id)
{
    const uint32_t *remap = arg;
    return remap[id];
}

/* Up to BATCH entries. */
static bool absorb_batch(struct sc_groups *to, const uint32_t *remap, enum sc_key_layout layout,
                         uint8_t *entries, uint32_t n)
{
    const struct sc_aggregate *a = to->aggregate;
    uint32_t bytes = a->entry_bytes[layout];
    uint64_t hashes[BATCH];
    uint8_t *key = entries + a->key_at;
    for (uint32_t j = 0; j < n; j++, key += bytes) {
        if (remap != NULL)
            (void)sc_key_renumber(a, key, number_here, remap);
        hashes[j] =
            j == 0 ? sc_groups_hash(to, layout, key) : sc_groups_hash_near(to, layout, key, hashes[0]);
        sc_groups_prefetch_slot(to, layout, hashes[j]);
    }
    for (uint32_t j = 0; j < n; j++)
        sc_groups_prefetch_entry(to, layout, hashes[j]);
    for (uint32_t j = 0; j < n; j++, entries += bytes) {
        uint8_t *place = sc_groups_find(to, layout, entries + a->key_at, hashes[j]);
        if (place == NULL)
            return false;
        sc_groups_combine(a, place, entries);
    }
    return true;
}

bool sc_groups_absorb(struct sc_groups *to, const uint32_t *remap, enum sc_key_layout layout,
                      uint8_t *entries, uint32_t count)
{
    uint32_t bytes = to->aggregate->entry_bytes[layout];
    for (uint32_t i = 0; i < count; i += BATCH) {
        uint32_t n = count - i < BATCH ? count - i : BATCH;
        if (!absorb_batch(to, remap, layout, entries + (size_t)i * bytes, n))
            return false;
    }
    return true;
}

bool sc_groups_absorb_spilled(struct sc_groups *to, const uint32_t *remap, struct sc_partition *p)
{
    bool ok = true;
    while (p->spilled != NULL) {
        struct sc_spilled *list = p->spilled;
        ok = ok && sc_groups_absorb(to, remap, p->layout, list->entries, list->count);
        p->spilled = list->next;
        free(list);
    }
    return ok;
}

bool sc_groups_absorb_table(struct sc_groups *to, const uint32_t *remap, struct sc_partition *p)
{
    bool ok = true;
    free(p->slots);
    p->slots = NULL;
    p->slot_count = 0;
    for (uint32_t block = 0; block < SC_BLOCKS && sc_block_start(block) < p->count; block++) {
        uint32_t left = p->count - sc_block_start(block), size = sc_block_entries(block);
        ok = ok && sc_groups_absorb(to, remap, p->layout, p->blocks[block], left < size ? left : size);
        free(p->blocks[block]);
        p->blocks[block] = NULL;
    }
    sc_partition_empty(p);
    return ok;
}

/* ---- spilling ---- */

#define TABLE_BYTES ((uint64_t)768 << 10) /* of a table that stays in the cache of one core */
#define SLOT_BYTES  6u                    /* of an entry, about */
#define LEAST_SPILLED                                                                                        \
    (4u << 10) /* bytes of the first list of a partition; each is twice as large as the one before */
#define MOST_SPILLED   (64u << 10)
#define DEFAULT_BUDGET ((uint64_t)64 << 20)
#define APART_ROWS     (1u << 20) /* where hardly any row meets its group */

void sc_groups_set_spill_budget(struct sc_groups *groups, uint64_t bytes)
{
    groups->spill.budget = bytes;
}

void sc_groups_set_memory_limit(struct sc_groups *groups, uint64_t bytes, unsigned sharers)
{
    groups->spill.limit = bytes;
    groups->spill.memory = bytes / 2 / sharers;
}

/* How many more entries there is room for at the begin of the list; 0 without memory. */
static uint32_t spill_room(struct sc_groups *groups, struct sc_partition *p)
{
    struct sc_spilled *list = p->spilled;
    if (list != NULL && list->count != list->capacity)
        return list->capacity - list->count;
    uint32_t bytes = list == NULL                 ? LEAST_SPILLED
                     : list->bytes < MOST_SPILLED ? 2 * list->bytes
                                                  : MOST_SPILLED;
    struct sc_spilled *fresh = malloc(bytes);
    if (fresh == NULL)
        return 0;
    *fresh = (struct sc_spilled){.next = list, .bytes = bytes};
    fresh->capacity = (uint32_t)((bytes - sizeof(*fresh) - SC_ENTRY_SLACK) / p->entry_bytes);
    p->spilled = fresh;
    groups->spill.bytes += bytes;
    return fresh->capacity;
}

uint8_t *sc_groups_append(struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key,
                          uint64_t hash)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_partition *p = &groups->partitions[sc_partition_of(layout, hash)];
    if (spill_room(groups, p) == 0)
        return NULL;
    uint8_t *entry = p->spilled->entries + (size_t)p->spilled->count++ * p->entry_bytes;
    groups->spill.held++;
    if (a->accumulator_count == 0)
        entry[a->seen_at] = 0;
    else
        sc_entry_clear(a, entry);
    sc_store_le32(entry + p->entry_bytes - 4, 0); /* what is behind the key */
    sc_key_copy(entry + a->key_at, key, a->key_bytes[layout]);
    return entry;
}

static bool spill_entries(struct sc_groups *groups, struct sc_partition *p, const uint8_t *entries,
                          uint32_t count)
{
    uint32_t bytes = p->entry_bytes;
    while (count > 0) {
        uint32_t room = spill_room(groups, p), n = count < room ? count : room;
        if (room == 0)
            return false;
        memcpy(p->spilled->entries + (size_t)p->spilled->count * bytes, entries, (size_t)n * bytes);
        p->spilled->count += n;
        groups->spill.held += n;
        entries += (size_t)n * bytes;
        count -= n;
    }
    return true;
}

/* All entries of a partition to its list. The table stays, empty. */
static bool spill_partition(struct sc_groups *groups, struct sc_partition *p)
{
    for (uint32_t block = 0; block < SC_BLOCKS && sc_block_start(block) < p->count; block++) {
        uint32_t left = p->count - sc_block_start(block), size = sc_block_entries(block);
        if (!spill_entries(groups, p, p->blocks[block], left < size ? left : size))
            return false;
    }
    p->count = 0;
    if (p->slots != NULL)
        memset(p->slots, 0, (size_t)p->slot_count * sizeof(*p->slots));
    return true;
}

uint64_t sc_partition_spilled(const struct sc_partition *p)
{
    uint64_t n = 0;
    for (const struct sc_spilled *list = p->spilled; list != NULL; list = list->next)
        n += list->count;
    return n;
}

uint64_t sc_partition_held(const struct sc_partition *p)
{
    uint64_t n = p->count + sc_partition_spilled(p);
    for (uint32_t i = 0; i < p->extent_count; i++)
        n += p->extents[i].count;
    return n;
}

static uint64_t spilled_bytes(const struct sc_partition *p)
{
    uint64_t bytes = 0;
    for (const struct sc_spilled *list = p->spilled; list != NULL; list = list->next)
        bytes += list->bytes;
    return bytes;
}

/* Where entries hardly ever have the same key, adding them up is in vain: the first partitions tell. */
#define TRIED_ENTRIES 4096u

/* More, beside one group, need not fit a table. */
#define MOST_COMPACTED (1u << 23)

static bool is_in_vain(uint64_t before, uint64_t after)
{
    return before >= TRIED_ENTRIES && after > before / 4 * 3;
}

/* Adds up what has the same key, so that many rows of few groups do not fill the memory. */
static bool compact(struct sc_groups *groups)
{
    struct sc_spill_state *s = &groups->spill;
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < SC_PARTITIONS && !sc_groups_stopped(groups) && !is_in_vain(before, after); i++) {
        struct sc_partition *p = &groups->partitions[i];
        uint64_t spilled = sc_partition_spilled(p);
        if (spilled > MOST_COMPACTED)
            continue;
        s->bytes -= spilled_bytes(p);
        s->held -= spilled;
        if (!sc_groups_absorb_spilled(groups, NULL, p) || !spill_partition(groups, p))
            return false;
        sc_partition_empty(p);
        before += spilled;
        after += sc_partition_spilled(p);
    }
    s->compact_at = 2 * s->bytes < s->budget ? s->budget : 2 * s->bytes;
    return true;
}

/* ---- to the file ---- */

static enum sc_status write_list(struct sc_groups *groups, struct sc_partition *p,
                                 const struct sc_spilled *list)
{
    struct sc_spill_state *s = &groups->spill;
    struct sc_extent extent = {.count = list->count};
    if (!sc_array_more(p->extents, p->extent_count, 1))
        return SC_NOMEM;
    SC_TRY(sc_spill_file_append(s->file, list->entries, (size_t)list->count * p->entry_bytes, &extent.offset,
                                &s->why));
    p->extents[p->extent_count++] = extent;
    return SC_OK;
}

static enum sc_status write_lists(struct sc_groups *groups, struct sc_partition *p)
{
    struct sc_spill_state *s = &groups->spill;
    while (p->spilled != NULL) {
        struct sc_spilled *list = p->spilled;
        SC_TRY(write_list(groups, p, list));
        s->bytes -= list->bytes;
        p->spilled = list->next;
        free(list);
    }
    return SC_OK;
}

static enum sc_status write_all(struct sc_groups *groups)
{
    struct sc_spill_state *s = &groups->spill;
    if (s->file == NULL)
        s->file = sc_spill_file_create(&s->why);
    if (s->file == NULL)
        return SC_FULL;
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        SC_TRY(write_lists(groups, &groups->partitions[i]));
    s->compact_at = s->budget;
    return SC_OK;
}

static enum sc_status read_extent(const struct sc_groups *from, const struct sc_partition *p,
                                  const struct sc_extent *e, uint8_t *entries)
{
    return sc_spill_file_read(from->spill.file, e->offset, entries, (size_t)e->count * p->entry_bytes, NULL);
}

enum sc_status sc_groups_absorb_file(struct sc_groups *to, const uint32_t *remap,
                                     const struct sc_groups *from, struct sc_partition *p)
{
    uint8_t *entries = p->extent_count == 0 ? NULL : malloc(MOST_SPILLED);
    enum sc_status status = p->extent_count == 0 || entries != NULL ? SC_OK : SC_NOMEM;
    for (uint32_t i = 0; i < p->extent_count && status == SC_OK; i++) {
        if (sc_groups_stopped(to)) {
            status = SC_CANCELLED;
            break;
        }
        status = read_extent(from, p, &p->extents[i], entries);
        if (status == SC_OK && !sc_groups_absorb(to, remap, p->layout, entries, p->extents[i].count))
            status = SC_NOMEM;
    }
    free(entries);
    free(p->extents);
    p->extents = NULL;
    p->extent_count = 0;
    return status;
}

/* ---- all that there is ---- */

enum sc_status sc_partition_each(const struct sc_partition *p, sc_entries_fn *each, void *arg)
{
    for (uint32_t block = 0; block < SC_BLOCKS && sc_block_start(block) < p->count; block++) {
        uint32_t left = p->count - sc_block_start(block), size = sc_block_entries(block);
        SC_TRY(each(arg, p->layout, p->blocks[block], left < size ? left : size));
    }
    return SC_OK;
}

static enum sc_status each_extent(const struct sc_groups *groups, const struct sc_partition *p,
                                  sc_entries_fn *each, void *arg)
{
    uint8_t *entries = malloc(MOST_SPILLED);
    enum sc_status status = entries == NULL ? SC_NOMEM : SC_OK;
    for (uint32_t i = 0; i < p->extent_count && status == SC_OK; i++) {
        status = read_extent(groups, p, &p->extents[i], entries);
        if (status == SC_OK)
            status = each(arg, p->layout, entries, p->extents[i].count);
    }
    free(entries);
    return status;
}

enum sc_status sc_groups_each_of(const struct sc_groups *groups, uint32_t partition, sc_entries_fn *each,
                                 void *arg)
{
    const struct sc_partition *p = &groups->partitions[partition];
    SC_TRY(sc_partition_each(p, each, arg));
    for (const struct sc_spilled *list = p->spilled; list != NULL; list = list->next)
        SC_TRY(each(arg, p->layout, list->entries, list->count));
    return p->extent_count == 0 ? SC_OK : each_extent(groups, p, each, arg);
}

enum sc_status sc_groups_each(const struct sc_groups *groups, sc_entries_fn *each, void *arg)
{
    for (uint32_t i = 0; i < SC_PARTITIONS; i++)
        SC_TRY(sc_groups_each_of(groups, i, each, arg));
    return SC_OK;
}

/* ---- when ---- */

static bool spill(struct sc_groups *groups)
{
    for (uint32_t i = 0; i < SC_PARTITIONS; i++) {
        if (!spill_partition(groups, &groups->partitions[i]))
            return false;
    }
    groups->spill.entries = 0;
    return true;
}

/* Of the lists. */
static enum sc_status make_room(struct sc_groups *groups)
{
    struct sc_spill_state *s = &groups->spill;
    if (s->bytes >= s->compact_at && !compact(groups))
        return SC_NOMEM;
    return s->memory != 0 && s->bytes > s->memory ? write_all(groups) : SC_OK;
}

static void begin(const struct sc_aggregate *a, struct sc_spill_state *s)
{
    s->check_at = TABLE_BYTES / (a->entry_bytes[SC_KEY_NARROW] + SLOT_BYTES);
    s->budget = s->budget == 0 ? DEFAULT_BUDGET : s->budget;
    if (s->memory != 0 && s->memory / 2 < s->budget)
        s->budget = s->memory / 2;
    s->compact_at = s->budget;
}

enum sc_status sc_groups_consider_spill(struct sc_groups *groups, uint32_t rows)
{
    struct sc_spill_state *s = &groups->spill;
    uint64_t count = sc_groups_count(groups);
    uint32_t entry = groups->aggregate->entry_bytes[SC_KEY_WIDE] + SLOT_BYTES;
    if (s->check_at == 0)
        begin(groups->aggregate, s);
    if (s->apart != 0) {
        s->apart -= rows < s->apart ? rows : s->apart;
        return make_room(groups);
    }
    s->rows += rows;
    bool too_large = s->memory != 0 && count * entry > s->memory / 2;
    if (count < s->check_at && !too_large)
        return SC_OK;
    uint64_t begun = count - s->entries;
    bool few_met = s->rows < 2 * begun; /* most rows began a group of their own */
    if (4 * s->rows < 5 * begun)
        s->apart = APART_ROWS;
    if (!few_met)
        s->check_at = 2 * count;
    s->rows = 0;
    s->entries = count;
    if (!few_met && !too_large)
        return SC_OK;
    return spill(groups) ? make_room(groups) : SC_NOMEM;
}
