/* Many trials of random chains of faults (trial.h). A failure prints the seed;
 * `test_pipeline_property SEED` runs that one alone. */
#include "tests/unit/proxy/fault/trial.h"

enum { SEEDS = 600 };

static void run_seed(uint64_t seed)
{
    struct trial trial = {.seed = seed, .dice.key = seed};
    run_trial(&trial);
}

static uint64_t only_seed;

static void invariants_hold(void **state)
{
    (void)state;
    if (only_seed) {
        run_seed(only_seed);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(invariants_hold)};
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests_name("proxy/fault/pipeline_property", tests, NULL, NULL);
}
