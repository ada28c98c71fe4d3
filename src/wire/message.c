// SPDX-License-Identifier: BSD-3-Clause
/*
 * NetFlow v9 and IPFIX messages. First the sets are planned: every length is checked, template records are
 * compiled, data sets get the template that is in force where they stand, and nothing of the session changes.
 * Then the plan is carried out. What breaks the protocol or passes a bound is left out, not what stood beside it:
 *
 *   - a template record whose extent is known costs itself, another one the rest of its set; either way data of the
 *     id that it should have redefined have no template any more, since the old layout would make nonsense of them;
 *   - a data set with a record that reaches beyond it;
 *   - the rest of the message from a set whose length cannot be right. NetFlow v9 does not tell how long a message
 *     is: a data set that reaches beyond it was cut off, and its whole records are there.
 */
#include "wire/job.h"

#include "base/array.h"
#include "wire/exporter.h"
#include "wire/record.h"
#include "wire/session.h"
#include "wire/template.h"

#include <stdlib.h>

enum {
    V9_TEMPLATES = 0,
    V9_OPTIONS_TEMPLATES = 1,
    IPFIX_TEMPLATES = 2,
    IPFIX_OPTIONS_TEMPLATES = 3,
    FIRST_DATA = 256
};

void sc_plan_free(struct sc_plan *plan)
{
    free(plan->sets);
    free(plan->changes);
    free(plan->latest);
    free(plan->fields);
    *plan = (struct sc_plan){0};
}

/* The first fault of a message is its status, and in the error; the others are counted. What there was no room for is no fault
 * of the message: its exporter's account counts it. */
static void leave_out(struct sc_job *job, enum sc_status status, const char *what)
{
    struct sc_plan *plan = &job->decoder->plan;
    plan->malformed += status == SC_MALFORMED;
    if (plan->soft != SC_OK)
        return;
    char text[SC_ADDR_TEXT_MAX];
    sc_addr_format(&job->message.exporter, text);
    plan->soft = sc_fail(job->err, status, "message of exporter %s port %u, domain %u: %s", text,
                         job->message.port, job->message.domain_id, what);
}

/* ---- template records ---- */

static struct sc_template_change *add_change(struct sc_plan *plan, enum sc_change_kind kind, uint16_t id)
{
    if (!sc_array_reserve(plan->changes, plan->change_capacity, plan->change_count + 1))
        return NULL;
    if (plan->latest == NULL)
        plan->latest = calloc(UINT16_MAX + 1, sizeof(*plan->latest));
    if (plan->latest == NULL)
        return NULL;
    struct sc_template_change *change = &plan->changes[plan->change_count++];
    *change = (struct sc_template_change){.kind = kind, .id = id};
    plan->latest[id] = plan->change_count;
    return change;
}

static bool is_of_life(const struct sc_job *job, const struct sc_template *t)
{
    uint64_t life = job->message.life;
    return life != SC_NO_LIFE &&
           sc_domain_doubts(job->domain, t->life) == sc_domain_doubts(job->domain, life);
}

/* The domain's template that may serve the message. */
static struct sc_template *known_template(const struct sc_job *job, uint16_t id)
{
    struct sc_template *t = sc_domain_template(job->domain, id);
    return t != NULL && job->message.own_life && !is_of_life(job, t) ? NULL : t;
}

/* The template that is in force at this place of the message. */
static struct sc_template *planned_template(const struct sc_job *job, uint16_t id)
{
    const struct sc_plan *plan = &job->decoder->plan;
    uint32_t latest = plan->change_count == 0 ? 0 : plan->latest[id];
    struct sc_template *t = latest == 0 ? known_template(job, id) : plan->changes[latest - 1].template_record;
    return t != NULL && plan->withdrawn[t->options] > latest ? NULL : t;
}

/* A definition of `id` cannot be used: the one before it may not be either. */
static enum sc_status plan_forget(struct sc_job *job, uint16_t id)
{
    if (job->message.life == SC_NO_LIFE ||
        (planned_template(job, id) == NULL && sc_domain_template(job->domain, id) == NULL))
        return SC_OK;
    return add_change(&job->decoder->plan, SC_CHANGE_FORGET, id) == NULL ? SC_NOMEM : SC_OK;
}

static enum sc_status leave_out_template(struct sc_job *job, uint16_t id, enum sc_status status,
                                         const char *what)
{
    leave_out(job, status, what);
    return plan_forget(job, id);
}

