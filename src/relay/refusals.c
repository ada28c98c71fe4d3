// SPDX-License-Identifier: BSD-3-Clause
#include "relay/refusals.h"

#define PAUSE_MS 60000u

static const struct {
    const char *name, *sentence;
} reasons[SC_REFUSAL_COUNT] = {
    [SC_REFUSAL_NONE] = {"none", "nothing"},
    [SC_REFUSAL_ADDRESS] = {"no_member_address", "connections from an address that is no member's"},
    [SC_REFUSAL_NAME] = {"no_member_name", "greetings under a name that is no member's at that address"},
    [SC_REFUSAL_TLS] = {"tls", "connections that do not show a certificate of this cluster by TLS 1.3"},
    [SC_REFUSAL_CERTIFICATE] = {"certificate", "greetings under another name than that of the certificate"},
    [SC_REFUSAL_SILENT] = {"no_greeting", "connections that did not greet in time"},
    [SC_REFUSAL_CROWD] = {"crowd", "connections that had not greeted, closed for newer ones"},
    [SC_REFUSAL_DISPLACED] = {"displaced", "older connections of a member that has connected again"},
    [SC_REFUSAL_MALFORMED] = {"malformed", "connections closed because what came made no sense"},
    [SC_REFUSAL_SLOW] = {"slow", "connections on which something begun did not go on"},
    [SC_REFUSAL_MEMORY] = {"memory", "connections that held most of too much unfinished"},
    [SC_REFUSAL_BATCH] = {"batch", "batches that are damaged"},
    [SC_REFUSAL_LANE] = {"lane", "batches and tallies of lanes that are no member's"},
    [SC_REFUSAL_STREAM] = {"stream", "batches, tallies and news of streams that are another member's"},
    [SC_REFUSAL_WINDOW] = {"window",
                           "batches and tallies of windows that cannot be, or more than a day ahead"},
    [SC_REFUSAL_EXPIRED] = {"expired", "tallies of windows that retention has deleted"},
    [SC_REFUSAL_TALLIES] = {"tallies", "tallies and news beyond a member's share"},
    [SC_REFUSAL_ACK] = {"acknowledgement", "acknowledgements of batches that were never sent"},
    [SC_REFUSAL_STATE] = {"state", "states of templates of proxies that are no members"},
};

void sc_refusals_init(struct sc_refusals *r)
{
    *r = (struct sc_refusals){0};
    pthread_mutex_init(&r->mutex, NULL);
}

void sc_refusals_free(struct sc_refusals *r)
{
    pthread_mutex_destroy(&r->mutex);
}

static void tell(struct sc_refusal_case *c, const char *sentence, const struct sc_log *log, uint64_t now_ms)
{
    if (c->count == c->told || now_ms < c->next_ms)
        return;
    sc_log(log, SC_LOG_WARNING, "the link refused %s: %llu, the last of %s", sentence,
           (unsigned long long)(c->count - c->told), c->peer);
    c->told = c->count;
    c->next_ms = now_ms + PAUSE_MS;
}

void sc_refusals_note(struct sc_refusals *r, const struct sc_log *log, enum sc_refusal why, const char *peer,
                      uint64_t now_ms)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->mutex);
    struct sc_refusal_case *c = &r->cases[why];
    c->count++;
    snprintf(c->peer, sizeof(c->peer), "%.159s", peer);
    tell(c, reasons[why].sentence, log, now_ms);
    pthread_mutex_unlock(&r->mutex);
}

void sc_refusals_tell(struct sc_refusals *r, const struct sc_log *log, uint64_t now_ms)
{
    pthread_mutex_lock(&r->mutex);
    for (int why = 0; why < SC_REFUSAL_COUNT; why++)
        tell(&r->cases[why], reasons[why].sentence, log, now_ms);
    pthread_mutex_unlock(&r->mutex);
}

void sc_refusals_get(struct sc_refusals *r, uint64_t counts[SC_REFUSAL_COUNT])
{
    pthread_mutex_lock(&r->mutex);
    for (int why = 0; why < SC_REFUSAL_COUNT; why++)
        counts[why] = r->cases[why].count;
    pthread_mutex_unlock(&r->mutex);
}

const char *sc_refusal_name(enum sc_refusal why)
{
    return reasons[why].name;
}
