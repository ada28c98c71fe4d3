// SPDX-License-Identifier: BSD-3-Clause
/* The hash table behind struct sc_groups: partitions by layout and hash, entries in blocks that never move. Only the
 * files of this room include it. */
#ifndef SC_GROUP_TABLE_H
#define SC_GROUP_TABLE_H

#include "base/saturate.h"
#include "group/key.h"
#include "group/seeds.h"
#include "group/spill_file.h"

#define SC_PARTITION_BITS 6u
#define SC_PARTITIONS     (SC_KEY_LAYOUTS << SC_PARTITION_BITS)
/* Block 0 and 1 hold 2^SC_BLOCK_BITS entries, each later one twice as many as the one before. */
#define SC_BLOCK_BITS 8u
#define SC_BLOCKS     18u

/* Entries that left the table, one behind the other; several may have the same key. */
struct sc_spilled {
    struct sc_spilled *next;
    uint32_t count, capacity;
    uint32_t bytes; /* of all of it */
    uint8_t entries[];
};

/* Of such entries, in the groups' file. */
struct sc_extent {
    uint64_t offset;
    uint32_t count;
};

struct sc_partition {
    uint32_t *slots; /* (entry number + 1) in the lower 24 bits, 8 bits of the hash above; 0 empty */
    uint32_t slot_count;
    uint32_t count;
    uint32_t entry_bytes;
    enum sc_key_layout layout;
    uint8_t *blocks[SC_BLOCKS];
    struct sc_spilled *spilled;
    struct sc_extent *extents;
    uint32_t extent_count;
};

/*
 * Very many groups of few rows each: a table that holds them all misses the caches at every row. Instead a small table
 * is filled, its entries are appended to lists by partition, and it is emptied; at the end (sc_groups_join) each
 * partition is put together by itself. group/spill.c decides.
 */
struct sc_spill_state {
    uint64_t budget;     /* bytes of spilled entries after which those with the same key are added up */
    uint64_t check_at;   /* entries in the table at which it is decided anew */
    uint64_t rows;       /* added since the last decision, */
    uint32_t unseen;     /* likewise, not told yet: row groups may have few rows each */
    uint64_t entries;    /* when the table had so many entries */
    uint64_t bytes;      /* spilled now */
    uint64_t held;       /* entries spilled, until some are added up */
    uint64_t compact_at; /* bytes */
    uint64_t apart;      /* so many rows more are appended without a look at the table */
    /* With a memory limit: */
    uint64_t limit;  /* bytes of the groups in the end */
    uint64_t memory; /* bytes of lists, and half as many of the table; what is more goes to a file */
    struct sc_spill_file *file;
    struct sc_error why; /* after SC_FULL */
};

struct sc_groups {
    const struct sc_aggregate *aggregate;
    struct sc_interner interner;
    bool closed;              /* no new groups: sc_groups_find gives NULL for those that are not there */
    uint32_t known;           /* a bit for each accumulator to which rows add nothing: sc_groups_know */
    struct sc_values *values; /* group/values.h; none before the first row */
    uint32_t value_count;
    bool keep_values;
    struct sc_seeds seeds[SC_MAX_KEYS]; /* of closed groups; addresses in keys */
    uint64_t most;                      /* no sum of an entry is greater; SC_SATURATED: not known */
    struct sc_partition partitions[SC_PARTITIONS];
    struct sc_spill_state spill;
    uint64_t *cells;          /* sums by the hashes of groups, which are not there then: group/cells.h */
    const uint64_t *chosen;   /* a bit for each cell; rows of groups in others are left out; or NULL */
    unsigned hash_bits;       /* of a hash that chooses a cell */
    const atomic_int *cancel; /* see sc_groups_set_cancel */
    struct sc_group_scratch *scratch; /* of sc_groups_add_rows */
};

