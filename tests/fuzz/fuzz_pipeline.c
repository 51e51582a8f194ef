/* The fault pipeline under virtual time, driven by the input: which faults, in which order, with
 * which parameters, what is pushed, how late it is run, what changes. The invariants are those of
 * tests/unit/proxy/fault/trial.h. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/proxy/fault/trial.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct trial trial = {.seed = 1, .bytes = bytes, .left = size};
    if (size > 0)
        run_trial(&trial);
    return 0;
}
