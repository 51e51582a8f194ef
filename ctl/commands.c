/* The table: what each command is called, takes, says in its --help, and runs. */
#include "ctl/command.h"

/* Details are paragraphs: --help wraps them. */
#define LINK_WORDS                                                                                 \
    "LINK is two nodes (n1 n2: both ways), 'n1->n2' (one way; quoted, for the shell) or "          \
    "'n1<->n2'. An end may be '*': any node. --route NAME in place of LINK puts the fault on a "   \
    "route. severctl faults lists it and takes it back."

const struct command commands[] = {
    {"status", "", "what severd is, and what is in force",
     "Shows the version of the ruleset, the partitions, how a cut is made on TCP and UDP routes, "
     "the connections, and how late timers are.",
     "severctl status", 0, 0, 0, run_status},
    {"doctor", "", "what this machine allows, and what to do about the rest",
     "severd tries everything: what it needs (MISSING: the exit code is 5), and what a feature "
     "needs (no: the feature is not there, or is less than it could be). It leaves nothing behind.",
     "severctl doctor", 0, 0, 0, run_doctor},
    {"nodes", "[add NAME [--address A] [--client] | remove NAME]", "list, add or remove nodes",
     "A node is a member of the cluster under test, or a client of it (--client). Its addresses "
     "are those it dials from: they tell the routes who is calling. A node can't be removed while "
     "a route, partition, fault or clock names it.",
     "severctl nodes add n1 --address 127.0.1.1", OPTION_ADDRESS | OPTION_CLIENT, 0, 2, run_nodes},
    {"links", "[NODE]", "every link, open or cut, and what has crossed it",
     "A link is a directed pair of nodes; with NODE only its own links are shown. UNITS are chunks "
     "of a stream or datagrams; DROPPED counts those that a cut, loss or a full queue has taken; "
     "HELD is what arrived while the link was cut and continues when it heals; REFUSED counts "
     "connections that were not let in.",
     "severctl links n1", 0, 0, 1, run_links},
    {"routes", "[add NAME LISTEN UPSTREAM | remove NAME]", "list, add or remove routes",
     "A route is a listener in front of an upstream address; both are host:port, [v6]:port or "
     "unix:/path. Port 0 listens on a free port, which the answer names. Removing a route closes "
     "its connections.",
     "severctl routes add n2 127.0.1.102:7001 127.0.1.2:7001 --to n2",
     OPTION_FROM | OPTION_TO | OPTION_UDP, 0, 4, run_routes},
    {"cut", "A B | 'A->B'", "cut the link between two nodes",
     "A B cuts both ways, 'A->B' one way. Nothing more crosses when the command returns. Cuts "
     "overlap: a link is open only while no partition holds it. severctl heal takes a cut back.",
     "severctl cut n1 n2", OPTION_NAME, 1, 2, run_cut},
    {"split", "A,B / C,D[ / ...]", "cut every link between groups of nodes",
     "Groups stand apart by a slash, nodes by commas or blanks. Nodes in no group keep all their "
     "links. The whole split comes into force in one step. severctl heal takes it back.",
     "severctl split n1,n2 / n3,n4,n5", OPTION_NAME, 1, ARGUMENTS_WORDS_MAX, run_split},
    {"isolate", "NODE", "cut a node from every other member",
     "Its links to clients stay: cut those by name. severctl heal takes it back.",
     "severctl isolate n3", OPTION_NAME, 1, 1, run_isolate},
    {"heal", "[NAME]", "take a partition back, or all of them",
     "Without NAME everything is healed: cuts, splits and isolated nodes. Faults and clocks stay.",
     "severctl heal cut-1", 0, 0, 1, run_heal},
    {"partitions", "", "the partitions in force, and who set them",
     "Each line is one cut, split or isolation, by its name.", "severctl partitions", 0, 0, 0,
     run_partitions},
    {"delay", "LINK DURATION[±JITTER]", "delay what crosses a link",
     "DURATION and JITTER are such as 250us, 80ms or 1.5s; ± may be written +-. " LINK_WORDS,
     "severctl delay 'n1->n2' 80ms±20ms --distribution normal",
     OPTION_NAME | OPTION_DISTRIBUTION | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_delay},
    {"loss", "LINK PERCENT", "lose a part of what crosses a link",
     "PERCENT is such as 5% or 0.1%. " LINK_WORDS, "severctl loss n1 n2 5%",
     OPTION_NAME | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_loss},
    {"rate", "LINK RATE", "limit the bandwidth of a link",
     "RATE is such as 10mbit, 64kbit or 1MB/s. " LINK_WORDS,
     "severctl rate 'n1->n2' 10mbit --burst 64KiB",
     OPTION_NAME | OPTION_BURST | OPTION_QUEUE | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_rate},
    {"faults", "[remove NAME | clear]", "list or remove faults",
     "TOUCHED counts what a fault has delayed, shaped or dropped since it was set; APPLIES TO says "
     "what it really does where it is.",
     "severctl faults remove latency-1", 0, 0, 2, run_faults},
    {"clock", "[NODE [OFFSET] [drift DRIFT] | NODE reset]", "show or shift the clocks of nodes",
     "OFFSET is such as +2ms or -1s, DRIFT such as 50ppm; what is not said is zero. The clock "
     "steps by the change of the offset and keeps what its drift has gained; reset gives true time "
     "back. It reaches the programs that were started under the node's clock (severctl exec), at "
     "their next clock read.",
     "severctl clock n1 +2ms drift 50ppm", 0, 0, 4, run_clock},
    {"watch", "", "follow what changes, live",
     "On a terminal: a table of the links with their rates, and the last changes. Elsewhere: a "
     "line for each change, with --json one JSON object a line.",
     "severctl watch --json", 0, 0, 0, run_watch},
    {"apply", "FILE", "put a whole ruleset in force",
     "FILE is JSON as severctl save writes it; - is standard input. A version in it must be the "
     "one in force, so that nobody's change is lost; --force goes without.",
     "severctl apply ruleset.json", OPTION_FORCE, 1, 1, run_apply},
    {"save", "[FILE]", "write the ruleset in force",
     "Writes JSON to standard output, or into FILE: a regular file is replaced in one step, a pipe "
     "or device written into.",
     "severctl save ruleset.json", 0, 0, 1, run_save},
    {"exec", "NODE -- COMMAND...", "run a command under a node's clock",
     "Sets LD_PRELOAD to the clock library, SEVER_CLOCK_PAGE to the node's page and SEVER_NODE to "
     "its name, then becomes COMMAND, on severd's machine. A program that would keep true time "
     "(statically linked, set-user-ID, Go, ...) is refused, with the reason; --anyway runs it. "
     "What COMMAND starts in turn is not looked at.",
     "severctl exec n1 -- date", OPTION_ANYWAY, 1, 1, run_exec},
    {"help", "[COMMAND]", "this list, or what one command does", "The same as --help.",
     "severctl help cut", 0, 0, 1, NULL},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
