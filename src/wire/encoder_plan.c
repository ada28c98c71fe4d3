// SPDX-License-Identifier: BSD-3-Clause
/* From columns to sources, from a row's state to its pattern, from a pattern to its template. */
#include "base/array.h"
#include "base/hash.h"
#include "wire/encoder_types.h"

/* ---- what a column may become ---- */

static const struct {
    uint16_t collector;
    uint16_t v4;
    uint16_t v6;
} unified[] = {
    {SC_IE_SOURCE_ADDRESS, 8, 27},      {SC_IE_DESTINATION_ADDRESS, 12, 28},
    {SC_IE_NEXT_HOP, 15, 62},           {SC_IE_BGP_NEXT_HOP, 18, 63},
    {SC_IE_POST_NAT_SOURCE, 225, 281},  {SC_IE_POST_NAT_DESTINATION, 226, 282},
    {SC_IE_EXPORTER_ADDRESS, 403, 404},
};

static void set_element(struct encoder_source *s, uint8_t op, uint32_t pen, uint16_t id, uint16_t length)
{
    s->op = op;
    s->vary = ENCODER_BY_NULL;
    s->spec[0] = (struct encoder_spec){pen, id, length};
    s->spec[1] = s->spec[0];
}

static bool set_unified(struct encoder_source *s)
{
    for (size_t i = 0; i < sizeof(unified) / sizeof(unified[0]); i++) {
        if (unified[i].collector != s->key.id)
            continue;
        set_element(s, ENCODER_ADDRESS, SC_PEN_IANA, unified[i].v4, 4);
        s->spec[1] = (struct encoder_spec){SC_PEN_IANA, unified[i].v6, 16};
        s->vary = ENCODER_BY_FAMILY;
        return true;
    }
    return false;
}

/* Bytes of an integer, float or address on the wire. */
static uint16_t wire_length(const struct encoder_source *s)
{
    const struct sc_ie *ie = sc_ie_find(s->key.pen, s->key.id);
    if (ie == NULL)
        return s->column->width;
    switch (ie->type) {
    case SC_TYPE_MAC_ADDRESS:
        return 6;
    case SC_TYPE_FLOAT32:
    case SC_TYPE_IPV4_ADDRESS:
        return 4;
    default:
        return (uint16_t)sc_column_width_of((enum sc_ie_type)ie->type);
    }
}

static void set_flow_time(const struct sc_encoder *e, struct encoder_source *s)
{
    bool start = s->key.id == SC_IE_FLOW_START;
    if (e->options.protocol == SC_EXPORT_IPFIX) {
        set_element(s, ENCODER_UINT, SC_PEN_IANA, start ? 152 : 153, 8);
    } else {
        set_element(s, ENCODER_UPTIME, SC_PEN_IANA, start ? 22 : 21, 4);
        s->vary = ENCODER_BY_UPTIME;
    }
}

/* What the record itself says of its origin goes before what the collector added. */
static bool set_origin_element(struct encoder_source *s)
{
    switch (s->key.id) {
    case SC_IE_EXPORTER_ADDRESS:
        s->rival_ids[0] = 403;
        s->rival_ids[1] = 404;
        return set_unified(s);
    case SC_IE_OBSERVATION_DOMAIN:
        s->rival_ids[0] = 405;
        set_element(s, ENCODER_UINT, SC_PEN_IANA, 405, 4);
        return true;
    case SC_IE_RECEIVE_TIME:
        s->rival_ids[0] = 258;
        set_element(s, ENCODER_UINT, SC_PEN_IANA, 258, 8);
        return true;
    default:
        return false;
    }
}

static void set_bytes(const struct sc_encoder *e, struct encoder_source *s, uint32_t pen)
{
    const struct sc_ie *ie = sc_ie_find(s->key.pen, s->key.id);
    set_element(s, ENCODER_BYTES, pen, s->key.id, ENCODER_VARIABLE);
    if (e->options.protocol == SC_EXPORT_V9)
        s->vary = ENCODER_BY_LENGTH;
    s->text = ie != NULL && ie->type == SC_TYPE_STRING;
}

