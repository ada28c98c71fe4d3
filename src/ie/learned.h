// SPDX-License-Identifier: BSD-3-Clause
/*
 * Elements whose name and type exporters tell in options records (RFC 5610). The registry wins: what it knows is never learned.
 *
 * What exporters tell may be wrong or hostile. The table is bounded. A name that cannot be written in a filter, that the registry
 * has, or that another element had before, is not used; the element keeps its type and is called "pen:id".
 *
 * A table belongs to one thread while it is added to. Once built it may be read by any number of threads.
 */
#ifndef SC_IE_LEARNED_H
#define SC_IE_LEARNED_H

#include "ie/ie.h"

#define SC_IE_LEARNED_MAX      4096u
#define SC_IE_LEARNED_NAME_MAX 54u /* with the NUL: "#256" and ":bytes" have to fit behind it */
#define SC_IE_LEARNED_LINE_MAX 256u

/* One definition. `semantics` and `units` are the numbers of IANA's registries, see RFC 5610 sections 3.9 and 3.10. */
struct sc_ie_definition {
    uint32_t pen;
    uint16_t id;
    uint8_t type; /* enum sc_ie_type: informationElementDataType counts alike */
    uint8_t semantics;
    uint16_t units;
    uint64_t since_ms;                 /* when it was told first, ms UTC */
    char name[SC_IE_LEARNED_NAME_MAX]; /* "" when none can be used */
};

struct sc_ie_learned {
    struct sc_ie_definition *entries; /* by (pen, id); malloc'ed */
    uint32_t count;
};

enum sc_ie_learning {
    SC_IE_KNOWN,   /* nothing new */
    SC_IE_NEW,     /* an element that was not there */
    SC_IE_CHANGED, /* another definition than before, and a later one */
    SC_IE_REFUSED, /* the registry knows it, or it is nothing that can be learned */
    SC_IE_FULL,    /* SC_IE_LEARNED_MAX elements are there */
    SC_IE_NOMEM
};

/* Frees what the table holds; a zeroed one is empty. */
void sc_ie_learned_free(struct sc_ie_learned *table);

/* Takes a definition. Of two of one element the later one holds; of equal ones the time of the first is kept. */
enum sc_ie_learning sc_ie_learned_add(struct sc_ie_learned *table, const struct sc_ie_definition *definition);

/* Copies a name to a definition, or "" when it cannot be one: a letter, then letters, digits, `_`, `-`, `.`. */
void sc_ie_definition_name(struct sc_ie_definition *definition, const void *name, size_t length);

/*
 * The element as if the registry had it; out->name is NULL where none is used. Its texts live as long as the table (the name) and
 * for ever (the others). `table` may be NULL. O(log n) and, for the name, O(n).
 */
bool sc_ie_learned_find(const struct sc_ie_learned *table, uint32_t pen, uint16_t id, struct sc_ie *out);
/* By a name that is used, case-insensitive. O(n). */
bool sc_ie_learned_find_name(const struct sc_ie_learned *table, const char *name, size_t length,
                             struct sc_ie *out);

/*
 * One line of text, without its end: "PEN ID TYPE SEMANTICS UNIT SINCE NAME", one space between, "-" for no unit and no name.
 * Returns the length; out has SC_IE_LEARNED_LINE_MAX bytes.
 */
size_t sc_ie_definition_format(const struct sc_ie_definition *definition, char *out);
/* @return false when the line is no definition. */
bool sc_ie_definition_parse(const char *line, size_t length, struct sc_ie_definition *out);

#endif
