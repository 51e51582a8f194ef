#include "tests/lib/test.h"

#include <string.h>

#include "chaos/nemesis/periods.h"
#include "chaos/nemesis/proof.h"

static json_t *links_answer(const char *link, int held_bytes, int held, int cut, int loss,
                            int refused)
{
    return json_pack("{s:[{s:s, s:i, s:i, s:{s:i, s:i}, s:i}]}", "links", "link", link,
                     "held_bytes", held_bytes, "held_connections", held, "dropped", "cut", cut,
                     "loss", loss, "refused", refused);
}

static size_t effect(const char *link, int held_bytes, int held, int cut, int loss, int refused,
                     struct text *evidence)
{
    struct proof_link links[] = {{.link = "n1->n2"}, {.link = "n2->n1"}};
    json_t *before = links_answer("n1->n2", 100, 5, 7, 3, 2);
    json_t *after = links_answer(link, held_bytes, held, cut, loss, refused);
    proof_read_links(before, links, 2, true);
    proof_read_links(after, links, 2, false);
    if (evidence)
        proof_describe_links(links, 2, evidence);
    size_t result = proof_count_effective(links, 2);
    json_decref(before);
    json_decref(after);
    return result;
}

static void only_what_rose_on_a_cut_link_counts(void **state)
{
    (void)state;
    assert_int_equal(effect("n1->n2", 100, 5, 7, 3, 2, NULL), 0);
    assert_int_equal(effect("n1->n2", 101, 5, 7, 3, 2, NULL), 1);
    assert_int_equal(effect("n1->n2", 100, 6, 7, 3, 2, NULL), 1);
    assert_int_equal(effect("n1->n2", 100, 5, 8, 3, 2, NULL), 1);
    assert_int_equal(effect("n1->n2", 100, 5, 7, 3, 3, NULL), 0);  /* a dial that failed is none */
    assert_int_equal(effect("n1->n2", 100, 5, 7, 99, 2, NULL), 0); /* loss is no cut */
    assert_int_equal(effect("n1->n2", 0, 0, 0, 0, 0, NULL), 0);    /* fewer is no effect */
    assert_int_equal(effect("n1->n3", 900, 9, 9, 9, 9, NULL), 0);  /* another link */
}

static void evidence_is_told(void **state)
{
    (void)state;
    struct text text = {0};
    effect("n1->n2", 340, 7, 7, 3, 2, &text);
    assert_string_equal(text_get(&text), "held 240 bytes and 2 new connections on 1 of 2 links");
    text_clear(&text);
    effect("n1->n2", 100, 5, 9, 3, 3, &text);
    assert_non_null(strstr(text_get(&text), "dropped 2 units"));
    text_clear(&text);
    effect("n1->n2", 100, 5, 7, 3, 2, &text);
    assert_string_equal(text_get(&text), "nothing tried to cross the 2 cut links");
    text_free(&text);
}

static void odd_answers_change_nothing(void **state)
{
    (void)state;
    struct proof_link links[] = {{.link = "n1->n2", .now = {.held_bytes = 1}}};
    json_t *odd[] = {NULL, json_object(), json_pack("{s:i}", "links", 3),
                     json_pack("{s:[i,{}]}", "links", 1)};
    for (size_t i = 0; i < 4; i++) {
        proof_read_links(odd[i], links, 1, false);
        assert_int_equal(links[0].now.held_bytes, 1);
        json_decref(odd[i]);
    }
}

/* ---- periods --------------------------------------------------------------------------------- */

static struct periods_state healthy(void)
{
    struct periods_state state = {.count = 3};
    for (size_t i = 0; i < 3; i++)
        state.alive[i] = true;
    return state;
}

static void cut_off(struct periods_state *state, size_t node)
{
    for (size_t i = 0; i < 3; i++) {
        if (i != node)
            state->cut[i * 3 + node] = state->cut[node * 3 + i] = true;
    }
}

