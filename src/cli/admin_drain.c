// SPDX-License-Identifier: BSD-3-Clause
/* Members leave in order: this makes the changes of the membership file, when they may be made. */
#include "cli/admin.h"

#include "base/text.h"
#include "cli/options.h"
#include "cluster/leaving.h"
#include "conf/cluster_edit.h"
#include "conf/yaml_load.h"
#include "store/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 1, EXIT_NOT_YET = 3 };

static int fail(int code, const char *message)
{
    sc_say(stderr, "sc-admin:", message);
    return code;
}

/* The membership file as it was read. */
struct old_file {
    char *path; /* not of a link to it */
    uint8_t *bytes;
    size_t length;
    struct stat st;
};

static void free_file(struct old_file *f)
{
    free(f->path);
    free(f->bytes);
}

static enum sc_status read_file(const char *path, struct old_file *f, struct sc_error *err)
{
    *f = (struct old_file){.path = realpath(path, NULL)};
    if (f->path == NULL || stat(f->path, &f->st) != 0)
        return sc_fail_errno(err, errno, "cannot open the membership file %s", path);
    return sc_yaml_read_file(path, "membership file", &f->bytes, &f->length, err);
}

struct new_file {
    const struct old_file *old;
    struct sc_buf text;
};

/* Whoever could read it can, from its first moment on. */
static int fill(void *arg, struct sc_io *io, int handle)
{
    const struct new_file *n = arg;
    const struct stat *st = &n->old->st;
    if (fchown(handle, st->st_uid, st->st_gid) != 0 || fchmod(handle, st->st_mode & 07777) != 0)
        return -errno;
    return sc_io_write_all(io, handle, n->text.data, n->text.len);
}

/* Who changed it meanwhile meant something else. */
static enum sc_status check_unchanged(const struct old_file *old, struct sc_error *err)
{
    struct old_file now;
    enum sc_status status = read_file(old->path, &now, err);
    if (status == SC_OK && (now.length != old->length || memcmp(now.bytes, old->bytes, now.length) != 0))
        status = sc_fail(err, SC_IO, "%s was changed meanwhile, and is left as it is; try again", old->path);
    free_file(&now);
    return status;
}

static enum sc_status change_file(const char *path, const struct old_file *old,
                                  const struct sc_admin_drain *what, struct sc_error *err)
{
    struct new_file n = {.old = old};
    enum sc_status status =
        sc_cluster_set_state(path, old->bytes, old->length, what->member, what->state, &n.text, err);
    if (status == SC_OK)
        status = check_unchanged(old, err);
    if (status == SC_OK)
        status = sc_io_replace_by(NULL, old->path, fill, &n, err);
    sc_buf_free(&n.text);
    return status;
}

/* ---- whether it may go ---- */

/* By what all members say now. SC_LIMIT: it may not yet. */
static enum sc_status check_may_go(const struct sc_admin_drain *what, const struct sc_admin_cluster *request,
                                   const struct sc_config *config, const struct sc_cluster *cluster,
                                   uint32_t member, struct sc_error *err)
{
    struct sc_survey survey = {0};
    enum sc_status status = sc_admin_survey(request, config, cluster, &survey, err);
    if (status == SC_OK) {
        struct sc_leaving leaving = sc_leaving_judge(&survey, &survey.nodes[member]);
        if (!leaving.may_go)
            status = sc_fail(
                err, SC_LIMIT,
                "%s may not go yet: %s; --force does it all the same, for a machine that will not come back",
                what->member, leaving.leaves ? leaving.words : "it has not drained");
    }
    sc_survey_free(&survey);
    return status;
}

static enum sc_status check(const char *path, const struct old_file *file, const struct sc_admin_drain *what,
                            const struct sc_admin_cluster *request, const struct sc_config *config,
                            struct sc_error *err)
{
    struct sc_cluster cluster;
    if (what->force)
        return SC_OK;
    SC_TRY(sc_cluster_parse(path, file->bytes, file->length, &cluster, err));
    uint32_t member = sc_cluster_find(&cluster, what->member);
    bool gone = member != SC_NO_MEMBER && cluster.members[member].state == SC_MEMBER_GONE;
    enum sc_status status = SC_OK;
    if (gone && what->state != SC_MEMBER_GONE)
        status = sc_fail(err, SC_USAGE, "%s is gone; --force takes it back", what->member);
    else if (what->state == SC_MEMBER_GONE && member != SC_NO_MEMBER && !gone)
        status = check_may_go(what, request, config, &cluster, member, err);
    sc_cluster_free(&cluster);
    return status;
}

/* ---- all of it ---- */

static void say_next(const char *path, const struct sc_admin_drain *what)
{
    static const char *const then[] = {
        [SC_MEMBER_ACTIVE] = "Then it gets new batches again, and pulls what it lacks.",
        [SC_MEMBER_DRAINING] =
            "Then it gets no new batches, and the others pull what it has.\n"
            "sc-admin status --cluster says when it may go; sc-admin drain --gone lets it.",
        [SC_MEMBER_GONE] = "Then its collector is to be stopped (SIGTERM).\n"
                           "sc-admin status --cluster says when its line may go, too."};
    printf("%s: %s is %s, with the next version.\n"
           "Copy the file to all members, and let their collectors read it (kill -HUP).\n%s\n",
           path, what->member, sc_member_state_name(what->state), then[what->state]);
}

int sc_admin_drain(const struct sc_admin_drain *what, const struct sc_admin_cluster *request,
                   const struct sc_config *config)
{
    const char *path;
    struct old_file file;
    struct sc_error err = {0};
    if (sc_admin_membership(request, config, &path, &err) != SC_OK)
        return fail(SC_EXIT_USAGE, err.message);
    enum sc_status status = read_file(path, &file, &err);
    if (status == SC_OK)
        status = check(path, &file, what, request, config, &err);
    if (status == SC_OK)
        status = change_file(path, &file, what, &err);
    free_file(&file);
    if (status != SC_OK)
        return fail(status == SC_LIMIT                            ? EXIT_NOT_YET
                    : status == SC_USAGE || status == SC_NOTFOUND ? SC_EXIT_USAGE
                                                                  : EXIT_NOT_DONE,
                    err.message);
    say_next(path, what);
    return EXIT_SUCCESS;
}
