/* /proxies, /populate and /reset of the Toxiproxy API.
 *
 * Theory of operation. Every request is one change of the ruleset. A proxy that listens on "any
 * free port" has the port that it got written into the ruleset by a second change, which touches no
 * socket, so that it keeps the port when it is disabled and enabled again.
 *
 * /populate is one change, too, whose cost is that of the ruleset, however many proxies there are.
 * But clients expect it to stop half-way: what can't be changed at once is changed in two halves,
 * and so on, down to the proxy that fails. */
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

/* Whether it listens there already. */
static bool listens_at(const struct toxiproxy_call *call, const struct ruleset_route *route,
                       const char *listen)
{
    char buffer[ADDRESS_TEXT_MAX];
    return toxiproxy_same_listen(listen_of(call, route, buffer), listen);
}

/* --- changing --- */

/* A change of one route, which is in next, or of several. */
struct change {
    struct ruleset next;
    struct ruleset_route *route; /* the one in hand */
    bool any;                    /* something has been put into it */
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

/* Where these routes listen becomes what is written. It changes nothing that can fail. places: the
 * routes' in the ruleset in force. */
static void pin_listens(struct toxiproxy_call *call, const size_t *places, size_t count)
{
    struct ruleset pinned;
    struct error error;
    bool any = false;
    ruleset_copy(&pinned, api_current(call->call));
    for (size_t i = 0; i < count; i++) {
        struct ruleset_route *route = &pinned.routes[places[i]];
        char buffer[ADDRESS_TEXT_MAX];
        const char *listen = listen_of(call, route, buffer);
        if (strcmp(listen, route->listen) == 0)
            continue;
        snprintf(route->listen, sizeof(route->listen), "%s", listen);
        any = true;
    }
    if (any)
        (void)api_apply(call->call, &pinned, &error);
    ruleset_free(&pinned);
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
    int code = api_apply(call->call, &change->next, &call->error);
    if (is_own_obstacle(call, change, code))
        code = apply_after_closing(call, change);
    size_t place = (size_t)(change->route - change->next.routes);
    if (code == 0)
        pin_listens(call, &place, 1);
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

/* Puts a new one into the change. */
static int put_new(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy,
                   struct change *change)
{
    struct ruleset_route route = {.enabled = proxy->enabled, .close_unreached = true};
    char listen[RULESET_ADDRESS_MAX];
    int code = toxiproxy_normalize_listen(proxy->listen, listen, &call->error);
    if (code < 0)
        return code;
    snprintf(route.name, sizeof(route.name), "%s", proxy->name);
    snprintf(route.upstream, sizeof(route.upstream), "%s", proxy->upstream);
    change->route = ruleset_add_route(&change->next, &route);
    change->any = true;
    set_listen(change, listen);
    return 0;
}

/* Stores a new one. */
static unsigned create(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy)
{
    struct change change;
    if (ruleset_find_route(api_current(call->call), proxy->name)) {
        error_set(&call->error, -EEXIST, "proxy already exists");
        return MHD_HTTP_CONFLICT;
    }
    begin(call, proxy->name, &change);
    if (put_new(call, proxy, &change) == 0)
        return finish(call, &change, MHD_HTTP_CREATED);
    ruleset_free(&change.next);
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
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

/* Makes change->route, an existing proxy, what `proxy` says; fresh: without its toxics. */
static int put_changed(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy, bool fresh,
                       struct change *change)
{
    char listen[RULESET_ADDRESS_MAX], buffer[ADDRESS_TEXT_MAX];
    const struct ruleset_route old = *change->route;
    int code = toxiproxy_normalize_listen(proxy->listen, listen, &call->error);
    if (code < 0)
        return code;
    const char *listens = listen_of(call, &old, buffer);
    change->route->enabled = proxy->enabled;
    snprintf(change->route->upstream, sizeof(change->route->upstream), "%s", proxy->upstream);
    set_listen(change, listens_at(call, &old, listen) ? listens : listen);
    if (fresh)
        remove_faults_on(&change->next, proxy->name);
    change->any |= fresh || !is_same(&old, change->route);
    return 0;
}

static unsigned change_to(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy,
                          bool fresh)
{
    struct change change;
    unsigned status = MHD_HTTP_OK;
    begin(call, proxy->name, &change);
    if (put_changed(call, proxy, fresh, &change) < 0)
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    else if (change.any)
        return finish(call, &change, MHD_HTTP_OK);
    ruleset_free(&change.next);
    return status;
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

/* Whether /populate leaves this one alone. 1, 0, or a negative errno. */
static int is_there(struct toxiproxy_call *call, const struct ruleset_route *route,
                    const struct toxiproxy_proxy *proxy)
{
    char listen[RULESET_ADDRESS_MAX];
    int code = toxiproxy_normalize_listen(proxy->listen, listen, &call->error);
    if (code < 0)
        return code;
    return strcmp(route->upstream, proxy->upstream) == 0 && listens_at(call, route, listen);
}

/* One item of /populate: created, replaced, or left alone. A status below 300 is success. */
static unsigned populate_one(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxy)
{
    const struct ruleset_route *old = ruleset_find_route(api_current(call->call), proxy->name);
    if (!old || old->protocol != RULESET_TCP)
        return create(call, proxy);
    int there = is_there(call, old, proxy);
    if (there < 0)
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    return there ? MHD_HTTP_OK : change_to(call, proxy, true);
}

/* What populate_one does, for many and into one change. places: filled with the routes' in it. */
static int put_many(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxies,
                    size_t count, struct change *change, size_t *places)
{
    size_t old_count;
    int code = 0;
    const struct ruleset *current = api_current(call->call);
    const struct ruleset_route **sorted = sort_proxies(current, &old_count);
    for (size_t i = 0; i < count && code >= 0; i++) {
        struct ruleset_route key = {0}, *at = &key;
        memcpy(key.name, proxies[i].name, sizeof(key.name));
        const struct ruleset_route **old =
            bsearch(&at, sorted, old_count, sizeof(*sorted), compare_names);
        places[i] = old ? (size_t)(*old - current->routes) : change->next.route_count;
        change->route = old ? &change->next.routes[places[i]] : NULL;
        if (!old)
            code = put_new(call, &proxies[i], change);
        else if ((code = is_there(call, *old, &proxies[i])) == 0)
            code = put_changed(call, &proxies[i], true, change);
    }
    free(sorted);
    return code < 0 ? code : 0;
}

/* Appends them as they now are in force. */
static void encode_many(const struct toxiproxy_call *call, const size_t *places, size_t count,
                        json_t *done)
{
    const struct ruleset *ruleset = api_current(call->call);
    json_t *by_name = json_object();
    for (size_t i = 0; i < count; i++) {
        const struct ruleset_route *route = &ruleset->routes[places[i]];
        json_object_set_new(by_name, route->name, encode(call, route, json_array()));
    }
    toxiproxy_add_toxics(ruleset, by_name);
    for (size_t i = 0; i < count; i++)
        json_array_append(done, json_object_get(by_name, ruleset->routes[places[i]].name));
    json_decref(by_name);
}

/* All of them, or none. */
static bool populate_at_once(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxies,
                             size_t count, json_t *done)
{
    struct change change = {0};
    size_t *places = memory_allocate_zeroed(count, sizeof(*places));
    ruleset_copy(&change.next, api_current(call->call));
    int code = put_many(call, proxies, count, &change, places);
    if (code == 0 && change.any)
        code = api_apply(call->call, &change.next, &call->error);
    if (code == 0) {
        pin_listens(call, places, count);
        encode_many(call, places, count, done);
    }
    ruleset_free(&change.next);
    free(places);
    return code == 0;
}

/* In order, up to the one that fails; that one's status. */
static unsigned populate(struct toxiproxy_call *call, const struct toxiproxy_proxy *proxies,
                         size_t count, json_t *done)
{
    size_t half = count / 2;
    if (count == 1) {
        unsigned status = populate_one(call, proxies);
        if (status < MHD_HTTP_MULTIPLE_CHOICES)
            json_array_append_new(done, encode_named(call, proxies->name));
        return status;
    }
    if (count == 0 || populate_at_once(call, proxies, count, done))
        return MHD_HTTP_OK;
    unsigned status = populate(call, proxies, half, done);
    return status < MHD_HTTP_MULTIPLE_CHOICES ? populate(call, proxies + half, count - half, done)
                                              : status;
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
    else
        status = populate(call, proxies, count, done);
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
