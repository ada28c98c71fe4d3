// SPDX-License-Identifier: BSD-3-Clause
/*
 * Reading segments. A segment is opened, its row groups are listed from the footer (sealed) or by walking
 * their heads (live); a row group's directory and chunks are read with pread, each verified before use.
 *
 *     sc_segment_open(path, &segment, &err);
 *     for (i < segment->group_count) {
 *         sc_row_group_open(&context, segment, i, &group, &err);
 *         sc_row_group_column(group, key, &column, &err);      NULL column: null in every row
 *         ...
 *         sc_read_context_reset(&context);                     frees group and columns
 *     }
 *     sc_segment_close(segment);
 *
 * A segment is immutable once open and may be read by many threads, each with a context of its own. Row
 * groups and columns belong to the context that opened them and live until its reset.
 *
 * A segment keeps a descriptor until it is released: then each context that reads it opens the file again, and keeps it until it reads
 * another released one. So many segments can be open with as many descriptors as there are contexts; but what is sealed again, repaired
 * or expired meanwhile cannot be read any more, and the reader is told.
 */
#ifndef SC_STORE_READER_H
#define SC_STORE_READER_H

#include "base/arena.h"
#include "flow/batch.h"
#include "store/format.h"
#include "store/stream.h"

#include <sys/types.h>

struct sc_group_ref {
    uint64_t offset; /* in the file */
    uint64_t length;
    uint32_t rows;
    uint16_t record_kind;
    uint32_t span_count;         /* 0: only the row group tells its batches */
    const struct sc_span *spans; /* in the segment */
    union {                      /* as in struct sc_row_stats */
        struct {
            uint64_t first_min, first_max, last_min, last_max, received_min, received_max, time_min, time_max;
        };
        struct sc_time_range times[SC_ROW_TIMES];
    };
};

struct sc_segment {
    char *path;
    int fd;       /* -1: released, or in memory */
    dev_t device; /* with `inode`: which file it was when it was opened */
    ino_t inode;
    const uint8_t *memory; /* borrowed: the bytes, instead of a file */
    bool sealed;
    bool replica; /* for the caller: it was listed as held for another lane */
    uint16_t format;
    uint64_t window_ms;
    uint32_t window_s;
    uint32_t lane;
    uint64_t stream;
    uint64_t created_ms;
    uint64_t file_bytes; /* at the time of opening */
    struct sc_group_ref *groups;
    uint32_t group_count;
    struct sc_span *spans;          /* of all row groups, by the footer */
    struct sc_row_stats flow_stats; /* of all flow row groups; empty for a live file */
    /* What was found damaged: stretches of the file that hold no readable row group. */
    uint32_t damaged_stretches;
    uint64_t damaged_bytes;
    bool head_damaged;   /* the first bytes are not whole, but the footer repeats them: no rows are lost */
    bool footer_damaged; /* sealed by name, but the footer is not whole: the row groups were found by scanning
                          */
    bool unfinished_tail; /* a live file whose last row group is not complete yet: no damage */
};

/*
 * Opens and lists. A damaged stretch is skipped to the next row-group magic and counted.
 * @return SC_OK; SC_NOTFOUND (list again); SC_NOT_OURS; SC_UNSUPPORTED; SC_DAMAGED (the head is); SC_IO;
 * SC_NOMEM.
 */
enum sc_status sc_segment_open(const char *path, struct sc_segment **out, struct sc_error *err);
/* How long the window of a file is, by its head, in seconds; `otherwise` when that can't be read. */
uint32_t sc_segment_window_s(const char *path, uint32_t otherwise);
/* When a file was made, by its head; when that can't be read, when it was changed last; 0: neither is known. By the clock of then. */
uint64_t sc_segment_created_ms(const char *path);
void sc_segment_close(struct sc_segment *segment);
/* Gives the descriptor back; before others read the segment. */
void sc_segment_release(struct sc_segment *segment);

struct sc_row_group;
struct sc_filter_read;

/* Which chunks of a row group were read, by what they are; as many as are worth it (store/read_ahead.h). */
#define SC_CHUNKS_NOTED 64u
struct sc_chunks_noted {
    struct {
        struct sc_column_key key;
        uint8_t role;
    } chunks[SC_CHUNKS_NOTED];
    uint32_t count;
};

struct sc_read_context {
    struct sc_arena arena;
    struct sc_stream_decoder decoder;
    struct sc_buf chunk; /* bytes of the chunk being decoded */
    uint64_t bytes_read;
    struct sc_chunks_noted before, now; /* of the row group before, of the one that is open */
    bool asked;                         /* for the chunks of that, ahead */
    bool has_file;                      /* the released segment that was read last */
    int fd;
    dev_t device;
    ino_t inode;
};

enum sc_status sc_read_context_init(struct sc_read_context *context);
void sc_read_context_reset(struct sc_read_context *context);
void sc_read_context_free(struct sc_read_context *context);

/* The rows that columns are read for. */
struct sc_wanted {
    const uint64_t *bits; /* NULL: all, and nothing else is set */
    uint32_t count;
};

