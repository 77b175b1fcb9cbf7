/*
 * main.c - kaartctl: the table of commands, and the way to them.
 */
#include "daemon/ctl/ctl.h"

#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off: a line here is a line there */
#define CLAIM_OPTIONS                                                                                        \
    "  --source NAME      in whose name it is said; a source's newer word replaces\n"                        \
    "                     its older one (default: editor)\n"                                                 \
    "  --role ROLE        in which capacity: contract, provider, editor,\n"                                  \
    "                     coordinator, resident, import (default: editor)\n"                                 \
    "  --feed AUDIENCE    in which of the node's feeds (default: public)\n"                                  \
    "  --on-behalf-of ID  for role provider: the organisation it speaks for\n"

#define AUDIENCE_OPTION(blanks)                                                                              \
    "  --audience NAME" blanks "of the map of another audience, as in professionals\n"

static const char status_help[] = AUDIENCE_OPTION("  ");

/* get and why */
static const char record_help[] =
    "  --kind KIND      where several records have this id\n" AUDIENCE_OPTION("  ");

static const char export_help[] = "  --kind KIND      only these\n" AUDIENCE_OPTION("  ");

static const char keygen_help[] = "  FEED   the node's name, a slash and the audience, as in\n"
                                  "         nieuwegein.example/public\n"
                                  "  FILE   must not exist; only its owner may read it (0600)\n"
                                  "\n"
                                  "Needs no daemon.\n";

static const char key_help[] =
    "Needs no daemon, but the right to read the keys that the configuration names.\n";

static const char import_help[] =
    CLAIM_OPTIONS "  --kind KIND        kind of the outermost records; without it, told by what is\n"
                  "                     in them\n"
                  "  --areas GM0356,..  CBS codes of the areas the claims speak for (default: the\n"
                  "                     node's)\n"
                  "  --verified DAY     the day on which the source last confirmed what it says, as\n"
                  "                     in 2026-11-21 (default: a record's own `verified`, or none)\n"
                  "  --strict           take all or nothing\n"
                  "  --dry-run          show what would happen, change nothing\n"
                  "  --quiet            no warnings\n"
                  "\n"
                  "The file: one object, an array, a page with contents[], or NDJSON; also what\n"
                  "export and fetch print. - is standard input.\n"
                  "\n"
                  "Records embedded in others become records of their own, with references between\n"
                  "them: services, programs, locations, activities and contracts of an\n"
                  "organization; organization, program, locations and service_at_locations of a\n"
                  "service; location and service of a service_at_location; and the like. One that\n"
                  "stands in several others is taken once. What is no record (phones, contacts,\n"
                  "schedules, ...) stays where it is.\n"
                  "\n"
                  "A record's id is its `id` if that is a UUID. Otherwise it is made of an\n"
                  "identifier (KVK, OIN, AGB; vestigingsnummer of a location), or of node, source,\n"
                  "kind and `id`, else the name: the same file gives the same ids again, and\n"
                  "references follow.\n"
                  "\n"
                  "Each bad record is reported with its line, number and JSON Pointer; the others\n"
                  "are taken (exit code 4). Records that are no longer in the file are not\n"
                  "withdrawn: that is what `retract` and sources are for.\n";

static const char put_help[] =
    CLAIM_OPTIONS "  --verified DAY     the day on which the source last confirmed it\n"
                  "\n"
                  "With a file, its record is all the source says from now on: one JSON object, or,\n"
                  "where KIND and ID are not named, {\"kind\", \"id\", \"body\"}. - is standard input.\n"
                  "\n"
                  "With FIELD=VALUE, what the source said before is kept and these fields change.\n"
                  "VALUE is JSON if it reads as such, else a text. FIELD= takes the field away: the\n"
                  "source says nothing about it any more. FIELD=null says that there is none.\n";

static const char review_help[] =
    "  submit FILE|-        queues the records of a file, in role resident, and\n"
    "                       prints their numbers\n"
    "    --submitter TEXT   who submits, to the program that does; only a keyed hash\n"
    "                       of it is kept, until it is decided\n"
    "    --kind KIND, --areas GM0356,.., --feed AUDIENCE, --dry-run  as for import\n"
    "  list [--all]         what waits; with --all, what was decided too\n"
    "  show NUMBER          the claim, what the map says now, and what would change;\n"
    "                       or what became of it\n"
    "  approve NUMBER...    it enters the feed, as source resident-NUMBER\n"
    "  reject NUMBER --reason TEXT\n"
    "                       the submitter may read the reason; the words are erased\n"
    "  --as-editor NAME     who decides; stays on record, as does the reason: name no\n"
    "                       other persons\n"
    "\n"
    "What residents say (import, put, submit in role resident: additions with\n"
    "\"partial\": true, corrections, new initiatives, relations such as should-link)\n"
    "does not show before an editor approves it.\n";

