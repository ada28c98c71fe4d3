// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a decoder knows. Nothing here is seen outside src/wire. Which file does what:
 *
 *   session.c    sessions, domains, templates and data sets that wait: found, and made where there is room
 *   forget.c     what of them goes
 *   exporter.c   whom the sessions belong to, what is charged to whom, who is established
 *   budget.c     what each may hold, who goes when memory is short
 *   care.c       what time does: templates and others expire, rates; accounts are told
 *   template.c   template records: compared, compiled into field operations; how long they are valid
 *   message.c    v9 and IPFIX messages: a plan of their sets (nothing is changed), then its execution
 *   append.c     records on their way into batches: which, whether there is room
 *   run.c        the records of one data set: where they lie
 *   records.c    these, column by column, into a batch
 *   room.c       what records will weigh in a batch, before they are appended
 *   options.c    what options data say about sampling and systemInitTime
 *   maps.c       what they say about names: of interfaces, VRFs and applications; the exporter's address
 *   sequence.c   sequence numbers; what the first message after a restart looks like
 *   restart.c    what a restart does to templates and to data that waits
 *   missing.c    which templates data sets came without
 *   changed.c    which sessions changed since their last record
 *   record.c     session records: written, a share at a time
 *   state.c      session records read, and what the format before them was
 *   merge.c      the state of another collector beside one's own
 *   decoder.c    a message, v5 too
 *
 * Memory is malloc. A session adds up what it holds in `bytes`; the objects that count say so.
 */
#ifndef SC_WIRE_DECODER_TYPES_H
#define SC_WIRE_DECODER_TYPES_H

#include "base/roster.h"
#include "wire/decoder.h"

#define SC_VARIABLE_LENGTH  65535u
#define SC_VARIABLE_STRETCH UINT32_MAX

/* One field specifier, as exported. `pen` may be one of the pseudo enterprises of ie/ie.h. */
struct sc_wire_field {
    uint32_t pen;
    uint16_t id;
    uint16_t length; /* SC_VARIABLE_LENGTH: in the record */
};

enum sc_op_action {
    SC_OP_UINT,    /* an unsigned integer */
    SC_OP_VALUE,   /* any other, in its element's own column: an address too */
    SC_OP_UNIFIED, /* the only address of its pair: to the unified column */
    SC_OP_PAIR,    /* the IPv4 one of a pair of which the template has both; `partner` is the IPv6 one */
    SC_OP_START,   /* flowStartSysUpTime */
    SC_OP_END,     /* flowEndSysUpTime */
    SC_OP_NONE     /* padding of v5, done by a partner, or over a bound: nothing is stored */
};

/* What to do with one field that is not of zero length. */
struct sc_op {
    struct sc_column_key key; /* where the value goes; for UNIFIED and PAIR the unified column */
    uint32_t slot;            /* hints, see sc_batch_begin */
    uint32_t alt_slot; /* of the element's own column (UNIFIED, PAIR) or its BYTES one (variable length) */
    uint32_t partner;  /* PAIR: index of the IPv6 operation */
    uint32_t anchor;   /* templates of variable length: the stretch of the record that the field lies in */
    uint32_t offset;   /* within the stretch, or within a record of fixed length */
    uint16_t length;   /* SC_VARIABLE_LENGTH: in the record */
    uint16_t element;  /* the element's id */
    uint8_t action;    /* enum sc_op_action */
    uint8_t type;      /* enum sc_ie_type */
};

