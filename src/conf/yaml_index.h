// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where each key and list entry of a YAML document stands. libcyaml loads documents but tells places only
 * roughly; this index gives the line for a path such as "retention.age" or "listeners[1]", and where its value is, to be replaced.
 */
#ifndef SC_CONF_YAML_INDEX_H
#define SC_CONF_YAML_INDEX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SC_YAML_PATH_MAX 256

struct sc_yaml_place {
    char path[SC_YAML_PATH_MAX];
    unsigned line, column; /* of the key or the entry; from 1, and from 0 */
    size_t value_begin,
        value_end; /* of a key whose value is a scalar, in characters from the beginning of the document; else 0 */
    bool flow; /* a key in { } */
};

struct sc_yaml_index {
    struct sc_yaml_place *places; /* in the order of the document */
    size_t count;
    bool empty; /* nothing but comments */
};

/* Indexes one document. @return SC_OK; SC_USAGE: no YAML, or more than one document ("NAME:LINE: ...");
 * SC_NOMEM. */
enum sc_status sc_yaml_index_build(const char *name, const uint8_t *bytes, size_t length,
                                   struct sc_yaml_index *out, struct sc_error *err);
void sc_yaml_index_free(struct sc_yaml_index *index);

/* The first place with this path; NULL: there is none. */
const struct sc_yaml_place *sc_yaml_index_find(const struct sc_yaml_index *index, const char *path);

/* Whether the document has a place with this path. */
bool sc_yaml_index_has(const struct sc_yaml_index *index, const char *path);

/* The line of the `nth` place (from 0) with this path; of its nearest ancestor when there is none; 1 for
 * none. */
unsigned sc_yaml_index_line(const struct sc_yaml_index *index, const char *path, unsigned nth);

#endif
