/* The table: what each command is called, takes, says in its --help, and runs. */
#include "ctl/command.h"

/* Details are paragraphs: --help wraps them. */
#define LINK_WORDS                                                                                 \
    "LINK is two nodes (n1 n2: both ways), 'n1->n2' (one way; quoted, for the shell) or "          \
    "'n1<->n2'. An end may be '*': any node. --route NAME in place of LINK puts the fault on a "   \
    "route. severctl faults lists it and takes it back. KEY=VALUE words set what has no place of " \
    "its own, and so do KEY VALUE behind the rest: match 'udp port 53'."

/* Of every verb that makes a fault. */
enum {
    FAULT_OPTIONS = OPTION_NAME | OPTION_ROUTE | OPTION_DIRECTION | OPTION_TOXICITY | OPTION_FIRST |
                    OPTION_AFTER | OPTION_MATCH,
    FAULT_WORDS = 32, /* positional, at most */
};

const struct command commands[] = {
    {"status", "", "what severd is, and what is in force",
     "Shows the version of the ruleset, the partitions, how a cut is made on routes and in a lab, "
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
     "of a stream, datagrams, or packets of a lab; DROPPED counts those that a cut, a fault or a "
     "full queue has "
     "taken; "
     "HELD is what arrived while the link was cut and continues when it heals; REFUSED counts "
     "dials to an upstream that failed.",
     "severctl links n1", 0, 0, 1, run_links},
    {"routes", "[add NAME LISTEN UPSTREAM | remove|enable|disable NAME]",
     "list, add, remove, disable or enable routes",
     "A route is a listener in front of an upstream address; both are host:port, [v6]:port or "
     "unix:/path, which begins where severd was started if it is relative. Port 0 listens on a "
     "free port, which the answer names. Removing or disabling a route closes its connections; a "
     "disabled one refuses new ones.",
     "severctl routes add n2 127.0.1.102:7001 127.0.1.2:7001 --to n2",
     OPTION_FROM | OPTION_TO | OPTION_UDP | OPTION_SPREAD | OPTION_CLOSE_UNREACHED, 0, 4,
     run_routes},
    {"cut", "A B | 'A->B'", "cut the link between two nodes",
     "A B cuts both ways, 'A->B' one way. What arrives when the command has returned does not "
     "cross. Cuts overlap: a link is open only while no partition holds it. severctl heal takes a "
     "cut back.",
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
     "DURATION and JITTER are such as 250us, 80ms or 1.5s; ± may be written +-. --table FILE draws "
     "the jitter as one of netem's .dist files has it. " LINK_WORDS,
     "severctl delay 'n1->n2' 80ms±20ms --distribution normal",
     FAULT_OPTIONS | OPTION_DISTRIBUTION | OPTION_TABLE | OPTION_CORRELATION | OPTION_REORDER, 0,
     FAULT_WORDS, run_fault},
    {"loss", "LINK PERCENT | LINK MODEL [KEY=VALUE...]", "lose a part of what crosses a link",
     "PERCENT is such as 5% or 0.1%. MODEL is gilbert-elliott (to_bad, to_good, lost_in_bad, "
     "lost_in_good), markov (p13, p31, p32, p23, p14), or every N: each N-th unit. " LINK_WORDS,
     "severctl loss n1 n2 gilbert-elliott to_bad=1% to_good=20% lost_in_bad=100%",
     FAULT_OPTIONS | OPTION_CORRELATION, 0, FAULT_WORDS, run_fault},
    {"rate", "LINK RATE", "limit the bandwidth of a link",
     "RATE is such as 10mbit, 64kbit or 1MB/s; at 0 nothing passes. Each connection has it for "
     "itself; with --route and --shared all of the route have it together. --queue bounds what "
     "waits, in bytes or packets. " LINK_WORDS,
     "severctl rate 'n1->n2' 10mbit --burst 64KiB",
     FAULT_OPTIONS | OPTION_BURST | OPTION_QUEUE | OPTION_SHARED, 0, FAULT_WORDS, run_fault},
    {"trace", "LINK FILE", "pass data when a recorded link could",
     "FILE is one of mahimahi's: in each line a millisecond at which 1500 bytes may pass; it "
     "begins "
     "anew when it ends. table=NAME in place of FILE takes one of severctl tables. " LINK_WORDS,
     "severctl trace 'n1->n2' lte.up", FAULT_OPTIONS | OPTION_QUEUE, 0, FAULT_WORDS, run_fault},
    {"flap", "LINK UP DOWN", "let a link go up and down in turns",
     "It is up for UP, then down for DOWN, and so on from now; all that the fault is on goes up "
     "and "
     "down together. While it is down, datagrams and packets are dropped, and streams wait. "
     "jitter=DURATION has each change come up to so much earlier or later. " LINK_WORDS,
     "severctl flap n1 n2 2s 500ms jitter=100ms", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"corrupt", "LINK PERCENT", "flip bits in what crosses a link",
     "PERCENT is that of datagrams, or of each 1460 bytes of a stream. Of a lab's packets the "
     "receiver's kernel drops what it finds corrupted; with repair=true checksums are made "
     "right. " LINK_WORDS,
     "severctl corrupt n1 n2 1%", FAULT_OPTIONS | OPTION_CORRELATION, 0, FAULT_WORDS, run_fault},
    {"duplicate", "LINK PERCENT", "let datagrams arrive twice",
     "It acts on UDP routes and in a lab: a stream has no copies. " LINK_WORDS,
     "severctl duplicate n1 n2 1%", FAULT_OPTIONS | OPTION_CORRELATION, 0, FAULT_WORDS, run_fault},
    {"reorder", "LINK PERCENT DURATION", "hold some datagrams back while others pass",
     "PERCENT of the datagrams wait for DURATION. It acts on UDP routes and in a lab. " LINK_WORDS,
     "severctl reorder n1 n2 5% 20ms", FAULT_OPTIONS | OPTION_CORRELATION, 0, FAULT_WORDS,
     run_fault},
    {"truncate", "LINK PERCENT SIZE", "cut datagrams short",
     "PERCENT of the datagrams keep at most their first SIZE bytes. It acts on UDP routes and in a "
     "lab, where repair=true makes the packets' lengths and checksums right. " LINK_WORDS,
     "severctl truncate n1 n2 5% 100B", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"slice", "LINK SIZE[±SIZE] [DURATION]", "send streams in small pieces",
     "Pieces have SIZE bytes, give or take the second one; DURATION stands between two. It acts on "
     "TCP routes, and so do the verbs down to accept-delay. " LINK_WORDS,
     "severctl slice n1 n2 100B±20B 10ms", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"slow-close", "LINK DURATION", "hold the end of a stream back",
     "The FIN crosses DURATION after the last byte. " LINK_WORDS, "severctl slow-close n1 n2 2s",
     FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"timeout", "LINK DURATION", "drop all data, then close the connection",
     "DURATION after the fault met the connection it is closed; 0: never, until the fault is "
     "removed, which closes it too. " LINK_WORDS,
     "severctl timeout n1 n2 5s", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"reset", "LINK [DURATION]", "reset connections (TCP RST)",
     "At once, or DURATION after the fault met the connection. " LINK_WORDS,
     "severctl reset n1 n2 500ms", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"limit", "LINK SIZE", "close a connection after so many bytes",
     "Bytes are counted in each direction of each connection. " LINK_WORDS,
     "severctl limit 'n1->n2' 1MiB", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"accept-delay", "LINK DURATION", "dial for a new connection only later",
     "DURATION stands between accepting a connection and dialling for it. " LINK_WORDS,
     "severctl accept-delay n1 n2 500ms", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"reject", "LINK [PERCENT]", "refuse new connections, and datagrams",
     "All of them, or PERCENT: connections with a TCP reset, datagrams with ICMP where that can "
     "be. In a lab each packet is refused for itself, so open connections end, too; match "
     "'tcp[tcpflags] & tcp-syn != 0' is for new ones only. " LINK_WORDS,
     "severctl reject n1 n2 50%", FAULT_OPTIONS, 0, FAULT_WORDS, run_fault},
    {"faults", "[add TYPE LINK ... | set NAME ... | remove NAME | clear]",
     "list, add, change or remove faults",
     "TOUCHED counts what a fault has delayed, shaped or dropped since it was set; APPLIES TO says "
     "what it really does where it is. add does what the verb of that type does, with every "
     "parameter by its name. set changes a fault while it acts; what isn't named stays.",
     "severctl faults set latency-1 delay=120ms toxicity=50%",
     FAULT_OPTIONS | OPTION_DISTRIBUTION | OPTION_TABLE | OPTION_CORRELATION | OPTION_REORDER |
         OPTION_BURST | OPTION_QUEUE | OPTION_SHARED,
     0, FAULT_WORDS, run_faults},
    {"tables", "[add NAME FILE | remove NAME]", "list, add or remove tables of numbers",
     "FILE has whole numbers: a distribution of jitter, as netem's .dist files, or a link trace, "
     "as "
     "mahimahi's. Which of the two it is shows when a fault draws from it; a table that one does "
     "can't be removed.",
     "severctl tables add lte lte.up", 0, 0, 3, run_tables},
    {"regions", "FILE | clear", "set the delays between regions, from a file",
     "FILE names regions and their nodes (region eu: n1 n2), then has a matrix of their delays, "
     "one-way or round-trip; severctl(1) shows one. Each pair of nodes has a delay of its own, "
     "region/..., in place of those that an earlier file made, in one step. clear takes them all "
     "back; - is standard input.",
     "severctl regions examples/regions/clouds.txt", 0, 1, 1, run_regions},
    {"clock", "[NODE [OFFSET] [drift DRIFT] | NODE reset]", "show or shift the clocks of nodes",
     "OFFSET is such as +2ms or -1s, DRIFT such as 50ppm; what is not said is zero. The clock "
     "steps by the change of the offset and keeps what its drift has gained; reset gives true time "
     "back. It reaches the programs that were started under the node's clock (severctl exec), at "
     "their next clock read.",
     "severctl clock n1 +2ms drift 50ppm", 0, 0, 4, run_clock},
    {"lab", "[up|add|remove|exec|port|status|connections|down] ...",
     "nodes with a network each: any program, every packet",
     "In a lab each node has a network of its own, and every packet between them crosses severd: a "
     "cut is a cut cable, and faults act on packets. lab up 3 makes n1 to n3, lab up a b --clients "
     "c these. lab exec NODE -- COMMAND runs any program in a node, where the others have their "
     "names. lab add NODE [--client] and lab remove NODE change it while it runs. lab port NODE "
     "PORT [--listen ADDRESS] leads a port of this host to one of a node, lab port remove ADDRESS "
     "no more. lab connections shows the TCP connections of all nodes, and which of them a cut "
     "holds. lab down ends it with all that runs in it, and so does the end of severd. No "
     "privilege is needed where user namespaces are allowed (severctl doctor).",
     "severctl lab up 3",
     OPTION_CLIENT | OPTION_CLIENTS | OPTION_SUBNET | OPTION_SUBNET6 | OPTION_MTU | OPTION_LISTEN |
         OPTION_ANYWAY,
     0, ARGUMENTS_WORDS_MAX, run_lab},
    {"capture", "[NODE | LINK] [FILTER...]", "see a lab's packets, each with what became of it",
     "The packets of a node, of a LINK (n1 n2: both ways, or 'n1->n2'), or of the whole lab. "
     "FILTER "
     "is such as tcp port 2379 (pcap-filter(7)); it sees IP packets, and a name of the lab's nodes "
     "in front of it is a node. -w FILE writes them as pcapng, for Wireshark and tcpdump; the fate "
     "of a packet is its comment there. -w - is for a pipe: severctl capture -w - | wireshark -k "
     "-i -. Without -w each packet is a line. It ends with --count packets, after --duration, with "
     "Ctrl-C, or with the lab, and says how many packets were captured, and lost because they were "
     "not read fast enough.",
     "severctl capture n1 -w n1.pcapng tcp port 2379",
     OPTION_WRITE | OPTION_COUNT | OPTION_DURATION | OPTION_SNAPLEN, 0, ARGUMENTS_WORDS_MAX,
     run_capture},
    {"watch", "", "follow what changes, live",
     "On a terminal: the links with what crosses them now, the busiest first, what is dropped of "
     "it "
     "and why, the delay that was asked for, and the last changes; drawn each second in the window "
     "that there is. Elsewhere: a line for each change, with --json one JSON object a line.",
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
