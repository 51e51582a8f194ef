/* The history readers on any bytes. What our own reader takes must be written and read again to the
 * same text. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chaos/history/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round(const struct history *history)
{
    struct history again;
    struct text once = {0}, twice = {0};
    struct error error = {0};
    history_write(history, &once);
    int result = history_parse(text_get(&once), once.length, "again", &again, &error);
    assert(result == 0 && again.count == history->count);
    history_write(&again, &twice);
    assert(once.length == twice.length &&
           memcmp(text_get(&once), text_get(&twice), once.length) == 0);
    text_free(&once);
    text_free(&twice);
    history_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history history;
    struct error error = {0};
    if (history_parse((const char *)data, size, "f", &history, &error) == 0)
        check_round(&history);
    else
        assert(error.message[0] && error.place[0] == 'f' && !history.operations);
    history_free(&history);
    if (history_parse_jepsen((const char *)data, size, "f", &history, &error) == 0)
        assert(history.count > 0);
    history_free(&history);
    return 0;
}
