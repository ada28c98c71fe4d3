// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/healing_json.h"

#include "base/clock.h"

#include <stdlib.h>

static void put(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

/* Null for 0. */
static void put_time(json_t *object, const char *key, uint64_t ms)
{
    char text[32];
    sc_time_format_utc(ms, text, sizeof(text));
    json_object_set_new(object, key, ms == 0 ? json_null() : json_string(text));
}

static void put_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text[0] == '\0' ? json_null() : json_string(text));
}

json_t *sc_healing_json(struct sc_healer *healer)
{
    struct sc_healer_stats s;
    json_t *object = json_object();
    sc_healer_get_stats(healer, &s);
    put(object, "rounds", s.rounds);
    json_object_set_new(object, "hurried", json_boolean(s.hurried));
    put(object, "lacking_batches", s.lacking_batches);
    put(object, "lacking_windows", s.lacking_windows);
    put_time(object, "lacking_since", s.lacking_since_ms);
    put_time(object, "whole_at", s.whole_ms);
    put(object, "whole_to_ms", s.whole_to_ms);
    put(object, "pulled_row_groups", s.groups);
    put(object, "pulled_batches", s.batches);
    put(object, "pulled_bytes", s.bytes);
    put(object, "failed", s.failed);
    put_text(object, "from", s.from);
    put_text(object, "problem", s.problem);
    return object;
}

bool sc_healing_problem(struct sc_healer *healer, char *out, size_t size)
{
    struct sc_healer_stats s;
    char since[32];
    sc_healer_get_stats(healer, &s);
    if (s.lacking_since_ms == 0)
        return false;
    sc_time_format_utc(s.lacking_since_ms, since, sizeof(since));
    snprintf(out, size,
             "%llu batches of %llu windows that ought to be here are with others only, since %s%s%s",
             (unsigned long long)s.lacking_batches, (unsigned long long)s.lacking_windows, since,
             s.problem[0] == '\0' ? "" : ": ", s.problem);
    return true;
}

enum sc_status sc_healing_answer(struct sc_healer *healer, struct sc_control_status *out)
{
    json_t *object = healer == NULL ? json_pack("{s:s}", "error", "this node holds no batches of a cluster")
                                    : json_pack("{s:o}", "healing", sc_healing_json(healer));
    char *text = object == NULL ? NULL : json_dumps(object, JSON_ENSURE_ASCII);
    json_decref(object);
    if (text == NULL)
        return SC_NOMEM;
    sc_buf_append_str(&out->text, text);
    free(text);
    return sc_buf_ok(&out->text) ? SC_OK : SC_NOMEM;
}
