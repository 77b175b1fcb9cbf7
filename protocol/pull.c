/*
 * pull.c - follows one feed at one source; the states and what follows on what are drawn in pull.h.
 *
 * Every handler fills in one effect. `settle` is the only way back to WAITING, so that each end of an
 * exchange leaves the same things in order: the next time, the open stage, the flags of the exchange.
 */
#include "protocol/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pull_state { WAITING, ASKING, LOOKING, OPENING, TAKING, COMMITTING };

struct pull {
    struct pull_options options;
    struct pull_held held;
    enum pull_state state;
    enum pull_condition condition;

    /* the running exchange */
    bool full;               /* it is a full sync */
    bool stage_open;         /* the store has a stage of ours open */
    bool answer_held;        /* the shell holds an answer that could go into the stage when that opens */
    uint64_t epoch;          /* asked for */
    uint64_t since;          /* asked for */
    struct checkpoint first; /* the head that began the full sync */

    /* between exchanges */
    bool full_wanted;     /* no delta leads on */
    bool full_unfinished; /* a full transfer was cut off: going on with it needs no new allowance */
    bool stage_kept;      /* a delta was cut off */
    bool again;           /* a hint came while busy */
    uint64_t resumed_at;  /* where the last opened stage went on: tells progress from none */
    unsigned breaks;      /* cut off in a row without progress */
    unsigned failures;
    unsigned overtaken;

    int64_t due_ms;
    int64_t begun_ms;      /* start of the last exchange */
    int64_t hinted_ms;     /* last hint that had an effect */
    int64_t not_before_ms; /* Retry-After */
    int64_t full_allowed_ms;
    int64_t last_success_ms;

    bool offered_any;
    struct checkpoint offered;
    int code;
    struct fault fault;
    uint32_t refusals[PULL_CODES];
};

/* ---- durations ---- */