static enum sc_status plan_new(struct sc_job *job, uint16_t id, uint32_t count, bool options, uint16_t scopes)
{
    struct sc_plan *plan = &job->decoder->plan;
    struct sc_template *t = sc_template_compile(job->session, plan->fields, count, id, options, scopes);
    if (t == NULL)
        return SC_NOMEM;
    size_t tables = sc_roster_growth(&job->domain->templates, plan->new_count + 1);
    if (!sc_session_has_room(job->session, plan->new_bytes + t->bytes + tables)) {
        free(t);
        return leave_out_template(job, id, SC_LIMIT,
                                  "there is no room for its template (see \"exporter-memory\")");
    }
    struct sc_template_change *change = add_change(plan, SC_CHANGE_NEW, id);
    if (change == NULL) {
        free(t);
        return SC_NOMEM;
    }
    t->life = job->message.life;
    change->template_record = t;
    plan->new_count++;
    plan->new_bytes += t->bytes;
    return SC_OK;
}

/* plan->fields holds the record's field specifiers. */
static enum sc_status plan_template(struct sc_job *job, uint16_t id, uint32_t count, bool options,
                                    uint16_t scopes)
{
    struct sc_plan *plan = &job->decoder->plan;
    if (job->message.life == SC_NO_LIFE)
        return SC_OK;
    job->outcome->templates++;
    if (count > job->decoder->limits.max_fields)
        return leave_out_template(job, id, SC_MALFORMED, "a template has too many fields and is left out");
    struct sc_template *known = planned_template(job, id);
    if (known == NULL || !sc_template_same(known, plan->fields, count, options, scopes))
        return plan_new(job, id, count, options, scopes);
    struct sc_template_change *change = add_change(plan, SC_CHANGE_REFRESH, id);
    if (change == NULL)
        return SC_NOMEM;
    change->template_record = known;
    return SC_OK;
}

/* RFC 7011 section 8.1, and 8.4: on UDP withdrawals are ignored. */
static enum sc_status plan_withdrawal(struct sc_job *job, uint16_t id, bool options)
{
    job->outcome->templates++;
    if (job->session->transport == SC_TRANSPORT_UDP)
        return SC_OK;
    bool all = id == IPFIX_TEMPLATES || id == IPFIX_OPTIONS_TEMPLATES;
    struct sc_template_change *change =
        add_change(&job->decoder->plan, all ? SC_CHANGE_WITHDRAW_ALL : SC_CHANGE_WITHDRAW, id);
    if (change == NULL)
        return SC_NOMEM;
    change->options = options;
    if (all)
        job->decoder->plan.withdrawn[options] = job->decoder->plan.change_count;
    return SC_OK;
}

/* One IPFIX field specifier. The numbers of our pseudo enterprises are nobody's: they become an element that
 * is not kept. */
static bool read_ipfix_field(struct sc_cursor *c, struct sc_wire_field *field)
{
    const uint8_t *p = sc_cursor_take(c, 4);
    if (p == NULL)
        return false;
    *field = (struct sc_wire_field){.id = sc_load_be16(p), .length = sc_load_be16(p + 2)};
    if ((field->id & 0x8000) == 0)
        return true;
    field->id &= 0x7fff;
    p = sc_cursor_take(c, 4);
    field->pen = p == NULL ? 0 : sc_load_be32(p);
    if (field->pen >= SC_PEN_COLLECTOR)
        field->pen = SC_PEN_COLLECTOR;
    return p != NULL;
}

static bool read_v9_field(struct sc_cursor *c, bool scope, struct sc_wire_field *field)
{
    const uint8_t *p = sc_cursor_take(c, 4);
    if (p == NULL)
        return false;
    *field = (struct sc_wire_field){.id = sc_load_be16(p), .length = sc_load_be16(p + 2)};
    field->pen = scope ? SC_PEN_V9_SCOPE : field->id >= 32768 ? SC_PEN_V9 : SC_PEN_IANA;
    return true;
}

/* The specifiers of one template record to plan->fields. SC_MALFORMED: they reach beyond the set. */
static enum sc_status read_fields(struct sc_job *job, struct sc_cursor *c, uint32_t count, uint16_t scopes)
{
    struct sc_plan *plan = &job->decoder->plan;
    if (count > sc_cursor_left(c) / 4)
        return SC_MALFORMED;
    if (!sc_array_reserve(plan->fields, plan->field_capacity, count))
        return SC_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        bool ok = job->message.version == 10 ? read_ipfix_field(c, &plan->fields[i])
                                             : read_v9_field(c, i < scopes, &plan->fields[i]);
        if (!ok)
            return SC_MALFORMED;
    }
    return SC_OK;
}

/* The head of a template record. */
struct record {
    uint16_t id;
    uint16_t scopes;
    uint32_t count;    /* of fields, scope fields too */
    const char *fault; /* why it defines nothing although its extent is known; NULL */
};

