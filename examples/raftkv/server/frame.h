/* The bytes between nodes.
 *
 *   frame    body length u32, CRC32C of the body u32, body          (little endian)
 *   body     kind u8, then
 *     HELLO    version u8, name length u8, name, cluster length u16, cluster: the dialer's first
 *     MESSAGE  a raft_message, without from and to: the connection says these
 *     ACK      frames received on this connection u64: from the accepting side
 *
 * A connection carries messages one way, from its dialer, and acknowledgements back. */
#ifndef RAFTKV_SERVER_FRAME_H
#define RAFTKV_SERVER_FRAME_H

#include "examples/raftkv/core/raft.h"
#include "examples/raftkv/server/bytes.h"

enum { FRAME_VERSION = 1, FRAME_HEADER_BYTES = 8, FRAME_BODY_MAX = 8 << 20, FRAME_TEXT_MAX = 1024 };

enum frame_kind { FRAME_HELLO = 1, FRAME_MESSAGE, FRAME_ACK };

struct frame {
    enum frame_kind kind;
    uint8_t version;              /* HELLO */
    char name[256];               /* HELLO */
    char cluster[FRAME_TEXT_MAX]; /* HELLO */
    uint64_t received;            /* ACK */
    struct raft_message message;  /* MESSAGE: raft_message_release it; from and to are 0 */
};

void frame_write_hello(struct bytes *out, const char *name, const char *cluster);
void frame_write_message(struct bytes *out, const struct raft_message *message);
void frame_write_ack(struct bytes *out, uint64_t received);

/* Takes one frame off the front of length bytes: 1 with *used, 0 when more bytes are needed,
 * -EBADMSG with *problem (static text) when it is damaged or makes no sense: close the connection.
 * A decoded message can be given to the core: its terms and indexes are in order. */
int frame_read(const uint8_t *bytes, size_t length, struct frame *frame, size_t *used,
               const char **problem);

#endif
