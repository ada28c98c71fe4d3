// SPDX-License-Identifier: BSD-3-Clause
/*
 * NetFlow v9 and IPFIX messages. First the sets are planned: every length is checked, template records are
 * compiled, data sets get the template that is in force where they stand, and nothing of the session changes.
 * A malformed IPFIX message ends here and leaves no trace but its counter (RFC 7011 section 9.1); of a v9
 * message the sets before the break stay (RFC 3954 has no such rule, and exporters exist that fill datagrams
 * up). Then the plan is carried out.
 */
#include "wire/decoder_internal.h"

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
    free(plan->fields);
    *plan = (struct sc_plan){0};
}

static bool grow(void **array, uint32_t *capacity, uint32_t need, size_t size)
{
    if (need <= *capacity)
        return true;
    uint32_t wanted = *capacity < 16 ? 16 : *capacity;
    while (wanted < need)
        wanted *= 2;
    void *grown = realloc(*array, wanted * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static bool all_zero(const uint8_t *p, size_t length)
{
    return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}

static enum sc_status malformed(struct sc_job *job, const char *what)
{
    char text[SC_ADDR_TEXT_MAX];
    sc_addr_format(&job->message.exporter, text);
    return sc_fail(job->err, SC_MALFORMED, "message of exporter %s port %u, domain %u: %s", text,
                   job->message.port, job->message.domain_id, what);
}

/* A part was left out. IPFIX: the message is malformed; v9: go on after it. */
static enum sc_status leave_out(struct sc_job *job, const char *what)
{
    enum sc_status status = malformed(job, what);
    if (job->message.version == 10)
        return status;
    job->decoder->plan.malformed++;
    job->decoder->plan.soft = SC_MALFORMED;
    return SC_OK;
}

static enum sc_status over_limit(struct sc_job *job, const char *what)
{
    malformed(job, what);
    if (job->err != NULL)
        job->err->status = SC_LIMIT;
    job->decoder->plan.malformed++;
    job->decoder->plan.soft = SC_LIMIT;
    return SC_OK;
}

/* ---- template records ---- */

static struct sc_template_change *add_change(struct sc_plan *plan, enum sc_change_kind kind, uint16_t id)
{
    void *changes = plan->changes;
    if (!grow(&changes, &plan->change_capacity, plan->change_count + 1, sizeof(*plan->changes)))
        return NULL;
    plan->changes = changes;
    struct sc_template_change *change = &plan->changes[plan->change_count++];
    *change = (struct sc_template_change){.kind = kind, .id = id};
    return change;
}

/* The template that is in force at this place of the message. */
static struct sc_template *planned_template(const struct sc_job *job, uint16_t id)
{
    const struct sc_plan *plan = &job->decoder->plan;
    struct sc_template *known = sc_domain_template(job->domain, id);
    for (uint32_t i = plan->change_count; i > 0; i--) {
        const struct sc_template_change *change = &plan->changes[i - 1];
        if (change->kind == SC_CHANGE_WITHDRAW_ALL) {
            if (known != NULL && known->options == change->options)
                return NULL;
        } else if (change->id == id) {
            return change->template_record;
        }
    }
    return known;
}

static enum sc_status plan_new(struct sc_job *job, uint16_t id, uint32_t count, bool options, uint16_t scopes,
                               bool replaces)
{
    struct sc_plan *plan = &job->decoder->plan;
    const struct sc_decoder_limits *limits = &job->decoder->limits;
    if (!replaces && job->domain->template_count + plan->new_count >= limits->max_templates)
        return over_limit(job, "too many templates; the new one is left out");
    struct sc_template *t =
        sc_template_compile(job->session, limits, plan->fields, count, id, options, scopes);
    if (t == NULL)
        return SC_NOMEM;
    if (job->session->bytes + plan->new_bytes + t->bytes > limits->max_session_bytes) {
        free(t);
        return over_limit(job, "the session's templates need too much memory; the new one is left out");
    }
    struct sc_template_change *change = add_change(plan, SC_CHANGE_NEW, id);
    if (change == NULL) {
        free(t);
        return SC_NOMEM;
    }
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
    job->outcome->templates++;
    if (count > job->decoder->limits.max_fields)
        return over_limit(job, "a template has too many fields and is left out");
    struct sc_template *known = planned_template(job, id);
    if (known == NULL || !sc_template_same(known, plan->fields, count, options, scopes))
        return plan_new(job, id, count, options, scopes, known != NULL);
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

/* The specifiers of one template record to plan->fields. */
static enum sc_status read_fields(struct sc_job *job, struct sc_cursor *c, uint32_t count, uint16_t scopes)
{
    struct sc_plan *plan = &job->decoder->plan;
    if (count > sc_cursor_left(c) / 4)
        return SC_MALFORMED;
    void *fields = plan->fields;
    if (!grow(&fields, &plan->field_capacity, count, sizeof(*plan->fields)))
        return SC_NOMEM;
    plan->fields = fields;
    for (uint32_t i = 0; i < count; i++) {
        bool ok = job->message.version == 10 ? read_ipfix_field(c, &plan->fields[i])
                                             : read_v9_field(c, i < scopes, &plan->fields[i]);
        if (!ok)
            return SC_MALFORMED;
    }
    return SC_OK;
}

/* Field and scope counts of an options template record; false when they make no sense. */
static bool read_option_counts(struct sc_job *job, struct sc_cursor *c, uint16_t first, uint32_t *count,
                               uint16_t *scopes)
{
    const uint8_t *p = sc_cursor_take(c, 2);
    if (p == NULL)
        return false;
    uint16_t second = sc_load_be16(p);
    if (job->message.version == 10) {
        *count = first;
        *scopes = second;
        return second != 0 && second <= first;
    }
    *count = ((uint32_t)first + second) / 4; /* v9: lengths in bytes */
    *scopes = first / 4;
    return first % 4 == 0 && second % 4 == 0;
}

static enum sc_status plan_record(struct sc_job *job, struct sc_cursor *c, bool options)
{
    const uint8_t *p = sc_cursor_take(c, 4);
    uint16_t id = sc_load_be16(p), first = sc_load_be16(p + 2), scopes = 0;
    uint32_t count = first;
    bool ipfix = job->message.version == 10;
    if (ipfix && first == 0 &&
        (id >= FIRST_DATA || id == (options ? IPFIX_OPTIONS_TEMPLATES : IPFIX_TEMPLATES)))
        return plan_withdrawal(job, id, options);
    if (id < FIRST_DATA)
        return SC_MALFORMED;
    if (options && !read_option_counts(job, c, first, &count, &scopes))
        return SC_MALFORMED;
    SC_TRY(read_fields(job, c, count, scopes));
    return plan_template(job, id, count, options, scopes);
}

static enum sc_status plan_templates(struct sc_job *job, const uint8_t *body, uint32_t length, bool options)
{
    struct sc_cursor c = {.data = body, .len = length};
    while (sc_cursor_left(&c) >= 4 && !all_zero(body + c.pos, sc_cursor_left(&c))) {
        enum sc_status status = plan_record(job, &c, options);
        if (status == SC_MALFORMED)
            return leave_out(job, "a template record is malformed");
        if (status != SC_OK)
            return status;
    }
    return SC_OK;
}

/* ---- sets ---- */

static enum sc_status plan_data(struct sc_job *job, uint16_t id, const uint8_t *body, uint32_t length)
{
    struct sc_plan *plan = &job->decoder->plan;
    void *sets = plan->sets;
    if (!grow(&sets, &plan->set_capacity, plan->set_count + 1, sizeof(*plan->sets)))
        return SC_NOMEM;
    plan->sets = sets;
    struct sc_template *t = planned_template(job, id);
    plan->sets[plan->set_count++] =
        (struct sc_planned_set){.body = body, .length = length, .id = id, .template_record = t};
    if (t == NULL || !t->variable || job->message.version != 10)
        return SC_OK;
    struct sc_run run = {.decoder = job->decoder, .template_record = t};
    enum sc_status status = sc_run_scan(&run, body, length);
    return status == SC_MALFORMED ? malformed(job, "a data record reaches beyond its set") : status;
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

/* The set's length is wrong. v9: of a data set that the datagram cuts off the whole records are kept. */
static enum sc_status plan_broken_set(struct sc_job *job, const uint8_t *p, size_t left)
{
    uint16_t id = sc_load_be16(p), length = sc_load_be16(p + 2);
    if (job->message.version != 10) {
        if (all_zero(p, left))
            return SC_OK; /* a datagram filled up with zeros: WIRE fact 4 */
        if (id >= FIRST_DATA && length > left && planned_template(job, id) != NULL)
            SC_TRY(plan_data(job, id, p + 4, (uint32_t)left - 4));
    }
    return leave_out(job,
                     length < 4 ? "a set is shorter than its header" : "a set reaches beyond the message");
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
    return at < length && job->message.version == 10 ? malformed(job, "bytes follow the last set") : SC_OK;
}

static void drop_plan(struct sc_plan *plan)
{
    for (uint32_t i = 0; i < plan->change_count; i++) {
        if (plan->changes[i].kind == SC_CHANGE_NEW)
            free(plan->changes[i].template_record);
    }
    plan->change_count = 0;
}

/* ---- carrying the plan out ---- */

static void refresh_template(struct sc_template *t, uint64_t now_ms)
{
    if (now_ms > t->seen_ms) {
        uint64_t interval = now_ms - t->seen_ms;
        t->refresh_ms = interval > t->refresh_ms ? interval : t->refresh_ms;
        t->seen_ms = now_ms;
    }
}

/* Templates that go are needed until the message is done: they replace the change's record, which is freed
 * then. */
static enum sc_status apply_change(struct sc_job *job, struct sc_template_change *change)
{
    struct sc_template *old = NULL;
    enum sc_status status = SC_OK;
    switch (change->kind) {
    case SC_CHANGE_REFRESH:
        refresh_template(change->template_record, job->message.receive_ms);
        return SC_OK;
    case SC_CHANGE_NEW:
        change->template_record->seen_ms = job->message.receive_ms;
        status = sc_domain_put_template(job->session, job->domain, change->template_record, &old);
        if (status != SC_OK)
            return status;
        break;
    default:
        old = sc_domain_take_template(job->session, job->domain, change->id);
        break;
    }
    change->kind = SC_CHANGE_NEW; /* from here on: a record to free */
    change->template_record = old;
    return SC_OK;
}

static enum sc_status withdraw_all(struct sc_job *job, bool options)
{
    struct sc_plan *plan = &job->decoder->plan;
    for (uint32_t i = job->domain->template_count; i > 0; i--) {
        struct sc_template *t = job->domain->templates[i - 1];
        if (t->options != options)
            continue;
        struct sc_template_change *grave = add_change(plan, SC_CHANGE_NEW, t->id);
        if (grave == NULL)
            return SC_NOMEM;
        grave->template_record = sc_domain_take_template(job->session, job->domain, t->id);
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

/* Decodes one data set. *whole: all its records were read. */
static enum sc_status decode_set(struct sc_job *job, const struct sc_message *message, struct sc_template *t,
                                 const uint8_t *body, uint32_t length, bool *whole)
{
    struct sc_run run = {
        .decoder = job->decoder, .domain = job->domain, .message = message, .template_record = t};
    enum sc_status status = sc_run_scan(&run, body, length);
    *whole = status == SC_OK;
    if (status == SC_MALFORMED) {
        malformed(job,
                  t->record_length == 0 ? "data of a template without bytes" : "a data record is cut off");
        job->decoder->plan.malformed++;
        if (message == &job->message && message->version != 10)
            job->decoder->plan.soft = SC_MALFORMED; /* else the message at hand is whole */
    } else if (status != SC_OK) {
        return status;
    }
    return sc_job_append(job, &run);
}

/* Sets that waited for the templates of this message. */
static enum sc_status recover_waiting(struct sc_job *job)
{
    struct sc_template *t;
    struct sc_waiting_set *w;
    uint32_t gap = job->account->pending_gap;
    enum sc_status status = SC_OK;
    job->account->pending_gap = 0; /* it lies behind these records */
    while (status == SC_OK && (w = sc_session_claim(job->session, job->domain, &t)) != NULL) {
        bool whole;
        sc_job_decodes(job, &w->message);
        status = decode_set(job, &w->message, t, w->body, w->length, &whole);
        if (status == SC_OK)
            status = sc_job_settle(job);
        job->outcome->recovered_sets += whole;
        free(w);
    }
    job->account->pending_gap = gap;
    return status;
}

static enum sc_status decode_sets(struct sc_job *job, bool *all_known)
{
    struct sc_plan *plan = &job->decoder->plan;
    for (uint32_t i = 0; i < plan->set_count; i++) {
        const struct sc_planned_set *set = &plan->sets[i];
        bool whole = false;
        if (set->template_record == NULL) {
            job->outcome->no_template_sets++;
            sc_session_wait(job->session, &job->decoder->limits, job->domain, &job->message, set);
        } else {
            SC_TRY(decode_set(job, &job->message, set->template_record, set->body, set->length, &whole));
        }
        *all_known &= whole;
    }
    return SC_OK;
}

static enum sc_status execute(struct sc_job *job)
{
    struct sc_plan *plan = &job->decoder->plan;
    bool late, all_known = plan->malformed == 0;
    sc_job_choose_batch(job);
    SC_TRY(apply_changes(job));
    job->outcome->lost = sc_sequence_arrive(job->account, &job->message, &late);
    job->account->pending_gap += job->outcome->lost;
    job->decoder->revision += plan->new_count != 0;
    if ((plan->new_count != 0 || job->domain->recoverable) && job->session->waiting != NULL)
        SC_TRY(recover_waiting(job));
    job->domain->recoverable = false;
    sc_job_decodes(job, &job->message);
    uint32_t records = job->outcome->flows + job->outcome->options;
    SC_TRY(decode_sets(job, &all_known));
    SC_TRY(sc_job_settle(job));
    records = job->outcome->flows + job->outcome->options - records;
    if (job->message.version == 10) {
        sc_sequence_advance(job->account, &job->message, late, all_known, records);
        return SC_OK;
    }
    sc_sequence_advance(job->account, &job->message, late, true, 1);
    job->account->stats.count_mismatches +=
        all_known && records + job->outcome->templates != job->message.count;
    return SC_OK;
}

enum sc_status sc_message_sets(struct sc_job *job, const uint8_t *sets, size_t length)
{
    struct sc_plan *plan = &job->decoder->plan;
    enum sc_status status = plan_message(job, sets, length);
    if (status == SC_OK)
        status = execute(job);
    drop_plan(plan);
    if (status == SC_MALFORMED) {
        job->account->sequence.known = false;
        job->outcome->templates = 0;
        job->outcome->malformed = 1;
        return status;
    }
    job->outcome->malformed = plan->malformed;
    return status == SC_OK ? plan->soft : status;
}
