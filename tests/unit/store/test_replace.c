// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever fails while a small file is replaced, and wherever the machine stops: the old or the new content is there, never less;
 * what was called durable is the new one; the next writer succeeds; nothing else is left behind by a call that failed.
 */
#include "fault_io.h"

#include "store/loss.h"
#include "store/tally.h"

#define STREAM UINT64_C(0xabc)

/* One kind of file of a store: version 1 or 2 of it is written, and told by what is read. */
struct kind {
    const char *name;
    enum sc_status (*write)(const char *store, unsigned version, struct sc_io *io, struct sc_error *err);
    unsigned (*read)(const char *store); /* 0: none of them */
    bool unsynced;                       /* told again in a second: safe but for the loss of power */
};

/* ---- any file ---- */

static const char *text_of(unsigned version)
{
    return version == 1 ? "one\n" : "the second version, which is longer\n";
}

static const char *plain_path(const char *store)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/plain", store);
    return path;
}

static enum sc_status write_plain(const char *store, unsigned version, struct sc_io *io, struct sc_error *err)
{
    return sc_io_replace(io, plain_path(store), text_of(version), strlen(text_of(version)), err);
}

static enum sc_status write_unsynced(const char *store, unsigned version, struct sc_io *io,
                                     struct sc_error *err)
{
    return sc_io_replace_unsynced(io, plain_path(store), text_of(version), strlen(text_of(version)), err);
}

static unsigned read_plain(const char *store)
{
    size_t length;
    unsigned version = 0;
    uint8_t *bytes = kit_read_file(plain_path(store), &length);
    for (unsigned i = 1; i <= 2; i++) {
        if (length == strlen(text_of(i)) && memcmp(bytes, text_of(i), length) == 0)
            version = i;
    }
    free(bytes);
    return version;
}

/* ---- the store's ---- */

static enum sc_status write_tally(const char *store, unsigned version, struct sc_io *io, struct sc_error *err)
{
    struct sc_tally_lane lanes[2] = {
        {.lane = 7, .accepted = {{version, 0}, {100, 0}}},
        {.lane = 8, .accepted = {{1, 0}, {1, 0}}},
    };
    const struct sc_tally t = {.proxy = "p1",
                               .stream = STREAM,
                               .window_ms = KIT_WINDOW,
                               .window_s = 300,
                               .lane_count = 2,
                               .lanes = lanes};
    return sc_tally_write(store, &t, io, err);
}

static unsigned read_tally(const char *store)
{
    char path[4096];
    struct sc_tally t;
    sc_tally_path(store, STREAM, KIT_WINDOW, path, sizeof(path));
    if (sc_tally_read(path, &t, NULL) != SC_OK)
        return 0;
    unsigned version = t.lane_count == 2 ? (unsigned)t.lanes[0].accepted.batches[0] : 0;
    sc_tally_free(&t);
    return version;
}

static enum sc_status write_stream(const char *store, unsigned version, struct sc_io *io,
                                   struct sc_error *err)
{
    const struct sc_stream s = {.proxy = "p1", .stream = STREAM, .heard_ms = version, .closed = version == 2};
    return sc_stream_write(store, &s, io, err);
}

static enum sc_status write_open_stream(const char *store, unsigned version, struct sc_io *io,
                                        struct sc_error *err)
{
    const struct sc_stream s = {.proxy = "p1", .stream = STREAM, .heard_ms = version};
    return sc_stream_write(store, &s, io, err);
}

static unsigned read_stream(const char *store)
{
    struct sc_stream *all;
    uint32_t count;
    assert_int_equal(sc_stream_list(store, &all, &count, NULL), SC_OK);
    unsigned version = count == 1 ? (unsigned)all[0].heard_ms : 0;
    free(all);
    return version;
}

