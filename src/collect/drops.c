// SPDX-License-Identifier: BSD-3-Clause
#include "collect/drops.h"

#include "base/array.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TELL_EVERY_MS 60000u

void sc_drops_free(struct sc_drops *drops)
{
    free(drops->list);
    *drops = (struct sc_drops){0};
}

/* ---- gathering ---- */

static struct sc_drop *drop_of(struct sc_drops *drops, uint64_t window_ms)
{
    for (uint32_t i = drops->list == NULL ? 0 : drops->count; i > 0; i--) {
        if (drops->list[i - 1].window_ms == window_ms)
            return &drops->list[i - 1];
    }
    if (!sc_array_more(drops->list, drops->count, 1))
        return drops->count == 0 ? NULL : &drops->list[drops->count - 1];
    drops->list[drops->count] = (struct sc_drop){.window_ms = window_ms};
    return &drops->list[drops->count++];
}

/* The exporter of most records, where one has more than half. */
static struct sc_addr main_exporter(const struct sc_batch *batch)
{
    const struct sc_column_key key = {
        .pen = SC_PEN_COLLECTOR, .id = SC_IE_EXPORTER_ADDRESS, .kind = SC_COLUMN_ADDRESS};
    const struct sc_column *c = sc_batch_find(batch, key);
    struct sc_addr leader = {0};
    uint32_t votes = 0;
    for (uint32_t row = 0; c != NULL && row < c->rows; row++) {
        const struct sc_addr *a = sc_column_addr(c, row);
        bool same = memcmp(a, &leader, sizeof(leader)) == 0;
        if (votes == 0)
            leader = *a;
        votes = votes == 0 || same ? votes + 1 : votes - 1;
    }
    return leader;
}

void sc_drops_note(struct sc_drops *drops, const struct sc_batch *batch, enum sc_drop_reason reason)
{
    struct sc_drop *drop = drop_of(drops, batch->window_ms);
    drops->records[reason] += batch->rows;
    drops->exporter[reason] = main_exporter(batch);
    if (drop == NULL)
        return;
    drop->count.batches[batch->record_kind]++;
    drop->count.records[batch->record_kind] += batch->rows;
}

void sc_drops_add(struct sc_drops *to, const struct sc_drops *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct sc_drop *drop = drop_of(to, from->list[i].window_ms);
        if (drop == NULL)
            continue;
        sc_tally_count_add(&drop->count, &from->list[i].count);
        drop->unwritten = true;
    }
    for (int reason = 0; reason < SC_DROP_REASONS; reason++) {
        to->records[reason] += from->records[reason];
        if (from->records[reason] != 0)
            to->exporter[reason] = from->exporter[reason];
    }
}

/* ---- tallies ---- */

void sc_drops_rewrite(struct sc_drops *drops)
{
    for (uint32_t i = 0; i < drops->count; i++)
        drops->list[i].unwritten = true;
}

/* Nothing more will come of what was dropped: its stream is closed. */
static enum sc_status write_stream(const char *store, const char *collector, uint64_t number,
                                   struct sc_io *io, struct sc_error *err)
{
    struct sc_stream stream = {.stream = number, .heard_ms = sc_clock_wall_ms(), .closed = true};
    snprintf(stream.proxy, sizeof(stream.proxy), "%s", collector);
    return sc_stream_write(store, &stream, io, err);
}

static bool all_written(const struct sc_drops *drops)
{
    for (uint32_t i = 0; i < drops->count; i++) {
        if (drops->list[i].unwritten)
            return false;
    }
    return true;
}

enum sc_status sc_drops_write(struct sc_drops *drops, const char *store, const char *collector,
                              uint64_t stream, uint32_t window_s, struct sc_io *io, struct sc_error *err)
{
    if (all_written(drops))
        return SC_OK;
    SC_TRY(write_stream(store, collector, stream, io, err));
    for (uint32_t i = 0; i < drops->count; i++) {
        struct sc_drop *drop = &drops->list[i];
        struct sc_tally_lane lane = {SC_DROPPED_LANE, drop->count, drop->count};
        struct sc_tally tally = {.stream = stream,
                                 .window_ms = drop->window_ms,
                                 .window_s = window_s,
                                 .lane_count = 1,
                                 .lanes = &lane};
        if (!drop->unwritten)
            continue;
        snprintf(tally.proxy, sizeof(tally.proxy), "%s", collector);
        SC_TRY(sc_tally_write(store, &tally, io, err));
        drop->unwritten = false;
    }
    return SC_OK;
}

/* ---- the log ---- */

static void tell(const struct sc_drops *drops, int reason, const struct sc_log *log)
{
    static const char *const why[] = {
        "the queue was full: the disk does not keep up, or queue-memory is too small",
        "they bring many columns of their own, and the queue was tight", "there was no memory for a batch",
        "the store did not take them", "the outbox did not take them until the end"};
    char exporter[SC_ADDR_TEXT_MAX];
    sc_addr_format(&drops->exporter[reason], exporter);
    sc_log(log, SC_LOG_WARNING, "%" PRIu64 " records were dropped, the last ones mostly of exporter %s: %s",
           drops->records[reason], exporter, why[reason]);
}

void sc_drop_teller_tell(struct sc_drop_teller *teller, const struct sc_drops *drops, uint64_t now_ms,
                         const struct sc_log *log)
{
    bool any = false;
    for (int reason = 0; reason < SC_DROP_REASONS; reason++) {
        teller->untold.records[reason] += drops->records[reason];
        if (drops->records[reason] != 0)
            teller->untold.exporter[reason] = drops->exporter[reason];
        any |= teller->untold.records[reason] != 0;
    }
    if (!any || now_ms < teller->next_ms)
        return;
    for (int reason = 0; reason < SC_DROP_REASONS; reason++) {
        if (teller->untold.records[reason] != 0)
            tell(&teller->untold, reason, log);
        teller->untold.records[reason] = 0;
    }
    teller->next_ms = now_ms + TELL_EVERY_MS;
}
