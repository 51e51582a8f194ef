/* The linearizability checker against the plainest judge there is (every order, on thousands of
 * small histories), recorded histories with known verdicts, and large generated ones. */
#include "tests/lib/test.h"

#include <stdlib.h>

#include "chaos/check/check.h"
#include "chaos/check/register.h"
#include "proxy/base/monotonic.h"
#include "tests/unit/chaos/check/lib_history.h"

enum { SMALL_HISTORIES = 30000 };

static enum check_verdict verdict_of(const struct history *history)
{
    struct check_linearizable result;
    check_linearizable(history, NULL, &result);
    enum check_verdict verdict = result.verdict;
    check_linearizable_free(&result);
    return verdict;
}

/* A few operations without rhyme or reason: mostly wrong. Times collide often. */
static void scatter(struct random_stream *random, struct history *history)
{
    size_t count = 1 + below(random, 7);
    for (size_t i = 0; i < count; i++) {
        enum history_function function = (enum history_function)below(random, 3);
        uint64_t invoke_ns = below(random, 14), return_ns = invoke_ns + below(random, 8);
        int64_t value = (int64_t)below(random, 3), expected = (int64_t)below(random, 3);
        uint64_t dice = below(random, 10);
        enum history_outcome outcome = dice == 0   ? HISTORY_FAIL
                                       : dice <= 2 ? HISTORY_UNKNOWN
                                                   : HISTORY_OK;
        if (function == HISTORY_READ && value == 0)
            value = HISTORY_NIL;
        if (function == HISTORY_CAS && dice >= 7)
            outcome = HISTORY_MISMATCH;
        if (expected == 0)
            expected = HISTORY_NIL;
        add(history, (uint32_t)i, function, outcome, expected, value, invoke_ns, return_ns);
    }
    history_sort(history);
}

/* A small history that is right, or right but for one value. */
static void nearly_right(struct random_stream *random, uint64_t seed, struct history *history)
{
    struct generator generator = {.clients = 2 + (unsigned)below(random, 3),
                                  .operations = 3 + (unsigned)below(random, 6),
                                  .values = 3,
                                  .unknown_percent = 25,
                                  .cas_percent = 30,
                                  .read_percent = 40,
                                  .length_ns = 8,
                                  .gap_ns = 3};
    generate(&generator, seed, history);
    if (below(random, 2)) {
        struct history_operation *operation = &history->operations[below(random, history->count)];
        operation->value = 1 + (int64_t)below(random, 3);
    }
}

/* May `change` be the last change before `operation`? As shrink.c has it, word by word. */
static bool may_depend(const struct history *history, size_t operation, size_t change)
{
    struct register_operation seen, made, other;
    if (operation == change ||
        !register_operation_of(&history->operations[operation], operation, &seen) ||
        !register_operation_of(&history->operations[change], change, &made) ||
        made.kind == REGISTER_READ || made.kind == REGISTER_MISMATCH ||
        made.invoke_ns > seen.return_ns || seen.kind == REGISTER_WRITE)
        return false;
    bool fits = seen.kind == REGISTER_READ  ? seen.value == made.value
                : seen.kind == REGISTER_CAS ? seen.expected == made.value
                                            : seen.expected != made.value;
    for (size_t i = 0; i < history->count && fits; i++)
        if (register_operation_of(&history->operations[i], i, &other) && !other.optional &&
            (other.kind == REGISTER_WRITE || other.kind == REGISTER_CAS) &&
            other.invoke_ns > made.return_ns && other.return_ns < seen.invoke_ns)
            fits = false;
    return fits;
}

/* Are all writes of what the operation saw, one at least, among the gone? As shrink.c has it. */
static bool is_orphan(const struct history *history, size_t operation, uint64_t gone)
{
    struct register_operation seen, made;
    bool any = false;
    if (!register_operation_of(&history->operations[operation], operation, &seen) ||
        (seen.kind != REGISTER_READ && seen.kind != REGISTER_CAS))
        return false;
    int64_t value = seen.kind == REGISTER_READ ? seen.value : seen.expected;
    for (size_t i = 0; i < history->count; i++) {
        if (i == operation || !register_operation_of(&history->operations[i], i, &made) ||
            (made.kind != REGISTER_WRITE && made.kind != REGISTER_CAS) || made.value != value ||
            made.invoke_ns > seen.return_ns)
            continue;
        if (!(gone >> i & 1))
            return false;
        any = true;
    }
    return any;
}