/* The block of an entry, and the number of the block's first entry. */
static inline uint32_t sc_block_of(uint32_t number)
{
    uint32_t high = number >> SC_BLOCK_BITS;
    return high == 0 ? 0 : 32 - (uint32_t)__builtin_clz(high);
}

static inline uint32_t sc_block_start(uint32_t block)
{
    return block == 0 ? 0 : 1u << (SC_BLOCK_BITS + block - 1);
}

static inline uint32_t sc_block_entries(uint32_t block)
{
    return block == 0 ? 1u << SC_BLOCK_BITS : sc_block_start(block);
}

static inline uint8_t *sc_partition_entry(const struct sc_partition *p, uint32_t number)
{
    uint32_t block = sc_block_of(number);
    return p->blocks[block] + (size_t)(number - sc_block_start(block)) * p->entry_bytes;
}

/* A partition without entries, of the same kind. */
static inline struct sc_partition sc_partition_like(const struct sc_partition *p)
{
    return (struct sc_partition){.entry_bytes = p->entry_bytes, .layout = p->layout};
}

static inline uint32_t sc_partition_of(enum sc_key_layout layout, uint64_t hash)
{
    return ((uint32_t)layout << SC_PARTITION_BITS) + (uint32_t)(hash >> (64 - SC_PARTITION_BITS));
}

/* A slot: the number of its entry + 1, and 8 bits of the hash, so that few wrong entries are looked at. */
#define SC_SLOT_TAG          0xff000000u
#define SC_SLOT_NUMBER(slot) (((slot) & ~SC_SLOT_TAG) - 1)

static inline uint32_t sc_slot_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32) << 24;
}

static inline uint64_t sc_groups_hash(const struct sc_groups *groups, enum sc_key_layout layout,
                                      const uint8_t *key)
{
    const struct sc_aggregate *a = groups->aggregate;
    return a->hash_special ? sc_key_hash_special(a, &groups->interner, layout, key)
                           : sc_key_hash_bytes(key, a->key_bytes[layout], a->seed);
}

/* Likewise of a key that lies in the partition of another one's hash: to find out which that is is half of the work. */
static inline uint64_t sc_groups_hash_near(const struct sc_groups *groups, enum sc_key_layout layout,
                                           const uint8_t *key, uint64_t near)
{
    const struct sc_aggregate *a = groups->aggregate;
    if (a->beside == NULL || a->interns)
        return sc_groups_hash(groups, layout, key);
    return (sc_key_hash_bytes(key, a->key_bytes[layout], a->seed) & ~SC_HASH_PARTITION_BITS) |
           (near & SC_HASH_PARTITION_BITS);
}

/* ---- entries ---- */

/* The layout of an entry, which may be that of a hostile peer. */
static inline enum sc_key_layout sc_entry_layout(const struct sc_aggregate *a, const uint8_t *entry)
{
    return (enum sc_key_layout)(sc_key_head(a, entry + a->key_at) & SC_HEAD_LAYOUT);
}

static inline uint64_t sc_entry_seen(const struct sc_aggregate *a, const uint8_t *entry)
{
    return a->accumulator_count > 8 ? sc_load_le16(entry + a->seen_at) : entry[a->seen_at];
}

static inline void sc_entry_set_seen(const struct sc_aggregate *a, uint8_t *entry, uint64_t seen)
{
    if (a->accumulator_count > 8)
        sc_store_le16(entry + a->seen_at, (uint16_t)seen);
    else
        entry[a->seen_at] = (uint8_t)seen;
}

/* The value of an accumulator; false when it has seen none. */
static inline bool sc_entry_value(const struct sc_aggregate *a, const uint8_t *entry, uint32_t accumulator,
                                  uint64_t *value)
{
    *value = sc_load_le64(entry + (size_t)8 * accumulator);
    return (sc_entry_seen(a, entry) >> accumulator & 1) != 0;
}

/*
 * The entry of a packed key (key_bytes of its layout), new when there is none. NULL
 * without memory.
 */