/* Field and scope counts of an options template record. False: its extent is not known. */
static bool read_option_counts(struct sc_job *job, struct sc_cursor *c, struct record *r)
{
    uint32_t first = r->count;
    const uint8_t *p = sc_cursor_take(c, 2);
    if (p == NULL)
        return false;
    uint16_t second = sc_load_be16(p);
    if (job->message.version == 10) {
        r->scopes = second;
        if (second == 0 || second > first)
            r->fault = "an options template has no scope fields, or more than fields";
        return true;
    }
    r->count = (first + second) / 4; /* v9: lengths in bytes */
    r->scopes = (uint16_t)(first / 4);
    return first % 4 == 0 && second % 4 == 0;
}

static enum sc_status read_record(struct sc_job *job, struct sc_cursor *c, bool options, struct record *r)
{
    if (r->id < FIRST_DATA)
        r->fault = "a template has an id below 256";
    if (options && !read_option_counts(job, c, r))
        return SC_MALFORMED;
    return read_fields(job, c, r->count, r->scopes);
}

/* *more: where the record ends is known. */
static enum sc_status plan_record(struct sc_job *job, struct sc_cursor *c, bool options, bool *more)
{
    const uint8_t *p = sc_cursor_take(c, 4);
    struct record r = {.id = sc_load_be16(p), .count = sc_load_be16(p + 2)};
    bool ipfix = job->message.version == 10;
    if (ipfix && r.count == 0 &&
        (r.id >= FIRST_DATA || r.id == (options ? IPFIX_OPTIONS_TEMPLATES : IPFIX_TEMPLATES)))
        return plan_withdrawal(job, r.id, options);
    enum sc_status status = read_record(job, c, options, &r);
    *more = status == SC_OK;
    if (status == SC_NOMEM)
        return status;
    if (*more && r.fault == NULL)
        return plan_template(job, r.id, r.count, options, r.scopes);
    leave_out(job, SC_MALFORMED, *more ? r.fault : "a template record does not fit its set");
    return plan_forget(job, r.id);
}

static enum sc_status plan_templates(struct sc_job *job, const uint8_t *body, uint32_t length, bool options)
{
    struct sc_cursor c = {.data = body, .len = length};
    uint32_t end = length;
    bool more = true;
    while (end > 0 && body[end - 1] == 0)
        end--; /* what may be padding */
    while (more && sc_cursor_left(&c) >= 4 && c.pos < end)
        SC_TRY(plan_record(job, &c, options, &more));
    return SC_OK;
}

/* ---- sets ---- */

static enum sc_status plan_data(struct sc_job *job, uint16_t id, const uint8_t *body, uint32_t length)
{
    struct sc_plan *plan = &job->decoder->plan;
    if (!sc_array_reserve(plan->sets, plan->set_capacity, plan->set_count + 1))
        return SC_NOMEM;
    struct sc_template *t = planned_template(job, id);
    plan->sets[plan->set_count++] =
        (struct sc_planned_set){.body = body, .length = length, .id = id, .template_record = t};
    return SC_OK;
}

static enum sc_status plan_set(struct sc_job *job, uint16_t id, const uint8_t *body, uint32_t length)
{
    bool ipfix = job->message.version == 10;
    if (id >= FIRST_DATA)
        return plan_data(job, id, body, length);
    if (id == (ipfix ? IPFIX_TEMPLATES : V9_TEMPLATES))
        return plan_templates(job, body, length, false);
    if (id == (ipfix ? IPFIX_OPTIONS_TEMPLATES : V9_OPTIONS_TEMPLATES))
        return plan_templates(job, body, length, true);
    job->decoder->plan.malformed++; /* reserved: skipped and counted */
    return SC_OK;
}

/* The set's length is wrong, or the datagram was cut off. */
static enum sc_status plan_broken_set(struct sc_job *job, const uint8_t *p, size_t left)
{
    struct sc_plan *plan = &job->decoder->plan;
    uint16_t id = sc_load_be16(p), length = sc_load_be16(p + 2);
    if (job->message.version != 10 && sc_all_zero(p, left))
        return SC_OK; /* some exporters fill datagrams up with zeros */
    leave_out(job, SC_MALFORMED,
              length < 4 ? "a set is shorter than its header" : "a set reaches beyond the message");
    if (job->message.version == 10 || id < FIRST_DATA || length < 4 || planned_template(job, id) == NULL)
        return SC_OK;
    SC_TRY(plan_data(job, id, p + 4, (uint32_t)left - 4));
    plan->sets[plan->set_count - 1].cut = true;
    return SC_OK;
}

