// SPDX-License-Identifier: BSD-3-Clause
/* sc-admin heal: what the running subcollector lacks and pulls from others (relay/healer.h), shown and hurried. */
#include "cli/admin.h"

#include "base/clock.h"
#include "conf/units.h"
#include "daemon/control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_NS 300000000L

static uint64_t integer(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

/* NULL: it was said why not. */
static json_t *ask(const char *store, const char *request)
{
    struct sc_buf answer = {0};
    struct sc_error err;
    json_t *root = NULL, *healing = NULL;
    if (sc_control_ask(store, request, &answer, &err) != SC_OK) {
        fprintf(stderr, "sc-admin: %s\n", err.message);
    } else {
        root = json_loadb((const char *)answer.data, answer.len, 0, NULL);
        healing = json_incref(json_object_get(root, "healing"));
        if (healing == NULL)
            fprintf(stderr, "sc-admin: %s\n",
                    json_object_get(root, "error") != NULL
                        ? text(root, "error")
                        : "the collector gives no answer that makes sense");
    }
    json_decref(root);
    sc_buf_free(&answer);
    return healing;
}

static void print_lacking(FILE *out, const json_t *h)
{
    fprintf(out, "%" PRIu64 " batches of %" PRIu64 " windows that ought to be here are with others only",
            integer(h, "lacking_batches"), integer(h, "lacking_windows"));
    if (json_is_string(json_object_get(h, "lacking_since")))
        fprintf(out, ", since %s", text(h, "lacking_since"));
}

static void print_pulled(FILE *out, const json_t *h, const json_t *before)
{
    uint64_t bytes = integer(h, "pulled_bytes") - integer(before, "pulled_bytes");
    fprintf(out, "%" PRIu64 " batches, %s, pulled",
            integer(h, "pulled_batches") - integer(before, "pulled_batches"), sc_units_shown(bytes).text);
}

static void show_progress(const json_t *h, const json_t *before)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K");
    print_pulled(stderr, h, before);
    fprintf(stderr, "; ");
    print_lacking(stderr, h);
    if (json_is_string(json_object_get(h, "from")))
        fprintf(stderr, "; asking %s", text(h, "from"));
}

/* Until there is nothing more to be done for now. NULL: the collector has ended. */
static json_t *wait_for_end(const char *store, const json_t *before)
{
    const struct timespec pause = {0, LOOK_NS};
    json_t *h = ask(store, "healing");
    while (h != NULL && json_is_true(json_object_get(h, "hurried"))) {
        show_progress(h, before);
        json_decref(h);
        nanosleep(&pause, NULL);
        h = ask(store, "healing");
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    return h;
}

/* @return the exit status. */
static int print_end(const json_t *h, const json_t *before)
{
    bool whole = integer(h, "lacking_batches") + integer(h, "lacking_windows") == 0 &&
                 json_is_null(json_object_get(h, "lacking_since")) &&
                 json_is_null(json_object_get(h, "problem"));
    print_pulled(stdout, h, before);
    printf("; ");
    if (whole)
        printf("everything that ought to be here is\n");
    else
        print_lacking(stdout, h);
    if (!whole)
        printf("%s%s\n", json_is_string(json_object_get(h, "problem")) ? ": " : "", text(h, "problem"));
    return whole ? EXIT_SUCCESS : SC_ADMIN_EXIT_DAMAGED;
}

static int show(const char *store)
{
    json_t *h = ask(store, "healing");
    if (h == NULL)
        return SC_ADMIN_EXIT_UNREADABLE;
    print_lacking(stdout, h);
    if (json_is_string(json_object_get(h, "whole_at")))
        printf("; nothing lacked at %s", text(h, "whole_at"));
    printf("%s%s\n", json_is_string(json_object_get(h, "problem")) ? "; " : "", text(h, "problem"));
    bool lacks = integer(h, "lacking_batches") + integer(h, "lacking_windows") != 0;
    json_decref(h);
    return lacks ? SC_ADMIN_EXIT_DAMAGED : EXIT_SUCCESS;
}

int sc_admin_heal(const struct sc_config *config, bool dry_run)
{
    if (dry_run)
        return show(config->store);
    json_t *before = ask(config->store, "heal");
    json_t *h = before == NULL ? NULL : wait_for_end(config->store, before);
    int code = h == NULL ? SC_ADMIN_EXIT_UNREADABLE : print_end(h, before);
    json_decref(before);
    json_decref(h);
    return code;
}
