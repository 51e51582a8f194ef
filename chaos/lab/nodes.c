/* Theory of operation
 *
 * A node's command and environment are worked out once, before anything of it runs, so that a
 * restart is the same start again. Its clock page and the clock library come from severd, which
 * knows where they are; without a library clocks simply can't be shifted, and a step that tries is
 * refused then (see evidence.c for its proof).
 *
 * Ready is what clients need, not what a log says: each node answers PING, directly. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/template.h"
#include "chaos/workload/driver.h"
#include "proxy/base/monotonic.h"
#include "proxy/clock/clock_page.h"

extern char **environ;

#define PROOF_PATIENCE_NS (2 * NS_PER_S)
#define ASK_TIMEOUT_NS (500 * NS_PER_MS)
#define SILENCE_NS (100 * NS_PER_MS)
enum { READY_PAUSE_MS = 20 };

/* ---- preparing ------------------------------------------------------------------------------- */

static char *join(const char *head, const char *tail)
{
    struct text text = {0};
    text_append(&text, "%s%s", head, tail);
    char *result = memory_copy_text(text_get(&text));
    text_free(&text);
    return result;
}

/* Where the pages are: {"n1": "/path/n1.clock", ...}; a new reference. */
static json_t *read_clock_pages(struct lab *lab)
{
    json_t *answer = NULL, *pages = json_object(), *clock;
    size_t i;
    if (wire_client_request(lab->client, "GET", "/v1/clocks", NULL, &answer, NULL) == 0) {
        json_array_foreach(json_object_get(answer, "clocks"), i, clock)
        {
            const char *node = json_string_value(json_object_get(clock, "node"));
            json_t *page = json_object_get(clock, "page");
            if (node && json_is_string(page))
                json_object_set(pages, node, page);
        }
    }
    json_decref(answer);
    return pages;
}

static const char *clock_library(const struct lab *lab)
{
    json_t *mechanisms = json_object_get(lab->status, "mechanisms");
    json_t *clock = json_object_get(mechanisms, "clock");
    return json_string_value(json_object_get(clock, "library"));
}

static bool is_set_by(char **words, const char *variable)
{
    size_t length = strlen(variable);
    for (size_t i = 0; words && words[i]; i++) {
        if (strncmp(words[i], variable, length) == 0 && words[i][length] == '=')
            return true;
    }
    return false;
}

/* Ours, but for what the experiment or the clock sets. */
static void inherit_environment(char ***words)
{
    for (char **at = environ; *at; at++) {
        char *name = memory_copy_text(*at);
        name[strcspn(name, "=")] = '\0';
        if (!is_set_by(*words, name))
            lab_add_word(words, memory_copy_text(*at));
        free(name);
    }
}

static void add_clock(struct lab *lab, const char *page, char ***words)
{
    const char *library = clock_library(lab);
    const char *before = getenv("LD_PRELOAD");
    if (!page || !library || access(library, R_OK) < 0 || is_set_by(*words, "LD_PRELOAD"))
        return;
    struct text preload = {0};
    text_append(&preload, "LD_PRELOAD=%s%s%s", library, before && *before ? ":" : "",
                before ? before : "");
    lab_add_word(words, memory_copy_text(text_get(&preload)));
    lab_add_word(words, join(CLOCK_PAGE_ENVIRONMENT "=", page));
    text_free(&preload);
}

static int prepare(struct lab *lab, size_t i, json_t *pages, struct error *error)
{
    const struct experiment_cluster *cluster = &lab->experiment->cluster;
    struct lab_node *node = &lab->nodes[i];
    struct text folder = {0};
    text_append(&folder, "%s/%s", lab->directory, cluster->nodes[i]);
    node->directory = join(text_get(&folder), "/data");
    node->log_path = join(text_get(&folder), "/log");
    bool made = mkdir(text_get(&folder), 0755) == 0 && mkdir(node->directory, 0755) == 0;
    text_free(&folder);
    if (!made)
        return error_set_at(error, -errno, node->directory, "can't be made: %s", strerror(errno));

    int code =
        lab_expand_words(cluster, lab->places, i, node->directory, &cluster->launches[i].command,
                         "cluster.command", &node->arguments, error);
    if (code == 0)
        code = lab_expand_environment(cluster, lab->places, i, node->directory, &node->environment,
                                      error);
    if (code < 0)
        return code;
    char *program = process_find_program(node->arguments[0], error);
    if (!program) {
        error_prefix_place(error, "cluster.command");
        return -ENOENT;
    }
    free(node->arguments[0]);
    node->arguments[0] = program;
    for (size_t k = 0; k < lab->extra_count; k++)
        lab_add_word(&node->arguments, memory_copy_text(lab->extra_arguments[k]));
    add_clock(lab, json_string_value(json_object_get(pages, cluster->nodes[i])),
              &node->environment);
    inherit_environment(&node->environment);
    return lab_launch_prepare(lab, i, error);
}