/* Elements that the collector added and that are sent only on request. */
static bool set_origin(const struct sc_encoder *e, struct encoder_source *s)
{
    if (e->options.protocol != SC_EXPORT_IPFIX)
        return false;
    if (e->options.origin && set_origin_element(s))
        return true;
    if (e->options.collector_pen == 0)
        return false;
    if (s->key.kind == SC_COLUMN_BYTES)
        set_bytes(e, s, e->options.collector_pen);
    else
        set_element(s, s->key.kind == SC_COLUMN_ADDRESS ? ENCODER_ADDRESS : ENCODER_UINT,
                    e->options.collector_pen, s->key.id, wire_length(s));
    return true;
}

static bool set_collector(const struct sc_encoder *e, struct encoder_source *s)
{
    switch (s->key.id) {
    case SC_IE_EXPORTER_ADDRESS:
        return set_origin(e, s);
    case SC_IE_FLOW_START:
    case SC_IE_FLOW_END:
        set_flow_time(e, s);
        return true;
    case SC_IE_SAMPLING_RATE:
        if (set_origin(e, s))
            return true;
        set_element(s, ENCODER_UINT, SC_PEN_IANA, 34, 4);
        s->rival_ids[0] = 34;
        return true;
    default:
        return set_unified(s) || set_origin(e, s);
    }
}

static void set_value(const struct sc_encoder *e, struct encoder_source *s, uint32_t pen)
{
    uint8_t op = s->key.kind == SC_COLUMN_ADDRESS ? ENCODER_ADDRESS : ENCODER_UINT;
    uint16_t length = wire_length(s);
    if (s->key.kind == SC_COLUMN_FLOAT && length == 4)
        op = ENCODER_FLOAT32;
    set_element(s, op, pen, s->key.id, length);
    if (op == ENCODER_ADDRESS && length == 4)
        s->vary = ENCODER_BY_IPV4_ONLY;
    if (e->options.protocol == SC_EXPORT_V9 && s->key.pen == SC_PEN_IANA && s->key.id == 6) {
        s->spec[0].length = 1; /* RFC 3954 section 8: TCP_FLAGS is one byte */
        s->vary = ENCODER_BY_FLAGS;
    }
}

/* False when the protocol has no place for the column. */
static bool set_source(const struct sc_encoder *e, struct encoder_source *s)
{
    bool v9 = e->options.protocol == SC_EXPORT_V9;
    uint32_t pen = s->key.pen;
    if (pen == SC_PEN_COLLECTOR)
        return set_collector(e, s);
    if (v9 && (pen == SC_PEN_V9 || pen == SC_PEN_V9_SCOPE))
        pen = SC_PEN_IANA;
    if ((v9 && pen != SC_PEN_IANA) || pen == SC_PEN_V9 || pen == SC_PEN_V9_SCOPE)
        return false;
    if (s->key.kind == SC_COLUMN_BYTES)
        set_bytes(e, s, pen);
    else
        set_value(e, s, pen);
    return true;
}

/* ---- the plan ---- */

static void free_pattern(struct encoder_pattern *p)
{
    free(p->state);
    free(p->steps);
}

static void forget_patterns(struct encoder_plan *plan)
{
    for (uint32_t i = 0; i < plan->pattern_count; i++)
        free_pattern(&plan->patterns[i]);
    plan->pattern_count = 0;
    sc_table_clear(&plan->table);
}

void sc_encoder_plan_free(struct encoder_plan *plan)
{
    forget_patterns(plan);
    free(plan->sources);
    free(plan->seen);
    free(plan->state);
    free(plan->patterns);
    sc_table_free(&plan->table);
    *plan = (struct encoder_plan){0};
}

static bool is_used(const struct sc_column *c)
{
    return c != NULL && c->rows != 0 && c->nulls < c->rows;
}

static bool same_columns(const struct encoder_plan *plan, const struct sc_column *const *columns,
                         uint32_t count, uint32_t scope_count)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_used(columns[i]))
            continue;
        if (at == plan->seen_count || !sc_column_key_equal(plan->seen[at], columns[i]->key))
            return false;
        at++;
    }
    return at == plan->seen_count && plan->scope_count == scope_count && plan->sources != NULL;
}