/* Elements that the decoder itself looks at; template->special[] has their operation's index + 1. */
enum sc_special {
    SC_SPECIAL_IP_VERSION,          /* 60 */
    SC_SPECIAL_SYSTEM_INIT,         /* 160 */
    SC_SPECIAL_SAMPLING_INTERVAL,   /* 34 */
    SC_SPECIAL_SAMPLER_ID,          /* 48 */
    SC_SPECIAL_SAMPLER_INTERVAL,    /* 50 */
    SC_SPECIAL_SELECTOR_ID,         /* 302 */
    SC_SPECIAL_SELECTOR_ALGORITHM,  /* 304 */
    SC_SPECIAL_PACKET_INTERVAL,     /* 305 */
    SC_SPECIAL_PACKET_SPACE,        /* 306 */
    SC_SPECIAL_TIME_INTERVAL,       /* 307 */
    SC_SPECIAL_TIME_SPACE,          /* 308 */
    SC_SPECIAL_SAMPLING_SIZE,       /* 309 */
    SC_SPECIAL_SAMPLING_POPULATION, /* 310 */
    SC_SPECIAL_PROBABILITY,         /* 311 */
    SC_SPECIAL_SCOPE_INTERFACE,     /* NetFlow v9 scope type 2 */
    SC_SPECIAL_INGRESS_INTERFACE,   /* 10 */
    SC_SPECIAL_EGRESS_INTERFACE,    /* 14 */
    SC_SPECIAL_INGRESS_PHYSICAL,    /* 252 */
    SC_SPECIAL_EGRESS_PHYSICAL,     /* 253 */
    SC_SPECIAL_INTERFACE_NAME,      /* 82 */
    SC_SPECIAL_INTERFACE_TEXT,      /* 83, interfaceDescription */
    SC_SPECIAL_INGRESS_VRF,         /* 234 */
    SC_SPECIAL_EGRESS_VRF,          /* 235 */
    SC_SPECIAL_VRF_NAME,            /* 236 */
    SC_SPECIAL_APPLICATION_ID,      /* 95 */
    SC_SPECIAL_APPLICATION_NAME,    /* 96 */
    SC_SPECIAL_EXPORTER_V4,         /* 130 */
    SC_SPECIAL_EXPORTER_V6,         /* 131 */
    SC_SPECIAL_ORIGINAL_V4,         /* 403, originalExporterIPv4Address */
    SC_SPECIAL_ORIGINAL_V6,         /* 404 */
    SC_SPECIAL_COUNT
};

/* Columns that a batch does not have yet, and the bytes of a row in them. */
struct sc_need {
    uint32_t columns;
    uint32_t row_bytes;
};

struct sc_template {
    struct sc_roster_entry entry; /* of its domain's templates */
    uint16_t id;
    uint16_t scope_count;
    uint32_t field_count;
    uint32_t op_count;
    uint32_t record_length; /* of fixed length: exactly; else the least */
    bool options;
    bool variable;
    bool has_relative_time; /* 22 or 21 */
    bool has_sampling;      /* the record itself names its interval or sampler */
    bool interface_scope;   /* options that hold for an interface, not for the domain */
    uint8_t names;          /* options that name something: bits of enum sc_map_kind */
    bool tells_exporter;    /* options with the exporter's own address */
    bool unregistered;      /* has elements that the registry does not know, or many instances of one */
    uint32_t most_columns;  /* that its records can have, those of the collector with them */
    uint32_t most_bytes;    /* of a record in them, heaps apart */
    uint64_t known_to;      /* the serial of a batch, and what its records can add to that at most */
    struct sc_need known;
    uint16_t special[SC_SPECIAL_COUNT];
    uint64_t life;                /* of the exporter, that it was defined in: see restart.c */
    uint64_t seen_ms;             /* last definition */
    uint64_t refresh_ms;          /* longest time between two definitions, 0: seen once */
    size_t bytes;                 /* of this object */
    struct sc_wire_field *fields; /* in this object's memory, behind it */
    struct sc_op *ops;            /* likewise */
    /* A record of variable length is a row of stretches: one for each field of variable length, one for all
     * fixed ones between two of them. The bytes of each, or SC_VARIABLE_STRETCH. */
    uint32_t *anchors;
    uint32_t anchor_count;
};

struct sc_sampler {
    uint64_t id; /* selectorId or samplerId */
    uint64_t rate;
};

/* ---- names that options data give to numbers ---- */

enum sc_map_kind { SC_MAP_INTERFACE, SC_MAP_VRF, SC_MAP_APPLICATION, SC_MAP_COUNT };

/* A number, or the bytes of an applicationId: little-endian, their count in the highest byte. */
struct sc_map_key {
    uint64_t low, high;
};

struct sc_map_entry {
    struct sc_map_key key;
    uint8_t *name; /* its length in one byte, then the bytes */
};

struct sc_name_map {
    struct sc_map_entry *entries; /* in no order; there is room for what the table has */
    uint32_t count;
    struct sc_table table; /* their places, by key */
};

