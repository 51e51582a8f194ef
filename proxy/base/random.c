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

/* 2^63 is one. */
#define ONE (UINT64_C(1) << 63)

/* a * b where a is a fraction of ONE, rounded to the nearest. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    return (uint64_t)(((unsigned __int128)a * b + ONE / 2) >> 63);
}

/* Square and multiply. */
uint32_t random_any_ppb(uint32_t ppb, uint32_t draws)
{
    if (draws <= 1 || ppb == 0)
        return ppb;
    uint64_t power = (uint64_t)(((unsigned __int128)(RANDOM_PPB_ONE - ppb) << 63) / RANDOM_PPB_ONE);
    uint64_t survives = ONE;
    for (; draws; draws >>= 1) {
        if (draws & 1)
            survives = multiply(survives, power);
        power = multiply(power, power);
    }
    return RANDOM_PPB_ONE - (uint32_t)multiply(survives, RANDOM_PPB_ONE);
}
