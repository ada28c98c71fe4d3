// SPDX-License-Identifier: BSD-3-Clause
#include "conf/yaml_index.h"

#include "base/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH  16
#define MAX_PLACES 65536u

/* One open mapping or list. */
struct level {
    bool mapping, flow;
    bool key_next;
    unsigned entry;
    size_t path_length; /* of the path that leads here */
};

struct walk {
    const char *name;
    struct sc_yaml_index *index;
    struct level levels[MAX_DEPTH];
    unsigned depth;
    unsigned documents;
    char path[SC_YAML_PATH_MAX]; /* of the value that comes next */
};

void sc_yaml_index_free(struct sc_yaml_index *index)
{
    free(index->places);
    *index = (struct sc_yaml_index){0};
}

static enum sc_status note(struct walk *w, const yaml_event_t *event, struct sc_error *err)
{
    const unsigned line = (unsigned)event->start_mark.line + 1;
    struct sc_yaml_index *index = w->index;
    if (index->count == MAX_PLACES)
        return sc_fail(err, SC_USAGE, "%s:%u: the document is too large", w->name, line);
    if (!sc_array_more(index->places, index->count, 1))
        return sc_fail_nomem(err, w->name);
    struct sc_yaml_place *place = &index->places[index->count++];
    snprintf(place->path, sizeof(place->path), "%s", w->path);
    place->line = line;
    place->column = (unsigned)event->start_mark.column;
    place->value_begin = place->value_end = 0;
    place->flow = w->depth != 0 && w->levels[w->depth - 1].flow;
    return SC_OK;
}

static void set_path(struct walk *w, size_t base, const char *dot, const char *key)
{
    snprintf(w->path + base, sizeof(w->path) - base, "%s%s", base == 0 ? "" : dot, key);
}

/* Before a value: in a list it is an entry of its own. */
static enum sc_status begin_value(struct walk *w, const yaml_event_t *event, struct sc_error *err)
{
    struct level *level = w->depth == 0 ? NULL : &w->levels[w->depth - 1];
    if (level == NULL || level->mapping)
        return SC_OK;
    char entry[16];
    snprintf(entry, sizeof(entry), "[%u]", level->entry++);
    set_path(w, level->path_length, "", entry);
    return note(w, event, err);
}

static void end_value(struct walk *w)
{
    if (w->depth != 0 && w->levels[w->depth - 1].mapping)
        w->levels[w->depth - 1].key_next = true;
}

static enum sc_status open_level(struct walk *w, const yaml_event_t *event, struct sc_error *err)
{
    const bool mapping = event->type == YAML_MAPPING_START_EVENT;
    w->index->empty = false;
    SC_TRY(begin_value(w, event, err));
    if (w->depth == MAX_DEPTH)
        return sc_fail(err, SC_USAGE, "%s:%u: nested too deep", w->name,
                       (unsigned)event->start_mark.line + 1);
    size_t length = w->depth == 0 ? 0 : strlen(w->path);
    bool flow = mapping && event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    w->levels[w->depth++] =
        (struct level){.mapping = mapping, .flow = flow, .key_next = mapping, .path_length = length};
    return SC_OK;
}

static void close_level(struct walk *w)
{
    w->depth--;
    w->path[w->levels[w->depth].path_length] = '\0';
    end_value(w);
}

static enum sc_status take_scalar(struct walk *w, const yaml_event_t *event, struct sc_error *err)
{
    const char *text = (const char *)event->data.scalar.value;
    struct level *level = w->depth == 0 ? NULL : &w->levels[w->depth - 1];
    if (text[0] != '\0')
        w->index->empty = false;
    if (level != NULL && level->mapping && level->key_next) {
        set_path(w, level->path_length, ".", text);
        level->key_next = false;
        return note(w, event, err);
    }
    SC_TRY(begin_value(w, event, err));
    if (level != NULL && level->mapping) { /* its key was noted last */
        struct sc_yaml_place *place = &w->index->places[w->index->count - 1];
        place->value_begin = event->start_mark.index;
        place->value_end = event->end_mark.index;
    }
    end_value(w);
    return SC_OK;
}

static enum sc_status take(struct walk *w, const yaml_event_t *event, struct sc_error *err)
{
    unsigned line = (unsigned)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++w->documents > 1)
            return sc_fail(err, SC_USAGE, "%s:%u: a second document begins here; one is read", w->name, line);
        return SC_OK;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_level(w, event, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        close_level(w);
        return SC_OK;
    case YAML_SCALAR_EVENT:
        return take_scalar(w, event, err);
    case YAML_ALIAS_EVENT:
        return sc_fail(err, SC_USAGE, "%s:%u: aliases (*%s) are not read", w->name, line,
                       (const char *)event->data.alias.anchor);
    default:
        return SC_OK;
    }
}

static enum sc_status walk_events(struct walk *w, yaml_parser_t *parser, struct sc_error *err)
{
    for (bool end = false; !end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return sc_fail(err, SC_USAGE, "%s:%u: no valid YAML: %s", w->name,
                           (unsigned)parser->problem_mark.line + 1,
                           parser->problem == NULL ? "it cannot be read" : parser->problem);
        end = event.type == YAML_STREAM_END_EVENT;
        enum sc_status status = take(w, &event, err);
        yaml_event_delete(&event);
        SC_TRY(status);
    }
    return SC_OK;
}

enum sc_status sc_yaml_index_build(const char *name, const uint8_t *bytes, size_t length,
                                   struct sc_yaml_index *out, struct sc_error *err)
{
    yaml_parser_t parser;
    *out = (struct sc_yaml_index){.empty = true};
    if (!yaml_parser_initialize(&parser))
        return sc_fail_nomem(err, name);
    yaml_parser_set_input_string(&parser, bytes, length);
    struct walk w = {.name = name, .index = out};
    enum sc_status status = walk_events(&w, &parser, err);
    yaml_parser_delete(&parser);
    if (status != SC_OK)
        sc_yaml_index_free(out);
    return status;
}

static bool find_line(const struct sc_yaml_index *index, const char *path, unsigned nth, unsigned *line)
{
    for (size_t i = 0; i < index->count; i++) {
        if (strcmp(index->places[i].path, path) != 0)
            continue;
        *line = index->places[i].line;
        if (nth-- == 0)
            return true;
    }
    return false;
}

const struct sc_yaml_place *sc_yaml_index_find(const struct sc_yaml_index *index, const char *path)
{
    for (size_t i = 0; i < index->count; i++) {
        if (strcmp(index->places[i].path, path) == 0)
            return &index->places[i];
    }
    return NULL;
}

bool sc_yaml_index_has(const struct sc_yaml_index *index, const char *path)
{
    return sc_yaml_index_find(index, path) != NULL;
}

unsigned sc_yaml_index_line(const struct sc_yaml_index *index, const char *path, unsigned nth)
{
    char at[SC_YAML_PATH_MAX];
    unsigned line = 1;
    snprintf(at, sizeof(at), "%s", path);
    while (!find_line(index, at, nth, &line) && at[0] != '\0') {
        size_t cut = strlen(at);
        while (cut > 0 && at[cut - 1] != '.' && at[cut - 1] != '[')
            cut--;
        at[cut == 0 ? 0 : cut - 1] = '\0';
        nth = 0;
    }
    return line;
}
