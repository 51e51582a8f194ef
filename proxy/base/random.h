/* Keyed randomness: the value for the k-th unit depends on its key and k alone, never on what else
 * has happened. A key is made by folding in (seed, link or route, direction, fault) once; a draw
 * then costs two multiplications.
 *
 * Mixing function: the SplitMix64 finalizer (Steele, Lea, Flood: Fast splittable pseudorandom
 * number generators, OOPSLA 2014), applied at each fold. Not for secrets. */
#ifndef SEVER_BASE_RANDOM_H
#define SEVER_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One in a billion: the unit of every probability in a decision. */
#define RANDOM_PPB_ONE 1000000000u

/* Bijective mix of 64 bits. */
static inline uint64_t random_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x;
}

/* Folds one more word into a key. The order of folds matters. */
static inline uint64_t random_key_fold(uint64_t key, uint64_t word)
{
    return random_mix(random_mix(key + UINT64_C(0x9e3779b97f4a7c15)) ^ word);
}

/* Folds a string (its bytes and its length) into a key. */
uint64_t random_key_fold_text(uint64_t key, const char *text);

/* The 64 random bits of `key` for unit `sequence`; `draw` tells several draws of one unit apart. */
static inline uint64_t random_draw(uint64_t key, uint64_t sequence, uint32_t draw)
{
    return random_mix(random_mix(key ^ (sequence * UINT64_C(0x9e3779b97f4a7c15))) +
                      draw * UINT64_C(0xd1b54a32d192ed03));
}

/* Maps 64 random bits to [0, bound), bound > 0 (Lemire 2019, the multiply-shift without the
 * rejection step: the bias is below bound / 2^64). */
static inline uint64_t random_below(uint64_t bits, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)bits * bound) >> 64);
}

/* True with probability ppb / 1e9. 0 is never, RANDOM_PPB_ONE always. */
static inline bool random_hits(uint64_t bits, uint32_t ppb)
{
    return random_below(bits, RANDOM_PPB_ONE) < ppb;
}

/* The probability that at least one of `draws` hits when each does with probability ppb:
 * 1 - (1 - p)^draws, in parts per billion, to the nearest. draws: 0 counts as 1. */
uint32_t random_any_ppb(uint32_t ppb, uint32_t draws);

/* A sequential generator over the same draws, for schedules and workloads. */
struct random_stream {
    uint64_t key;
    uint64_t sequence;
};

static inline uint64_t random_next(struct random_stream *stream)
{
    return random_draw(stream->key, stream->sequence++, 0);
}

#endif
