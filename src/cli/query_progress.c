// SPDX-License-Identifier: BSD-3-Clause
#include "cli/query_progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "show/output.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SHOW_MS 200u

/* What is known of the whole, and of nodes where there are some. */
struct news {
    struct sc_progress_node sum;
    const struct sc_progress_node *nodes;
    uint32_t count;
};

bool sc_progress_init(struct sc_progress *p, enum sc_progress_type type, const char *dest)
{
    *p = (struct sc_progress){.type = type, .stream = stderr, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (strcmp(dest, "stdout") == 0)
        p->stream = stdout;
    else if (strcmp(dest, "stderr") != 0)
        p->path = dest;
    p->terminal = p->path == NULL && isatty(fileno(p->stream));
    if (type == SC_PROGRESS_DEFAULT)
        p->type = p->terminal || p->path != NULL ? SC_PROGRESS_TOTAL : SC_PROGRESS_NONE;
    if (p->path == NULL || p->type == SC_PROGRESS_NONE)
        return true;
    FILE *f = fopen(p->path, "we");
    if (f == NULL)
        p->type = SC_PROGRESS_NONE;
    else
        fclose(f);
    return f != NULL;
}

static unsigned percent(const struct sc_progress_node *n)
{
    return n->total == 0 ? 100 : (unsigned)(n->done * 100 / n->total);
}

/* ---- the forms ---- */

static void put_json(const struct sc_progress_node *n, struct sc_buf *out)
{
    sc_buf_printf(out,
                  "\"done\": %" PRIu64 ", \"total\": %" PRIu64 ", \"percent\": %u, \"rows\": %" PRIu64
                  ", \"bytes\": %" PRIu64,
                  n->done, n->total, percent(n), n->rows, n->bytes);
}

static void write_json(const struct news *news, struct sc_buf *out)
{
    sc_buf_append_str(out, "{");
    put_json(&news->sum, out);
    for (uint32_t i = 0; i < news->count; i++) {
        sc_buf_append_str(out, i == 0 ? ", \"nodes\": [{\"name\": " : ", {\"name\": ");
        sc_output_json_string(out, news->nodes[i].name, strlen(news->nodes[i].name));
        sc_buf_printf(out, ", \"phase\": \"%s\", ", news->nodes[i].phase);
        put_json(&news->nodes[i], out);
        sc_buf_append_str(out, "}");
    }
    sc_buf_append_str(out, news->count == 0 ? "}\n" : "]}\n");
}

static void write_line(const struct sc_progress_node *n, struct sc_buf *out)
{
    sc_buf_printf(out,
                  "%-16s %-7s %3u %%  %" PRIu64 " of %" PRIu64 " row groups, %" PRIu64 " rows, %" PRIu64
                  " bytes\n",
                  n->name, n->phase, n->total == 0 ? 0 : percent(n), n->done, n->total, n->rows, n->bytes);
}

static void write_news(struct sc_progress *p, const struct news *news, struct sc_buf *out)
{
    if (p->type == SC_PROGRESS_JSON) {
        write_json(news, out);
        return;
    }
    if (p->type == SC_PROGRESS_TOTAL) {
        sc_buf_printf(out, p->path != NULL ? "%3u %%\n" : "\r%3u %% read", percent(&news->sum));
        return;
    }
    if (p->terminal && p->lines != 0)
        sc_buf_printf(out, "\033[%uA\033[J", p->lines); /* up, and wipe what is below */
    for (uint32_t i = 0; i < news->count; i++)
        write_line(&news->nodes[i], out);
    if (news->count == 0)
        write_line(&news->sum, out);
    p->lines = news->count == 0 ? 1 : news->count;
}

/* ---- when and where ---- */

static void show(struct sc_progress *p, const struct news *news)
{
    struct sc_buf text = {0};
    write_news(p, news, &text);
    FILE *f = p->path == NULL ? p->stream : fopen(p->path, "we");
    if (f != NULL && sc_buf_ok(&text))
        fwrite(text.data, 1, text.len, f);
    if (f != NULL && p->path == NULL)
        fflush(f);
    else if (f != NULL)
        fclose(f);
    sc_buf_free(&text);
}

static void show_in_turn(struct sc_progress *p, const struct news *news, bool last)
{
    uint64_t now = sc_clock_mono_ms();
    if (p->type == SC_PROGRESS_NONE || (now - p->shown_ms < SHOW_MS && !last))
        return;
    p->shown_ms = now;
    pthread_mutex_lock(&p->lock);
    if (!p->over) {
        p->shown = true;
        show(p, news);
    }
    pthread_mutex_unlock(&p->lock);
}

void sc_progress_show(void *arg, const struct sc_scan_progress *so_far)
{
    const struct news news = {.sum = {.name = "this node",
                                      .phase = "scan",
                                      .done = so_far->done,
                                      .total = so_far->total,
                                      .rows = so_far->rows,
                                      .bytes = so_far->bytes}};
    show_in_turn(arg, &news, so_far->done == so_far->total);
}

void sc_progress_show_nodes(struct sc_progress *p, const struct sc_progress_node *nodes, uint32_t count,
                            bool last)
{
    struct news news = {.sum = {.name = "all", .phase = "scan"}, .nodes = nodes, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        news.sum.done += nodes[i].done;
        news.sum.total += nodes[i].total;
        news.sum.rows += nodes[i].rows;
        news.sum.bytes += nodes[i].bytes;
    }
    if (news.sum.total != 0 || p->type != SC_PROGRESS_TOTAL)
        show_in_turn(p, &news, last);
}

void sc_progress_end(struct sc_progress *p)
{
    bool stands = p->type == SC_PROGRESS_TOTAL || (p->type == SC_PROGRESS_NODES && p->terminal);
    if (!stands || p->path != NULL)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->shown && !p->over && p->type == SC_PROGRESS_TOTAL)
        fputs("\r            \r", p->stream);
    else if (p->shown && !p->over)
        fprintf(p->stream, "\033[%uA\033[J", p->lines);
    fflush(p->stream);
    p->over = true;
    pthread_mutex_unlock(&p->lock);
}
