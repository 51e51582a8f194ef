/* RESP commands as they come off a socket: parsed one after the other; what is a data command is
 * encoded and applied, so that the state machine's decoder sees it too. */
#include <stdint.h>
#include <stdlib.h>

#include "examples/raftkv/server/kv.h"
#include "examples/raftkv/server/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct resp_command command;
    struct kv *kv = kv_create();
    struct bytes reply = {0};
    /* the raw bytes as a logged command: must be refused or applied, nothing else */
    kv_apply(kv, data, size, &reply);
    for (size_t at = 0; at < size;) {
        size_t used = 0;
        const char *problem = NULL;
        int code = resp_parse(data + at, size - at, &command, &used, &problem);
        if (code <= 0) {
            if (code < 0 && !problem)
                abort();
            break;
        }
        if (used == 0 || used > size - at)
            abort();
        at += used;
        if (command.count < 2)
            continue;
        struct bytes encoded = {0};
        unsigned operation = command.arguments[0].length % (KV_OPERATION_END + 1);
        kv_encode(&encoded, (enum kv_operation)operation, &command.arguments[1], command.count - 1);
        kv_apply(kv, bytes_get(&encoded), bytes_length(&encoded), &reply);
        bytes_free(&encoded);
        bytes_consume(&reply, bytes_length(&reply));
    }
    bytes_free(&reply);
    kv_destroy(kv);
    return 0;
}
