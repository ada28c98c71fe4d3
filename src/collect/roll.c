// SPDX-License-Identifier: BSD-3-Clause
#include "collect/roll.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

#define ENTRY_OVERHEAD 48u /* of an entry beside itself: its place, its part of the table, what malloc adds */

void sc_roll_init(struct sc_roll *roll, size_t most)
{
    *roll = (struct sc_roll){.most = most, .seed = sc_hash_draw_seed()};
}

void sc_roll_free(struct sc_roll *roll)
{
    for (uint32_t i = roll->first; i < roll->place_count; i++)
        free(roll->places[i].entry);
    free(roll->places);
    sc_table_free(&roll->table);
    sc_roll_init(roll, roll->most);
}

/* ---- by session ---- */

static uint64_t hash_of(const struct sc_roll *roll, const struct sc_record_head *head)
{
    uint64_t low = sc_load_le64(head->exporter.b), high = sc_load_le64(head->exporter.b + sizeof(low));
    return sc_hash_pair(low, high, roll->seed + head->port);
}

static struct sc_roll_entry *find(const struct sc_roll *roll, const struct sc_record_head *head,
                                  uint64_t hash)
{
    struct sc_probe p = sc_table_first(&roll->table, hash);
    for (; p.number != SC_TABLE_NONE; sc_table_next(&roll->table, &p)) {
        struct sc_roll_entry *e = roll->places[p.number].entry;
        if (e->head.port == head->port && sc_addr_equal(&e->head.exporter, &head->exporter))
            return e;
    }
    return NULL;
}

static size_t weight(const struct sc_roll_entry *entry)
{
    return sizeof(*entry) + ENTRY_OVERHEAD + entry->length;
}

static void take_out(struct sc_roll *roll, struct sc_roll_entry *entry)
{
    sc_table_remove(&roll->table, entry->hash, entry->at);
    roll->places[entry->at].entry = NULL;
    roll->bytes -= weight(entry);
    roll->count--;
    free(entry);
}

void sc_roll_forget(struct sc_roll *roll, const struct sc_record_head *head)
{
    struct sc_roll_entry *entry = find(roll, head, hash_of(roll, head));
    if (entry != NULL && entry->head.seen_ms <= head->seen_ms)
        take_out(roll, entry);
}

/* ---- room ---- */

/* The one to go: the first that is not of an established exporter, else the first. */
static struct sc_roll_entry *first_to_go(struct sc_roll *roll)
{
    const struct sc_roll_place *places = roll->places;
    while (roll->first < roll->place_count && places[roll->first].entry == NULL)
        roll->first++;
    if (roll->first_new < roll->first)
        roll->first_new = roll->first;
    while (roll->first_new < roll->place_count &&
           (places[roll->first_new].entry == NULL || places[roll->first_new].entry->head.established))
        roll->first_new++;
    uint32_t at = roll->first_new < roll->place_count ? roll->first_new : roll->first;
    return at < roll->place_count ? places[at].entry : NULL;
}

static void count_left_out(struct sc_roll *roll, const struct sc_record_head *head)
{
    roll->left_out++;
    roll->left_out_of = head->exporter;
}

void sc_roll_leave_out(struct sc_roll *roll)
{
    struct sc_roll_entry *entry = first_to_go(roll);
    if (entry == NULL)
        return;
    count_left_out(roll, &entry->head);
    take_out(roll, entry);
}

/* Moves the entries up to the begin of the order. */
static void close_ranks(struct sc_roll *roll)
{
    uint32_t to = 0;
    for (uint32_t from = 0; from < roll->place_count; from++) {
        struct sc_roll_place place = roll->places[from];
        if (place.entry == NULL)
            continue;
        sc_table_renumber(&roll->table, place.entry->hash, from, to);
        place.entry->at = to;
        roll->places[to++] = place;
    }
    roll->place_count = to;
    roll->first = roll->first_new = 0;
}

static enum sc_status make_place(struct sc_roll *roll)
{
    if (roll->place_count == roll->place_capacity && roll->count < roll->place_capacity / 2)
        close_ranks(roll);
    return sc_array_reserve(roll->places, roll->place_capacity, roll->place_count + 1) &&
                   sc_table_reserve(&roll->table, 1)
               ? SC_OK
               : SC_NOMEM;
}

/* ---- taking ---- */

static void append(struct sc_roll *roll, struct sc_roll_entry *entry)
{
    entry->at = roll->place_count++;
    sc_table_add(&roll->table, entry->hash, entry->at);
    roll->places[entry->at] = (struct sc_roll_place){.number = entry->number, .entry = entry};
    roll->bytes += weight(entry);
    roll->count++;
}

/* Whether the record says nothing new beside the one that is there. */
static bool is_no_news(const struct sc_roll_entry *old, const struct sc_record_head *head,
                       const uint8_t *record, size_t length)
{
    if (head->hearsay && !old->head.hearsay && head->seen_ms <= old->head.seen_ms)
        return true;
    return old->length == length && memcmp(old->record, record, length) == 0;
}

static struct sc_roll_entry *make_entry(const struct sc_record_head *head, const uint8_t *record,
                                        size_t length, uint64_t number, uint64_t hash)
{
    struct sc_roll_entry *entry = malloc(sizeof(*entry) + length);
    if (entry == NULL)
        return NULL;
    *entry =
        (struct sc_roll_entry){.number = number, .hash = hash, .length = (uint32_t)length, .head = *head};
    memcpy(entry->record, record, length);
    return entry;
}

enum sc_status sc_roll_put(struct sc_roll *roll, const uint8_t *record, size_t length, uint64_t number,
                           bool *news)
{
    struct sc_record_head head;
    *news = false;
    SC_TRY(sc_record_head(record, length, &head));
    if (head.removed) {
        sc_roll_forget(roll, &head);
        return SC_OK;
    }
    uint64_t hash = hash_of(roll, &head);
    struct sc_roll_entry *old = find(roll, &head, hash);
    if (old != NULL && is_no_news(old, &head, record, length))
        return SC_OK;
    SC_TRY(make_place(roll));
    struct sc_roll_entry *entry = make_entry(&head, record, length, number, hash);
    if (entry == NULL)
        return SC_NOMEM;
    if (old != NULL)
        take_out(roll, old);
    append(roll, entry);
    *news = true;
    while (roll->bytes > roll->most)
        sc_roll_leave_out(roll);
    return SC_OK;
}

/* ---- reading ---- */

const struct sc_roll_entry *sc_roll_after(const struct sc_roll *roll, uint64_t number)
{
    uint32_t low = roll->first, high = roll->place_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (roll->places[mid].number <= number)
            low = mid + 1;
        else
            high = mid;
    }
    while (low < roll->place_count && roll->places[low].entry == NULL)
        low++;
    return low < roll->place_count ? roll->places[low].entry : NULL;
}
