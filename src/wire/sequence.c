// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sequence numbers (WIRE: sequence units): v5 counts flows, v9 export packets, IPFIX data records, each
 * modulo 2^32. A number ahead of the expected one is a loss of the difference. A number behind it is either a
 * message that comes late, which makes good some of a loss counted before, or the first of an exporter that
 * started anew: v5 and v9 tell by sysUptime, IPFIX by an export time that went on while the number went back.
 */
#include "wire/decoder_internal.h"

/* A message so far behind is not late: the exporter's counter was set anew. */
#define LATE_MESSAGES    1024u
#define LATE_RECORDS     65536u
#define WRAP_SLACK_MS    3600000u
#define UPTIME_JITTER_MS 1000u

static uint32_t late_window(uint8_t version)
{
    return version == 9 ? LATE_MESSAGES : LATE_RECORDS;
}

/* sysUptime went back though time went on, and not because its 32 bits were full. */
static bool uptime_restarted(const struct sc_sequence *s, const struct sc_message *m)
{
    if (m->version == 10 || m->export_ms <= s->export_ms || m->uptime_ms >= s->uptime_ms ||
        s->uptime_ms - m->uptime_ms <= UPTIME_JITTER_MS)
        return false;
    return !(s->uptime_ms > UINT32_MAX - WRAP_SLACK_MS && m->uptime_ms < WRAP_SLACK_MS);
}

static bool is_late(const struct sc_sequence *s, const struct sc_message *m, uint32_t behind)
{
    if (behind > late_window(m->version))
        return false;
    return m->version != 10 || m->export_ms <= s->export_ms;
}

static void restart(struct sc_domain *domain)
{
    domain->stats.restarts++;
    domain->sequence.known = false;
}

uint32_t sc_sequence_arrive(struct sc_domain *domain, const struct sc_message *message, bool *late)
{
    struct sc_sequence *s = &domain->sequence;
    *late = false;
    if (s->seen && uptime_restarted(s, message))
        restart(domain);
    if (!s->seen || !s->known)
        return 0;
    uint32_t ahead = message->sequence - s->next;
    if (ahead == 0)
        return 0;
    if (ahead <= INT32_MAX) {
        domain->stats.lost += ahead;
        return ahead;
    }
    *late = is_late(s, message, s->next - message->sequence);
    if (*late)
        domain->stats.reordered++;
    else
        restart(domain);
    return 0;
}

void sc_sequence_advance(struct sc_domain *domain, const struct sc_message *message, bool late,
                         bool units_known, uint32_t units)
{
    struct sc_sequence *s = &domain->sequence;
    if (late) {
        domain->stats.lost -= units < domain->stats.lost ? units : domain->stats.lost;
        return;
    }
    s->seen = true;
    s->known = units_known;
    s->next = message->sequence + units;
    s->uptime_ms = message->uptime_ms;
    s->export_ms = message->export_ms;
}