/* The core can't be ordered; what its operations may have seen is in it; and it is minimal. */
static void check_core(const struct history *history, const struct check_linearizable *result)
{
    uint64_t core = 0;
    assert_true(result->core_count > 0);
    for (size_t i = 0; i < result->core_count; i++) {
        assert_true(result->core[i] < history->count);
        assert_true(i == 0 || history->operations[result->core[i - 1]].invoke_ns <=
                                  history->operations[result->core[i]].invoke_ns);
        core |= UINT64_C(1) << result->core[i];
    }
    assert_false(oracle(history, core));
    for (size_t i = 0; i < result->core_count; i++)
        assert_false(is_orphan(history, result->core[i], ~core));
    struct history piece = {0};
    for (size_t i = 0; i < result->core_count; i++)
        history_add(&piece, &history->operations[result->core[i]]);
    for (size_t i = 0; i < piece.count; i++) {
        uint64_t gone = UINT64_C(1) << i;
        for (bool more = true; more;) { /* with what may have seen it, and so on */
            more = false;
            for (size_t j = 0; j < piece.count; j++)
                for (size_t k = 0; k < piece.count; k++)
                    if (gone >> k & 1 && !(gone >> j & 1) &&
                        (may_depend(&piece, j, k) || is_orphan(&piece, j, gone))) {
                        gone |= UINT64_C(1) << j;
                        more = true;
                    }
        }
        assert_true(oracle(&piece, ((UINT64_C(1) << piece.count) - 1) & ~gone));
    }
    history_free(&piece);
}

/* Is there an acknowledged change, and another answer that could have shown it? */
static bool puts_to_the_test(const struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        for (size_t j = 0; j < history->count; j++) {
            struct register_operation change, look;
            if (i != j && register_operation_of(&history->operations[i], i, &change) &&
                register_operation_of(&history->operations[j], j, &look) && !change.optional &&
                !look.optional && (change.kind == REGISTER_WRITE || change.kind == REGISTER_CAS) &&
                look.kind != REGISTER_WRITE && look.return_ns >= change.invoke_ns)
                return true;
        }
    return false;
}

static void agrees_with_every_order(void **state)
{
    (void)state;
    struct random_stream random = {.key = 7};
    size_t verdicts[2] = {0}, largest = 0;
    for (uint64_t seed = 0; seed < SMALL_HISTORIES; seed++) {
        struct history history = {0};
        struct check_linearizable result;
        if (seed % 2)
            scatter(&random, &history);
        else
            nearly_right(&random, seed, &history);
        bool right = oracle(&history, (UINT64_C(1) << history.count) - 1);
        check_linearizable(&history, NULL, &result);
        bool tested = puts_to_the_test(&history);
        enum check_verdict expected = !right ? CHECK_FAIL : tested ? CHECK_PASS : CHECK_UNKNOWN;
        if (result.verdict != expected) {
            struct text text = {0};
            history_write(&history, &text);
            print_message("seed %llu\n%s", (unsigned long long)seed, text_get(&text));
            text_free(&text);
        }
        assert_int_equal(result.verdict, expected);
        assert_true(!right || result.tested == tested);
        verdicts[right]++;
        if (!right)
            check_core(&history, &result);
        largest = result.core_count > largest ? result.core_count : largest;
        check_linearizable_free(&result);
        history_free(&history);
    }
    print_message("%zu linearizable, %zu not, largest core %zu\n", verdicts[1], verdicts[0],
                  largest);
    assert_true(verdicts[0] > SMALL_HISTORIES / 10 && verdicts[1] > SMALL_HISTORIES / 10);
}

/* ---- recorded ----------------------------------------------------------------------------------
 */

