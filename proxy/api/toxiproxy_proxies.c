/* /proxies, /populate and /reset of the Toxiproxy API.
 *
 * Theory of operation. Every request is one change of the ruleset, or one for each proxy of
 * /populate, which clients expect to stop half-way. A proxy that listens on "any free port" has the
 * port that it got written into the ruleset by a second change, which touches no socket, so that it
 * keeps the port when it is disabled and enabled again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/api/toxiproxy_http.h"
#include "proxy/base/address.h"
#include "proxy/base/text.h"

/* --- telling --- */

/* Where it listens: the address that it is bound to, else what is written. */
static const char *listen_of(const struct toxiproxy_call *call, const struct ruleset_route *route,
                             char *buffer)
{
    const struct api_backend *backend = &call->call->api->backend;
    const char *bound = backend->route_listening(backend->context, route->name, buffer);
    return bound[0] ? bound : route->listen;
}

/* toxics: taken over. */
static json_t *encode(const struct toxiproxy_call *call, const struct ruleset_route *route,
                      json_t *toxics)
{
    char buffer[ADDRESS_TEXT_MAX];
    return json_pack("{s:s, s:o, s:s, s:b, s:o}", "name", route->name, "listen",
                     api_json_text(listen_of(call, route, buffer)), "upstream", route->upstream,
                     "enabled", route->enabled, "toxics", toxics);
}

/* Of the proxy named, as it now is in force. */
static json_t *encode_named(const struct toxiproxy_call *call, const char *name)
{
    const struct ruleset *ruleset = api_current(call->call);
    return encode(call, ruleset_find_route(ruleset, name), toxiproxy_encode_toxics(ruleset, name));
}

static int compare_names(const void *a, const void *b)
{
    const struct ruleset_route *const *one = a, *const *other = b;
    return strcmp((*one)->name, (*other)->name);
}

/* All of them by name. Caller frees. */
static const struct ruleset_route **sort_proxies(const struct ruleset *ruleset, size_t *count)
{
    const struct ruleset_route **sorted =
        memory_allocate_zeroed(ruleset->route_count + 1, sizeof(const struct ruleset_route *));
    *count = 0;
    for (size_t i = 0; i < ruleset->route_count; i++)
        if (ruleset->routes[i].protocol == RULESET_TCP)
            sorted[(*count)++] = &ruleset->routes[i];
    qsort(sorted, *count, sizeof(*sorted), compare_names);
    return sorted;
}

unsigned toxiproxy_list_proxies(struct toxiproxy_call *call)
{
    size_t count;
    const struct ruleset *ruleset = api_current(call->call);
    const struct ruleset_route **sorted = sort_proxies(ruleset, &count);
    call->answer = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(call->answer, sorted[i]->name, encode(call, sorted[i], json_array()));
    toxiproxy_add_toxics(ruleset, call->answer);
    free(sorted);
    return MHD_HTTP_OK;
}

unsigned toxiproxy_get_proxy(struct toxiproxy_call *call)
{
    if (!toxiproxy_find_proxy(call))
        return MHD_HTTP_NOT_FOUND;
    call->answer = encode_named(call, call->proxy);
    return MHD_HTTP_OK;
}

/* Whether it listens there already: on every address it may be IPv4's alone, where there is no
 * IPv6.
 */
static bool listens_at(const struct toxiproxy_call *call, const struct ruleset_route *route,
                       const char *listen, bool everywhere)
{
    char buffer[ADDRESS_TEXT_MAX], v4[RULESET_ADDRESS_MAX];
    const char *now = listen_of(call, route, buffer);
    snprintf(v4, sizeof(v4), "0.0.0.0%s", strrchr(listen, ':'));
    return toxiproxy_same_listen(now, listen) || (everywhere && toxiproxy_same_listen(now, v4));
}

/* --- changing --- */

/* A change of one route, which is in next. */
struct change {
    struct ruleset next;
    struct ruleset_route *route;
    bool everywhere; /* its address was written without a host */
};

static void begin(const struct toxiproxy_call *call, const char *name, struct change *change)
{
    *change = (struct change){0};
    ruleset_copy(&change->next, api_current(call->call));
    change->route = ruleset_find_route(&change->next, name);
}