static enum sc_status write_losses(const char *store, unsigned version, struct sc_io *io,
                                   struct sc_error *err)
{
    struct sc_losses losses = {0};
    const struct sc_stream head = {.proxy = "p1", .stream = STREAM};
    assert_int_equal(sc_losses_add_stream(&losses, &head), SC_OK);
    for (unsigned i = 0; i < version; i++) {
        const struct sc_loss loss = {.stream = STREAM, .window_ms = KIT_WINDOW, .window_s = 300, .lane = i};
        assert_int_equal(sc_losses_add(&losses, &loss), SC_OK);
    }
    enum sc_status status = sc_losses_write(store, &losses, io, err);
    sc_losses_free(&losses);
    return status;
}

static unsigned read_losses(const char *store)
{
    struct sc_losses losses = {0};
    if (sc_losses_read(store, &losses, NULL) != SC_OK)
        losses.count = 0;
    unsigned version = losses.count;
    sc_losses_free(&losses);
    return version;
}

static int fill_in_pieces(void *arg, struct sc_io *io, int handle)
{
    const char *text = arg;
    int result = 0;
    for (size_t at = 0, length = strlen(text); at < length && result == 0; at += 7)
        result = sc_io_write_all(io, handle, text + at, length - at < 7 ? length - at : 7);
    return result;
}

static enum sc_status write_pieces(const char *store, unsigned version, struct sc_io *io,
                                   struct sc_error *err)
{
    char *text = strdup(text_of(version));
    enum sc_status status = sc_io_replace_by(io, plain_path(store), fill_in_pieces, text, err);
    free(text);
    return status;
}

static const struct kind kinds[] = {
    {"any file", write_plain, read_plain, false},
    {"unsynced", write_unsynced, read_plain, true},
    {"tally", write_tally, read_tally, false},
    {"closed stream", write_stream, read_stream, false},
    {"open stream", write_open_stream, read_stream, true},
    {"losses", write_losses, read_losses, false},
    {"piece by piece", write_pieces, read_plain, false},
};

/* ---- the property ---- */

static unsigned leftovers;

static int count_leftover(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    leftovers += strstr(path + ftw->base, ".tmp") != NULL;
    return 0;
}

static unsigned count_leftovers(const char *store)
{
    leftovers = 0;
    nftw(store, count_leftover, 16, FTW_PHYS);
    return leftovers;
}

/* @return whether the fault was met. */
static bool replace_once(const struct kind *kind, enum fault fault, uint64_t at, enum loss loss)
{
    char *store = kit_folder();
    struct sc_error err = {0};
    assert_int_equal(kind->write(store, 1, NULL, NULL), SC_OK);
    struct fault_io *io = fault_create_io(fault, at);
    enum sc_status status = kind->write(store, 2, &io->io, &err);
    bool hit = io->hit, stopped = io->stopped;
    if (!hit || fault == FAULT_SHORT)
        assert_int_equal(status, SC_OK);
    if (status != SC_OK && (fault == FAULT_ENOSPC || fault == FAULT_FULL))
        assert_true(status == SC_FULL && err.errnum == ENOSPC);
    else if (status != SC_OK)
        assert_true(status == SC_IO && err.errnum == EIO);
    if (!stopped && fault != FAULT_TWICE)
        assert_int_equal(count_leftovers(store), 0);
    fault_lose(io, loss, at);
    unsigned version = kind->read(store);
    if (version == 0 || version > 2 || (version == 1 && status == SC_OK && !(kind->unsynced && loss != 0)))
        fail_msg("%s: fault %d at operation %llu, loss %d: %s, version %u", kind->name, fault,
                 (unsigned long long)at, loss, status == SC_OK ? "written" : err.message, version);
    assert_int_equal(kind->write(store, 2, NULL, &err), SC_OK);
    assert_int_equal(kind->read(store), 2);
    assert_int_equal(count_leftovers(store), 0);
    fault_free_io(io);
    kit_remove(store);
    return hit;
}

static void the_old_or_the_new(void **state)
{
    (void)state;
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (int fault = FAULT_EIO; fault < FAULT_KINDS; fault++) {
            for (int loss = LOSS_NONE; loss < (kinds[k].unsynced ? LOSS_BYTES : LOSS_KINDS); loss++) {
                uint64_t at = 0;
                while (replace_once(&kinds[k], (enum fault)fault, at, (enum loss)loss))
                    at++;
                assert_true(at >= (fault == FAULT_FULL ? 2u : 3u));
            }
        }
    }
}

