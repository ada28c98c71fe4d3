// SPDX-License-Identifier: BSD-3-Clause
/*
 * Names that options data give to interfaces, VRFs and applications, and the address that an exporter tells of
 * itself. Exporters reassign them mid-stream, so they are joined here, in the order of arrival:
 * a flow record carries the names that were in force when it came.
 *
 * The keys come from the network: the hash is seeded, the tables and the lengths are bounded.
 */
#include "base/array.h"
#include "base/hash.h"
#include "wire/options.h"

#include "wire/exporter.h"

#include <stdlib.h>

#define MAX_ENTRIES     65536u /* of one map */
#define MAX_NAME        255u
#define MAX_APPLICATION 15u /* bytes of an applicationId: RFC 6759 knows none of more than 12 */
#define NAME_OVERHEAD   16u /* about what malloc adds to a short name */

/* ---- the table ---- */

static bool same_key(struct sc_map_key a, struct sc_map_key b)
{
    return a.low == b.low && a.high == b.high;
}

static uint64_t hash_of(struct sc_map_key key, uint64_t seed)
{
    return sc_hash_pair(key.low, key.high, seed);
}

/* NULL: the key is not in the map. */
static struct sc_map_entry *find(const struct sc_name_map *map, uint64_t seed, struct sc_map_key key)
{
    struct sc_probe p = sc_table_first(&map->table, hash_of(key, seed));
    while (p.number != SC_TABLE_NONE && !same_key(map->entries[p.number].key, key))
        sc_table_next(&map->table, &p);
    return p.number == SC_TABLE_NONE ? NULL : &map->entries[p.number];
}

static void charge(struct sc_domain *domain, size_t more, size_t less)
{
    domain->session->bytes = domain->session->bytes + more - less;
    domain->maps->bytes = domain->maps->bytes + more - less;
}

/* Of a table of so many slots, and of the entries that it has room for. */
static size_t map_bytes(uint32_t slots)
{
    return slots * sizeof(uint64_t) + slots / 2 * sizeof(struct sc_map_entry);
}

static enum sc_status make_place(struct sc_domain *domain, struct sc_name_map *map)
{
    uint32_t slots = map->table.size;
    if (map->count < slots / 2)
        return SC_OK;
    size_t more = map_bytes(sc_table_size(map->count + 1)) - map_bytes(slots);
    if (!sc_session_has_room_for_names(domain->session, more))
        return SC_LIMIT;
    if (!sc_array_more(map->entries, map->count, 1) || !sc_table_reserve(&map->table, 1))
        return SC_NOMEM;
    charge(domain, more, 0);
    return SC_OK;
}

static size_t name_bytes(const uint8_t *name)
{
    return name == NULL ? 0 : (size_t)name[0] + 1 + NAME_OVERHEAD;
}

/* The last entry takes its place. */
static void take_out(struct sc_domain *domain, struct sc_name_map *map, struct sc_map_entry *entry)
{
    uint32_t place = (uint32_t)(entry - map->entries), last = --map->count;
    charge(domain, 0, name_bytes(entry->name));
    free(entry->name);
    sc_table_remove(&map->table, hash_of(entry->key, domain->seed), place);
    if (place == last)
        return;
    *entry = map->entries[last];
    sc_table_renumber(&map->table, hash_of(entry->key, domain->seed), last, place);
}

/* ---- what is known of a domain ---- */

static enum sc_status make_maps(struct sc_domain *domain)
{
    if (domain->maps != NULL)
        return SC_OK;
    if (!sc_session_has_room_for_names(domain->session, sizeof(*domain->maps)))
        return SC_LIMIT;
    domain->maps = calloc(1, sizeof(*domain->maps));
    if (domain->maps == NULL)
        return SC_NOMEM;
    charge(domain, sizeof(*domain->maps), 0);
    return SC_OK;
}

