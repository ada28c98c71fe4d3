// SPDX-License-Identifier: BSD-3-Clause
/* The outbox: what is accepted is there after a new start, byte by byte, until it is released; and nothing else is. */
#include "outbox_kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { HEAD = 64 };

#define MIB (UINT64_C(1) << 20)

static struct sc_outbox *open_fresh(const char *path, uint64_t limit)
{
    struct found found;
    const struct sc_outbox_options options = {.limit_bytes = limit};
    struct sc_outbox *o = open_with(path, STREAM, &options, &found);
    assert_int_equal(found.count, 0);
    return o;
}

static struct sc_outbox_stats stats_of(struct sc_outbox *o)
{
    struct sc_outbox_stats stats;
    sc_outbox_get_stats(o, &stats);
    return stats;
}

/* Files in the folder; *bytes of all of them. */
static uint32_t files_in(const char *path, uint64_t *bytes)
{
    DIR *folder = opendir(path);
    uint32_t count = 0;
    assert_non_null(folder);
    *bytes = 0;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        assert_int_equal(fstatat(dirfd(folder), e->d_name, &st, 0), 0);
        *bytes += (uint64_t)st.st_size;
        count++;
    }
    closedir(folder);
    return count;
}

static void assert_files(const char *path, uint32_t count, uint64_t bytes)
{
    uint64_t there;
    assert_int_equal(files_in(path, &there), count);
    assert_int_equal(there, bytes);
}

/* The path of the first file in the folder whose name has the suffix. */
static void first_file(const char *path, char out[512])
{
    DIR *folder = opendir(path);
    assert_non_null(folder);
    out[0] = '\0';
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        if (strstr(e->d_name, ".scout") != NULL)
            snprintf(out, 512, "%s/%s", path, e->d_name);
    }
    closedir(folder);
    assert_true(out[0] != '\0');
}

/* ---- append, read, release ---- */

static void accepted_batches_are_read_until_released(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 7, 64, 1000, 65536, 300000, 3000000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place places[COUNT];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        places[i] = append(o, i, sizes[i]);
        bytes += HEAD + sizes[i];
        assert_files(path, 1, bytes); /* it is written when append returns */
    }
    for (uint32_t i = COUNT; i-- > 0;) {
        uint8_t *raw = malloc(sizes[i]);
        assert_non_null(raw);
        const struct sc_batch_head head = make(i, sizes[i], raw);
        check(o, &head, places[i], i, sizes[i]);
        free(raw);
    }
    assert_int_equal(stats_of(o).batches, COUNT);
    assert_int_equal(stats_of(o).bytes, bytes);
    for (uint32_t i = 0; i < COUNT; i++)
        sc_outbox_release(o, places[i]);
    assert_int_equal(stats_of(o).batches, 0);
    assert_int_equal(stats_of(o).released, COUNT);
    assert_int_equal(stats_of(o).appended, COUNT);
    sc_outbox_close(o);
    assert_files(path, 0, 0); /* nothing waits: nothing stays */
    kit_remove(path);
}

/* A file ends when it has 32 MiB, and goes with the last of its batches, in whatever order they are released. */
static void files_rotate_and_go(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, COUNT = 100 };
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place places[COUNT];
    uint64_t random = 5, there;
    uint32_t order[COUNT], left[COUNT] = {0}, files = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        order[i] = i;
        places[i] = append(o, i, SIZE);
        files = places[i].file + 1 > files ? places[i].file + 1 : files;
        left[places[i].file]++;
    }
    assert_int_equal(files, 4); /* 32 records are a little more than 32 MiB */
    assert_true(left[0] == 32 && left[1] == 32 && left[2] == 32 && left[3] == 4);
    assert_int_equal(files_in(path, &there), 4);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t j = i + (uint32_t)(kit_random(&random) % (COUNT - i)), k = order[j];
        order[j] = order[i];
        sc_outbox_release(o, places[k]);
        sc_outbox_tidy(o);
        left[places[k].file]--;
        uint32_t want = 1; /* the one that is appended to */
        for (uint32_t f = 0; f < 3; f++)
            want += left[f] != 0;
        assert_int_equal(files_in(path, &there), want);
        assert_int_equal(stats_of(o).bytes, there);
        assert_int_equal(stats_of(o).batches, COUNT - i - 1);
    }
    append(o, 1000, SIZE);
    sc_outbox_close(o);
    assert_int_equal(files_in(path, &there), 1);
    kit_remove(path);
}

