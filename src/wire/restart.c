// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a restart does. An exporter that starts anew may number its templates anew (RFC 3954, RFC 7011 section
 * 8), so that on UDP each domain has lives, counted from 0: a template, a message and a set that waits are of the
 * life that they came in.
 *
 *   - A message that may be the first of a new life (sequence.c) is of the next one. Where it is believed to be,
 *     only templates of that life serve it; its other data wait.
 *   - The next message confirms it: the new life is the domain's, and what was learned before goes, templates,
 *     sets that wait and the base of sysUpTime. Sampling and names stay until they are told anew: they are
 *     configured, and to have none would scale flows wrongly. Or it does not: all is of the old life then, and
 *     sets that waited are decoded.
 *   - A message of a life that is over is decoded by no template and defines none.
 *
 * So there are two lives at most: the one that goes on, which takes in what was in doubt by going up to its number, and the one
 * in doubt, which has the next number. Nothing is written to templates for that: one exporter may have 65,280 of them, and have
 * each of its messages doubted. To forget a life costs no more than its templates cost when they were defined.
 *
 * A set that waits is decoded by a template of its own life alone. On TCP and in files templates are those of the
 * connection or the file, and with template_scope address they are those of several senders: they outlive what
 * looks like a restart, and only data that wait end with it.
 */
#include "wire/job.h"

#include "wire/session.h"

#include <stdlib.h>

static bool has_lives(const struct sc_job *job)
{
    return job->session->transport == SC_TRANSPORT_UDP && job->account == job->domain;
}

void sc_job_judge(struct sc_job *job)
{
    struct sc_message *m = &job->message;
    job->arrival = sc_sequence_judge(&job->account->sequence, m);
    m->life = job->domain->life;
    switch (job->arrival.kind) {
    case SC_ARRIVAL_DUE:
        return;
    case SC_ARRIVAL_LATE:
        m->own_life = has_lives(job) && job->account->sequence.doubted;
        return;
    case SC_ARRIVAL_STALE:
        m->own_life = has_lives(job);
        m->life = m->own_life ? SC_NO_LIFE : m->life;
        return;
    case SC_ARRIVAL_DOUBTED:
    case SC_ARRIVAL_RESTART:
        m->own_life = has_lives(job) && job->arrival.reborn;
        m->life++;
        return;
    }
}

/* What came in a life that was in doubt belongs to the one that goes on. */
static void join_lives(struct sc_domain *domain)
{
    domain->life++;
    domain->recoverable = true;
}

static void forget_life(struct sc_job *job)
{
    struct sc_domain *domain = job->domain;
    for (uint32_t i = domain->templates.count; i > 0; i--) {
        struct sc_template *t = sc_template_at(domain, i - 1);
        if (t->life < domain->life)
            free(sc_domain_take_template(domain, t));
    }
    domain->init_known = false;
    domain->life_ms = job->message.receive_ms;
}

static void begin_life(struct sc_job *job)
{
    struct sc_domain *domain = job->domain;
    join_lives(domain);
    const struct sc_waiting_choice over = {.domain = domain, .before_life = domain->life};
    sc_session_drop_waiting(job->session, &over);
    if (job->message.own_life)
        forget_life(job);
}

void sc_job_arrive(struct sc_job *job)
{
    if (job->arrival.kind == SC_ARRIVAL_RESTART)
        begin_life(job);
    else if (job->arrival.kind == SC_ARRIVAL_DUE && job->account->sequence.doubted)
        join_lives(job->domain);
    sc_sequence_arrive(job->account, &job->arrival);
    job->outcome->lost = job->arrival.lost;
    job->account->pending_gap += job->arrival.lost;
}
