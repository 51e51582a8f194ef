/* Programs are this test's own file with a few bytes changed, and scripts that lead to it. */
#include "tests/lib/test.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/program.h"
#include "proxy/base/text.h"
#include "tests/lib/files.h"

static const char itself[] = "/proc/self/exe"; /* for the library: the same machine */

struct fixture {
    char directory[64], path[128], *search_path;
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/sever-program-XXXXXX");
    fixture->search_path = strdup(getenv("PATH"));
    return mkdtemp(fixture->directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    setenv("PATH", fixture->search_path, 1);
    files_remove_folder(fixture->directory);
    free(fixture->search_path);
    free(fixture);
    return 0;
}

/* directory/name with this content, executable. Returns its path, until the next call. */
static const char *make_file(struct fixture *fixture, const char *name, const void *content,
                             size_t length)
{
    snprintf(fixture->path, sizeof(fixture->path), "%s/%s", fixture->directory, name);
    int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, length), (ssize_t)length);
    assert_int_equal(close(fd), 0);
    return fixture->path;
}

static const char *make_script(struct fixture *fixture, const char *name, const char *content)
{
    return make_file(fixture, name, content, strlen(content));
}

static void read_itself(struct text *content)
{
    char buffer[65536];
    int fd = open(itself, O_RDONLY | O_CLOEXEC);
    for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;)
        text_append_bytes(content, buffer, (size_t)got);
    close(fd);
    assert_true(content->length > sizeof(ElfW(Ehdr)));
}

static ElfW(Ehdr) * header_of(struct text *content)
{
    return (ElfW(Ehdr) *)(void *)content->data;
}

/* The first segment of this type. */
static ElfW(Phdr) * segment_of(struct text *content, unsigned type)
{
    ElfW(Phdr) *segments = (ElfW(Phdr) *)(void *)(content->data + header_of(content)->e_phoff);
    for (size_t i = 0; i < header_of(content)->e_phnum; i++)
        if (segments[i].p_type == type)
            return &segments[i];
    fail_msg("this test has no segment of type %u", type);
    return NULL;
}

static const char *make_static(struct fixture *fixture, const char *name)
{
    struct text content = {0};
    read_itself(&content);
    segment_of(&content, PT_INTERP)->p_type = PT_NULL;
    const char *path = make_file(fixture, name, content.data, content.length);
    text_free(&content);
    return path;
}

static void expect_refused(struct fixture *fixture, const char *command, const char *reason)
{
    fixture->error = (struct error){0};
    assert_int_equal(program_check_clock(command, itself, &fixture->error), -ENOEXEC);
    if (!strstr(fixture->error.message, reason))
        fail_msg("'%s' does not say '%s'", fixture->error.message, reason);
    assert_non_null(strstr(fixture->error.message, "--anyway"));
}

static void expect_fine(struct fixture *fixture, const char *command)
{
    fixture->error = (struct error){0};
    if (program_check_clock(command, itself, &fixture->error))
        fail_msg("%s: %s", command, fixture->error.message);
}

static void test_dynamic_programs_and_scripts_are_fine(void **state)
{
    struct fixture *fixture = *state;
    expect_fine(fixture, itself);
    expect_fine(fixture, "sh");
    expect_fine(fixture, make_script(fixture, "a", "#!/bin/sh\n"));
    expect_fine(fixture, make_script(fixture, "b", "#! \t/bin/sh -e\ndate\n"));
    expect_fine(fixture, make_script(fixture, "c", "date # run by /bin/sh\n"));
    expect_fine(fixture, make_script(fixture, "d", ""));
}

static void test_a_static_program_is_refused(void **state)
{
    struct fixture *fixture = *state;
    expect_refused(fixture, make_static(fixture, "static"), "/static is linked statically");
}

static void test_what_is_not_there_is_left_to_exec(void **state)
{
    struct fixture *fixture = *state;
    expect_fine(fixture, "/no/such/program");
    expect_fine(fixture, "no-such-program-anywhere");
    expect_fine(fixture, "");
    expect_fine(fixture, fixture->directory);
    expect_fine(fixture, make_script(fixture, "lost", "#!/no/such/interpreter\n"));
    expect_fine(fixture, make_script(fixture, "blank", "#!\n"));
}

static void test_scripts_lead_to_their_interpreter(void **state)
{
    struct fixture *fixture = *state;
    char first[256], second[256];
    snprintf(first, sizeof(first), "#! %s -x\n", make_static(fixture, "static"));
    snprintf(second, sizeof(second), "#!%s", make_script(fixture, "first", first));
    expect_refused(fixture, fixture->path, "/first is run by ");
    expect_refused(fixture, make_script(fixture, "second", second), "/static, which is linked");
    /* A circle ends; the kernel says ELOOP. */
    char circle[256];
    snprintf(circle, sizeof(circle), "#!%s/circle\n", fixture->directory);
    expect_fine(fixture, make_script(fixture, "circle", circle));
}

