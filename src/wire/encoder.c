// SPDX-License-Identifier: BSD-3-Clause
#include "base/hash.h"
#include "wire/encoder_types.h"

enum { V5_MESSAGE = 24 + 30 * 48 };

struct sc_encoder_options sc_encoder_default_options(void)
{
    return (struct sc_encoder_options){
        .protocol = SC_EXPORT_IPFIX,
        .max_message = 1400,
        .max_templates = 1024,
        .refresh_messages = 100,
        .refresh_seconds = 60,
    };
}

static enum sc_status check_options(const struct sc_encoder_options *o, struct sc_error *err)
{
    if (o->protocol != SC_EXPORT_V5 && o->protocol != SC_EXPORT_V9 && o->protocol != SC_EXPORT_IPFIX)
        return sc_fail(err, SC_USAGE, "protocol %d is none of 5, 9, 10", (int)o->protocol);
    if (o->max_message < SC_ENCODER_MESSAGE_MIN || o->max_message > SC_ENCODER_MESSAGE_MAX)
        return sc_fail(err, SC_USAGE, "message size %u is not within %u and %u", o->max_message,
                       SC_ENCODER_MESSAGE_MIN, SC_ENCODER_MESSAGE_MAX);
    if (o->max_templates == 0 || o->max_templates > 65535 - ENCODER_FIRST_ID)
        return sc_fail(err, SC_USAGE, "%u templates are not within 1 and %u", o->max_templates,
                       65535 - ENCODER_FIRST_ID);
    return SC_OK;
}

struct sc_encoder *sc_encoder_create(const struct sc_encoder_options *options, sc_encoder_emit emit,
                                     void *arg, struct sc_error *err)
{
    if (check_options(options, err) != SC_OK)
        return NULL;
    struct sc_encoder *e = calloc(1, sizeof(*e));
    uint32_t limit = options->protocol == SC_EXPORT_V5 ? V5_MESSAGE : options->max_message & ~3u;
    if (e != NULL)
        e->message = malloc(limit + 8);
    if (e == NULL || e->message == NULL) {
        free(e);
        sc_fail_nomem(err, "an encoder");
        return NULL;
    }
    e->options = *options;
    e->emit = emit;
    e->seed = sc_hash_draw_seed();
    e->arg = arg;
    e->limit = limit;
    e->next_id = ENCODER_FIRST_ID;
    return e;
}

void sc_encoder_free(struct sc_encoder *e)
{
    if (e == NULL)
        return;
    sc_encoder_plan_free(&e->flows);
    sc_encoder_plan_free(&e->option_records);
    for (uint32_t i = 0; i < e->template_count; i++)
        free(e->templates[i]);
    free(e->templates);
    free(e->message);
    free(e);
}

static void begin_call(struct sc_encoder *e, uint64_t export_ms, struct sc_error *err)
{
    const uint64_t before = UINT64_C(20) * 86400 * 1000;
    e->err = err;
    if (export_ms > e->now_ms)
        e->now_ms = export_ms;
    if (e->options.system_init_ms == 0)
        e->options.system_init_ms = e->now_ms > before ? e->now_ms - before : 0;
    if (e->refreshed_ms == 0)
        e->refreshed_ms = e->now_ms;
}

static enum sc_status prepare(struct sc_encoder *e, struct encoder_template *t)
{
    sc_encoder_refresh(e);
    return t->sent ? SC_OK : sc_encoder_send_template(e, t);
}

static void add_records(struct sc_encoder *e, const struct encoder_plan *plan, uint32_t n, uint32_t bytes)
{
    e->length += bytes;
    e->records += n;
    e->data_records += n;
    e->data_since_refresh = true;
    if (plan->scope_count == 0)
        e->flow_records += n;
}

/* Rows of one template with a fixed record length: field by field down the message. */
static enum sc_status put_fixed(struct sc_encoder *e, const struct encoder_plan *plan,
                                const struct encoder_pattern *p, uint32_t row, uint32_t n)
{
    struct encoder_template *t = p->template;
    uint32_t size = t->record_length;
    while (n > 0) {
        SC_TRY(prepare(e, t));
        if (!sc_encoder_has_room(e, t->id, size)) {
            SC_TRY(sc_encoder_message_close(e));
            continue;
        }
        sc_encoder_set_open(e, t->id, size);
        uint32_t take = (e->limit - e->length) / size;
        take = take < n ? take : n;
        uint8_t *out = e->message + e->length;
        for (uint32_t i = 0; i < p->step_count; i++) {
            const struct encoder_step *step = &p->steps[i];
            sc_encoder_put_values(e, &plan->sources[step->source], step->length, row, take, out, size);
            out += step->length;
        }
        add_records(e, plan, take, take * size);
        row += take;
        n -= take;
    }
    return SC_OK;
}

