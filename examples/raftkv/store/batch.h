/* The bytes of a batch, without files. Inside the store.
 *
 *   header  magic u32 "RkvB", body length u32, sequence u64, CRC32C u32 of (length, sequence, body)
 *           that continues from the file's salt: no client can forge a batch in what it stores
 *   body    items: type u8, then
 *             hard state  term u64, vote u8
 *             truncation  first u64: entries from here on are gone
 *             entry       index u64, term u64, kind u8, length u32, bytes
 * Little endian. Sequence counts batches from 1. */
#ifndef RAFTKV_STORE_BATCH_H
#define RAFTKV_STORE_BATCH_H

#include <stdbool.h>

#include "examples/raftkv/store/store.h"
#include "proxy/base/text.h"

enum { BATCH_HEADER_BYTES = 20, BATCH_BODY_MAX = 1 << 30 };

/* Appends items to a body. */
void batch_add_hard_state(struct text *body, uint64_t term, uint8_t vote);
void batch_add_truncation(struct text *body, uint64_t first);
void batch_add_entry(struct text *body, uint64_t index, const struct raft_entry *entry);
/* Fills header (BATCH_HEADER_BYTES) for body. */
void batch_make_header(uint8_t *header, uint32_t salt, uint64_t sequence, const void *body,
                       size_t length);
/* True when a whole, intact batch is at bytes; *length is then its full size, *sequence its number.
 */
bool batch_is_intact(const uint8_t *bytes, size_t available, uint32_t salt, size_t *length,
                     uint64_t *sequence);
/* Plays an intact batch's body; *last_index follows the log's end. -EBADMSG for items that make no
 * sense. */
int batch_play(const uint8_t *body, size_t length, const struct store_visitor *visitor,
               uint64_t *last_index);

#endif
