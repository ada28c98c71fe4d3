// SPDX-License-Identifier: BSD-3-Clause
#include "ie/learned.h"

#include "base/array.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* IANA "IPFIX Information Element Semantics". */
static const char *const semantics_names[] = {"default",      "quantity",    "totalCounter",
                                              "deltaCounter", "identifier",  "flags",
                                              "list",         "snmpCounter", "snmpGauge"};
/* IANA "IPFIX Information Element Units". */
static const char *const unit_names[] = {"-",           "bits",          "octets",       "packets",
                                         "flows",       "seconds",       "milliseconds", "microseconds",
                                         "nanoseconds", "4-octet_words", "messages",     "hops",
                                         "entries",     "frames",        "ports",        "inferred"};

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

static const char *name_of(const char *const *names, size_t count, unsigned number)
{
    return number < count ? names[number] : names[0];
}

/* ---- the table ---- */

void sc_ie_learned_free(struct sc_ie_learned *table)
{
    free(table->entries);
    *table = (struct sc_ie_learned){0};
}

static int compare_key(const struct sc_ie_definition *d, uint32_t pen, uint16_t id)
{
    if (d->pen != pen)
        return d->pen < pen ? -1 : 1;
    return d->id < id ? -1 : d->id > id;
}

/* Index of the first entry that is not less. */
static uint32_t lower_bound(const struct sc_ie_learned *table, uint32_t pen, uint16_t id)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (compare_key(&table->entries[mid], pen, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The pseudo enterprises are ours: what is told of them on the wire is of somebody who claims them. */
static bool can_be_learned(const struct sc_ie_definition *d)
{
    return d->type < SC_TYPE_COUNT && d->id != 0 && d->pen < SC_PEN_COLLECTOR &&
           sc_ie_find(d->pen, d->id) == NULL;
}

static enum sc_ie_learning insert(struct sc_ie_learned *table, uint32_t at, const struct sc_ie_definition *d)
{
    if (table->count == SC_IE_LEARNED_MAX)
        return SC_IE_FULL;
    if (!sc_array_more(table->entries, table->count, 1))
        return SC_IE_NOMEM;
    memmove(&table->entries[at + 1], &table->entries[at], (table->count - at) * sizeof(*d));
    table->entries[at] = *d;
    table->count++;
    return SC_IE_NEW;
}

/* Exporters tell their definitions again and again: that is no change, and no reason to write a file. */
static bool same_meaning(const struct sc_ie_definition *x, const struct sc_ie_definition *y)
{
    return x->type == y->type && x->semantics == y->semantics && x->units == y->units &&
           strcmp(x->name, y->name) == 0;
}

enum sc_ie_learning sc_ie_learned_add(struct sc_ie_learned *table, const struct sc_ie_definition *definition)
{
    struct sc_ie_definition d = *definition;
    if (!can_be_learned(&d))
        return SC_IE_REFUSED;
    /* Numbers without a name would not come back from a line. */
    d.semantics = d.semantics < COUNT(semantics_names) ? d.semantics : 0;
    d.units = d.units < COUNT(unit_names) ? d.units : 0;
    uint32_t at = lower_bound(table, d.pen, d.id);
    if (at == table->count || compare_key(&table->entries[at], d.pen, d.id) != 0)
        return insert(table, at, &d);
    struct sc_ie_definition *known = &table->entries[at];
    if (same_meaning(known, &d)) {
        known->since_ms = d.since_ms < known->since_ms ? d.since_ms : known->since_ms;
        return SC_IE_KNOWN;
    }
    if (d.since_ms < known->since_ms) /* of a copy that is behind, or of an old capture */
        return SC_IE_KNOWN;
    *known = d;
    return SC_IE_CHANGED;
}

/* ---- names ---- */

void sc_ie_definition_name(struct sc_ie_definition *definition, const void *name, size_t length)
{
    const unsigned char *c = name;
    definition->name[0] = '\0';
    while (length > 0 && c[length - 1] == '\0') /* a field of fixed length */
        length--;
    if (length == 0 || length >= sizeof(definition->name) || !isalpha(c[0]) || !isascii(c[0]))
        return;
    for (size_t i = 1; i < length; i++) {
        if (!isascii(c[i]) || (!isalnum(c[i]) && c[i] != '_' && c[i] != '-' && c[i] != '.'))
            return;
    }
    memcpy(definition->name, name, length);
    definition->name[length] = '\0';
}

/* Who came first keeps a name: a later one, perhaps of someone else, cannot take it over. */
static bool owns_name(const struct sc_ie_learned *table, const struct sc_ie_definition *d)
{
    if (d->name[0] == '\0' || sc_ie_find_name(d->name, strlen(d->name)) != NULL)
        return false;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct sc_ie_definition *other = &table->entries[i];
        bool before = other->since_ms < d->since_ms || (other->since_ms == d->since_ms && other < d);
        if (before && strcasecmp(other->name, d->name) == 0)
            return false;
    }
    return true;
}

/* ---- finding ---- */

/* An element without a name of its own still has its type. */
static void describe(const struct sc_ie_learned *table, const struct sc_ie_definition *d, struct sc_ie *out)
{
    *out = (struct sc_ie){
        .pen = d->pen,
        .id = d->id,
        .type = d->type,
        .name = owns_name(table, d) ? d->name : NULL,
        .semantics = name_of(semantics_names, COUNT(semantics_names), d->semantics),
        .unit = name_of(unit_names, COUNT(unit_names), d->units),
    };
}

bool sc_ie_learned_find(const struct sc_ie_learned *table, uint32_t pen, uint16_t id, struct sc_ie *out)
{
    if (table == NULL)
        return false;
    uint32_t at = lower_bound(table, pen, id);
    if (at == table->count || compare_key(&table->entries[at], pen, id) != 0)
        return false;
    describe(table, &table->entries[at], out);
    return true;
}

bool sc_ie_learned_find_name(const struct sc_ie_learned *table, const char *name, size_t length,
                             struct sc_ie *out)
{
    for (uint32_t i = 0; table != NULL && i < table->count; i++) {
        const struct sc_ie_definition *d = &table->entries[i];
        if (length == 0 || length >= sizeof(d->name) || strncasecmp(d->name, name, length) != 0 ||
            d->name[length] != '\0')
            continue;
        describe(table, d, out);
        if (out->name != NULL)
            return true;
    }
    return false;
}

/* ---- lines ---- */

size_t sc_ie_definition_format(const struct sc_ie_definition *d, char *out)
{
    int n = snprintf(out, SC_IE_LEARNED_LINE_MAX, "%" PRIu32 " %u %s %s %s %" PRIu64 " %s", d->pen, d->id,
                     sc_ie_type_name((enum sc_ie_type)d->type),
                     name_of(semantics_names, COUNT(semantics_names), d->semantics),
                     name_of(unit_names, COUNT(unit_names), d->units), d->since_ms,
                     d->name[0] == '\0' ? "-" : d->name);
    return (size_t)n;
}

static bool parse_number(const char *word, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)*word))
        return false;
    *out = strtoull(word, &end, 10);
    return *end == '\0' && errno == 0 && *out <= most;
}