static bool rebuild(const struct sc_encoder *e, struct encoder_plan *plan,
                    const struct sc_column *const *columns, uint32_t count, uint32_t scope_count)
{
    sc_encoder_plan_free(plan);
    plan->sources = calloc(count + 1, sizeof(*plan->sources));
    plan->seen = calloc(count + 1, sizeof(*plan->seen));
    plan->state = calloc(count + 1, sizeof(*plan->state));
    plan->scope_count = scope_count;
    if (plan->sources == NULL || plan->seen == NULL || plan->state == NULL) {
        sc_encoder_plan_free(plan);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_used(columns[i]))
            continue;
        plan->seen[plan->seen_count++] = columns[i]->key;
        struct encoder_source *s = &plan->sources[plan->source_count];
        *s = (struct encoder_source){.key = columns[i]->key, .column = columns[i]};
        plan->source_count += set_source(e, s);
    }
    return true;
}

static const struct sc_column *find_rival(const struct sc_column *const *columns, uint32_t count, uint16_t id)
{
    for (uint32_t i = 0; id != 0 && i < count; i++) {
        const struct sc_column *c = columns[i];
        if (is_used(c) && c->key.pen == SC_PEN_IANA && c->key.id == id && c->key.instance == 0)
            return c;
    }
    return NULL;
}

/* The columns of this call, and whether the source's state must be looked at in each row. */
static void bind_source(struct encoder_source *s, const struct sc_column *column,
                        const struct sc_column *const *columns, uint32_t count)
{
    s->column = column;
    for (unsigned i = 0; i < 2; i++)
        s->rivals[i] = find_rival(columns, count, s->rival_ids[i]);
    s->varying =
        column->valid != NULL || s->vary != ENCODER_BY_NULL || s->rivals[0] != NULL || s->rivals[1] != NULL;
}

/* The collector's own columns are no part of what was exported: leaving them out is no loss. */
static void count_dropped(struct sc_encoder *e, const struct sc_column *c, uint32_t first, uint32_t n)
{
    if (c->key.pen == SC_PEN_COLLECTOR)
        return;
    for (uint32_t row = first; row < first + n; row++)
        e->stats.values_dropped += !sc_column_is_null(c, row);
}

enum sc_status sc_encoder_plan_columns(struct sc_encoder *e, struct encoder_plan *plan,
                                       const struct sc_column *const *columns, uint32_t count,
                                       uint32_t scope_count, uint32_t first, uint32_t n)
{
    if (!same_columns(plan, columns, count, scope_count) && !rebuild(e, plan, columns, count, scope_count))
        return sc_fail_nomem(e->err, "the encoder's columns");
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_used(columns[i]))
            continue;
        struct encoder_source *s = &plan->sources[at];
        if (at == plan->source_count || !sc_column_key_equal(s->key, columns[i]->key)) {
            count_dropped(e, columns[i], first, n);
            continue;
        }
        bind_source(s, columns[i], columns, count);
        at++;
    }
    return SC_OK;
}

/* ---- the state of a row ---- */

static uint32_t v9_length(const struct encoder_source *s, uint32_t row)
{
    uint32_t length;
    sc_column_bytes(s->column, row, &length);
    if (!s->text)
        return length;
    uint32_t padded = 8;
    while (padded < length)
        padded *= 2;
    return padded;
}

static uint16_t state_of(const struct sc_encoder *e, const struct encoder_source *s, uint32_t row)
{
    if (sc_column_is_null(s->column, row))
        return 0;
    for (unsigned i = 0; i < 2; i++)
        if (s->rivals[i] != NULL && !sc_column_is_null(s->rivals[i], row))
            return 0;
    switch (s->vary) {
    case ENCODER_BY_FAMILY:
        return sc_addr_is_v4(sc_column_addr(s->column, row)) ? 1 : 2;
    case ENCODER_BY_IPV4_ONLY:
        return sc_addr_is_v4(sc_column_addr(s->column, row));
    case ENCODER_BY_FLAGS:
        return sc_encoder_load(s->column, row) > 0xff ? 2 : 1;
    case ENCODER_BY_UPTIME:
        return sc_encoder_load(s->column, row) - e->options.system_init_ms > UINT32_MAX
                   ? ENCODER_STATE_IMPOSSIBLE
                   : 1;
    case ENCODER_BY_LENGTH: {
        uint32_t length = v9_length(s, row);
        return length < SC_ENCODER_MESSAGE_MAX - 64 ? (uint16_t)(1 + length) : ENCODER_STATE_IMPOSSIBLE;
    }
    default:
        return 1;
    }
}