static size_t variable_record_length(const struct encoder_plan *plan, const struct encoder_pattern *p,
                                     uint32_t row)
{
    size_t length = 0;
    for (uint32_t i = 0; i < p->step_count; i++) {
        const struct encoder_step *step = &p->steps[i];
        if (step->length == ENCODER_VARIABLE)
            length += sc_encoder_variable_length(&plan->sources[step->source], row);
        else
            length += step->length;
    }
    return length;
}

static enum sc_status put_variable_row(struct sc_encoder *e, const struct encoder_plan *plan,
                                       const struct encoder_pattern *p, uint32_t row)
{
    struct encoder_template *t = p->template;
    size_t size = variable_record_length(plan, p, row);
    if (size > e->limit || !sc_encoder_fits(e, t, (uint32_t)size)) {
        e->stats.skipped++;
        return SC_OK;
    }
    SC_TRY(prepare(e, t));
    if (!sc_encoder_has_room(e, t->id, (uint32_t)size)) {
        SC_TRY(sc_encoder_message_close(e));
        SC_TRY(prepare(e, t));
        if (!sc_encoder_has_room(e, t->id, (uint32_t)size)) /* a refreshed template took the room */
            SC_TRY(sc_encoder_message_close(e));
    }
    sc_encoder_set_open(e, t->id, (uint32_t)size);
    uint8_t *out = e->message + e->length;
    for (uint32_t i = 0; i < p->step_count; i++) {
        const struct encoder_step *step = &p->steps[i];
        const struct encoder_source *s = &plan->sources[step->source];
        sc_encoder_put_values(e, s, step->length, row, 1, out, 0);
        out += step->length == ENCODER_VARIABLE ? sc_encoder_variable_length(s, row) : step->length;
    }
    add_records(e, plan, 1, (uint32_t)size);
    return SC_OK;
}

static enum sc_status put_run(struct sc_encoder *e, struct encoder_plan *plan, uint32_t row, uint32_t n)
{
    struct encoder_pattern *p;
    SC_TRY(sc_encoder_pattern_find(e, plan, &p));
    if (p->template == NULL || p->template->too_long) {
        e->stats.skipped += n;
        return SC_OK;
    }
    p->template->used = ++e->tick;
    if (p->template->record_length != 0)
        return put_fixed(e, plan, p, row, n);
    for (uint32_t i = 0; i < n; i++)
        SC_TRY(put_variable_row(e, plan, p, row + i));
    return SC_OK;
}

/* Cuts the rows into runs of equal state. */
static enum sc_status put_rows(struct sc_encoder *e, struct encoder_plan *plan, uint32_t first, uint32_t n)
{
    uint32_t row = first;
    while (row < first + n) {
        sc_encoder_row_state(e, plan, row);
        uint32_t end = row + 1;
        while (end < first + n && sc_encoder_same_state(e, plan, end))
            end++;
        SC_TRY(put_run(e, plan, row, end - row));
        row = end;
    }
    return SC_OK;
}

enum sc_status sc_encoder_flows(struct sc_encoder *e, const struct sc_column *const *columns,
                                uint32_t column_count, uint32_t first, uint32_t n, uint64_t export_ms,
                                struct sc_error *err)
{
    begin_call(e, export_ms, err);
    if (n == 0)
        return SC_OK;
    if (e->options.protocol == SC_EXPORT_V5)
        return sc_encoder_v5_rows(e, columns, column_count, first, n);
    SC_TRY(sc_encoder_plan_columns(e, &e->flows, columns, column_count, 0, first, n));
    return put_rows(e, &e->flows, first, n);
}

enum sc_status sc_encoder_options_records(struct sc_encoder *e, const struct sc_column *const *columns,
                                          uint32_t column_count, uint32_t scope_count, uint32_t first,
                                          uint32_t n, uint64_t export_ms, struct sc_error *err)
{
    if (e->options.protocol == SC_EXPORT_V5)
        return sc_fail(err, SC_UNSUPPORTED, "NetFlow v5 has no options records");
    if (scope_count == 0 || scope_count > column_count)
        return sc_fail(err, SC_USAGE, "an options record needs at least one scope field");
    begin_call(e, export_ms, err);
    if (n == 0)
        return SC_OK;
    SC_TRY(sc_encoder_plan_columns(e, &e->option_records, columns, column_count, scope_count, first, n));
    return put_rows(e, &e->option_records, first, n);
}

enum sc_status sc_encoder_flush(struct sc_encoder *e, uint64_t export_ms, struct sc_error *err)
{
    begin_call(e, export_ms, err);
    return sc_encoder_message_close(e);
}

uint32_t sc_encoder_pending(const struct sc_encoder *e)
{
    return e->length == 0 ? 0 : e->records;
}

void sc_encoder_restart(struct sc_encoder *e)
{
    e->length = 0;
    e->set_start = 0;
    e->sequence = 0;
    e->refreshed_ms = 0;
    sc_encoder_repeat_templates(e);
}

void sc_encoder_get_stats(const struct sc_encoder *e, struct sc_encoder_stats *out)
{
    *out = e->stats;
}
