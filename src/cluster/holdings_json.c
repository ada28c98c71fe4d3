// SPDX-License-Identifier: BSD-3-Clause
/*
 * Holdings as JSON, as one node sends them to another:
 *
 *   {"unreadable": 0, "windows": [{"start_ms": MS,
 *     "held": [{"stream": HEX, "lane": HEX, "batches": [[FIRST, LAST], ...]}, ...],
 *     "tallies": [{"proxy": NAME, "stream": HEX, "seconds": S, "lanes": [{"lane": HEX, "numbers": [8]}, ...]}]}],
 *   "losses": [{"proxy": NAME, "stream": HEX, "closed": BOOL,
 *     "lanes": [{"start_ms": MS, "seconds": S, "lane": HEX, "batches": [2], "records": [2]}, ...]}]}
 *
 * Batches whose records were asked for are [FIRST, LAST, KIND, RECORDS OF EACH]. Losses are those that an operator accepted, of flows
 * and of options records; nodes of before they were told have none, and at first they had no proxy, seconds and records.
 * Of a tally's lane the numbers are those of its file: batches and records of flows, then of options records, accepted; the same
 * of what is safe. Numbers of 64 bits that are no counts are hexadecimal texts, as JSON's integers are signed.
 */
#include "cluster/holdings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- to JSON ---- */

static json_t *hex(uint64_t v, int digits)
{
    return json_sprintf("%0*" PRIx64, digits, v);
}

static json_t *batches_json(const struct sc_holding *one)
{
    json_int_t first = (json_int_t)one->first, last = (json_int_t)one->last;
    return one->rows == 0
               ? json_pack("[I, I]", first, last)
               : json_pack("[I, I, I, I]", first, last, (json_int_t)one->kind, (json_int_t)one->rows);
}

/* Those of the window that begins at *next; it is then behind them. */
static json_t *held_json(const struct sc_holdings *h, uint64_t window_ms, uint32_t *next)
{
    json_t *list = json_array(), *batches = NULL;
    const struct sc_holding *before = NULL;
    for (; *next < h->count && h->list[*next].window_ms == window_ms; ++*next) {
        const struct sc_holding *one = &h->list[*next];
        if (before == NULL || before->stream != one->stream || before->lane != one->lane) {
            batches = json_array();
            json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "stream", hex(one->stream, 16), "lane",
                                                  hex(one->lane, 8), "batches", batches));
        }
        json_array_append_new(batches, batches_json(one));
        before = one;
    }
    return list;
}

static void add_counts(json_t *numbers, const struct sc_tally_count *count)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        json_array_append_new(numbers, json_integer((json_int_t)count->batches[kind]));
        json_array_append_new(numbers, json_integer((json_int_t)count->records[kind]));
    }
}

static json_t *tally_json(const struct sc_tally *t)
{
    json_t *lanes = json_array();
    for (uint32_t i = 0; i < t->lane_count; i++) {
        json_t *numbers = json_array();
        add_counts(numbers, &t->lanes[i].accepted);
        add_counts(numbers, &t->lanes[i].safe);
        json_array_append_new(lanes,
                              json_pack("{s:o, s:o}", "lane", hex(t->lanes[i].lane, 8), "numbers", numbers));
    }
    return json_pack("{s:s, s:o, s:i, s:o}", "proxy", t->proxy, "stream", hex(t->stream, 16), "seconds",
                     (int)t->window_s, "lanes", lanes);
}

/* How far the holdings have been told; both lists are by window. */
struct place {
    uint32_t held, tally;
};

static json_t *window_json(const struct sc_holdings *h, uint64_t window_ms, struct place *next)
{
    json_t *tallies = json_array(), *held = held_json(h, window_ms, &next->held);
    for (; next->tally < h->tally_count && h->tallies[next->tally].window_ms == window_ms; next->tally++)
        json_array_append_new(tallies, tally_json(&h->tallies[next->tally]));
    return json_pack("{s:I, s:o, s:o}", "start_ms", (json_int_t)window_ms, "held", held, "tallies", tallies);
}

/* The window of what is told next; false when all is. */
static bool next_window(const struct sc_holdings *h, const struct place *next, uint64_t *window_ms)
{
    bool held = next->held < h->count, tally = next->tally < h->tally_count;
    *window_ms = held ? h->list[next->held].window_ms : UINT64_MAX;
    if (tally && h->tallies[next->tally].window_ms < *window_ms)
        *window_ms = h->tallies[next->tally].window_ms;
    return held || tally;
}

static json_t *counts_json(const uint64_t *of_kinds)
{
    return json_pack("[I, I]", (json_int_t)of_kinds[0], (json_int_t)of_kinds[1]);
}

