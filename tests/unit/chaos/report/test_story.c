#include "tests/lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "chaos/report/story.h"

static void lines_have_times_once_it_began(void **state)
{
    (void)state;
    struct story story;
    char *shown = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&shown, &size);
    story_init(&story, out);
    assert_false(story.colour); /* no terminal */
    story_say(&story, 500, STORY_PLAIN, "ready");
    story_set_origin(&story, 1000);
    story_say(&story, 1500001000, STORY_FAULT, "split %s", "n1 / n2");
    story_say(&story, 1, STORY_BAD, "before");
    fclose(out);
    static const char expected[] =
        "           ready\n   1.500s  split n1 / n2\n   0.000s  before\n";
    assert_string_equal(shown, expected);
    assert_string_equal(text_get(&story.told), expected);
    free(shown);
    story_free(&story);
}

static void a_story_nobody_hears_is_still_kept(void **state)
{
    (void)state;
    struct story story;
    story_init(&story, NULL);
    story_say(&story, 0, STORY_GOOD, "hello");
    assert_non_null(strstr(text_get(&story.told), "hello\n"));
    story_free(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_times_once_it_began),
        cmocka_unit_test(a_story_nobody_hears_is_still_kept),
    };
    return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
