// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether a member of a cluster may begin, and how it talks to the others: over TLS, with what `tls` in the configuration names, or
 * plain. Plain is what `link: plain` says, or when all members are on addresses of this machine. The same for the start, for
 * SIGHUP and for --check-config.
 */
#ifndef SC_DAEMON_DOOR_H
#define SC_DAEMON_DOOR_H

#include "base/log.h"
#include "conf/cluster.h"
#include "conf/config.h"
#include "net/tls.h"

/* *out NULL: plain. @return SC_OK; SC_USAGE with what to do; what sc_tls_load says. */
enum sc_status sc_door_open(const struct sc_config *config, const struct sc_cluster *cluster, uint32_t self,
                            struct sc_tls **out, struct sc_error *err);
/* Whether these members may go on without TLS. @return SC_OK; SC_USAGE. */
enum sc_status sc_door_check_plain(const struct sc_config *config, const struct sc_cluster *cluster,
                                   struct sc_error *err);
/* What an operator ought to know of it: that the link is plain between machines, or when the certificate is over. */
void sc_door_tell(const struct sc_cluster *cluster, const struct sc_tls *tls, const struct sc_log *log);
/* Days that the certificate is valid yet; negative: over. */
int64_t sc_door_days_left(const struct sc_tls *tls);

#define SC_DOOR_WARN_DAYS 30

#endif
