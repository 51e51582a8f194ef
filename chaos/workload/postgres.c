/* Theory of operation
 *
 * libpq without blocking: every wait is a poll() on its socket and on the descriptor that ends the
 * run, so deadlines are exact. Each INSERT is a transaction of its own (autocommit). One that the
 * server answers with an ERROR was rolled back; when the session ends instead (FATAL, or the
 * connection), the commit may have come first: with synchronous replication it is then there
 * locally, and nobody knows where else. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos/workload/driver.h"
#include "proxy/base/monotonic.h"

enum { LAG_PAUSE_MS = 20 };

struct postgres_client {
    struct driver_place place;
    PGconn *connection; /* NULL: none */
    char host[ADDRESS_TEXT_MAX], port[8];
};

void driver_judge_insert(struct history_operation *operation, bool done, bool sent,
                         const char *sqlstate, bool fatal, const char *message)
{
    operation->reason[0] = '\0';
    operation->outcome = HISTORY_OK;
    if (done)
        return;
    driver_set_reason(operation, message, strcspn(message, "\n"));
    bool rolled_back = sqlstate && *sqlstate && !fatal;
    operation->outcome = !sent || rolled_back ? HISTORY_FAIL : HISTORY_UNKNOWN;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void *open_client(const struct driver_place *place)
{
    struct postgres_client *self = memory_allocate_zeroed(1, sizeof(*self));
    self->place = *place;
    address_format(place->target, self->host);
    char *colon = strrchr(self->host, ':');
    if (colon)
        *colon = '\0';
    char *bracket = strchr(self->host, ']');
    if (bracket) { /* IPv6: libpq has it bare */
        *bracket = '\0';
        memmove(self->host, self->host + 1, strlen(self->host));
    }
    snprintf(self->port, sizeof(self->port), "%u", address_port(place->target));
    return self;
}

static void drop(struct postgres_client *self)
{
    PQfinish(self->connection);
    self->connection = NULL;
}

static void close_client(void *client)
{
    drop(client);
    free(client);
}

static void ignore_notice(void *context, const char *message)
{
    (void)context, (void)message;
}

static int wait_for(struct postgres_client *self, short events, uint64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = PQsocket(self->connection), .events = events},
                            {.fd = self->place.abort_fd, .events = POLLIN}};
    for (;;) {
        uint64_t now_ns = monotonic_now_ns();
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        uint64_t left_ns = deadline_ns - now_ns;
        struct timespec timeout = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                   .tv_nsec = (long)(left_ns % NS_PER_S)};
        int ready = ppoll(fds, 2, &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0)
            return fds[1].revents ? -ECANCELED : 0;
    }
}

static int connect_now(struct postgres_client *self, uint64_t deadline_ns)
{
    const char *const names[] = {"hostaddr", "port", "user", "dbname", "application_name", NULL};
    const char *const values[] = {self->host, self->port, "postgres", "postgres", "sever", NULL};
    self->connection = PQconnectStartParams(names, values, 0);
    if (!self->connection || PQstatus(self->connection) == CONNECTION_BAD)
        return -ECONNREFUSED;
    PQsetNoticeProcessor(self->connection, ignore_notice, NULL);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED)
            return -ECONNREFUSED;
        int code = wait_for(self, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ns);
        if (code < 0)
            return code;
        next = PQconnectPoll(self->connection);
    }
    return PQsetnonblocking(self->connection, 1) == 0 ? 0 : -ECONNREFUSED;
}

/* Until nothing is left to send. */
static int flush(struct postgres_client *self, uint64_t deadline_ns)
{
    int left;
    while ((left = PQflush(self->connection)) > 0) {
        int code = wait_for(self, POLLOUT | POLLIN, deadline_ns);
        if (code < 0)
            return code;
        if (!PQconsumeInput(self->connection))
            return -ECONNRESET;
    }
    return left < 0 ? -ECONNRESET : 0;
}

/* The last result of the statement. */
static int receive(struct postgres_client *self, uint64_t deadline_ns, PGresult **result)
{
    for (;;) {
        while (PQisBusy(self->connection)) {
            int code = wait_for(self, POLLIN, deadline_ns);
            if (code < 0)
                return code;
            if (!PQconsumeInput(self->connection))
                return -ECONNRESET;
        }
        PGresult *next = PQgetResult(self->connection);
        if (!next)
            return *result ? 0 : -ECONNRESET;
        PQclear(*result);
        *result = next;
    }
}

/* One statement; the result is the caller's to clear, also of an error that the server tells. */
static int run(struct postgres_client *self, const char *statement, const char *parameter,
               uint64_t deadline_ns, PGresult **result, bool *sent)
{
    int code = 0;
    *sent = false;
    *result = NULL;
    if (self->connection && PQstatus(self->connection) != CONNECTION_OK)
        drop(self);
    if (!self->connection)
        code = connect_now(self, deadline_ns);
    if (code == 0) {
        *sent = true;
        code = PQsendQueryParams(self->connection, statement, parameter ? 1 : 0, NULL, &parameter,
                                 NULL, NULL, 0)
                   ? flush(self, deadline_ns)
                   : -ECONNRESET;
    }
    if (code == 0)
        code = receive(self, deadline_ns, result);
    return code;
}