static json_t *loss_json(const struct sc_loss *l)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "start_ms", (json_int_t)l->window_ms, "seconds",
                     (json_int_t)l->window_s, "lane", hex(l->lane, 8), "batches",
                     counts_json(l->lost.batches), "records", counts_json(l->lost.records));
}

static json_t *losses_json(const struct sc_losses *losses)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < losses->stream_count; i++) {
        const struct sc_stream *s = &losses->streams[i];
        json_t *lanes = json_array();
        for (uint32_t k = 0; k < losses->count; k++) {
            if (losses->list[k].stream == s->stream)
                json_array_append_new(lanes, loss_json(&losses->list[k]));
        }
        json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:o}", "proxy", s->proxy, "stream",
                                              hex(s->stream, 16), "closed", (int)s->closed, "lanes", lanes));
    }
    return list;
}

json_t *sc_holdings_to_json(const struct sc_holdings *h)
{
    json_t *windows = json_array();
    struct place next = {0, 0};
    for (uint64_t window_ms; next_window(h, &next, &window_ms);)
        json_array_append_new(windows, window_json(h, window_ms, &next));
    return json_pack("{s:I, s:o, s:o}", "unreadable", (json_int_t)h->unreadable, "windows", windows, "losses",
                     losses_json(&h->losses));
}

/* ---- from JSON: anything may have sent it ---- */

bool sc_holdings_is_proxy(const char *text)
{
    size_t length = strlen(text);
    bool good = length != 0 && length < SC_PROXY_NAME_MAX;
    for (size_t i = 0; good && i < length; i++)
        good = isgraph((unsigned char)text[i]) != 0;
    return good;
}

static bool read_hex(const json_t *object, const char *key, uint64_t most, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || text[0] == '\0' || strlen(text) > 16 ||
        strspn(text, "0123456789abcdef") != strlen(text))
        return false;
    *out = strtoull(text, NULL, 16);
    return *out <= most;
}