static enum sc_status plan_message(struct sc_job *job, const uint8_t *bytes, size_t length)
{
    struct sc_plan *plan = &job->decoder->plan;
    plan->set_count = plan->change_count = plan->new_count = plan->malformed = 0;
    plan->new_bytes = 0;
    plan->soft = SC_OK;
    size_t at = 0;
    while (length - at >= 4) {
        uint32_t set_length = sc_load_be16(bytes + at + 2);
        if (set_length < 4 || set_length > length - at)
            return plan_broken_set(job, bytes + at, length - at);
        SC_TRY(plan_set(job, sc_load_be16(bytes + at), bytes + at + 4, set_length - 4));
        at += set_length;
    }
    if (at < length && job->message.version == 10)
        leave_out(job, SC_MALFORMED, "bytes follow the last set");
    return SC_OK;
}

static void drop_plan(struct sc_plan *plan)
{
    for (uint32_t i = 0; i < plan->change_count; i++) {
        plan->latest[plan->changes[i].id] = 0;
        if (plan->changes[i].kind == SC_CHANGE_NEW)
            free(plan->changes[i].template_record);
    }
    plan->change_count = plan->withdrawn[0] = plan->withdrawn[1] = 0;
}

/* ---- carrying the plan out ---- */

/* A clock that jumps ahead makes no template immortal. */
#define MOST_REFRESH_MS 86400000u

static void refresh_template(struct sc_template *t, uint64_t now_ms)
{
    if (now_ms > t->seen_ms) {
        uint64_t interval = now_ms - t->seen_ms < MOST_REFRESH_MS ? now_ms - t->seen_ms : MOST_REFRESH_MS;
        t->refresh_ms = interval > t->refresh_ms ? interval : t->refresh_ms;
        t->seen_ms = now_ms;
    }
}

/* Data that wait for a template end with its withdrawal: the next one of the number is another. 0: all. */
static void end_waiting(struct sc_job *job, uint16_t id)
{
    const struct sc_waiting_choice choice = {.domain = job->domain, .id = id};
    sc_session_drop_waiting(job->session, &choice);
    job->domain->withdraws = true;
}

/* Templates that go are needed until the message is done: they replace the change's record, which is freed
 * then. */
static enum sc_status apply_change(struct sc_job *job, struct sc_template_change *change)
{
    struct sc_template *old = NULL;
    switch (change->kind) {
    case SC_CHANGE_REFRESH:
        refresh_template(change->template_record, job->message.receive_ms);
        sc_template_refreshed(job->session, job->message.receive_ms);
        return SC_OK;
    case SC_CHANGE_NEW:
        change->template_record->seen_ms = job->message.receive_ms;
        SC_TRY(sc_domain_put_template(job->domain, change->template_record, &old));
        break;
    default:
        if (change->kind == SC_CHANGE_WITHDRAW)
            end_waiting(job, change->id);
        old = sc_domain_take_template(job->domain, sc_domain_template(job->domain, change->id));
        sc_session_changed(job->session);
        break;
    }
    change->kind = SC_CHANGE_NEW; /* from here on: a record to free */
    change->template_record = old;
    return SC_OK;
}

/* Looks at those that go alone: a message may ask for it thousands of times. */
static enum sc_status withdraw_all(struct sc_job *job, bool options)
{
    struct sc_plan *plan = &job->decoder->plan;
    struct sc_domain *domain = job->domain;
    uint32_t first = options ? domain->flow_templates : 0;
    end_waiting(job, 0);
    for (uint32_t i = options ? domain->templates.count : domain->flow_templates; i > first; i--) {
        struct sc_template *t = sc_template_at(domain, i - 1);
        struct sc_template_change *grave = add_change(plan, SC_CHANGE_NEW, t->id);
        if (grave == NULL)
            return SC_NOMEM;
        grave->template_record = sc_domain_take_template(domain, t);
        sc_session_changed(job->session);
    }
    return SC_OK;
}

static enum sc_status apply_changes(struct sc_job *job)
{
    struct sc_plan *plan = &job->decoder->plan;
    uint32_t count = plan->change_count;
    for (uint32_t i = 0; i < count; i++) {
        if (plan->changes[i].kind == SC_CHANGE_WITHDRAW_ALL)
            SC_TRY(withdraw_all(job, plan->changes[i].options));
        else
            SC_TRY(apply_change(job, &plan->changes[i]));
    }
    return SC_OK;
}

