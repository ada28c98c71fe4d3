// SPDX-License-Identifier: BSD-3-Clause
#include "group/spill_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *folder(void)
{
    const char *named = getenv("TMPDIR");
    return named == NULL || named[0] == '\0' ? "/tmp" : named;
}

static enum sc_status fail(struct sc_error *err, int number)
{
    sc_fail_errno(err, number,
                  "what does not fit the memory limit cannot be kept in %s; give TMPDIR another folder, "
                  "or raise --memory-limit",
                  folder());
    return SC_FULL; /* never what a file of the store says */
}

/* Not every file system has files without a name. */
static int open_named(void)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/sc-groups-XXXXXX", folder()) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

struct sc_spill_file *sc_spill_file_create(struct sc_error *err)
{
    struct sc_spill_file *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        sc_fail_nomem(err, "a temporary file");
        return NULL;
    }
    file->fd = open(folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file->fd < 0)
        file->fd = open_named();
    if (file->fd >= 0)
        return file;
    (void)fail(err, errno);
    free(file);
    return NULL;
}

void sc_spill_file_free(struct sc_spill_file *file)
{
    if (file == NULL)
        return;
    close(file->fd);
    free(file);
}

enum sc_status sc_spill_file_append(struct sc_spill_file *file, const void *bytes, size_t count,
                                    uint64_t *offset, struct sc_error *err)
{
    *offset = file->end;
    for (size_t done = 0; done < count;) {
        ssize_t n = pwrite(file->fd, (const char *)bytes + done, count - done, (off_t)(file->end + done));
        if (n < 0 && errno != EINTR)
            return fail(err, errno);
        done += n < 0 ? 0 : (size_t)n;
    }
    file->end += count;
    return SC_OK;
}

enum sc_status sc_spill_file_read(const struct sc_spill_file *file, uint64_t offset, void *bytes,
                                  size_t count, struct sc_error *err)
{
    for (size_t done = 0; done < count;) {
        ssize_t n = pread(file->fd, (char *)bytes + done, count - done, (off_t)(offset + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return fail(err, n == 0 ? EIO : errno);
        done += n < 0 ? 0 : (size_t)n;
    }
    return SC_OK;
}
