// SPDX-License-Identifier: BSD-3-Clause
/* Rows of a row group to groups: keys and accumulated values column by column, then row by row into the
 * table. */
#include "group/aggregate.h"

#include "flow/vector.h"
#include "group/rows.h"
#include "group/time_bucket.h"

#include <stdlib.h>

#define PACE   4096u            /* rows between two looks at the table's size */
#define NO_ID  UINT32_MAX       /* not looked up yet, or no memory */
#define ABSENT (UINT32_MAX - 1) /* not among the strings of closed groups: no group can have it */

static bool make_values(struct sc_row_values *v)
{
    v->values = malloc(SC_ROW_GROUP_ROWS * sizeof(uint64_t));
    v->valid = malloc(SC_ROW_GROUP_ROWS / 8);
    return v->values != NULL && v->valid != NULL;
}

static void free_values(struct sc_row_values *v)
{
    free(v->values);
    free(v->valid);
}

void sc_group_scratch_free(struct sc_group_scratch *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < SC_MAX_KEYS; i++) {
        free_values(&s->keys[i]);
        free_values(&s->others[i]);
    }
    for (unsigned i = 0; i < SC_MAX_ACCUMULATORS; i++)
        free_values(&s->accumulators[i]);
    free(s->rows);
    free(s->packed);
    free(s->known);
    free(s->direct);
    free(s);
}

static struct sc_group_scratch *make_scratch(const struct sc_aggregate *a)
{
    struct sc_group_scratch *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->rows = malloc(SC_ROW_GROUP_ROWS * sizeof(*s->rows));
    s->packed = calloc(SC_GROUP_CHUNK, a->key_bytes);
    bool ok = s->rows != NULL && s->packed != NULL;
    for (uint32_t k = 0; k < a->key_count && ok; k++)
        ok = make_values(&s->keys[k]) && (!a->keys[k].pair || make_values(&s->others[k]));
    for (uint32_t i = 0; i < a->accumulator_count && ok; i++)
        ok = make_values(&s->accumulators[i]);
    if (!ok) {
        sc_group_scratch_free(s);
        return NULL;
    }
    return s;
}

static bool all_set(const uint64_t *bits, uint32_t rows)
{
    for (uint32_t w = 0; w < rows / 64; w++) {
        if (bits[w] != ~UINT64_C(0))
            return false;
    }
    return rows % 64 == 0 || bits[rows / 64] == (UINT64_C(1) << (rows % 64)) - 1;
}

/* ---- interned keys ---- */

struct sc_addr sc_group_mask_key(const struct sc_group_key *key, const struct sc_addr *address)
{
    bool v4 = sc_addr_is_v4(address);
    unsigned prefix = v4 ? key->prefix4 : key->prefix6;
    return prefix == SC_NO_PREFIX ? *address : sc_addr_mask(address, v4 ? prefix + 96 : prefix);
}

static uint32_t intern_row(struct sc_groups *groups, const struct sc_group_key *key,
                           const struct sc_field *field, const struct sc_column *const *columns,
                           uint32_t count, uint32_t row, bool *null)
{
    struct sc_value v = sc_field_value(field, columns, count, row);
    *null = v.null;
    if (v.null)
        return 0;
    if (field->type == SC_VALUE_ADDRESS) {
        v.addr = sc_group_mask_key(key, &v.addr);
        v.bytes = v.addr.b;
        v.length = sizeof(v.addr.b);
    }
    if (!groups->closed)
        return sc_interner_add(&groups->interner, v.bytes, v.length);
    uint32_t id = sc_interner_find(&groups->interner, v.bytes, v.length);
    return id == UINT32_MAX ? ABSENT : id;
}

static uint32_t code_of(const struct sc_column *c, uint32_t row)
{
    if (c->form == SC_FORM_CONST)
        return 0;
    if (c->width == 1)
        return ((const uint8_t *)c->values)[row];
    if (c->width == 2)
        return ((const uint16_t *)c->values)[row];
    return ((const uint32_t *)c->values)[row];
}

/* The dictionary column that alone decides the field, or NULL: then each distinct value is interned only
 * once. */
