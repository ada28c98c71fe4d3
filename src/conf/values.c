// SPDX-License-Identifier: BSD-3-Clause
#include "conf/values.h"

#include "base/ask.h"
#include "base/text.h"
#include "conf/units.h"

#include <stdlib.h>
#include <strings.h>

#define DAY_S 86400u

enum sc_status sc_config_set_text(char **text, const char *value, struct sc_error *err)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return sc_fail_nomem(err, "the configuration");
    free(*text);
    *text = copy;
    return SC_OK;
}

enum sc_status sc_config_set_archive(struct sc_config *config, char *const *words, struct sc_error *err)
{
    char **copy = sc_ask_copy_words(words);
    if (copy == NULL)
        return sc_fail_nomem(err, "the configuration");
    sc_ask_free_words(config->archive);
    config->archive = copy;
    return SC_OK;
}

enum sc_status sc_config_set_store(struct sc_config *config, const char *store, struct sc_error *err)
{
    return sc_config_set_text(&config->store, store, err);
}

enum sc_status sc_config_init(struct sc_config *config, struct sc_error *err)
{
    static const char *const urls[] = {"udp://[::]:4739", "udp://[::]:2055"};
    *config = (struct sc_config){
        .window_s = 300,
        .receivers = 1,
        .template_lifetime_s = 1800,
        .log_level = SC_LOG_INFO,
        .receive_buffer = UINT64_C(64) << 20,
        .queue_memory = UINT64_C(512) << 20,
        .exporter_memory = UINT64_C(2) << 30,
        .exporter_share = UINT64_C(64) << 20,
        .outbox_bytes = UINT64_C(4) << 30,
        .forward_memory = UINT64_C(64) << 20,
        .archive_timeout_s = 600,
        .listener_count = 2,
    };
    for (unsigned i = 0; i < 2; i++)
        SC_TRY(sc_url_parse(urls[i], &config->listeners[i], err));
    return sc_config_set_store(config, SC_CONFIG_DEFAULT_STORE, err);
}

void sc_config_free(struct sc_config *config)
{
    free(config->store);
    free(config->cluster);
    free(config->node);
    free(config->tls);
    sc_ask_free_words(config->archive);
    *config = (struct sc_config){0};
}

enum sc_status sc_config_window(const char *text, uint32_t *window_s, struct sc_error *err)
{
    uint64_t seconds;
    if (!sc_units_seconds(text, &seconds))
        return sc_fail(err, SC_USAGE, "\"%s\" is no time such as 300 or 5m", text);
    if (seconds == 0 || seconds > DAY_S || DAY_S % seconds != 0)
        return sc_fail(err, SC_USAGE, "a window of %s does not divide a day; 60, 300, 900 or 3600 seconds do",
                       text);
    *window_s = (uint32_t)seconds;
    return SC_OK;
}

enum sc_status sc_config_receivers(const char *text, uint32_t *receivers, struct sc_error *err)
{
    uint64_t value;
    if (!sc_text_number(text, false, &value) || value == 0 || value > SC_CONFIG_MAX_RECEIVERS)
        return sc_fail(err, SC_USAGE, "\"%s\" is no number from 1 to %u", text, SC_CONFIG_MAX_RECEIVERS);
    *receivers = (uint32_t)value;
    return SC_OK;
}

static bool same_listener(const struct sc_url *x, const struct sc_url *y)
{
    return x->scheme == y->scheme && x->port == y->port && x->port != 0 &&
           sc_addr_compare(&x->address, &y->address) == 0;
}

enum sc_status sc_config_listener(const char *text, const struct sc_url *others, uint32_t count,
                                  struct sc_url *url, struct sc_error *err)
{
    SC_TRY(sc_url_parse(text, url, err));
    if (!url->numeric)
        return sc_fail(err, SC_USAGE, "\"%s\": an address is needed to listen at, not the name \"%s\"", text,
                       url->host);
    for (uint32_t i = 0; i < count; i++) {
        if (same_listener(&others[i], url))
            return sc_fail(err, SC_USAGE, "\"%s\" stands here a second time", text);
    }
    return SC_OK;
}