/* Puts listen (normalized) into the change, as numbers where it will be bound. */
static void set_listen(struct change *change, const char *listen)
{
    char text[ADDRESS_TEXT_MAX];
    struct address address;
    bool numbers = change->route->enabled && address_parse(listen, &address, NULL) == 0;
    snprintf(change->route->listen, sizeof(change->route->listen), "%s",
             numbers ? address_format(&address, text) : listen);
}

static void remove_faults_on(struct ruleset *ruleset, const char *route)
{
    size_t kept = 0;
    for (size_t i = 0; i < ruleset->fault_count; i++)
        if (strcmp(ruleset->faults[i].route, route) != 0)
            ruleset->faults[kept++] = ruleset->faults[i];
    ruleset->fault_count = kept;
}

/* Where the proxy listens becomes what is written. It changes nothing that can fail. */
static void pin_listen(struct toxiproxy_call *call, const char *name)
{
    struct change pinned;
    struct error error;
    char buffer[ADDRESS_TEXT_MAX];
    begin(call, name, &pinned);
    const char *listen = listen_of(call, pinned.route, buffer);
    if (strcmp(listen, pinned.route->listen) != 0) {
        snprintf(pinned.route->listen, sizeof(pinned.route->listen), "%s", listen);
        (void)api_apply(call->call, &pinned.next, &error);
    }
    ruleset_free(&pinned.next);
}

/* Whether the change may have failed only because the proxy's own socket is in its way: the same
 * port of every address, now or then. */
static bool is_own_obstacle(const struct toxiproxy_call *call, const struct change *change,
                            int code)
{
    struct address now, then;
    char buffer[ADDRESS_TEXT_MAX];
    const struct ruleset_route *old =
        ruleset_find_route(api_current(call->call), change->route->name);
    return code == -EADDRINUSE && old && old->enabled && change->route->enabled &&
           address_parse(listen_of(call, old, buffer), &now, NULL) == 0 &&
           address_parse(change->route->listen, &then, NULL) == 0 && address_port(&now) > 0 &&
           address_port(&now) == address_port(&then) &&
           (address_is_any(&now) || address_is_any(&then));
}

/* Closes the old socket first; when the new address can't be had all the same, it listens on the
 * old one again. */
static int apply_after_closing(struct toxiproxy_call *call, const struct change *change)
{
    struct change closed, before;
    struct error ignored;
    begin(call, change->route->name, &before);
    begin(call, change->route->name, &closed);
    closed.route->enabled = false;
    int code = api_apply(call->call, &closed.next, &call->error);
    if (code == 0 && (code = api_apply(call->call, &change->next, &call->error)) < 0)
        (void)api_apply(call->call, &before.next, &ignored);
    ruleset_free(&closed.next);
    ruleset_free(&before.next);
    return code;
}

/* Puts the change in force. 0 or a negative errno with call->error. */
static int apply(struct toxiproxy_call *call, struct change *change)
{
    static const char v6[] = "[::]";
    char listen[RULESET_ADDRESS_MAX];
    int code = api_apply(call->call, &change->next, &call->error);
    bool no_v6 = code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL;
    if (no_v6 && change->everywhere && strncmp(change->route->listen, v6, sizeof(v6) - 1) == 0) {
        snprintf(listen, sizeof(listen), "0.0.0.0%.*s", (int)(sizeof(listen) - sizeof("0.0.0.0")),
                 change->route->listen + sizeof(v6) - 1);
        memcpy(change->route->listen, listen, sizeof(listen));
        code = api_apply(call->call, &change->next, &call->error);
    }
    if (is_own_obstacle(call, change, code))
        code = apply_after_closing(call, change);
    if (code == 0)
        pin_listen(call, change->route->name);
    return code;
}

/* apply, and the status of what came of it. */
static unsigned finish(struct toxiproxy_call *call, struct change *change, unsigned success)
{
    int code = apply(call, change);
    unsigned status = code < 0 ? toxiproxy_refuse_change(call, &change->next, code) : success;
    ruleset_free(&change->next);
    return status;
}