/* What was asked for while it waited may be released before its turn comes: no other file is read or marked in its place. */
static void what_was_released_meanwhile_is_not_confused(void **state)
{
    (void)state;
    enum { SIZE = 2000 };
    char *path = kit_folder();
    static struct found found;
    static uint8_t raw[SIZE];
    struct sc_outbox *o = open_fresh(path, 4 * (HEAD + SIZE)); /* a batch in a file */
    struct sc_buf out = {0};
    struct sc_error err = {0};
    const struct sc_batch_head first = make(0, SIZE, raw);
    struct sc_outbox_place gone = append(o, 0, SIZE), last = gone;
    append(o, 1, SIZE);
    sc_outbox_release(o, gone); /* no mark is left to be written when its file goes */
    sc_outbox_tidy(o);
    assert_int_equal(sc_outbox_read(o, &first, gone, &out, &err), SC_NOTFOUND);
    for (uint64_t i = 2; i < 100; i++) {
        last = append(o, i, SIZE);
        assert_true(last.file != gone.file);
        sc_outbox_release(o, last);
    }
    append(o, 100, SIZE);
    sc_outbox_tidy(o); /* marks of files that went before they could be written */
    sc_outbox_close(o);
    o = open_with(path, 2, NULL, &found);
    assert_int_equal(found.count, 2);
    check(o, &found.heads[0], found.places[0], 1, SIZE);
    check(o, &found.heads[1], found.places[1], 100, SIZE);
    sc_outbox_close(o);
    sc_buf_free(&out);
    kit_remove(path);
}

/* ---- the next process ---- */

static void found_again_in_order(void **state)
{
    (void)state;
    enum { COUNT = 300, SIZE = 400000 }; /* four files */
    char *path = kit_folder();
    static struct found found, again;
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place places[COUNT];
    bool released[COUNT] = {false};
    uint64_t random = 11;
    uint32_t waiting_files = 0;
    bool waits[8] = {false};
    for (uint32_t i = 0; i < COUNT; i++)
        places[i] = append(o, i, SIZE + i);
    for (uint32_t i = 0; i < COUNT; i++) {
        released[i] = places[i].file == 1 || kit_random(&random) % 3 == 0;
        if (released[i])
            sc_outbox_release(o, places[i]);
        else
            waits[places[i].file] = true;
    }
    for (uint32_t i = 0; i < 8; i++)
        waiting_files += waits[i];
    assert_int_equal(waiting_files, 3);
    sc_outbox_close(o);
    o = open_with(path, 2, NULL, &found);
    /* Released batches do not come back with a file of which others wait. */
    uint32_t at = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        if (released[i])
            continue;
        assert_true(at < found.count);
        check(o, &found.heads[at], found.places[at], i, SIZE + i);
        at++;
    }
    assert_int_equal(at, found.count);
    assert_int_equal(stats_of(o).batches, found.count);
    assert_int_equal(stats_of(o).damaged, 0);
    /* New batches go to a new file; both are found by the one after. */
    append(o, 5000, 100);
    sc_outbox_close(o);
    o = open_with(path, 3, NULL, &again);
    assert_int_equal(again.count, found.count + 1);
    uint32_t fresh = again.heads[0].id.sequence == 5000 ? 0 : again.count - 1;
    check(o, &again.heads[fresh], again.places[fresh], 5000, 100);
    for (uint32_t i = 0; i < again.count; i++)
        sc_outbox_release(o, again.places[i]);
    sc_outbox_tidy(o);
    assert_int_equal(stats_of(o).bytes, 0);
    sc_outbox_close(o);
    assert_files(path, 0, 0);
    kit_remove(path);
}

