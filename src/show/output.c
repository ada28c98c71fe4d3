// SPDX-License-Identifier: BSD-3-Clause
#include "show/output.h"

#include "show/cells.h"
#include "show/digits.h"
#include "show/value.h"

#include <assert.h>
#include <stdlib.h>

/* A short text is copied in one part, or in two, with whatever is behind it. */
#define FIRST_PART  16u
#define SECOND_PART 32u

struct column {
    struct sc_field field;
    uint8_t show; /* enum sc_show */
    uint16_t width;
    uint32_t prefix_length;
    char *prefix; /* what stands before the value, json: with key and colon; FIRST_PART bytes have room */
    char *label;
};

struct sc_output {
    struct sc_output_options options;
    size_t fixed;                     /* bytes of a row without its values */
    uint32_t small[SC_SMALL_NUMBERS]; /* their texts */
    uint32_t count;
    struct column columns[];
};

static bool is_json(const struct sc_output_options *options)
{
    return options->format == SC_OUTPUT_JSON || options->format == SC_OUTPUT_NDJSON;
}

/* ---- which conversion a column gets ---- */

static bool converts(const struct sc_output_options *options, enum sc_convert asked)
{
    if (asked == SC_CONVERT_DEFAULT)
        return options->format == SC_OUTPUT_PRETTY;
    return asked != SC_CONVERT_NONE;
}

/* The element behind a field, in either direction of a biflow; 0 when there is none. */
static uint16_t element_of(const struct sc_field *field)
{
    const struct sc_column_key *key = &field->sources[0].key;
    bool known = field->source_count != 0 && (key->pen == SC_PEN_IANA || key->pen == SC_PEN_REVERSE);
    return known ? key->id : 0;
}

/* Amounts and rates of bytes, packets and flows. */
static bool is_volume(const struct sc_field *field)
{
    static const char *const units[] = {"octets", "packets", "flows", "bits/s", "packets/s", "octets/packet"};
    if (field->combine != SC_COMBINE_SUM && field->computed == SC_COMPUTED_NONE)
        return false;
    for (size_t i = 0; field->unit != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(field->unit, units[i]) == 0)
            return true;
    }
    return false;
}

static enum sc_show show_time(const struct sc_output_options *options, enum sc_show text)
{
    if (options->timestamp == SC_CONVERT_DEFAULT)
        return options->format == SC_OUTPUT_CSV ? SC_SHOW_UINT : text;
    return options->timestamp == SC_CONVERT_NONE ? SC_SHOW_UINT : text;
}

static enum sc_show show_of(const struct sc_output_options *options, const struct sc_field *field)
{
    enum sc_show plain = sc_show_of_type(field->type);
    if (plain == SC_SHOW_TIME_MS || plain == SC_SHOW_TIME_NS)
        return show_time(options, plain);
    if ((plain == SC_SHOW_UINT || plain == SC_SHOW_FLOAT) && is_volume(field) &&
        converts(options, options->volume))
        return SC_SHOW_VOLUME;
    if (plain == SC_SHOW_FLOAT && field->computed == SC_COMPUTED_NONE)
        return SC_SHOW_FLOAT_RAW;
    if (is_volume(field))
        return plain;
    if (field->computed == SC_COMPUTED_DURATION)
        return converts(options, options->duration) ? SC_SHOW_DURATION : plain;
    if (plain == SC_SHOW_UINT && element_of(field) == 6)
        return converts(options, options->tcpflags) ? SC_SHOW_FLAGS : plain;
    bool named = plain == SC_SHOW_UINT && converts(options, options->protocol);
    if (named && element_of(field) == 230)
        return SC_SHOW_NAT_EVENT;
    if (named && element_of(field) == 233)
        return SC_SHOW_FIREWALL_EVENT;
    return named && element_of(field) == 4 ? SC_SHOW_PROTOCOL : plain;
}

