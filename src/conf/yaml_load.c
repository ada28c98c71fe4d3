// SPDX-License-Identifier: BSD-3-Clause
/*
 * libcyaml checks the structure against the schema and loads all values as text. What it says about an error is taken from
 * its log and joined with the line from conf/yaml_index.h.
 */
#include "conf/yaml_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES (1u << 20)

/* ---- what libcyaml says ---- */

#define MAX_BACKTRACE 8

/* The first message and the keys of the backtrace, innermost first. */
struct complaint {
    char message[256];
    char steps[MAX_BACKTRACE][128];
    unsigned step_count;
};

static void take_step(struct complaint *c, const char *line)
{
    char key[100];
    unsigned entry;
    if (c->step_count == MAX_BACKTRACE)
        return;
    char *step = c->steps[c->step_count];
    if (sscanf(line, " in mapping field '%99[^']'", key) == 1)
        snprintf(step, sizeof(c->steps[0]), "%s", key);
    else if (sscanf(line, " in sequence entry '%u'", &entry) == 1)
        snprintf(step, sizeof(c->steps[0]), "[%u]", entry == 0 ? 0 : entry - 1); /* it counts from 1 */
    else
        return;
    c->step_count++;
}

__attribute__((format(printf, 3, 0))) static void take_log(cyaml_log_t level, void *arg, const char *format,
                                                           va_list args)
{
    struct complaint *c = arg;
    char line[256];
    if (level < CYAML_LOG_WARNING)
        return;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (c->message[0] == '\0')
        snprintf(c->message, sizeof(c->message), "%s", text);
    else
        take_step(c, text);
}

static void join_path(const struct complaint *c, char *path, size_t size)
{
    size_t used = 0;
    path[0] = '\0';
    for (unsigned i = c->step_count; i-- > 0 && used < size;) {
        const char *dot = used == 0 || c->steps[i][0] == '[' ? "" : ".";
        used += (size_t)snprintf(path + used, size - used, "%s%s", dot, c->steps[i]);
    }
}

/* The fields of the mapping at a path: one of `fields`, an entry of a list, or `fields` itself. */
static const cyaml_schema_field_t *fields_of(const cyaml_schema_field_t *fields, const char *path)
{
    size_t length = strcspn(path, "[");
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        if (strlen(f->key) != length || strncmp(f->key, path, length) != 0)
            continue;
        if (f->value.type == CYAML_MAPPING)
            return f->value.mapping.fields;
        if (f->value.type == CYAML_SEQUENCE && f->value.sequence.entry->type == CYAML_MAPPING)
            return f->value.sequence.entry->mapping.fields;
    }
    return fields;
}