void sc_encoder_row_state(const struct sc_encoder *e, struct encoder_plan *plan, uint32_t row)
{
    for (uint32_t i = 0; i < plan->source_count; i++) {
        const struct encoder_source *s = &plan->sources[i];
        plan->state[i] = s->varying ? state_of(e, s, row) : 1;
    }
}

bool sc_encoder_same_state(const struct sc_encoder *e, const struct encoder_plan *plan, uint32_t row)
{
    for (uint32_t i = 0; i < plan->source_count; i++) {
        const struct encoder_source *s = &plan->sources[i];
        if (s->varying && state_of(e, s, row) != plan->state[i])
            return false;
    }
    return true;
}

/* ---- patterns and templates ---- */

static struct encoder_spec spec_of(const struct encoder_source *s, uint16_t state)
{
    if (s->vary == ENCODER_BY_LENGTH)
        return (struct encoder_spec){s->spec[0].pen, s->spec[0].id, (uint16_t)(state - 1)};
    return s->spec[state == 2];
}

static bool same_template(const struct encoder_template *x, const struct encoder_template *y)
{
    if (x->hash != y->hash || x->field_count != y->field_count || x->scope_count != y->scope_count)
        return false;
    for (uint32_t i = 0; i < x->field_count; i++) {
        const struct encoder_spec *a = &x->fields[i], *b = &y->fields[i];
        if (a->pen != b->pen || a->id != b->id || a->length != b->length)
            return false;
    }
    return true;
}

static bool id_in_use(const struct sc_encoder *e, uint16_t id)
{
    for (uint32_t i = 0; i < e->template_count; i++)
        if (e->templates[i]->id == id)
            return true;
    return false;
}

static uint16_t take_id(struct sc_encoder *e)
{
    while (e->next_id < ENCODER_FIRST_ID || id_in_use(e, e->next_id))
        e->next_id++;
    return e->next_id++;
}

/* The least recently used template gives way; patterns that point to it are forgotten with all others. */
static enum sc_status evict(struct sc_encoder *e)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < e->template_count; i++)
        if (e->templates[i]->used < e->templates[oldest]->used)
            oldest = i;
    struct encoder_template *t = e->templates[oldest];
    e->templates[oldest] = e->templates[--e->template_count];
    forget_patterns(&e->flows);
    forget_patterns(&e->option_records);
    enum sc_status status = SC_OK;
    if (e->options.reliable && e->options.protocol == SC_EXPORT_IPFIX && t->sent)
        status = sc_encoder_withdraw(e, t);
    free(t);
    return status;
}

static enum sc_status adopt(struct sc_encoder *e, struct encoder_template *t)
{
    if (e->template_count != 0 && e->template_count == e->options.max_templates)
        SC_TRY(evict(e));
    if (!sc_array_more(e->templates, e->template_count, 1))
        return sc_fail_nomem(e->err, "a template");
    t->id = take_id(e);
    e->templates[e->template_count++] = t;
    return SC_OK;
}

static bool find_same(const struct sc_encoder *e, const struct encoder_template *t,
                      struct encoder_template **out)
{
    for (uint32_t i = 0; i < e->template_count; i++) {
        if (same_template(e->templates[i], t)) {
            *out = e->templates[i];
            return true;
        }
    }
    return false;
}

/* Sums the record and decides whether it is variable and whether it fits. */
static void measure(const struct sc_encoder *e, struct encoder_template *t)
{
    uint32_t fixed = 0;
    bool variable = false;
    t->hash = sc_hash_begin(e->seed) ^ t->scope_count;
    for (uint32_t i = 0; i < t->field_count; i++) {
        const struct encoder_spec *f = &t->fields[i];
        t->hash = sc_hash_more(t->hash, (uint64_t)f->pen << 32 | (uint64_t)f->id << 16 | f->length, e->seed);
        variable |= f->length == ENCODER_VARIABLE;
        fixed += f->length == ENCODER_VARIABLE ? 1 : f->length;
    }
    t->too_long = fixed == 0 || !sc_encoder_fits(e, t, fixed);
    t->record_length = variable ? 0 : fixed;
}

