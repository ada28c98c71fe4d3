// SPDX-License-Identifier: BSD-3-Clause
/* The side of a member: what it answers for its store. */
#include "cluster/acceptance.h"
#include "cluster/expectation.h"
#include "cluster/horizons_told.h"

#include <stdlib.h>
#include <string.h>

/* Here and below: adds to `out` what was asked for. */
static enum sc_status tell_lanes(const char *store, const json_t *request, json_t *out, struct sc_error *err)
{
    struct sc_holdings lanes, held = {0};
    SC_TRY(sc_holdings_from_json(json_object_get(request, "lanes"), &lanes, err));
    enum sc_status status = sc_holdings_read_lanes(store, &lanes, &held, err);
    if (status == SC_OK)
        json_object_set_new(out, "held", sc_holdings_to_json(&held));
    sc_holdings_free(&held);
    sc_holdings_free(&lanes);
    return status;
}

/* Streams and tallies before the segments: what they call safe is then there to be found. */
static enum sc_status tell(const char *store, const json_t *request, json_t *out, struct sc_error *err)
{
    struct sc_holdings held;
    if (json_object_get(request, "lanes") != NULL)
        return tell_lanes(store, request, out, err);
    SC_TRY(sc_streams_to_answer(store, out, err));
    SC_TRY(sc_holdings_read(store, UINT32_MAX, &held, err));
    sc_horizons_to_answer(store, out);
    json_object_set_new(out, "held", sc_holdings_to_json(&held));
    sc_holdings_free(&held);
    return SC_OK;
}

/* A file without its proxy's name could not be read again. */
static enum sc_status check_names(const struct sc_losses *losses, struct sc_error *err)
{
    for (uint32_t i = 0; i < losses->stream_count; i++) {
        if (losses->streams[i].proxy[0] == '\0')
            return sc_fail(err, SC_MALFORMED, "what it was asked makes no sense: a stream has no proxy");
    }
    return SC_OK;
}

static enum sc_status record(const char *store, const json_t *request, struct sc_error *err)
{
    struct sc_holdings told;
    SC_TRY(sc_holdings_from_json(json_object_get(request, "losses"), &told, err));
    enum sc_status status = check_names(&told.losses, err);
    if (status == SC_OK)
        status = sc_losses_record(store, &told.losses, NULL, err);
    sc_holdings_free(&told);
    return status;
}

static enum sc_status undo(const char *store, const json_t *request, json_t *out, struct sc_error *err)
{
    const char *hex = json_string_value(json_object_get(request, "stream"));
    uint64_t stream = hex == NULL ? 0 : strtoull(hex, NULL, 16);
    struct sc_holdings was = {0};
    enum sc_status status =
        sc_losses_undo(store, hex == NULL ? NULL : &stream, json_is_true(json_object_get(request, "dry_run")),
                       &was.losses, NULL, err);
    if (status == SC_OK)
        json_object_set_new(out, "held", sc_holdings_to_json(&was));
    sc_holdings_free(&was);
    return status;
}

static enum sc_status answer(const char *store, const json_t *request, json_t *out, struct sc_error *err)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    if (what != NULL && strcmp(what, "tell") == 0)
        return tell(store, request, out, err);
    if (what != NULL && strcmp(what, "record") == 0)
        return record(store, request, err);
    if (what != NULL && strcmp(what, "undo") == 0)
        return undo(store, request, out, err);
    return sc_fail(err, SC_MALFORMED, "what it was asked makes no sense; is it of another version?");
}

json_t *sc_acceptance_answer(const char *store, const char *node, const json_t *request)
{
    struct sc_error err = {0};
    json_t *out = json_object();
    json_object_set_new(out, "node", node == NULL ? json_null() : json_string(node));
    if (answer(store, request, out, &err) != SC_OK)
        json_object_set_new(out, "problem", json_string(err.message));
    return out;
}
