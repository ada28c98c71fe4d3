// SPDX-License-Identifier: BSD-3-Clause
/*
 * A roll: of each session the record that came last (wire/decoder.h), in the order in which they came, within a bound. Over the
 * bound those that came longest ago are left out, those of established exporters last. Belongs to one thread, or is locked by its
 * owner. Memory is malloc, all of it counted.
 */
#ifndef SC_COLLECT_ROLL_H
#define SC_COLLECT_ROLL_H

#include "base/table.h"
#include "wire/decoder.h"

struct sc_roll_entry {
    uint64_t number;
    uint64_t hash; /* of its session */
    uint32_t at;   /* its place in the order */
    uint32_t length;
    struct sc_record_head head;
    uint8_t record[];
};

struct sc_roll_place {
    uint64_t number;
    struct sc_roll_entry *entry; /* NULL: it was replaced or left out */
};

struct sc_roll {
    size_t most, bytes; /* that it may take, that it takes */
    uint32_t count;
    uint64_t number;            /* for the owner: of the last record that came */
    uint64_t left_out;          /* how many found no room */
    struct sc_addr left_out_of; /* the exporter of the last one */
    /* of the roll */
    struct sc_table table;        /* of places, by session */
    struct sc_roll_place *places; /* by ascending number */
    uint32_t place_count, place_capacity;
    uint32_t first;     /* there is nothing before this place */
    uint32_t first_new; /* and before this one nothing but established exporters */
    uint64_t seed;
};

void sc_roll_init(struct sc_roll *roll, size_t most);
void sc_roll_free(struct sc_roll *roll);

/*
 * Takes a record under a number greater than all before. One that says its session is gone takes that one out (sc_roll_forget).
 * Hearsay never replaces what an exporter itself said here later. *news: the roll has changed by more than what had to make room.
 * @return SC_OK; SC_DAMAGED, SC_UNSUPPORTED (sc_record_head); SC_NOMEM: the roll is as before.
 */
enum sc_status sc_roll_put(struct sc_roll *roll, const uint8_t *record, size_t length, uint64_t number,
                           bool *news);
/* Takes out what is known of the session, unless it is newer than what the head says. */
void sc_roll_forget(struct sc_roll *roll, const struct sc_record_head *head);
/* Leaves out one, as if there were no room. */
void sc_roll_leave_out(struct sc_roll *roll);

/* The first entry with a greater number. NULL: there is none. */
const struct sc_roll_entry *sc_roll_after(const struct sc_roll *roll, uint64_t number);

#endif