static bool is_done(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static bool is_fatal(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return !severity || strcmp(severity, "ERROR") != 0;
}

/* As run, for what must succeed: any other result is -EAGAIN. */
static int query(struct postgres_client *self, const char *statement, uint64_t deadline_ns,
                 PGresult **result)
{
    bool sent;
    int code = run(self, statement, NULL, deadline_ns, result, &sent);
    if (code == 0 && !is_done(*result))
        code = -EAGAIN;
    if (code < 0) {
        PQclear(*result);
        *result = NULL;
        drop(self);
    }
    return code;
}

/* ---- the driver ------------------------------------------------------------------------------ */

static const char *reason_of(const struct postgres_client *self, int code, const PGresult *result)
{
    if (result)
        return PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)
                   ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)
                   : PQresultErrorMessage(result);
    switch (code) {
    case -ETIMEDOUT:
        return "timed out";
    case -ECANCELED:
        return "given up";
    default:
        return self->connection ? PQerrorMessage(self->connection) : "no connection";
    }
}

static int operate(void *client, struct history_operation *operation, uint64_t deadline_ns)
{
    struct postgres_client *self = client;
    char value[24];
    PGresult *result;
    bool sent;
    snprintf(value, sizeof(value), "%lld", (long long)operation->value);
    int code =
        run(self, "INSERT INTO sever_set (value) VALUES ($1)", value, deadline_ns, &result, &sent);
    bool answered = code == 0;
    driver_judge_insert(operation, answered && is_done(result), sent,
                        answered ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL,
                        answered && is_fatal(result), reason_of(self, code, result));
    bool keep = answered && PQstatus(self->connection) == CONNECTION_OK;
    PQclear(result);
    if (!keep)
        drop(self);
    return code;
}

static int tell(void *client, uint64_t deadline_ns, struct text *out)
{
    static const char statement[] =
        "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_wal_receiver WHERE status = "
        "'streaming'), (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'), "
        "current_setting('synchronous_standby_names') = '' OR EXISTS (SELECT FROM "
        "pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))";
    struct postgres_client *self = client;
    PGresult *result;
    int code = query(self, statement, deadline_ns, &result);
    if (code < 0)
        return code;
    bool standby = PQgetvalue(result, 0, 0)[0] == 't';
    unsigned long receivers = strtoul(PQgetvalue(result, 0, 1), NULL, 10);
    unsigned long senders = strtoul(PQgetvalue(result, 0, 2), NULL, 10);
    bool synchronous = PQgetvalue(result, 0, 3)[0] == 't';
    struct text missing = {0};
    if (standby && receivers == 0)
        text_append(&missing, "a primary that it can follow");
    else if (!standby && senders + 1 < self->place.node_count)
        text_append(&missing, "standbys: %lu of %zu follow it", senders,
                    self->place.node_count - 1);
    else if (!standby && !synchronous)
        text_append(&missing, "a standby that is synchronous");
    text_append(out, "role:%s\r\n", standby ? "standby" : "primary");
    driver_tell_ready(text_get(&missing), out);
    text_free(&missing);
    PQclear(result);
    return 0;
}

static bool ping(void *client, uint64_t deadline_ns)
{
    PGresult *result;
    bool answers = query(client, "SELECT 1", deadline_ns, &result) == 0;
    PQclear(result);
    return answers;
}

static int prepare(void *client, unsigned keys, const char *node, uint64_t deadline_ns,
                   struct error *error)
{
    struct postgres_client *self = client;
    PGresult *result;
    bool sent;
    (void)keys;
    int code = run(self, "CREATE TABLE sever_set (value bigint PRIMARY KEY)", NULL, deadline_ns,
                   &result, &sent);
    const char *state = code == 0 ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    bool there = state && strcmp(state, "42P07") == 0; /* duplicate_table */
    bool done = code == 0 && is_done(result);
    PQclear(result);
    if (!done)
        drop(self);
    if (there)
        return error_set(error, -EEXIST,
                         "%s already has a table sever_set: an experiment starts with an empty "
                         "cluster",
                         node);
    return code == -ECANCELED ? code : done;
}

/* A standby first replays all that it has received. */
static int catch_up(struct postgres_client *self, uint64_t deadline_ns)
{
    for (;;) {
        PGresult *result;
        int code = query(self,
                         "SELECT NOT pg_is_in_recovery() OR coalesce(pg_last_wal_receive_lsn() <= "
                         "pg_last_wal_replay_lsn(), true)",
                         deadline_ns, &result);
        if (code < 0)
            return code;
        bool even = PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
        if (even)
            return 0;
        struct pollfd abort = {.fd = self->place.abort_fd, .events = POLLIN};
        if (poll(&abort, 1, LAG_PAUSE_MS) == 1)
            return -ECANCELED;
        if (monotonic_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
    }
}

static int read_set(void *client, uint64_t deadline_ns, int64_t **values, size_t *count)
{
    struct postgres_client *self = client;
    PGresult *result = NULL;
    int code = catch_up(self, deadline_ns);
    if (code == 0)
        code = query(self, "SELECT value FROM sever_set", deadline_ns, &result);
    if (code < 0)
        return code;
    *count = (size_t)PQntuples(result);
    *values = memory_allocate_zeroed(*count + 1, sizeof(**values));
    for (size_t i = 0; i < *count; i++)
        (*values)[i] = strtoll(PQgetvalue(result, (int)i, 0), NULL, 10);
    PQclear(result);
    return 0;
}

const struct driver driver_postgres = {
    .open = open_client,
    .close = close_client,
    .operate = operate,
    .tell = tell,
    .ping = ping,
    .prepare = prepare,
    .read_set = read_set,
};