struct sc_domain_maps {
    struct sc_name_map names[SC_MAP_COUNT];
    size_t bytes; /* of all, this object too: part of the session's */
    bool exporter_known;
    struct sc_addr exporter; /* as it tells itself */
};

/* Where an exporter's counters stood after a message. */
struct sc_mark {
    bool known;  /* `next` is what the following message must carry; else it is not less */
    bool reborn; /* of a doubt: believed to be the first message after a restart */
    uint32_t number, next;
    uint32_t uptime_ms;
    uint64_t export_ms, receive_ms;
};

/* Sequence numbers of one domain. */
struct sc_sequence {
    bool seen, doubted, restarted; /* `last`, `doubt`, `before` mean something */
    struct sc_mark last;
    struct sc_mark doubt;  /* does not follow: the first after a restart if the next one follows it */
    struct sc_mark before; /* the last message before the last restart */
};

enum sc_arrival_kind {
    SC_ARRIVAL_DUE,     /* in its turn, with or without a loss before it */
    SC_ARRIVAL_LATE,    /* out of order */
    SC_ARRIVAL_STALE,   /* from before the last restart */
    SC_ARRIVAL_DOUBTED, /* the first after a restart, or nothing of the kind */
    SC_ARRIVAL_RESTART  /* the second after a restart, which confirms it */
};

struct sc_arrival {
    enum sc_arrival_kind kind;
    bool reborn;   /* DOUBTED, RESTART: the exporter is believed to be new, with templates of its own */
    uint32_t lost; /* units missing before it */
};

/* A template that data sets came without. */
struct sc_missing {
    uint16_t id;
    bool told;
    uint64_t since_ms;
    uint64_t sets;
};

/* One exporting process as we know it: (version, observation domain) within a session. */
struct sc_domain {
    struct sc_roster_entry entry; /* of its session's domains */
    uint32_t id;
    uint8_t version;
    struct sc_session *session;
    uint64_t seed;               /* of hashes: the decoder's */
    struct sc_roster templates;  /* those of flows before those of options */
    uint32_t flow_templates;     /* how many the former are */
    struct sc_sampler *samplers; /* by ascending id */
    uint32_t sampler_count;
    uint64_t default_rate;       /* of the whole domain; 0: unknown */
    struct sc_domain_maps *maps; /* NULL: options data named nothing yet */
    bool init_known;
    uint64_t init_ms; /* systemInitTimeMilliseconds of the domain's options data */
    struct sc_sequence sequence;
    uint64_t life;    /* the last one that is not in doubt: see restart.c */
    uint64_t life_ms; /* receive time of the last one's first message; 0: none */
    struct sc_missing *missing;
    uint32_t missing_count;
    uint32_t pending_gap;               /* lost units that no flow record carries yet */
    uint64_t heard_ms;                  /* last message that came to this decoder itself; 0: none */
    uint64_t sampled_ms, sampled_flows; /* where stats.flows_per_s was computed last */
    bool borrowed;                      /* never heard of, and what is known was told by another collector */
    bool unheard;     /* its next message is news to other collectors: they may have heard it last */
    uint64_t told_ms; /* of a record: when another collector heard it last, by that one's clock; 0: never */
    bool withdraws;   /* the exporter has withdrawn templates: it keeps them in order */
    bool useful;      /* a template or a record of it was once decoded */
    bool recoverable; /* a merge brought templates: waiting sets may have theirs */
    struct sc_exporter_stats stats;
};

#define SC_NO_LIFE UINT64_MAX

/* Where the records of a set come from: the message header, kept also for sets that wait. */
struct sc_message {
    uint8_t version;
    bool init_known; /* v5, v9: always; IPFIX: never (records and domain say) */
    uint16_t port;
    uint16_t count; /* v9: as the header says */
    uint32_t domain_id;
    uint32_t sequence;
    uint32_t uptime_ms; /* v5, v9 */
    uint32_t v5_rate;
    bool own_life;    /* only templates of the same life serve it */
    uint64_t life;    /* of the exporter, or SC_NO_LIFE: of one that is over */
    uint64_t init_ms; /* base of sysUpTime when init_known */
    uint64_t export_ms;
    uint64_t receive_ms;
    struct sc_addr exporter;
};

