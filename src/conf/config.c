// SPDX-License-Identifier: BSD-3-Clause
/* The structure is libcyaml's task (conf/yaml_load.h); this file reads the values. */
#include "conf/config.h"

#include "base/ask.h"
#include "base/bounds.h"
#include "base/text.h"
#include "conf/units.h"
#include "conf/yaml_load.h"

#include <stdlib.h>

struct raw_retention {
    char *age, *bytes;
    char **archive;
    unsigned archive_count;
    char *archive_timeout;
};

struct raw_outbox {
    char *bytes, *sync;
};

struct raw_tcp {
    char *connections, *of_exporter;
};

struct raw_forward {
    char *to, *protocol, *mode;
};

struct raw_share {
    char *network, *bytes;
};

struct raw {
    char **listeners;
    unsigned listeners_count;
    char *store, *window, *receivers, *log_level;
    struct raw_retention retention;
    char *template_scope, *template_lifetime;
    char *verify_seals;
    char *receive_buffer, *queue_memory;
    char *exporter_memory, *exporter_share;
    struct raw_share *exporter_shares;
    unsigned exporter_shares_count;
    char *cluster, *node, *link, *tls;
    struct raw_outbox outbox;
    struct raw_tcp tcp;
    char *forward_memory;
    struct raw_forward *forward;
    unsigned forward_count;
};

#define TEXT(key, type, member) SC_YAML_TEXT(key, CYAML_FLAG_OPTIONAL, type, member)

static const cyaml_schema_value_t listener_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_value_t word_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t retention_fields[] = {
    TEXT("age", struct raw_retention, age),
    TEXT("bytes", struct raw_retention, bytes),
    CYAML_FIELD_SEQUENCE("archive", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_retention, archive,
                         &word_schema, 0, CYAML_UNLIMITED),
    TEXT("archive-timeout", struct raw_retention, archive_timeout),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t outbox_fields[] = {
    TEXT("bytes", struct raw_outbox, bytes),
    TEXT("sync", struct raw_outbox, sync),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t tcp_fields[] = {
    TEXT("connections", struct raw_tcp, connections),
    TEXT("of-exporter", struct raw_tcp, of_exporter),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t forward_fields[] = {
    TEXT("to", struct raw_forward, to),
    TEXT("protocol", struct raw_forward, protocol),
    TEXT("mode", struct raw_forward, mode),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t forward_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_forward, forward_fields),
};

static const cyaml_schema_field_t share_fields[] = {
    TEXT("network", struct raw_share, network),
    TEXT("bytes", struct raw_share, bytes),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t share_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_share, share_fields),
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
    TEXT("verify-seals", struct raw, verify_seals),
    TEXT("log-level", struct raw, log_level),
    TEXT("receive-buffer", struct raw, receive_buffer),
    TEXT("queue-memory", struct raw, queue_memory),
    TEXT("exporter-memory", struct raw, exporter_memory),
    TEXT("exporter-share", struct raw, exporter_share),
    CYAML_FIELD_SEQUENCE("exporter-shares", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw,
                         exporter_shares, &share_schema, 0, CYAML_UNLIMITED),
    TEXT("cluster", struct raw, cluster),
    TEXT("node", struct raw, node),
    TEXT("link", struct raw, link),
    TEXT("tls", struct raw, tls),
    CYAML_FIELD_MAPPING("outbox", CYAML_FLAG_OPTIONAL, struct raw, outbox, outbox_fields),
    CYAML_FIELD_MAPPING("tcp", CYAML_FLAG_OPTIONAL, struct raw, tcp, tcp_fields),
    CYAML_FIELD_SEQUENCE("forward", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw, forward,
                         &forward_schema, 0, CYAML_UNLIMITED),
    TEXT("forward-memory", struct raw, forward_memory),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields)};

/* ---- reading the values ---- */

#define MIB (UINT64_C(1) << 20)

/* Not below a bound, which is said as `shown`. */
static enum sc_status read_size(const struct sc_yaml *d, const char *path, const char *text, uint64_t least,
                                const char *shown, uint64_t *out)
{
    if (text != NULL && !sc_units_bytes(text, out))
        return sc_yaml_fail(d, path, "\"%s\" is no size such as 64M or 500G", text);
    if (*out >= least)
        return SC_OK;
    return sc_yaml_fail(d, path, "\"%s\" is less than %s", text, shown);
}

