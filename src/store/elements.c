// SPDX-License-Identifier: BSD-3-Clause
#include "store/elements.h"

#include "base/buf.h"
#include "store/names.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)1 << 20)

static const char head[] = "# securitycloud elements 1\n";
static const char remark[] =
    "# Elements that exporters defined (RFC 5610): PEN ID TYPE SEMANTICS UNIT SINCE NAME\n";

/* ---- reading ---- */

static enum sc_status parse_text(const char *path, const char *text, size_t length,
                                 struct sc_ie_learned *into, struct sc_error *err)
{
    const char *p = text, *end = p + length;
    unsigned skipped = 0;
    if (length < sizeof(head) - 1 || memcmp(p, head, sizeof(head) - 1) != 0)
        return sc_fail(err, SC_NOT_OURS, "%s does not begin as a list of elements does", path);
    while (p < end) {
        struct sc_ie_definition d;
        const char *line = p, *stop = memchr(p, '\n', (size_t)(end - p));
        p = stop == NULL ? end : stop + 1;
        if (*line == '#')
            continue;
        if (stop == NULL || !sc_ie_definition_parse(line, (size_t)(stop - line), &d))
            skipped++;
        else if (sc_ie_learned_add(into, &d) == SC_IE_NOMEM)
            return sc_fail_nomem(err, "the elements of a store");
    }
    if (skipped == 0)
        return SC_OK;
    return sc_fail(err, SC_DAMAGED, "%s: %u lines are no definitions and were skipped", path, skipped);
}

/* @return SC_NOTFOUND when there is no such file. The bound is far above what a full table takes: another file of this name is not
 * read whole. */
static enum sc_status read_file(const char *folder, struct sc_ie_learned *into, struct sc_error *err)
{
    char path[PATH_MAX + sizeof("/" SC_ELEMENTS_FILE)];
    size_t length;
    char *text = malloc(MAX_BYTES + 1);
    if (text == NULL)
        return sc_fail_nomem(err, "the elements of a store");
    snprintf(path, sizeof(path), "%s/" SC_ELEMENTS_FILE, folder);
    enum sc_status status = sc_io_read_file(path, text, MAX_BYTES + 1, &length, err);
    if (status == SC_OK && length > MAX_BYTES)
        status = sc_fail(err, SC_NOT_OURS, "%s is larger than a list of elements can be", path);
    if (status == SC_OK)
        status = parse_text(path, text, length, into, err);
    free(text);
    return status;
}

/* A store that was written has the lock of its writers. */
static bool is_written(const char *folder)
{
    char path[PATH_MAX + sizeof("/collector.lock")];
    snprintf(path, sizeof(path), "%s/collector.lock", folder);
    return access(path, F_OK) == 0;
}

/*
 * Takes the last name off a path; false when what lies above has nothing to do with it. A folder named with digits or a segment may
 * be a part of the store above, unless it is itself a store; a store that another holds for a lane lies in its .replica. What is
 * above counts when it has the file, which only collectors write.
 */
static bool climb(char *path)
{
    char *slash = strrchr(path, '/');
    uint64_t window_ms;
    bool sealed;
    if (slash == NULL || slash == path)
        return false;
    size_t digits = sc_name_digits(slash + 1);
    bool part = (digits == 2 || digits == 4 || sc_segment_name_parse(slash + 1, &window_ms, &sealed) ||
                 strcmp(slash + 1, SC_REPLICA_FOLDER) == 0) &&
                !is_written(path);
    *slash = '\0';
    const char *above = strrchr(path, '/');
    return part || (above != NULL && strcmp(above + 1, SC_REPLICA_FOLDER) == 0);
}

enum sc_status sc_elements_load(const char *path, struct sc_ie_learned *into, struct sc_error *err)
{
    char *whole = realpath(path, NULL);
    enum sc_status status = SC_NOTFOUND;
    if (whole == NULL)
        return errno == ENOMEM ? sc_fail_nomem(err, "the elements of a store")
                               : SC_OK; /* the listing says so */
    do
        status = read_file(whole, into, err);
    while (status == SC_NOTFOUND && climb(whole));
    free(whole);
    return status == SC_NOTFOUND ? SC_OK : status;
}

