/* A small blocking client of the Redis protocol (RESP2), with deadlines.
 *
 * The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/. Only what the
 * workloads need: commands out as arrays of bulk strings, replies back, arrays of them included,
 * but not arrays in arrays. */
#ifndef SEVER_CHAOS_WORKLOAD_RESP_H
#define SEVER_CHAOS_WORKLOAD_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/address.h"
#include "proxy/base/error.h"
#include "proxy/base/text.h"

enum {
    RESP_REPLY_MAX = 1024 * 1024,      /* bytes of one reply; a longer one is malformed */
    RESP_ARRAY_MAX = 64 * 1024 * 1024, /* of a whole array */
};

enum resp_kind { RESP_STATUS, RESP_ERROR, RESP_INTEGER, RESP_BULK, RESP_NIL, RESP_ARRAY };

struct resp_reply {
    enum resp_kind kind;
    /* Status, error (without '-') or bulk; of an array, its elements as they came, for
     * resp_parse_reply. Not NUL-terminated, borrowed. */
    const char *text;
    size_t length;
    int64_t integer; /* of an array: how many elements */
};

/* Parses the reply at the start of data. Returns how many bytes it takes, 0 when more are needed,
 * -EPROTO when it is malformed or too long. reply->text points into data. */
long resp_parse_reply(const char *data, size_t length, struct resp_reply *reply);

/* Appends one command: an array of bulk strings. */
void resp_append_command(struct text *out, const char *const *words, size_t count);

/* True when the reply is status or bulk with exactly this text. */
bool resp_reply_is(const struct resp_reply *reply, const char *text);

/* Finds "name:value" among the CRLF lines of an INFO answer. Copies value, truncated to size - 1;
 * false (and "") when there is no such line. */
bool resp_info_field(const char *info, size_t length, const char *name, char *value, size_t size);
/* True when one line of the answer equals `line` ("role:leader"). */
bool resp_info_has_line(const char *info, size_t length, const char *line);

struct resp_connection {
    int fd;           /* -1: not connected */
    struct text in;   /* received */
    size_t in_offset; /* of the first byte not consumed yet */
};

void resp_init(struct resp_connection *connection); /* not connected */
void resp_close(struct resp_connection *connection);

/* Connects to target from source (NULL: any). deadline_ns: monotonic. abort_fd: when it becomes
 * readable the call ends with -ECANCELED; -1 for none. 0 or negative errno (-ECONNREFUSED,
 * -ETIMEDOUT, ...). */
int resp_connect(struct resp_connection *connection, const struct address *target,
                 const struct address *source, uint64_t deadline_ns, int abort_fd,
                 struct error *error);

/* Sends one command and waits for its reply, valid until the next call. *sent: whether the server
 * may have seen any of it. 0, or negative errno: -ETIMEDOUT, -ECONNRESET (closed), -EPROTO,
 * -ECANCELED; the caller then closes the connection. */
int resp_call(struct resp_connection *connection, const char *const *words, size_t count,
              uint64_t deadline_ns, int abort_fd, struct resp_reply *reply, bool *sent,
              struct error *error);

/* True while the idle connection looks usable: open, and without unread or unasked-for bytes. */
bool resp_is_usable(const struct resp_connection *connection);

#endif