static enum sc_status read_seconds(const struct sc_yaml *d, const char *path, const char *text, uint64_t *out)
{
    if (text == NULL || sc_units_seconds(text, out))
        return SC_OK;
    return sc_yaml_fail(d, path, "\"%s\" is no time such as 90s, 5m, 12h or 30d", text);
}

/* "30" may be meant as days: what deletes is not guessed. */
static enum sc_status read_age(const struct sc_yaml *d, const char *text, uint64_t *out)
{
    if (text == NULL || sc_units_age(text, out))
        return SC_OK;
    if (sc_units_seconds(text, out))
        return sc_yaml_fail(d, "retention.age", "\"%s\" has no unit; write %sd for days", text, text);
    return read_seconds(d, "retention.age", text, out);
}

/* No shell reads the words. */
static enum sc_status read_archive(const struct sc_yaml *d, const struct raw_retention *raw,
                                   struct sc_config *config)
{
    const char *words[SC_ASK_MAX_WORDS + 1];
    uint64_t timeout_s = config->archive_timeout_s;
    SC_TRY(read_seconds(d, "retention.archive-timeout", raw->archive_timeout, &timeout_s));
    if (timeout_s == 0 || timeout_s > 86400)
        return sc_yaml_fail(d, "retention.archive-timeout", "\"%s\" is not between 1s and 24h",
                            raw->archive_timeout);
    config->archive_timeout_s = (uint32_t)timeout_s;
    if (raw->archive == NULL)
        return SC_OK;
    if (raw->archive_count == 0 || raw->archive_count > SC_ASK_MAX_WORDS || raw->archive[0][0] == '\0')
        return sc_yaml_fail(d, "retention.archive", "a program and its arguments, %u words at most",
                            SC_ASK_MAX_WORDS);
    if (config->retention_age_s == 0 && config->retention_bytes == 0)
        return sc_yaml_fail(d, "retention.archive",
                            "nothing is deleted, so nothing is archived: give age or bytes");
    memcpy(words, raw->archive, raw->archive_count * sizeof(*words));
    words[raw->archive_count] = NULL;
    return sc_config_set_archive(config, (char *const *)words, d->err);
}

static enum sc_status read_scope(const struct sc_yaml *d, const char *text, bool *address)
{
    if (text == NULL)
        return SC_OK;
    *address = strcmp(text, "address") == 0;
    if (*address || strcmp(text, "session") == 0)
        return SC_OK;
    return sc_yaml_fail(d, "template-scope", "\"%s\" is neither \"session\" nor \"address\"", text);
}

static enum sc_status read_verify(const struct sc_yaml *d, const char *text, bool *full)
{
    if (text == NULL)
        return SC_OK;
    *full = strcmp(text, "full") == 0;
    if (*full || strcmp(text, "hash") == 0)
        return SC_OK;
    return sc_yaml_fail(d, "verify-seals", "\"%s\" is neither \"hash\" nor \"full\"", text);
}

static enum sc_status read_lifetime(const struct sc_yaml *d, const char *text, uint32_t *out)
{
    uint64_t seconds = *out;
    SC_TRY(read_seconds(d, "template-lifetime", text, &seconds));
    if (seconds == 0 || seconds > UINT32_MAX)
        return sc_yaml_fail(d, "template-lifetime", "\"%s\" is out of range", text);
    *out = (uint32_t)seconds;
    return SC_OK;
}

static enum sc_status read_listeners(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    if (raw->listeners == NULL) { /* absent, or an empty list, which libcyaml does not tell apart */
        if (sc_yaml_index_has(&d->index, "listeners"))
            return sc_yaml_fail(d, "listeners", "at least one entry is needed");
        return SC_OK;
    }
    if (raw->listeners_count > SC_CONFIG_MAX_LISTENERS)
        return sc_yaml_fail(d, "listeners", "more than %u", SC_CONFIG_MAX_LISTENERS);
    struct sc_url *urls = config->listeners;
    for (unsigned i = 0; i < raw->listeners_count; i++) {
        char path[32];
        snprintf(path, sizeof(path), "listeners[%u]", i);
        SC_TRY(sc_yaml_located(d, path, sc_config_listener(raw->listeners[i], urls, i, &urls[i], d->err)));
    }
    config->listener_count = raw->listeners_count;
    return SC_OK;
}