static const struct sc_column *deciding_dictionary(const struct sc_field *field,
                                                   const struct sc_column *const *columns, uint32_t count)
{
    if (count != 1 || columns[0]->form == SC_FORM_FLAT || field->computed != SC_COMPUTED_NONE)
        return NULL;
    return columns[0];
}

static bool is_address_column(const struct sc_field *field, const struct sc_column *dict)
{
    return dict != NULL && dict->key.kind == SC_COLUMN_ADDRESS && dict->form == SC_FORM_DICT &&
           sc_field_plain(field, &dict, 1) != NULL;
}

/* True when the rows' integers can be taken from the column itself. */
static bool find_plain(const struct sc_field *field, const struct sc_column *const *columns, uint32_t count,
                       struct sc_row_values *out)
{
    const struct sc_column *c = sc_field_plain(field, columns, count);
    out->plain = c != NULL && c->key.kind == SC_COLUMN_UINT && c->nulls == 0 ? c : NULL;
    out->ones = field->computed == SC_COMPUTED_FLOWS && count == 0;
    out->all_valid = true;
    return out->plain != NULL || out->ones;
}

/* Numbers for all dictionary entries that selected rows use; ids of the others stay NO_ID. */
static enum sc_status intern_dictionary(struct sc_groups *groups, const struct sc_group_key *key,
                                        struct sc_row_group *group, const struct sc_column *dict,
                                        const uint32_t *rows, uint32_t row_count, uint32_t *ids)
{
    struct sc_arena *arena = &group->context->arena;
    uint32_t entries = dict->dict.count, used = 0;
    struct sc_addr *addresses = sc_arena_alloc(arena, (size_t)entries * sizeof(*addresses));
    uint32_t *codes = sc_arena_alloc(arena, (size_t)entries * sizeof(*codes));
    uint32_t *numbers = sc_arena_alloc(arena, (size_t)entries * sizeof(*numbers));
    if (addresses == NULL || codes == NULL || numbers == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < row_count; i++) {
        if (!sc_column_is_null(dict, rows[i]))
            ids[code_of(dict, rows[i])] = 0;
    }
    for (uint32_t code = 0; code < entries; code++) {
        if (ids[code] != NO_ID) {
            codes[used] = code;
            addresses[used++] = sc_group_mask_key(key, (const struct sc_addr *)dict->dict.values + code);
        }
    }
    if (!groups->closed && !sc_interner_add_addresses(&groups->interner, addresses, used, numbers))
        return SC_NOMEM;
    for (uint32_t i = 0; groups->closed && i < used; i++) {
        numbers[i] = sc_interner_find(&groups->interner, addresses[i].b, sizeof(addresses[i].b));
        numbers[i] = numbers[i] == UINT32_MAX ? ABSENT : numbers[i];
    }
    for (uint32_t i = 0; i < used; i++)
        ids[codes[i]] = numbers[i];
    return SC_OK;
}

static enum sc_status intern_rows(struct sc_groups *groups, const struct sc_group_key *key,
                                  const struct sc_field *field, struct sc_row_group *group,
                                  const struct sc_column *const *columns, uint32_t count,
                                  const uint32_t *rows, uint32_t row_count, struct sc_row_values *out)
{
    const struct sc_column *dict = deciding_dictionary(field, columns, count);
    uint32_t *ids = NULL;
    if (dict != NULL) {
        ids = sc_arena_alloc(&group->context->arena, (size_t)dict->dict.count * sizeof(*ids));
        if (ids == NULL)
            return SC_NOMEM;
        memset(ids, 0xff, (size_t)dict->dict.count * sizeof(*ids));
        if (is_address_column(field, dict))
            SC_TRY(intern_dictionary(groups, key, group, dict, rows, row_count, ids));
    }
    memset(out->valid, 0, sc_bitmap_words(group->rows) * sizeof(*out->valid));
    for (uint32_t i = 0; i < row_count; i++) {
        uint32_t row = rows[i], id = NO_ID;
        bool null = dict != NULL && sc_column_is_null(dict, row);
        uint32_t code = dict != NULL && !null ? code_of(dict, row) : 0;
        if (dict != NULL && !null)
            id = ids[code];
        if (id == NO_ID && !null) {
            id = intern_row(groups, key, field, columns, count, row, &null);
            if (id == NO_ID)
                return SC_NOMEM;
            if (dict != NULL && !null)
                ids[code] = id;
        }
        out->values[row] = null ? 0 : id;
        if (!null)
            out->valid[row / 64] |= UINT64_C(1) << (row % 64);
    }
    return SC_OK;
}

