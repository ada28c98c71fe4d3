// SPDX-License-Identifier: BSD-3-Clause
#include "wire/template.h"
#include "base/hash.h"

#include "wire/exporter.h"
#include "wire/run.h"

#include <stdlib.h>

/* A further instance than this of one element in a template counts as an unknown element, so that a template
 * cannot fill a batch with columns. */
#define FREE_INSTANCES 16u
#define MAX_INSTANCE   255u

static const struct {
    uint16_t id;
    uint8_t special;
} specials[] = {
    {34, SC_SPECIAL_SAMPLING_INTERVAL},
    {48, SC_SPECIAL_SAMPLER_ID},
    {50, SC_SPECIAL_SAMPLER_INTERVAL},
    {60, SC_SPECIAL_IP_VERSION},
    {160, SC_SPECIAL_SYSTEM_INIT},
    {302, SC_SPECIAL_SELECTOR_ID},
    {304, SC_SPECIAL_SELECTOR_ALGORITHM},
    {305, SC_SPECIAL_PACKET_INTERVAL},
    {306, SC_SPECIAL_PACKET_SPACE},
    {307, SC_SPECIAL_TIME_INTERVAL},
    {308, SC_SPECIAL_TIME_SPACE},
    {309, SC_SPECIAL_SAMPLING_SIZE},
    {310, SC_SPECIAL_SAMPLING_POPULATION},
    {311, SC_SPECIAL_PROBABILITY},
    {10, SC_SPECIAL_INGRESS_INTERFACE},
    {14, SC_SPECIAL_EGRESS_INTERFACE},
    {252, SC_SPECIAL_INGRESS_PHYSICAL},
    {253, SC_SPECIAL_EGRESS_PHYSICAL},
    {82, SC_SPECIAL_INTERFACE_NAME},
    {83, SC_SPECIAL_INTERFACE_TEXT},
    {234, SC_SPECIAL_INGRESS_VRF},
    {235, SC_SPECIAL_EGRESS_VRF},
    {236, SC_SPECIAL_VRF_NAME},
    {95, SC_SPECIAL_APPLICATION_ID},
    {96, SC_SPECIAL_APPLICATION_NAME},
    {130, SC_SPECIAL_EXPORTER_V4},
    {131, SC_SPECIAL_EXPORTER_V6},
    {403, SC_SPECIAL_ORIGINAL_V4},
    {404, SC_SPECIAL_ORIGINAL_V6},
};

/* Pairs of elements that share a unified column. */
static const struct {
    uint16_t v4, v6, unified;
} pairs[] = {
    {8, 27, SC_IE_SOURCE_ADDRESS},     {12, 28, SC_IE_DESTINATION_ADDRESS},
    {15, 62, SC_IE_NEXT_HOP},          {18, 63, SC_IE_BGP_NEXT_HOP},
    {225, 281, SC_IE_POST_NAT_SOURCE}, {226, 282, SC_IE_POST_NAT_DESTINATION},
};

/* ---- instances: how many times an element came before in the template ---- */

struct counter {
    uint64_t key; /* pen << 16 | id */
    uint32_t count;
};

struct counters {
    struct counter *list;
    struct sc_table table; /* of the list, by key */
    uint64_t seed;
};

static uint32_t next_instance(struct counters *c, uint32_t pen, uint16_t id)
{
    uint64_t key = (uint64_t)pen << 16 | id;
    struct sc_probe p = sc_table_first(&c->table, sc_hash_u64(key, c->seed));
    while (p.number != SC_TABLE_NONE && c->list[p.number].key != key)
        sc_table_next(&c->table, &p);
    if (p.number != SC_TABLE_NONE)
        return c->list[p.number].count++;
    c->list[c->table.count] = (struct counter){.key = key, .count = 1};
    sc_table_put(&c->table, &p, c->table.count);
    return 0;
}

static void free_counters(struct counters *c)
{
    free(c->list);
    sc_table_free(&c->table);
}

/* For so many fields. False without memory; they are to be freed all the same. */
static bool make_counters(struct counters *c, uint32_t fields)
{
    *c = (struct counters){.list = malloc((fields + 1) * sizeof(*c->list)), .seed = sc_hash_draw_seed()};
    return c->list != NULL && sc_table_reserve(&c->table, fields);
}

/* ---- one field ---- */

/* The pseudo enterprises are ours: nobody may send values of them under an enterprise number of the wire. */
static bool is_forged(const struct sc_wire_field *field)
{
    return field->pen == SC_PEN_COLLECTOR;
}

static bool is_relative_time(const struct sc_wire_field *field, uint32_t instance)
{
    return field->pen == SC_PEN_IANA && (field->id == 22 || field->id == 21) && instance == 0 &&
           field->length <= 4;
}

