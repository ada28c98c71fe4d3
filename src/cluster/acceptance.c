// SPDX-License-Identifier: BSD-3-Clause
#include "cluster/acceptance.h"

#include "base/clock.h"
#include "cluster/expectation.h"

#include <inttypes.h>

enum sc_status sc_acceptance_ask(struct sc_survey *v, struct sc_error *err)
{
    return sc_survey_request(v, json_pack("{s:s}", "do", "tell"), true, err);
}

/* ---- the judgement ---- */

static void pass_over(void *arg, const char *sentence)
{
    (void)arg;
    (void)sentence;
}

/* Of the lanes that seem to lack something the batches with their records. */
static enum sc_status judge(struct sc_survey *v, struct sc_expectation *x, struct sc_error *err)
{
    SC_TRY(sc_survey_request(
        v, json_pack("{s:s, s:o}", "do", "tell", "lanes", sc_holdings_to_json(&x->lanes)), true, err));
    if (sc_expectation_find(x, v) != SC_OK)
        return sc_fail_nomem(err, "what is there");
    sc_expectation_judge(x, UINT64_MAX, pass_over, NULL);
    return SC_OK;
}

enum sc_status sc_acceptance_judge(struct sc_survey *v, const struct sc_loss_sink *sink, struct sc_error *err)
{
    struct sc_expectation x;
    enum sc_status status = sc_expectation_begin(&x, v, sc_clock_wall_ms(), sink);
    if (status == SC_OK)
        status = judge(v, &x, err);
    else
        sc_fail_nomem(err, "what ought to be there");
    sc_expectation_free(&x);
    return status;
}

/* ---- the word of the operator ---- */

enum sc_status sc_acceptance_record(struct sc_survey *v, const struct sc_losses *losses, struct sc_error *err)
{
    const struct sc_holdings told = {.losses = *losses}; /* lent */
    return sc_survey_request(v, json_pack("{s:s, s:o}", "do", "record", "losses", sc_holdings_to_json(&told)),
                             false, err);
}

enum sc_status sc_acceptance_undo(struct sc_survey *v, const uint64_t *stream, bool dry_run,
                                  struct sc_error *err)
{
    json_t *request = json_pack("{s:s, s:b}", "do", "undo", "dry_run", (int)dry_run);
    if (stream != NULL)
        json_object_set_new(request, "stream", json_sprintf("%016" PRIx64, *stream));
    return sc_survey_request(v, request, true, err);
}
