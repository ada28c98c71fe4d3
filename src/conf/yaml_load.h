// SPDX-License-Identifier: BSD-3-Clause
/*
 * A YAML document by a schema of libcyaml: structure checked, values as text, errors with file, line, what is wrong and what
 * is allowed. The values are read by the caller, whose complaints sc_yaml_located puts in their place.
 */
#ifndef SC_CONF_YAML_LOAD_H
#define SC_CONF_YAML_LOAD_H

#include "conf/yaml_index.h"

#include <cyaml/cyaml.h>

#define SC_YAML_TEXT(key, flags, type, member)                                                               \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), type, member, 0, CYAML_UNLIMITED)

struct sc_yaml {
    const char *name; /* of the file, for messages; borrowed */
    const cyaml_schema_value_t *schema;
    struct sc_yaml_index index;
    cyaml_data_t *data;   /* of the schema's type; NULL for an empty document */
    struct sc_error *err; /* the caller's, for what he finds in it */
};

/* `schema`: a mapping behind a pointer. @return SC_OK; SC_USAGE with "NAME:LINE: ..."; SC_NOMEM. */
enum sc_status sc_yaml_parse(const char *name, const uint8_t *bytes, size_t length,
                             const cyaml_schema_value_t *schema, struct sc_yaml *out, struct sc_error *err);
void sc_yaml_free(struct sc_yaml *document);

/* All of a file, malloc'ed; `what` it is, for messages ("configuration"). @return SC_OK, SC_NOTFOUND, SC_IO, SC_USAGE,
 * SC_NOMEM. */
enum sc_status sc_yaml_read_file(const char *path, const char *what, uint8_t **bytes, size_t *length,
                                 struct sc_error *err);

/* Returns `status`; when it is SC_USAGE, *document->err gets "NAME:LINE: PATH: " before what a value's own reader left in it. */
enum sc_status sc_yaml_located(const struct sc_yaml *document, const char *path, enum sc_status status);

/* SC_USAGE with "NAME:LINE: PATH: " and the message. */
enum sc_status sc_yaml_fail(const struct sc_yaml *document, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
