// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/horizons_told.h"

#include "cluster/json_number.h"
#include "store/horizon.h"

#include <stdlib.h>
#include <string.h>

void sc_horizons_to_answer(const char *store, json_t *answer)
{
    struct sc_horizons file = {0};
    struct sc_buf text = {0};
    json_object_set_new(answer, "horizon_ms", json_integer((json_int_t)sc_store_horizon(store)));
    if (sc_horizons_read(store, &file, NULL) == SC_OK)
        sc_horizons_print(&file, &text);
    if (sc_buf_ok(&text) && text.len != 0)
        json_object_set_new(answer, "horizons", json_stringn((const char *)text.data, text.len));
    sc_buf_free(&text);
    sc_horizons_free(&file);
}

enum sc_status sc_horizons_from_answer(const json_t *answer, struct sc_horizons *all)
{
    const char *text = json_string_value(json_object_get(answer, "horizons"));
    char *copy = strdup(text == NULL ? "" : text);
    struct sc_horizons theirs = {0};
    if (copy == NULL)
        return SC_NOMEM;
    bool told = text != NULL && sc_horizons_parse(copy, &theirs) == SC_OK;
    free(copy);
    const struct sc_member_horizon own = {
        .lane = theirs.node, .own = true, .horizon_ms = sc_json_number(answer, "horizon_ms")};
    if (told)
        sc_horizons_tell(&theirs, &own);
    else
        theirs.alone_ms = own.horizon_ms;
    enum sc_status status = sc_horizons_add_all(all, &theirs);
    sc_horizons_free(&theirs);
    return status;
}