/* --- one proxy --- */

/* Stores a new one. */
static unsigned create(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy)
{
    struct change change;
    struct ruleset_route route = {.enabled = proxy->enabled, .close_unreached = true};
    char listen[RULESET_ADDRESS_MAX];
    bool everywhere;
    if (ruleset_find_route(api_current(call->call), proxy->name)) {
        error_set(&call->error, -EEXIST, "proxy already exists");
        return MHD_HTTP_CONFLICT;
    }
    if (toxiproxy_normalize_listen(proxy->listen, listen, &everywhere, &call->error) < 0)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    begin(call, proxy->name, &change);
    snprintf(route.name, sizeof(route.name), "%s", proxy->name);
    snprintf(route.upstream, sizeof(route.upstream), "%s", proxy->upstream);
    change.route = ruleset_add_route(&change.next, &route);
    change.everywhere = everywhere;
    set_listen(&change, listen);
    return finish(call, &change, MHD_HTTP_CREATED);
}

unsigned toxiproxy_add_proxy(struct toxiproxy_call *call)
{
    struct toxiproxy_proxy proxy = {.enabled = true};
    json_t *json = toxiproxy_body(call);
    int code = json ? toxiproxy_decode_proxy(json, &proxy, &call->error) : -EINVAL;
    json_decref(json);
    if (code == 0)
        code = toxiproxy_check_proxy(&proxy, "", &call->error);
    if (code < 0)
        return MHD_HTTP_BAD_REQUEST;
    unsigned status = create(call, &proxy);
    if (status == MHD_HTTP_CREATED)
        call->answer = encode_named(call, proxy.name);
    return status;
}

static bool is_same(const struct ruleset_route *a, const struct ruleset_route *b)
{
    return strcmp(a->listen, b->listen) == 0 && strcmp(a->upstream, b->upstream) == 0 &&
           a->enabled == b->enabled;
}

/* Makes an existing proxy what `proxy` says; fresh: without its toxics. */
static unsigned change_to(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy,
                          bool fresh)
{
    struct change change;
    char listen[RULESET_ADDRESS_MAX], buffer[ADDRESS_TEXT_MAX];
    bool everywhere;
    if (toxiproxy_normalize_listen(proxy->listen, listen, &everywhere, &call->error) < 0)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    begin(call, proxy->name, &change);
    const struct ruleset_route old = *change.route;
    const char *listens = listen_of(call, &old, buffer);
    change.route->enabled = proxy->enabled;
    change.everywhere = everywhere;
    snprintf(change.route->upstream, sizeof(change.route->upstream), "%s", proxy->upstream);
    set_listen(&change, listens_at(call, &old, listen, everywhere) ? listens : listen);
    if (fresh)
        remove_faults_on(&change.next, proxy->name);
    if (fresh || !is_same(&old, change.route))
        return finish(call, &change, MHD_HTTP_OK);
    ruleset_free(&change.next);
    return MHD_HTTP_OK;
}

unsigned toxiproxy_update_proxy(struct toxiproxy_call *call)
{
    struct toxiproxy_proxy proxy = {0};
    char buffer[ADDRESS_TEXT_MAX];
    const struct ruleset_route *route = toxiproxy_find_proxy(call);
    if (!route)
        return MHD_HTTP_NOT_FOUND;
    proxy.enabled = route->enabled;
    snprintf(proxy.listen, sizeof(proxy.listen), "%s", listen_of(call, route, buffer));
    snprintf(proxy.upstream, sizeof(proxy.upstream), "%s", route->upstream);
    json_t *json = toxiproxy_body(call);
    int code = json ? toxiproxy_decode_proxy(json, &proxy, &call->error) : -EINVAL;
    json_decref(json);
    if (code < 0)
        return MHD_HTTP_BAD_REQUEST;
    snprintf(proxy.name, sizeof(proxy.name), "%s", route->name); /* it has that, whatever it says */
    unsigned status = change_to(call, &proxy, false);
    if (status == MHD_HTTP_OK)
        call->answer = encode_named(call, proxy.name);
    return status;
}

