// SPDX-License-Identifier: BSD-3-Clause
/* The configuration over arbitrary bytes: it is read, or refused with file and line. */
#include "conf/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct sc_config config;
    struct sc_error err;
    if (sc_config_init(&config, &err) != SC_OK)
        return 0;
    enum sc_status status = sc_config_parse("f.yaml", bytes, length, &config, &err);
    if (status == SC_USAGE && strncmp(err.message, "f.yaml:", 7) != 0)
        __builtin_trap();
    if (status == SC_OK && (config.window_s == 0 || config.receivers == 0 || config.listener_count == 0))
        __builtin_trap();
    sc_config_free(&config);
    return 0;
}