/* ---- learning ---- */

void sc_elements_init(struct sc_elements *elements, const char *store, struct sc_io *io,
                      const struct sc_log *log)
{
    struct sc_error err;
    *elements = (struct sc_elements){.store = store, .io = io == NULL ? sc_io_system() : io, .log = log};
    enum sc_status status = read_file(store, &elements->table, &err);
    if (status != SC_OK && status != SC_NOTFOUND)
        sc_log(log, SC_LOG_WARNING, "%s", err.message);
}

/* The columns of a definition; NULL where there is none. */
enum part { PART_ID, PART_TYPE, PART_PEN, PART_NAME, PART_SEMANTICS, PART_UNITS, PART_RECEIVED, PARTS };

static const struct sc_column_key part_keys[PARTS] = {
    [PART_ID] = {SC_PEN_IANA, 303, 0, SC_COLUMN_UINT},
    [PART_TYPE] = {SC_PEN_IANA, 339, 0, SC_COLUMN_UINT},
    [PART_PEN] = {SC_PEN_IANA, 346, 0, SC_COLUMN_UINT},
    [PART_NAME] = {SC_PEN_IANA, 341, 0, SC_COLUMN_BYTES},
    [PART_SEMANTICS] = {SC_PEN_IANA, 344, 0, SC_COLUMN_UINT},
    [PART_UNITS] = {SC_PEN_IANA, 345, 0, SC_COLUMN_UINT},
    [PART_RECEIVED] = {SC_PEN_COLLECTOR, SC_IE_RECEIVE_TIME, 0, SC_COLUMN_UINT},
};

static uint64_t part_of(const struct sc_column *const parts[PARTS], enum part part, uint32_t row,
                        uint64_t most)
{
    const struct sc_column *c = parts[part];
    uint64_t v = c == NULL || sc_column_is_null(c, row) ? 0 : sc_column_u64(c, row);
    return v > most ? most : v;
}

/* The two that RFC 5610 needs must be there; an element without enterprise number is IANA's, and newer than the registry. */
static bool read_definition(const struct sc_column *const parts[PARTS], uint32_t row,
                            struct sc_ie_definition *out)
{
    if (sc_column_is_null(parts[PART_ID], row) || sc_column_is_null(parts[PART_TYPE], row))
        return false;
    *out = (struct sc_ie_definition){
        .pen = (uint32_t)part_of(parts, PART_PEN, row, UINT32_MAX),
        .id = (uint16_t)(part_of(parts, PART_ID, row, UINT16_MAX) & 0x7fff), /* without the enterprise bit */
        .type = (uint8_t)part_of(parts, PART_TYPE, row, UINT8_MAX),
        .semantics = (uint8_t)part_of(parts, PART_SEMANTICS, row, UINT8_MAX),
        .units = (uint16_t)part_of(parts, PART_UNITS, row, UINT16_MAX),
        .since_ms = part_of(parts, PART_RECEIVED, row, UINT64_MAX),
    };
    if (parts[PART_NAME] != NULL && !sc_column_is_null(parts[PART_NAME], row)) {
        uint32_t length;
        const uint8_t *name = sc_column_bytes(parts[PART_NAME], row, &length);
        sc_ie_definition_name(out, name, length);
    }
    return true;
}

/* Two exporters that disagree would fill the log. */
static void log_change(struct sc_elements *e, const struct sc_ie_definition *d)
{
    if (!e->told_change)
        sc_log(e->log, SC_LOG_WARNING,
               "element %u:%u (%s) is defined anew by an exporter; the latest definition holds, further "
               "changes are not logged",
               d->pen, d->id, d->name[0] == '\0' ? "no name" : d->name);
    e->told_change = true;
}

