/* sever: runs chaos experiments, checks histories, wraps clusters. */
#include <stdio.h>
#include <string.h>

#include "chaos/report/report.h"
#include "chaos/run/commands.h"
#include "proxy/base/version.h"

static const struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} subcommands[] = {
    {"run", run_command, "run an experiment: cluster, load, faults, checks, report"},
    {"check", check_command, "check recorded histories"},
    {"wrap", wrap_command, "start any cluster in a lab, and leave the faults to you"},
};
enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

static void print_usage(FILE *out)
{
    fprintf(out, "usage: sever COMMAND ...\n\n");
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf(out, "  %-8s %s\n", subcommands[i].name, subcommands[i].what);
    fprintf(out, "\n`sever COMMAND --help` tells more; the manual is sever(1).\n"
                 "exit: 0 pass, 1 fail, 2 cannot run, 3 unknown\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return REPORT_CANNOT_RUN;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sever %s\n", SEVER_VERSION);
        return 0;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "sever: unknown command %s: run, check or wrap\n", argv[1]);
    return REPORT_CANNOT_RUN;
}