/* As kill -9 leaves it: nobody closes. */
static void found_after_a_death(void **state)
{
    (void)state;
    static struct found found;
    char *path = kit_folder();
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sc_outbox *dying = open_fresh(path, 0);
        struct sc_outbox_place first = append(dying, 0, 1000);
        for (uint32_t i = 1; i < 50; i++)
            append(dying, i, 1000 + i);
        sc_outbox_release(dying, first);
        sc_outbox_tidy(dying);
        raise(SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    struct sc_outbox *o = open_with(path, 2, NULL, &found);
    assert_int_equal(found.count, 49);
    for (uint32_t i = 1; i < 50; i++)
        check(o, &found.heads[i - 1], found.places[i - 1], i, 1000 + i);
    sc_outbox_close(o);
    kit_remove(path);
}

static void what_the_finder_says_ends_the_opening(void **state)
{
    (void)state;
    static const enum sc_status answers[] = {SC_NOMEM, SC_IO, SC_LIMIT, SC_CANCELLED};
    static struct found found;
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    for (uint32_t i = 0; i < 5; i++)
        append(o, i, 100);
    sc_outbox_close(o);
    for (uint32_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct sc_error err = {0};
        found = (struct found){.answer = answers[i], .answer_at = i};
        assert_null(sc_outbox_open(path, 2, NULL, on_found, &found, &err));
        assert_int_equal(err.status, answers[i]);
        assert_files(path, 1, 5 * (HEAD + 100));
    }
    kit_remove(path);
}

/* One that was found before is not waited for: a disk that failed may have a batch twice. */
static void what_the_finder_does_not_need_waits_for_nobody(void **state)
{
    (void)state;
    static struct found found;
    struct sc_outbox_stats stats;
    struct sc_error err = {0};
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    for (uint32_t i = 0; i < 5; i++)
        append(o, i, 100);
    sc_outbox_close(o);
    for (uint32_t needed = 6; needed-- > 0;) {
        found = (struct found){.answer = SC_END, .answer_at = needed};
        o = sc_outbox_open(path, 2, NULL, on_found, &found, &err);
        assert_non_null(o);
        sc_outbox_get_stats(o, &stats);
        assert_int_equal(stats.batches, needed < 5 ? needed : 5);
        sc_outbox_close(o);
        assert_files(path, needed == 0 ? 0 : 1, needed == 0 ? 0 : 5 * (HEAD + 100));
    }
    kit_remove(path);
}

/* ---- damage ---- */

/* A folder with one file of three batches: 100, 200 and 300 bytes. */
static char *three_batches(char file[512], uint8_t **bytes, size_t *length)
{
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    for (uint32_t i = 0; i < 3; i++)
        append(o, i, 100 * (i + 1));
    sc_outbox_close(o);
    first_file(path, file);
    *bytes = kit_read_file(file, length);
    assert_int_equal(*length, 3 * HEAD + 600);
    return path;
}

/* The batches with bits in `whole` are there and no others; what is released goes, with the damage. */
static void assert_found(const char *path, const char *file, uint32_t whole, bool cut, bool damaged)
{
    static struct found found;
    struct sc_outbox *o = open_with(path, 2, NULL, &found);
    uint32_t count = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if ((whole >> i & 1) == 0)
            continue;
        assert_true(count < found.count);
        check(o, &found.heads[count], found.places[count], i, 100 * (i + 1));
        count++;
    }
    assert_int_equal(found.count, count);
    assert_int_equal(stats_of(o).batches, count);
    assert_int_equal(stats_of(o).cut_short, cut);
    assert_int_equal(stats_of(o).damaged, damaged);
    assert_int_equal(stats_of(o).skipped_bytes != 0, damaged);
    for (uint32_t i = 0; i < count; i++)
        sc_outbox_release(o, found.places[i]);
    sc_outbox_tidy(o);
    assert_int_equal(stats_of(o).bytes, 0);
    sc_outbox_close(o);
    assert_int_equal(access(file, F_OK), -1);
}

/* A record that was cut short was never accepted; those before it were. */
static void a_file_cut_at_every_byte(void **state)
{
    (void)state;
    char file[512];
    uint8_t *bytes;
    size_t length;
    char *path = three_batches(file, &bytes, &length);
    for (size_t n = 0; n <= length; n++) {
        uint32_t whole = (n >= HEAD + 100) + (n >= 2 * HEAD + 300) + (n >= 3 * HEAD + 600);
        bool clean = n == 0 || n == HEAD + 100 || n == 2 * HEAD + 300 || n == length;
        kit_write_file(file, bytes, n);
        assert_found(path, file, (1u << whole) - 1, !clean, false);
    }
    free(bytes);
    kit_remove(path);
}

