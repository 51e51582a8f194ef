/* Bodies that are about proxies: parsing, decoding, the configuration file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/api/toxiproxy.h"
#include "proxy/api/toxiproxy_fields.h"
#include "proxy/base/text.h"
#include "proxy/wire/codec.h"

static bool is_blank(const char *body, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r\n", body[i]) || body[i] == '\0')
            return false;
    return true;
}

json_t *toxiproxy_parse(const char *body, size_t length, struct error *error)
{
    json_error_t why;
    if (is_blank(body, length)) {
        error_set(error, -EINVAL, TOXIPROXY_BAD_BODY "EOF");
        return NULL;
    }
    if (wire_has_too_many(body, length)) {
        error_set(error, -EINVAL, TOXIPROXY_BAD_BODY "more than %d objects and arrays",
                  WIRE_CONTAINERS_MAX);
        return NULL;
    }
    json_t *json = json_loadb(body, length, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &why);
    if (json)
        return json;
    if (json_error_code(&why) == json_error_premature_end_of_input)
        error_set(error, -EINVAL, TOXIPROXY_BAD_BODY "unexpected EOF");
    else
        error_set(error, -EINVAL, TOXIPROXY_BAD_BODY "line %d, column %d: %s", why.line, why.column,
                  why.text);
    return NULL;
}

/* --- fields --- */

static const char *word_for(const json_t *json)
{
    static const char *const words[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",     [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",      [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "nothing (null)"};
    return words[json_typeof(json)];
}

int toxiproxy_wrong_type(const json_t *json, const char *key, const char *wanted,
                         struct error *error)
{
    return error_set(error, -EINVAL, TOXIPROXY_BAD_BODY "%s%s%s is wanted, not %s", key,
                     key[0] ? ": " : "", wanted, word_for(json));
}

json_t *toxiproxy_field(const json_t *object, const char *key)
{
    json_t *found = NULL, *value, *same = json_object_get(object, key);
    const char *name;
    if (same)
        return json_is_null(same) ? NULL : same;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) if (strcasecmp(name, key) == 0)
        found = value;
    return json_is_null(found) ? NULL : found;
}

int toxiproxy_read_text(const json_t *object, const char *key, char *text, size_t size,
                        struct error *error)
{
    const json_t *value = toxiproxy_field(object, key);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return toxiproxy_wrong_type(value, key, "a text", error);
    if (json_string_length(value) >= size)
        return error_set(error, -EINVAL, "%s is at most %zu bytes, not %zu", key, size - 1,
                         json_string_length(value));
    snprintf(text, size, "%s", json_string_value(value));
    return 0;
}

static int read_flag(const json_t *object, const char *key, bool *flag, struct error *error)
{
    const json_t *value = toxiproxy_field(object, key);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return toxiproxy_wrong_type(value, key, "true or false", error);
    *flag = json_is_true(value);
    return 0;
}

/* --- proxies --- */

int toxiproxy_decode_proxy(const json_t *json, struct toxiproxy_proxy *proxy, struct error *error)
{
    int code;
    if (json_is_null(json))
        return 0;
    if (!json_is_object(json))
        return toxiproxy_wrong_type(json, "", "an object", error);
    if ((code = toxiproxy_read_text(json, "name", proxy->name, sizeof(proxy->name), error)) ||
        (code = toxiproxy_read_text(json, "listen", proxy->listen, sizeof(proxy->listen), error)) ||
        (code = toxiproxy_read_text(json, "upstream", proxy->upstream, sizeof(proxy->upstream),
                                    error)))
        return code;
    return read_flag(json, "enabled", &proxy->enabled, error);
}

int toxiproxy_check_proxy(const struct toxiproxy_proxy *proxy, const char *suffix,
                          struct error *error)
{
    const char *missing = !proxy->name[0] ? "name" : !proxy->upstream[0] ? "upstream" : NULL;
    if (missing)
        return error_set(error, -EINVAL, "missing required field: %s%s", missing, suffix);
    return 0;
}

