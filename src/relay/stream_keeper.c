// SPDX-License-Identifier: BSD-3-Clause
#include "relay/stream_keeper.h"

#include "base/clock.h"

#include <string.h>

/* Of one stream. */
struct word {
    uint64_t stream;
    uint64_t told_ms;            /* monotonic */
    uint64_t looked_ms;          /* when it was written, or needed not be; 0: never */
    bool waits;                  /* to be written */
    bool closed, earlier_closed; /* as it was told last */
    bool here, here_closed;      /* there is a file, and what it says */
};

/* A proxy's share. */
struct teller {
    struct sc_teller share; /* streams begun in a minute */
    struct word words[SC_WORDS_EACH];
    uint32_t count;
    uint64_t heir; /* the stream that said last that the others are closed */
    bool others_closed;
    bool walking, opened; /* through the folder, to close them; one was opened meanwhile */
    struct sc_stream_walk walk;
};

void sc_stream_keeper_free(struct sc_stream_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->tellers.count; i++)
        sc_stream_walk_end(&((struct teller *)keeper->tellers.list[i])->walk);
    sc_tellers_free(&keeper->tellers);
}

/* ---- taking ---- */

static struct word *find_word(struct teller *teller, uint64_t stream)
{
    for (uint32_t i = 0; i < teller->count; i++) {
        if (teller->words[i].stream == stream)
            return &teller->words[i];
    }
    return NULL;
}

/* A free place, or that of the word which was told the longest ago and does not wait; NULL: all wait. */
static struct word *place_for(struct teller *teller)
{
    struct word *oldest = NULL;
    if (teller->count < SC_WORDS_EACH)
        return &teller->words[teller->count++];
    for (uint32_t i = 0; i < SC_WORDS_EACH; i++) {
        struct word *w = &teller->words[i];
        if (!w->waits && (oldest == NULL || w->told_ms < oldest->told_ms))
            oldest = w;
    }
    return oldest;
}

/* The stream's; else another one's that it takes over. NULL: all wait. */
static struct word *get_word(struct teller *teller, uint64_t stream, uint64_t now_ms)
{
    struct word *w = find_word(teller, stream);
    if (w != NULL)
        return w;
    w = place_for(teller);
    if (w != NULL)
        *w = (struct word){.stream = stream, .told_ms = now_ms};
    return w;
}

enum sc_refusal sc_stream_keeper_take(struct sc_stream_keeper *keeper, const char *proxy,
                                      const struct sc_link_stream *told, uint64_t now_ms)
{
    struct teller *teller = (struct teller *)sc_tellers_get(&keeper->tellers, proxy, sizeof(*teller));
    if (teller == NULL)
        return SC_REFUSAL_NONE;
    struct word *w = get_word(teller, told->stream, now_ms);
    if (w == NULL)
        return SC_REFUSAL_STREAM;
    w->closed = told->closed;
    w->earlier_closed = told->earlier_closed;
    w->told_ms = now_ms;
    w->waits = true;
    return SC_REFUSAL_NONE;
}

/* ---- writing ---- */

/* Whether the stream is this proxy's; what its file says. */
static bool is_admitted(struct sc_stream_keeper *keeper, struct teller *teller, struct word *w,
                        uint64_t now_ms)
{
    struct sc_stream before;
    if (!sc_stream_owners_claim(keeper->owners, keeper->cluster, w->stream, teller->share.proxy))
        return false;
    if (w->here)
        return true;
    if (sc_stream_read(keeper->store, w->stream, &before) != SC_OK)
        return sc_teller_begins(&teller->share, now_ms, 60000, SC_STREAMS_NEW); /* it gets a file */
    w->here = strcmp(before.proxy, teller->share.proxy) == 0; /* else it gets another name */
    w->here_closed = before.closed;
    return true;
}

static enum sc_status write_word(const struct sc_stream_keeper *keeper, const struct teller *teller,
                                 uint64_t number, bool closed, struct sc_error *err)
{
    struct sc_stream stream = {.stream = number, .heard_ms = sc_clock_wall_ms(), .closed = closed};
    memcpy(stream.proxy, teller->share.proxy, sizeof(stream.proxy));
    return sc_stream_write(keeper->store, &stream, keeper->io, err);
}

static bool is_old(const struct word *w, uint64_t now_ms)
{
    return !w->here || w->looked_ms == 0 || now_ms - w->looked_ms >= SC_STREAM_EVERY;
}

/* As closed, or as heard of. When it fails: it is told again in a second. */
static enum sc_status put_word(struct sc_stream_keeper *keeper, struct teller *teller, struct word *w,
                               bool closed, uint64_t now_ms, struct sc_error *err)
{
    bool same = w->here && w->here_closed == closed;
    if (same && !closed && !is_old(w, now_ms))
        return SC_OK;
    w->looked_ms = now_ms;
    if (same && closed)
        return SC_OK;
    if (!same && !closed && w->stream != teller->heir) {
        teller->others_closed = false;
        teller->opened = true;
    }
    enum sc_status status = write_word(keeper, teller, w->stream, closed, err);
    w->here = status == SC_OK;
    w->here_closed = closed;
    w->waits = w->waits && w->here;
    return status;
}