/* A flipped bit costs its own record; in the mark of what is released not even that. */
static void every_byte_flipped(void **state)
{
    (void)state;
    static const size_t begin[4] = {0, HEAD + 100, 2 * HEAD + 300, 3 * HEAD + 600};
    char file[512];
    uint8_t *bytes;
    size_t length;
    char *path = three_batches(file, &bytes, &length);
    for (size_t i = 0; i < length; i++) {
        uint32_t hit = (i >= begin[1]) + (i >= begin[2]);
        bool mark = i == begin[hit] + 53;
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        kit_write_file(file, bytes, length);
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        assert_found(path, file, mark ? 7 : 7 & ~(1u << hit), false, !mark);
    }
    free(bytes);
    kit_remove(path);
}

/* Holes of any size: what is whole behind them is found, also beyond what is looked through at once. */
static void holes(void **state)
{
    (void)state;
    enum { COUNT = 40, SIZE = 30011 };
    static struct found found;
    char file[512];
    uint64_t random = 3;
    size_t length;
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        append(o, i, SIZE);
    sc_outbox_close(o);
    first_file(path, file);
    uint8_t *bytes = kit_read_file(file, &length);
    for (uint32_t round = 0; round < 60; round++) {
        size_t from = kit_random(&random) % length,
               n = 1 + kit_random(&random) % (round % 2 == 0 ? 200 : 200000);
        uint8_t *torn = malloc(length);
        assert_non_null(torn);
        memcpy(torn, bytes, length);
        n = n < length - from ? n : length - from;
        for (size_t i = 0; i < n; i++)
            torn[from + i] ^= 0xa5;
        kit_write_file(file, torn, length);
        free(torn);
        o = open_with(path, 2, NULL, &found);
        uint32_t at = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            size_t begin = (size_t)i * (HEAD + SIZE);
            if (from < begin + HEAD + SIZE && from + n > begin && !(n == 1 && from == begin + 53))
                continue;
            assert_true(at < found.count);
            check(o, &found.heads[at], found.places[at], i, SIZE);
            at++;
        }
        assert_int_equal(at, found.count);
        assert_int_equal(stats_of(o).damaged != 0, at != COUNT);
        sc_outbox_close(o);
    }
    free(bytes);
    kit_remove(path);
}

/* A batch may contain what looks like a record, of any stream but its own, which nobody else knows. */
static void records_within_batches(void **state)
{
    (void)state;
    static struct found found;
    char file[512];
    size_t length;
    uint8_t inner[HEAD + 100], outer[1000] = {0};
    char *path = kit_folder(), *other = kit_folder();
    struct sc_error err;
    struct sc_outbox_place place;
    struct sc_outbox *o = open_with(other, 2, NULL, &found);
    append(o, 6000, 100);
    sc_outbox_close(o);
    first_file(other, file);
    uint8_t *bytes = kit_read_file(file, &length);
    assert_int_equal(length, sizeof(inner));
    memcpy(outer + 300, bytes, length);
    free(bytes);
    o = open_fresh(path, 0);
    struct sc_batch_head head = make(0, 1000, (uint8_t[1000]){0});
    head.hash = sc_link_hash(outer, sizeof(outer));
    assert_int_equal(sc_outbox_append(o, &head, outer, &place, &err), SC_OK);
    append(o, 1, 100);
    sc_outbox_close(o);
    first_file(path, file);
    bytes = kit_read_file(file, &length);
    bytes[10] ^= 1;
    kit_write_file(file, bytes, length);
    free(bytes);
    o = open_with(path, 2, NULL, &found);
    assert_int_equal(found.count, 1);
    check(o, &found.heads[0], found.places[0], 1, 100);
    sc_outbox_close(o);
    kit_remove(path);
    kit_remove(other);
}

/* Sizes that no file has and nobody would send, each with a hash that agrees: in the last record, and in the one before. */
static void heads_that_lie(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 301, 1u << 20, SC_LINK_MAX_BATCH, SC_LINK_MAX_BATCH + 1, UINT32_MAX};
    char file[512];
    uint8_t *bytes;
    size_t length;
    char *path = three_batches(file, &bytes, &length);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t last = 0; last < 2; last++) {
            uint8_t *head = bytes + (last != 0 ? 2 * HEAD + 300 : HEAD + 100), before[HEAD];
            memcpy(before, head, HEAD);
            sc_store_le32(head + 4, last != 0 ? sizes[i] : sizes[i] + 1000);
            sc_store_le64(head + 56, sc_link_hash(head, 56));
            kit_write_file(file, bytes, length);
            memcpy(head, before, HEAD);
            bool possible = sizes[i] != 0 && sizes[i] <= SC_LINK_MAX_BATCH;
            assert_found(path, file, last != 0 ? 3 : 5, last != 0 && possible, last == 0 || !possible);
        }
    }
    free(bytes);
    kit_remove(path);
}