static bool same_target(const struct sc_url *x, const struct sc_url *y)
{
    if (x->scheme != y->scheme || x->port != y->port || x->numeric != y->numeric)
        return false;
    return x->numeric ? sc_addr_equal(&x->address, &y->address) : strcasecmp(x->host, y->host) == 0;
}

/* A place to send to: an address that is none of all, or a name; a port. */
static enum sc_status check_target(const char *text, const struct sc_url *to, struct sc_error *err)
{
    static const struct sc_addr any_v6;
    const struct sc_addr any_v4 = sc_addr_v4(0);
    if (to->port == 0)
        return sc_fail(err, SC_USAGE, "\"%s\": port 0 is none to send to", text);
    if (to->numeric && (sc_addr_equal(&to->address, &any_v4) || sc_addr_equal(&to->address, &any_v6)))
        return sc_fail(err, SC_USAGE, "\"%s\": %s is no address to send to", text, to->host);
    return SC_OK;
}

static enum sc_status read_protocol(const char *text, const char *protocol, struct sc_config_forward *out,
                                    struct sc_error *err)
{
    bool v5 = protocol != NULL && strcmp(protocol, "v5") == 0;
    bool v9 = protocol != NULL && strcmp(protocol, "v9") == 0;
    if (protocol != NULL && !v5 && !v9 && strcmp(protocol, "ipfix") != 0)
        return sc_fail(err, SC_USAGE, "\"%s\" is no protocol; ipfix, v9 and v5 are", protocol);
    if ((v5 || v9) && out->to.scheme == SC_URL_TCP)
        return sc_fail(err, SC_USAGE, "\"%s\": NetFlow %s goes over udp; tcp carries ipfix only", text,
                       protocol);
    out->protocol = v5 ? 5 : v9 ? 9 : 10;
    return SC_OK;
}

enum sc_status sc_config_forward(const char *text, const char *protocol, const char *mode,
                                 const struct sc_config_forward *others, uint32_t count,
                                 struct sc_config_forward *out, struct sc_error *err)
{
    SC_TRY(sc_url_parse(text, &out->to, err));
    SC_TRY(check_target(text, &out->to, err));
    SC_TRY(read_protocol(text, protocol, out, err));
    out->round_robin = mode != NULL && strcmp(mode, "round-robin") == 0;
    if (mode != NULL && !out->round_robin && strcmp(mode, "all") != 0)
        return sc_fail(err, SC_USAGE, "\"%s\" is neither \"all\" nor \"round-robin\"", mode);
    for (uint32_t i = 0; i < count; i++)
        if (same_target(&others[i].to, &out->to))
            return sc_fail(err, SC_USAGE, "\"%s\" stands here a second time", text);
    return SC_OK;
}

enum sc_status sc_config_share(const char *network, const char *bytes, struct sc_budget_share *out,
                               struct sc_error *err)
{
    const char *slash = strchr(network, '/');
    size_t length = slash == NULL ? strlen(network) : (size_t)(slash - network);
    uint64_t bits;
    if (!sc_addr_parse(network, length, &out->network))
        return sc_fail(err, SC_USAGE, "\"%s\" is no network such as 192.0.2.0/24", network);
    unsigned before = sc_addr_is_v4(&out->network) ? 96 : 0;
    if (slash == NULL || !sc_text_number(slash + 1, false, &bits) || bits > 128 - before)
        return sc_fail(err, SC_USAGE, "\"%s\" has no prefix length, as in 192.0.2.0/24", network);
    out->bits = (uint8_t)(before + bits);
    out->network = sc_addr_mask(&out->network, out->bits);
    if (!sc_units_bytes(bytes, &out->bytes) || out->bytes < SC_CONFIG_MIN_SHARE)
        return sc_fail(err, SC_USAGE, "\"%s\" is no size of 1M or more", bytes);
    return SC_OK;
}

enum sc_status sc_config_log_level(const char *text, enum sc_log_level *level, struct sc_error *err)
{
    if (!sc_log_level_parse(text, level))
        return sc_fail(err, SC_USAGE, "\"%s\" is no log level; error, warning, info and debug are", text);
    return SC_OK;
}
