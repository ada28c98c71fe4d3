// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the members of a cluster are, as this node hears of them: clock, membership file, length of windows, version, horizon, space.
 * Each node tells its own facts once a second on every connection of the link, and those of others that it has heard, so that two
 * subcollectors know each other through any proxy. What differs is a problem by name, never a refusal.
 *
 * A fact grows older on its way: its age is added up by those who pass it on, whatever their clocks say. What is older than
 * SC_FACTS_FRESH_MS, and as much more as it takes until all that are known have had their turn, says nothing any more. Any thread. Time comes in as a parameter.
 */
#ifndef SC_RELAY_FACTS_H
#define SC_RELAY_FACTS_H

#include "base/reference.h"
#include "conf/cluster.h"
#include "relay/link.h"

#define SC_FACTS_FRESH_MS  10000u
#define SC_FACTS_EVERY_MS  1000u
#define SC_FACTS_AT_ONCE   64u /* of others, in one go; those that are left have their turn a second later */
#define SC_FACTS_MOST      (2 * SC_FACTS_AT_ONCE + 2)
#define SC_FACTS_WORDS_MAX 256u

struct sc_facts;

struct sc_facts_time {
    uint64_t mono_ms, wall_ms;
};

struct sc_facts_time sc_facts_now(void);

/* NULL without memory. */
struct sc_facts *sc_facts_create(void);
void sc_facts_free(struct sc_facts *facts); /* NULL is allowed */

/* The own ones, told anew; `name` tells who this is. */
void sc_facts_tell(struct sc_facts *facts, const struct sc_link_facts *own, struct sc_facts_time now);
/* Some that came. The caller has seen that the name is a member's. */
void sc_facts_hear(struct sc_facts *facts, const struct sc_link_facts *heard, struct sc_facts_time now);

/* What is to be sent now: the own facts, and some of others that are fresh; by turns, when they are many: `turn` counts up with each
 * go. @return how many, out[SC_FACTS_MOST]. */
uint32_t sc_facts_to_send(struct sc_facts *facts, uint32_t turn, struct sc_facts_time now,
                          struct sc_link_facts *out);

/* The time by the others: the median of what the clocks of those say that are fresh, when these are two at least. Of an even number any
 * time between the two in the middle is a median: that which is nearest to the own clock, so that of two others one that is wrong moves
 * nobody who is right. Known as soon as two were heard of, without a lock, in any thread; lives as long as the facts. */
const struct sc_reference *sc_facts_reference(const struct sc_facts *facts);
/* A few times a second: brings it up to date, or forgets it. */
void sc_facts_follow(struct sc_facts *facts, struct sc_facts_time now);

/* What is known of a member, when it is fresh. *ahead_ms: of its clock before this node's. False: nothing is. */
bool sc_facts_get(struct sc_facts *facts, const char *name, struct sc_facts_time now,
                  struct sc_link_facts *out, int64_t *ahead_ms);

/* A sentence for each thing that differs between a fresh member and this node, or that two nodes with one name differ in. */
typedef void sc_facts_say(void *arg, const char *sentence);
void sc_facts_compare(struct sc_facts *facts, const struct sc_cluster *members, struct sc_facts_time now,
                      sc_facts_say *say, void *arg);

#endif
