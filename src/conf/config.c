// SPDX-License-Identifier: BSD-3-Clause
/*
 * libcyaml checks the structure against the schema and loads all values as text; this file then reads the
 * text. What libcyaml says about an error is taken from its log and joined with the line from
 * conf/yaml_index.h.
 */
#include "conf/config.h"

#include "conf/units.h"
#include "conf/yaml_index.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdlib.h>

#define MAX_FILE_BYTES (1u << 20)

struct raw_retention {
    char *age;
    char *bytes;
};

struct raw {
    char **listeners;
    unsigned listeners_count;
    char *store;
    char *window;
    struct raw_retention retention;
    char *receivers;
    char *template_scope;
    char *template_lifetime;
    char *log_level;
    char *receive_buffer;
    char *queue_memory;
};

#define TEXT(key, type, member)                                                                              \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 0, CYAML_UNLIMITED)

static const cyaml_schema_value_t listener_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t retention_fields[] = {
    TEXT("age", struct raw_retention, age),
    TEXT("bytes", struct raw_retention, bytes),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_SEQUENCE("listeners", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, listeners,
                         &listener_schema, 0, CYAML_UNLIMITED),
    TEXT("store", struct raw, store),
    TEXT("window", struct raw, window),
    CYAML_FIELD_MAPPING("retention", CYAML_FLAG_OPTIONAL, struct raw, retention, retention_fields),
    TEXT("receivers", struct raw, receivers),
    TEXT("template-scope", struct raw, template_scope),
    TEXT("template-lifetime", struct raw, template_lifetime),
    TEXT("log-level", struct raw, log_level),
    TEXT("receive-buffer", struct raw, receive_buffer),
    TEXT("queue-memory", struct raw, queue_memory),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields)};

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

/* The keys that are allowed under a path, separated by commas. */
static void list_keys(const char *path, char *out, size_t size)
{
    const cyaml_schema_field_t *field = fields;
    size_t used = 0;
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        if (strcmp(f->key, path) == 0 && f->value.type == CYAML_MAPPING)
            field = f->value.mapping.fields;
    }
    out[0] = '\0';
    for (; field->key != NULL && used < size; field++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ", field->key);
}

