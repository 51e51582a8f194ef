/* What the files of proxy/api share. */
#ifndef SEVER_API_INTERNAL_H
#define SEVER_API_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <microhttpd.h>

#include "proxy/api/api.h"
#include "proxy/api/captures.h"
#include "proxy/api/doctor.h"
#include "proxy/api/lab_changes.h"
#include "proxy/api/listeners.h"
#include "proxy/api/wait.h"
#include "proxy/base/random.h"
#include "proxy/base/text.h"

enum {
    API_SEGMENT_MAX = 256, /* a path segment, decoded, with the NUL */
    API_TOKEN_MAX = 256,   /* with the NUL */
    API_OK = 200,
    API_CREATED = 201,
    API_NO_CONTENT = 204,
    API_LATER = 102, /* the handler is called again when the request is resumed */
};

/* One listening socket. */
struct api_server {
    struct api *api;
    struct MHD_Daemon *daemon;
    int listener;
    bool unix_socket;
    bool paused; /* nothing is accepted until api->accept_ns */
    unsigned connection_count;
};

/* One accepted connection, known from accept to close. */
struct api_connection {
    struct api_server *server;
    struct MHD_Connection *connection;
    struct api_connection *next, **link;
    uint64_t deadline_ns; /* when it is ended, UINT64_MAX: never */
};

struct api {
    struct api_backend backend;
    struct api_server servers[API_SERVERS_MAX];
    size_t server_count;
    int epoll_fd;       /* watches the listeners, and libmicrohttpd's own */
    uint64_t accept_ns; /* when servers that are paused accept again; UINT64_MAX: none is */
    struct api_connection *connections;
    uint64_t now_ns;   /* of this api_run */
    size_t body_bytes; /* of all requests that are being handed in; at most API_BODIES_MAX */
    bool resumed;      /* libmicrohttpd has to run for a wait that is over */
    struct api_listeners listeners;
    struct api_lab_changes lab_changes;
    struct api_capture_streams captures;
    struct api_doctor doctor;
    struct api_options options;
    char token[API_TOKEN_MAX]; /* options.token points here */
    struct random_stream request_ids;
};

/* One request that is being answered. */
struct api_call {
    struct api *api;
    struct MHD_Connection *connection;
    char name[API_SEGMENT_MAX]; /* the {name} of the path, decoded */
    char by[RULESET_NAME_MAX];
    json_t *body;                  /* POST, PUT, PATCH: an object; NULL otherwise */
    json_t *answer;                /* set by the handler; NULL for none */
    struct text text;              /* instead of answer, unless it is empty: JSON as it goes out */
    struct MHD_Response *response; /* instead of both: the handler's own */
    struct api_wait *wait;         /* what it waits, or has waited, for; NULL: nothing */
};

/* Answers the call: an HTTP status of success, or a negative errno with *error; or API_LATER. */
typedef int (*api_handler)(struct api_call *call, struct error *error);

struct api_query {
    const char *key, *example; /* a query always has a value; example: one, for the error */
};

struct api_path {
    const char *method, *pattern;
    api_handler handler;
    const struct api_query *query; /* the query keys that it takes, up to one without a key; NULL
                                      for none */
};
extern const struct api_path api_paths[];
extern const size_t api_path_count;

/* Finds the path for a method and an undecoded path, writing what {name} stands for. HEAD is GET,
 * but not for events and captures, which have no end. NULL with *error: -ENOENT naming the closest
 * path; -EOPNOTSUPP, then allow (size bytes) has the methods; -EINVAL for a name that is too long.
 */
const struct api_path *api_find_path(const char *method, const char *path,
                                     char name[API_SEGMENT_MAX], char *allow, size_t size,
                                     struct error *error);

/* libmicrohttpd's callbacks (request.c); their context is the struct api_server. */
enum MHD_Result api_handle_request(void *server, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload_data,
                                   size_t *upload_data_size, void **request);
void api_complete_request(void *server, struct MHD_Connection *connection, void **request,
                          enum MHD_RequestTerminationCode why);
/* Whether its peer has closed it, or said that it sends no more. For those who have asked for a
 * stream and have nothing more to say. */
