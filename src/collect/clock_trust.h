// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether the own wall clock may say what is old. It may as long as it agrees with the time by others (base/reference.h); while that
 * is not known, as long as it did not step against the monotonic clock since it was believed last. Where there are others to be asked
 * nothing is believed before they were.
 *
 * A clock that stepped is believed again when it is set back, when others agree with it, or by the next process, which takes it as it
 * is: whether it is wrong now or was before, no time that passes can tell, and a reload may be meant for something else.
 *
 * One thread; time comes in as a parameter.
 */
#ifndef SC_COLLECT_CLOCK_TRUST_H
#define SC_COLLECT_CLOCK_TRUST_H

#include "base/reference.h"

#include <stddef.h>

#define SC_CLOCK_WORDS_MAX 256u
#define SC_CLOCK_ASK_MS    10000u /* others that are not heard of at the start are worth no word before */

enum sc_clock_state {
    SC_CLOCK_BELIEVED,
    SC_CLOCK_UNCONFIRMED, /* others were not heard of yet */
    SC_CLOCK_APART,       /* it is not what others say */
    SC_CLOCK_STEPPED,
};

struct sc_clock_trust {
    const struct sc_reference *reference; /* NULL: nobody is to be asked */
    uint64_t tolerance_ms;
    bool others;       /* two others are members */
    bool known;        /* it was believed once: */
    int64_t offset_ms; /* wall clock less monotonic clock, then */
    enum sc_clock_state state;
    uint64_t time_ms;  /* by others, else by the own clock, when it was looked at last */
    int64_t ahead_ms;  /* of what it should be; unless it is believed */
    uint64_t since_ms; /* monotonic: it is not believed since then */
};

void sc_clock_trust_init(struct sc_clock_trust *trust, uint32_t window_s,
                         const struct sc_reference *reference, bool others);
enum sc_clock_state sc_clock_trust_look(struct sc_clock_trust *trust, uint64_t mono_ms, uint64_t wall_ms);
/* How long it has not been believed; 0: it is. */
uint64_t sc_clock_trust_doubt_ms(const struct sc_clock_trust *trust, uint64_t mono_ms);
/* Why nothing expires by age; empty: there is nothing to say. */
void sc_clock_trust_say(const struct sc_clock_trust *trust, uint64_t mono_ms, char out[SC_CLOCK_WORDS_MAX]);

#endif