/* The dictionary of addresses that alone decides the only key, or NULL. */
static enum sc_status coded_key(const struct sc_groups *groups, struct sc_row_group *group,
                                const struct sc_column **out, struct sc_error *err)
{
    const struct sc_group_key *key = &groups->aggregate->keys[0];
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    *out = NULL;
    if (groups->aggregate->key_count != 1 || groups->closed || key->pair ||
        key->field.type != SC_VALUE_ADDRESS)
        return SC_OK;
    SC_TRY(sc_field_load(&key->field, group, columns, &count, err));
    const struct sc_column *dict = deciding_dictionary(&key->field, columns, count);
    *out = is_address_column(&key->field, dict) ? dict : NULL;
    return SC_OK;
}

/* ---- columns of keys and accumulators ---- */

/* Values to the begins of their buckets; a null row keeps its 0. */
static void round_rows(const struct sc_group_key *key, uint32_t rows, struct sc_row_values *v)
{
    struct sc_time_bucket bucket = {.size = key->bucket};
    for (uint32_t i = 0; key->local && i < rows; i++) {
        if (sc_row_is_set(v->valid, i))
            v->values[i] = sc_time_bucket_start(&bucket, v->values[i]);
    }
    for (uint32_t i = 0; key->bucket != 0 && !key->local && i < rows; i++)
        v->values[i] -= v->values[i] % key->bucket;
}

static enum sc_status key_rows(struct sc_groups *groups, const struct sc_group_key *key,
                               const struct sc_field *field, struct sc_row_group *group, uint32_t row_count,
                               struct sc_row_values *out, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(field, group, columns, &count, err));
    out->plain = NULL;
    out->ones = false;
    if (key->interned) {
        if (intern_rows(groups, key, field, group, columns, count, groups->scratch->rows, row_count, out) !=
            SC_OK)
            return sc_fail_nomem(err, "groups");
    } else if (key->bucket == 0 && !key->pair && find_plain(field, columns, count, out)) {
        return SC_OK;
    } else {
        sc_field_integers(field, columns, count, group->rows, out->values, out->valid);
        round_rows(key, group->rows, out);
    }
    out->all_valid = all_set(out->valid, group->rows);
    return SC_OK;
}

static enum sc_status accumulator_rows(const struct sc_accumulator *a, struct sc_row_group *group,
                                       struct sc_row_values *out, struct sc_error *err)
{
    const struct sc_column *columns[4 * SC_FIELD_COLUMNS];
    uint32_t count = 0;
    SC_TRY(sc_field_load(&a->field, group, columns, &count, err));
    if (a->how != SC_ACCUMULATE_COUNT && find_plain(&a->field, columns, count, out))
        return SC_OK;
    out->plain = NULL;
    out->ones = false;
    sc_field_integers(&a->field, columns, count, group->rows, out->values, out->valid);
    out->all_valid = all_set(out->valid, group->rows);
    for (uint32_t i = 0; a->how == SC_ACCUMULATE_COUNT && i < group->rows; i++)
        out->values[i] = 1;
    return SC_OK;
}

static void list_rows(const struct sc_selection *selection, uint32_t rows, uint32_t *out)
{
    uint32_t n = 0;
    for (size_t w = 0; w < sc_bitmap_words(rows); w++) {
        uint64_t bits = selection->rows[w];
        if (bits == ~UINT64_C(0)) {
            for (uint32_t i = 0; i < 64; i++)
                out[n + i] = (uint32_t)(w * 64) + i;
            n += 64;
            continue;
        }
        for (; bits != 0; bits &= bits - 1)
            out[n++] = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
    }
}

/* ---- packing and adding ---- */