/* The keys that are allowed under a path, separated by commas. */
static void list_keys(const cyaml_schema_field_t *fields, const char *path, char *out, size_t size)
{
    const cyaml_schema_field_t *field = fields_of(fields, path);
    size_t used = 0;
    out[0] = '\0';
    for (; field->key != NULL && used < size; field++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ", field->key);
}

static enum sc_status explain(const char *name, const cyaml_schema_field_t *fields,
                              const struct sc_yaml_index *index, cyaml_err_t code, const struct complaint *c,
                              struct sc_error *err)
{
    char path[SC_YAML_PATH_MAX], key[128], at[SC_YAML_PATH_MAX + 130], known[256];
    join_path(c, path, sizeof(path));
    if (code == CYAML_ERR_OOM)
        return sc_fail_nomem(err, name);
    if (sscanf(c->message, "Unexpected key: %127[^\n]", key) == 1) {
        snprintf(at, sizeof(at), "%s%s%s", path, path[0] == '\0' ? "" : ".", key);
        list_keys(fields, path, known, sizeof(known));
        return sc_fail(err, SC_USAGE, "%s:%u: unknown key \"%s\"; known are %s", name,
                       sc_yaml_index_line(index, at, 0), at, known);
    }
    if (strncmp(c->message, "Mapping field already seen", 26) == 0)
        return sc_fail(err, SC_USAGE, "%s:%u: \"%s\" stands here a second time", name,
                       sc_yaml_index_line(index, path, 1), path);
    const char *wanted =
        code == CYAML_ERR_SEQUENCE_ENTRIES_MIN             ? "at least one entry is needed"
        : strstr(c->message, "Expecting SEQUENCE") != NULL ? "a list is needed (lines with \"- \")"
        : strstr(c->message, "Expecting MAPPING") != NULL  ? "keys with values are needed (key: value)"
        : strstr(c->message, "Expecting STRING") != NULL   ? "a single value is needed"
                                                           : c->message;
    return sc_fail(err, SC_USAGE, "%s:%u: %s%s%s", name, sc_yaml_index_line(index, path, 0), path,
                   path[0] == '\0' ? "" : ": ", wanted);
}

/* ---- loading ---- */

static const cyaml_config_t plain_config = {
    .mem_fn = cyaml_mem, .log_level = CYAML_LOG_WARNING, .flags = CYAML_CFG_NO_ALIAS};

static enum sc_status load_indexed(struct sc_yaml *document, const uint8_t *bytes, size_t length,
                                   struct sc_error *err)
{
    struct complaint complaint = {.message = ""};
    cyaml_config_t how = plain_config;
    how.log_fn = take_log;
    how.log_ctx = &complaint;
    if (document->index.empty)
        return SC_OK;
    cyaml_err_t code = cyaml_load_data(bytes, length, &how, document->schema, &document->data, NULL);
    if (code == CYAML_OK)
        return SC_OK;
    return explain(document->name, document->schema->mapping.fields, &document->index, code, &complaint, err);
}

enum sc_status sc_yaml_parse(const char *name, const uint8_t *bytes, size_t length,
                             const cyaml_schema_value_t *schema, struct sc_yaml *out, struct sc_error *err)
{
    *out = (struct sc_yaml){.name = name, .schema = schema, .err = err};
    SC_TRY(sc_yaml_index_build(name, bytes, length, &out->index, err));
    enum sc_status status = load_indexed(out, bytes, length, err);
    if (status != SC_OK)
        sc_yaml_free(out);
    return status;
}

void sc_yaml_free(struct sc_yaml *document)
{
    cyaml_free(&plain_config, document->schema, document->data, 0);
    sc_yaml_index_free(&document->index);
    document->data = NULL;
}

/* Never waits for another process. A pipe would be read once, and be empty, which is the default of all keys, the next time. */
static FILE *open_file(const char *path, const char *what, struct sc_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
    if (file == NULL) {
        sc_fail_errno(err, errno, "cannot open the %s %s", what, path);
        if (fd >= 0)
            close(fd);
    } else if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
        sc_fail(err, SC_USAGE, "the %s %s is a pipe: a file is needed, which can be read again", what, path);
        fclose(file);
        file = NULL;
    }
    return file;
}

enum sc_status sc_yaml_read_file(const char *path, const char *what, uint8_t **bytes_out, size_t *length_out,
                                 struct sc_error *err)
{
    struct sc_error own;
    FILE *file = open_file(path, what, err == NULL ? &own : err);
    if (file == NULL)
        return err == NULL ? own.status : err->status;
    uint8_t *bytes = malloc(MAX_FILE_BYTES);
    size_t length = bytes == NULL ? 0 : fread(bytes, 1, MAX_FILE_BYTES, file);
    enum sc_status status = SC_OK;
    if (bytes == NULL)
        status = sc_fail_nomem(err, path);
    else if (ferror(file))
        status = sc_fail_errno(err, errno, "cannot read the %s %s", what, path);
    else if (length == MAX_FILE_BYTES)
        status = sc_fail(err, SC_USAGE, "%s: too large for a %s", path, what);
    fclose(file);
    if (status != SC_OK) {
        free(bytes);
        return status;
    }
    *bytes_out = bytes;
    *length_out = length;
    return SC_OK;
}

enum sc_status sc_yaml_fail(const struct sc_yaml *document, const char *path, const char *format, ...)
{
    char message[SC_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return sc_fail(document->err, SC_USAGE, "%s:%u: %s: %s", document->name,
                   sc_yaml_index_line(&document->index, path, 0), path, message);
}

enum sc_status sc_yaml_located(const struct sc_yaml *document, const char *path, enum sc_status status)
{
    return status == SC_USAGE ? sc_yaml_fail(document, path, "%s", document->err->message) : status;
}