struct sc_row_group {
    const struct sc_segment *segment;
    struct sc_read_context *context;
    const struct sc_group_ref *ref;
    uint32_t rows;
    uint16_t record_kind;
    uint16_t format;
    bool packed;    /* by compaction */
    uint32_t front; /* bytes of head, statistics, spans and directory */
    struct sc_span *spans;
    uint32_t span_count;
    struct sc_entry *entries;
    uint32_t entry_count;
    struct sc_row_stats stats; /* protocols borrowed from the arena */
    struct sc_wanted wanted;
    struct sc_column **columns; /* decoded so far, by entry */
    const uint64_t **read_for;  /* by entry: the rows that it was decoded for; NULL: all */
    const uint8_t **kept; /* by entry: its verified bytes, where they were looked at before it is decoded */
    struct sc_dictionary *addresses; /* decoded address dictionary, or NULL so far */
    struct sc_filter_read *filter;   /* what was read of the Bloom filter, or NULL so far */
};

/* Reads and verifies head and directory. @return SC_OK, SC_DAMAGED, SC_IO, SC_NOMEM. */
enum sc_status sc_row_group_open(struct sc_read_context *context, const struct sc_segment *segment,
                                 uint32_t index, struct sc_row_group **out, struct sc_error *err);

/* The entry of a column, or NULL. */
const struct sc_entry *sc_row_group_entry(const struct sc_row_group *group, struct sc_column_key key);

/*
 * From now on columns are read only for the rows of the set that were wanted so far. In a column that is read then the values of
 * others have no meaning; codes stay within the dictionary, and which rows are null is told of all. What was wanted before is
 * group->wanted, which may be put back; columns are read again where they must be. @return SC_OK, SC_NOMEM.
 */
enum sc_status sc_row_group_want(struct sc_row_group *group, const uint64_t *bits, struct sc_error *err);

/* Decodes a column (once). *out is NULL when the row group has none. Form as stored: FLAT, DICT or CONST. */
enum sc_status sc_row_group_column(struct sc_row_group *group, struct sc_column_key key,
                                   const struct sc_column **out, struct sc_error *err);
/* The column of the i-th entry; NULL in *out for entries that are no columns. */
enum sc_status sc_row_group_column_at(struct sc_row_group *group, uint32_t index,
                                      const struct sc_column **out, struct sc_error *err);

/*
 * Of the column of the i-th entry: adds the rows whose number, or code of an address, lies in low..high to the set `out`, without
 * decoding it. Of rows that are not wanted nothing is said. *done is false where that can't be, or the column is decoded already: then
 * it must be looked at, and what is in the set has no meaning.
 */
enum sc_status sc_row_group_match(struct sc_row_group *group, uint32_t index, uint64_t low, uint64_t high,
                                  uint64_t *out, bool *done, struct sc_error *err);

/* The address dictionary (ascending); count 0 when the row group has no addresses. */
enum sc_status sc_row_group_addresses(struct sc_row_group *group, const struct sc_dictionary **out,
                                      struct sc_error *err);

/* The entry of the Bloom filter, or NULL. */
const struct sc_entry *sc_row_group_filter(const struct sc_row_group *group);

/*
 * False in *possible only when no address of the row group lies in the prefix (`bits` of 128). Row groups
 * without a filter answer true. Of a filter in pages it reads those that are needed, each once.
 */
enum sc_status sc_row_group_may_contain(struct sc_row_group *group, const struct sc_addr *prefix,
                                        unsigned bits, bool *possible, struct sc_error *err);

/* The bytes of the row group as they stand in its file. @return SC_OK, SC_IO, SC_DAMAGED, SC_NOMEM. */
enum sc_status sc_row_group_bytes(const struct sc_row_group *group, struct sc_buf *out, struct sc_error *err);

/* Reads every chunk and checks hash and decoding. `damaged` counts chunks. @return SC_OK or SC_DAMAGED. */
enum sc_status sc_row_group_verify(struct sc_row_group *group, uint32_t *damaged, struct sc_error *err);
/* Whether all rows can be read, as a query does: of a damaged filter or padding it takes no notice. */
bool sc_row_group_has_rows(struct sc_row_group *group);

/* What of a file that was written is decoded when it is read back; all its bytes are compared by hashes in any case. */
enum sc_verify {
    SC_VERIFY_FULL, /* all row groups: no encoder's error outlives what it was made of */
    SC_VERIFY_HASH, /* one of them: what disk or memory did hashes tell, and an encoder's error is seldom alone */
};

/* What a segment writer must know of a row group that it did not encode itself, but got from somewhere else. */
struct sc_encoded_group {
    const uint8_t *bytes; /* borrowed */
    size_t length;
    struct sc_group_ref ref; /* offset 0 */
    uint16_t format;
    struct sc_row_stats stats;
    struct sc_span span; /* the first one */
    uint32_t span_count;
    const uint8_t *encoded_spans; /* in `bytes` */
};

/* The format of a row group by its head, where the first one has 0. */
static inline uint16_t sc_row_group_format(const uint8_t *head)
{
    uint16_t format = sc_load_le16(head + 40);
    return format == 0 ? 1 : format;
}

/* The i-th span. */
struct sc_span sc_encoded_group_span(const struct sc_encoded_group *group, uint32_t i);

/*
 * Verifies lengths and every hash of a row group, as it stands in a segment. What the chunks decode to is not
 * looked at: readers check that whenever they read. @return SC_OK (free with sc_encoded_group_free), SC_DAMAGED, SC_NOMEM.
 */
enum sc_status sc_row_group_check(const uint8_t *bytes, size_t length, struct sc_encoded_group *out,
                                  struct sc_error *err);
void sc_encoded_group_free(struct sc_encoded_group *group);

#endif