/* A data set whose template has not come. */
struct sc_waiting_set {
    struct sc_waiting_set *next;
    struct sc_domain *domain;
    struct sc_message message;
    uint16_t id;
    uint32_t length;
    uint8_t body[];
};

/* An element that the registry does not know, or one of many instances, in templates of an exporter. */
struct sc_unknown_element {
    uint64_t key;     /* pen, id, instance */
    uint64_t used_ms; /* in a definition */
};

struct sc_session {
    struct sc_roster_entry entry;     /* of the decoder's sessions */
    struct sc_decoder *decoder;       /* by whose limits it is made, also before it has the session */
    struct sc_session *hash_next;     /* of a list of sessions that no decoder has (state.c) */
    uint64_t cared;                   /* the last pass of care that has looked at all of it */
    struct sc_session *newer, *older; /* order of use */
    struct sc_session *sibling_newer, *sibling_older; /* the same among the sessions of its exporter */
    struct sc_exporter *owner;                        /* NULL: no decoder has it */
    struct sc_addr exporter;
    uint64_t connection;
    uint16_t port;
    uint8_t transport;
    uint8_t minutes;        /* of its exporter, while no decoder has it (a saved state) */
    bool ended;             /* its transport is gone: only accounts are left */
    uint64_t used_ms;       /* of its last message, receive time */
    size_t bytes;           /* all that it holds */
    size_t charged;         /* of them, on its exporter's account */
    struct sc_domain *last; /* of the last message; NULL: it is gone */
    struct sc_roster domains;
    struct sc_waiting_set *waiting, **waiting_end;
    uint32_t waiting_count;
    size_t waiting_bytes;
    uint64_t revision; /* counts changes of what its record holds: sc_session_changed */
    uint64_t noted;    /* the last one that the list of changed sessions knows of */
    uint64_t shape; /* counts domains that come and go, and what goes of them: voids a half-written record */
    struct sc_session *changed_next, *changed_before;
    bool in_changed;
    bool on_disk;         /* an earlier record with templates may be */
    bool recorded;        /* this decoder wrote that one */
    uint64_t recorded_ms; /* the last definition of a template in the last record */
};

/*
 * An exporter as budgets know it: an IPv4 address, or an IPv6 /64, whose other addresses cost nobody anything. A stranger has not
 * sent a flow record that could be decoded; a newcomer has; one that did in SC_ESTABLISHED_MINUTES different minutes is
 * established, and no newcomer can push it out.
 */
enum sc_standing { SC_STRANGER, SC_NEWCOMER, SC_ESTABLISHED, SC_STANDINGS };

#define SC_ESTABLISHED_MINUTES 10u

struct sc_exporter {
    struct sc_roster_entry entry;      /* of the decoder's exporters */
    struct sc_exporter *newer, *older; /* order of use among those of its standing */
    struct sc_decoder *decoder;
    struct sc_addr network;
    struct sc_session *newest, *oldest; /* its sessions */
    uint32_t streams; /* of them, TCP connections and files that have not ended: they send templates once */
    uint8_t standing; /* enum sc_standing */
    uint8_t minutes;  /* different ones in which it sent flows, SC_ESTABLISHED_MINUTES at most */
    uint64_t minute;  /* the last of them */
    uint64_t used_ms; /* its last message */
    size_t share;     /* bytes that it may hold once it is established */
    size_t bytes;     /* of this object and all that is charged to its sessions */
    uint64_t over_budget; /* what was left out: sessions, domains, templates, names, unknown elements */
    uint64_t dropped;     /* records of it that found no room in the queue */
    struct sc_unknown_element *unknown; /* by key */
    uint32_t unknown_count, unknown_capacity;
};

struct sc_exporter_list {
    struct sc_exporter *newest, *oldest;
};

static inline struct sc_template *sc_template_at(const struct sc_domain *domain, uint32_t place)
{
    return (struct sc_template *)domain->templates.row[place];
}

/* What came is of the life that goes on, or of the one that may have begun: there is no third. */
static inline bool sc_domain_doubts(const struct sc_domain *domain, uint64_t life)
{
    return life > domain->life;
}