static void format_suffix(size_t index, char *suffix, size_t size)
{
    snprintf(suffix, size, " at proxy %zu", index + 1);
}

int toxiproxy_decode_proxies(const json_t *json, struct toxiproxy_proxy **out, size_t *count,
                             struct error *error)
{
    if (!json_is_array(json) && !json_is_null(json))
        return toxiproxy_wrong_type(json, "", "an array", error);
    int code = 0;
    *count = json_array_size(json);
    if (*count > RULESET_ROUTES_MAX)
        return error_set(error, -EINVAL,
                         TOXIPROXY_BAD_BODY "at most %d proxies are possible, not %zu",
                         RULESET_ROUTES_MAX, *count);
    struct toxiproxy_proxy *proxies = memory_allocate_zeroed(*count + 1, sizeof(*proxies));
    for (size_t i = 0; code == 0 && i < *count; i++) {
        proxies[i].enabled = true;
        code = toxiproxy_decode_proxy(json_array_get(json, i), &proxies[i], error);
    }
    for (size_t i = 0; code == 0 && i < *count; i++) {
        char suffix[40];
        format_suffix(i, suffix, sizeof(suffix));
        code = toxiproxy_check_proxy(&proxies[i], suffix, error);
    }
    if (code < 0)
        free(proxies);
    else
        *out = proxies;
    return code;
}

/* --- the configuration file --- */

static int add_toxics(const json_t *item, const char *proxy, struct ruleset *ruleset,
                      const char *place, struct error *error)
{
    const json_t *toxics = toxiproxy_field(item, "toxics");
    if (toxics && !json_is_array(toxics))
        return toxiproxy_wrong_type(toxics, "toxics", "an array", error);
    for (size_t i = 0; i < json_array_size(toxics); i++) {
        struct ruleset_fault toxic;
        int code = toxiproxy_decode_toxic(json_array_get(toxics, i), proxy, &toxic, error);
        if (code == 0 && ruleset_find_fault(ruleset, toxic.name))
            code = error_set(error, -EEXIST, "toxic already exists");
        if (code < 0) {
            if (error)
                snprintf(error->place, sizeof(error->place), "%s, toxic %zu", place, i + 1);
            return code;
        }
        ruleset_add_fault(ruleset, &toxic);
    }
    return 0;
}

static int add_proxy(const json_t *item, const struct toxiproxy_proxy *proxy,
                     struct ruleset *ruleset, const char *place, struct error *error)
{
    struct ruleset_route route = {.enabled = proxy->enabled};
    int code = toxiproxy_normalize_listen(proxy->listen, route.listen, error);
    if (code == 0 && ruleset_find_route(ruleset, proxy->name))
        code = error_set(error, -EEXIST, "proxy already exists");
    if (code == 0) {
        snprintf(route.name, sizeof(route.name), "%s", proxy->name);
        snprintf(route.upstream, sizeof(route.upstream), "%s", proxy->upstream);
        ruleset_add_route(ruleset, &route);
        code = add_toxics(item, proxy->name, ruleset, place, error);
    }
    if (code < 0 && error && !error->place[0])
        snprintf(error->place, sizeof(error->place), "%s", place);
    return code;
}

int toxiproxy_decode_config(const char *text, size_t length, struct ruleset *ruleset,
                            struct error *error)
{
    struct toxiproxy_proxy *proxies = NULL;
    size_t count = 0;
    json_t *json = toxiproxy_parse(text, length, error);
    if (!json)
        return -EINVAL;
    int code = toxiproxy_decode_proxies(json, &proxies, &count, error);
    for (size_t i = 0; code == 0 && i < count; i++) {
        char place[40];
        snprintf(place, sizeof(place), "proxy %zu", i + 1);
        code = add_proxy(json_array_get(json, i), &proxies[i], ruleset, place, error);
    }
    free(proxies);
    json_decref(json);
    return code;
}