/* Pretty widths that hold nearly all values: the usual ten columns make a line of under 120. */
static uint16_t width_of(enum sc_show show, const struct sc_field *field)
{
    static const uint8_t widths[] = {
        [SC_SHOW_UINT] = 5,           [SC_SHOW_INT] = 6,       [SC_SHOW_FLOAT] = 9,
        [SC_SHOW_FLOAT_RAW] = 9,      [SC_SHOW_ADDRESS] = 15,  [SC_SHOW_MAC] = 17,
        [SC_SHOW_TIME_MS] = 23,       [SC_SHOW_TIME_NS] = 29,  [SC_SHOW_BYTES] = 10,
        [SC_SHOW_STRING] = 16,        [SC_SHOW_DURATION] = 12, [SC_SHOW_VOLUME] = 7,
        [SC_SHOW_FLAGS] = 8,          [SC_SHOW_PROTOCOL] = 6,  [SC_SHOW_NAT_EVENT] = 14,
        [SC_SHOW_FIREWALL_EVENT] = 7,
    };
    if (show == SC_SHOW_UINT && (field->type == SC_VALUE_TIME_MS || field->type == SC_VALUE_TIME_NS))
        return field->type == SC_VALUE_TIME_MS ? 13 : 19;
    if (show == SC_SHOW_UINT && (is_volume(field) || field->computed == SC_COMPUTED_DURATION))
        return field->unit != NULL && strcmp(field->unit, "octets") == 0 ? 12 : 8;
    return widths[show];
}

/* ---- make and free ---- */

static bool shows_time(const struct column *c)
{
    return c->show == SC_SHOW_TIME_MS || c->show == SC_SHOW_TIME_NS;
}

/* The zone of pretty times stands in the header: "first [UTC]". */
static void make_label(const struct sc_output_options *options, struct column *c, const char *asked,
                       struct sc_buf *buf)
{
    sc_buf_append_str(buf, asked);
    if (options->format == SC_OUTPUT_PRETTY && shows_time(c)) {
        const char *zone = getenv("TZ");
        bool named = zone != NULL && *zone != '\0' && *zone != ':' && strlen(zone) < 32;
        sc_buf_printf(buf, " [%s]", !options->local_time ? "UTC" : named ? zone : "local");
    }
    sc_buf_append_u8(buf, '\0');
}

static void make_prefix(const struct sc_output_options *options, uint32_t index, const char *asked,
                        struct sc_buf *buf)
{
    if (is_json(options)) {
        sc_buf_append_u8(buf, index == 0 ? '{' : ',');
        sc_output_json_string(buf, asked, strlen(asked));
        sc_buf_append_u8(buf, ':');
    } else if (index != 0) {
        sc_buf_append_u8(buf, options->format == SC_OUTPUT_CSV ? ',' : ' ');
    }
}

static bool make_column(struct sc_output *output, uint32_t index, const struct sc_output_column *from)
{
    struct column *c = &output->columns[index];
    struct sc_buf label = {0}, prefix = {0};
    c->field = from->field;
    c->show = (uint8_t)show_of(&output->options, &from->field);
    make_label(&output->options, c, from->label, &label);
    make_prefix(&output->options, index, from->label, &prefix);
    c->prefix_length = (uint32_t)prefix.len;
    (void)sc_buf_reserve(&prefix, FIRST_PART);
    c->label = (char *)label.data; /* the buffers' bytes become the column's */
    c->prefix = (char *)prefix.data;
    if (!sc_buf_ok(&label) || !sc_buf_ok(&prefix))
        return false;
    uint16_t width = width_of((enum sc_show)c->show, &from->field);
    size_t need = strlen(c->label);
    c->width = need > width ? (uint16_t)(need > 1000 ? 1000 : need) : width;
    output->fixed += c->prefix_length + c->width;
    return true;
}

struct sc_output *sc_output_create(const struct sc_output_options *options,
                                   const struct sc_output_column *columns, uint32_t count)
{
    struct sc_output *output = calloc(1, sizeof(*output) + (size_t)count * sizeof(output->columns[0]));
    if (output == NULL)
        return NULL;
    output->options = *options;
    output->count = count;
    output->fixed = 4;
    for (uint32_t v = 0; v < SC_SMALL_NUMBERS; v++)
        output->small[v] = sc_small_text(v);
    for (uint32_t i = 0; i < count; i++) {
        if (!make_column(output, i, &columns[i])) {
            sc_output_free(output);
            return NULL;
        }
    }
    return output;
}

