/* Theory of operation
 *
 * A node is more than its command: files that are made from templates, an init that runs to its end
 * before the first start, and further processes beside the command. To the timeline it is one
 * machine: what is done to it is done to all of its processes, and when one of them ends by itself,
 * the node has.
 *
 * Files and init belong to the first start only. A node that is started again finds what it left,
 * as a machine does. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/lab/lab_internal.h"
#include "chaos/lab/template.h"
#include "proxy/base/monotonic.h"

enum { FILE_MAX_BYTES = 1024 * 1024, INIT_PAUSE_MS = 10 };

int lab_launch_find_user(struct lab *lab, struct error *error)
{
    const char *name = lab->experiment->cluster.user;
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (!*name || geteuid() != 0)
        return 0;
    int code = getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
    if (!found)
        return error_set_at(error, code ? -code : -ENOENT, "cluster.user",
                            "there is no user %s on this machine", name);
    lab->user = found->pw_uid;
    lab->group = found->pw_gid;
    return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int read_template(const char *path, char **content, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    *content = memory_allocate(FILE_MAX_BYTES + 1);
    size_t length = fread(*content, 1, FILE_MAX_BYTES + 1, file);
    int code = ferror(file) ? -EIO : length > FILE_MAX_BYTES ? -EFBIG : 0;
    fclose(file);
    if (code == 0)
        (*content)[length] = '\0';
    else
        free(*content);
    return code < 0 ? error_set_at(error, code, path, "%s", strerror(-code)) : 0;
}

static int write_all(const struct lab *lab, const char *path, const char *text, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    size_t length = strlen(text);
    int code = fd < 0 || write(fd, text, length) != (ssize_t)length ? -errno : 0;
    if (code == 0 && lab->user && fchown(fd, lab->user, lab->group) < 0)
        code = -errno;
    if (fd >= 0)
        close(fd);
    return code < 0 ? error_set_at(error, code, path, "can't be written: %s", strerror(-code)) : 0;
}

static int make_file(struct lab *lab, size_t i, const char *name, struct error *error)
{
    const struct lab_node *node = &lab->nodes[i];
    const char *slash = strrchr(name, '/');
    struct text from = {0}, to = {0};
    char *content = NULL, *expanded = NULL;
    text_append(&from, "%s%s%s", name[0] == '/' ? "" : lab->file_folder, name[0] == '/' ? "" : "/",
                name);
    text_append(&to, "%s/%s", node->directory, slash ? slash + 1 : name);
    int code = read_template(text_get(&from), &content, error);
    if (code == 0) {
        code = lab_expand_text(&lab->experiment->cluster, lab->places, i, node->directory, content,
                               &expanded, error);
        if (code < 0)
            error_prefix_place(error, text_get(&from));
        free(content);
    }
    if (code == 0)
        code = write_all(lab, text_get(&to), expanded, error);
    free(expanded);
    text_free(&from);
    text_free(&to);
    return code;
}

/* ---- preparing ------------------------------------------------------------------------------- */

/* The words of a program, found; *log: where it writes, beside the node's log. */
static int prepare_program(struct lab *lab, size_t i, const struct experiment_words *words,
                           const char *what, const char *log_name, char ***arguments, char **log,
                           struct error *error)
{
    const struct lab_node *node = &lab->nodes[i];
    int code = lab_expand_words(&lab->experiment->cluster, lab->places, i, node->directory, words,
                                what, arguments, error);
    if (code < 0)
        return code;
    char *program = process_find_program((*arguments)[0], error);
    if (!program) {
        error_prefix_place(error, what);
        return -ENOENT;
    }
    free((*arguments)[0]);
    (*arguments)[0] = program;
    struct text path = {0};
    text_append(&path, "%.*s/%s.log", (int)(strrchr(node->directory, '/') - node->directory),
                node->directory, log_name);
    *log = memory_copy_text(text_get(&path));
    text_free(&path);
    return 0;
}