static char *read_data(const char *name, size_t *length)
{
    const char *root = getenv("SEVER_SOURCE_DIR");
    char path[1024];
    snprintf(path, sizeof(path), "%s/tests/unit/chaos/check/data/%s", root ? root : ".", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    *length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    return text;
}

static void recorded_histories(void **state)
{
    (void)state;
    size_t length, count = 0, largest = 0;
    uint64_t all_ns = 0, worst_ns = 0;
    char *verdicts = read_data("verdicts.tsv", &length), *rest = verdicts;
    char name[64], word[16];
    for (int used; sscanf(rest, "%63s %15s%n", name, word, &used) == 2; rest += used, count++) {
        struct history history;
        struct error error = {0};
        struct check_linearizable result;
        char *text = read_data(name, &length);
        assert_int_equal(history_parse_jepsen(text, length, name, &history, &error), 0);
        uint64_t begin_ns = monotonic_now_ns();
        check_linearizable(&history, NULL, &result);
        uint64_t took_ns = monotonic_now_ns() - begin_ns;
        all_ns += took_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
        if (strcmp(check_verdict_name(result.verdict), word) != 0)
            print_message("%s is %s\n", name, check_verdict_name(result.verdict));
        assert_string_equal(check_verdict_name(result.verdict), word);
        largest = result.core_count > largest ? result.core_count : largest;
        check_linearizable_free(&result);
        history_free(&history);
        free(text);
    }
    free(verdicts);
    assert_int_equal(count, 33);
    print_message("%zu logs in %.3f ms, worst %.3f ms, cores up to %zu operations\n", count,
                  (double)all_ns / 1e6, (double)worst_ns / 1e6, largest);
}

/* ---- large -------------------------------------------------------------------------------------
 */

static void generated(unsigned operations, unsigned values, unsigned unknown, uint64_t seed,
                      uint64_t steps)
{
    struct generator generator = {.clients = 10,
                                  .operations = operations,
                                  .values = values,
                                  .unknown_percent = unknown,
                                  .cas_percent = 20,
                                  .read_percent = 50,
                                  .length_ns = 5000,
                                  .gap_ns = 5000};
    struct history history = {0};
    struct check_linearizable result;
    struct check_linearizable_limits limits = {.steps = steps};
    generate(&generator, seed, &history);
    uint64_t begin_ns = monotonic_now_ns();
    check_linearizable(&history, &limits, &result);
    print_message("%u operations, %u values, %u %% unknown: %s in %.1f ms, %llu steps\n",
                  operations, values, unknown, check_verdict_name(result.verdict),
                  (double)(monotonic_now_ns() - begin_ns) / 1e6, (unsigned long long)result.steps);
    assert_int_equal(result.verdict, CHECK_PASS);
    assert_true(result.checked > 0 && result.checked <= history.count);
    check_linearizable_free(&result);

    /* A late read of what was read, and since overwritten, in the first half. */
    if (values == 0) {
        size_t late = history.count - 1, early = history.count / 2;
        while (history.operations[late].function != HISTORY_READ)
            late--;
        while (history.operations[early].function != HISTORY_READ)
            early--;
        history.operations[late].value = history.operations[early].value;
        begin_ns = monotonic_now_ns();
        check_linearizable(&history, NULL, &result);
        print_message("  with one stale read: %s in %.1f ms, core of %zu\n",
                      check_verdict_name(result.verdict),
                      (double)(monotonic_now_ns() - begin_ns) / 1e6, result.core_count);
        assert_int_equal(result.verdict, CHECK_FAIL);
        assert_true(result.core_count >= 2 && result.core_count <= 4);
        check_linearizable_free(&result);
    }
    history_free(&history);
}

static void large_histories_in_bounded_time(void **state)
{
    (void)state;
    generated(20000, 0, 1, 1, 400 * 20000);
    generated(20000, 5, 1, 2, 400 * 20000);
    generated(20000, 0, 0, 3, 40 * 20000);
    generated(100000, 0, 0, 4, 40 * 100000);
}

/* A good history in which one read is given a value that was gone for sure. */
static void one_wrong_read_is_found(void **state)
{
    (void)state;
    struct generator generator = {.clients = 5,
                                  .operations = 60,
                                  .unknown_percent = 5,
                                  .cas_percent = 20,
                                  .read_percent = 50,
                                  .length_ns = 20,
                                  .gap_ns = 20};
    size_t mutated = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct history history = {0};
        generate(&generator, seed, &history);
        assert_int_equal(verdict_of(&history), CHECK_PASS);
        struct random_stream random = {.key = seed};
        struct history_operation *read = &history.operations[below(&random, history.count)];
        /* The value of an earlier read, when a write that returned before the later read was begun
         * after the earlier read's value had been seen: each value is written once. */
        for (size_t i = 0; i < history.count && read->function == HISTORY_READ; i++) {
            const struct history_operation *early = &history.operations[i];
            bool gone = false;
            for (size_t j = 0; j < history.count; j++)
                gone = gone || (history.operations[j].function == HISTORY_WRITE &&
                                history.operations[j].outcome == HISTORY_OK &&
                                history.operations[j].invoke_ns > early->return_ns &&
                                history.operations[j].return_ns < read->invoke_ns);
            if (early->function != HISTORY_READ || !gone || early->value == read->value)
                continue;
            read->value = early->value;
            assert_int_equal(verdict_of(&history), CHECK_FAIL);
            mutated++;
            break;
        }
        history_free(&history);
    }
    assert_true(mutated > 300);
}