/* The key is not in the map. */
static enum sc_status add_name(struct sc_domain *domain, const struct sc_map_item *item, uint32_t length)
{
    struct sc_name_map *map = &domain->maps->names[item->kind];
    if (map->count >= MAX_ENTRIES)
        return SC_LIMIT;
    SC_TRY(make_place(domain, map));
    if (!sc_session_has_room_for_names(domain->session, length + 1 + NAME_OVERHEAD))
        return SC_LIMIT;
    uint8_t *name = malloc(length + 1);
    if (name == NULL)
        return SC_NOMEM;
    name[0] = (uint8_t)length;
    memcpy(name + 1, item->name, length);
    map->entries[map->count] = (struct sc_map_entry){.key = item->key, .name = name};
    sc_table_add(&map->table, hash_of(item->key, domain->seed), map->count++);
    charge(domain, name_bytes(name), 0);
    sc_session_changed(domain->session);
    return SC_OK;
}

/* NetFlow v9 sends strings in fields of fixed length. */
static uint32_t text_length(const uint8_t *text, uint32_t length)
{
    while (length != 0 && text[length - 1] == 0)
        length--;
    return length;
}

enum sc_status sc_domain_put_name(struct sc_domain *domain, const struct sc_map_item *item)
{
    uint32_t length = text_length(item->name, item->length);
    if (domain->maps == NULL && length == 0)
        return SC_OK;
    SC_TRY(make_maps(domain));
    struct sc_name_map *map = &domain->maps->names[item->kind];
    struct sc_map_entry *old = find(map, domain->seed, item->key);
    if (old != NULL) {
        if (old->name[0] == length && memcmp(old->name + 1, item->name, length) == 0)
            return SC_OK; /* exporters repeat themselves every minute */
        take_out(domain, map, old);
        sc_session_changed(domain->session);
    }
    if (length == 0 || length > MAX_NAME)
        return SC_OK;
    return add_name(domain, item, length);
}

enum sc_status sc_domain_put_exporter(struct sc_domain *domain, const struct sc_addr *exporter)
{
    SC_TRY(make_maps(domain));
    struct sc_domain_maps *maps = domain->maps;
    if (!maps->exporter_known || !sc_addr_equal(&maps->exporter, exporter))
        sc_session_changed(domain->session);
    maps->exporter = *exporter;
    maps->exporter_known = true;
    return SC_OK;
}

enum sc_status sc_maps_merge(struct sc_domain *mine, const struct sc_domain *theirs, bool newer)
{
    for (unsigned kind = 0; theirs->maps != NULL && kind < SC_MAP_COUNT; kind++) {
        const struct sc_name_map *from = &theirs->maps->names[kind];
        for (uint32_t i = 0; i < from->count; i++) {
            const struct sc_map_entry *e = &from->entries[i];
            const struct sc_name_map *to = mine->maps == NULL ? NULL : &mine->maps->names[kind];
            bool known = to != NULL && find(to, mine->seed, e->key) != NULL;
            if (known && !newer)
                continue;
            const struct sc_map_item item = {
                .kind = (enum sc_map_kind)kind, .key = e->key, .name = e->name + 1, .length = e->name[0]};
            if (sc_domain_put_name(mine, &item) == SC_NOMEM)
                return SC_NOMEM;
        }
    }
    bool told = mine->maps != NULL && mine->maps->exporter_known;
    if (theirs->maps == NULL || !theirs->maps->exporter_known || (told && !newer))
        return SC_OK;
    return sc_domain_put_exporter(mine, &theirs->maps->exporter) == SC_NOMEM ? SC_NOMEM : SC_OK;
}

/* ---- options records ---- */

/* The first of the record's numbers that is not 0: one that names both directions fills in the other with 0. */
static bool first_number(const struct sc_run *run, uint32_t i, enum sc_special first, enum sc_special last,
                         struct sc_map_key *key)
{
    bool found = false;
    *key = (struct sc_map_key){0};
    for (unsigned special = first; special <= last && key->low == 0; special++)
        found |= sc_run_special(run, (enum sc_special)special, i, &key->low);
    return found;
}

static bool application_key(const struct sc_run *run, uint32_t i, struct sc_map_key *key)
{
    uint8_t b[2 * sizeof(uint64_t)] = {0};
    const uint8_t *id;
    uint32_t length;
    if (!sc_run_bytes(run, SC_SPECIAL_APPLICATION_ID, i, &id, &length) || length == 0 ||
        length > MAX_APPLICATION)
        return false;
    memcpy(b, id, length);
    b[sizeof(b) - 1] = (uint8_t)length;
    *key = (struct sc_map_key){.low = sc_load_le64(b), .high = sc_load_le64(b + sizeof(uint64_t))};
    return true;
}

