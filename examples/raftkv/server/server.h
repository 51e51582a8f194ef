/* The server: what main.c starts, and what its files share. One thread, one loop. */
#ifndef RAFTKV_SERVER_SERVER_H
#define RAFTKV_SERVER_SERVER_H

#include <signal.h>

#include "examples/raftkv/core/raft.h"
#include "examples/raftkv/server/bytes.h"
#include "examples/raftkv/server/kv.h"
#include "examples/raftkv/server/listener.h"
#include "examples/raftkv/server/options.h"
#include "examples/raftkv/store/store.h"
#include "proxy/io/loop.h"

enum {
    CLIENTS_MAX = 4096,          /* fewer when the limit of descriptors is low */
    CLIENT_REQUESTS_MAX = 1024,  /* queued requests of one client: it is not read beyond */
    CLIENT_BYTES_MAX = 16 << 20, /* queued requests and answers: it is not read beyond */
    CLIENT_OUTPUT_MAX = 1 << 20, /* unsent answers of one client: more stay requests */
    REQUEST_OVERHEAD = 512,      /* counted for a request besides its bytes */
    REQUESTS_MAX = 65536,        /* unanswered reads and writes of all clients */
    PEER_QUEUE_MAX = 16 << 20,   /* bytes waiting for one peer: the oldest are dropped beyond */
    PEER_QUEUE_PROPOSALS = PEER_QUEUE_MAX / 2, /* from here on, proposals wait as requests */
    TURN_PROPOSALS_MAX = 64 << 20,             /* bytes a leader proposes in a turn: one batch */
    INCOMING_MAX = 32, /* connections from peers, and from who has not said hello */
    /* Descriptors that clients must leave: peers both ways, standard streams, loop, store,
     * listeners, and some to spare. */
    DESCRIPTORS_RESERVED = INCOMING_MAX + RAFT_NODES_MAX + 20,
    CLIENTS_MIN = 8, /* with fewer descriptors the server does not start */
    SERVER_EXIT_FAILED = 1,
    SERVER_EXIT_USAGE = 2,
    SERVER_EXIT_MINORITY = 3
};

struct client;
struct server;

/* ----------------------------------------------------------------------------- requests --- */

enum request_kind { REQUEST_LOCAL, REQUEST_READ, REQUEST_WRITE };

enum request_state {
    REQUEST_WAITING, /* for a leader: nobody has been asked, nothing proposed */
    REQUEST_ASKED,   /* a write was proposed or handed to the leader; a read index was asked for */
    REQUEST_GRANTED, /* a read that waits until its index is applied */
    REQUEST_READY,   /* a read that is done as soon as its client has room for the answer */
    REQUEST_DONE     /* the reply is there */
};

struct request {
    struct client *client;    /* NULL once it has gone */
    struct request *after;    /* the client's next */
    struct request *previous; /* all unanswered ones, by arrival */
    struct request *next;
    enum request_kind kind;
    enum request_state state;
    uint64_t id;
    uint64_t arrived_ns;
    uint64_t batch;               /* read: the ask that it shares */
    uint64_t index;               /* write: where appended, 0 unknown; read: its read index */
    uint64_t term;                /* write: of the appended entry */
    struct raft_payload *payload; /* the command, after the origin */
    struct bytes reply;
    size_t size; /* what it counts against CLIENT_BYTES_MAX; set at creation */
};

/* The payload of a log entry: origin u64 (a random number per start of a node), request id u64,
 * then the command of kv.h. */
enum { ORIGIN_BYTES = 16 };

/* NULL when there are too many. The caller encodes the command into body after ORIGIN_BYTES. */
struct request *request_create(struct server *server, struct client *client, enum request_kind kind,
                               enum kv_operation operation, const struct resp_argument *arguments,
                               size_t count);
/* A request that has its answer already, to keep the order of a client's answers. */
struct request *request_create_done(struct client *client, const struct bytes *reply);
/* The client can have the answer now. */
bool request_is_answered(const struct request *request);
/* Appends the answer of a request that has one: a read's is made here, from the state as it is, so
 * that no more than one client's room is ever filled with values. */