unsigned toxiproxy_remove_proxy(struct toxiproxy_call *call)
{
    struct ruleset next;
    if (!toxiproxy_find_proxy(call))
        return MHD_HTTP_NOT_FOUND;
    ruleset_copy(&next, api_current(call->call));
    remove_faults_on(&next, call->proxy);
    ruleset_remove_route(&next, call->proxy);
    int code = api_apply(call->call, &next, &call->error);
    unsigned status = code < 0 ? toxiproxy_refuse_change(call, &next, code) : MHD_HTTP_NO_CONTENT;
    ruleset_free(&next);
    return status;
}

/* --- many --- */

/* One item of /populate: created, replaced, or left alone. A status below 300 is success. */
static unsigned populate_one(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy)
{
    char listen[RULESET_ADDRESS_MAX];
    bool everywhere;
    const struct ruleset_route *old = ruleset_find_route(api_current(call->call), proxy->name);
    if (!old || old->protocol != RULESET_TCP)
        return create(call, proxy);
    if (toxiproxy_normalize_listen(proxy->listen, listen, &everywhere, &call->error) < 0)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    if (strcmp(old->upstream, proxy->upstream) == 0 && listens_at(call, old, listen, everywhere))
        return MHD_HTTP_OK;
    return change_to(call, proxy, true);
}

unsigned toxiproxy_populate(struct toxiproxy_call *call)
{
    struct toxiproxy_proxy *proxies = NULL;
    size_t count = 0;
    unsigned status = MHD_HTTP_OK;
    json_t *json = toxiproxy_body(call), *done = json_array();
    int code = json ? toxiproxy_decode_proxies(json, &proxies, &count, &call->error) : -EINVAL;
    json_decref(json);
    if (code < 0)
        status = MHD_HTTP_BAD_REQUEST;
    for (size_t i = 0; status < MHD_HTTP_MULTIPLE_CHOICES && i < count; i++) {
        status = populate_one(call, &proxies[i]);
        if (status < MHD_HTTP_MULTIPLE_CHOICES)
            json_array_append_new(done, encode_named(call, proxies[i].name));
    }
    free(proxies);
    if (json_array_size(done) == 0) { /* an empty list is null to these clients */
        json_decref(done);
        done = json_null();
    }
    if (status < MHD_HTTP_MULTIPLE_CHOICES) {
        call->answer = json_pack("{s:o}", "proxies", done);
        return MHD_HTTP_CREATED;
    }
    call->answer = json_pack("{s:o, s:i, s:o}", "error", api_json_text(call->error.message),
                             "status", (int)status, "proxies", done);
    return status;
}

/* Enables every proxy and removes every fault that is on one. False when nothing was to be done. */
static bool clean(struct ruleset *ruleset)
{
    size_t count, kept = 0;
    bool changed = false;
    const struct ruleset_route **sorted = sort_proxies(ruleset, &count);
    for (size_t i = 0; i < ruleset->fault_count; i++) {
        struct ruleset_route key = {0}, *at = &key;
        memcpy(key.name, ruleset->faults[i].route, sizeof(key.name));
        if (!bsearch(&at, sorted, count, sizeof(*sorted), compare_names))
            ruleset->faults[kept++] = ruleset->faults[i];
    }
    free(sorted);
    changed = kept < ruleset->fault_count;
    ruleset->fault_count = kept;
    for (size_t i = 0; i < ruleset->route_count; i++) {
        struct ruleset_route *route = &ruleset->routes[i];
        changed = changed || (route->protocol == RULESET_TCP && !route->enabled);
        route->enabled = route->enabled || route->protocol == RULESET_TCP;
    }
    return changed;
}

unsigned toxiproxy_reset(struct toxiproxy_call *call)
{
    struct ruleset next;
    ruleset_copy(&next, api_current(call->call));
    int code = clean(&next) ? api_apply(call->call, &next, &call->error) : 0;
    unsigned status = code < 0 ? toxiproxy_refuse_change(call, &next, code) : MHD_HTTP_NO_CONTENT;
    ruleset_free(&next);
    return status;
}