static bool parse_name(const char *word, const char *const *names, size_t count, uint64_t *out)
{
    for (*out = 0; *out < count; (*out)++) {
        if (strcmp(word, names[*out]) == 0)
            return true;
    }
    return false;
}

static bool parse_type(const char *word, uint64_t *out)
{
    for (*out = 0; *out < SC_TYPE_COUNT; (*out)++) {
        if (strcmp(word, sc_ie_type_name((enum sc_ie_type) * out)) == 0)
            return true;
    }
    return false;
}

enum { WORDS = 7 };

/* Cuts at single spaces, in place. False when the words are not as many as they should be. */
static bool cut_words(char *line, const char *words[WORDS])
{
    for (unsigned i = 0; i < WORDS; i++) {
        char *space = strchr(line, ' ');
        words[i] = line;
        if ((space != NULL) != (i + 1 < WORDS) || *line == '\0')
            return false;
        if (space != NULL) {
            *space = '\0';
            line = space + 1;
        }
    }
    return true;
}

bool sc_ie_definition_parse(const char *line, size_t length, struct sc_ie_definition *out)
{
    char copy[SC_IE_LEARNED_LINE_MAX];
    const char *words[WORDS];
    uint64_t pen, id, type, semantics, units, since;
    if (length >= sizeof(copy) || memchr(line, '\0', length) != NULL)
        return false;
    memcpy(copy, line, length);
    copy[length] = '\0';
    if (!cut_words(copy, words) || !parse_number(words[0], UINT32_MAX, &pen) ||
        !parse_number(words[1], UINT16_MAX, &id) || !parse_type(words[2], &type) ||
        !parse_name(words[3], semantics_names, COUNT(semantics_names), &semantics) ||
        !parse_name(words[4], unit_names, COUNT(unit_names), &units) ||
        !parse_number(words[5], UINT64_MAX, &since))
        return false;
    *out = (struct sc_ie_definition){.pen = (uint32_t)pen,
                                     .id = (uint16_t)id,
                                     .type = (uint8_t)type,
                                     .semantics = (uint8_t)semantics,
                                     .units = (uint16_t)units,
                                     .since_ms = since};
    sc_ie_definition_name(out, words[6], strlen(words[6]));
    return out->name[0] != '\0' || strcmp(words[6], "-") == 0;
}