static bool key_of_item(const struct sc_run *run, uint32_t i, enum sc_map_kind kind, struct sc_map_key *key)
{
    switch (kind) {
    case SC_MAP_INTERFACE:
        return first_number(run, i, SC_SPECIAL_SCOPE_INTERFACE, SC_SPECIAL_EGRESS_PHYSICAL, key);
    case SC_MAP_VRF:
        return first_number(run, i, SC_SPECIAL_INGRESS_VRF, SC_SPECIAL_EGRESS_VRF, key);
    default:
        return application_key(run, i, key);
    }
}

/* interfaceName where there is one, else interfaceDescription. */
static void take_name(const struct sc_run *run, uint32_t i, enum sc_map_kind kind, struct sc_map_item *item)
{
    static const uint8_t specials[SC_MAP_COUNT] = {SC_SPECIAL_INTERFACE_NAME, SC_SPECIAL_VRF_NAME,
                                                   SC_SPECIAL_APPLICATION_NAME};
    bool found = sc_run_bytes(run, (enum sc_special)specials[kind], i, &item->name, &item->length);
    if (kind == SC_MAP_INTERFACE && (!found || text_length(item->name, item->length) == 0))
        sc_run_bytes(run, SC_SPECIAL_INTERFACE_TEXT, i, &item->name, &item->length);
}

static enum sc_status apply_names(const struct sc_run *run, uint32_t i)
{
    for (unsigned kind = 0; kind < SC_MAP_COUNT; kind++) {
        struct sc_map_item item = {.kind = (enum sc_map_kind)kind};
        if ((run->template_record->names >> kind & 1) == 0 || !key_of_item(run, i, item.kind, &item.key))
            continue;
        take_name(run, i, item.kind, &item);
        enum sc_status status = sc_domain_put_name(run->domain, &item);
        if (status != SC_OK && status != SC_LIMIT)
            return status; /* one name too many stays unknown */
    }
    return SC_OK;
}

/* An original exporter goes before an exporter, and no address is all zero. */
static bool told_address(const struct sc_run *run, uint32_t i, struct sc_addr *address)
{
    static const uint8_t specials[] = {SC_SPECIAL_ORIGINAL_V4, SC_SPECIAL_ORIGINAL_V6, SC_SPECIAL_EXPORTER_V4,
                                       SC_SPECIAL_EXPORTER_V6};
    static const uint8_t zeros[sizeof(address->b)];
    for (size_t k = 0; k < sizeof(specials); k++) {
        const uint8_t *p;
        uint32_t length, wanted = k % 2 == 0 ? 4 : sizeof(address->b);
        if (!sc_run_bytes(run, (enum sc_special)specials[k], i, &p, &length) || length != wanted ||
            memcmp(p, zeros, length) == 0)
            continue;
        if (length == 4)
            *address = sc_addr_v4(sc_load_be32(p));
        else
            memcpy(address->b, p, sizeof(address->b));
        return true;
    }
    return false;
}

enum sc_status sc_maps_apply(const struct sc_run *run)
{
    struct sc_addr exporter;
    for (uint32_t i = 0; i < run->count; i++) {
        SC_TRY(apply_names(run, i));
        if (!run->template_record->tells_exporter || !told_address(run, i, &exporter))
            continue;
        if (sc_domain_put_exporter(run->domain, &exporter) == SC_NOMEM)
            return SC_NOMEM;
    }
    return SC_OK;
}

/* ---- columns of flow records ---- */

/* A column of names and the field of the record that they are looked up by. */
struct name_column {
    uint16_t id;
    uint8_t map;     /* enum sc_map_kind */
    uint8_t special; /* enum sc_special */
    uint8_t other;   /* where the template has no `special`: the physical interface, as in the field `inif` */
};

