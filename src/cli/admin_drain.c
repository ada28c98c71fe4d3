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

/* A link stays one, and the file remains readable for whom it was. */
static enum sc_status replace_file(const char *path, const struct sc_buf *text, struct sc_error *err)
{
    struct stat st;
    char *at = realpath(path, NULL);
    if (at == NULL || stat(at, &st) != 0) {
        free(at);
        return sc_fail_errno(err, errno, "cannot find %s", path);
    }
    enum sc_status status = sc_io_replace(NULL, at, text->data, text->len, err);
    if (status == SC_OK && (chown(at, st.st_uid, st.st_gid) != 0 || chmod(at, st.st_mode & 07777) != 0))
        status = sc_fail_errno(err, errno, "%s is changed, but cannot be made as readable as before", path);
    free(at);
    return status;
}

static enum sc_status change_file(const char *path, const struct sc_admin_drain *what, struct sc_error *err)
{
    uint8_t *bytes;
    size_t length;
    struct sc_buf text = {0};
    SC_TRY(sc_yaml_read_file(path, "membership file", &bytes, &length, err));
    enum sc_status status = sc_cluster_set_state(path, bytes, length, what->member, what->state, &text, err);
    if (status == SC_OK)
        status = replace_file(path, &text, err);
    sc_buf_free(&text);
    free(bytes);
    return status;
}

/* ---- whether it may go ---- */

/* By what all members say now. SC_LIMIT: it may not yet. */
static enum sc_status check_may_go(const struct sc_admin_drain *what, const struct sc_admin_cluster *request,
                                   const struct sc_config *config, const struct sc_cluster *cluster,
                                   struct sc_error *err)
{
    struct sc_survey survey = {0};
    uint32_t member = sc_cluster_find(cluster, what->member);
    if (member == SC_NO_MEMBER || cluster->members[member].state == SC_MEMBER_GONE)
        return SC_OK; /* which is said with the change */
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

static enum sc_status check(const char *path, const struct sc_admin_drain *what,
                            const struct sc_admin_cluster *request, const struct sc_config *config,
                            struct sc_error *err)
{
    struct sc_cluster cluster;
    if (what->state != SC_MEMBER_GONE || what->force)
        return SC_OK;
    SC_TRY(sc_cluster_load(path, &cluster, err));
    enum sc_status status = check_may_go(what, request, config, &cluster, err);
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
    const char *path = request->file != NULL ? request->file : config->cluster;
    struct sc_error err = {0};
    if (path == NULL)
        return fail(SC_EXIT_USAGE,
                    "of which cluster? The configuration names no membership file; give --cluster=FILE");
    enum sc_status status = check(path, what, request, config, &err);
    if (status == SC_OK)
        status = change_file(path, what, &err);
    if (status != SC_OK)
        return fail(status == SC_LIMIT                            ? EXIT_NOT_YET
                    : status == SC_USAGE || status == SC_NOTFOUND ? SC_EXIT_USAGE
                                                                  : EXIT_NOT_DONE,
                    err.message);
    say_next(path, what);
    return EXIT_SUCCESS;
}