/* ---- how it is said ---- */

static void errors_are_sentences(void **state)
{
    (void)state;
    char *store = kit_folder(), path[9000];
    struct sc_error err;
    snprintf(path, sizeof(path), "%s/none/file", store);
    assert_int_equal(sc_io_replace(NULL, path, "x", 1, &err), SC_NOTFOUND);
    assert_non_null(strstr(err.message, path));
    memset(path, 'x', 8999);
    path[8999] = '\0';
    assert_int_equal(sc_io_replace(NULL, path, "x", 1, &err), SC_IO);
    assert_int_equal(err.errnum, ENAMETOOLONG);
    kit_remove(store);
}

static void a_temporary_file_of_a_crash_is_overwritten(void **state)
{
    (void)state;
    char *store = kit_folder(), path[300];
    snprintf(path, sizeof(path), "%s/.plain.tmp", store);
    kit_write_file(path, "half of something that was much longer than what comes now", 58);
    assert_int_equal(write_plain(store, 1, NULL, NULL), SC_OK);
    assert_int_equal(read_plain(store), 1);
    assert_int_not_equal(access(path, F_OK), 0);
    kit_remove(store);
}

static void a_name_without_a_folder(void **state)
{
    (void)state;
    char *store = kit_folder(), here[4096];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(store), 0);
    assert_int_equal(sc_io_replace(NULL, "plain", text_of(1), strlen(text_of(1)), NULL), SC_OK);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(read_plain(store), 1);
    kit_remove(store);
}

/* ---- whose a new file is ---- */

#define SOMEBODY 65534u

static void check_owner(const char *path, unsigned owner, unsigned mode)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, owner);
    assert_int_equal(st.st_gid, owner);
    assert_int_equal(st.st_mode & 0777, mode);
}

/* What is there already is nobody's to give away: it may be a name that its owner made for another file. */
static void open_what_is_there(const char *folder, struct sc_io *io)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/there", folder);
    kit_write_file(path, (const uint8_t *)"x", 1);
    assert_int_equal(chmod(path, 0600), 0);
    int handle = io->ops->open(io, path, true);
    assert_true(handle >= 0);
    io->ops->close(io, handle);
    check_owner(path, 0, 0600);
}

/* Of root in a store of somebody else. */
static void what_root_makes_is_the_owners(void **state)
{
    (void)state;
    static const struct {
        unsigned folder, file, below;
    } cases[] = {{0750, 0640, 0750}, {0755, 0640, 0750}, {0700, 0600, 0700}};
    struct sc_io *io = sc_io_system();
    if (geteuid() != 0)
        skip();
    mode_t before = umask(0077);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *folder = kit_folder(), path[600];
        assert_int_equal(chown(folder, SOMEBODY, SOMEBODY), 0);
        assert_int_equal(chmod(folder, cases[i].folder), 0);
        snprintf(path, sizeof(path), "%s/file", folder);
        for (unsigned times = 0; times < 2; times++) {
            assert_int_equal(sc_io_replace(NULL, path, "text", 4, NULL), SC_OK);
            check_owner(path, SOMEBODY, cases[i].file);
        }
        snprintf(path, sizeof(path), "%s/a/b", folder);
        assert_int_equal(sc_io_make_folders(io, path, 0), 0);
        check_owner(path, SOMEBODY, cases[i].below);
        snprintf(path, sizeof(path), "%s/a/b/made", folder);
        int handle = io->ops->open(io, path, true);
        assert_true(handle >= 0);
        io->ops->close(io, handle);
        check_owner(path, SOMEBODY, cases[i].file);
        open_what_is_there(folder, io);
        kit_remove(folder);
    }
    umask(before);
}

UNIT(test_replace)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_or_the_new),
        cmocka_unit_test(errors_are_sentences),
        cmocka_unit_test(a_temporary_file_of_a_crash_is_overwritten),
        cmocka_unit_test(a_name_without_a_folder),
        cmocka_unit_test(what_root_makes_is_the_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