void sc_output_free(struct sc_output *output)
{
    for (uint32_t i = 0; output != NULL && i < output->count; i++) {
        free(output->columns[i].label);
        free(output->columns[i].prefix);
    }
    free(output);
}

/* ---- rows ---- */

static struct sc_show_context make_context(const struct sc_output *output)
{
    return (struct sc_show_context){
        .format = (uint8_t)output->options.format,
        .local = output->options.local_time,
        .binary = output->options.volume == SC_CONVERT_BINARY,
        .day = SC_SHOW_NO_DAY,
        .quarter = SC_SHOW_NO_DAY,
    };
}

/* A value of another type than its field (an average, a count of distinct values) is written by its own type.
 */
static inline enum sc_show show_value(const struct column *c, const struct sc_value *v)
{
    return v->type == c->field.type ? (enum sc_show)c->show : sc_show_of_type(v->type);
}

static char *put_value(struct sc_show_context *x, const struct column *c, const struct sc_value *v, char *p)
{
    if (!sc_show_is_null(v)) {
        if (v->estimated && x->format == SC_OUTPUT_PRETTY)
            *p++ = '~';
        p = sc_show_put(x, show_value(c, v), v, p);
        if (v->saturated && x->format == SC_OUTPUT_PRETTY)
            *p++ = '+';
        return p;
    }
    if (x->format == SC_OUTPUT_PRETTY)
        *p++ = '-';
    else if (x->format != SC_OUTPUT_CSV)
        for (const char *null = "null"; *null != '\0';)
            *p++ = *null++;
    return p;
}

/* Characters, not bytes; close enough to columns for what flows carry. */
static size_t count_characters(const char *from, const char *to)
{
    size_t n = 0;
    for (; from < to; from++)
        n += ((unsigned char)*from & 0xc0) != 0x80;
    return n;
}

static char *align_right(char *from, char *to, uint16_t width)
{
    size_t shown = count_characters(from, to);
    if (shown >= width)
        return to;
    size_t pad = width - shown;
    memmove(from + pad, from, (size_t)(to - from));
    memset(from, ' ', pad);
    return to + pad;
}

static size_t room_of(const struct sc_output *output, const struct sc_value *values)
{
    size_t room = output->fixed;
    for (uint32_t i = 0; i < output->count; i++)
        room += sc_show_room(&values[i]);
    return room;
}

static char *put_prefix(const struct column *c, char *p)
{
    if (c->prefix_length <= FIRST_PART)
        memcpy(p, c->prefix, FIRST_PART);
    else
        memcpy(p, c->prefix, c->prefix_length);
    return p + c->prefix_length;
}

static char *end_row(const struct sc_output *output, char *p)
{
    if (is_json(&output->options)) {
        if (output->count == 0)
            *p++ = '{';
        *p++ = '}';
    }
    if (output->options.format != SC_OUTPUT_JSON)
        *p++ = '\n';
    return p;
}

void sc_output_row(const struct sc_output *output, const struct sc_value *values, struct sc_buf *out)
{
    char *start = (char *)sc_buf_reserve(out, room_of(output, values));
    if (start == NULL)
        return;
    struct sc_show_context x = make_context(output);
    char *p = start;
    for (uint32_t i = 0; i < output->count; i++) {
        const struct column *c = &output->columns[i];
        char *value = put_prefix(c, p);
        p = put_value(&x, c, &values[i], value);
        if (x.format == SC_OUTPUT_PRETTY)
            p = align_right(value, p, c->width);
    }
    out->len += (size_t)(end_row(output, p) - start);
}

/* ---- rows of the same columns ---- */

#define TEXT_ROOM (FIRST_PART + SECOND_PART)
static_assert(SC_ADDR_TEXT_MAX + 2 <= TEXT_ROOM, "an address in quotes has room, and so has a time");
static_assert(TEXT_ROOM <= SC_SHOW_SHORT_ROOM, "what is copied has room");