static const char retract_help[] = CLAIM_OPTIONS;

static const char erase_help[] =
    "  --source NAME  only what this source says; without it, all of this node's\n"
    "  --yes          do it; without it, it is only shown\n"
    "  --status       which peers have shown that they follow beyond the erasure; of\n"
    "                 all erasures, or of one record's\n"
    "\n"
    "For reasons of law: the bytes are overwritten in every file of this node, and\n"
    "peers do the same when they follow. Pins and other claims of this node that\n"
    "were copied from them (derived_from) go too. To withdraw what is merely wrong,\n"
    "use retract; for what has closed, put KIND ID status=...\n";

static const char subject_help[] =
    "  find TEXT    lists every live claim, of any feed held, that has TEXT in it\n"
    "  erase TEXT   forgets it; without --yes, it is only shown\n"
    "  --yes        do it\n"
    "  allow TEXT   takes a block back: TEXT as a whole value is let in again\n"
    "\n"
    "TEXT is a name, a mail address or a telephone number; case, white space, and how\n"
    "a number is written do not matter. Ask once for each.\n"
    "\n"
    "Of this node's own claims, a contact (or other element of a list) that has TEXT\n"
    "is taken out; where it stands elsewhere, the claim is erased. Others' claims are\n"
    "not shown here any more, and you are told which origin to ask. Keyed hashes of\n"
    "the values are kept, so that the next import, source run or sync does not bring\n"
    "them back.\n";

static const char search_help[] =
    "  --kind KIND      only these\n"
    "  --limit N        at most so many (default: 20)\n"
    "  --offset N       pass over the first N\n" AUDIENCE_OPTION(
        "  ") "\n"
              "Words may be begun only (wijk finds wijkteam); accents do not matter.\n";

static const char sign_help[] =
    "After a start, a node compares the newest head of its own feeds with what its\n"
    "peers know, so that a restored backup does not sign a second history. If too few\n"
    "of them answer, it waits (guard-wait). If you know that no newer head was ever\n"
    "signed, decide here; where something speaks against it, it says so and waits on.\n"
    "\n"
    "  AUDIENCE   of the feed, as in public\n";

static const char rebuild_help[] =
    "  --wait   until it is done\n"
    "\n"
    "The map is derived from the feeds, so nothing can be lost. Meanwhile readers see\n"
    "the part that is ready: some seconds at 100,000 records. Only needed after a\n"
    "fault of map.db that was not noticed by itself.\n";

static const char sync_help[] = "  --wait             until it is done; exit code 1 if a peer could not be\n"
                                "                     followed\n"
                                "  --timeout SECONDS  with --wait: at most so long (default: 60)\n";

static const char source_help[] =
    "  run NAME           reads the source and publishes the differences\n"
    "  --dry-run          shows what would happen, changes nothing\n"
    "  accept NAME RUN    carries out the retractions of a run that lost too many\n"
    "                     rows at once; look first: kaartctl sources\n";

static const char prove_help[] =
    "  --kind KIND    where several records have this id\n"
    "  --feed FEED    whose claim (origin/audience), where several speak about it\n"
    "  --source NAME  of which source\n"
    "\n"
    "The text holds the claim, its path in the state tree and the signed head:\n"
    "whoever has the feed's key can check it, with kaartctl verify or other programs.\n"
    "\n"
    "With a FEED (origin/audience): the proof that its origin signed two histories,\n"
    "which was kept when the feed was frozen.\n";

static const char verify_help[] =
    "  --key KEY      the feed's verifier key (twice during a change of keys);\n"
    "                 without it, those of the configuration\n"
    "\n"
    "FILE is what `prove` printed, or a proof that an origin signed two histories.\n"
    "Exit code 5 if it does not hold. Needs no daemon.\n";

static const char conflicts_help[] =
    "  --group GROUP   identity, place, contact, hours, access, description,\n"
    "                  classification or status (default: contact, place, hours and\n"
    "                  status)\n"
    "  --about ORIGIN  only where that node (as in houten.example) says something\n"
    "                  else than others do\n"
    "  --limit N       at most so many (default: 100)\n" AUDIENCE_OPTION(
        " ") "\n"
             "First come those that nobody's rank decided: there the later word won. Each has\n"
             "the command that settles it for this node's map and for all who follow it.\n";

