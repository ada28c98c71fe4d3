// SPDX-License-Identifier: BSD-3-Clause
/*
 * The control socket STORE/control.sock: a client connects, sends one line, gets one JSON object and the end
 * of the stream. "status" gets all that there is to tell, with the first 100 exporters, "status N" the same with the first N; "ping"
 * gets {"alive": true}, from the main loop and at once, "accepts" whether flows are taken (daemon/accepts.h), "healing" what lacks
 * here and is pulled, "heal" the same, and hurries it (daemon/healing_json.h); other lines get
 * {"error": "..."}.
 *
 * Whoever connects is heard, and a ping is answered, whatever others do: of more than 32 clients the oldest goes, a request is
 * to be there within 10 s, and an answer to be read within 10 more. Making the status takes a tenth of the loop's time at most: one
 * that took long is given to others, too, for nine times as long, whatever number of exporters they ask for. It is made with all rows
 * of exporters, and cut for each client.
 */
#ifndef SC_DAEMON_CONTROL_H
#define SC_DAEMON_CONTROL_H

#include "base/buf.h"
#include "base/status.h"

#include <event2/event.h>

struct sc_control;

#define SC_CONTROL_TOP  100u  /* exporters in a status that names no number */
#define SC_CONTROL_ROWS 1024u /* in one that names a great number */

/*
 * The status, one JSON object in which the rows of exporters, the first one first, follow each other. With n of them it is what stands
 * before cuts[n], and what stands from cuts[rows] on.
 */
struct sc_control_status {
    struct sc_buf text;
    uint32_t rows;
    size_t cuts[SC_CONTROL_ROWS + 1];
};

/* Makes an answer; *out is empty. */
typedef enum sc_status sc_control_answer_fn(void *arg, struct sc_control_status *out);

struct sc_control_answers {
    sc_control_answer_fn *status;
    /* Without rows. Made for each who asks: they cost next to nothing. */
    sc_control_answer_fn *accepts, *healing, *heal;
    void *arg;
};

/*
 * Serves on `base` (the caller's loop, from its thread). A socket left behind by a dead process is replaced;
 * the caller holds the store's lock, so there is no living one. @return NULL with *err.
 */
struct sc_control *sc_control_open(struct event_base *base, const char *store,
                                   const struct sc_control_answers *answers, struct sc_error *err);
/* Closes and removes the socket, if it is this one's. NULL is allowed. */
void sc_control_close(struct sc_control *control);

/* For a thread that may wait for the disk, one at a time: */
/* False: the socket was deleted, or another one lies in its place. */
bool sc_control_is_there(struct sc_control *control);
/* Makes another, and removes what lies there: the caller holds the store's lock. @return SC_OK, SC_IO. */
enum sc_status sc_control_renew(struct sc_control *control, struct sc_error *err);
/* And in the loop's: clients are taken from the socket that was made last. */
void sc_control_take_over(struct sc_control *control);

/* The client's side: appends the answer to `request` to *out. SC_NOTFOUND: no collector answers there. */
enum sc_status sc_control_ask(const char *store, const char *request, struct sc_buf *out,
                              struct sc_error *err);
/* Waits at most so long (more than 0) for each step: connection, request, answer. */
enum sc_status sc_control_ask_within(const char *store, const char *request, uint32_t patience_ms,
                                     struct sc_buf *out, struct sc_error *err);

#endif
