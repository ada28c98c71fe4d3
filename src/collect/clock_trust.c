// SPDX-License-Identifier: BSD-3-Clause
#include "collect/clock_trust.h"

#include <inttypes.h>
#include <stdio.h>

void sc_clock_trust_init(struct sc_clock_trust *t, uint32_t window_s, const struct sc_reference *reference,
                         bool others)
{
    *t = (struct sc_clock_trust){
        .reference = reference, .tolerance_ms = sc_clock_tolerance_ms(window_s), .others = others};
}

static uint64_t distance(int64_t ms)
{
    return ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
}

static enum sc_clock_state judge(struct sc_clock_trust *t, uint64_t mono_ms, uint64_t wall_ms)
{
    uint64_t right_ms = mono_ms + (uint64_t)t->offset_ms;
    bool asked = sc_reference_time(t->reference, mono_ms, &right_ms);
    t->time_ms = asked ? right_ms : wall_ms;
    t->ahead_ms = 0;
    if (!asked && !t->known)
        return t->others ? SC_CLOCK_UNCONFIRMED : SC_CLOCK_BELIEVED;
    if (!asked)
        right_ms = mono_ms + (uint64_t)t->offset_ms;
    t->ahead_ms = (int64_t)(wall_ms - right_ms);
    if (distance(t->ahead_ms) <= t->tolerance_ms)
        return SC_CLOCK_BELIEVED;
    return asked ? SC_CLOCK_APART : SC_CLOCK_STEPPED;
}

enum sc_clock_state sc_clock_trust_look(struct sc_clock_trust *t, uint64_t mono_ms, uint64_t wall_ms)
{
    enum sc_clock_state before = t->state;
    t->state = judge(t, mono_ms, wall_ms);
    if (t->state == SC_CLOCK_BELIEVED) {
        t->offset_ms = (int64_t)(wall_ms - mono_ms);
        t->known = true;
    } else if (before == SC_CLOCK_BELIEVED) {
        t->since_ms = mono_ms;
    }
    return t->state;
}

uint64_t sc_clock_trust_doubt_ms(const struct sc_clock_trust *t, uint64_t mono_ms)
{
    return t->state == SC_CLOCK_BELIEVED ? 0 : mono_ms - t->since_ms;
}

void sc_clock_trust_say(const struct sc_clock_trust *t, uint64_t mono_ms, char out[SC_CLOCK_WORDS_MAX])
{
    uint64_t apart_ms = distance(t->ahead_ms), for_s = sc_clock_trust_doubt_ms(t, mono_ms) / 1000;
    out[0] = '\0';
    if (t->state == SC_CLOCK_APART)
        snprintf(out, SC_CLOCK_WORDS_MAX,
                 "nothing expires by age, for %" PRIu64 " s: this node's clock is %" PRIu64 ".%03" PRIu64
                 " s %s the median of the other members'",
                 for_s, apart_ms / 1000, apart_ms % 1000, t->ahead_ms < 0 ? "behind" : "ahead of");
    else if (t->state == SC_CLOCK_STEPPED)
        snprintf(out, SC_CLOCK_WORDS_MAX,
                 "nothing expires by age, for %" PRIu64 " s: the clock was set %" PRIu64 ".%03" PRIu64
                 " s %s; set it right, or start the collector anew if it is",
                 for_s, apart_ms / 1000, apart_ms % 1000, t->ahead_ms < 0 ? "back" : "forward");
    else if (t->state == SC_CLOCK_UNCONFIRMED && for_s * 1000 >= SC_CLOCK_ASK_MS)
        snprintf(out, SC_CLOCK_WORDS_MAX,
                 "nothing expires by age, for %" PRIu64
                 " s: the clocks of two other members were not heard of since the start",
                 for_s);
}