/* Earlier versions accepted more than they could send: it is whole, and goes on its way. */
static void what_an_earlier_version_accepted_is_found(void **state)
{
    (void)state;
    enum { LARGE = 72 << 20 };
    static struct found found;
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    append(o, 1, LARGE);
    append(o, 2, 100);
    sc_outbox_close(o);
    o = open_with(path, 2, NULL, &found);
    assert_int_equal(found.count, 2);
    assert_int_equal(stats_of(o).damaged, 0);
    check(o, &found.heads[0], found.places[0], 1, LARGE);
    check(o, &found.heads[1], found.places[1], 2, 100);
    sc_outbox_close(o);
    kit_remove(path);
}

/* Bytes that change while the batch waits are never sent. */
static void a_change_under_way_is_found(void **state)
{
    (void)state;
    char *path = kit_folder(), file[512];
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place place = append(o, 1, 1000);
    struct sc_buf out = {0};
    struct sc_error err = {0};
    uint8_t raw[1000];
    const struct sc_batch_head head = make(1, 1000, raw);
    first_file(path, file);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\x55\xaa\x55", 3, HEAD + 500), 3);
    assert_int_equal(sc_outbox_read(o, &head, place, &out, &err), SC_DAMAGED);
    assert_int_equal(pwrite(fd, raw + 500, 3, HEAD + 500), 3);
    assert_int_equal(sc_outbox_read(o, &head, place, &out, &err), SC_OK);
    assert_int_equal(ftruncate(fd, HEAD + 999), 0);
    assert_int_equal(sc_outbox_read(o, &head, place, &out, &err), SC_DAMAGED);
    close(fd);
    sc_buf_free(&out);
    sc_outbox_close(o);
    kit_remove(path);
}

/* ---- bounds ---- */

/* Nothing of a refused batch is kept, and there is room again when batches were released: with any bound. */
static void full_at_its_bound_and_room_again(void **state)
{
    (void)state;
    static const uint64_t limits[] = {5000, MIB, 31 * MIB, 33 * MIB, 80 * MIB};
    static struct found found;
    for (uint32_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
        char *path = kit_folder();
        struct sc_outbox *o = open_fresh(path, limits[l]);
        uint32_t size = (uint32_t)(limits[l] / 10) - HEAD, count = 0;
        struct sc_outbox_place places[16];
        struct sc_error err = {0};
        uint64_t there;
        for (uint32_t round = 0; round < 5; round++) {
            uint64_t refused = stats_of(o).refused;
            for (count = 0; count < 16; count++) {
                if (append_with(o, count, size, &places[count], &err) != SC_OK)
                    break;
            }
            assert_int_equal(err.status, SC_FULL);
            assert_true(count >= 5 && count <= 10);
            assert_true(round != 0 || count == 10);
            assert_int_equal(stats_of(o).refused, refused + 1);
            assert_int_equal(stats_of(o).batches, count);
            files_in(path, &there);
            assert_int_equal(stats_of(o).bytes, there);
            assert_true(there <= limits[l]);
            for (uint32_t i = 0; i < count; i++)
                sc_outbox_release(o, places[i]);
            assert_int_equal(stats_of(o).batches, 0);
        }
        append(o, 77, size);
        sc_outbox_close(o);
        o = open_with(path, 2, NULL, &found);
        assert_true(found.count >= 1);
        check(o, &found.heads[found.count - 1], found.places[found.count - 1], 77, size);
        sc_outbox_close(o);
        kit_remove(path);
    }
}