void request_append_answer(struct server *server, struct request *request, struct bytes *out);
void request_destroy(struct server *server, struct request *request); /* an answered one */
/* Takes the waiting requests one step further: asks, proposes, refuses. What there is no room for
 * now, at the leader or on the way to it, goes on waiting. */
void requests_submit(struct server *server, struct raft_actions *actions);
/* What raft answered. */
void requests_note_proposal(struct server *server, const struct raft_proposal *proposal);
void requests_note_read(struct server *server, const struct raft_read *read);
/* This PROPOSE or READ_INDEX message certainly did not leave this node; others are ignored. */
void requests_note_unsent(struct server *server, const struct raft_message *message);
void requests_note_transition(struct server *server, const struct raft_transition *transition);
/* Applies one log entry and answers its request when it is one of ours. */
void requests_apply(struct server *server, uint64_t index, const struct raft_entry *entry);
/* After applying: reads whose index is reached, writes that were overwritten, those out of time. */
void requests_settle(struct server *server);
/* There are requests that the next turn can submit at once. */
bool requests_can_go_on(const struct server *server);

/* ------------------------------------------------------------------------------ clients --- */

int clients_listen(struct server *server, struct error *error);
void clients_close(struct server *server);
void client_note_answer(struct client *client); /* one of its requests is answered */
/* Sends answers and goes on with commands that had to wait. True when that made new requests. */
bool clients_flush(struct server *server);

/* -------------------------------------------------------------------------------- peers --- */

struct peers;

int peers_open(struct server *server, struct error *error);
void peers_close(struct server *server);
/* Queues a message. False: it certainly won't be sent, there is no connection. */
bool peers_send(struct server *server, const struct raft_message *message);
/* How many bytes of proposals node can be sent now, without endangering what is queued for it: 0
 * also when there is no connection. */
size_t peers_room(const struct server *server, uint8_t node);
bool peers_connected(const struct server *server, uint8_t node);
/* "n1=connected,n2=down" for INFO. */
void peers_describe(const struct server *server, struct bytes *out);

/* ------------------------------------------------------------------------------- server --- */

struct server {
    const struct options *options;
    char cluster[CLUSTER_TEXT_MAX];
    struct loop *loop;
    struct raft *raft;
    struct raft_actions actions;
    struct store *store;
    struct kv *kv;
    uint64_t applied_index;
    uint64_t origin;
    uint64_t seed;
    uint64_t started_ns;
    struct raft_status status; /* as of this turn */
    uint64_t quorum_lost_ns;   /* since when status.quorum is false; 0 while it is true */
    bool had_quorum;
    volatile sig_atomic_t stop; /* set by signals too */
    int exit_code;

    struct request **request_slots; /* REQUESTS_MAX; by the low bits of the id */
    uint32_t *free_slots;
    uint32_t free_count;
    uint64_t next_generation; /* of request ids; starts anywhere */
    uint64_t next_batch;      /* of reads, one for each ask; starts anywhere */
    struct request *first_request, *last_request;
    uint32_t waiting_count, granted_count;
    uint64_t commands_processed;
    uint64_t ask_again_ns;  /* a leader refused: nothing is asked before this, or a transition */
    bool check_overwritten; /* the leadership changed while writes were out */

    struct listener client_listener;
    struct client *first_client;
    uint32_t client_count, clients_max;

    struct peers *peers;
};

/* Opens store, sockets and core. On failure what was opened is closed. */
int server_open(struct server *server, const struct options *options, struct error *error);
/* Runs until server->stop; returns the exit status. */
int server_run(struct server *server);
void server_close(struct server *server);

const char *server_node_name(const struct server *server, uint8_t node); /* "none" for RAFT_NONE */
/* Answers a command that needs no log: true when it was one. *quits: close after the answer. */
bool server_answer_local(struct server *server, const struct resp_command *command,
                         struct bytes *reply, bool *quits);

#endif