static bool pack_key(const struct sc_groups *groups, uint32_t k, const struct sc_row_values *from,
                     uint32_t at, const uint32_t *rows, uint32_t n)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    unsigned width = a->keys[k].width;
    const uint32_t *hashes = a->keys[k].interned ? groups->interner.hashes : NULL;
    uint64_t too_large = 0, limit = width == 8 ? 0 : ~UINT64_C(0) << (8 * width), seed = a->seed;
    uint8_t *p = s->packed + at;
    uint64_t values[SC_GROUP_CHUNK];
    sc_group_take_values(from, rows, n, values);
    for (uint32_t j = 0; j < n; j++, p += a->key_bytes) {
        uint64_t v = values[j];
        bool null = !from->all_valid && !sc_row_is_set(from->valid, rows[j]);
        too_large |= v & limit;
        sc_key_store(p, width, v);
        s->nulls[j] |= (uint64_t)null << k;
        s->hashes[j] =
            sc_hash_more(s->hashes[j], hashes != NULL && !null && v != ABSENT ? hashes[v] : v, seed);
    }
    return too_large == 0;
}

/* The entry of each packed key, by its hash. */
static enum sc_status search(struct sc_groups *groups, const uint32_t *rows, uint32_t n, uint32_t *count)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    for (uint32_t j = 0; j < n; j++) {
        sc_key_store(s->packed + (size_t)j * a->key_bytes + a->null_at, a->key_count > 8 ? 2 : 1,
                     s->nulls[j]);
        s->hashes[j] = sc_hash_end(s->hashes[j]);
        sc_groups_prefetch_slot(groups, s->hashes[j]);
    }
    for (uint32_t j = 0; j < n; j++)
        sc_groups_prefetch_entry(groups, s->hashes[j]);
    uint32_t found = 0;
    for (uint32_t j = 0; j < n; j++) {
        uint8_t *entry = sc_groups_find(groups, s->packed + (size_t)j * a->key_bytes, s->hashes[j]);
        if (entry == NULL && !groups->closed)
            return SC_NOMEM;
        s->entries[found] = entry;
        s->found[found] = rows[j];
        found += entry != NULL;
    }
    *count = found;
    return SC_OK;
}

/* Keys from `keys` (or, for pair keys in the second pass, the other field), packed, and searched for. */
static enum sc_status pack_and_search(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                      const uint32_t *rows, uint32_t n, uint32_t *found)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    uint32_t at = 0;
    uint64_t start = sc_hash_begin(a->seed);
    for (uint32_t j = 0; j < n; j++) {
        s->hashes[j] = start;
        s->nulls[j] = 0;
    }
    for (uint32_t k = 0; k < a->key_count; k++) {
        if (!pack_key(groups, k, keys[k], at, rows, n))
            return SC_LIMIT;
        at += a->keys[k].width;
    }
    return search(groups, rows, n, found);
}

/* ---- one key whose entries are known ---- */

/* Looks the rows up whose value has not been met before: their places in the chunk are in `places`. */
static enum sc_status learn(struct sc_groups *groups, const struct sc_row_values *const *keys,
                            const uint32_t *rows, const uint32_t *places, const uint64_t *indices, uint32_t n)
{
    struct sc_group_scratch *s = groups->scratch;
    uint8_t *entries[SC_GROUP_CHUNK];
    uint32_t missing[SC_GROUP_CHUNK], found;
    for (uint32_t i = 0; i < n; i++)
        missing[i] = rows[places[i]];
    memcpy(entries, s->entries, sizeof(entries));
    SC_TRY(pack_and_search(groups, keys, missing, n, &found));
    for (uint32_t i = 0; i < n; i++) {
        entries[places[i]] = s->entries[i];
        s->known[indices[places[i]]] = s->entries[i];
    }
    memcpy(s->entries, entries, sizeof(entries));
    return SC_OK;
}