/* One that finds no place is looked for on the disk with each batch. */
enum sc_status sc_stream_keeper_admit(struct sc_stream_keeper *keeper, const char *proxy, uint64_t stream,
                                      uint64_t now_ms, struct sc_error *err)
{
    struct word passing = {.stream = stream};
    struct teller *teller = (struct teller *)sc_tellers_get(&keeper->tellers, proxy, sizeof(*teller));
    if (teller == NULL)
        return sc_fail_nomem(err, "a stream");
    struct word *w = get_word(teller, stream, now_ms);
    w = w == NULL ? &passing : w;
    if (w->here)
        return SC_OK;
    if (!is_admitted(keeper, teller, w, now_ms))
        return sc_fail(err, SC_LIMIT, "too many new streams of %s", proxy);
    return w->here ? SC_OK : put_word(keeper, teller, w, false, now_ms, err);
}

/* ---- closing the others ---- */

static void begin_walk(struct sc_stream_keeper *keeper, struct teller *teller, uint64_t heir)
{
    sc_stream_walk_end(&teller->walk);
    teller->heir = heir;
    teller->others_closed = teller->opened = false;
    teller->walking = sc_stream_walk_begin(&teller->walk, keeper->store, NULL) == SC_OK;
    keeper->walks++;
}

static void end_walk(struct teller *teller, bool all)
{
    sc_stream_walk_end(&teller->walk);
    teller->walking = false;
    teller->others_closed = all && !teller->opened;
}

/* One file. What fails is tried again when it is told again. */
static void walk_on(struct sc_stream_keeper *keeper, struct teller *teller)
{
    struct sc_stream other;
    if (!sc_stream_walk_next(&teller->walk, keeper->store, &other)) {
        end_walk(teller, true);
        return;
    }
    if (other.closed || other.stream == teller->heir || strcmp(other.proxy, teller->share.proxy) != 0)
        return;
    struct word *w = find_word(teller, other.stream);
    other.closed = true;
    if (sc_stream_write(keeper->store, &other, keeper->io, NULL) != SC_OK)
        end_walk(teller, false);
    else if (w != NULL)
        w->here_closed = true;
}

/* ---- all again ---- */

static void rewrite(struct teller *teller)
{
    end_walk(teller, false);
    for (uint32_t i = 0; i < teller->count; i++) {
        struct word *w = &teller->words[i];
        w->here = w->here_closed = false;
        w->looked_ms = 0;
        w->waits = w->waits || w->closed; /* who is open is told again each second, or was not heard of */
    }
}

void sc_stream_keeper_rewrite(struct sc_stream_keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->tellers.count; i++)
        rewrite((struct teller *)keeper->tellers.list[i]);
}

/* ---- by other members ---- */

static bool tells_itself(struct sc_stream_keeper *keeper, const struct sc_stream *told)
{
    struct teller *teller = (struct teller *)sc_tellers_find(&keeper->tellers, told->proxy);
    return teller != NULL && find_word(teller, told->stream) != NULL;
}

void sc_stream_keeper_told(struct sc_stream_keeper *keeper, const struct sc_stream *told)
{
    struct sc_stream now = *told, before;
    now.closed = told->closed && sc_tally_keeper_settled(keeper->tallies, told->proxy);
    if (tells_itself(keeper, told))
        return;
    if (sc_stream_read(keeper->store, told->stream, &before) == SC_OK) {
        bool later = now.heard_ms > before.heard_ms && strcmp(now.proxy, before.proxy) == 0;
        if (before.closed || !(now.closed || later))
            return;
        now.heard_ms = later ? now.heard_ms : before.heard_ms;
    }
    (void)sc_stream_write(keeper->store, &now, keeper->io, NULL);
}

/* ---- steps ---- */

static bool wants_others_closed(const struct teller *teller, const struct word *w)
{
    return w->earlier_closed && !(w->stream == teller->heir && (teller->others_closed || teller->walking));
}

static void step_word(struct sc_stream_keeper *keeper, struct teller *teller, struct word *w, bool settled,
                      uint64_t now_ms, struct sc_stream_step *out)
{
    if (!is_admitted(keeper, teller, w, now_ms)) {
        w->waits = false;
        out->why = SC_REFUSAL_STREAM;
        return;
    }
    bool closed = w->closed && (settled || (w->here && w->here_closed));
    (void)put_word(keeper, teller, w, closed, now_ms, NULL);
    if (settled && w->waits && wants_others_closed(teller, w))
        begin_walk(keeper, teller, w->stream);
    w->waits = w->waits && !settled && (w->closed || w->earlier_closed);
}

/* What waits for tallies is written meanwhile as heard of. */
static struct word *find_due(struct teller *teller, bool settled, uint64_t now_ms)
{
    for (uint32_t i = 0; i < teller->count; i++) {
        struct word *w = &teller->words[i];
        if (w->waits && (settled || is_old(w, now_ms)))
            return w;
    }
    return NULL;
}

static bool step_teller(struct sc_stream_keeper *keeper, struct teller *teller, uint64_t now_ms,
                        struct sc_stream_step *out)
{
    bool settled = sc_tally_keeper_settled(keeper->tallies, teller->share.proxy);
    struct word *w = find_due(teller, settled, now_ms);
    *out = (struct sc_stream_step){.why = SC_REFUSAL_NONE, .proxy = teller->share.proxy};
    if (w != NULL)
        step_word(keeper, teller, w, settled, now_ms, out);
    else if (teller->walking && settled)
        walk_on(keeper, teller);
    else
        return false;
    return true;
}

bool sc_stream_keeper_step(struct sc_stream_keeper *keeper, uint64_t now_ms, struct sc_stream_step *out)
{
    for (uint32_t i = 0; i < keeper->tellers.count; i++) {
        if (step_teller(keeper, (struct teller *)sc_tellers_next(&keeper->tellers), now_ms, out))
            return true;
    }
    return false;
}
