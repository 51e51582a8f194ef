/* Theory of operation
 *
 * libmicrohttpd is nested in the control thread's loop: its descriptors are watched, and api_run is
 * called after each turn, which returns when one of them is ready or its deadline has come. Signals
 * arrive through a signalfd, so that nothing ever runs in a signal handler. */
#include "proxy/daemon/control.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/base/log.h"
#include "proxy/base/text.h"
#include "proxy/io/loop.h"
#include "proxy/io/socket.h"
#include "proxy/wire/codec.h"

enum { API_FDS_MAX = 16 };

/* The first address of host:port, the host being a name. Nothing is served yet that it could keep
 * waiting. */
static int look_up(const char *text, struct address *address, struct error *error)
{
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host))
        return error_set(error, -EINVAL, "'%s' is not an address: write host:port", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    int code = getaddrinfo(host, colon + 1, &hints, &found);
    if (code)
        return error_set(error, -EINVAL, "'%s' is no address, and as a name it is not known: %s",
                         host, gai_strerror(code));
    *address = (struct address){.length = found->ai_addrlen};
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static int listen_one(const char *text, struct address *bound, struct error *error)
{
    struct address address;
    bool name = strncmp(text, "unix:", 5) != 0 && isalpha((unsigned char)text[0]);
    int result = address_parse(text, &address, error);
    if (result && (!name || (result = look_up(text, &address, error))))
        return result;
    if (address.storage.ss_family == AF_UNIX)
        socket_remove_stale(&address);
    return socket_listen(&address, false, bound, error);
}

int control_listen(const char *const *texts, size_t count, int *fds, struct address *bound,
                   struct socket_file *files, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        fds[i] = listen_one(texts[i], &bound[i], error);
        if (fds[i] >= 0) {
            socket_remember_file(&bound[i], &files[i]);
            continue;
        }
        int result = fds[i];
        error_prefix_place(error, "--listen");
        while (i-- > 0) {
            close(fds[i]);
            control_unlink(&bound[i], &files[i], 1);
        }
        return result;
    }
    return 0;
}

bool control_is_private(const struct address *bound, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!address_is_loopback(&bound[i]))
            return false;
    return true;
}

void control_unlink(const struct address *bound, const struct socket_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        socket_remove_file(&bound[i], &files[i]);
}

static int read_file(const char *path, const char *option, struct text *content,
                     struct error *error)
{
    char buffer[65536];
    ssize_t got;
    if (!path[0])
        return error_set_at(error, -ENOENT, option, "write the name of a file, not ''");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_at(error, -errno, path, "%s", strerror(errno));
    while ((got = read(fd, buffer, sizeof(buffer))) > 0 && content->length <= WIRE_BODY_MAX)
        text_append_bytes(content, buffer, (size_t)got);
    int result = got < 0 ? error_set_at(error, -errno, path, "%s", strerror(errno)) : 0;
    close(fd);
    return result;
}

void control_blame_file(const char *path, struct error *error)
{
    char place[ERROR_PLACE_MAX];
    snprintf(place, sizeof(place), "%s%s%.128s", path, error->place[0] ? ": " : "", error->place);
    snprintf(error->place, sizeof(error->place), "%s", place);
}

int control_read_ruleset(const char *path, struct ruleset *ruleset, bool *has_seed,
                         struct error *error)
{
    struct text content = {0};
    int result = read_file(path, "--ruleset", &content, error);
    if (!result) {
        json_t *json = wire_parse_object(text_get(&content), content.length, error);
        result = json ? wire_decode_ruleset(json, ruleset, error) : -EINVAL;
        const json_t *seed = json_object_get(json, "seed");
        *has_seed = seed && !json_is_null(seed);
        json_decref(json);
        if (result)
            control_blame_file(path, error);
    }
    text_free(&content);
    return result;
}

int control_read_config(const char *path, struct ruleset *ruleset, struct error *error)
{
    struct text content = {0};
    int result = read_file(path, "--config", &content, error);
    if (!result && content.length > WIRE_BODY_MAX)
        result = error_set_at(error, -E2BIG, path, "a file is at most %d bytes", WIRE_BODY_MAX);
    else if (!result &&
             (result = toxiproxy_decode_config(text_get(&content), content.length, ruleset, error)))
        control_blame_file(path, error);
    text_free(&content);
    return result;
}

struct control {
    struct loop *loop;
    struct api *api;
    int signal_fd;
    struct loop_watch signal_watch;
    struct loop_watch api_watches[API_FDS_MAX];
    bool stopping;
};

static void on_signal(struct loop_watch *watch, uint32_t events)
{
    struct control *control = loop_container(watch, struct control, signal_watch);
    struct signalfd_siginfo info;
    (void)events;
    if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
        return;
    log_info("SIG%s: ending", sigabbrev_np((int)info.ssi_signo));
    control->stopping = true;
}

/* api_run after the turn does the work. */
static void on_api(struct loop_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
}

static int control_open(struct control *control, const struct api_backend *backend, const int *fds,
                        size_t count, struct error *error)
{
    sigset_t signals;
    int api_fds[API_FDS_MAX];
    int result = loop_create(&control->loop, error);
    if (result || (result = api_create(backend, fds, count, &control->api, error))) {
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        return result;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    control->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (control->signal_fd < 0)
        return error_set(error, -errno, "signalfd: %s", strerror(errno));
    result = loop_watch_add(control->loop, &control->signal_watch, control->signal_fd, EPOLLIN,
                            on_signal);
    size_t api_count = api_poll_fds(control->api, api_fds, API_FDS_MAX);
    for (size_t i = 0; !result && i < api_count; i++)
        result =
            loop_watch_add(control->loop, &control->api_watches[i], api_fds[i], EPOLLIN, on_api);
    return result ? error_set(error, result, "control loop: %s", strerror(-result)) : 0;
}

int control_create(const struct api_backend *backend, const struct api_options *options,
                   const int *fds, size_t count, struct control **out, struct error *error)
{
    struct control *control = memory_allocate_zeroed(1, sizeof(*control));
    control->signal_fd = -1;
    int result = control_open(control, backend, fds, count, error);
    if (result) {
        control_destroy(control);
        return result;
    }
    api_configure(control->api, options);
    *out = control;
    return 0;
}

int control_serve(struct control *control, struct error *error)
{
    int result = 0;
    while (!result && !control->stopping) {
        uint64_t now_ns = loop_now_ns(control->loop);
        result = loop_turn(control->loop, api_deadline_ns(control->api, now_ns));
        if (result)
            error_set(error, result, "control loop: %s", strerror(-result));
        else
            api_run(control->api, loop_now_ns(control->loop));
    }
    return result;
}

void control_destroy(struct control *control)
{
    if (!control)
        return;
    api_destroy(control->api);
    if (control->signal_fd >= 0)
        close(control->signal_fd);
    loop_destroy(control->loop);
    free(control);
}
