/* A client of a server that speaks the Redis protocol: a connection that is made when it is needed
 * and dropped when a call fails. What the drivers of raftkv and redis share. */
#ifndef SEVER_CHAOS_WORKLOAD_RESP_CLIENT_H
#define SEVER_CHAOS_WORKLOAD_RESP_CLIENT_H

#include "chaos/workload/driver.h"

struct resp_client {
    struct driver_place place;
    struct resp_connection connection;
    struct resp_connection sentinel; /* redis only */
};

void *resp_client_open(const struct driver_place *place);
void resp_client_close(void *client);
bool resp_client_ping(void *client, uint64_t deadline_ns);
/* As resp_call. The error's message is what a history's reason says. */
int resp_client_call(struct resp_client *client, const char *const *words, size_t count,
                     uint64_t deadline_ns, struct resp_reply *reply, bool *sent,
                     struct error *error);
/* Appends the text of the reply; -EPROTO when it is none. */
int resp_client_ask(struct resp_client *client, const char *const *words, size_t count,
                    uint64_t deadline_ns, struct text *out);

#endif