static enum sc_status find_known(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                 const uint32_t *rows, uint32_t n)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    uint64_t indices[SC_GROUP_CHUNK];
    uint32_t places[SC_GROUP_CHUNK], unknown = 0;
    sc_group_take_values(keys[0], rows, n, indices);
    for (uint32_t j = 0; j < n; j++) {
        bool null = !keys[0]->all_valid && !sc_row_is_set(keys[0]->valid, rows[j]);
        indices[j] = null ? 0 : indices[j] + 1;
        s->entries[j] = s->known[indices[j]];
        __builtin_prefetch(s->entries[j], 1);
        __builtin_prefetch(s->entries[j] + a->entry_bytes - 1, 1); /* it may lie across two lines */
        places[unknown] = j;
        unknown += s->entries[j] == NULL;
    }
    return unknown == 0 ? SC_OK : learn(groups, keys, rows, places, indices, unknown);
}

/* ---- one key with an entry for each of its values ---- */

/* What a table of all values costs pays only for more rows than this. */
#define MANY_ROWS 4096u
#define LINE      64u

static uint32_t direct_stride(const struct sc_aggregate *a)
{
    return a->entry_bytes <= LINE ? LINE : a->entry_bytes; /* best is one line of the cache for each */
}

static uint32_t direct_count(const struct sc_aggregate *a)
{
    return 1 + (1u << (8 * a->keys[0].width));
}

static void init_direct(const struct sc_aggregate *a, uint8_t *table)
{
    uint32_t stride = direct_stride(a);
    memset(table, 0, (size_t)direct_count(a) * stride);
    sc_key_store(table + a->null_at, 1, 1);
    for (uint32_t i = 0; i < direct_count(a); i++, table += stride) {
        if (i > 0)
            sc_key_store(table, a->keys[0].width, i - 1);
        for (uint32_t k = 0; k < a->accumulator_count; k++) {
            if (a->accumulators[k].how == SC_ACCUMULATE_MIN)
                sc_store_le64(table + a->accumulators_at + 8 * k, UINT64_MAX);
        }
    }
}

/* Without memory the rows are searched for, as others are. */
static void need_direct(struct sc_groups *groups, uint32_t rows)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    bool bit_free = a->accumulator_count % 8 != 0 || a->accumulator_count == 0;
    if (s->direct != NULL || a->key_count != 1 || groups->closed || a->keys[0].interned ||
        a->keys[0].width > 2 || !bit_free || rows < MANY_ROWS)
        return;
    s->direct = sc_groups_make_block((size_t)direct_count(a) * direct_stride(a));
    if (s->direct == NULL)
        return;
    init_direct(a, s->direct);
    s->direct_seen = UINT64_C(1) << (a->accumulator_count > 8 ? 15 : 7);
}

static enum sc_status find_direct(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                  const uint32_t *rows, uint32_t n)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    uint32_t stride = direct_stride(a);
    uint64_t values[SC_GROUP_CHUNK], too_large = 0, limit = ~UINT64_C(0) << (8 * a->keys[0].width);
    sc_group_take_values(keys[0], rows, n, values);
    for (uint32_t j = 0; j < n; j++)
        too_large |= values[j] & limit;
    if (too_large != 0)
        return SC_LIMIT;
    for (uint32_t j = 0; j < n && keys[0]->all_valid; j++) {
        s->ahead[j] = s->direct + (size_t)(values[j] + 1) * stride;
        __builtin_prefetch(s->ahead[j], 1);
    }
    for (uint32_t j = 0; j < n && !keys[0]->all_valid; j++) {
        bool null = !sc_row_is_set(keys[0]->valid, rows[j]);
        s->ahead[j] = s->direct + (null ? 0 : (size_t)values[j] + 1) * stride;
        __builtin_prefetch(s->ahead[j], 1);
    }
    return SC_OK;
}

void sc_groups_merge_direct(struct sc_groups *to, struct sc_groups *from)
{
    const struct sc_aggregate *a = to->aggregate;
    if (to->scratch == NULL || from->scratch == NULL || to->scratch->direct == NULL ||
        from->scratch->direct == NULL)
        return;
    uint64_t had_rows = from->scratch->direct_seen;
    uint8_t *entry = to->scratch->direct, *other = from->scratch->direct;
    for (uint32_t i = 0; i < direct_count(a); i++, entry += direct_stride(a), other += direct_stride(a)) {
        uint64_t seen = sc_key_load(other + a->seen_at, a->accumulator_count > 8 ? 2 : 1);
        if ((seen & had_rows) != 0)
            sc_groups_combine(a, entry, other);
    }
    free(from->scratch->direct);
    from->scratch->direct = NULL;
    from->scratch->direct_seen = 0;
}