static enum sc_status read_forward(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    struct sc_config_forward *to = config->forward;
    SC_TRY(read_size(d, "forward-memory", raw->forward_memory, MIB, "1M", &config->forward_memory));
    if (raw->forward == NULL)
        return SC_OK;
    if (raw->forward_count > SC_CONFIG_MAX_FORWARD)
        return sc_yaml_fail(d, "forward", "more than %u", SC_CONFIG_MAX_FORWARD);
    for (unsigned i = 0; i < raw->forward_count; i++) {
        const struct raw_forward *f = &raw->forward[i];
        char path[32];
        snprintf(path, sizeof(path), "forward[%u]", i);
        if (f->to == NULL)
            return sc_yaml_fail(d, path, "\"to\" is needed");
        SC_TRY(
            sc_yaml_located(d, path, sc_config_forward(f->to, f->protocol, f->mode, to, i, &to[i], d->err)));
    }
    config->forward_count = raw->forward_count;
    return SC_OK;
}

static enum sc_status read_shares(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    if (raw->exporter_shares == NULL)
        return SC_OK;
    if (raw->exporter_shares_count > SC_CONFIG_MAX_SHARES)
        return sc_yaml_fail(d, "exporter-shares", "more than %u", SC_CONFIG_MAX_SHARES);
    for (unsigned i = 0; i < raw->exporter_shares_count; i++) {
        const struct raw_share *s = &raw->exporter_shares[i];
        char path[32];
        snprintf(path, sizeof(path), "exporter-shares[%u]", i);
        if (s->network == NULL || s->bytes == NULL)
            return sc_yaml_fail(d, path, "\"network\" and \"bytes\" are needed");
        SC_TRY(sc_yaml_located(d, path,
                               sc_config_share(s->network, s->bytes, &config->exporter_shares[i], d->err)));
    }
    config->exporter_share_count = raw->exporter_shares_count;
    return SC_OK;
}

static enum sc_status read_exporters(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    SC_TRY(read_size(d, "exporter-memory", raw->exporter_memory, 16 * MIB, "16M", &config->exporter_memory));
    SC_TRY(read_size(d, "exporter-share", raw->exporter_share, SC_CONFIG_MIN_SHARE, "1M",
                     &config->exporter_share));
    return read_shares(d, raw, config);
}

#define MOST_CONNECTIONS 1000000u

static enum sc_status read_link(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    if (raw->tls != NULL)
        SC_TRY(sc_config_set_text(&config->tls, raw->tls, d->err));
    if (raw->link == NULL)
        return SC_OK;
    config->link_plain = strcmp(raw->link, "plain") == 0;
    if (!config->link_plain && strcmp(raw->link, "tls") != 0)
        return sc_yaml_fail(d, "link", "\"%s\" is neither \"tls\" nor \"plain\"", raw->link);
    if (!config->link_plain && config->tls == NULL)
        return sc_yaml_fail(d, "link", "\"tls\" is needed too: the folder that sc-admin certs makes");
    return SC_OK;
}

static enum sc_status read_cluster(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    bool sync = raw->outbox.sync != NULL && strcmp(raw->outbox.sync, "yes") == 0;
    if (raw->outbox.sync != NULL && !sync && strcmp(raw->outbox.sync, "no") != 0)
        return sc_yaml_fail(d, "outbox.sync", "\"%s\" is neither \"yes\" nor \"no\"", raw->outbox.sync);
    config->outbox_sync = raw->outbox.sync == NULL ? config->outbox_sync : sync;
    SC_TRY(
        read_size(d, "outbox.bytes", raw->outbox.bytes, SC_BOUND_LEAST_OUTBOX, "64M", &config->outbox_bytes));
    if (raw->cluster != NULL)
        SC_TRY(sc_config_set_text(&config->cluster, raw->cluster, d->err));
    if (raw->node != NULL)
        SC_TRY(sc_config_set_text(&config->node, raw->node, d->err));
    SC_TRY(read_link(d, raw, config));
    if ((config->cluster == NULL) == (config->node == NULL))
        return SC_OK;
    return sc_yaml_fail(d, config->cluster == NULL ? "node" : "cluster", "\"%s\" is needed too",
                        config->cluster == NULL ? "cluster" : "node");
}

static enum sc_status read_count(const struct sc_yaml *d, const char *path, const char *text, uint32_t *out)
{
    uint64_t value;
    if (text == NULL)
        return SC_OK;
    if (!sc_text_number(text, false, &value) || value == 0 || value > MOST_CONNECTIONS)
        return sc_yaml_fail(d, path, "\"%s\" is no number from 1 to %u", text, MOST_CONNECTIONS);
    *out = (uint32_t)value;
    return SC_OK;
}