static enum sc_status explain(const char *name, const struct sc_yaml_index *index, cyaml_err_t code,
                              const struct complaint *c, struct sc_error *err)
{
    char path[SC_YAML_PATH_MAX], key[128], at[SC_YAML_PATH_MAX + 130], known[256];
    join_path(c, path, sizeof(path));
    if (code == CYAML_ERR_OOM)
        return sc_fail_nomem(err, name);
    if (sscanf(c->message, "Unexpected key: %127[^\n]", key) == 1) {
        snprintf(at, sizeof(at), "%s%s%s", path, path[0] == '\0' ? "" : ".", key);
        list_keys(path, known, sizeof(known));
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

/* ---- reading the values ---- */

struct reader {
    const char *name;
    const struct sc_yaml_index *index;
    struct sc_error *err;
};

/* Puts file, line and key before the message that a value's own parser left in *err. */
static enum sc_status located(const struct reader *r, const char *path, enum sc_status status)
{
    if (status != SC_USAGE || r->err == NULL)
        return status;
    const struct sc_error inner = *r->err;
    return sc_fail(r->err, SC_USAGE, "%s:%u: %s: %s", r->name, sc_yaml_index_line(r->index, path, 0), path,
                   inner.message);
}

static enum sc_status read_bytes(const struct reader *r, const char *path, const char *text, uint64_t *out)
{
    if (text == NULL)
        return SC_OK;
    if (sc_units_bytes(text, out))
        return SC_OK;
    return located(r, path, sc_fail(r->err, SC_USAGE, "\"%s\" is no size such as 64M or 500G", text));
}

static enum sc_status read_seconds(const struct reader *r, const char *path, const char *text, uint64_t *out)
{
    if (text == NULL)
        return SC_OK;
    if (sc_units_seconds(text, out))
        return SC_OK;
    return located(r, path, sc_fail(r->err, SC_USAGE, "\"%s\" is no time such as 90s, 5m, 12h or 30d", text));
}

static enum sc_status read_scope(const struct reader *r, const char *text, bool *address)
{
    if (text == NULL)
        return SC_OK;
    *address = strcmp(text, "address") == 0;
    if (*address || strcmp(text, "session") == 0)
        return SC_OK;
    return located(r, "template-scope",
                   sc_fail(r->err, SC_USAGE, "\"%s\" is neither \"session\" nor \"address\"", text));
}

static enum sc_status read_lifetime(const struct reader *r, const char *text, uint32_t *out)
{
    uint64_t seconds = *out;
    SC_TRY(read_seconds(r, "template-lifetime", text, &seconds));
    if (seconds == 0 || seconds > UINT32_MAX)
        return located(r, "template-lifetime", sc_fail(r->err, SC_USAGE, "\"%s\" is out of range", text));
    *out = (uint32_t)seconds;
    return SC_OK;
}

static enum sc_status read_listeners(const struct reader *r, const struct raw *raw, struct sc_config *config)
{
    if (raw->listeners == NULL) { /* absent, or an empty list, which libcyaml does not tell apart */
        if (sc_yaml_index_has(r->index, "listeners"))
            return located(r, "listeners", sc_fail(r->err, SC_USAGE, "at least one entry is needed"));
        return SC_OK;
    }
    if (raw->listeners_count > SC_CONFIG_MAX_LISTENERS)
        return located(r, "listeners", sc_fail(r->err, SC_USAGE, "more than %u", SC_CONFIG_MAX_LISTENERS));
    struct sc_url urls[SC_CONFIG_MAX_LISTENERS];
    for (unsigned i = 0; i < raw->listeners_count; i++) {
        char path[32];
        snprintf(path, sizeof(path), "listeners[%u]", i);
        SC_TRY(located(r, path, sc_config_listener(raw->listeners[i], &urls[i], r->err)));
    }
    return sc_config_set_listeners(config, urls, raw->listeners_count, r->err);
}

#define MIN_QUEUE_MEMORY (UINT64_C(16) << 20)

static enum sc_status read_memory(const struct reader *r, const struct raw *raw, struct sc_config *config)
{
    SC_TRY(read_bytes(r, "receive-buffer", raw->receive_buffer, &config->receive_buffer));
    SC_TRY(read_bytes(r, "queue-memory", raw->queue_memory, &config->queue_memory));
    if (config->queue_memory < MIN_QUEUE_MEMORY)
        return located(r, "queue-memory",
                       sc_fail(r->err, SC_USAGE, "\"%s\" is less than 16M", raw->queue_memory));
    return SC_OK;
}

static enum sc_status read_values(const struct reader *r, const struct raw *raw, struct sc_config *config)
{
    SC_TRY(read_listeners(r, raw, config));
    if (raw->store != NULL && raw->store[0] == '\0')
        return located(r, "store", sc_fail(r->err, SC_USAGE, "a folder is needed"));
    if (raw->store != NULL)
        SC_TRY(sc_config_set_store(config, raw->store, r->err));
    if (raw->window != NULL)
        SC_TRY(located(r, "window", sc_config_window(raw->window, &config->window_s, r->err)));
    if (raw->receivers != NULL)
        SC_TRY(located(r, "receivers", sc_config_receivers(raw->receivers, &config->receivers, r->err)));
    if (raw->log_level != NULL)
        SC_TRY(located(r, "log-level", sc_config_log_level(raw->log_level, &config->log_level, r->err)));
    SC_TRY(read_seconds(r, "retention.age", raw->retention.age, &config->retention_age_s));
    SC_TRY(read_bytes(r, "retention.bytes", raw->retention.bytes, &config->retention_bytes));
    SC_TRY(read_scope(r, raw->template_scope, &config->template_scope_address));
    SC_TRY(read_lifetime(r, raw->template_lifetime, &config->template_lifetime_s));
    return read_memory(r, raw, config);
}

/* ---- loading ---- */

static enum sc_status copy_config(const struct sc_config *from, struct sc_config *to, struct sc_error *err)
{
    *to = *from;
    to->listeners = NULL;
    to->store = NULL;
    enum sc_status status = sc_config_set_listeners(to, from->listeners, from->listener_count, err);
    if (status == SC_OK)
        status = sc_config_set_store(to, from->store, err);
    if (status != SC_OK)
        sc_config_free(to);
    return status;
}

static enum sc_status apply(const struct reader *r, const struct raw *raw, struct sc_config *config)
{
    struct sc_config fresh;
    SC_TRY(copy_config(config, &fresh, r->err));
    enum sc_status status = read_values(r, raw, &fresh);
    if (status != SC_OK) {
        sc_config_free(&fresh);
        return status;
    }
    sc_config_free(config);
    *config = fresh;
    return SC_OK;
}

static enum sc_status parse_indexed(const char *name, const uint8_t *bytes, size_t length,
                                    const struct sc_yaml_index *index, struct sc_config *config,
                                    struct sc_error *err)
{
    struct complaint complaint = {.message = ""};
    const cyaml_config_t how = {
        .log_fn = take_log,
        .log_ctx = &complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_WARNING,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    cyaml_data_t *data = NULL;
    if (index->empty)
        return SC_OK;
    cyaml_err_t code = cyaml_load_data(bytes, length, &how, &schema, &data, NULL);
    if (code != CYAML_OK)
        return explain(name, index, code, &complaint, err);
    const struct reader r = {name, index, err};
    static const struct raw nothing; /* what an empty mapping is loaded as */
    enum sc_status status = apply(&r, data == NULL ? &nothing : data, config);
    cyaml_free(&how, &schema, data, 0);
    return status;
}

enum sc_status sc_config_parse(const char *name, const uint8_t *bytes, size_t length,
                               struct sc_config *config, struct sc_error *err)
{
    struct sc_yaml_index index;
    struct sc_error own; /* values' messages are joined with their places even when the caller wants none */
    if (err == NULL)
        err = &own;
    SC_TRY(sc_yaml_index_build(name, bytes, length, &index, err));
    enum sc_status status = parse_indexed(name, bytes, length, &index, config, err);
    sc_yaml_index_free(&index);
    return status;
}

enum sc_status sc_config_load(const char *path, struct sc_config *config, struct sc_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return sc_fail_errno(err, errno, "cannot open the configuration %s", path);
    uint8_t *bytes = malloc(MAX_FILE_BYTES);
    size_t length = bytes == NULL ? 0 : fread(bytes, 1, MAX_FILE_BYTES, file);
    enum sc_status status;
    if (bytes == NULL)
        status = sc_fail_nomem(err, path);
    else if (ferror(file))
        status = sc_fail_errno(err, errno, "cannot read the configuration %s", path);
    else if (length == MAX_FILE_BYTES)
        status = sc_fail(err, SC_USAGE, "%s: too large for a configuration", path);
    else
        status = sc_config_parse(path, bytes, length, config, err);
    free(bytes);
    fclose(file);
    return status;
}
