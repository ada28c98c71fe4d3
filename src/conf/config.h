// SPDX-License-Identifier: BSD-3-Clause
/*
 * The collector's configuration: a YAML file with a schema (man sc-collector, contrib/collector.yaml). What
 * is not in the file has the default. Errors name the file, the line, what is wrong and what is allowed.
 */
#ifndef SC_CONF_CONFIG_H
#define SC_CONF_CONFIG_H

#include "conf/values.h"

#define SC_CONFIG_DEFAULT_FILE "/etc/securitycloud/collector.yaml"

/*
 * Reads the file over what *config holds. @return SC_OK; SC_NOTFOUND, SC_IO; SC_USAGE with "FILE:LINE: ...";
 * SC_NOMEM. *config is unchanged unless SC_OK.
 */
enum sc_status sc_config_load(const char *path, struct sc_config *config, struct sc_error *err);

/* The same from memory; `name` stands for the file in messages. */
enum sc_status sc_config_parse(const char *name, const uint8_t *bytes, size_t length,
                               struct sc_config *config, struct sc_error *err);

#endif