int lab_launch_prepare(struct lab *lab, size_t i, struct error *error)
{
    const struct experiment_launch *launch = &lab->experiment->cluster.launches[i];
    struct lab_node *node = &lab->nodes[i];
    int code = 0;
    if (lab->user && chown(node->directory, lab->user, lab->group) < 0)
        code = error_set_at(error, -errno, node->directory, "can't be given away: %s",
                            strerror(errno));
    for (size_t k = 0; code == 0 && k < launch->files.count; k++)
        code = make_file(lab, i, launch->files.items[k], error);
    if (code == 0 && launch->init.count)
        code = prepare_program(lab, i, &launch->init, "cluster.init", "init", &node->init,
                               &node->init_log, error);
    node->also = memory_allocate_zeroed(launch->also_count + 1, sizeof(*node->also));
    for (; code == 0 && node->also_count < launch->also_count; node->also_count++) {
        struct lab_also *also = &node->also[node->also_count];
        const struct experiment_process *process = &launch->also[node->also_count];
        code = prepare_program(lab, i, &process->command, "cluster.also", process->name,
                               &also->arguments, &also->log_path, error);
    }
    return code;
}

void lab_launch_free(struct lab_node *node)
{
    lab_launch_kill_also(node);
    for (size_t k = 0; k < node->also_count; k++) {
        lab_free_words(node->also[k].arguments);
        free(node->also[k].log_path);
    }
    free(node->also);
    lab_free_words(node->init);
    free(node->init_log);
}

/* ---- running --------------------------------------------------------------------------------- */

static int start_beside(const struct lab *lab, const struct lab_node *node, char *const *arguments,
                        const char *log_path, struct process *process, struct error *error)
{
    struct process_setup setup = {.arguments = arguments,
                                  .environment = node->environment,
                                  .directory = node->directory,
                                  .log_path = log_path,
                                  .user = lab->user,
                                  .group = lab->group,
                                  .home = node->home};
    return process_start(&setup, process, error);
}

static int await_end(struct lab *lab, struct process *process, uint64_t deadline_ns,
                     struct error *error)
{
    while (process_poll(process)) {
        struct pollfd wait = {.fd = lab->abort_fd, .events = POLLIN};
        if (poll(&wait, 1, INIT_PAUSE_MS) == 1)
            return error_set(error, -ECANCELED, "interrupted");
        if (monotonic_now_ns() >= deadline_ns)
            return error_set(error, -ETIMEDOUT, "it did not end in time");
    }
    return 0;
}

int lab_launch_init(struct lab *lab, size_t i, uint64_t deadline_ns, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    struct process process = {0};
    char status[64];
    if (!node->init)
        return 0;
    int code = start_beside(lab, node, node->init, node->init_log, &process, error);
    if (code < 0)
        return code;
    code = await_end(lab, &process, deadline_ns, error);
    process_kill(&process);
    if (code == 0 && process.status != 0) {
        struct text tail = {0};
        lab_append_log_tail(node->init_log, &tail);
        code = error_set(error, -ECHILD, "init of %s failed, %s%s", lab_node_name(lab, i),
                         process_describe_status(process.status, status, sizeof(status)),
                         text_get(&tail));
        text_free(&tail);
    } else if (code == -ETIMEDOUT) {
        error_set(error, code, "init of %s did not end in time (its log: %s)",
                  lab_node_name(lab, i), node->init_log);
    }
    return code;
}

int lab_launch_also(struct lab *lab, size_t i, struct error *error)
{
    struct lab_node *node = &lab->nodes[i];
    int code = 0;
    for (size_t k = 0; code == 0 && k < node->also_count; k++)
        code = start_beside(lab, node, node->also[k].arguments, node->also[k].log_path,
                            &node->also[k].process, error);
    return code;
}

void lab_launch_kill_also(struct lab_node *node)
{
    for (size_t k = 0; k < node->also_count; k++)
        process_kill(&node->also[k].process);
}

struct lab_also *lab_launch_poll_also(struct lab_node *node)
{
    for (size_t k = 0; k < node->also_count; k++) {
        if (!process_poll(&node->also[k].process))
            return &node->also[k];
    }
    return NULL;
}