/* ---- limits, keys, what is left out ------------------------------------------------------------
 */

/* Many writes at once, and a read that none of their orders allows. */
static void hard(struct history *history)
{
    for (uint32_t i = 0; i < 20; i++)
        add(history, i, HISTORY_WRITE, HISTORY_OK, 0, i + 1, 0, 100);
    for (uint32_t i = 0; i < 20; i++)
        add(history, 20 + i, HISTORY_READ, HISTORY_OK, 0, i + 1, 0, 100);
    add(history, 40, HISTORY_READ, HISTORY_OK, 0, 1, 101, 110);
    add(history, 41, HISTORY_READ, HISTORY_OK, 0, 2, 111, 120);
}

static void unknown_at_its_limits(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_linearizable result;
    hard(&history);
    struct check_linearizable_limits limits = {.steps = 10000};
    check_linearizable(&history, &limits, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_string_equal(result.key, "k1");
    assert_non_null(strstr(result.reason, "ran out of steps"));
    assert_non_null(strstr(result.reason, "of 42 operations"));
    assert_true(result.steps < 11000);
    assert_int_equal(result.core_count, 0);
    check_linearizable_free(&result);

    limits = (struct check_linearizable_limits){.memory_bytes = 1 << 20};
    check_linearizable(&history, &limits, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_non_null(strstr(result.reason, "ran out of 1 MiB"));
    check_linearizable_free(&result);

    /* A failure of another key outranks it. */
    add(&history, 50, HISTORY_READ, HISTORY_OK, 0, 99, 0, 1);
    snprintf(history.operations[history.count - 1].key, HISTORY_KEY_MAX, "z");
    check_linearizable(&history, &limits, &result);
    assert_int_equal(result.verdict, CHECK_FAIL);
    assert_string_equal(result.key, "z");
    assert_int_equal(result.core_count, 1);
    assert_int_equal(result.core[0], history.count - 1);
    check_linearizable_free(&result);
    history_free(&history);
}

static void keys_are_apart(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_linearizable result;
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 1, 0, 1);
    add(&history, 2, HISTORY_READ, HISTORY_OK, 0, HISTORY_NIL, 2, 3);
    assert_int_equal(verdict_of(&history), CHECK_FAIL);
    snprintf(history.operations[1].key, HISTORY_KEY_MAX, "k2");
    add(&history, 3, HISTORY_READ, HISTORY_OK, 0, 1, 2, 3);
    check_linearizable(&history, NULL, &result);
    assert_int_equal(result.verdict, CHECK_PASS);
    assert_int_equal(result.checked, 3);
    assert_string_equal(result.key, "");
    check_linearizable_free(&result);
    history_free(&history);
}

static void expect_untested(const struct history *history, const char *reason)
{
    struct check_linearizable result;
    check_linearizable(history, NULL, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_false(result.tested);
    assert_string_equal(result.reason, reason);
    assert_string_equal(result.key, "");
    check_linearizable_free(&result);
}

static void what_tests_nothing_is_no_pass(void **state)
{
    (void)state;
    static const char nothing[] = "not tested: no operation was acknowledged";
    static const char unseen[] =
        "not tested: no change was acknowledged under a key that a read or cas then looked at";
    struct history history = {0};
    expect_untested(&history, nothing);
    add(&history, 1, HISTORY_WRITE, HISTORY_FAIL, 0, 1, 0, 10);
    expect_untested(&history, nothing);
    add(&history, 2, HISTORY_WRITE, HISTORY_UNKNOWN, 0, 2, 0, 10);
    expect_untested(&history, unseen);
    add(&history, 3, HISTORY_READ, HISTORY_FAIL, 0, HISTORY_NIL, 0, 10);
    expect_untested(&history, unseen);
    add(&history, 4, HISTORY_READ, HISTORY_OK, 0, HISTORY_NIL, 15, 20);
    expect_untested(&history, unseen);
    add(&history, 5, HISTORY_WRITE, HISTORY_OK, 0, 3, 21, 30); /* after the read had ended */
    expect_untested(&history, unseen);
    add(&history, 6, HISTORY_READ, HISTORY_OK, 0, 3, 40, 50);
    snprintf(history.operations[history.count - 1].key, HISTORY_KEY_MAX, "k2");
    history.operations[history.count - 1].value = HISTORY_NIL;
    expect_untested(&history, unseen);
    history.operations[history.count - 3].return_ns = 21; /* the read meets the write */
    assert_int_equal(verdict_of(&history), CHECK_PASS);
    history_free(&history);
    add(&history, 1, HISTORY_CAS, HISTORY_OK, HISTORY_NIL, 3, 0, 10); /* one can't see itself */
    expect_untested(&history, unseen);
    add(&history, 1, HISTORY_CAS, HISTORY_OK, 3, 4, 20, 30);
    assert_int_equal(verdict_of(&history), CHECK_PASS);
    history_free(&history);
}

static void what_says_nothing_is_left_out(void **state)
{
    (void)state;
    struct history history = {0};
    struct check_linearizable result;
    add(&history, 1, HISTORY_WRITE, HISTORY_FAIL, 0, 1, 0, 1);
    add(&history, 2, HISTORY_READ, HISTORY_UNKNOWN, 0, HISTORY_NIL, 0, 1);
    add(&history, 3, HISTORY_READ, HISTORY_FAIL, 0, 5, 0, 1);
    check_linearizable(&history, NULL, &result);
    assert_int_equal(result.verdict, CHECK_UNKNOWN);
    assert_int_equal(result.checked, 0);
    check_linearizable_free(&result);
    history_free(&history);
}

/* Why an unknown write whose value nobody saw can't just be dropped. */
static void an_unseen_unknown_write_explains_a_mismatch(void **state)
{
    (void)state;
    struct history history = {0};
    add(&history, 1, HISTORY_WRITE, HISTORY_OK, 0, 1, 0, 1);
    add(&history, 2, HISTORY_CAS, HISTORY_MISMATCH, 1, 3, 10, 11);
    assert_int_equal(verdict_of(&history), CHECK_FAIL);
    add(&history, 3, HISTORY_WRITE, HISTORY_UNKNOWN, 0, 9, 5, 6);
    assert_int_equal(verdict_of(&history), CHECK_PASS);
    history.operations[2].invoke_ns = 12; /* too late for it */
    assert_int_equal(verdict_of(&history), CHECK_FAIL);
    history_free(&history);
}

/* Two hundred requests that timed out stay possible for ever; they must not cost 2^200. */
static void many_unknown_outcomes(void **state)
{
    (void)state;
    struct history history = {0};
    for (uint32_t i = 0; i < 200; i++)
        add(&history, i, HISTORY_WRITE, HISTORY_UNKNOWN, 0, 1000 + i, 1, 2);
    for (uint32_t i = 0; i < 2000; i++)
        add(&history, 300, i % 2 ? HISTORY_READ : HISTORY_WRITE, HISTORY_OK, 0, 1 + i / 2,
            10 + 2 * i, 11 + 2 * i);
    add(&history, 300, HISTORY_CAS, HISTORY_MISMATCH, 1000, 7, 9000, 9001);
    assert_int_equal(verdict_of(&history), CHECK_PASS);
    history.operations[history.count - 1].expected = 1000; /* the last write of 1000: */
    history.operations[history.count - 1].outcome = HISTORY_OK;
    assert_int_equal(verdict_of(&history), CHECK_PASS); /* value 1000 is 300's last write */
    history.operations[history.count - 1].expected = 5;
    assert_int_equal(verdict_of(&history),
                     CHECK_FAIL); /* 5 was overwritten; none of 200 wrote it */
    history_free(&history);
}

static void verdicts_rank(void **state)
{
    (void)state;
    assert_int_equal(check_worse(CHECK_PASS, CHECK_PASS), CHECK_PASS);
    assert_int_equal(check_worse(CHECK_PASS, CHECK_UNKNOWN), CHECK_UNKNOWN);
    assert_int_equal(check_worse(CHECK_FAIL, CHECK_UNKNOWN), CHECK_FAIL);
    assert_int_equal(check_worse(CHECK_UNKNOWN, CHECK_FAIL), CHECK_FAIL);
    assert_string_equal(check_verdict_name(CHECK_UNKNOWN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_every_order),
        cmocka_unit_test(recorded_histories),
        cmocka_unit_test(large_histories_in_bounded_time),
        cmocka_unit_test(one_wrong_read_is_found),
        cmocka_unit_test(unknown_at_its_limits),
        cmocka_unit_test(keys_are_apart),
        cmocka_unit_test(what_tests_nothing_is_no_pass),
        cmocka_unit_test(what_says_nothing_is_left_out),
        cmocka_unit_test(an_unseen_unknown_write_explains_a_mismatch),
        cmocka_unit_test(many_unknown_outcomes),
        cmocka_unit_test(verdicts_rank),
    };
    return cmocka_run_group_tests_name("linearizable", tests, NULL, NULL);
}