static inline struct sc_domain *sc_domain_at(const struct sc_session *session, uint32_t place)
{
    return (struct sc_domain *)session->domains.row[place];
}

/* To be called wherever something changes that the session's record holds; sc_session_note comes after it. */
static inline void sc_session_changed(struct sc_session *session)
{
    session->revision++;
}

/* A set of the message at hand. */
struct sc_planned_set {
    const uint8_t *body;
    uint32_t length;
    uint16_t id;
    bool cut;                            /* the datagram ends before the set does */
    struct sc_template *template_record; /* NULL: none known */
};

enum sc_change_kind {
    SC_CHANGE_NEW,
    SC_CHANGE_REFRESH,
    SC_CHANGE_FORGET, /* its redefinition cannot be used: data are of a layout that is not known */
    SC_CHANGE_WITHDRAW,
    SC_CHANGE_WITHDRAW_ALL
};

/* A change of the domain's templates that the message asks for. */
struct sc_template_change {
    enum sc_change_kind kind;
    uint16_t id;
    bool options;                        /* WITHDRAW_ALL: of options templates */
    struct sc_template *template_record; /* NEW: owned until applied; REFRESH: the domain's or a NEW one */
};

struct sc_plan {
    struct sc_planned_set *sets;
    uint32_t set_count, set_capacity;
    struct sc_template_change *changes;
    uint32_t change_count, change_capacity;
    uint32_t *latest;             /* by template id: its last change, 1 for the first, 0: none */
    uint32_t withdrawn[2];        /* likewise of all templates, of all options templates */
    uint32_t new_count;           /* changes of kind NEW */
    size_t new_bytes;             /* of their templates */
    struct sc_wire_field *fields; /* of the template being read */
    uint32_t field_capacity;
    uint32_t malformed;  /* sets and templates that were left out */
    enum sc_status soft; /* SC_MALFORMED, SC_LIMIT: something was left out */
};

/* Slots of the collector's own columns: hints, see sc_batch_begin. */
#define SC_NAME_COLUMNS 6u
#define SC_OWN_COLUMNS  (12u + SC_NAME_COLUMNS)
#define SC_OWN_BYTES    (2u * 16 + 5 * 8 + 3 * 4 + 2 + 2 + 5 * 4) /* of a record in them, names apart */
#define SC_NAME_BYTES   (5u * 255)                                /* of its names, at most */
struct sc_own_slots {
    uint32_t exporter, port, domain, receive, rate, gap, version, export_time, quality, start, end, init;
    uint32_t names[SC_NAME_COLUMNS];
};

/* Where the writing of a session's record stands: it may end anywhere for this time. */
struct sc_record_writer {
    struct sc_session *session; /* NULL: none */
    uint64_t revision, shape;   /* the session's at the begin */
    uint32_t domain;
    uint32_t item; /* of the domain: 0 its head, then its templates, then runs of its tables of names */
    struct sc_buf bytes;
    uint64_t total; /* bytes written since the decoder was made, of all records */
};

/* Where a pass of care goes on. */
struct sc_care_place {
    bool begun;
    uint64_t pass;                /* counts them, from 1 */
    uint32_t sessions, exporters; /* of these rows, so many are left at most */
    struct sc_session *session;   /* that it has begun with; NULL: none */
    uint32_t domains;             /* likewise of its row */
    uint32_t templates;           /* and of that of the last of these */
};

struct sc_decoder {
    struct sc_decoder_limits limits;
    struct sc_roster sessions;
    struct sc_session *newest, *oldest;
    struct sc_session *last;    /* of the last message */
    struct sc_session *busy[2]; /* of the message at hand: they can't go */
    struct sc_roster exporters;
    struct sc_exporter_list standings[SC_STANDINGS];
    struct sc_budget own_budget, *budget;
    struct sc_care_place care;
    struct sc_overrun overrun;
    struct sc_own_slots own;
    struct sc_template *v5;
    struct sc_plan plan;
    uint32_t *positions; /* of the fields of one set of variable length */
    uint16_t *lengths;
    uint32_t position_capacity, length_capacity;
    uint64_t seed;
    struct sc_session *first_changed, *last_changed; /* since their last record */
    struct sc_buf removed;                           /* records of sessions that are gone */
    struct sc_record_writer writer;
};

#endif
