/* The table: what each command is called, takes, says in its --help, and runs. */
#include "ctl/command.h"

static const char link_words[] =
    "LINK is two nodes (n1 n2: both ways), 'n1->n2' (one way; quoted, for the shell) or\n"
    "'n1<->n2'. An end may be '*': any node. --route NAME puts the fault on a route instead.";

const struct command commands[] = {
    {"status", "", "what severd is, and what is in force",
     "Shows the version of the ruleset, the partitions, how a cut is made on TCP and UDP routes,\n"
     "the connections, and how late timers are.",
     "severctl status", 0, 0, 0, run_status},
    {"nodes", "[add NAME [--address A] [--client] | remove NAME]", "list, add or remove nodes",
     "A node is a member of the cluster under test, or a client of it (--client). Its addresses\n"
     "are those it dials from: they tell the routes who is calling. A node can't be removed while\n"
     "a route, partition, fault or clock names it.",
     "severctl nodes add n1 --address 127.0.1.1", OPTION_ADDRESS | OPTION_CLIENT, 0, 2, run_nodes},
    {"links", "[NODE]", "every link, open or cut, and what has crossed it",
     "A link is a directed pair of nodes. With NODE only its own links are shown. HELD counts the\n"
     "bytes that arrived while the link was cut and that continue when it heals.",
     "severctl links n1", 0, 0, 1, run_links},
    {"routes", "[add NAME LISTEN UPSTREAM [--from N] [--to N] [--udp] | remove NAME]",
     "list, add or remove routes",
     "A route is a listener in front of an upstream address; both are host:port, [v6]:port or\n"
     "unix:/path. Port 0 listens on a free port, which the answer names. Removing a route closes\n"
     "its connections.",
     "severctl routes add n2 127.0.1.102:7001 127.0.1.2:7001 --to n2",
     OPTION_FROM | OPTION_TO | OPTION_UDP, 0, 4, run_routes},
    {"cut", "A B | 'A->B'", "cut the link between two nodes",
     "A B cuts both ways, 'A->B' one way. Nothing more crosses when the command returns. Cuts\n"
     "overlap: a link is open only while no partition holds it.",
     "severctl cut n1 n2", OPTION_NAME, 1, 2, run_cut},
    {"split", "A,B / C,D[ / ...]", "cut every link between groups of nodes",
     "Groups stand apart by a slash, nodes by commas or blanks. Nodes in no group keep all their\n"
     "links. The whole split comes into force in one step.",
     "severctl split n1,n2 / n3,n4,n5", OPTION_NAME, 1, ARGUMENTS_WORDS_MAX, run_split},
    {"isolate", "NODE", "cut a node from every other member",
     "Its links to clients stay: cut those by name.", "severctl isolate n3", OPTION_NAME, 1, 1,
     run_isolate},
    {"heal", "[NAME]", "take a partition back, or all of them",
     "Without NAME everything is healed: cuts, splits and isolated nodes. Faults and clocks stay.",
     "severctl heal cut-1", 0, 0, 1, run_heal},
    {"partitions", "", "the partitions in force, and who set them",
     "Each line is one cut, split or isolation, by its name.", "severctl partitions", 0, 0, 0,
     run_partitions},
    {"delay", "LINK DURATION[±JITTER]", "delay what crosses a link", link_words,
     "severctl delay 'n1->n2' 80ms±20ms --distribution normal",
     OPTION_NAME | OPTION_DISTRIBUTION | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_delay},
    {"loss", "LINK PERCENT", "lose a part of what crosses a link", link_words,
     "severctl loss n1 n2 5%", OPTION_NAME | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_loss},
    {"rate", "LINK RATE", "limit the bandwidth of a link", link_words,
     "severctl rate 'n1->n2' 10mbit --burst 64KiB",
     OPTION_NAME | OPTION_BURST | OPTION_QUEUE | OPTION_ROUTE | OPTION_DIRECTION, 1, 3, run_rate},
    {"faults", "[remove NAME | clear]", "list or remove faults",
     "TOUCHED counts what a fault has delayed, shaped or dropped since it was set; APPLIES TO "
     "says\n"
     "what it really does where it is.",
     "severctl faults remove latency-1", 0, 0, 2, run_faults},
    {"clock", "[NODE [OFFSET] [drift DRIFT] | NODE reset]", "show or shift the clocks of nodes",
     "What is not said is zero. The clock steps by the change of the offset and keeps what its\n"
     "drift has gained; reset gives true time back. It reaches the programs that were started\n"
     "under the node's clock (severctl exec), at their next clock read.",
     "severctl clock n1 +2ms drift 50ppm", 0, 0, 4, run_clock},
    {"watch", "", "follow what changes, live",
     "On a terminal: a table of the links with their rates, and the last changes. Elsewhere: a\n"
     "line for each change, with --json one JSON object a line.",
     "severctl watch --json", 0, 0, 0, run_watch},
    {"apply", "FILE", "put a whole ruleset in force",
     "FILE is JSON as severctl save writes it; - is standard input. A version in it must be the\n"
     "one in force, so that nobody's change is lost; --force goes without.",
     "severctl apply ruleset.json", OPTION_FORCE, 1, 1, run_apply},
    {"save", "[FILE]", "write the ruleset in force",
     "Writes JSON to standard output, or into FILE: a regular file is replaced in one step, a "
     "pipe\n"
     "or device written into.",
     "severctl save ruleset.json", 0, 0, 1, run_save},
    {"exec", "NODE -- COMMAND...", "run a command under a node's clock",
     "Sets LD_PRELOAD to the clock library, SEVER_CLOCK_PAGE to the node's page and SEVER_NODE to\n"
     "its name, then becomes COMMAND, on severd's machine. A program that would keep true time\n"
     "(statically linked, set-user-ID, Go, ...) is refused, with the reason; --anyway runs it. "
     "What\n"
     "COMMAND starts in turn is not looked at.",
     "severctl exec n1 -- date", OPTION_ANYWAY, 1, 1, run_exec},
    {"help", "[COMMAND]", "this list, or what one command does", "The same as --help.",
     "severctl help cut", 0, 0, 1, NULL},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
