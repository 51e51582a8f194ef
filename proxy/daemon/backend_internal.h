/* What backend.c and backend_lab.c share. */
#ifndef SEVER_DAEMON_BACKEND_INTERNAL_H
#define SEVER_DAEMON_BACKEND_INTERNAL_H

#include "proxy/capture/capture.h"
#include "proxy/daemon/backend.h"
#include "proxy/daemon/clocks.h"
#include "proxy/daemon/lab_state.h"
#include "proxy/daemon/lab_thread.h"
#include "proxy/daemon/routes.h"
#include "proxy/daemon/worker.h"
#include "proxy/match/match.h"

enum { NODE_SLOTS = RULESET_NODES_MAX + 1 };

/* A publication and what only it points into. */
struct backend_publication {
    struct publication publication;
    struct packet_port_spec *ports;
};

struct backend {
    struct backend_options options;
    uint64_t started_ns, publish_ns;
    struct ruleset ruleset;
    struct fault_plan *plan;
    struct match_set *matches;
    struct routes *routes;
    struct fault_states *states;
    struct workers *workers;
    struct clocks *clocks;
    struct lab_state *lab;
    struct lab_thread *lab_thread;
    struct api_lab_change lab_change; /* under way, or the last */
    bool lab_has_gateway;             /* when it was looked for */
    const char *lab_ended_node;       /* that is told of */
    enum api_lab_event lab_event;     /* of the last step */
    char lab_news[API_NEWS_MAX];
    struct captures *captures;
    struct backend_publication *published; /* what the workers are on */
    struct api_link_state link_baseline[NODE_SLOTS][NODE_SLOTS];
    uint32_t node_generation[NODE_SLOTS];
    uint64_t touched_baseline[RULESET_FAULTS_MAX];
    uint32_t fault_generation[RULESET_FAULTS_MAX];
    struct api_route_state route_baseline[RULESET_ROUTES_MAX];
    uint32_t route_generation[RULESET_ROUTES_MAX];
    char applied[APPLIED_TEXT_MAX]; /* the last answer */
};

/* As api_backend's `change`. */
int backend_change(void *context, const struct ruleset *next, const char *by, struct error *error);
/* Publishes what is in force once more, with the ports and captures that there are now. */
void backend_republish(struct backend *backend);

/* backend_lab.c */
struct api_lab backend_lab_api(void);
int backend_lab_create(struct backend *backend, struct error *error);
/* No change takes effect any more. */
void backend_lab_settle(struct backend *backend);
/* Ends the lab; the workers are gone. Also after a failure of backend_lab_create. */
void backend_lab_destroy(struct backend *backend);

/* backend_capture.c */
struct api_captures backend_capture_api(void);

#endif
