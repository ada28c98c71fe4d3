// SPDX-License-Identifier: BSD-3-Clause
/* What a new configuration changes of the one that is in use, as far as the log is told. */
#ifndef SC_DAEMON_CHANGES_H
#define SC_DAEMON_CHANGES_H

#include "base/log.h"
#include "conf/config.h"

bool sc_changes_is_among(const struct sc_url *url, const struct sc_url *list, uint32_t count);
/* Whether the link of such a node is over TLS. */
bool sc_changes_uses_tls(const struct sc_config *config);
/* What is changed in the file and is not applied before the next start. `tls`: the link is over it now. */
void sc_changes_tell_fixed(const struct sc_config *now, const struct sc_config *fresh, bool tls,
                           const struct sc_log *log);
/* What is changed in vain: flows of exporters do not come here. */
void sc_changes_tell_unused(const struct sc_config *now, const struct sc_config *fresh,
                            const struct sc_log *log);

#endif
