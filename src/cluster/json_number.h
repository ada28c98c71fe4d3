// SPDX-License-Identifier: BSD-3-Clause
#ifndef SC_CLUSTER_JSON_NUMBER_H
#define SC_CLUSTER_JSON_NUMBER_H

#include <jansson.h>
#include <stdint.h>

/* A count or a time that another node tells; 0 when there is none, or one that is no whole number, or negative. */
static inline uint64_t sc_json_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value < 0 ? 0 : (uint64_t)value;
}

#endif