uint8_t *sc_groups_find(struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key,
                        uint64_t hash);
/*
 * The key of an entry of `from`, whose keys are those of `to`, with the numbers that `number` gives its strings (sc_key_renumber).
 * False as soon as that gives none.
 */
bool sc_groups_translate(const struct sc_groups *to, const struct sc_groups *from, const uint8_t *entry,
                         uint32_t (*number)(const void *arg, uint32_t id), const void *arg, uint8_t *key);
/* Of the key of an entry of the same groups, or of ones without strings. */
uint8_t *sc_groups_find_entry(struct sc_groups *groups, const uint8_t *entry);

/* Fetches the slot of a hash, then the entry that it leads to: for many hashes at a time, before sc_groups_find. */
static inline void sc_groups_prefetch_slot(const struct sc_groups *groups, enum sc_key_layout layout,
                                           uint64_t hash)
{
    const struct sc_partition *p = &groups->partitions[sc_partition_of(layout, hash)];
    if (p->slot_count != 0)
        __builtin_prefetch(&p->slots[(uint32_t)hash & (p->slot_count - 1)]);
}

void sc_groups_prefetch_entry(const struct sc_groups *groups, enum sc_key_layout layout, uint64_t hash);

/* Some entries of one layout, one behind the other. */
typedef enum sc_status sc_entries_fn(void *arg, enum sc_key_layout layout, const uint8_t *entries,
                                     uint32_t count);
/* Those of a partition's table, and all entries of groups, and of one of their partitions: several may have the same key. @return SC_OK, that of `each`; of groups
 * SC_NOMEM, SC_FULL: the file cannot be read. */
enum sc_status sc_partition_each(const struct sc_partition *partition, sc_entries_fn *each, void *arg);
enum sc_status sc_groups_each(const struct sc_groups *groups, sc_entries_fn *each, void *arg);
enum sc_status sc_groups_each_of(const struct sc_groups *groups, uint32_t partition, sc_entries_fn *each,
                                 void *arg);

/* ---- groups without what group/values.h adds to them; group/whole.c puts both together ---- */

void sc_plain_free(struct sc_groups *groups);
size_t sc_plain_memory(const struct sc_groups *groups);
/*
 * As sc_groups_join. Before the partitions of a number, one of each layout, are put together `add` brings to those of the first partial
 * result what lies beside them (sc_aggregate.beside); `beside` may be NULL.
 */
struct sc_beside {
    enum sc_status (*add)(void *arg, unsigned thread, uint32_t number);
    void *arg;
};
enum sc_status sc_plain_join(struct sc_groups *const *partials, uint32_t count,
                             const struct sc_beside *beside, const struct sc_keep *keep, unsigned threads,
                             struct sc_error *err);
/*
 * Likewise without `keep`; each partition that is put together goes to `take`, by one of the threads, and is emptied then. In the end no
 * group is left.
 */
typedef enum sc_status sc_partition_fn(void *arg, unsigned thread, struct sc_groups *groups,
                                       struct sc_partition *partition);
enum sc_status sc_plain_join_to(struct sc_groups *const *partials, uint32_t count, sc_partition_fn *take,
                                void *arg, unsigned threads, struct sc_error *err);

/* Why groups could not be put together; SC_LIMIT, the memory limit, becomes SC_NOMEM. @return the status */
enum sc_status sc_groups_fail(const struct sc_groups *groups, enum sc_status status, struct sc_error *err);

/* This thread and up to so many in all. */
void sc_groups_in_threads(void *(*run)(void *), void *arg, unsigned threads);

/* Takes all entries and slots out of a partition. */
void sc_partition_empty(struct sc_partition *partition);
/* And those that are held apart. */
void sc_partition_free(struct sc_partition *partition);

