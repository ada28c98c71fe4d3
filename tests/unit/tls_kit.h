// SPDX-License-Identifier: BSD-3-Clause
/* An authority in a folder, identities of it, and two ends of a socket that speak TLS. */
#ifndef TESTS_UNIT_TLS_KIT_H
#define TESTS_UNIT_TLS_KIT_H

#include "net/authority.h"
#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline void tls_kit_write(const char *folder, const char *name, const char *kind,
                                 const struct sc_buf *bytes)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s.%s", folder, name, kind);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    if (bytes->len != 0)
        assert_int_equal(fwrite(bytes->data, 1, bytes->len, file), bytes->len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* In a fresh folder, "authority.pem" alone of it. */
static inline struct sc_authority *tls_kit_authority(char folder[64])
{
    struct sc_authority *authority;
    struct sc_certified bytes = {0};
    struct sc_error err;
    snprintf(folder, 64, "/tmp/sc-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(sc_authority_create(10, &authority, &err), SC_OK);
    assert_int_equal(sc_authority_write(authority, &bytes, &err), SC_OK);
    tls_kit_write(folder, SC_TLS_AUTHORITY, "pem", &bytes.certificate);
    sc_certified_free(&bytes);
    return authority;
}

/* Files of `file` that certify `name`. */
static inline void tls_kit_issue(const struct sc_authority *authority, const char *folder, const char *file,
                                 const char *name, uint32_t days)
{
    struct sc_certified bytes = {0};
    struct sc_error err;
    assert_int_equal(sc_authority_issue(authority, name, days, &bytes, &err), SC_OK);
    tls_kit_write(folder, file, "pem", &bytes.certificate);
    tls_kit_write(folder, file, "key", &bytes.key);
    sc_certified_free(&bytes);
}

static inline struct sc_tls *tls_kit_load(const char *folder, const char *name)
{
    struct sc_tls *tls;
    struct sc_error err;
    if (sc_tls_load(folder, name, &tls, &err) != SC_OK)
        fail_msg("%s", err.message);
    return tls;
}

static inline void tls_kit_remove(const char *folder)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a folder of this test's own */
}

#endif
