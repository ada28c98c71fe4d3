// SPDX-License-Identifier: BSD-3-Clause
#include "cli/admin.h"

#include "cli/options.h"
#include "conf/cluster.h"
#include "net/authority.h"
#include "net/tls.h"
#include "store/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUTHORITY_DAYS 3650
#define MEMBER_DAYS    730
#define EARLY_DAYS     90 /* made anew that long before its end */
#define PUBLIC_MODE    (S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)
#define FILE_MOST      ((size_t)64 << 10)

struct names {
    char certificate[4096], key[4096];
};

static void name_files(const char *folder, const char *name, struct names *out)
{
    snprintf(out->certificate, sizeof(out->certificate), "%s/%s.pem", folder, name);
    snprintf(out->key, sizeof(out->key), "%s/%s.key", folder, name);
}

static enum sc_status read_file(const char *path, struct sc_buf *out, struct sc_error *err)
{
    size_t got;
    if (sc_buf_reserve(out, FILE_MOST) == NULL)
        return sc_fail_nomem(err, path);
    SC_TRY(sc_io_read_file(path, out->data, FILE_MOST, &got, err));
    out->len = got;
    return SC_OK;
}

static enum sc_status read_both(const struct names *names, struct sc_certified *out, struct sc_error *err)
{
    SC_TRY(read_file(names->certificate, &out->certificate, err));
    return read_file(names->key, &out->key, err);
}

/* A key is its owner's from its first byte on. */
static enum sc_status write_both(const struct names *names, const struct sc_certified *made,
                                 struct sc_error *err)
{
    mode_t before = umask(S_IRWXG | S_IRWXO);
    enum sc_status status = sc_io_replace(NULL, names->key, made->key.data, made->key.len, err);
    umask(before);
    if (status == SC_OK)
        status = sc_io_replace(NULL, names->certificate, made->certificate.data, made->certificate.len, err);
    if (status == SC_OK && chmod(names->certificate, PUBLIC_MODE) != 0)
        status = sc_fail_errno(err, errno, "cannot make %s readable", names->certificate);
    return status;
}

/* ---- the authority ---- */

static enum sc_status found(const char *folder, const struct names *names, struct sc_authority **out,
                            struct sc_error *err)
{
    struct sc_certified made = {0};
    SC_TRY(sc_authority_create(AUTHORITY_DAYS, out, err));
    enum sc_status status = sc_authority_write(*out, &made, err);
    if (status == SC_OK)
        status = write_both(names, &made, err);
    sc_certified_free(&made);
    if (status == SC_OK)
        printf("made      %s/" SC_TLS_AUTHORITY ".pem and .key, valid for %d days\n", folder, AUTHORITY_DAYS);
    return status;
}

/* A second authority would part the members from each other. */
static enum sc_status open_authority(const char *folder, struct sc_authority **out, struct sc_error *err)
{
    struct names names;
    struct sc_certified bytes = {0};
    struct sc_error why;
    name_files(folder, SC_TLS_AUTHORITY, &names);
    bool has_certificate = access(names.certificate, F_OK) == 0, has_key = access(names.key, F_OK) == 0;
    if (!has_certificate && !has_key)
        return found(folder, &names, out, err);
    enum sc_status status = read_both(&names, &bytes, &why);
    if (status == SC_OK)
        status = sc_authority_read(&bytes, out, &why);
    sc_certified_free(&bytes);
    if (status != SC_OK)
        return sc_fail(
            err, status,
            "%s/" SC_TLS_AUTHORITY
            ": %s; certificates are made where both files of it are (a key that is alone may be deleted)",
            folder, why.message);
    if (sc_authority_days_left(*out) >= EARLY_DAYS)
        return SC_OK;
    uint32_t left = sc_authority_days_left(*out);
    sc_authority_free(*out);
    *out = NULL;
    return sc_fail(err, SC_USAGE,
                   "the authority in %s is over in %u days: make another one in an empty folder", folder,
                   left);
}

/* ---- members ---- */

static bool is_good(const struct sc_authority *authority, const struct names *names, const char *name)
{
    struct sc_certified bytes = {0};
    bool good =
        read_both(names, &bytes, NULL) == SC_OK && sc_authority_knows(authority, &bytes, name, EARLY_DAYS);
    sc_certified_free(&bytes);
    return good;
}

static enum sc_status certify(const struct sc_authority *authority, const char *folder, const char *name,
                              bool renew, struct sc_error *err)
{
    struct names names;
    struct sc_certified made = {0};
    name_files(folder, name, &names);
    if (!renew && is_good(authority, &names, name)) {
        printf("kept      %s/%s.pem and .key\n", folder, name);
        return SC_OK;
    }
    uint32_t most = sc_authority_days_left(authority), days = most < MEMBER_DAYS ? most : MEMBER_DAYS;
    enum sc_status status = sc_authority_issue(authority, name, days, &made, err);
    if (status == SC_OK)
        status = write_both(&names, &made, err);
    sc_certified_free(&made);
    if (status == SC_OK)
        printf("made      %s/%s.pem and .key, valid for %u days\n", folder, name, days);
    return status;
}

static enum sc_status make_all(const struct sc_admin_certs *what, const struct sc_cluster *members,
                               struct sc_error *err)
{
    struct sc_authority *authority = NULL;
    if (sc_cluster_find(members, SC_TLS_AUTHORITY) != SC_NO_MEMBER)
        return sc_fail(err, SC_USAGE,
                       "a member cannot be called " SC_TLS_AUTHORITY ": its files would be the authority's");
    if (mkdir(what->folder, S_IRWXU) != 0 && errno != EEXIST)
        return sc_fail_errno(err, errno, "cannot create %s", what->folder);
    enum sc_status status = open_authority(what->folder, &authority, err);
    for (uint32_t i = 0; i < members->count && status == SC_OK; i++)
        status = certify(authority, what->folder, members->members[i].name, what->renew, err);
    sc_authority_free(authority);
    return status;
}

static int fail(const struct sc_error *err, int code)
{
    fprintf(stderr, "sc-admin: %s\n", err->message);
    return code;
}

int sc_admin_make_certs(const struct sc_admin_certs *what)
{
    struct sc_cluster members;
    struct sc_error err;
    if (sc_cluster_load(what->cluster, &members, &err) != SC_OK)
        return fail(&err, SC_EXIT_USAGE);
    enum sc_status status = make_all(what, &members, &err);
    sc_cluster_free(&members);
    if (status != SC_OK)
        return fail(&err, status == SC_USAGE ? SC_EXIT_USAGE : EXIT_FAILURE);
    puts("Each node gets " SC_TLS_AUTHORITY
         ".pem, and the two files with its name; its configuration says `tls:` and the folder.\n"
         "The key of the authority (" SC_TLS_AUTHORITY ".key) stays here, and nobody else reads it.");
    return EXIT_SUCCESS;
}
