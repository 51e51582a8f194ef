/* The daemon's side of the control API: the ruleset in force, changes to it, and what the workers
 * have counted. Control thread only. */
#ifndef SEVER_DAEMON_BACKEND_H
#define SEVER_DAEMON_BACKEND_H

#include "proxy/api/api.h"
#include "proxy/base/error.h"
#include "proxy/daemon/applied.h"
#include "proxy/fault/ruleset.h"

struct backend;

struct backend_options {
    unsigned workers;          /* 1..WORKERS_MAX */
    uint64_t pool_bytes;       /* per worker; 0: default */
    const char *directory;     /* of the clock pages; borrowed */
    bool keep_pages;           /* they stay there, with true time, for the next backend */
    const char *clock_library; /* path of the preload library, "" when not known; borrowed */
    struct applied_mechanisms mechanisms; /* what answers about faults say severd can do */
};

/* Starts the workers under the initial ruleset (copied; version becomes at least 1). */
int backend_create(const struct backend_options *options, const struct ruleset *initial,
                   struct backend **backend, struct error *error);
void backend_destroy(struct backend *backend); /* NULL is fine */

/* The functions that the API calls; valid as long as the backend. */
struct api_backend backend_api(struct backend *backend);

/* How long the newest change stood between workers_publish and the last worker's answer. */
uint64_t backend_publish_ns(const struct backend *backend);

#endif