/* What an earlier process left counts. */
static void the_bound_holds_over_a_restart(void **state)
{
    (void)state;
    static struct found found;
    const struct sc_outbox_options options = {.limit_bytes = 10 * (HEAD + 1000)};
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, options.limit_bytes);
    struct sc_outbox_place place;
    struct sc_error err;
    for (uint32_t i = 0; i < 8; i++)
        append(o, i, 1000);
    sc_outbox_close(o);
    o = open_with(path, 2, &options, &found);
    append(o, 8, 1000);
    append(o, 9, 1000);
    assert_int_equal(append_with(o, 10, 1000, &place, &err), SC_FULL);
    for (uint32_t i = 0; i < 8; i++)
        sc_outbox_release(o, found.places[i]);
    append(o, 10, 1000);
    sc_outbox_close(o);
    kit_remove(path);
}

/* ---- a disk that refuses ---- */

/* The refused batch left nothing, and others are accepted. `more`: of a size that fits. */
static void assert_nothing_kept(const char *path, struct sc_outbox *o, uint32_t kept, uint32_t more)
{
    static struct found found;
    uint64_t there;
    files_in(path, &there);
    assert_int_equal(stats_of(o).bytes, there);
    append(o, 100, more);
    sc_outbox_close(o);
    o = open_with(path, 2, NULL, &found);
    assert_int_equal(found.count, kept + 1);
    for (uint32_t i = 0; i < kept; i++)
        check(o, &found.heads[i], found.places[i], i, 1000);
    check(o, &found.heads[kept], found.places[kept], 100, more);
    assert_int_equal(stats_of(o).damaged, 0);
    sc_outbox_close(o);
}

/* Writes that end in the head, between head and body, and in the body. */
static void a_file_that_may_not_grow(void **state)
{
    (void)state;
    static const uint32_t room[] = {0, 1, 30, 63, 64, 65, 500, 900};
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int sync = 0; sync < 2; sync++) {
        for (uint32_t i = 0; i < sizeof(room) / sizeof(room[0]); i++) {
            static struct found found;
            char *path = kit_folder();
            const struct sc_outbox_options options = {.sync = sync != 0};
            struct sc_outbox *o = open_with(path, STREAM, &options, &found);
            struct sc_outbox_place place;
            struct sc_error err = {0};
            for (uint32_t k = 0; k < 3; k++)
                append(o, k, 1000);
            struct rlimit tight = before;
            tight.rlim_cur = 3 * (HEAD + 1000) + room[i];
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
            for (int times = 0; times < 3; times++) {
                enum sc_status status = append_with(o, 50, 20000, &place, &err);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
                assert_int_equal(status, SC_IO);
                assert_int_equal(err.errnum, EFBIG);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
            }
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
            assert_int_equal(stats_of(o).refused, 3);
            assert_nothing_kept(path, o, 3, 2000);
            kit_remove(path);
        }
    }
    signal(SIGXFSZ, SIG_DFL);
}

/* A small file system in a mount namespace of its own, so that it goes with this process whatever happens. */
static bool mount_small(const char *path)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", path, "tmpfs", 0, "size=1m") == 0;
}

static void a_full_disk(void **state)
{
    (void)state;
    char *disk = kit_folder(), path[128], ballast[128];
    if (!mount_small(disk)) {
        kit_remove(disk);
        skip();
    }
    snprintf(path, sizeof(path), "%s/outbox", disk);
    snprintf(ballast, sizeof(ballast), "%s/ballast", disk);
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place place;
    struct sc_error err = {0};
    uint8_t *zeros = calloc(1, 600000);
    assert_non_null(zeros);
    for (uint32_t i = 0; i < 3; i++)
        append(o, i, 1000);
    kit_write_file(ballast, zeros, 600000);
    free(zeros);
    for (int times = 0; times < 3; times++) {
        assert_int_equal(append_with(o, 50, 600000, &place, &err), SC_FULL);
        assert_int_equal(err.errnum, ENOSPC);
    }
    append(o, 3, 1000); /* what fits is taken */
    assert_int_equal(unlink(ballast), 0);
    assert_nothing_kept(path, o, 4, 600000);
    assert_int_equal(umount(disk), 0);
    kit_remove(disk);
}

