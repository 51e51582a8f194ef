/* Theory of operation: the file is found and read as the kernel does it. A script ("#!") leads to
 * its interpreter, a file that is neither script nor ELF to /bin/sh, as execvp has it. An ELF file
 * without PT_INTERP has no dynamic linker, so nothing looks at LD_PRELOAD; one that changes its
 * user or group, or gains capabilities, runs in the linker's secure mode, which drops LD_PRELOAD;
 * one for another machine can't have the library; and Go asks the kernel for the time, not libc,
 * however it is linked: the note with its build id tells. The two ELF classes share their first 20
 * bytes, and the class of another machine is refused before more of it is read. */
#include "ctl/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proxy/base/text.h"

/* Both as the kernel: BINPRM_BUF_SIZE, and five interpreters behind each other. */
enum { HEAD_MAX = 256, INTERPRETERS_MAX = 5, NOTES_MAX = 4096 };

struct program {
    int fd;
    char head[HEAD_MAX + 1]; /* NUL-terminated */
    size_t length;
};

/* Where execvp finds `command`; "" when nowhere. Appended to path. */
static void find_program(const char *command, struct text *path)
{
    const char *folders = getenv("PATH");
    struct stat status;
    if (strchr(command, '/')) {
        text_append(path, "%s", command);
        return;
    }
    for (const char *folder = folders ? folders : "/bin:/usr/bin"; folder;) {
        const char *end = strchrnul(folder, ':');
        int length = (int)(end - folder);
        text_clear(path);
        text_append(path, "%.*s%s%s", length, folder, length ? "/" : "./", command);
        if (stat(text_get(path), &status) == 0 && S_ISREG(status.st_mode) &&
            access(text_get(path), X_OK) == 0)
            return;
        folder = *end ? end + 1 : NULL;
    }
    text_clear(path);
}

/* False with errno set. */
static bool open_program(struct program *program, const char *path)
{
    program->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = program->fd < 0 ? -1 : pread(program->fd, program->head, HEAD_MAX, 0);
    program->length = got > 0 ? (size_t)got : 0;
    program->head[program->length] = '\0';
    if (got < 0 && program->fd >= 0)
        close(program->fd);
    return got >= 0;
}

/* Is it the same kind of ELF file as the library: class, byte order and machine? */
static bool same_machine(const struct program *program, const char *library)
{
    struct program other;
    const size_t machine = offsetof(ElfW(Ehdr), e_machine);
    if (!open_program(&other, library))
        return false;
    close(other.fd);
    return other.length >= sizeof(ElfW(Ehdr)) && program->length >= sizeof(ElfW(Ehdr)) &&
           memcmp(other.head, program->head, EI_DATA + 1) == 0 &&
           memcmp(other.head + machine, program->head + machine, sizeof(ElfW(Half))) == 0;
}

static bool has_go_note(int fd, const ElfW(Phdr) * segment)
{
    static const char note[] = "\4\0\0\0Go\0"; /* type 4, the build id, of "Go" */
    char notes[NOTES_MAX];
    size_t size = segment->p_filesz < sizeof(notes) ? (size_t)segment->p_filesz : sizeof(notes);
    ssize_t got = pread(fd, notes, size, (off_t)segment->p_offset);
    return got > 0 && memmem(notes, (size_t)got, note, sizeof(note));
}

/* NULL, or why the dynamic linker or libc is not in it. */
static const char *judge_segments(const struct program *program)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;
    bool has_linker = false, is_go = false;
    memcpy(&header, program->head, sizeof(header));
    for (size_t i = 0; i < header.e_phnum; i++) {
        off_t place = (off_t)(header.e_phoff + i * sizeof(segment));
        if (pread(program->fd, &segment, sizeof(segment), place) != (ssize_t)sizeof(segment))
            break;
        has_linker |= segment.p_type == PT_INTERP;
        is_go |= segment.p_type == PT_NOTE && has_go_note(program->fd, &segment);
    }
    if (!has_linker)
        return "is linked statically: the clock library can't be loaded into it";
    return is_go ? "is a Go program: it does not ask libc for the time" : NULL;
}

/* NULL, or why the dynamic linker won't look at LD_PRELOAD. */
static const char *judge_rights(int fd)
{
    struct stat status;
    if (fstat(fd, &status))
        return NULL;
    if ((status.st_mode & S_ISUID && status.st_uid != getuid()) ||
        ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
         status.st_gid != getgid()))
        return "runs as another user or group (set-ID): LD_PRELOAD is dropped";
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return "has file capabilities: LD_PRELOAD is dropped";
    return NULL;
}

static const char *judge_elf(const struct program *program, const char *library)
{
    if (!same_machine(program, library))
        return "is built for another machine than the clock library";
    const char *reason = judge_segments(program);
    return reason ? reason : judge_rights(program->fd);
}

/* The interpreter after "#!", or /bin/sh. False for ELF. */
static bool find_interpreter(struct program *program, struct text *path)
{
    if (program->length >= SELFMAG && memcmp(program->head, ELFMAG, SELFMAG) == 0)
        return false;
    const char *name = "/bin/sh";
    if (strncmp(program->head, "#!", 2) == 0) {
        name = program->head + 2 + strspn(program->head + 2, " \t");
        program->head[(size_t)(name - program->head) + strcspn(name, " \t\n")] = '\0';
    }
    text_clear(path);
    text_append(path, "%s", name);
    return true;
}

/* Looks at the file at *path, which is replaced when an interpreter has to be looked at next.
 * *reason: why not, or NULL. */
static bool look_further(struct text *path, const char *library, const char **reason)
{
    struct program program;
    *reason = NULL;
    if (!open_program(&program, text_get(path))) {
        if (errno == EACCES && access(text_get(path), X_OK) == 0)
            *reason = "can't be read: whether the clock library can be loaded into it is not known";
        return false;
    }
    bool further = find_interpreter(&program, path);
    if (!further)
        *reason = judge_elf(&program, library);
    close(program.fd);
    return further;
}

int program_check_clock(const char *command, const char *library, struct error *error)
{
    struct text path = {0}, first = {0};
    const char *reason = NULL;
    find_program(command, &path);
    text_append(&first, "%s", text_get(&path));
    for (int i = 0; i <= INTERPRETERS_MAX && path.length; i++)
        if (!look_further(&path, library, &reason))
            break;
    int code = 0;
    if (reason) {
        bool script = strcmp(text_get(&first), text_get(&path)) != 0;
        code = error_set(error, -ENOEXEC, "%.120s%s%.120s%s%s; --anyway runs it with true time",
                         text_get(&first), script ? " is run by " : "",
                         script ? text_get(&path) : "", script ? ", which " : " ", reason);
    }
    text_free(&path);
    text_free(&first);
    return code;
}
