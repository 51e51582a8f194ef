#include "proxy/base/random.h"

#include <string.h>

uint64_t random_key_fold_text(uint64_t key, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, text + i, length - i < 8 ? length - i : 8);
        key = random_key_fold(key, word);
    }
    return random_key_fold(key, length);
}
