/* The table of paths, and finding one in it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/api/internal.h"
#include "proxy/api/url.h"

enum { SEGMENTS_MAX = 5, COST_MISSING = 2, COST_CLOSE = 4 };

static const struct api_query query_link[] = {{"link", "n1->n2"}, {NULL, NULL}},
                              query_node[] = {{"node", "n1"}, {NULL, NULL}},
                              query_since[] = {{"since", "12"}, {NULL, NULL}},
                              query_capture[] = {{"node", "n1"},
                                                 {"link", "n1->n2"},
                                                 {"filter", "tcp%20port%2080"},
                                                 {"snaplen", "96"},
                                                 {NULL, NULL}};

const struct api_path api_paths[] = {
    {"GET", "/v1/status", api_get_status, NULL},
    {"GET", "/v1/doctor", api_get_doctor, NULL},
    {"GET", "/v1/ruleset", api_get_ruleset, NULL},
    {"PUT", "/v1/ruleset", api_put_ruleset, NULL},
    {"GET", "/v1/nodes", api_list_nodes, NULL},
    {"POST", "/v1/nodes", api_add_node, NULL},
    {"GET", "/v1/nodes/{name}", api_get_node, NULL},
    {"DELETE", "/v1/nodes/{name}", api_remove_node, NULL},
    {"GET", "/v1/links", api_list_links, query_node},
    {"GET", "/v1/routes", api_list_routes, NULL},
    {"POST", "/v1/routes", api_add_route, NULL},
    {"GET", "/v1/routes/{name}", api_get_route, NULL},
    {"PATCH", "/v1/routes/{name}", api_patch_route, NULL},
    {"DELETE", "/v1/routes/{name}", api_remove_route, NULL},
    {"GET", "/v1/faults", api_list_faults, NULL},
    {"POST", "/v1/faults", api_add_fault, NULL},
    {"DELETE", "/v1/faults", api_remove_faults, query_link},
    {"GET", "/v1/faults/{name}", api_get_fault, NULL},
    {"PATCH", "/v1/faults/{name}", api_patch_fault, NULL},
    {"DELETE", "/v1/faults/{name}", api_remove_fault, NULL},
    {"GET", "/v1/partitions", api_list_partitions, NULL},
    {"POST", "/v1/partitions", api_add_partition, NULL},
    {"DELETE", "/v1/partitions", api_remove_partitions, NULL},
    {"GET", "/v1/partitions/{name}", api_get_partition, NULL},
    {"DELETE", "/v1/partitions/{name}", api_remove_partition, NULL},
    {"GET", "/v1/clocks", api_list_clocks, NULL},
    {"PUT", "/v1/clocks/{name}", api_put_clock, NULL},
    {"DELETE", "/v1/clocks/{name}", api_remove_clock, NULL},
    {"GET", "/v1/tables", api_list_tables, NULL},
    {"POST", "/v1/tables", api_add_table, NULL},
    {"GET", "/v1/tables/{name}", api_get_table, NULL},
    {"DELETE", "/v1/tables/{name}", api_remove_table, NULL},
    {"GET", "/v1/lab", api_get_lab, NULL},
    {"PUT", "/v1/lab", api_put_lab, NULL},
    {"DELETE", "/v1/lab", api_remove_lab, NULL},
    {"POST", "/v1/lab/nodes", api_add_lab_node, NULL},
    {"DELETE", "/v1/lab/nodes/{name}", api_remove_lab_node, NULL},
    {"POST", "/v1/lab/ports", api_add_lab_port, NULL},
    {"DELETE", "/v1/lab/ports/{name}", api_remove_lab_port, NULL},
    {"GET", "/v1/lab/connections", api_list_lab_connections, NULL},
    {"GET", "/v1/capture", api_get_capture, query_capture},
    {"GET", "/v1/events", api_get_events, query_since},
};
const size_t api_path_count = sizeof(api_paths) / sizeof(api_paths[0]);

struct segments {
    const char *start[SEGMENTS_MAX];
    size_t length[SEGMENTS_MAX];
    size_t count; /* SEGMENTS_MAX when there are that many or more */
};

/* "/v1/nodes" -> v1, nodes. A trailing slash makes an empty last segment. */
static struct segments split(const char *path)
{
    struct segments segments = {0};
    while (*path == '/' && segments.count < SEGMENTS_MAX) {
        size_t length = strcspn(path + 1, "/");
        segments.start[segments.count] = path + 1;
        segments.length[segments.count] = length;
        segments.count++;
        path += 1 + length;
    }
    return segments;
}