static void test_the_search_path_is_walked_as_exec_does(void **state)
{
    struct fixture *fixture = *state;
    char path[256], here[4096];
    chmod(make_script(fixture, "not-executable", ""), 0644);
    make_static(fixture, "clock-program");
    snprintf(path, sizeof(path), "/no/such:%s:/bin", fixture->directory);
    setenv("PATH", path, 1);
    expect_refused(fixture, "clock-program", fixture->directory);
    expect_fine(fixture, "not-executable");
    expect_fine(fixture, "sh");
    setenv("PATH", "/no/such", 1);
    expect_fine(fixture, "clock-program");
    /* An empty folder is the current one. */
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(fixture->directory), 0);
    setenv("PATH", "/no/such:", 1);
    expect_refused(fixture, "clock-program", "./clock-program is linked statically");
    unsetenv("PATH");
    expect_fine(fixture, "clock-program");
    assert_int_equal(chdir(here), 0);
}

static void test_another_machine_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct text content = {0};
    read_itself(&content);
    header_of(&content)->e_machine ^= 1;
    expect_refused(fixture, make_file(fixture, "machine", content.data, content.length),
                   "another machine");
    header_of(&content)->e_machine ^= 1;
    header_of(&content)->e_ident[EI_CLASS] ^= ELFCLASS32 ^ ELFCLASS64;
    expect_refused(fixture, make_file(fixture, "class", content.data, content.length),
                   "another machine");
    text_free(&content);
}

static void test_a_go_program_is_refused(void **state)
{
    static const char note[] = "\4\0\0\0\4\0\0\0\4\0\0\0Go\0\0id.";
    struct fixture *fixture = *state;
    struct text content = {0};
    read_itself(&content);
    ElfW(Phdr) *segment = segment_of(&content, PT_NOTE);
    assert_true(segment->p_filesz >= sizeof(note));
    memcpy(content.data + segment->p_offset, note, sizeof(note));
    expect_refused(fixture, make_file(fixture, "go", content.data, content.length),
                   "is a Go program");
    text_free(&content);
}

static void test_set_id_programs_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct text content = {0};
    if (getuid() != 0) {
        expect_refused(fixture, "su", "set-ID");
        return;
    }
    read_itself(&content);
    const char *path = make_file(fixture, "set-id", content.data, content.length);
    text_free(&content);
    assert_int_equal(chmod(path, 04755), 0);
    expect_fine(fixture, path); /* its own user: nothing changes */
    assert_int_equal(chown(path, 65534, 0), 0);
    assert_int_equal(chmod(path, 04755), 0);
    expect_refused(fixture, path, "set-ID");
    assert_int_equal(chown(path, 0, 65534), 0);
    assert_int_equal(chmod(path, 02755), 0);
    expect_refused(fixture, path, "set-ID");
    assert_int_equal(chmod(path, 02745), 0); /* without x: mandatory locking, no set-ID */
    expect_fine(fixture, path);
}

/* However an ELF file is cut off or its table of segments lies: what isn't there is not read (which
 * asan sees), and a file without the segment for the linker is refused. */
static void test_broken_files(void **state)
{
    struct fixture *fixture = *state;
    struct text content = {0};
    read_itself(&content);
    for (size_t length = 1; length < sizeof(ElfW(Ehdr)) + sizeof(ElfW(Phdr)); length++) {
        const char *path = make_file(fixture, "cut", content.data, length);
        if (length < SELFMAG)
            expect_fine(fixture, path); /* for the shell */
        else
            expect_refused(fixture, path,
                           length < sizeof(ElfW(Ehdr)) ? "another machine" : "statically");
    }
    header_of(&content)->e_phnum = UINT16_MAX;
    header_of(&content)->e_phoff = (ElfW(Off))INT64_MAX;
    expect_refused(fixture, make_file(fixture, "far", content.data, content.length), "statically");
    header_of(&content)->e_phoff = (ElfW(Off)) - 64;
    expect_refused(fixture, make_file(fixture, "near", content.data, content.length), "statically");
    text_free(&content);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dynamic_programs_and_scripts_are_fine),
        TEST(a_static_program_is_refused),
        TEST(what_is_not_there_is_left_to_exec),
        TEST(scripts_lead_to_their_interpreter),
        TEST(the_search_path_is_walked_as_exec_does),
        TEST(another_machine_is_refused),
        TEST(a_go_program_is_refused),
        TEST(set_id_programs_are_refused),
        TEST(broken_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
