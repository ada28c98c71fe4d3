// SPDX-License-Identifier: BSD-3-Clause
/* The side of a member: what it answers for its store. */
#include "base/clock.h"
#include "base/text.h"
#include "cluster/expectation.h"
#include "cluster/horizons_told.h"
#include "cluster/verification.h"
#include "store/maintain.h"
#include "store/room.h"

#include <string.h>

#define MOST_FINDINGS 1000u /* an answer has bounds (base/ask.h) */

struct reading {
    const struct sc_holdings *lanes; /* these only, with their records; NULL: all */
    struct sc_holdings whole, damaged;
    const struct sc_retention *retention;
    json_t *findings;
    uint64_t more_findings;
    bool short_of_memory;
    sc_verification_progress_fn *progress;
    void *arg;
};

/* Anything of a window, or of a lane in it. */
static bool wants(void *arg, uint64_t window_ms, const uint32_t *lane)
{
    const struct reading *r = arg;
    const struct sc_holding *one = r->lanes == NULL ? NULL : sc_holdings_window(r->lanes, window_ms);
    if (one == NULL || lane == NULL)
        return r->lanes == NULL || one != NULL;
    while (one < r->lanes->list + r->lanes->count && one->window_ms == window_ms && one->lane != *lane)
        one++;
    return one < r->lanes->list + r->lanes->count && one->window_ms == window_ms;
}

static void take_group(void *arg, const struct sc_row_group *group, bool has_rows)
{
    struct reading *r = arg;
    if (sc_holdings_add_group(has_rows ? &r->whole : &r->damaged, group, r->lanes) != SC_OK)
        r->short_of_memory = true;
}

static void show_progress(void *arg, uint64_t bytes, uint64_t of_bytes)
{
    const struct reading *r = arg;
    if (r->progress != NULL)
        r->progress(r->arg, bytes, of_bytes);
}

/* JSON takes UTF-8 alone: paths, and sentences that were cut, may be anything. NULL without memory. */
static json_t *visible(const char *text)
{
    struct sc_buf shown = {0};
    sc_buf_append_visible(&shown, text, strlen(text));
    json_t *out = sc_buf_ok(&shown) ? json_stringn((const char *)shown.data, shown.len) : NULL;
    sc_buf_free(&shown);
    return out;
}

/* A sentence that says what failed is there in any case. */
static void put_failure(json_t *out, const char *key, const char *sentence)
{
    if (json_object_set_new(out, key, visible(sentence)) != 0)
        json_object_set_new(out, key, json_string("out of memory"));
}

static void take_finding(void *arg, const char *path, const char *finding)
{
    struct reading *r = arg;
    if (finding == NULL)
        return;
    json_t *one = json_array_size(r->findings) == MOST_FINDINGS
                      ? NULL
                      : json_pack("{s:o, s:o}", "path", visible(path), "text", visible(finding));
    if (json_array_append_new(r->findings, one) != 0)
        r->more_findings++;
}

static enum sc_status read_files(struct reading *r, const char *store, struct sc_verify_report *report,
                                 struct sc_error *err)
{
    const struct sc_verify_watch watch = {wants, take_group, show_progress, r};
    enum sc_status status = sc_store_verify_watched(store, &watch, take_finding, r, report, err);
    sc_holdings_settle(&r->whole);
    sc_holdings_settle(&r->damaged);
    return r->short_of_memory ? sc_fail_nomem(err, "the list of batches") : status;
}

static void put_count(json_t *out, const char *key, uint64_t count)
{
    json_object_set_new(out, key, json_integer((json_int_t)count));
}

static void put_all(const struct reading *r, const struct sc_verify_report *report, json_t *out)
{
    json_object_set_new(out, "held", sc_holdings_to_json(&r->whole));
    json_object_set_new(out, "damaged", sc_holdings_to_json(&r->damaged));
    put_count(out, "files", report->segments);
    put_count(out, "row_groups", report->row_groups);
    put_count(out, "records", report->rows);
    put_count(out, "damaged_files", report->damaged_segments);
    json_object_set(out, "findings", r->findings);
    put_count(out, "more_findings", r->more_findings);
}