static void periods_are_contiguous_and_know_the_sides(void **unused)
{
    (void)unused;
    struct periods periods = {0};
    struct periods_state state = healthy();
    periods_change(&periods, 100, &state);
    cut_off(&state, 0);
    periods_change(&periods, 200, &state);
    state = healthy();
    periods_change(&periods, 300, &state);
    periods_end(&periods, 400);
    assert_int_equal(periods.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(periods.items[i].begin_ns, 100 + 100 * i);
        assert_int_equal(periods.items[i].end_ns, 200 + 100 * i);
    }
    assert_false(periods.items[0].faulty);
    assert_true(periods.items[1].faulty && periods.items[1].partitioned);
    assert_int_equal(periods.items[1].side[0], CHECK_SIDE_MINORITY);
    assert_int_equal(periods.items[1].side[1], CHECK_SIDE_MAJORITY);
    assert_int_equal(periods.items[1].side[2], CHECK_SIDE_MAJORITY);
    assert_int_equal(periods.items[2].side[0], CHECK_SIDE_NONE);
    assert_false(periods.items[2].faulty);
    periods_free(&periods);
}

static void what_looks_the_same_is_one_period(void **unused)
{
    (void)unused;
    struct periods periods = {0};
    struct periods_state state = healthy();
    periods_change(&periods, 100, &state);
    state.faults = 1;
    periods_change(&periods, 200, &state);
    state.faults = 2;
    periods_change(&periods, 250, &state);
    state.shifted[1] = true;
    periods_change(&periods, 260, &state);
    assert_int_equal(periods.count, 2);
    state = healthy();
    periods_change(&periods, 200, &state); /* at once: replaces */
    assert_int_equal(periods.count, 2);
    assert_false(periods.items[1].faulty);
    periods_free(&periods);
}

static void a_dead_node_is_a_fault_without_side(void **unused)
{
    (void)unused;
    struct periods periods = {0};
    struct periods_state state = healthy();
    state.alive[2] = false;
    periods_change(&periods, 1, &state);
    assert_true(periods.items[0].faulty);
    assert_false(periods.items[0].partitioned);
    assert_false(periods.items[0].alive[2]);
    cut_off(&state, 0);
    periods_change(&periods, 2, &state);
    /* One of three alone with one dead: nobody has a majority. */
    assert_int_equal(periods.items[1].side[0], CHECK_SIDE_MINORITY);
    assert_int_equal(periods.items[1].side[1], CHECK_SIDE_MINORITY);
    assert_int_equal(periods.items[1].side[2], CHECK_SIDE_NONE);
    periods_free(&periods);
}

static void a_node_that_quit_stays_on_the_minority_until_the_heal(void **unused)
{
    (void)unused;
    struct periods_state state = healthy();
    uint8_t side[3];
    cut_off(&state, 0);
    state.alive[0] = false;
    periods_state_sides(&state, side);
    assert_int_equal(side[0], CHECK_SIDE_NONE); /* killed by us */
    state.quit[0] = true;
    periods_state_sides(&state, side);
    assert_int_equal(side[0], CHECK_SIDE_MINORITY);
    assert_int_equal(side[1], CHECK_SIDE_MAJORITY);
    memset(state.cut, 0, sizeof(state.cut));
    periods_state_sides(&state, side);
    assert_int_equal(side[0], CHECK_SIDE_NONE);
}

static void a_node_that_comes_up_again_is_told_from_other_faults(void **unused)
{
    (void)unused;
    struct periods periods = {0};
    struct periods_state state = healthy();
    state.alive[1] = false;
    periods_change(&periods, 100, &state);
    state.restarting[1] = true;
    periods_change(&periods, 200, &state);
    state.faults = 1;
    periods_change(&periods, 300, &state);
    state.faults = 0;
    state.restarting[1] = false;
    state.alive[1] = true;
    periods_change(&periods, 400, &state);
    assert_int_equal(periods.count, 4);
    assert_true(periods.items[0].faulty && !periods.items[0].only_restarting);
    assert_true(periods.items[1].faulty && periods.items[1].only_restarting);
    assert_true(periods.items[1].restarting[1] && !periods.items[1].restarting[0]);
    assert_true(periods.items[2].faulty && !periods.items[2].only_restarting);
    assert_false(periods.items[3].faulty || periods.items[3].only_restarting);
    periods_free(&periods);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_rose_on_a_cut_link_counts),
        cmocka_unit_test(evidence_is_told),
        cmocka_unit_test(odd_answers_change_nothing),
        cmocka_unit_test(periods_are_contiguous_and_know_the_sides),
        cmocka_unit_test(what_looks_the_same_is_one_period),
        cmocka_unit_test(a_dead_node_is_a_fault_without_side),
        cmocka_unit_test(a_node_that_quit_stays_on_the_minority_until_the_heal),
        cmocka_unit_test(a_node_that_comes_up_again_is_told_from_other_faults),
    };
    return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