bool sc_groups_settle_direct(struct sc_groups *groups)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    if (s == NULL || s->direct == NULL)
        return true;
    unsigned width = a->accumulator_count > 8 ? 2 : 1;
    uint8_t *entry = s->direct;
    bool ok = true;
    for (uint32_t i = 0; i < direct_count(a) && ok; i++, entry += direct_stride(a)) {
        uint64_t seen = sc_key_load(entry + a->seen_at, width);
        if ((seen & s->direct_seen) == 0)
            continue;
        sc_key_store(entry + a->seen_at, width, seen & ~s->direct_seen);
        uint8_t *to = sc_groups_find(groups, entry, sc_groups_hash(groups, entry));
        ok = to != NULL;
        if (ok)
            sc_groups_combine(a, to, entry);
    }
    free(s->direct);
    s->direct = NULL;
    s->direct_seen = 0;
    return ok;
}

size_t sc_group_scratch_memory(const struct sc_groups *groups)
{
    const struct sc_group_scratch *s = groups->scratch;
    if (s == NULL)
        return 0;
    size_t direct =
        s->direct == NULL ? 0 : (size_t)direct_count(groups->aggregate) * direct_stride(groups->aggregate);
    return direct + s->known_count * sizeof(*s->known);
}

/* Up to SC_GROUP_CHUNK rows. */
static enum sc_status add_chunk(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                const uint32_t *rows, uint32_t n)
{
    struct sc_group_scratch *s = groups->scratch;
    if (groups->aggregate->key_count == 1 && s->known != NULL) {
        SC_TRY(find_known(groups, keys, rows, n));
        sc_group_add_values(groups->aggregate, s, rows, n);
        return SC_OK;
    }
    uint32_t found;
    SC_TRY(pack_and_search(groups, keys, rows, n, &found));
    sc_group_add_values(groups->aggregate, s, s->found, found);
    return SC_OK;
}

/* The entries of a chunk are fetched while the chunk before it is added. */
static enum sc_status add_direct(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                 uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    uint32_t n = count < SC_GROUP_CHUNK ? count : SC_GROUP_CHUNK;
    SC_TRY(find_direct(groups, keys, s->rows, n));
    for (uint32_t i = 0, next; i < count; i += n, n = next) {
        next = count - i - n < SC_GROUP_CHUNK ? count - i - n : SC_GROUP_CHUNK;
        memcpy(s->entries, s->ahead, n * sizeof(*s->entries));
        if (next != 0)
            SC_TRY(find_direct(groups, keys, s->rows + i + n, next));
        sc_group_add_values(groups->aggregate, s, s->rows + i, n);
    }
    return SC_OK;
}

static enum sc_status add_listed(struct sc_groups *groups, const struct sc_row_values *const *keys,
                                 uint32_t count)
{
    bool may_spill = groups->aggregate->key_count > 1 && !groups->closed;
    sc_groups_need_known(groups);
    need_direct(groups, count);
    if (groups->scratch->direct != NULL)
        return add_direct(groups, keys, count);
    for (uint32_t i = 0; i < count; i += SC_GROUP_CHUNK) {
        uint32_t n = count - i < SC_GROUP_CHUNK ? count - i : SC_GROUP_CHUNK;
        SC_TRY(add_chunk(groups, keys, groups->scratch->rows + i, n));
        if (may_spill && (i + SC_GROUP_CHUNK) % PACE == 0)
            SC_TRY(sc_groups_consider_spill(groups, PACE));
    }
    return SC_OK;
}

/*
 * The two passes of a pair key. First pass: rows by the first value, save those that have only the second.
 * Second pass: rows that have a second value which is another one.
 */
static uint32_t pair_rows(const struct sc_row_values *first, const struct sc_row_values *second,
                          bool second_pass, const uint32_t *all, uint32_t count, uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = all[i];
        bool has_first = sc_row_is_set(first->valid, row), has_second = sc_row_is_set(second->valid, row);
        bool take = second_pass ? has_second && (!has_first || first->values[row] != second->values[row])
                                : has_first || !has_second;
        if (take)
            out[n++] = row;
    }
    return n;
}