static void log_full(struct sc_elements *e)
{
    if (!e->told_full)
        sc_log(e->log, SC_LOG_WARNING,
               "exporters define more than %u elements; the others keep their numbers", SC_IE_LEARNED_MAX);
    e->told_full = true;
}

static void learn(struct sc_elements *e, const struct sc_column *const parts[PARTS], uint32_t rows)
{
    struct sc_ie_definition d;
    for (uint32_t row = 0; row < rows; row++) {
        if (!read_definition(parts, row, &d))
            continue;
        switch (sc_ie_learned_add(&e->table, &d)) {
        case SC_IE_NEW:
            e->changed = true;
            break;
        case SC_IE_CHANGED:
            e->changed = true;
            log_change(e, &d);
            break;
        case SC_IE_FULL:
            log_full(e);
            break;
        default: /* without memory: it is told again */
            break;
        }
    }
}

void sc_elements_learn(struct sc_elements *elements, const struct sc_batch *batch)
{
    const struct sc_column *parts[PARTS];
    if (batch->record_kind != SC_RECORDS_OPTIONS)
        return;
    for (unsigned i = 0; i < PARTS; i++)
        parts[i] = sc_batch_find(batch, part_keys[i]);
    if (parts[PART_ID] != NULL && parts[PART_TYPE] != NULL)
        learn(elements, parts, batch->rows);
}

static enum sc_status learn_group(struct sc_elements *e, struct sc_row_group *group)
{
    const struct sc_column *parts[PARTS];
    for (unsigned i = 0; i < PARTS; i++) {
        SC_TRY(sc_row_group_column(group, part_keys[i], &parts[i], NULL));
        if (parts[i] == NULL && i <= PART_TYPE)
            return SC_OK;
    }
    learn(e, parts, group->rows);
    return SC_OK;
}

void sc_elements_learn_encoded(struct sc_elements *elements, const struct sc_encoded_group *group)
{
    char name[] = "options records";
    struct sc_group_ref ref = group->ref;
    struct sc_read_context context;
    struct sc_row_group *open;
    if (ref.record_kind != SC_RECORDS_OPTIONS)
        return;
    const struct sc_segment segment = {.path = name,
                                       .fd = -1,
                                       .memory = group->bytes,
                                       .file_bytes = group->length,
                                       .groups = &ref,
                                       .group_count = 1};
    if (sc_read_context_init(&context) != SC_OK)
        return;
    /* What does not decode was no definition; a query that reads it says that it is damaged. */
    if (sc_row_group_open(&context, &segment, 0, &open, NULL) == SC_OK)
        (void)learn_group(elements, open);
    sc_read_context_free(&context);
}

/* ---- writing ---- */

static enum sc_status replace(const struct sc_elements *e, struct sc_error *err)
{
    char path[PATH_MAX];
    struct sc_buf text = {0};
    snprintf(path, sizeof(path), "%s/" SC_ELEMENTS_FILE, e->store);
    sc_buf_append_str(&text, head);
    sc_buf_append_str(&text, remark);
    for (uint32_t i = 0; i < e->table.count; i++) {
        char line[SC_IE_LEARNED_LINE_MAX];
        sc_buf_append(&text, line, sc_ie_definition_format(&e->table.entries[i], line));
        sc_buf_append_u8(&text, '\n');
    }
    enum sc_status status =
        sc_buf_ok(&text) ? sc_io_replace(e->io, path, text.data, text.len, err) : sc_fail_nomem(err, path);
    sc_buf_free(&text);
    return status;
}

void sc_elements_write(struct sc_elements *e)
{
    struct sc_error err;
    if (!e->changed)
        return;
    e->changed = replace(e, &err) != SC_OK;
    if (e->changed && !e->told_failure)
        sc_log(e->log, SC_LOG_WARNING,
               "%s; the elements that exporters define keep their numbers until it can be", err.message);
    e->told_failure = e->changed;
}

void sc_elements_free(struct sc_elements *elements)
{
    sc_ie_learned_free(&elements->table);
}