static void compile_field(struct sc_op *op, const struct sc_wire_field *field, const struct sc_ie *ie,
                          uint32_t instance)
{
    op->element = field->id;
    op->length = field->length;
    op->slot = op->alt_slot = SC_NO_SLOT;
    op->type = (uint8_t)(ie == NULL ? SC_TYPE_OCTET_ARRAY : ie->type);
    enum sc_column_kind kind = sc_column_kind_of((enum sc_ie_type)op->type);
    if (field->length != SC_VARIABLE_LENGTH &&
        !sc_column_length_fits((enum sc_ie_type)op->type, field->length))
        kind = SC_COLUMN_BYTES;
    op->action = kind == SC_COLUMN_UINT ? SC_OP_UINT : SC_OP_VALUE;
    op->key = (struct sc_column_key){
        .pen = field->pen, .id = field->id, .instance = (uint8_t)instance, .kind = (uint8_t)kind};
    if (is_relative_time(field, instance)) {
        op->action = field->id == 22 ? SC_OP_START : SC_OP_END;
        op->key.pen = SC_PEN_COLLECTOR;
        op->key.id = field->id == 22 ? SC_IE_FLOW_START : SC_IE_FLOW_END;
    }
}

static void note_special(struct sc_template *t, const struct sc_wire_field *field, uint32_t op)
{
    if (field->pen == SC_PEN_V9_SCOPE && field->id == 2)
        t->special[SC_SPECIAL_SCOPE_INTERFACE] = (uint16_t)(op + 1);
    if (field->pen != SC_PEN_IANA)
        return;
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (specials[i].id == field->id)
            t->special[specials[i].special] = (uint16_t)(op + 1);
    }
}

/* ---- pairs of addresses ---- */

static uint32_t find_address(const struct sc_template *t, uint16_t id)
{
    for (uint32_t i = 0; i < t->op_count; i++) {
        const struct sc_op *op = &t->ops[i];
        if (op->action == SC_OP_VALUE && op->key.kind == SC_COLUMN_ADDRESS && op->key.pen == SC_PEN_IANA &&
            op->key.id == id && op->key.instance == 0 && op->length != SC_VARIABLE_LENGTH)
            return i;
    }
    return UINT32_MAX;
}

static void unify(struct sc_op *op, uint16_t unified, enum sc_op_action action)
{
    op->action = (uint8_t)action;
    op->key.pen = SC_PEN_COLLECTOR;
    op->key.id = unified;
}

static void unify_pairs(struct sc_template *t)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        uint32_t v4 = find_address(t, pairs[i].v4), v6 = find_address(t, pairs[i].v6);
        if (v4 != UINT32_MAX && v6 != UINT32_MAX) {
            unify(&t->ops[v4], pairs[i].unified, SC_OP_PAIR);
            t->ops[v4].partner = v6;
            t->ops[v6].action = SC_OP_NONE;
        } else if (v4 != UINT32_MAX || v6 != UINT32_MAX) {
            unify(&t->ops[v4 != UINT32_MAX ? v4 : v6], pairs[i].unified, SC_OP_UNIFIED);
        }
    }
}

/* ---- the whole ---- */

static struct sc_template *make_template(const struct sc_wire_field *fields, uint32_t count)
{
    uint32_t ops = 0;
    for (uint32_t i = 0; i < count; i++)
        ops += fields[i].length != 0;
    size_t ops_size = ops * sizeof(struct sc_op), fields_size = count * sizeof(*fields);
    size_t size = sizeof(struct sc_template) + ops_size + fields_size + ops * sizeof(uint32_t);
    struct sc_template *t = calloc(1, size);
    if (t == NULL)
        return NULL;
    t->bytes = size;
    t->ops = (struct sc_op *)(t + 1);
    t->fields = (struct sc_wire_field *)(t->ops + ops);
    t->anchors = (uint32_t *)(t->fields + count);
    t->field_count = count;
    if (fields_size != 0)
        memcpy(t->fields, fields, fields_size);
    return t;
}

static void lay_stretches(struct sc_template *t)
{
    for (uint32_t i = 0; i < t->op_count && t->variable; i++) {
        struct sc_op *op = &t->ops[i];
        bool variable = op->length == SC_VARIABLE_LENGTH;
        if (variable || i == 0 || t->ops[i - 1].length == SC_VARIABLE_LENGTH)
            t->anchors[t->anchor_count++] = variable ? SC_VARIABLE_STRETCH : 0;
        op->anchor = t->anchor_count - 1;
        op->offset = 0;
        if (!variable) {
            op->offset = t->anchors[op->anchor];
            t->anchors[op->anchor] += op->length;
        }
    }
}

static bool has_any(const struct sc_template *t, enum sc_special first, enum sc_special last)
{
    for (unsigned i = first; i <= last; i++) {
        if (t->special[i] != 0)
            return true;
    }
    return false;
}

/* What options data of this template are known to name. */
static void set_names(struct sc_template *t)
{
    if (has_any(t, SC_SPECIAL_SCOPE_INTERFACE, SC_SPECIAL_EGRESS_PHYSICAL) &&
        has_any(t, SC_SPECIAL_INTERFACE_NAME, SC_SPECIAL_INTERFACE_TEXT))
        t->names |= 1u << SC_MAP_INTERFACE;
    if (has_any(t, SC_SPECIAL_INGRESS_VRF, SC_SPECIAL_EGRESS_VRF) && t->special[SC_SPECIAL_VRF_NAME] != 0)
        t->names |= 1u << SC_MAP_VRF;
    if (t->special[SC_SPECIAL_APPLICATION_ID] != 0 && t->special[SC_SPECIAL_APPLICATION_NAME] != 0)
        t->names |= 1u << SC_MAP_APPLICATION;
    t->tells_exporter = !t->interface_scope && has_any(t, SC_SPECIAL_EXPORTER_V4, SC_SPECIAL_ORIGINAL_V6);
}