bool api_is_gone(struct MHD_Connection *connection);
/* Ends a connection with RST: the kernel keeps nothing of what the peer does not read. */
void api_reset(struct MHD_Connection *connection);
/* Sets when a connection is ended. */
void api_set_deadline(struct MHD_Connection *connection, uint64_t deadline_ns);

/* Whether an Authorization header (NULL: none) carries the token. Takes the same time for every
 * wrong one of a length. */
bool api_is_authorized(const char *authorization, const char *token);

/* For handlers. */

const struct ruleset *api_current(const struct api_call *call);
/* Puts next in force and tells the listeners. 0, or a negative errno that status_of has a fitting
 * status for; error->code may be another, that of the system call that failed. */
int api_apply(struct api_call *call, const struct ruleset *next, struct error *error);
/* As api_apply for a change of one element: "faults[7].delay_ns" becomes "delay_ns",
 * "faults[7]" nothing. */
int api_apply_element(struct api_call *call, const struct ruleset *next, const char *array,
                      size_t index, struct error *error);
/* -ENOENT: "there is no WHAT 'NAME'", for "node" with those that there are. */
int api_no_such(const struct api_call *call, const char *what, struct error *error);
/* A query value, percent-decoded; NULL when absent. -EINVAL for a malformed one. */
int api_get_query(const struct api_call *call, const char *key, char buffer[API_SEGMENT_MAX],
                  bool *there, struct error *error);
/* A text of the backend's, which may be NULL or not UTF-8. */
json_t *api_json_text(const char *text);
/* The lowest free "PREFIX-N", N from 1. taken: is this name in the ruleset? */
void api_choose_name(const struct ruleset *ruleset, const char *prefix,
                     bool (*taken)(const struct ruleset *ruleset, const char *name), char *name,
                     size_t size);
json_t *api_cut_mechanism(const struct api_status *status);

/* The handlers, one file a family. */
int api_get_status(struct api_call *call, struct error *error);
int api_get_ruleset(struct api_call *call, struct error *error);
int api_put_ruleset(struct api_call *call, struct error *error);
int api_list_nodes(struct api_call *call, struct error *error);
int api_add_node(struct api_call *call, struct error *error);
int api_get_node(struct api_call *call, struct error *error);
int api_remove_node(struct api_call *call, struct error *error);
int api_list_links(struct api_call *call, struct error *error);
int api_list_routes(struct api_call *call, struct error *error);
int api_add_route(struct api_call *call, struct error *error);
int api_get_route(struct api_call *call, struct error *error);
int api_patch_route(struct api_call *call, struct error *error);
int api_remove_route(struct api_call *call, struct error *error);
int api_list_faults(struct api_call *call, struct error *error);
int api_add_fault(struct api_call *call, struct error *error);
int api_get_fault(struct api_call *call, struct error *error);
int api_patch_fault(struct api_call *call, struct error *error);
int api_remove_fault(struct api_call *call, struct error *error);
int api_remove_faults(struct api_call *call, struct error *error);
int api_list_partitions(struct api_call *call, struct error *error);
int api_add_partition(struct api_call *call, struct error *error);
int api_get_partition(struct api_call *call, struct error *error);
int api_remove_partition(struct api_call *call, struct error *error);
int api_remove_partitions(struct api_call *call, struct error *error);
int api_list_clocks(struct api_call *call, struct error *error);
int api_put_clock(struct api_call *call, struct error *error);
int api_remove_clock(struct api_call *call, struct error *error);
int api_list_tables(struct api_call *call, struct error *error);
int api_add_table(struct api_call *call, struct error *error);
int api_get_table(struct api_call *call, struct error *error);
int api_remove_table(struct api_call *call, struct error *error);
int api_get_lab(struct api_call *call, struct error *error);
int api_put_lab(struct api_call *call, struct error *error);
int api_remove_lab(struct api_call *call, struct error *error);
int api_add_lab_node(struct api_call *call, struct error *error);
int api_remove_lab_node(struct api_call *call, struct error *error);
int api_add_lab_port(struct api_call *call, struct error *error);
int api_remove_lab_port(struct api_call *call, struct error *error);
int api_list_lab_connections(struct api_call *call, struct error *error);
int api_get_doctor(struct api_call *call, struct error *error);
int api_get_events(struct api_call *call, struct error *error);
int api_get_capture(struct api_call *call, struct error *error);

#endif