int lab_prepare_nodes(struct lab *lab, struct error *error)
{
    json_t *pages = read_clock_pages(lab);
    int code = lab_launch_find_user(lab, error);
    for (size_t i = 0; code == 0 && i < lab->node_count; i++)
        code = prepare(lab, i, pages, error);
    json_decref(pages);
    return code;
}

void lab_free_nodes(struct lab *lab)
{
    for (size_t i = 0; i < lab->node_count; i++) {
        struct lab_node *node = &lab->nodes[i];
        process_kill(&node->process);
        lab_launch_free(node);
        lab_free_words(node->arguments);
        lab_free_words(node->environment);
        free(node->directory);
        free(node->log_path);
        *node = (struct lab_node){0};
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

static int start(struct lab *lab, size_t i, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    struct process_setup setup = {.arguments = node->arguments,
                                  .environment = node->environment,
                                  .directory = node->directory,
                                  .log_path = node->log_path,
                                  .user = lab->user,
                                  .group = lab->group,
                                  .home = node->home};
    int code = process_start(&setup, &node->process, error);
    if (code == 0)
        code = lab_launch_also(lab, i, error);
    if (code == 0)
        atomic_store(&node->state, LAB_RUNNING);
    return code;
}

void lab_ask_to_end(struct lab *lab)
{
    for (size_t i = 0; i < lab->node_count; i++) {
        process_ask_to_end(&lab->nodes[i].process);
        for (size_t k = 0; k < lab->nodes[i].also_count; k++)
            process_ask_to_end(&lab->nodes[i].also[k].process);
    }
}

/* A client of the node, for the calling thread, which goes there. NULL: it can't. */
static void *open_client(const struct lab *lab, size_t i)
{
    struct driver_place place = {
        .target = &lab->nodes[i].private_address,
        .abort_fd = lab->abort_fd,
        .node_count = lab->node_count,
        .sentinel_port = lab_sentinel_port(lab),
    };
    if (lab_go_to_node(lab, i, NULL) < 0)
        return NULL;
    return driver_of(lab->experiment->cluster.system)->open(&place);
}

bool lab_node_answers(struct lab *lab, size_t node, uint64_t timeout_ns)
{
    const struct driver *driver = driver_of(lab->experiment->cluster.system);
    void *client = open_client(lab, node);
    if (!client)
        return false;
    bool answers = driver->ping(client, monotonic_now_ns() + timeout_ns);
    driver->close(client);
    return answers;
}

int lab_query_info(const struct lab *lab, size_t node, uint64_t timeout_ns, struct text *info)
{
    const struct driver *driver = driver_of(lab->experiment->cluster.system);
    void *client = open_client(lab, node);
    if (!client)
        return -ESRCH;
    int code = driver->tell(client, monotonic_now_ns() + timeout_ns, info);
    driver->close(client);
    return code;
}

static bool says(struct lab *lab, size_t node, const char *line)
{
    struct text info = {0};
    bool result = lab_query_info(lab, node, ASK_TIMEOUT_NS, &info) == 0 &&
                  resp_info_has_line(text_get(&info), info.length, line);
    text_free(&info);
    return result;
}

static bool is_ready(struct lab *lab, size_t node)
{
    return lab->experiment->cluster.system == EXPERIMENT_RAFTKV
               ? lab_node_answers(lab, node, ASK_TIMEOUT_NS)
               : says(lab, node, "ready:1");
}

static bool somebody_leads(struct lab *lab)
{
    for (size_t i = 0; i < lab->node_count; i++) {
        if (says(lab, i, lab->experiment->cluster.leader_line))
            return true;
    }
    return false;
}

/* -ECHILD when a node or severd is gone. */
static int check_alive(struct lab *lab, struct error *error)
{
    char what[256];
    int node = lab_poll_exit(lab, what, sizeof(what));
    if (node < 0)
        return lab_check_severd(lab, error);
    return error_set(error, -ECHILD, "before it was ready, %s %s", lab_node_name(lab, (size_t)node),
                     what);
}

/* 0, or -ECANCELED. */
static int pause_between(const struct lab *lab, struct error *error)
{
    struct pollfd wait = {.fd = lab->abort_fd, .events = POLLIN};
    return poll(&wait, 1, READY_PAUSE_MS) == 1 ? error_set(error, -ECANCELED, "interrupted") : 0;
}

/* What node `i` still waits for, as far as it tells, and the end of its log. */
static int blame_node(struct lab *lab, size_t i, struct error *error)
{
    char waiting[ERROR_MESSAGE_MAX / 4] = "";
    struct text info = {0}, why = {0};
    if (lab->experiment->cluster.system == EXPERIMENT_RAFTKV)
        text_append(&why, "does not answer PING");
    else if (lab_query_info(lab, i, ASK_TIMEOUT_NS, &info) < 0)
        text_append(&why, "is not ready: it does not answer");
    else if (resp_info_field(text_get(&info), info.length, "waiting", waiting, sizeof(waiting)))
        text_append(&why, "is not ready: it waits for %s", waiting);
    else
        text_append(&why, "is not ready");
    text_append(&why, " (its log: %s)", lab->nodes[i].log_path);
    lab_append_log_tail(lab->nodes[i].log_path, &why);
    error_set(error, -ETIMEDOUT, "%s %s", lab_node_name(lab, i), text_get(&why));
    text_free(&info);
    text_free(&why);
    return -ETIMEDOUT;
}

static int await_answer(struct lab *lab, size_t node, uint64_t deadline_ns, struct error *error)
{
    for (;;) {
        int code = check_alive(lab, error);
        if (code < 0 || lab_node_answers(lab, node, ASK_TIMEOUT_NS))
            return code;
        if (monotonic_now_ns() >= deadline_ns)
            return blame_node(lab, node, error);
        code = pause_between(lab, error);
        if (code < 0)
            return code;
    }
}

static int begin(struct lab *lab, size_t i, uint64_t deadline_ns, struct error *error)
{
    int code = lab_launch_init(lab, i, deadline_ns, error);
    return code < 0 ? code : start(lab, i, error);
}

int lab_start_nodes(struct lab *lab, uint64_t deadline_ns, struct error *error)
{
    const char *first = lab->experiment->cluster.first;
    int code = 0;
    for (size_t i = 0; code == 0 && i < lab->node_count; i++) {
        if (strcmp(lab_node_name(lab, i), first) != 0)
            continue;
        code = begin(lab, i, deadline_ns, error);
        if (code == 0)
            code = await_answer(lab, i, deadline_ns, error);
    }
    for (size_t i = 0; code == 0 && i < lab->node_count; i++) {
        if (strcmp(lab_node_name(lab, i), first) != 0)
            code = begin(lab, i, deadline_ns, error);
    }
    return code;
}

int lab_wait_ready(struct lab *lab, uint64_t deadline_ns, struct error *error)
{
    size_t ready = 0; /* nodes before this one are ready */
    for (;;) {
        int code = check_alive(lab, error);
        if (code < 0)
            return code;
        while (ready < lab->node_count && is_ready(lab, ready))
            ready++;
        if (ready == lab->node_count &&
            (!lab->experiment->cluster.leader_line || somebody_leads(lab)))
            return 0;
        if (monotonic_now_ns() >= deadline_ns && ready < lab->node_count)
            return blame_node(lab, ready, error);
        if (monotonic_now_ns() >= deadline_ns)
            return error_set(error, -ETIMEDOUT, "no node says %s of itself",
                             lab->experiment->cluster.leader_line);
        code = pause_between(lab, error);
        if (code < 0)
            return code;
    }
}

/* ---- faults on processes --------------------------------------------------------------------- */

static int require(const struct lab *lab, size_t i, bool allowed, const char *what,
                   struct error *error)
{
    static const char *const states[] = {"down", "running", "paused"};
    if (allowed)
        return 0;
    return error_set(error, -EINVAL, "%s is %s: it can't be %s", lab_node_name(lab, i),
                     states[lab_node_state(lab, i)], what);
}

/* Whatever /proc says, what answers has not stopped. */
static int require_silence(struct lab *lab, size_t i, const char *what, struct error *error)
{
    if (!lab_node_answers(lab, i, SILENCE_NS))
        return 0;
    return error_set(
        error, -EBUSY,
        "%s was %s and still answers PING: a process serves it that its command did not start",
        lab_node_name(lab, i), what);
}

int lab_kill(struct lab *lab, size_t i, char *evidence, size_t evidence_size, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    int code = require(lab, i, lab_node_state(lab, i) != LAB_DOWN, "killed", error);
    if (code < 0)
        return code;
    atomic_store(&node->state, LAB_DOWN);
    process_kill(&node->process);
    lab_launch_kill_also(node);
    process_describe_status(node->process.status, evidence, evidence_size);
    return require_silence(lab, i, "killed", error);
}

int lab_pause(struct lab *lab, size_t i, char *evidence, size_t evidence_size, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    int code = require(lab, i, lab_node_state(lab, i) == LAB_RUNNING, "paused", error);
    if (code < 0)
        return code;
    atomic_store(&node->state, LAB_PAUSED);
    size_t count = 0;
    code = process_pause(&node->process, PROOF_PATIENCE_NS, &count, error);
    for (size_t k = 0; code == 0 && k < node->also_count; k++) {
        size_t more = 0;
        code = process_pause(&node->also[k].process, PROOF_PATIENCE_NS, &more, error);
        count += more;
    }
    if (code == 0)
        code = require_silence(lab, i, "stopped", error);
    int length = snprintf(evidence, evidence_size, "pid %d", (int)node->process.pid);
    if (count > 1)
        length += snprintf(evidence + length, evidence_size - (size_t)length, " and %zu below it",
                           count - 1);
    snprintf(evidence + length, evidence_size - (size_t)length, "%s in state T (stopped)",
             count > 1 ? " are" : " is");
    return code;
}

int lab_resume(struct lab *lab, size_t i, char *evidence, size_t evidence_size, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    int code = require(lab, i, lab_node_state(lab, i) == LAB_PAUSED, "resumed", error);
    if (code < 0)
        return code;
    code = process_resume(&node->process, PROOF_PATIENCE_NS, error);
    for (size_t k = 0; code == 0 && k < node->also_count; k++)
        code = process_resume(&node->also[k].process, PROOF_PATIENCE_NS, error);
    if (code == 0)
        atomic_store(&node->state, LAB_RUNNING);
    snprintf(evidence, evidence_size, "pid %d runs again", (int)node->process.pid);
    return code;
}

int lab_restart(struct lab *lab, size_t i, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    atomic_store(&node->state, LAB_DOWN);
    process_kill(&node->process);
    lab_launch_kill_also(node);
    return start(lab, i, error);
}

/* How it ended, and the end of its log. */
static void describe_exit(const struct process *process, const char *name, const char *log_path,
                          char *what, size_t size)
{
    char status[64];
    struct text tail = {0};
    lab_append_log_tail(log_path, &tail);
    snprintf(what, size, "%s%sended by itself, %s%s", name, *name ? " " : "",
             process_describe_status(process->status, status, sizeof(status)), text_get(&tail));
    text_free(&tail);
}

int lab_poll_exit(struct lab *lab, char *what, size_t size)
{
    for (size_t i = 0; i < lab->node_count; i++) {
        struct lab_node *node = &lab->nodes[i];
        if (lab_node_state(lab, i) == LAB_DOWN)
            continue;
        bool ended = !process_poll(&node->process);
        struct lab_also *also = ended ? NULL : lab_launch_poll_also(node);
        if (!ended && !also)
            continue;
        atomic_store(&node->state, LAB_DOWN);
        if (ended)
            describe_exit(&node->process, "", node->log_path, what, size);
        else
            describe_exit(&also->process,
                          lab->experiment->cluster.launches[i].also[also - node->also].name,
                          also->log_path, what, size);
        return (int)i;
    }
    return -1;
}