static enum sc_status add_pair(struct sc_groups *groups, const struct sc_row_values **keys, uint32_t k,
                               uint32_t *all, uint32_t count)
{
    struct sc_group_scratch *s = groups->scratch;
    uint32_t *listed = s->rows;
    enum sc_status status = SC_OK;
    memcpy(all, listed, count * sizeof(*all));
    for (int pass = 0; pass < 2 && status == SC_OK; pass++) {
        uint32_t n = pair_rows(&s->keys[k], &s->others[k], pass == 1, all, count, listed);
        keys[k] = pass == 0 ? &s->keys[k] : &s->others[k];
        status = add_listed(groups, keys, n);
    }
    return status;
}

/* Rows whose key is of no group that is there leave the list; returns how many are left. */
static uint32_t drop_absent(struct sc_group_scratch *s, const struct sc_row_values *key, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->rows[n] = s->rows[i];
        n += key->values[s->rows[i]] != ABSENT;
    }
    return n;
}

/* The values of keys and accumulators to the scratch; *count becomes the number of rows that are left. */
static enum sc_status load_keys(struct sc_groups *groups, struct sc_row_group *group,
                                const struct sc_row_values **keys, uint32_t *count, uint32_t *pair,
                                struct sc_error *err)
{
    const struct sc_aggregate *a = groups->aggregate;
    struct sc_group_scratch *s = groups->scratch;
    for (uint32_t k = 0; k < a->key_count && *count != 0; k++) {
        SC_TRY(key_rows(groups, &a->keys[k], &a->keys[k].field, group, *count, &s->keys[k], err));
        keys[k] = &s->keys[k];
        if (a->keys[k].pair) {
            *pair = k;
            SC_TRY(key_rows(groups, &a->keys[k], &a->keys[k].other, group, *count, &s->others[k], err));
        } else if (groups->closed && a->keys[k].interned) {
            *count = drop_absent(s, &s->keys[k], *count);
        }
    }
    return SC_OK;
}

static enum sc_status add_keyed(struct sc_groups *groups, struct sc_row_group *group,
                                const struct sc_row_values **keys, uint32_t pair, uint32_t count)
{
    if (pair == SC_MAX_KEYS)
        return add_listed(groups, keys, count);
    uint32_t *all = sc_arena_alloc(&group->context->arena, (size_t)count * sizeof(*all));
    return all == NULL ? SC_NOMEM : add_pair(groups, keys, pair, all, count);
}

enum sc_status sc_groups_add_rows(struct sc_groups *groups, struct sc_row_group *group,
                                  const struct sc_selection *selection, struct sc_error *err)
{
    const struct sc_aggregate *a = groups->aggregate;
    const struct sc_row_values *keys[SC_MAX_KEYS];
    const struct sc_column *coded;
    if (groups->scratch == NULL && (groups->scratch = make_scratch(a)) == NULL)
        return sc_fail_nomem(err, "groups");
    struct sc_group_scratch *s = groups->scratch;
    uint32_t pair = SC_MAX_KEYS, count = selection->count;
    list_rows(selection, group->rows, s->rows);
    SC_TRY(coded_key(groups, group, &coded, err));
    if (coded == NULL)
        SC_TRY(load_keys(groups, group, keys, &count, &pair, err));
    if (count == 0)
        return SC_OK;
    for (uint32_t i = 0; i < a->accumulator_count; i++)
        SC_TRY(accumulator_rows(&a->accumulators[i], group, &s->accumulators[i], err));
    sc_group_bound_sums(groups, group->rows, count);
    enum sc_status status = coded != NULL ? sc_groups_add_coded(groups, group, coded, s->rows, count)
                                          : add_keyed(groups, group, keys, pair, count);
    if (status == SC_NOMEM)
        return sc_fail_nomem(err, "groups; ask for fewer keys or a narrower filter");
    return status == SC_LIMIT ? sc_fail(err, SC_LIMIT, "a key is wider than usual") : status;
}