static bool is_name(const struct segments *pattern, size_t i)
{
    return pattern->start[i][0] == '{';
}

static bool matches(const struct segments *path, const struct segments *pattern,
                    char name[API_SEGMENT_MAX])
{
    char decoded[API_SEGMENT_MAX];
    if (path->count != pattern->count)
        return false;
    for (size_t i = 0; i < path->count; i++) {
        if (!api_decode_segment(path->start[i], path->length[i], decoded, sizeof(decoded)) ||
            decoded[0] == '\0')
            return false;
        if (is_name(pattern, i))
            memcpy(name, decoded, sizeof(decoded));
        else if (strlen(decoded) != pattern->length[i] ||
                 strncmp(decoded, pattern->start[i], pattern->length[i]) != 0)
            return false;
    }
    return true;
}

/* Is a segment longer than any name, so that it is no use to look further? */
static bool too_long(const struct segments *path)
{
    char decoded[API_SEGMENT_MAX];
    for (size_t i = 0; i < path->count; i++)
        if (path->length[i] >= API_SEGMENT_MAX ||
            (api_decode_segment(path->start[i], path->length[i], decoded, sizeof(decoded)) &&
             strlen(decoded) >= RULESET_FAULT_NAME_MAX))
            return true;
    return false;
}

/* The methods that a path answers to, as Allow has them. */
static const char *methods_of(const struct api_path *path)
{
    bool endless = path->handler == api_get_events || path->handler == api_get_capture;
    bool head = strcmp(path->method, "GET") == 0 && !endless;
    return head ? "GET, HEAD" : path->method;
}

/* How much has to change for path to match pattern. */
static unsigned cost_of(const struct segments *path, const struct segments *pattern)
{
    size_t common = path->count < pattern->count ? path->count : pattern->count;
    size_t other = path->count + pattern->count - 2 * common;
    unsigned cost = (unsigned)other * COST_MISSING;
    for (size_t i = 0; i < common; i++)
        if (!is_name(pattern, i))
            cost += api_text_distance(path->start[i], path->length[i], pattern->start[i],
                                      pattern->length[i]);
    return cost;
}

static const char *closest_to(const char *path)
{
    char with_version[API_SEGMENT_MAX];
    const char *best = "/v1/status";
    unsigned best_cost = COST_CLOSE + 1;
    if (strncmp(path, "/v1", 3) != 0) {
        snprintf(with_version, sizeof(with_version), "/v1%s", path);
        path = with_version;
    }
    struct segments segments = split(path);
    for (size_t i = 0; i < api_path_count; i++) {
        struct segments pattern = split(api_paths[i].pattern);
        unsigned cost = cost_of(&segments, &pattern);
        if (cost < best_cost) {
            best_cost = cost;
            best = api_paths[i].pattern;
        }
    }
    return best;
}

const struct api_path *api_find_path(const char *method, const char *path,
                                     char name[API_SEGMENT_MAX], char *allow, size_t size,
                                     struct error *error)
{
    size_t length = 0;
    bool head = strcmp(method, "HEAD") == 0;
    struct segments segments = split(path);
    allow[0] = '\0';
    if (too_long(&segments)) {
        error_set(error, -EINVAL, "a name in a path is at most %d bytes",
                  RULESET_FAULT_NAME_MAX - 1);
        return NULL;
    }
    for (size_t i = 0; i < api_path_count; i++) {
        const struct api_path *candidate = &api_paths[i];
        struct segments pattern = split(candidate->pattern);
        if (!matches(&segments, &pattern, name))
            continue;
        const char *methods = methods_of(candidate);
        if (strcmp(candidate->method, method) == 0 || (head && strstr(methods, "HEAD")))
            return candidate;
        length += (size_t)snprintf(allow + length, size - length, "%s%s", length > 0 ? ", " : "",
                                   methods);
    }
    if (length > 0)
        error_set(error, -EOPNOTSUPP, "%.32s is not possible on %.200s; allowed are %s", method,
                  path, allow);
    else
        error_set(error, -ENOENT, "there is no %.200s; the closest is %s", path, closest_to(path));
    return NULL;
}