/* The first of a partition, in no order; entries is malloc'ed. @return SC_OK or SC_NOMEM. */
enum sc_status sc_partition_top(const struct sc_groups *groups, const struct sc_partition *partition,
                                const struct sc_keep *keep, struct sc_result *out);

/* Room for so many entries without growing. False without memory. */
bool sc_groups_reserve(struct sc_groups *groups, struct sc_partition *partition, uint64_t count);

/* An entry of a packed key that is held apart from the table; others may have the same key. NULL without memory. */
uint8_t *sc_groups_append(struct sc_groups *groups, enum sc_key_layout layout, const uint8_t *key,
                          uint64_t hash);

/*
 * To be called now and then while rows are added, with their number; no entry may be in use.
 * @return SC_OK; SC_NOMEM; SC_FULL with a reason in spill.why.
 */
enum sc_status sc_groups_consider_spill(struct sc_groups *groups, uint32_t rows);

/* How many entries of a partition are held apart in memory, and how many there are in all. */
uint64_t sc_partition_spilled(const struct sc_partition *partition);
uint64_t sc_partition_held(const struct sc_partition *partition);
/*
 * Entries that lie one behind the other (of groups beside which something lies, of one partition) to the tables of `to`. `remap`: from
 * the numbers of their strings to those of `to`, NULL: the same. False without memory.
 */
bool sc_groups_absorb(struct sc_groups *to, const uint32_t *remap, enum sc_key_layout layout,
                      uint8_t *entries, uint32_t count);
/* Likewise what is held apart of a partition, and its table; they are freed. */
bool sc_groups_absorb_spilled(struct sc_groups *to, const uint32_t *remap, struct sc_partition *partition);
/* Those of a partition of `from` that are in its file. @return SC_OK, SC_NOMEM, SC_CANCELLED, or SC_FULL: it cannot be read. */
enum sc_status sc_groups_absorb_file(struct sc_groups *to, const uint32_t *remap,
                                     const struct sc_groups *from, struct sc_partition *partition);
bool sc_groups_absorb_table(struct sc_groups *to, const uint32_t *remap, struct sc_partition *partition);

/* Whether nobody waits for the groups any more: see sc_groups_set_cancel. */
bool sc_groups_stopped(const struct sc_groups *groups);

/* What stands before the strings and entries of a partial result in bytes. */
void sc_groups_write_head(struct sc_buf *out, const struct sc_aggregate *aggregate, uint32_t strings,
                          uint64_t entries);

/* Adds the accumulators of one entry to another's. */
void sc_groups_combine(const struct sc_aggregate *aggregate, uint8_t *to, const uint8_t *from);

/* Accumulators that have seen nothing. */
void sc_entry_clear(const struct sc_aggregate *aggregate, uint8_t *entry);

/* Adds one value to an accumulator. A new one is 0; a new MIN is UINT64_MAX. */
static inline void sc_accumulate(enum sc_accumulate how, uint8_t *at, uint64_t v)
{
    uint64_t old = sc_load_le64(at);
    switch (how) {
    case SC_ACCUMULATE_SUM:
    case SC_ACCUMULATE_COUNT:
    case SC_ACCUMULATE_DISTINCT:
    case SC_ACCUMULATE_HARMONIC:
        v = sc_add_saturated(v, old);
        break;
    case SC_ACCUMULATE_MIN:
        v = old < v ? old : v;
        break;
    case SC_ACCUMULATE_MAX:
    case SC_ACCUMULATE_PERCENTILE: /* one partial result alone has it */
        v = old > v ? old : v;
        break;
    default:
        v |= old;
        break;
    }
    sc_store_le64(at, v);
}

/* Behind the last entry: accumulators are written in vectors, with what lies behind them (group/add.c). */
#define SC_ENTRY_SLACK 64u

/* Bytes for entries, and that slack, in large pages where there are many; to be freed with free. NULL without memory. */
uint8_t *sc_groups_make_block(size_t bytes);

#endif