/* What is earlier it would not take back (relay/healer.h): by age, or by bytes. A store that cannot be listed was said to be so. */
static uint64_t kept_from(const char *store, const struct sc_retention *retention)
{
    uint64_t now_ms = sc_clock_wall_ms(), age_ms = retention->age_s * 1000, room_ms;
    uint64_t from_ms = age_ms == 0 || age_ms > now_ms ? 0 : now_ms - age_ms;
    (void)sc_room_in_store(store, retention->bytes, &room_ms, NULL);
    return room_ms > from_ms ? room_ms : from_ms;
}

/* Behind the files: what expires while they are read is not looked for. */
static void put_kept(const struct reading *r, const char *store, json_t *out)
{
    sc_horizons_to_answer(store, out);
    put_count(out, "kept_from_ms", kept_from(store, r->retention));
}

/* Streams and tallies before the files: what they call safe is then there to be found. A store that is not there has nothing, and says so. */
static enum sc_status read_all(struct reading *r, const char *store, json_t *out, struct sc_error *err)
{
    struct sc_verify_report report = {0};
    SC_TRY(sc_streams_to_answer(store, out, err));
    enum sc_status status = sc_holdings_read_told(store, &r->whole, err);
    if (status == SC_OK)
        status = read_files(r, store, &report, err);
    if (status == SC_NOTFOUND)
        take_finding(r, store, "the store is not there");
    else if (status != SC_OK && status != SC_DAMAGED && (status == SC_NOMEM || report.segments == 0))
        return status;
    else if (status != SC_OK && status != SC_DAMAGED)
        put_failure(out, "failed", err->message);
    put_kept(r, store, out);
    put_all(r, &report, out);
    return SC_OK;
}

/* What is damaged, or not there, was said the first time. Who cannot look is not one that has nothing. */
static enum sc_status read_lanes(struct reading *r, const char *store, json_t *out, struct sc_error *err)
{
    struct sc_verify_report report = {0};
    enum sc_status status = read_files(r, store, &report, err);
    if (status != SC_OK && status != SC_DAMAGED && status != SC_NOTFOUND)
        return status;
    put_kept(r, store, out);
    json_object_set_new(out, "held", sc_holdings_to_json(&r->whole));
    return SC_OK;
}

static enum sc_status answer(struct reading *r, const char *store, const char *node, const json_t *request,
                             json_t *out, struct sc_error *err)
{
    const json_t *all = json_object_get(request, "lanes");
    const json_t *own = node == NULL ? NULL : json_object_get(all, node);
    struct sc_holdings lanes = {0};
    if (!json_is_object(request))
        return sc_fail(err, SC_MALFORMED, "what it was asked makes no sense; is it of another version?");
    if (all == NULL)
        return read_all(r, store, out, err);
    if (own != NULL)
        SC_TRY(sc_holdings_from_json(own, &lanes, err));
    r->lanes = &lanes;
    enum sc_status status = read_lanes(r, store, out, err);
    sc_holdings_free(&lanes);
    return status;
}

json_t *sc_verification_answer(const char *store, const char *node, const struct sc_retention *retention,
                               const json_t *request, sc_verification_progress_fn *progress, void *arg)
{
    struct reading r = {.findings = json_array(), .retention = retention, .progress = progress, .arg = arg};
    struct sc_error err = {0};
    json_t *out = json_object();
    json_object_set_new(out, "node", node == NULL ? json_null() : json_string(node));
    json_object_set_new(out, "store", visible(store));
    if (answer(&r, store, node, request, out, &err) != SC_OK)
        put_failure(out, "problem", err.message);
    json_decref(r.findings);
    sc_holdings_free(&r.whole);
    sc_holdings_free(&r.damaged);
    return out;
}