static void leave_out_set(struct sc_job *job, const struct sc_message *message, const struct sc_template *t)
{
    enum sc_status soft = job->decoder->plan.soft;
    leave_out(job, SC_MALFORMED,
              t->record_length == 0 ? "data of a template without bytes"
                                    : "a data record reaches beyond its set");
    if (message != &job->message)
        job->decoder->plan.soft = soft; /* the message at hand is whole */
}

/* Decodes one data set, if all its records are whole, or those that are where it was cut off. */
static enum sc_status decode_set(struct sc_job *job, const struct sc_message *message,
                                 const struct sc_planned_set *set, bool *whole)
{
    struct sc_run run = {.decoder = job->decoder,
                         .domain = job->domain,
                         .message = message,
                         .template_record = set->template_record};
    enum sc_status status = sc_run_scan(&run, set->body, set->length);
    *whole = status == SC_OK;
    if (status == SC_OK || (status == SC_MALFORMED && set->cut))
        return sc_job_append(job, &run);
    if (status != SC_MALFORMED)
        return status;
    leave_out_set(job, message, set->template_record);
    return SC_OK;
}

/* Sets that waited for the templates of this message. */
static enum sc_status recover_waiting(struct sc_job *job)
{
    struct sc_template *t;
    struct sc_waiting_set *w;
    uint32_t gap = job->account->pending_gap;
    enum sc_status status = SC_OK;
    job->account->pending_gap = 0; /* it lies behind these records */
    while (status == SC_OK && (w = sc_domain_claim(job->domain, &t)) != NULL) {
        bool whole;
        sc_job_decodes(job, &w->message);
        const struct sc_planned_set set = {.body = w->body, .length = w->length, .template_record = t};
        status = decode_set(job, &w->message, &set, &whole);
        if (status == SC_OK)
            status = sc_job_settle(job);
        job->outcome->recovered_sets += whole;
        free(w);
    }
    job->account->pending_gap = gap;
    return status;
}

/* On TCP nothing waits: a template that is not there by now was withdrawn or never sent. So it is in files of exporters
 * that withdraw; others may have been written as datagrams came. */
static bool may_wait(const struct sc_job *job)
{
    return job->session->transport == SC_TRANSPORT_UDP ||
           (job->session->transport == SC_TRANSPORT_FILE && !job->domain->withdraws);
}

static void miss_template(struct sc_job *job, const struct sc_planned_set *set)
{
    job->outcome->no_template_sets++;
    if (job->message.life == SC_NO_LIFE)
        return;
    sc_missing_note(job->domain, set->id, job->message.receive_ms);
    if (may_wait(job))
        sc_domain_wait(job->domain, &job->message, set);
}

static enum sc_status decode_sets(struct sc_job *job, bool *all_known)
{
    struct sc_plan *plan = &job->decoder->plan;
    for (uint32_t i = 0; i < plan->set_count; i++) {
        const struct sc_planned_set *set = &plan->sets[i];
        bool whole = false;
        if (set->template_record == NULL)
            miss_template(job, set);
        else
            SC_TRY(decode_set(job, &job->message, set, &whole));
        *all_known &= whole;
    }
    return SC_OK;
}

static void advance(struct sc_job *job, bool all_known, uint32_t records)
{
    if (job->message.version == 10) {
        sc_sequence_advance(job->account, &job->message, &job->arrival, all_known, records);
        return;
    }
    sc_sequence_advance(job->account, &job->message, &job->arrival, true, 1);
    job->account->stats.count_mismatches +=
        all_known && records + job->outcome->templates != job->message.count;
}

static enum sc_status execute(struct sc_job *job)
{
    struct sc_plan *plan = &job->decoder->plan;
    bool all_known = plan->malformed == 0;
    sc_job_arrive(job);
    sc_job_choose_batch(job);
    SC_TRY(apply_changes(job));
    if ((plan->new_count != 0 || job->domain->recoverable) && job->session->waiting != NULL)
        SC_TRY(recover_waiting(job));
    job->domain->recoverable = false;
    sc_job_decodes(job, &job->message);
    uint32_t records = job->outcome->flows + job->outcome->options;
    SC_TRY(decode_sets(job, &all_known));
    SC_TRY(sc_job_settle(job));
    advance(job, all_known, job->outcome->flows + job->outcome->options - records);
    return SC_OK;
}

enum sc_status sc_message_sets(struct sc_job *job, const uint8_t *sets, size_t length)
{
    struct sc_plan *plan = &job->decoder->plan;
    sc_job_judge(job);
    enum sc_status status = plan_message(job, sets, length);
    if (status == SC_OK)
        status = execute(job);
    drop_plan(plan);
    job->outcome->malformed = plan->malformed;
    return status == SC_OK ? plan->soft : status;
}