static enum sc_status find_template(struct sc_encoder *e, const struct encoder_plan *plan,
                                    const struct encoder_pattern *p, struct encoder_template **out)
{
    struct encoder_template *t = calloc(1, sizeof(*t) + p->step_count * sizeof(t->fields[0]));
    if (t == NULL)
        return sc_fail_nomem(e->err, "a template");
    t->field_count = p->step_count;
    t->scope_count = plan->scope_count;
    for (uint32_t i = 0; i < p->step_count; i++)
        t->fields[i] = spec_of(&plan->sources[p->steps[i].source], p->state[p->steps[i].source]);
    measure(e, t);
    if (find_same(e, t, out)) {
        free(t);
        return SC_OK;
    }
    enum sc_status status = adopt(e, t);
    if (status == SC_OK)
        *out = t;
    else
        free(t);
    return status;
}

/* False when the row cannot be sent: an impossible value, no value at all, or a scope without one. */
static bool is_expressible(const struct encoder_plan *plan)
{
    uint32_t present = 0;
    for (uint32_t i = 0; i < plan->source_count; i++) {
        if (plan->state[i] == ENCODER_STATE_IMPOSSIBLE || (plan->state[i] == 0 && i < plan->scope_count))
            return false;
        present += plan->state[i] != 0;
    }
    return present > 0 && plan->source_count >= plan->scope_count;
}

static bool make_steps(const struct encoder_plan *plan, struct encoder_pattern *p)
{
    size_t state_bytes = plan->source_count * sizeof(*p->state);
    p->state = malloc(state_bytes + 1);
    p->steps = calloc(plan->source_count + 1, sizeof(*p->steps));
    if (p->state == NULL || p->steps == NULL)
        return false;
    memcpy(p->state, plan->state, state_bytes);
    for (uint32_t i = 0; i < plan->source_count; i++)
        if (p->state[i] != 0 && p->state[i] != ENCODER_STATE_IMPOSSIBLE)
            p->steps[p->step_count++] =
                (struct encoder_step){i, spec_of(&plan->sources[i], p->state[i]).length};
    return true;
}

static enum sc_status make_pattern(struct sc_encoder *e, const struct encoder_plan *plan,
                                   struct encoder_pattern *out)
{
    struct encoder_pattern p = {0};
    enum sc_status status = SC_OK;
    if (!make_steps(plan, &p))
        status = sc_fail_nomem(e->err, "a template");
    else if (is_expressible(plan))
        status = find_template(e, plan, &p, &p.template);
    if (status != SC_OK)
        free_pattern(&p);
    else
        *out = p;
    return status;
}

/* NULL: there is none of the state at hand. */
static struct encoder_pattern *known_pattern(const struct encoder_plan *plan, uint64_t hash)
{
    size_t bytes = plan->source_count * sizeof(*plan->state);
    struct sc_probe p = sc_table_first(&plan->table, hash);
    while (p.number != SC_TABLE_NONE && memcmp(plan->patterns[p.number].state, plan->state, bytes) != 0)
        sc_table_next(&plan->table, &p);
    return p.number == SC_TABLE_NONE ? NULL : &plan->patterns[p.number];
}

static bool reserve_pattern(struct encoder_plan *plan)
{
    if (plan->pattern_count == ENCODER_MOST_PATTERNS)
        forget_patterns(plan);
    return sc_array_reserve(plan->patterns, plan->pattern_capacity, plan->pattern_count + 1) &&
           sc_table_reserve(&plan->table, 1);
}

enum sc_status sc_encoder_pattern_find(struct sc_encoder *e, struct encoder_plan *plan,
                                       struct encoder_pattern **out)
{
    uint64_t hash = sc_hash_begin(e->seed);
    for (uint32_t i = 0; i < plan->source_count; i++)
        hash = sc_hash_more(hash, plan->state[i], e->seed);
    hash = sc_hash_end(hash);
    *out = known_pattern(plan, hash);
    if (*out != NULL)
        return SC_OK;
    struct encoder_pattern made;
    SC_TRY(make_pattern(e, plan, &made)); /* may forget all patterns */
    if (!reserve_pattern(plan)) {
        free_pattern(&made);
        return sc_fail_nomem(e->err, "a template");
    }
    *out = &plan->patterns[plan->pattern_count];
    **out = made;
    sc_table_add(&plan->table, hash, plan->pattern_count++);
    return SC_OK;
}