static bool read_count(const json_t *value, uint64_t *out)
{
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* A number of 32 bits. */
static bool read_small(const json_t *value, uint32_t *out)
{
    uint64_t number;
    bool good = read_count(value, &number) && number <= UINT32_MAX;
    *out = good ? (uint32_t)number : 0;
    return good;
}

static bool read_batches(const json_t *json, struct sc_holding *out)
{
    size_t size = json_array_size(json);
    out->rows = out->kind = 0;
    bool of_records = size == 4 && read_small(json_array_get(json, 2), &out->kind) && out->kind <= 1 &&
                      read_small(json_array_get(json, 3), &out->rows) && out->rows != 0;
    return (size == 2 || of_records) && read_count(json_array_get(json, 0), &out->first) &&
           read_count(json_array_get(json, 1), &out->last) && out->first <= out->last;
}

static bool read_held(const json_t *json, uint64_t window_ms, struct sc_holdings *out, enum sc_status *status)
{
    uint64_t lane;
    struct sc_holding one = {.window_ms = window_ms};
    const json_t *batches = json_object_get(json, "batches"), *pair;
    size_t i;
    if (!read_hex(json, "stream", UINT64_MAX, &one.stream) || !read_hex(json, "lane", UINT32_MAX, &lane) ||
        !json_is_array(batches))
        return false;
    one.lane = (uint32_t)lane;
    json_array_foreach(batches, i, pair)
    {
        if (!read_batches(pair, &one))
            return false;
        *status = sc_holdings_add(out, &one);
        if (*status != SC_OK)
            return false;
    }
    return true;
}

static bool read_counts(const json_t *numbers, size_t from, struct sc_tally_count *out)
{
    bool good = true;
    for (unsigned kind = 0; kind < 2 && good; kind++)
        good = read_count(json_array_get(numbers, from + 2 * kind), &out->batches[kind]) &&
               read_count(json_array_get(numbers, from + 2 * kind + 1), &out->records[kind]);
    return good;
}

static bool read_lanes(const json_t *lanes, struct sc_tally *t)
{
    const json_t *json;
    size_t i;
    json_array_foreach(lanes, i, json)
    {
        uint64_t lane;
        const json_t *numbers = json_object_get(json, "numbers");
        struct sc_tally_lane *l =
            read_hex(json, "lane", UINT32_MAX, &lane) ? sc_tally_lane(t, (uint32_t)lane) : NULL;
        if (l == NULL || json_array_size(numbers) != 8 || !read_counts(numbers, 0, &l->accepted) ||
            !read_counts(numbers, 4, &l->safe))
            return false;
    }
    return json_is_array(lanes);
}

static bool read_tally(const json_t *json, uint64_t window_ms, struct sc_holdings *out,
                       enum sc_status *status)
{
    struct sc_tally t = {.window_ms = window_ms};
    const char *proxy = json_string_value(json_object_get(json, "proxy"));
    uint64_t seconds;
    if (proxy == NULL || !sc_holdings_is_proxy(proxy) || !read_hex(json, "stream", UINT64_MAX, &t.stream) ||
        !read_count(json_object_get(json, "seconds"), &seconds) || seconds > 86400)
        return false;
    memcpy(t.proxy, proxy, strlen(proxy) + 1);
    t.window_s = (uint32_t)seconds;
    bool good = read_lanes(json_object_get(json, "lanes"), &t);
    if (good)
        *status = sc_holdings_add_tally(out, &t);
    else
        sc_tally_free(&t);
    return good && *status == SC_OK;
}

static bool read_window(const json_t *json, struct sc_holdings *out, enum sc_status *status)
{
    const json_t *held = json_object_get(json, "held"), *tallies = json_object_get(json, "tallies"), *one;
    uint64_t window_ms;
    size_t i;
    if (!read_count(json_object_get(json, "start_ms"), &window_ms) || !json_is_array(held) ||
        !json_is_array(tallies))
        return false;
    json_array_foreach(held, i, one)
    {
        if (!read_held(one, window_ms, out, status))
            return false;
    }
    json_array_foreach(tallies, i, one)
    {
        if (!read_tally(one, window_ms, out, status))
            return false;
    }
    return true;
}

/* Of flows, and of options records. */
static bool read_both(const json_t *pair, uint64_t *out)
{
    return json_array_size(pair) == 2 && read_count(json_array_get(pair, 0), &out[0]) &&
           read_count(json_array_get(pair, 1), &out[1]);
}

/* A node that told none leaves nothing. */
static bool read_proxy(const json_t *json, char *out)
{
    const char *proxy = json == NULL ? "" : json_string_value(json);
    if (proxy == NULL || (proxy[0] != '\0' && !sc_holdings_is_proxy(proxy)))
        return false;
    memcpy(out, proxy, strlen(proxy) + 1);
    return true;
}

static bool read_loss(const json_t *json, uint64_t stream, struct sc_losses *out, enum sc_status *status)
{
    struct sc_loss loss = {.stream = stream};
    const json_t *records = json_object_get(json, "records"), *seconds = json_object_get(json, "seconds");
    uint64_t lane;
    if (!read_count(json_object_get(json, "start_ms"), &loss.window_ms) ||
        !read_hex(json, "lane", UINT32_MAX, &lane) ||
        !read_both(json_object_get(json, "batches"), loss.lost.batches) ||
        (records != NULL && !read_both(records, loss.lost.records)) ||
        (seconds != NULL && !read_small(seconds, &loss.window_s)))
        return false;
    loss.lane = (uint32_t)lane;
    *status = sc_losses_add(out, &loss);
    return *status == SC_OK;
}

static bool read_lost_stream(const json_t *json, struct sc_losses *out, enum sc_status *status)
{
    const json_t *lanes = json_object_get(json, "lanes"), *one;
    struct sc_stream stream = {.closed = json_is_true(json_object_get(json, "closed"))};
    size_t i;
    if (!read_hex(json, "stream", UINT64_MAX, &stream.stream) || !json_is_array(lanes) ||
        !read_proxy(json_object_get(json, "proxy"), stream.proxy))
        return false;
    *status = sc_losses_add_stream(out, &stream);
    json_array_foreach(lanes, i, one)
    {
        if (*status != SC_OK || !read_loss(one, stream.stream, out, status))
            return false;
    }
    return *status == SC_OK;
}

enum sc_status sc_holdings_from_json(const json_t *json, struct sc_holdings *out, struct sc_error *err)
{
    const json_t *windows = json_object_get(json, "windows"), *losses = json_object_get(json, "losses"), *one;
    uint64_t unreadable = 0;
    enum sc_status status = SC_OK;
    size_t i;
    *out = (struct sc_holdings){0};
    bool good = json_is_array(windows) && read_count(json_object_get(json, "unreadable"), &unreadable) &&
                unreadable <= UINT32_MAX && (losses == NULL || json_is_array(losses));
    json_array_foreach(windows, i, one)
    {
        good = good && read_window(one, out, &status);
    }
    json_array_foreach(losses, i, one)
    {
        good = good && read_lost_stream(one, &out->losses, &status);
    }
    out->unreadable = (uint32_t)unreadable;
    sc_holdings_settle(out);
    if (good)
        return SC_OK;
    sc_holdings_free(out);
    return status == SC_NOMEM ? sc_fail_nomem(err, "the list of batches")
                              : sc_fail(err, SC_MALFORMED, "its list of batches makes no sense");
}