static const char pin_help[] =
    "  GROUP           identity, place, contact, hours, access, description,\n"
    "                  classification or status\n"
    "  FIELD=VALUE     what is to hold (as for put), or\n"
    "  --from FEED     the group's fields as this feed (origin/audience) has them\n"
    "  --source NAME   of which of its sources, where there are several\n"
    "  --reason TEXT   why; everybody sees it\n"
    "  --expires DAY   the pin's last day, as in 2027-05-01, or '6 months' from now\n"
    "  --role ROLE     in which capacity (default: editor)\n"
    "  --feed AUDIENCE in which of the node's feeds (default: public)\n"
    "\n"
    "A pin goes before all other claims about the fields that it has, wherever this\n"
    "node is a steward, until its last day. It is a claim like others: signed, shown\n"
    "by why, and taken back with unpin. One pin for each group of a record.\n";

static const char unpin_help[] = "  --feed AUDIENCE in which of the node's feeds (default: public)\n";

static const char stale_help[] =
    "  --older-than T  12mo, 90d, 1y, or a day (default: 12 months)\n"
    "  --origin NAME   what another node supplies (default: this node)\n"
    "  --limit N       at most so many (default: 100)\n" AUDIENCE_OPTION(
        " ") "\n"
             "Longest ago first. `kaartctl confirm ID` renews without changing.\n";

static const char confirm_help[] =
    "  --source NAME   whose claim (default: editor)\n"
    "  --feed AUDIENCE in which of the node's feeds (default: public)\n"
    "  --kind KIND     where several records have this id\n"
    "  --verified DAY  on which it was confirmed (default: today)\n"
    "\n"
    "What the source says stays as it is; the day on which it was last confirmed is\n"
    "renewed.\n";

static const char policy_help[] =
    "  show               the policy in force: its hash, its lines, and from which\n"
    "                     section of the configuration each is (default: nobody said\n"
    "                     anything about that group)\n"
    "  --text             its canonical text alone, for a file or for another node\n"
    "  check [FILE]       a configuration, or a canonical text: errors with their\n"
    "                     lines (default: the configuration). Needs no daemon, opens no\n"
    "                     keys\n"
    "  diff FILE          what would change if that were the policy: which fields would\n"
    "                     be supplied by somebody else, from whom to whom. With a\n"
    "                     configuration to which a peer was added: what that peer changes\n"
    "  --suspend PEER     instead of a file: if nothing of that peer counted\n"
    "  --resume PEER      if a suspended one counted again\n"
    "  --without PEER     if it were not in the configuration\n"
    "  --limit N          list at most so many changes (default: 200); all are counted\n"
    "  sums               three hashes: the claims held, the policy, the map made of them\n"
    "  sums PEER|URL      the same beside those of another node, to see whether both show\n"
    "                     the same map, and if not, why\n"
    "  --pin sha256/..    pin of the URL's public key, instead of the system's CAs\n"
    "  --ca FILE          CAs to trust for the URL instead of the system's\n"
    "\n"
    "diff is a dry run: nothing changes. A policy takes effect when it stands in the\n"
    "configuration and kaartd has read that again (systemctl reload kaartd).\n";

#define LINK_AUDIENCE "  --audience A   in map and feed of another audience, as in professionals\n"
static const char link_help[] =
    "  ALIAS          the record that becomes a part of the other\n"
    "  MAIN           the record under which both are shown\n"
    "  --reason TEXT  why; everybody sees it\n"
    "  --kind KIND    where several records have this id\n"
    "  --dry-run      show what would be said, say nothing\n" LINK_AUDIENCE "\n"
    "Nothing is moved or rewritten: what is said about the alias counts for the main\n"
    "record, and the alias's id leads to it. `kaartctl unlink` restores both exactly.\n"
    "It is a signed claim (a relation, same-as) that counts wherever this node is a\n"
    "steward. An alias has one main record, which is no alias itself.\n";

static const char unlink_help[] =
    "  --reason TEXT  why; everybody sees it\n"
    "  --kind KIND    where several records have this id\n"
    "  --dry-run      show what would be said, say nothing\n" LINK_AUDIENCE "\n"
    "Where this node links them, that is taken back. Where somebody else does, this\n"
    "node says that they are not the same; if its word does not go before theirs, it\n"
    "says whose does. Of two that nobody links it says that they are not the same:\n"
    "duplicates leaves them out then. `kaartctl link` takes each of these back.\n";

