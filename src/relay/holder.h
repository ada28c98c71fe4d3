// SPDX-License-Identifier: BSD-3-Clause
/*
 * A subcollector's end of the link: takes batches from proxies, acknowledges those that are durable, gives others what they lack
 * (relay/lender.h), and beats every 200 ms. Beside it runs what pulls from others (relay/healer.h). Its
 * thread touches no disk; the lane store's does.
 *
 * It is a door for members (relay/gate.h). A connection from an address that is no member's is closed before a byte is read. Any
 * other greets within SC_HOLDER_GREETING_MS, with the name of a member that has the address it comes from. Of those that have not
 * greeted there are SC_HOLDER_UNGREETED, of one address SC_HOLDER_UNGREETED_EACH, of a member's SC_HOLDER_EACH: a newer one always
 * gets in, and the oldest is closed. Over TLS it shows the certificate of the name first. Connections of a member that leaves stay until they end, so that its outbox is emptied.
 *
 * What is unfinished (a message, a batch, a state) goes on by SC_HOLDER_STEP bytes in SC_HOLDER_STEP_MS, or the connection is closed;
 * all of it together is SC_HOLDER_UNFINISHED bytes at most, or the connection that holds most is closed. Memory grows with what has
 * come, not with what was announced, beyond the first piece of a batch (512 KiB).
 */
#ifndef SC_RELAY_HOLDER_H
#define SC_RELAY_HOLDER_H

#include "net/tls.h"
#include "relay/facts.h"
#include "relay/healer.h"

#define SC_HOLDER_GREETING_MS    5000u
#define SC_HOLDER_UNGREETED      64u
#define SC_HOLDER_UNGREETED_EACH 8u
#define SC_HOLDER_EACH           2u /* of its proxy; and of what pulls there */
#define SC_HOLDER_STEP           65536u
#define SC_HOLDER_STEP_MS        30000u
#define SC_HOLDER_TAKING_MS      10000u /* that one who pulls may take nothing of what is sent */
#define SC_HOLDER_UNFINISHED     ((size_t)256 << 20)

struct sc_holder;

struct sc_holder_options {
    struct sc_lane_store_options store; /* `answered`, `arg`, `refusals` and `facts` are set by the holder */
    struct sc_url listen;               /* a numeric host */
    struct sc_tls *tls;                 /* NULL: plain */
    struct sc_facts *facts;             /* borrowed; NULL: none are told */
};

struct sc_holder_stats {
    struct sc_lane_store_stats store;
    uint32_t connections;
    uint64_t unfinished_bytes;
    uint64_t refused[SC_REFUSAL_COUNT];
};

/* @return SC_OK, or what keeps it from listening or storing. */
enum sc_status sc_holder_start(const struct sc_holder_options *options, struct sc_holder **out,
                               struct sc_error *err);
void sc_holder_get_stats(struct sc_holder *holder, struct sc_holder_stats *out);
/* Other members (copied); its own address and roles stay. @return SC_OK or SC_NOMEM. */
enum sc_status sc_holder_set_cluster(struct sc_holder *holder, const struct sc_cluster *cluster);
/* For connections that come from then on, a little later; where they are plain they stay so. Any thread. */
void sc_holder_set_tls(struct sc_holder *holder, struct sc_tls *tls);
/* Soon. Any thread. */
void sc_holder_set_retention(struct sc_holder *holder, const struct sc_retention *retention);
enum sc_status sc_holder_set_archive(struct sc_holder *holder, const struct sc_archive_command *command);
/* What pulls what lacks here; the holder's, as long as it is. */
struct sc_healer *sc_holder_healer(struct sc_holder *holder);
/* Makes durable what came, and frees. NULL is allowed. *last (may be NULL): the last figures of the store. */
void sc_holder_stop(struct sc_holder *holder, struct sc_lane_store_stats *last);

#endif
