// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sequence numbers: v5 counts flows, v9 export packets, IPFIX data records, each
 * modulo 2^32. A number ahead of the expected one is a loss of the difference. One a little behind is late, and
 * makes good some of a loss counted before. One that follows nothing may be the first of an exporter that
 * started anew: it is doubted, and changes nothing until the next message follows it too. So one datagram that
 * is late, wrapped or forged is no restart.
 *
 * A doubted message is believed to be the first of a new life, whose templates are its own, when
 *   - v5, v9: sysUptime went back, does not run on from the last message (modulo 2^32, by the exporter's clock
 *     or ours: what is late or wrapped runs on), and is not longer than the time since then;
 *   - IPFIX: the export time went on, and the number fell below half of what the last message itself carried,
 *     to nearly 0. Exporters that count wrongly (messages, or nothing) never do that.
 */
#include "wire/job.h"

/* A message so far behind is not late: the exporter's counter was set anew. */
#define LATE_MESSAGES 1024u
#define LATE_RECORDS  65536u
/* A number that is no further ahead has passed 2^32. */
#define WRAP_RECORDS (1u << 20)
/* Export times are whole seconds, and datagrams travel for a while. */
#define TOLERANCE_MS 5000

static uint32_t late_window(uint8_t version)
{
    return version == 9 ? LATE_MESSAGES : LATE_RECORDS;
}

static uint32_t ahead_of(const struct sc_mark *mark, const struct sc_message *m)
{
    uint32_t ahead = m->sequence - mark->next;
    return mark->known && ahead <= INT32_MAX ? ahead : 0;
}

/* Behind the least that can be expected. */
static uint32_t behind(const struct sc_mark *mark, const struct sc_message *m)
{
    uint32_t by = mark->next - m->sequence;
    return by <= INT32_MAX ? by : 0;
}

/* ---- sysUptime ---- */

static bool is_near(uint32_t uptime_ms, uint64_t time_ms)
{
    int32_t apart = (int32_t)(uptime_ms - (uint32_t)time_ms);
    return apart >= -TOLERANCE_MS && apart <= TOLERANCE_MS;
}

/* As much uptime as time has passed since. */
static bool runs_on(const struct sc_mark *mark, const struct sc_message *m)
{
    uint32_t uptime_ms = m->uptime_ms - mark->uptime_ms;
    return is_near(uptime_ms, m->export_ms - mark->export_ms) ||
           is_near(uptime_ms, m->receive_ms - mark->receive_ms);
}

static bool is_within(uint64_t length_ms, uint64_t from_ms, uint64_t to_ms)
{
    return to_ms + TOLERANCE_MS >= from_ms && length_ms <= to_ms + TOLERANCE_MS - from_ms;
}

static bool began_since(const struct sc_mark *mark, const struct sc_message *m)
{
    return is_within(m->uptime_ms, mark->export_ms, m->export_ms) ||
           is_within(m->uptime_ms, mark->receive_ms, m->receive_ms);
}

/* ---- what a message is ---- */

static bool is_reborn(const struct sc_mark *last, const struct sc_message *m)
{
    if (m->version != 10)
        return m->uptime_ms < last->uptime_ms && !runs_on(last, m) && began_since(last, m);
    return m->export_ms > last->export_ms && m->sequence < last->number / 2 && m->sequence <= LATE_RECORDS &&
           m->sequence - last->next > WRAP_RECORDS;
}

static bool is_late(const struct sc_mark *last, const struct sc_message *m)
{
    return behind(last, m) <= late_window(m->version) &&
           (m->version != 10 || m->export_ms <= last->export_ms);
}

static bool is_stale(const struct sc_sequence *s, const struct sc_message *m)
{
    return s->restarted && m->export_ms <= s->before.export_ms && m->sequence != s->last.next &&
           s->before.next - m->sequence <= late_window(m->version);
}

/* Nearer to the doubted message than to the one that the doubt is about. */
static bool follows_doubt(const struct sc_sequence *s, const struct sc_message *m)
{
    uint32_t forward = m->sequence - s->doubt.number;
    if ((s->last.known && m->sequence == s->last.next) || m->export_ms < s->doubt.export_ms)
        return false;
    if (s->doubt.known && m->sequence == s->doubt.next)
        return true;
    return forward <= late_window(m->version) && forward <= m->sequence - s->last.next;
}

static bool confirms(const struct sc_sequence *s, const struct sc_message *m)
{
    if (!s->doubted)
        return false;
    if (s->doubt.reborn && m->version != 10)
        return runs_on(&s->doubt, m) && !runs_on(&s->last, m);
    return follows_doubt(s, m);
}

struct sc_arrival sc_sequence_judge(const struct sc_sequence *s, const struct sc_message *m)
{
    if (!s->seen)
        return (struct sc_arrival){.kind = SC_ARRIVAL_DUE};
    if (confirms(s, m))
        return (struct sc_arrival){SC_ARRIVAL_RESTART, s->doubt.reborn, ahead_of(&s->doubt, m)};
    if (is_stale(s, m))
        return (struct sc_arrival){.kind = SC_ARRIVAL_STALE};
    if (is_reborn(&s->last, m))
        return (struct sc_arrival){.kind = SC_ARRIVAL_DOUBTED, .reborn = true};
    if (behind(&s->last, m) == 0)
        return (struct sc_arrival){.kind = SC_ARRIVAL_DUE, .lost = ahead_of(&s->last, m)};
    return (struct sc_arrival){.kind = is_late(&s->last, m) ? SC_ARRIVAL_LATE : SC_ARRIVAL_DOUBTED};
}

/* ---- the account ---- */

void sc_sequence_arrive(struct sc_domain *account, const struct sc_arrival *arrival)
{
    struct sc_sequence *s = &account->sequence;
    account->stats.lost += arrival->lost;
    account->stats.reordered += arrival->kind == SC_ARRIVAL_LATE || arrival->kind == SC_ARRIVAL_STALE;
    if (arrival->kind == SC_ARRIVAL_DUE)
        s->doubted = false;
    if (arrival->kind != SC_ARRIVAL_RESTART)
        return;
    account->stats.restarts++;
    if (arrival->reborn) {
        s->before = s->last;
        s->restarted = true;
    }
    s->last = s->doubt;
    s->doubted = false;
}

void sc_sequence_advance(struct sc_domain *account, const struct sc_message *message,
                         const struct sc_arrival *arrival, bool units_known, uint32_t units)
{
    struct sc_sequence *s = &account->sequence;
    const struct sc_mark mark = {.known = units_known,
                                 .reborn = arrival->reborn,
                                 .number = message->sequence,
                                 .next = message->sequence + units,
                                 .uptime_ms = message->uptime_ms,
                                 .export_ms = message->export_ms,
                                 .receive_ms = message->receive_ms};
    if (arrival->kind == SC_ARRIVAL_LATE)
        account->stats.lost -= units < account->stats.lost ? units : account->stats.lost;
    if (arrival->kind == SC_ARRIVAL_LATE || arrival->kind == SC_ARRIVAL_STALE)
        return;
    *(arrival->kind == SC_ARRIVAL_DOUBTED ? &s->doubt : &s->last) = mark;
    *(arrival->kind == SC_ARRIVAL_DOUBTED ? &s->doubted : &s->seen) = true;
}