static const char duplicates_help[] =
    "  --kind KIND   only activity, location, organization, professional, program or\n"
    "                service\n"
    "  --limit N     at most so many pairs (default: 20)\n"
    "  --audience A  of the map of another audience, as in professionals\n"
    "\n"
    "Evidence: the same identifier; similar name and postcode; the same telephone\n"
    "number or website (of other kinds than organization: and a similar name). The\n"
    "likeliest first. Pairs of which it is said that they are, or are not, the same\n"
    "are left out. Nothing is merged by itself.\n";

static const char fetch_help[] =
    "  URL                where the node's /v1 begins, as in\n"
    "                     https://kaart.nieuwegein.example:8443\n"
    "  --key KEY          the feed's verifier key, as `kaartctl key` prints it there;\n"
    "                     its name says which feed. Twice during a change of keys\n"
    "  --state DIR        keep what was fetched there, and write only what changed\n"
    "                     since; without it, everything\n"
    "  --pin sha256/..    pin of the server's public key, instead of the system's CAs\n"
    "  --ca FILE          CAs to trust instead of the system's\n"
    "  --allow-plain-http for tries on one machine: http:// to loopback\n"
    "\n"
    "A deletion is {\"deleted\":{\"kind\",\"id\",\"source\"}}. Nothing is written before all\n"
    "of it was verified. Needs no daemon and no configuration.\n";

/* clang-format on */

const struct ctl_command ctl_commands[] = {
    {"status", "[--audience NAME]", "Shows this node at a glance.", status_help, ctl_status},
    {"keygen", "FEED FILE", "Makes a feed's key: the secret half goes to FILE, the public half is printed.",
     keygen_help, ctl_keygen},
    {"key", "", "Prints the section by which other nodes know this one: keys, pins, areas.", key_help,
     ctl_key},
    {"import", "FILE|- [OPTIONS]", "Takes the records of a file of HSDS JSON as claims of one source.",
     import_help, ctl_import},
    {"put", "FILE|- | KIND ID FILE|- | KIND ID FIELD=VALUE...", "Says something about one record.", put_help,
     ctl_put},
    {"retract", "KIND ID [OPTIONS]", "Withdraws what a source of this node says about a record.",
     retract_help, ctl_retract},
    {"review", "list [--all] | show NUMBER | approve NUMBER... | reject NUMBER --reason TEXT | submit FILE|-",
     "What residents submitted: shows it, and lets editors decide.", review_help, ctl_review},
    {"erase", "KIND ID [--source NAME] [--yes] | --status [KIND ID]",
     "Erases what this node says about a record, for reasons of law.", erase_help, ctl_erase},
    {"subject", "find TEXT | erase TEXT [--yes] | allow TEXT",
     "Finds a person in everything that is held, and forgets them.", subject_help, ctl_subject},
    {"get", "ID [--kind KIND] [--audience NAME]",
     "Shows a record as it is resolved, and from whom each field is.", record_help, ctl_get},
    {"why", "ID [--kind KIND] [--audience NAME]",
     "Shows who says each field, which rule decided, and what others say.", record_help, ctl_why},
    {"conflicts", "[--group GROUP] [--about ORIGIN] [--limit N] [--audience NAME]",
     "Lists where claims differ, with what settles it.", conflicts_help, ctl_conflicts},
    {"pin", "KIND ID GROUP FIELD=VALUE...|--from FEED --reason TEXT --expires DAY",
     "Lets one word hold for a group of fields, whoever says what.", pin_help, ctl_pin},
    {"unpin", "KIND ID GROUP", "Takes a pin back.", unpin_help, ctl_unpin},
    {"stale", "[--older-than TIME] [--origin NAME] [--limit N] [--audience NAME]",
     "Lists what was last confirmed too long ago.", stale_help, ctl_stale},
    {"confirm", "ID... [OPTIONS]", "Renews the day on which a source last confirmed what it says.",
     confirm_help, ctl_confirm},
    {"duplicates", "[--kind KIND] [--limit N]", "Lists records that could be the same, with the evidence.",
     duplicates_help, ctl_duplicates},
    {"link", "ALIAS MAIN [--reason TEXT] [--dry-run]", "Says that two records are the same.", link_help,
     ctl_link},
    {"unlink", "ID ID [--reason TEXT] [--dry-run]", "Says that they are not, or takes a link back.",
     unlink_help, ctl_unlink},
    {"search", "WORDS... [OPTIONS]", "Finds records.", search_help, ctl_search},
    {"export", "[--kind KIND] [--audience NAME]",
     "Writes every resolved record to standard output, one JSON object a line.", export_help, ctl_export},
    {"feeds", "", "Lists the feeds that this node holds.", "", ctl_feeds},
    {"peers", "", "Lists the peers, what they bring, and how far it is.", "", ctl_peers},
    {"sync", "[PEER] [--wait] [--timeout SECONDS]",
     "Looks at once whether a peer (or every peer) has something new.", sync_help, ctl_sync},
    {"sign", "AUDIENCE", "Lets an own feed be signed although too few peers could be asked.", sign_help,
     ctl_sign},
    {"sources", "", "Lists the sources, their last runs, and what waits for a decision.", "", ctl_sources},
    {"source", "run NAME [--dry-run] | accept NAME RUN",
     "Runs a source now, or accepts what the fuse held back.", source_help, ctl_source},
    {"policy", "show [--text] | check [FILE] | diff FILE|--suspend PEER|... | sums [PEER|URL]",
     "Shows and checks who is believed for what, and tries out what another policy would change.",
     policy_help, ctl_policy},
    {"fetch", "URL --key KEY [OPTIONS]", "Downloads a feed, verifies it, and writes its records as NDJSON.",
     fetch_help, ctl_fetch},
    {"prove", "ID [--kind KIND] [--feed FEED] [--source NAME] | FEED",
     "Writes a proof of one claim that needs no trust in who shows it.", prove_help, ctl_prove},
    {"verify", "FILE|- [--key KEY]", "Checks a proof.", verify_help, ctl_verify},
    {"rebuild", "[--wait]", "Makes the map again from the feeds.", rebuild_help, ctl_rebuild},
    {0},
};

