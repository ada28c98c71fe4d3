// SPDX-License-Identifier: BSD-3-Clause
/* The whole of it: scanned, parsed, and freed when that fails. */
#include "base/clock.h"
#include "filter/filter_parser.h"

#include <stdlib.h>
#include <string.h>

enum sc_status sc_filter_parse(const struct sc_ie_learned *learned, const char *text, struct sc_filter **out,
                               struct sc_error *err)
{
    size_t length = strlen(text);
    *out = NULL;
    if (length > SC_FILTER_TEXT_MAX)
        return sc_fail(err, SC_USAGE, "the filter has %zu bytes, more than %u\n%.60s...\n^", length,
                       SC_FILTER_TEXT_MAX, text);
    struct sc_filter_parse p = {.text = text,
                                .length = (uint32_t)length,
                                .now_ms = sc_clock_wall_ms(),
                                .learned = learned,
                                .err = err};
    if (!sc_filter_scan(&p) || (sc_filter_yyparse(&p) != 0 && p.status == SC_OK))
        sc_filter_no_memory(&p);
    free(p.tokens);
    if (p.status != SC_OK)
        sc_filter_free_nodes(&p);
    else
        *out = p.result;
    return p.status;
}