static const struct name_column name_columns[] = {
    {SC_IE_INGRESS_INTERFACE_NAME, SC_MAP_INTERFACE, SC_SPECIAL_INGRESS_INTERFACE,
     SC_SPECIAL_INGRESS_PHYSICAL},
    {SC_IE_EGRESS_INTERFACE_NAME, SC_MAP_INTERFACE, SC_SPECIAL_EGRESS_INTERFACE, SC_SPECIAL_EGRESS_PHYSICAL},
    {SC_IE_INGRESS_VRF_NAME, SC_MAP_VRF, SC_SPECIAL_INGRESS_VRF, SC_SPECIAL_INGRESS_VRF},
    {SC_IE_EGRESS_VRF_NAME, SC_MAP_VRF, SC_SPECIAL_EGRESS_VRF, SC_SPECIAL_EGRESS_VRF},
    {SC_IE_APPLICATION_NAME, SC_MAP_APPLICATION, SC_SPECIAL_APPLICATION_ID, SC_SPECIAL_APPLICATION_ID},
};

#define MAPPED_COLUMNS (sizeof(name_columns) / sizeof(name_columns[0]))
#define TOLD_EXPORTER  MAPPED_COLUMNS /* its place behind them in own->names */

_Static_assert(TOLD_EXPORTER + 1 == SC_NAME_COLUMNS, "a slot for each column");

static struct sc_column *begin_column(const struct sc_run *run, size_t which, struct sc_column_key key,
                                      unsigned width)
{
    return sc_batch_begin(run->batch, key, &run->decoder->own.names[which], width, run->count);
}

/* Neighbours often have the same name: the one found last is kept. */
struct lookup {
    const struct sc_name_map *map;
    enum sc_special special;
    bool found; /* `key` and `name` are those of a record before */
    struct sc_map_key key;
    const uint8_t *name;
};

/* The name of record i; NULL: none is known. */
static const uint8_t *look_up(struct lookup *l, const struct sc_run *run, uint32_t i)
{
    struct sc_map_key key = {0};
    if (l->special == SC_SPECIAL_APPLICATION_ID ? !application_key(run, i, &key)
                                                : !sc_run_special(run, l->special, i, &key.low))
        return NULL;
    if (!l->found || !same_key(key, l->key)) {
        const struct sc_map_entry *e = find(l->map, run->decoder->seed, key);
        l->name = e == NULL ? NULL : e->name;
        l->key = key;
        l->found = true;
    }
    return l->name;
}

/* The column begins with the first record that has a name. */
static enum sc_status put_names(const struct sc_run *run, size_t which, struct lookup *l)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = name_columns[which].id, .kind = SC_COLUMN_BYTES};
    uint32_t i = 0;
    while (i < run->count && look_up(l, run, i) == NULL)
        i++;
    if (i == run->count)
        return SC_OK;
    struct sc_column *c = begin_column(run, which, key, 0);
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t nulls = 0; nulls < i; nulls++)
        SC_TRY(sc_column_put_null(c));
    for (; i < run->count; i++) {
        const uint8_t *name = look_up(l, run, i);
        SC_TRY(name == NULL ? sc_column_put_null(c) : sc_column_put_bytes(c, name + 1, name[0]));
    }
    return SC_OK;
}

static enum sc_status put_told_exporter(const struct sc_run *run)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_TOLD_EXPORTER, .kind = SC_COLUMN_ADDRESS};
    struct sc_column *c = begin_column(run, TOLD_EXPORTER, key, sizeof(struct sc_addr));
    if (c == NULL)
        return SC_NOMEM;
    for (uint32_t i = 0; i < run->count; i++)
        sc_column_put_addr(c, &run->domain->maps->exporter);
    return SC_OK;
}

enum sc_status sc_maps_append(const struct sc_run *run)
{
    const struct sc_domain_maps *maps = run->domain->maps;
    const uint16_t *special = run->template_record->special;
    for (size_t which = 0; which < MAPPED_COLUMNS; which++) {
        const struct name_column *column = &name_columns[which];
        uint8_t by = special[column->special] != 0 ? column->special : column->other;
        struct lookup l = {.map = &maps->names[column->map], .special = (enum sc_special)by};
        if (l.map->count != 0 && special[by] != 0)
            SC_TRY(put_names(run, which, &l));
    }
    return maps->exporter_known ? put_told_exporter(run) : SC_OK;
}