static void print_usage(FILE *out)
{
    fprintf(out, "usage: kaartctl [-c FILE] [--json] COMMAND ...\n\n"
                 "  -c FILE  the node's configuration (default: " CTL_DEFAULT_CONFIG ")\n"
                 "  --json   for programs\n\n");
    for (const struct ctl_command *command = ctl_commands; command->name; command++)
        fprintf(out, "  %-10s %s\n", command->name, command->summary);
    fprintf(out, "\nkaartctl COMMAND --help tells more of each.\n\n"
                 "Exit codes: 0 done; 1 failed; 2 wrong command line; 3 kaartd (or, for fetch, the node) "
                 "does not answer;\n"
                 "4 done, but some records were refused; 5 what was received is not what was signed.\n");
}

static const struct ctl_command *find_command(const char *name)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* Options before the command: -c FILE, --json, --help, --version. The index of the command, or -1 with *code. */
static int read_global(struct ctl *ctl, int argc, char **argv, int *code)
{
    int at = 1;
    *code = CTL_USAGE;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0) {
            ctl->json = true;
        } else if ((strcmp(argv[at], "-c") == 0 || strcmp(argv[at], "--config") == 0) && at + 1 < argc) {
            ctl->config_path = argv[++at];
        } else if (strncmp(argv[at], "--config=", 9) == 0) {
            ctl->config_path = argv[at] + 9;
        } else if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            print_usage(stdout);
            *code = CTL_DONE;
            return -1;
        } else if (strcmp(argv[at], "--version") == 0) {
            puts("kaartctl " KAARTD_VERSION);
            *code = CTL_DONE;
            return -1;
        } else {
            ctl_say(CTL_USAGE, "%s is no option, or wants a value; kaartctl --help lists them", argv[at]);
            return -1;
        }
    }
    if (at < argc)
        return at;
    print_usage(stderr);
    return -1;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.config_path = CTL_DEFAULT_CONFIG};
    int code;
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_DFL); /* kaartctl export | head ends as it should */
    int at = read_global(&ctl, argc, argv, &code);
    if (at < 0)
        return code;
    const struct ctl_command *command = find_command(argv[at]);
    if (!command && strcmp(argv[at], "help") == 0) {
        command = at + 1 < argc ? find_command(argv[at + 1]) : NULL;
        if (command)
            ctl_print_help(command, stdout);
        else
            print_usage(stdout);
        return CTL_DONE;
    }
    if (!command)
        return ctl_say(CTL_USAGE, "there is no command \"%s\"; kaartctl --help lists them", argv[at]);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return ctl_say(CTL_FAILED, "libcurl cannot be used");
    code = command->run(&ctl, command, argc - at, argv + at);
    config_free(ctl.config);
    curl_global_cleanup();
    return code == CTL_HELP_SHOWN ? CTL_DONE : code;
}