/* Texts of the addresses of a dictionary, made when they are met first: a length, 0 until then, and characters. */
struct address_texts {
    const struct sc_addr *addresses;
    uint32_t first4, count4; /* those of IPv4 */
    char *texts4, *texts6;   /* of these, of all others by their place */
};

#define TEXT4 20u
#define TEXT6 (1 + TEXT_ROOM)

/* The texts of one column for the rows that are loaded. */
struct loaded {
    const char *at[SC_ROWS_AT_ONCE];
    uint8_t lengths[SC_ROWS_AT_ONCE];
    char made[SC_ROWS_AT_ONCE][TEXT_ROOM]; /* where there is no other place for a text */
};

struct sc_output_rows {
    const struct sc_output *output;
    const struct sc_cells *cells;
    struct sc_show_context context;
    bool quoted;                       /* texts of addresses are */
    bool joined;                       /* csv of short values only: each text has the comma that follows */
    uint32_t numbers[SC_ROWS_AT_ONCE]; /* of the rows that are loaded */
    struct address_texts *texts;       /* per column; no addresses: it has none */
    struct loaded *loaded;             /* per column: those of short values */
    struct sc_value *values;           /* per column: of the others, one row's */
};

static bool is_short(const struct sc_output_rows *rows, uint32_t i)
{
    uint8_t type = rows->cells[i].field->type;
    return type != SC_VALUE_STRING && type != SC_VALUE_BYTES;
}

static bool make_texts(struct sc_output_rows *rows, uint32_t i, struct sc_arena *arena)
{
    const struct sc_column *column = rows->cells[i].address;
    struct address_texts *t = &rows->texts[i];
    if (column == NULL || column->form == SC_FORM_FLAT)
        return true;
    for (uint32_t k = 0; k < i; k++) {
        if (rows->texts[k].addresses == column->dict.values) {
            *t = rows->texts[k];
            return true;
        }
    }
    t->addresses = column->dict.values;
    sc_addresses_find_v4(t->addresses, column->dict.count, &t->first4, &t->count4);
    t->count4 -= t->first4;
    t->texts4 = sc_arena_zalloc(arena, (size_t)t->count4 * TEXT4 + TEXT6);
    t->texts6 = sc_arena_zalloc(arena, (size_t)(column->dict.count - t->count4) * TEXT6);
    return t->texts4 != NULL && t->texts6 != NULL;
}

struct sc_output_rows *sc_output_rows_of(const struct sc_output *output, const struct sc_cells *cells,
                                         bool many, struct sc_arena *arena)
{
    struct sc_output_rows *rows = sc_arena_alloc(arena, sizeof(*rows));
    if (rows == NULL)
        return NULL;
    *rows = (struct sc_output_rows){.output = output,
                                    .cells = cells,
                                    .context = make_context(output),
                                    .quoted = is_json(&output->options),
                                    .joined = output->options.format == SC_OUTPUT_CSV && output->count != 0};
    rows->texts = sc_arena_zalloc(arena, (output->count + 1) * sizeof(*rows->texts));
    rows->loaded = sc_arena_alloc(arena, (output->count + 1) * sizeof(*rows->loaded));
    rows->values = sc_arena_zalloc(arena, (output->count + 1) * sizeof(*rows->values));
    bool memory = rows->texts != NULL && rows->loaded != NULL && rows->values != NULL;
    for (uint32_t i = 0; i < output->count && memory; i++) {
        rows->joined = rows->joined && is_short(rows, i);
        for (uint32_t k = 0; k < SC_ROWS_AT_ONCE; k++)
            rows->loaded[i].at[k] = rows->loaded[i].made[k];
        memory = !many || make_texts(rows, i, arena);
    }
    return memory ? rows : NULL;
}

/* ---- loading ---- */

