// SPDX-License-Identifier: BSD-3-Clause
/*
 * Who may hold how much, so that what one sends costs no other its state. All state that exporters cause, sessions with their
 * domains, templates, names and waiting sets, is charged to its exporter and, through it, to one pool.
 *
 * - An established exporter may hold its share; a newcomer, or a stranger, an eighth of it.
 * - Newcomers and strangers together may hold a quarter of the pool.
 * - Who needs more than its share gets room from its own sessions that were idle for QUIET_MS, the least recently used first.
 * - When the pool has no room, strangers go, the least recently used first; then newcomers that were idle for QUIET_MS, and for an
 *   established exporter any newcomer. So the established never go, and as many newcomers as have room keep it while they send:
 *   one more is refused, and the others do not suffer.
 * - Elements that the registry does not know are a budget of their own (exporter.c), since each is a column: max_unknown_columns
 *   of them.
 * - TCP and files send their templates once: who has an open stream does not go.
 *
 * What is charged is settled after each message; what a message needs is asked for before it is taken.
 */
#include "wire/exporter.h"

#include "wire/session.h"

#define QUIET_MS        10000u
#define TEMPLATES_SHARE 4u /* of any share, names leave one in so many to templates */

static bool is_quiet(uint64_t used_ms, uint64_t now_ms)
{
    return now_ms > used_ms && now_ms - used_ms > QUIET_MS;
}

static bool is_busy(const struct sc_decoder *d, const struct sc_session *s)
{
    return s == d->busy[0] || s == d->busy[1];
}

static void destroy(struct sc_exporter *e)
{
    while (e->newest != NULL)
        sc_session_remove(e->newest);
    sc_exporter_release(e);
}

void sc_exporters_free_all(struct sc_decoder *decoder)
{
    for (int standing = 0; standing < SC_STANDINGS; standing++) {
        while (decoder->standings[standing].newest != NULL)
            destroy(decoder->standings[standing].newest);
    }
    sc_roster_free(&decoder->exporters);
}

/* Idle sessions of the exporter go until it holds no more than `most` bytes. */
static bool shrink(struct sc_exporter *e, const struct sc_session *asking, size_t held, size_t most)
{
    for (struct sc_session *s = e->oldest, *next; held > most && s != NULL; s = next) {
        next = s->sibling_newer;
        if (!is_quiet(s->used_ms, e->used_ms))
            break;
        if (s == asking || is_busy(e->decoder, s) || sc_session_is_stream(s))
            continue;
        held -= s->charged;
        e->decoder->overrun.pushed_out++;
        sc_session_remove(s);
    }
    return held <= most;
}

/* The least recently used that may go for `asking`. Only who is before others in the list and can't go is looked at in vain. */
static struct sc_exporter *find_victim(const struct sc_exporter_list *list, const struct sc_exporter *asking,
                                       bool any)
{
    for (struct sc_exporter *e = list->oldest; e != NULL; e = e->newer) {
        if (!any && !is_quiet(e->used_ms, asking->used_ms))
            return NULL;
        if (e != asking && e->streams == 0) /* NOLINT(clang-analyzer-unix.Malloc): who went is in no list */
            return e;
    }
    return NULL;
}

static bool push_out(struct sc_decoder *d, const struct sc_exporter *asking)
{
    struct sc_exporter *victim = find_victim(&d->standings[SC_STRANGER], asking, true);
    if (victim == NULL)
        victim = find_victim(&d->standings[SC_NEWCOMER], asking, !sc_exporter_is_new(asking));
    if (victim == NULL)
        return false;
    d->overrun.pushed_out++;
    destroy(victim);
    return true;
}

/* What the exporter would hold with `size` more; a session that no decoder has stands for itself. */
static size_t held_with(const struct sc_session *session, size_t size)
{
    const struct sc_exporter *e = session->owner;
    return e == NULL ? sizeof(*e) + session->bytes + size
                     : e->bytes + session->bytes - session->charged + size;
}

bool sc_session_has_room(struct sc_session *session, size_t size)
{
    struct sc_exporter *e = session->owner;
    size_t held = held_with(session, size);
    if (e == NULL)
        return held <= sc_session_share(session);
    if (held > sc_exporter_share(e) && !shrink(e, session, held, sc_exporter_share(e)))
        return sc_exporter_refuse(e, true);
    while (!sc_budget_allows(e->decoder->budget, sc_exporter_is_new(e),
                             session->bytes - session->charged + size)) {
        if (!push_out(e->decoder, e))
            return sc_exporter_refuse(e, false);
    }
    return true;
}

bool sc_session_has_room_for_names(struct sc_session *session, size_t size)
{
    struct sc_exporter *e = session->owner;
    size_t share = e == NULL ? sc_session_share(session) : sc_exporter_share(e);
    if (held_with(session, size) > share - share / TEMPLATES_SHARE)
        return e == NULL ? false : sc_exporter_refuse(e, true);
    return sc_session_has_room(session, size);
}
