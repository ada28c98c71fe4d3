// SPDX-License-Identifier: BSD-3-Clause
/* Changes of a membership file by a program: all that is not changed, comments too, stays as it was written. */
#ifndef SC_CONF_CLUSTER_EDIT_H
#define SC_CONF_CLUSTER_EDIT_H

#include "base/buf.h"
#include "conf/cluster.h"

/*
 * The text of the file with another state of a member, and its version counted up. *out is zero-initialised; the caller's to free in any
 * case. `name` of the file is for messages. @return SC_OK: the text is a membership file that says just that, and else the same; SC_USAGE: the
 * file has an error, no such member, or one in that state already, or would have an error then (too few would be left for the copies);
 * SC_UNSUPPORTED: it is written in a way in which it can't be changed here; SC_NOMEM.
 */
enum sc_status sc_cluster_set_state(const char *name, const uint8_t *bytes, size_t length, const char *member,
                                    enum sc_member_state state, struct sc_buf *out, struct sc_error *err);

#endif