/* The text of a code, which is made when it is not there. */
static const char *text_of(const struct sc_output_rows *rows, const struct address_texts *t, uint32_t code)
{
    bool v4 = code - t->first4 < t->count4;
    char *text = v4 ? t->texts4 + (size_t)(code - t->first4) * TEXT4
                    : t->texts6 + (size_t)(code < t->first4 ? code : code - t->count4) * TEXT6;
    if (*text != 0)
        return text;
    char *p = text + 1;
    if (rows->quoted)
        *p++ = '"';
    p += sc_addr_format(&t->addresses[code], p);
    if (rows->quoted || rows->joined)
        *p++ = rows->quoted ? '"' : ',';
    *text = (char)(p - text - 1);
    return text;
}

/* Text of row k was written to its place, up to `end`. */
static inline void end_text(const struct sc_output_rows *rows, struct loaded *to, uint32_t k, char *end)
{
    *end = ',';
    to->lengths[k] = (uint8_t)(end + rows->joined - to->made[k]);
}

static void load_value(struct sc_output_rows *rows, uint32_t i, uint32_t k)
{
    const struct column *c = &rows->output->columns[i];
    struct loaded *to = &rows->loaded[i];
    struct sc_value value = {.type = c->field.type};
    sc_cells_value(&rows->cells[i], rows->numbers[k], &value);
    to->at[k] = to->made[k];
    end_text(rows, to, k, put_value(&rows->context, c, &value, to->made[k]));
}

static void load_numbers(struct sc_output_rows *rows, uint32_t i, uint32_t count)
{
    struct loaded *to = &rows->loaded[i];
    uint64_t values[SC_ROWS_AT_ONCE], greatest = 0;
    if (!sc_cells_numbers(&rows->cells[i], rows->numbers, count, values)) {
        for (uint32_t k = 0; k < count; k++)
            load_value(rows, i, k);
        return;
    }
    for (uint32_t k = 0; k < count; k++)
        greatest = values[k] > greatest ? values[k] : greatest;
    if (greatest < SC_SMALL_NUMBERS) {
        for (uint32_t k = 0; k < count; k++)
            end_text(rows, to, k, sc_put_small(to->made[k], rows->output->small[values[k]]));
    } else {
        for (uint32_t k = 0; k < count; k++)
            end_text(rows, to, k, sc_put_u64(to->made[k], values[k]));
    }
}

static void load_addresses(struct sc_output_rows *rows, uint32_t i, uint32_t count)
{
    struct loaded *to = &rows->loaded[i];
    const struct sc_column *column = rows->cells[i].address;
    for (uint32_t k = 0; k < count; k++) {
        if (sc_column_is_null(column, rows->numbers[k])) {
            load_value(rows, i, k);
            continue;
        }
        const char *text = text_of(rows, &rows->texts[i], sc_column_code(column, rows->numbers[k]));
        to->at[k] = text + 1;
        to->lengths[k] = (uint8_t)*text;
    }
}

void sc_output_rows_load(struct sc_output_rows *rows, const uint32_t *numbers, uint32_t count)
{
    memcpy(rows->numbers, numbers, count * sizeof(*numbers));
    for (uint32_t i = 0; i < rows->output->count; i++) {
        if (!is_short(rows, i))
            continue;
        if (rows->output->columns[i].show == SC_SHOW_UINT && sc_cells_are_numbers(&rows->cells[i]))
            load_numbers(rows, i, count);
        else if (rows->texts[i].addresses != NULL)
            load_addresses(rows, i, count);
        else
            for (uint32_t k = 0; k < count; k++)
                load_value(rows, i, k);
    }
}

/* ---- putting ---- */

static inline char *put_loaded(const struct loaded *from, uint32_t k, char *p)
{
    const char *text = from->at[k];
    memcpy(p, text, FIRST_PART);
    if (from->lengths[k] > FIRST_PART)
        memcpy(p + FIRST_PART, text + FIRST_PART, SECOND_PART);
    return p + from->lengths[k];
}

static char *put_joined(struct sc_output_rows *rows, uint32_t k, char *p)
{
    const struct loaded *from = rows->loaded, *behind = from + rows->output->count;
    for (; from < behind; from++)
        p = put_loaded(from, k, p);
    p[-1] = '\n';
    return p;
}