static void set_flags(struct sc_template *t)
{
    static const uint8_t sampling[] = {SC_SPECIAL_SAMPLING_INTERVAL, SC_SPECIAL_SAMPLER_ID,
                                       SC_SPECIAL_SAMPLER_INTERVAL,  SC_SPECIAL_SELECTOR_ID,
                                       SC_SPECIAL_PACKET_INTERVAL,   SC_SPECIAL_TIME_INTERVAL,
                                       SC_SPECIAL_SAMPLING_SIZE,     SC_SPECIAL_PROBABILITY};
    for (size_t i = 0; i < sizeof(sampling); i++)
        t->has_sampling |= t->special[sampling[i]] != 0;
    for (uint32_t i = 0; i < t->op_count; i++)
        t->has_relative_time |= t->ops[i].action == SC_OP_START || t->ops[i].action == SC_OP_END;
    for (uint32_t i = 0; i < t->scope_count && i < t->field_count; i++) {
        const struct sc_wire_field *f = &t->fields[i];
        t->interface_scope |= (f->pen == SC_PEN_V9_SCOPE && f->id == 2) ||
                              (f->pen == SC_PEN_IANA && (f->id == 10 || f->id == 14));
    }
    if (t->options)
        set_names(t);
}

static void compile_fields(struct sc_template *t, struct sc_session *session, struct counters *counters)
{
    uint32_t offset = 0;
    for (uint32_t i = 0; i < t->field_count; i++) {
        const struct sc_wire_field *field = &t->fields[i];
        uint32_t instance = next_instance(counters, field->pen, field->id);
        if (field->length == 0)
            continue;
        struct sc_op *op = &t->ops[t->op_count];
        const struct sc_ie *ie = sc_ie_find(field->pen, field->id);
        compile_field(op, field, ie, instance);
        op->offset = offset;
        bool foreseen = ie != NULL && instance < FREE_INSTANCES;
        t->unregistered |= !foreseen && !is_forged(field);
        if (is_forged(field) || instance > MAX_INSTANCE ||
            (!foreseen && session != NULL && !sc_exporter_may_bring(session, field, instance)))
            op->action = SC_OP_NONE;
        if (instance == 0 && op->action != SC_OP_NONE)
            note_special(t, field, t->op_count);
        t->op_count++;
        t->variable |= field->length == SC_VARIABLE_LENGTH;
        offset += field->length == SC_VARIABLE_LENGTH ? 1 : field->length;
    }
    t->record_length = offset;
}

struct sc_template *sc_template_compile(struct sc_session *session, const struct sc_wire_field *fields,
                                        uint32_t count, uint16_t id, bool options, uint16_t scope_count)
{
    struct counters counters;
    struct sc_template *t = make_counters(&counters, count) ? make_template(fields, count) : NULL;
    if (t != NULL) {
        t->id = id;
        t->options = options;
        t->scope_count = scope_count;
        compile_fields(t, session, &counters);
        lay_stretches(t);
        unify_pairs(t);
        set_flags(t);
        sc_template_measure(t);
    }
    free_counters(&counters);
    return t;
}

bool sc_template_same(const struct sc_template *t, const struct sc_wire_field *fields, uint32_t count,
                      bool options, uint16_t scope_count)
{
    return t->field_count == count && t->options == options && t->scope_count == scope_count &&
           (count == 0 || memcmp(t->fields, fields, count * sizeof(*fields)) == 0);
}

struct sc_template *sc_template_v5(void)
{
    /* Element 0 of the collector's enterprise: bytes without meaning. */
    static const struct sc_wire_field fields[] = {
        {0, 8, 4},  {0, 12, 4}, {0, 15, 4}, {0, 10, 2},
        {0, 14, 2}, {0, 2, 4},  {0, 1, 4},  {0, 22, 4},
        {0, 21, 4}, {0, 7, 2},  {0, 11, 2}, {SC_PEN_COLLECTOR, 0, 1},
        {0, 6, 1},  {0, 4, 1},  {0, 5, 1},  {0, 16, 2},
        {0, 17, 2}, {0, 9, 1},  {0, 13, 1}, {SC_PEN_COLLECTOR, 0, 2},
    };
    return sc_template_compile(NULL, fields, sizeof(fields) / sizeof(fields[0]), 0, false, 0);
}

uint64_t sc_template_lifetime(const struct sc_decoder_limits *limits, uint64_t refresh_ms)
{
    uint64_t lifetime = (uint64_t)limits->template_lifetime_s * 1000;
    return refresh_ms < UINT64_MAX / 3 && 3 * refresh_ms > lifetime ? 3 * refresh_ms : lifetime;
}