/* Most of what the disk holds is the outbox's own: it takes batches again when these are released, in whatever order things happen. */
static void a_disk_that_the_outbox_filled(void **state)
{
    (void)state;
    char *disk = kit_folder(), path[128];
    if (!mount_small(disk)) {
        kit_remove(disk);
        skip();
    }
    snprintf(path, sizeof(path), "%s/outbox", disk);
    struct sc_outbox *o = open_fresh(path, 0);
    for (uint64_t round = 0; round < 4; round++) {
        enum { SIZE = 100000, MOST = 16 };
        struct sc_outbox_place places[MOST];
        struct sc_error err = {0};
        uint8_t raw[SIZE];
        uint32_t count = 0;
        while (count < MOST && append_with(o, count, SIZE, &places[count], &err) == SC_OK)
            count++;
        assert_int_equal(err.errnum, ENOSPC);
        assert_in_range(count, 8, 10); /* of 1 MiB */
        const struct sc_batch_head head = make(0, SIZE, raw);
        check(o, &head, places[0], 0, SIZE); /* its file is open for reading */
        for (uint32_t i = 0; i < count; i++) {
            sc_outbox_release(o, places[i]);
            if (round % 2 != 0)
                sc_outbox_tidy(o);
        }
        sc_outbox_tidy(o);
        assert_int_equal(stats_of(o).bytes, 0);
        assert_files(path, 0, 0);
    }
    sc_outbox_close(o);
    assert_int_equal(umount(disk), 0);
    kit_remove(disk);
}

/* ---- options, other people's files ---- */

static void synced_batches_are_the_same(void **state)
{
    (void)state;
    static struct found found;
    const struct sc_outbox_options options = {.sync = true};
    char *path = kit_folder();
    struct sc_outbox *o = open_with(path, STREAM, &options, &found);
    for (uint32_t i = 0; i < 20; i++)
        append(o, i, 500 + i);
    sc_outbox_close(o);
    o = open_with(path, 2, &options, &found);
    assert_int_equal(found.count, 20);
    for (uint32_t i = 0; i < 20; i++)
        check(o, &found.heads[i], found.places[i], i, 500 + i);
    sc_outbox_close(o);
    kit_remove(path);
}

static void foreign_files_are_left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"README", "x.scout.bak", ".scout", "scout",
                                        "0000000000000001-00000000.tmp"};
    static struct found found;
    char *path = kit_folder(), name[512];
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", path, names[i]);
        kit_write_file(name, names[i], strlen(names[i]));
    }
    for (int times = 0; times < 2; times++) {
        struct sc_outbox *o = open_with(path, 1, NULL, &found);
        assert_int_equal(found.count, 0);
        assert_int_equal(stats_of(o).damaged, 0);
        assert_int_equal(stats_of(o).bytes, 0);
        sc_outbox_release(o, append(o, 1, 100));
        sc_outbox_close(o);
    }
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length;
        snprintf(name, sizeof(name), "%s/%s", path, names[i]);
        uint8_t *bytes = kit_read_file(name, &length);
        assert_int_equal(length, strlen(names[i]));
        assert_memory_equal(bytes, names[i], length);
        free(bytes);
    }
    kit_remove(path);
}

static void folders_that_cannot_be(void **state)
{
    (void)state;
    char *path = kit_folder(), name[512];
    struct sc_error err = {0};
    static struct found found;
    snprintf(name, sizeof(name), "%s/a/b", path);
    assert_null(sc_outbox_open(name, 1, NULL, on_found, &found, &err));
    assert_true(err.message[0] != '\0');
    snprintf(name, sizeof(name), "%s/file", path);
    kit_write_file(name, "x", 1);
    assert_null(sc_outbox_open(name, 1, NULL, on_found, &found, &err));
    snprintf(name, sizeof(name), "%s/new", path);
    sc_outbox_close(open_with(name, 1, NULL, &found));
    assert_int_equal(access(name, F_OK), 0);
    sc_outbox_close(NULL);
    kit_remove(path);
}

/* ---- two threads ---- */

struct traffic {
    struct sc_outbox *outbox;
    struct sc_outbox_place places[2000];
    pthread_mutex_t mutex;
    uint32_t count;
};

static void *append_many(void *arg)
{
    struct traffic *t = arg;
    for (uint32_t i = 0; i < 2000; i++) {
        struct sc_outbox_place place = append(t->outbox, i, 20000 + i);
        pthread_mutex_lock(&t->mutex);
        t->places[t->count++] = place;
        pthread_mutex_unlock(&t->mutex);
    }
    return NULL;
}