static enum sc_status read_values(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    SC_TRY(read_listeners(d, raw, config));
    if (raw->store != NULL && raw->store[0] == '\0')
        return sc_yaml_fail(d, "store", "a folder is needed");
    if (raw->store != NULL)
        SC_TRY(sc_config_set_store(config, raw->store, d->err));
    if (raw->window != NULL)
        SC_TRY(sc_yaml_located(d, "window", sc_config_window(raw->window, &config->window_s, d->err)));
    if (raw->receivers != NULL)
        SC_TRY(
            sc_yaml_located(d, "receivers", sc_config_receivers(raw->receivers, &config->receivers, d->err)));
    if (raw->log_level != NULL)
        SC_TRY(
            sc_yaml_located(d, "log-level", sc_config_log_level(raw->log_level, &config->log_level, d->err)));
    SC_TRY(read_age(d, raw->retention.age, &config->retention_age_s));
    SC_TRY(read_size(d, "retention.bytes", raw->retention.bytes, 0, "", &config->retention_bytes));
    SC_TRY(read_archive(d, &raw->retention, config));
    SC_TRY(read_scope(d, raw->template_scope, &config->template_scope_address));
    SC_TRY(read_verify(d, raw->verify_seals, &config->verify_full));
    SC_TRY(read_lifetime(d, raw->template_lifetime, &config->template_lifetime_s));
    SC_TRY(read_cluster(d, raw, config));
    SC_TRY(read_count(d, "tcp.connections", raw->tcp.connections, &config->tcp_connections));
    SC_TRY(read_count(d, "tcp.of-exporter", raw->tcp.of_exporter, &config->tcp_of_exporter));
    SC_TRY(read_forward(d, raw, config));
    SC_TRY(read_exporters(d, raw, config));
    SC_TRY(read_size(d, "receive-buffer", raw->receive_buffer, 0, "", &config->receive_buffer));
    return read_size(d, "queue-memory", raw->queue_memory, 16 * MIB, "16M", &config->queue_memory);
}

/* ---- loading ---- */

static enum sc_status copy_config(const struct sc_config *from, struct sc_config *to, struct sc_error *err)
{
    *to = *from;
    to->store = to->cluster = to->node = to->tls = NULL;
    to->archive = NULL;
    enum sc_status status = sc_config_set_store(to, from->store, err);
    if (status == SC_OK && from->cluster != NULL)
        status = sc_config_set_text(&to->cluster, from->cluster, err);
    if (status == SC_OK && from->node != NULL)
        status = sc_config_set_text(&to->node, from->node, err);
    if (status == SC_OK && from->tls != NULL)
        status = sc_config_set_text(&to->tls, from->tls, err);
    if (status == SC_OK && from->archive != NULL)
        status = sc_config_set_archive(to, from->archive, err);
    if (status != SC_OK)
        sc_config_free(to);
    return status;
}

static enum sc_status apply(const struct sc_yaml *d, const struct raw *raw, struct sc_config *config)
{
    struct sc_config fresh;
    SC_TRY(copy_config(config, &fresh, d->err));
    enum sc_status status = read_values(d, raw, &fresh);
    if (status != SC_OK) {
        sc_config_free(&fresh);
        return status;
    }
    sc_config_free(config);
    *config = fresh;
    return SC_OK;
}

enum sc_status sc_config_parse(const char *name, const uint8_t *bytes, size_t length,
                               struct sc_config *config, struct sc_error *err)
{
    static const struct raw nothing; /* what an empty document is loaded as */
    struct sc_yaml document;
    struct sc_error own; /* values' messages are joined with their places even when the caller wants none */
    if (err == NULL)
        err = &own;
    SC_TRY(sc_yaml_parse(name, bytes, length, &schema, &document, err));
    enum sc_status status = apply(&document, document.data == NULL ? &nothing : document.data, config);
    sc_yaml_free(&document);
    return status;
}

enum sc_status sc_config_load(const char *path, struct sc_config *config, struct sc_error *err)
{
    uint8_t *bytes;
    size_t length;
    SC_TRY(sc_yaml_read_file(path, "configuration", &bytes, &length, err));
    enum sc_status status = sc_config_parse(path, bytes, length, config, err);
    free(bytes);
    return status;
}