/* In pretty it stands at the right of its column; a short text has no character of two bytes. */
static char *put_short(const struct sc_output_rows *rows, uint32_t i, uint32_t k, char *p)
{
    const struct loaded *from = &rows->loaded[i];
    uint16_t width = rows->output->columns[i].width;
    if (rows->context.format == SC_OUTPUT_PRETTY && from->lengths[k] < width) {
        memset(p, ' ', width);
        p += width - from->lengths[k];
    }
    return put_loaded(from, k, p);
}

static char *put_long(struct sc_output_rows *rows, uint32_t i, char *p)
{
    const struct column *c = &rows->output->columns[i];
    char *end = put_value(&rows->context, c, &rows->values[i], p);
    return rows->context.format == SC_OUTPUT_PRETTY ? align_right(p, end, c->width) : end;
}

static char *put_apart(struct sc_output_rows *rows, uint32_t k, char *p)
{
    const struct sc_output *output = rows->output;
    for (uint32_t i = 0; i < output->count; i++) {
        p = put_prefix(&output->columns[i], p);
        p = is_short(rows, i) ? put_short(rows, i, k, p) : put_long(rows, i, p);
    }
    return end_row(output, p);
}

void sc_output_rows_put(struct sc_output_rows *rows, uint32_t k, struct sc_buf *out)
{
    const struct sc_output *output = rows->output;
    size_t room = output->fixed + (size_t)output->count * SC_SHOW_SHORT_ROOM;
    for (uint32_t i = 0; i < output->count && !rows->joined; i++) {
        if (is_short(rows, i))
            continue;
        sc_cells_value(&rows->cells[i], rows->numbers[k], &rows->values[i]);
        room += sc_show_room(&rows->values[i]);
    }
    char *start = (char *)sc_buf_reserve(out, room);
    if (start != NULL)
        out->len += (size_t)((rows->joined ? put_joined : put_apart)(rows, k, start) - start);
}

/* An IPv6 address fits; long texts and bytes stay out of line. */
#define GREATEST_WIDTH 40

void sc_output_fit(struct sc_output *output, const struct sc_value *values)
{
    struct sc_show_context x = make_context(output);
    struct sc_buf text = {0};
    for (uint32_t i = 0; i < output->count && x.format == SC_OUTPUT_PRETTY; i++) {
        struct column *c = &output->columns[i];
        sc_buf_clear(&text);
        char *start = (char *)sc_buf_reserve(&text, sc_show_room(&values[i]));
        size_t width = start == NULL ? 0 : count_characters(start, put_value(&x, c, &values[i], start));
        if (width <= c->width || width > GREATEST_WIDTH)
            continue;
        output->fixed += width - c->width;
        c->width = (uint16_t)width;
    }
    sc_buf_free(&text);
}

static void put_header_label(const struct sc_output *output, const struct column *c, struct sc_buf *out)
{
    size_t length = strlen(c->label);
    char *start = (char *)sc_buf_reserve(out, length * 2 + 2 + c->width);
    if (start == NULL)
        return;
    char *end;
    if (output->options.format == SC_OUTPUT_CSV)
        end = sc_show_csv_string(start, (const uint8_t *)c->label, length);
    else
        end = align_right(start, (char *)memcpy(start, c->label, length) + length, c->width);
    out->len += (size_t)(end - start);
}

void sc_output_header(const struct sc_output *output, struct sc_buf *out)
{
    if (is_json(&output->options))
        return;
    for (uint32_t i = 0; i < output->count; i++) {
        const struct column *c = &output->columns[i];
        sc_buf_append(out, c->prefix, c->prefix_length);
        put_header_label(output, c, out);
    }
    sc_buf_append_u8(out, '\n');
}

void sc_output_json_string(struct sc_buf *out, const void *text, size_t length)
{
    char *start = (char *)sc_buf_reserve(out, length * 6 + 2);
    if (start != NULL)
        out->len += (size_t)(sc_show_json_string(start, text, length) - start);
}