/* One appends, one reads and releases, over a change of files. */
static void one_writes_while_one_reads(void **state)
{
    (void)state;
    static struct traffic t;
    char *path = kit_folder();
    pthread_t writer;
    t.outbox = open_fresh(path, 0);
    pthread_mutex_init(&t.mutex, NULL);
    assert_int_equal(pthread_create(&writer, NULL, append_many, &t), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        static uint8_t raw[22000];
        const struct sc_batch_head head = make(i, 20000 + i, raw);
        for (uint32_t count = 0; count <= i;) {
            pthread_mutex_lock(&t.mutex);
            count = t.count;
            pthread_mutex_unlock(&t.mutex);
            if (count <= i)
                sched_yield();
        }
        pthread_mutex_lock(&t.mutex);
        struct sc_outbox_place place = t.places[i];
        pthread_mutex_unlock(&t.mutex);
        check(t.outbox, &head, place, i, 20000 + i);
        sc_outbox_release(t.outbox, place);
        if (i % 7 == 0)
            sc_outbox_tidy(t.outbox);
    }
    pthread_join(writer, NULL);
    sc_outbox_tidy(t.outbox);
    assert_int_equal(stats_of(t.outbox).batches, 0);
    sc_outbox_close(t.outbox);
    assert_files(path, 0, 0);
    pthread_mutex_destroy(&t.mutex);
    kit_remove(path);
}

/* Deleted under the process: it is told how much, the batches are known, and what is accepted from then on is there. */
static void deleted_files_are_noticed(void **state)
{
    (void)state;
    char *path = kit_folder();
    struct sc_outbox *o = open_fresh(path, 0);
    struct sc_outbox_place places[4];
    struct sc_buf bytes = {0};
    struct sc_error err;
    uint8_t raw[1000];
    for (uint32_t i = 0; i < 3; i++)
        places[i] = append(o, i, 1000);
    assert_false(sc_outbox_look(o));
    sc_outbox_release(o, places[1]);
    kit_wipe(path);
    assert_true(sc_outbox_look(o));
    assert_false(sc_outbox_look(o)); /* once */
    assert_int_equal(stats_of(o).deleted_files, 1);
    assert_int_equal(stats_of(o).deleted_batches, 2);
    const struct sc_batch_head lost = make(0, 1000, raw);
    assert_int_equal(sc_outbox_read(o, &lost, places[0], &bytes, &err), SC_DAMAGED);
    assert_non_null(strstr(err.message, "was deleted"));
    places[3] = append(o, 3, 1000); /* the folder, too, is made anew */
    const struct sc_batch_head head = make(3, 1000, raw);
    check(o, &head, places[3], 3, 1000);
    assert_files(path, 1, HEAD + 1000);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != 1)
            sc_outbox_release(o, places[i]);
    }
    assert_int_equal(stats_of(o).batches, 0);
    sc_outbox_close(o);
    assert_files(path, 0, 0);
    sc_buf_free(&bytes);
    kit_remove(path);
}

UNIT(test_outbox)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_batches_are_read_until_released),
        cmocka_unit_test(files_rotate_and_go),
        cmocka_unit_test(what_was_released_meanwhile_is_not_confused),
        cmocka_unit_test(found_again_in_order),
        cmocka_unit_test(found_after_a_death),
        cmocka_unit_test(what_the_finder_says_ends_the_opening),
        cmocka_unit_test(what_the_finder_does_not_need_waits_for_nobody),
        cmocka_unit_test(a_file_cut_at_every_byte),
        cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(holes),
        cmocka_unit_test(records_within_batches),
        cmocka_unit_test(heads_that_lie),
        cmocka_unit_test(what_an_earlier_version_accepted_is_found),
        cmocka_unit_test(a_change_under_way_is_found),
        cmocka_unit_test(full_at_its_bound_and_room_again),
        cmocka_unit_test(the_bound_holds_over_a_restart),
        cmocka_unit_test(a_file_that_may_not_grow),
        cmocka_unit_test(synced_batches_are_the_same),
        cmocka_unit_test(foreign_files_are_left_alone),
        cmocka_unit_test(folders_that_cannot_be),
        cmocka_unit_test(one_writes_while_one_reads),
        cmocka_unit_test(deleted_files_are_noticed),
        cmocka_unit_test(a_full_disk), /* last: these move to mount namespaces of their own */
        cmocka_unit_test(a_disk_that_the_outbox_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