static int64_t full_every(const struct pull *pull)
{
    return pull->options.full_every_ms > 0 ? pull->options.full_every_ms : FULL_SYNC_EVERY_MS;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t backoff(const struct pull *pull, uint32_t random)
{
    int64_t every = pull->options.every_ms;
    int64_t cap = most(PULL_BACKOFF_CAP_MIN_MS, most(every, least(PULL_BACKOFF_MAX_MS, 4 * every)));

    return retry_backoff(pull->failures, least(every, PULL_BACKOFF_MS), cap, random);
}

static bool full_allowed(const struct pull *pull, int64_t now_ms)
{
    return pull->full_unfinished || pull->full_allowed_ms <= now_ms;
}

/* ---- creation ---- */

struct pull *pull_new(const struct pull_options *options, const struct pull_held *held, const char *memory,
                      int64_t now_ms)
{
    struct pull *pull = calloc(1, sizeof(*pull));
    int64_t allowed = 0;
    int unfinished = 0;
    char end = 0;

    if (!pull)
        return NULL;
    pull_set_options(pull, options);
    pull->held = *held;
    if (held->frozen)
        pull->condition = PULL_CONDITION_FROZEN;
    if (memory && sscanf(memory, "full %" SCNd64 " %d%c", &allowed, &unfinished, &end) == 2 && allowed > 0) {
        /* A clock that went back must not forbid full syncs for longer than they ever are. */
        pull->full_allowed_ms = least(allowed, now_ms + full_every(pull));
        pull->full_unfinished = unfinished == 1;
    }
    return pull;
}

void pull_free(struct pull *pull)
{
    free(pull);
}

void pull_set_options(struct pull *pull, const struct pull_options *options)
{
    pull->options = *options;
    pull->options.every_ms = most(1, least(options->every_ms, 400LL * 24 * 60 * 60 * 1000));
}

void pull_memory(const struct pull *pull, char text[PULL_MEMORY_SIZE])
{
    snprintf(text, PULL_MEMORY_SIZE, "full %" PRId64 " %d", pull->full_allowed_ms,
             pull->full_unfinished ? 1 : 0);
}

/* ---- ends of an exchange ---- */

/* Back to waiting until `due_ms`, at the earliest when the source allows it. */
static void settle(struct pull *pull, const struct pull_event *event, int64_t due_ms,
                   struct pull_effect *effect)
{
    pull->state = WAITING;
    pull->full = false;
    pull->answer_held = false;
    if (pull->stage_open && effect->stage == PULL_STAGE_LEAVE)
        effect->stage = PULL_STAGE_DROP;
    pull->stage_open = false;
    pull->due_ms = most(most(due_ms, pull->not_before_ms), event->now_ms + 1);
    effect->action = PULL_WAIT;
    effect->at_ms = pull->due_ms;
}

static void unfinished(struct pull *pull, bool is, struct pull_effect *effect)
{
    if (pull->full_unfinished == is)
        return;
    pull->full_unfinished = is;
    effect->remember = true;
}

/* A kept stage is of no use any more; the store drops it when a stage with another plan is opened. */
static void forget_transfer(struct pull *pull, struct pull_effect *effect)
{
    pull->stage_kept = false;
    pull->breaks = 0;
    unfinished(pull, false, effect);
}

static void clear_trouble(struct pull *pull)
{
    pull->failures = 0;
    pull->overtaken = 0;
    pull->not_before_ms = 0;
    pull->code = KAART_OK;
    pull->fault.text[0] = '\0';
}

/* The exchange went well: whatever the source's head is, it was told in good order. */
static void succeed(struct pull *pull, const struct pull_event *event, enum pull_condition condition,
                    struct pull_effect *effect)
{
    int64_t wait = retry_interval(pull->options.every_ms, event->random);

    clear_trouble(pull);
    forget_transfer(pull, effect);
    pull->full_wanted = false;
    pull->condition = condition;
    pull->last_success_ms = event->now_ms;
    if (pull->again)
        wait = least(wait, PULL_HINT_GAP_MS);
    pull->again = false;
    settle(pull, event, event->now_ms + wait, effect);
}

static void note_trouble(struct pull *pull, int code, const char *text)
{
    pull->code = code;
    fault_set(&pull->fault, code, "%s", text ? text : kaart_strerror(code));
}

/* Only a full sync leads on. Starts it soon, at a random moment, or when the allowance is there again; deltas
 * are polled meanwhile. */
static void want_full(struct pull *pull, const struct pull_event *event, int64_t otherwise_ms,
                      struct pull_effect *effect)
{
    int64_t spread = least(pull->options.every_ms / 4, PULL_FULL_SPREAD_MS);
    int64_t due = event->now_ms + otherwise_ms;

    pull->full_wanted = true;
    if (full_allowed(pull, event->now_ms))
        due = least(due, event->now_ms + retry_spread(spread, event->random));
    else
        due = least(due, pull->full_allowed_ms + retry_spread(spread, event->random));
    settle(pull, event, due, effect);
}

/* The connection failed or broke off; what was staged stays. [STREAM-8] [SYNC-11] */
static void fail_transfer(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    bool was_taking = pull->state == TAKING;

    pull->failures++;
    note_trouble(pull, event->code, event->text);
    pull->condition = PULL_CONDITION_UNREACHABLE;
    if (event->retry_after_ms > 0)
        pull->not_before_ms = event->now_ms + least(event->retry_after_ms, RETRY_AFTER_MAX_MS);
    if (was_taking && ++pull->breaks >= PULL_BREAKS_MAX) {
        /* The same place breaks every time: what stands there may be what breaks it, so begin anew, whole. */
        bool was_full = pull->full;
        forget_transfer(pull, effect);
        effect->stage = PULL_STAGE_DROP;
        if (was_full)
            settle(pull, event, event->now_ms + backoff(pull, event->random), effect);
        else
            want_full(pull, event, backoff(pull, event->random), effect);
        return;
    }
    if (pull->stage_open) {
        effect->stage = PULL_STAGE_KEEP;
        pull->stage_kept = !pull->full;
    }
    settle(pull, event, event->now_ms + backoff(pull, event->random), effect);
}

/* What came was wrong. Nothing of it stays; a delta that failed is followed by a full sync. [SYNC-6] [SYNC-7]
 */
static void fail_content(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    bool was_full = pull->full;
    size_t index = (size_t)-event->code;

    pull->failures++;
    if (event->code < 0 && index < PULL_CODES)
        pull->refusals[index]++;
    note_trouble(pull, event->code, event->text);
    pull->condition = PULL_CONDITION_REFUSED;
    forget_transfer(pull, effect);
    if (pull->stage_open)
        effect->stage = PULL_STAGE_DROP;
    if (was_full && !pull->held.held) {
        /* The first sync is free, but not again and again. */
        pull->full_allowed_ms = event->now_ms + full_every(pull);
        effect->remember = true;
    }
    /* A checkpoint that nobody signed is not mended by asking for more; the full sync would fail on it as
     * well. */
    if (event->code == KAART_SIGNATURE || event->code == KAART_KEY)
        settle(pull, event, event->now_ms + backoff(pull, event->random), effect);
    else
        want_full(pull, event, backoff(pull, event->random), effect);
}

/* The own disk or memory: the source is not to blame, and what is staged may be whole. */
static void fail_local(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    pull->failures++;
    note_trouble(pull, event->code, event->text);
    pull->condition = PULL_CONDITION_LOCAL;
    if (pull->stage_open)
        effect->stage = PULL_STAGE_DROP;
    forget_transfer(pull, effect);
    settle(pull, event, event->now_ms + backoff(pull, event->random), effect);
}

/* Another source was faster: start again from the state that is held now. [SYNC-10] */
static void overtaken(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    int64_t wait = retry_interval(pull->options.every_ms, event->random);

    forget_transfer(pull, effect);
    pull->condition = PULL_CONDITION_CATCHING_UP;
    if (++pull->overtaken <= PULL_OVERTAKEN_MAX)
        wait = least(wait, retry_spread(1000, event->random));
    settle(pull, event, event->now_ms + wait, effect);
}

static void fail(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (event->code == KAART_OVERTAKEN)
        overtaken(pull, event, effect);
    else if (event->local || event->code == KAART_NOMEM)
        fail_local(pull, event, effect);
    else if (event->code == KAART_IO || event->code == KAART_BUSY)
        fail_transfer(pull, event, effect);
    else
        fail_content(pull, event, effect);
}

static void fail_with(struct pull *pull, const struct pull_event *event, int code, const char *text,
                      struct pull_effect *effect)
{
    struct pull_event failure = *event;

    failure.code = code;
    failure.text = text;
    failure.local = false;
    failure.retry_after_ms = 0;
    fail(pull, &failure, effect);
}

/* The source answered that it has no such feed: neither a success nor a failure. */
static void absent(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    int64_t slow =
        least(PULL_ABSENT_FACTOR * pull->options.every_ms, most(pull->options.every_ms, PULL_BACKOFF_MAX_MS));

    pull->condition = PULL_CONDITION_ABSENT;
    pull->offered_any = false;
    pull->again = false;
    note_trouble(pull, KAART_UNKNOWN, "the source does not serve this feed to this node");
    settle(pull, event, event->now_ms + retry_interval(slow, event->random), effect);
}

/* Two histories: the proof is two notes, or was kept by the store. [DEATH-6] */
static void forked(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    pull->failures = 0;
    pull->refusals[-KAART_FORK]++;
    forget_transfer(pull, effect);
    pull->full_wanted = false;
    pull->held.frozen = true;
    pull->condition = PULL_CONDITION_FROZEN;
    note_trouble(pull, KAART_FORK,
                 "the origin signed two histories (spec/feed.md [DEATH-2]): the offered head contradicts the "
                 "held one");
    effect->freeze = true;
    settle(pull, event, event->now_ms + retry_interval(pull->options.every_ms, event->random), effect);
}

/* ---- beginnings ---- */

static void ask_changes(struct pull *pull, uint64_t epoch, uint64_t since, bool conditional,
                        struct pull_effect *effect)
{
    pull->epoch = epoch;
    pull->since = since;
    effect->action = PULL_ASK_CHANGES;
    effect->epoch = epoch;
    effect->since = since;
    effect->conditional = conditional;
}

static uint64_t times_plus(uint64_t live, uint64_t factor, uint64_t slack)
{
    return live > (UINT64_MAX - slack) / factor ? UINT64_MAX : live * factor + slack;
}

static void open_stage(struct pull *pull, bool full, uint64_t epoch, uint64_t since, uint64_t live,
                       struct pull_effect *effect)
{
    pull->state = OPENING;
    pull->full = full;
    pull->epoch = epoch;
    if (!pull->answer_held)
        pull->since = since;
    effect->action = PULL_OPEN_STAGE;
    effect->full = full;
    effect->epoch = epoch;
    effect->since = since;
    /* A delta larger than a full sync may be is refused as well: the full sync that follows is bounded by a
     * signed count. [SYNC-5] */
    effect->entries_max = times_plus(live, FULL_SYNC_FACTOR, FULL_SYNC_SLACK);
}

static void open_delta(struct pull *pull, struct pull_effect *effect)
{
    pull->condition = PULL_CONDITION_CATCHING_UP;
    open_stage(pull, false, pull->held.checkpoint.epoch, pull->held.checkpoint.size,
               pull->held.checkpoint.live, effect);
}

static void look(struct pull *pull, struct pull_effect *effect)
{
    pull->state = LOOKING;
    effect->action = PULL_ASK_CHECKPOINT;
}

static void begin(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    int64_t now = event->now_ms;

    pull->again = false;
    pull->begun_ms = now;
    if (!pull->held.held && !full_allowed(pull, now)) {
        pull->condition = PULL_CONDITION_REFUSED;
        settle(pull, event,
               pull->full_allowed_ms +
                   retry_spread(least(pull->options.every_ms / 4, PULL_FULL_SPREAD_MS), event->random),
               effect);
    } else if (!pull->held.held || pull->held.frozen || (pull->full_wanted && full_allowed(pull, now)) ||
               pull->full_unfinished) {
        look(pull, effect);
    } else if (pull->stage_kept) {
        open_delta(pull, effect);
    } else {
        pull->state = ASKING;
        ask_changes(pull, pull->held.checkpoint.epoch, pull->held.checkpoint.size, true, effect);
    }
}

/* ---- answers ---- */

static void take_offer(struct pull *pull, const struct checkpoint *checkpoint)
{
    pull->offered_any = true;
    pull->offered = *checkpoint;
}

/* ASKING: what the source's head, told alone, means for what is held. */
static void on_offer(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    take_offer(pull, event->checkpoint);
    switch (checkpoint_compare(&pull->held.checkpoint, event->checkpoint)) {
    case CHECKPOINT_SAME:
        succeed(pull, event, PULL_CONDITION_IN_STEP, effect);
        break;
    case CHECKPOINT_BEHIND:
        succeed(pull, event, PULL_CONDITION_BEHIND, effect);
        break;
    case CHECKPOINT_HEARTBEAT:
    case CHECKPOINT_NEWER: /* everything that was added died again, or the floor was raised */
        pull->answer_held = true;
        open_delta(pull, effect);
        break;
    case CHECKPOINT_FULL:
        pull->condition = PULL_CONDITION_FULL_DUE;
        clear_trouble(pull);
        pull->stage_kept = false;
        want_full(pull, event, retry_interval(pull->options.every_ms, event->random), effect);
        break;
    case CHECKPOINT_FORK:
        forked(pull, event, effect);
        break;
    }
}

/* LOOKING: begins the full sync if the head is worth it. */
static void start_full(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (pull->held.held && !pull->full_unfinished) {
        pull->full_allowed_ms = event->now_ms + full_every(pull);
        effect->remember = true;
    }
    unfinished(pull, true, effect);
    pull->condition = PULL_CONDITION_CATCHING_UP;
    pull->first = *event->checkpoint;
    pull->stage_kept = false;
    open_stage(pull, true, event->checkpoint->epoch, 0, event->checkpoint->live, effect);
}

/* A frozen feed is led on by a higher epoch only. */
static void on_look_frozen(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (event->checkpoint->epoch > pull->held.checkpoint.epoch && full_allowed(pull, event->now_ms)) {
        start_full(pull, event, effect);
    } else if (event->checkpoint->epoch > pull->held.checkpoint.epoch) {
        pull->condition = PULL_CONDITION_FULL_DUE;
        want_full(pull, event, retry_interval(pull->options.every_ms, event->random), effect);
    } else {
        char text[sizeof(pull->fault.text)];
        int code = pull->code == KAART_FORK ? KAART_FORK : KAART_OK;

        memcpy(text, pull->fault.text, sizeof(text));
        succeed(pull, event, PULL_CONDITION_FROZEN, effect);
        if (code)
            note_trouble(pull, code, text);
    }
}

static void on_look(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    take_offer(pull, event->checkpoint);
    if (!pull->held.held) {
        start_full(pull, event, effect);
        return;
    }
    if (pull->held.frozen) {
        on_look_frozen(pull, event, effect);
        return;
    }
    switch (checkpoint_compare(&pull->held.checkpoint, event->checkpoint)) {
    case CHECKPOINT_SAME:
        succeed(pull, event, PULL_CONDITION_IN_STEP, effect);
        break;
    case CHECKPOINT_BEHIND:
        succeed(pull, event, PULL_CONDITION_BEHIND, effect);
        break;
    case CHECKPOINT_HEARTBEAT: /* the state is the held one: a delta of nothing leads there, a full sync would
                                  be waste */
        pull->full_wanted = false;
        unfinished(pull, false, effect);
        pull->state = ASKING;
        ask_changes(pull, pull->held.checkpoint.epoch, pull->held.checkpoint.size, true, effect);
        break;
    case CHECKPOINT_NEWER:
    case CHECKPOINT_FULL:
        start_full(pull, event, effect);
        break;
    case CHECKPOINT_FORK:
        forked(pull, event, effect);
        break;
    }
}

/* TAKING a full sync: the head it ended with against the one it began with. [SYNC-4] False: the exchange is
 * over. */
static bool ends_as_begun(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    const struct checkpoint *head = event->checkpoint;

    if (head->epoch > pull->epoch) { /* a new epoch began while it ran: its entries are of no use */
        overtaken(pull, event, effect);
        return false;
    }
    switch (checkpoint_compare(&pull->first, head)) {
    case CHECKPOINT_FORK:
        if (!pull->held.held) { /* there is no state to freeze at */
            fail_with(pull, event, KAART_FORK,
                      "two heads of one feed, taken one after the other, contradict each other (spec/feed.md "
                      "[DEATH-2])",
                      effect);
            return false;
        }
        effect->by_first = true;
        forked(pull, event, effect);
        return false;
    case CHECKPOINT_BEHIND:
        fail_with(pull, event, KAART_ORDER,
                  "the full sync ended with an older head than it began with (spec/feed.md [SYNC-4])",
                  effect);
        return false;
    default:
        return true;
    }
}

/* TAKING: the stream of a delta or a full sync ended with this head. */
static void on_head(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    const struct checkpoint *head = event->checkpoint;
    enum checkpoint_relation relation = CHECKPOINT_FULL;

    take_offer(pull, head);
    if (pull->held.held)
        relation = checkpoint_compare(&pull->held.checkpoint, head);
    if (pull->held.held && pull->held.frozen && head->epoch <= pull->held.checkpoint.epoch) {
        /* It froze while this transfer ran. */
        succeed(pull, event, PULL_CONDITION_FROZEN, effect);
        return;
    }
    switch (relation) {
    case CHECKPOINT_FORK:
        forked(pull, event, effect);
        return;
    case CHECKPOINT_SAME:
        if (!pull->full && event->entries)
            fail_with(pull, event, KAART_ORDER,
                      "entries came beside the head that is held already (spec/feed.md [SYNC-12])", effect);
        else
            succeed(pull, event, PULL_CONDITION_IN_STEP, effect);
        return;
    case CHECKPOINT_BEHIND:
        succeed(pull, event, PULL_CONDITION_BEHIND, effect);
        return;
    case CHECKPOINT_FULL:
        if (!pull->full) { /* the epoch or the floor rose while the delta was on its way */
            pull->condition = PULL_CONDITION_FULL_DUE;
            pull->stage_kept = false;
            pull->breaks = 0;
            want_full(pull, event, retry_interval(pull->options.every_ms, event->random), effect);
            return;
        }
        break;
    case CHECKPOINT_HEARTBEAT:
    case CHECKPOINT_NEWER:
        break;
    }
    if (pull->full && !ends_as_begun(pull, event, effect))
        return;
    pull->state = COMMITTING;
    effect->action = PULL_COMMIT;
}

static void on_page(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (event->next <= pull->since) {
        fail_with(pull, event, KAART_ORDER,
                  "a page led nowhere: its `next` is not beyond what was asked for (spec/feed.md [STREAM-5])",
                  effect);
        return;
    }
    pull->breaks = 0;
    ask_changes(pull, pull->epoch, event->next, false, effect);
}

static void on_opened(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    pull->stage_open = true;
    pull->state = TAKING;
    if (event->next > pull->resumed_at) { /* the last attempt brought something */
        pull->breaks = 0;
        if (event->next > (pull->full ? 0 : pull->held.checkpoint.size))
            pull->failures =
                0; /* a piece of this very exchange succeeded; over a bad line it comes in many */
    }
    pull->resumed_at = event->next;
    if (pull->answer_held && event->next == pull->since) {
        effect->action = PULL_TAKE;
    } else { /* a stage of before a restart goes on further along, or the held state moved meanwhile */
        ask_changes(pull, pull->epoch, event->next, false, effect);
    }
    pull->answer_held = false;
}

static void on_committed(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    pull->stage_open = false;
    pull->held = *event->held;
    if (pull->full) {
        /* This full sync did what it was for; a later one that is needed soon is a matter of the allowance.
         */
        pull->full_wanted = false;
    }
    succeed(pull, event, PULL_CONDITION_IN_STEP, effect);
}

static void on_commit_refused(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    pull->stage_open = false;
    if (event->code == KAART_OVERTAKEN) {
        overtaken(pull, event, effect);
    } else if (event->code == KAART_FORK) {
        forked(pull, event, effect);
        effect->freeze =
            false; /* the store froze the feed and kept the proof, in the transaction that found it */
        note_trouble(pull, KAART_FORK, event->text);
    } else {
        struct pull_event failure = *event;

        failure.local = event->local || event->code == KAART_IO || event->code == KAART_BUSY ||
                        event->code == KAART_NOMEM || event->code == KAART_CORRUPT;
        fail(pull, &failure, effect);
    }
}

/* ---- from outside ---- */

static void on_hint(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    int64_t gap = pull->failures || pull->condition == PULL_CONDITION_ABSENT ? PULL_HINT_BACKOFF_GAP_MS
                                                                             : PULL_HINT_GAP_MS;
    int64_t due;

    if (pull->state != WAITING) {
        pull->again = true;
        return;
    }
    gap = least(gap, pull->options.every_ms);
    due = most(event->now_ms, most(pull->begun_ms, pull->hinted_ms) + gap);
    due = most(due, pull->not_before_ms);
    if (due < pull->due_ms) {
        pull->due_ms = due;
        pull->hinted_ms = event->now_ms;
    }
    effect->action = PULL_WAIT;
    effect->at_ms = pull->due_ms;
}

static void on_held_moved(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    bool was_frozen = pull->held.frozen;

    pull->held = *event->held;
    if (pull->state != WAITING)
        return; /* what runs meets the new state at its next comparison; the store refuses what it overtook */
    if (pull->held.frozen) {
        pull->condition = PULL_CONDITION_FROZEN;
    } else if (was_frozen) {
        pull->condition = PULL_CONDITION_NEW;
        clear_trouble(pull);
    }
    effect->action = PULL_WAIT;
    effect->at_ms = pull->due_ms;
}

static void on_tick(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (pull->state != WAITING)
        return;
    if (pull->due_ms == 0) /* the first one: not all feeds and peers at one moment */
        pull->due_ms =
            event->now_ms + 1 + retry_spread(least(pull->options.every_ms / 4, 3000), event->random);
    if (event->now_ms >= pull->due_ms) {
        begin(pull, event, effect);
        return;
    }
    effect->action = PULL_WAIT;
    effect->at_ms = pull->due_ms;
}

/* ---- by state ---- */

static bool is_request(enum pull_state state)
{
    return state == ASKING || state == LOOKING || state == TAKING;
}

static void handle_answer(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    if (event->type == PULL_ABSENT) {
        absent(pull, event, effect);
    } else if (event->type == PULL_FAILED) {
        fail(pull, event, effect);
    } else if (event->type == PULL_NOT_MODIFIED && pull->state == ASKING) {
        take_offer(pull, &pull->held.checkpoint);
        succeed(pull, event, PULL_CONDITION_IN_STEP, effect);
    } else if (event->type == PULL_NOT_MODIFIED) {
        fail_with(pull, event, KAART_SYNTAX, "304 to a request without a condition", effect);
    } else if (event->type == PULL_OFFERED && pull->state == ASKING) {
        on_offer(pull, event, effect);
    } else if (event->type == PULL_OFFERED && pull->state == LOOKING) {
        on_look(pull, event, effect);
    } else if (event->type == PULL_ENTRIES && pull->state == ASKING) {
        pull->answer_held = true;
        open_delta(pull, effect);
    } else if (event->type == PULL_PAGE_ENDED && pull->state == TAKING) {
        on_page(pull, event, effect);
    } else if (event->type == PULL_HEAD_REACHED && pull->state == TAKING) {
        on_head(pull, event, effect);
    }
}

void pull_handle(struct pull *pull, const struct pull_event *event, struct pull_effect *effect)
{
    memset(effect, 0, sizeof(*effect));
    switch (event->type) {
    case PULL_TICK:
        on_tick(pull, event, effect);
        break;
    case PULL_HINTED:
        on_hint(pull, event, effect);
        break;
    case PULL_WANTED:
        if (pull->state == WAITING) {
            pull->not_before_ms = 0;
            begin(pull, event, effect);
        } else {
            pull->again = true;
        }
        break;
    case PULL_HELD_MOVED:
        on_held_moved(pull, event, effect);
        break;
    case PULL_STAGE_OPENED:
        if (pull->state == OPENING)
            on_opened(pull, event, effect);
        break;
    case PULL_STAGE_FAILED:
        if (pull->state == OPENING && event->code == KAART_OVERTAKEN)
            overtaken(pull, event, effect);
        else if (pull->state == OPENING)
            fail_local(pull, event, effect);
        break;
    case PULL_COMMITTED:
        if (pull->state == COMMITTING)
            on_committed(pull, event, effect);
        break;
    case PULL_COMMIT_REFUSED:
        if (pull->state == COMMITTING)
            on_commit_refused(pull, event, effect);
        break;
    default:
        if (is_request(pull->state))
            handle_answer(pull, event, effect);
        break;
    }
}

/* ---- what it knows ---- */

void pull_get_status(const struct pull *pull, struct pull_status *status)
{
    memset(status, 0, sizeof(*status));
    status->condition = pull->condition;
    status->busy = pull->state != WAITING;
    status->full = pull->full || pull->state == LOOKING;
    status->held = pull->held;
    status->offered_any = pull->offered_any;
    status->offered = pull->offered;
    status->failures = pull->failures;
    status->last_success_ms = pull->last_success_ms;
    status->next_ms = pull->state == WAITING ? pull->due_ms : 0;
    status->full_allowed_ms = pull->full_allowed_ms;
    /* What is told as a full sync is one that was decided on; a first attempt may as well find nothing. */
    if (pull->state == WAITING &&
        (pull->full_wanted || (!pull->held.held && pull->condition == PULL_CONDITION_REFUSED)))
        status->full_due_ms = most(pull->due_ms, pull->full_unfinished ? 0 : pull->full_allowed_ms);
    status->code = pull->code;
    status->text = pull->fault.text;
    status->refusals = pull->refusals;
}
