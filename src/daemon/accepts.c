// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/accepts.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BORNE_MS 2000u /* that nothing is taken */

/* Where flows go: the outbox, or the store of a single node. */
struct way {
    bool blocked;
    uint64_t since_ms;
    char problem[256];
};

/* False: there is none. */
static bool find_way(const struct sc_status_source *source, struct way *out)
{
    struct sc_proxy_stats proxy;
    struct sc_storer_stats storer;
    if (source->proxy != NULL) {
        sc_proxy_get_stats(source->proxy, &proxy);
        *out = (struct way){proxy.blocked, proxy.blocked_ms, ""};
        snprintf(out->problem, sizeof(out->problem), "%s", proxy.problem);
    } else if (source->storer != NULL) {
        sc_storer_get_stats(source->storer, &storer);
        *out = (struct way){storer.blocked, storer.blocked_ms, ""};
        snprintf(out->problem, sizeof(out->problem), "%s", storer.problem);
    }
    return source->proxy != NULL || source->storer != NULL;
}

/* Empty: it takes flows. */
static void find_reason(const struct sc_status_source *source, char *why, size_t size)
{
    struct way way;
    uint64_t now_ms = sc_clock_mono_ms();
    why[0] = '\0';
    if (!find_way(source, &way))
        snprintf(why, size, "this node is a subcollector only: exporters send to proxies");
    else if (way.blocked && now_ms >= way.since_ms + BORNE_MS)
        snprintf(why, size, "nothing is accepted for %llu s: %s",
                 (unsigned long long)(now_ms - way.since_ms) / 1000, way.problem);
}

enum sc_status sc_accepts_json(const struct sc_status_source *source, struct sc_control_status *out)
{
    char why[320];
    find_reason(source, why, sizeof(why));
    json_t *object = json_pack("{s:b}", "accepts", why[0] == '\0');
    if (why[0] != '\0')
        json_object_set_new(object, "why", json_string(why));
    char *text = json_dumps(object, JSON_ENSURE_ASCII);
    json_decref(object);
    if (text == NULL)
        return SC_NOMEM;
    sc_buf_append_str(&out->text, text);
    free(text);
    return sc_buf_ok(&out->text) ? SC_OK : SC_NOMEM;
}
