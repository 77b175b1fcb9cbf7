/*
 * test_sync_sim.c - several nodes in one process, on simulated time: pull and guard machines with replicas for stores, over a network that loses, delays, cuts
 * off and repeats, with a relay that lies and one that lags, and an origin that is now and then restored from an old backup.
 *
 *     origin <---- pulls ---- hub <---- pulls ---- first, second, third
 *        ^                                            |  |
 *        +---------------- pulls (second, third) -----+  +---- pulls ----> liar (serves the origin's feed, and lies)
 *
 * Whatever happens: nobody ever holds a state that the origin did not sign, no position is signed twice, requests and full syncs stay within their bounds; and when
 * the network is well again, everybody holds what the origin holds. The seed is printed; KAARTD_SEED repeats a run.
 */
#include "protocol/guard.h"
#include "protocol/pull.h"
#include "protocol/replica.h"
#include "protocol/stream.h"
#include "tests/unit/unit.h"

#include <stdbool.h>

#define FEED "houten.example/public"
#define EPOCH 1763751600
#define START_MS 1795287846000LL
#define EVERY_MS (60LL * 1000)
#define FULL_MS (10LL * 60 * 1000)
#define TROUBLE_MS (6LL * 60 * 60 * 1000) /* so long the network and the relay misbehave */
#define PEACE_MS (5LL * 60 * 60 * 1000)   /* more than the longest backoff and allowance */

enum { ORIGIN, HUB, FIRST, SECOND, THIRD, NODES, LIAR = NODES, SERVERS };
enum lie { HONEST, ALTER, OMIT, OLD, GARBAGE, STRANGER, BUSY, CUT, LIES };

static struct fault fault;
static struct signing_key key, stranger;

/* What a stage holds: whole lines of one source, of one or more responses. */
struct stage {
    bool open, kept, full;
    uint64_t epoch, base, next;
    char *lines;
    size_t size;
};

struct puller {
    int node, source;
    struct pull *pull;
    struct stage stage;
    int64_t alarm, answer; /* when; 0: none */
    struct pull_effect asked;
    struct checkpoint offered;
    char *head_line; /* the stream's last line, when the head was reached */
    unsigned requests, fulls;
    int64_t window_ms;
};

struct world {
    struct random random;
    int64_t now;
    bool peace;
    struct replica *nodes[NODES];
    struct puller pullers[16];
    size_t puller_count;
    enum lie lie;
    char *old; /* what the liar remembers */
    size_t old_size;
    /* origin */
    struct guard *guard;
    int64_t guard_alarm;
    struct replica *backup;
    uint64_t signed_sizes[100000]; /* by size: a hash of the state signed there; 0: none */
    unsigned restores, taken_back, lies, commits;
    unsigned version;
};

static struct replica *new_replica(void)
{
    struct replica *replica = replica_new(FEED, &key.verifier, 1);

    assert_non_null(replica);
    return replica;
}

static enum replica_outcome offer(struct replica *to, const struct replica *from, bool full)
{
    uint64_t since = full || !replica_head(to) ? 0 : replica_head(to)->size;
    enum replica_outcome outcome;
    char *stream;
    size_t size;

    assert_int_equal(replica_stream(from, since, &stream, &size), KAART_OK);
    outcome = replica_offer(to, stream, size, full, NULL, &fault);
    free(stream);
    return outcome;
}

static bool chance(struct world *w, unsigned percent)
{
    return random_below(&w->random, 100) < percent;
}

/* ---- the origin ---- */

static uint64_t digest(const struct checkpoint *head)
{
    uint64_t value;

    memcpy(&value, head->root.bytes, sizeof(value));
    return value * 31 + head->live * 2 + 1;
}

/* No size of the epoch may ever be signed with two states. */
static void check_signed(struct world *w, const struct checkpoint *head)
{
    uint64_t *known = &w->signed_sizes[head->size];

    assert_true(head->size < sizeof(w->signed_sizes) / sizeof(w->signed_sizes[0]));
    if (*known && *known != digest(head))
        fail_msg("two states were signed at size %llu", (unsigned long long)head->size);
    *known = digest(head);
}

static void append(struct world *w)
{
    struct replica *origin = w->nodes[ORIGIN];
    const struct checkpoint *head = replica_head(origin);
    uint64_t seq = head ? head->size : 0, floor = head ? head->floor : 0;

    for (uint64_t n = random_below(&w->random, 4); n > 0; n--) {
        char line[400];
        bool retract = chance(w, 20);
        int size =
            snprintf(line, sizeof(line),
                     "{\"seq\":%llu,\"op\":\"%s\",\"kind\":\"service\",\"id\":\"00000000-0000-4000-8000-%"
                     "012x\",\"source\":\"desk\","
                     "\"role\":\"editor\",\"at\":\"2026-11-21T19:04:05.123Z\"%s%u%s}",
                     (unsigned long long)seq++, retract ? "retract" : "assert",
                     (unsigned)random_below(&w->random, 200),
                     retract ? ",\"x_n\":" : ",\"body\":{\"version\":", w->version++, retract ? "" : "}");
        assert_ok(replica_append(origin, line, (size_t)size, &fault));
    }
    if (head && chance(w, 3))
        floor = head->size;
    assert_ok(replica_sign(origin, &key, 1, EPOCH, floor, w->now / 1000, &fault));
    check_signed(w, replica_head(origin));
}

static void hand_guard(struct world *w, struct guard_event event);

static void ask_peers(struct world *w)
{
    static const int peers[] = {HUB, SECOND};

    for (size_t i = 0; i < 2; i++) {
        const struct checkpoint *head = replica_head(w->nodes[peers[i]]);
        struct guard_event event = {.type = GUARD_PEER_FAILED, .peer = i};
        if (!guard_must_ask(w->guard, i))
            continue;
        if (!w->peace && chance(w, 50)) {
            hand_guard(w, event);
            continue;
        }
        event.type = head ? GUARD_PEER_HEAD : GUARD_PEER_ABSENT;
        event.head = head;
        hand_guard(w, event);
    }
}

static void take_back(struct world *w, size_t index)
{
    struct replica *from = w->nodes[index ? SECOND : HUB];
    struct guard_event event = {.type = GUARD_TAKE_FAILED, .code = KAART_IO};
    enum replica_outcome outcome;

    if (w->peace || chance(w, 60)) {
        outcome = offer(w->nodes[ORIGIN], from, false);
        if (outcome == REPLICA_FULL_NEEDED)
            outcome = offer(w->nodes[ORIGIN], from, true);
        assert_true(outcome == REPLICA_APPLIED || outcome == REPLICA_SAME);
        event.type = GUARD_TAKEN_BACK;
        w->taken_back++;
    }
    hand_guard(w, event);
}

static void hand_guard(struct world *w, struct guard_event event)
{
    struct guard_effect effect;

    event.now_ms = w->now;
    event.random = (uint32_t)random_next(&w->random);
    event.own = replica_head(w->nodes[ORIGIN]);
    event.copy = GUARD_COPY_UNREADABLE; /* the disk with the copy burnt as well */
    guard_handle(w->guard, &event, &effect);
    assert_int_not_equal(guard_get_state(w->guard), GUARD_STOPPED);
    w->guard_alarm = effect.at_ms;
    if (effect.take_back)
        take_back(w, effect.peer);
    if (effect.ask)
        ask_peers(w);
}

/* The origin starts, from the state that it has or from an old backup. What it signed after the backup was seen by at least one of the peers that it asks
 * (else no protocol could know of it): so it is restored only when they have caught up. */
static void start_origin(struct world *w, bool restored)
{
    const struct guard_options options = {.feed = FEED, .peer_count = 2, .quorum = 2, .wait_ms = -1};

    if (restored) {
        replica_free(w->nodes[ORIGIN]);
        w->nodes[ORIGIN] = w->backup;
        w->backup = NULL;
        w->restores++;
    }
    guard_free(w->guard);
    w->guard = guard_new(&options);
    assert_non_null(w->guard);
    hand_guard(w, (struct guard_event){.type = GUARD_START});
}

static bool same_head(const struct replica *a, const struct replica *b)
{
    const struct checkpoint *x = replica_head(a), *y = replica_head(b);

    return x && y && x->size == y->size && x->time_s == y->time_s;
}

static void act_origin(struct world *w)
{
    bool known = same_head(w->nodes[HUB], w->nodes[ORIGIN]) || same_head(w->nodes[SECOND], w->nodes[ORIGIN]);

    if (w->guard_alarm && w->now >= w->guard_alarm)
        hand_guard(w, (struct guard_event){.type = GUARD_TICK});
    if (!guard_may_sign(w->guard))
        return;
    if (!w->backup && chance(w, 5)) {
        w->backup = new_replica();
        assert_int_equal(offer(w->backup, w->nodes[ORIGIN], true), REPLICA_APPLIED);
    } else if (w->backup && known && chance(w, 10)) {
        start_origin(w, true);
        return;
    }
    append(w);
}

/* ---- what servers answer ---- */

static const struct replica *server(const struct world *w, int source)
{
    return w->nodes[source == LIAR ? ORIGIN : source];
}

static char *head_line(const struct replica *replica, size_t *size)
{
    const char *note;
    size_t note_size;
    char *line;

    note = replica_note(replica, &note_size);
    assert_int_equal(stream_format_checkpoint(note, note_size, &line, size), KAART_OK);
    return line;
}

/* The stream for (epoch, since), malloc'ed and with a NUL; NULL: nothing is held there. */
static char *answer_changes(struct world *w, int source, uint64_t epoch, uint64_t since, size_t *size)
{
    const struct replica *replica = server(w, source);
    const struct checkpoint *head = replica_head(replica);
    char *stream;

    if (source == LIAR && w->lie == OLD && w->old) {
        stream = malloc(w->old_size + 1);
        assert_non_null(stream);
        memcpy(stream, w->old, w->old_size + 1);
        *size = w->old_size;
        return stream;
    }
    if (!head)
        return NULL;
    if (epoch != head->epoch || since > head->size)
        return head_line(replica, size);
    assert_int_equal(replica_stream(replica, since, &stream, size), KAART_OK);
    stream = realloc(stream, *size + 1);
    assert_non_null(stream);
    stream[*size] = '\0';
    return stream;
}

static void lie_in(struct world *w, char *stream, size_t *size)
{
    char *digit = strstr(stream, "\"version\":"), *end;

    if (w->lie == ALTER && digit) {
        digit[10] = digit[10] == '1' ? '2' : '1';
        w->lies++;
    } else if (w->lie == OMIT && *size > 9 && strncmp(stream, "{\"seq\":", 7) == 0) {
        end = strchr(stream, '\n') + 1;
        *size -= (size_t)(end - stream);
        memmove(stream, end, *size + 1);
        w->lies++;
    } else if (w->lie == GARBAGE) {
        snprintf(stream, *size, "<html>%.*s", 9, "oops\n");
        *size = strlen(stream);
        w->lies++;
    }
}

/* ---- pulling ---- */

static void hand(struct world *w, struct puller *p, struct pull_event event);

static void drop_stage(struct stage *stage)
{
    free(stage->lines);
    memset(stage, 0, sizeof(*stage));
}

static void open_stage(struct world *w, struct puller *p, const struct pull_effect *effect)
{
    struct stage *stage = &p->stage;

    if (!stage->kept || stage->full != effect->full || stage->epoch != effect->epoch ||
        stage->base != effect->since) {
        drop_stage(stage);
        *stage = (struct stage){
            .full = effect->full, .epoch = effect->epoch, .base = effect->since, .next = effect->since};
    }
    if (effect->full)
        p->fulls++;
    stage->kept = false;
    stage->open = true;
    hand(w, p, (struct pull_event){.type = PULL_STAGE_OPENED, .next = stage->next});
}

/* Adds a line; the entry whose key it has is dead. [STREAM-6] */
static void stage_line(struct stage *stage, const char *line, size_t size)
{
    const char *id = strstr(line, "\"id\":\"");

    for (char *old = stage->lines; old && *old;) {
        char *end = strchr(old, '\n') + 1;
        const char *old_id = strstr(old, "\"id\":\"");
        if (id && old_id && old_id < end && memcmp(id, old_id, 42) == 0) {
            memmove(old, end, strlen(end) + 1);
            stage->size -= (size_t)(end - old);
        } else {
            old = end;
        }
    }
    stage->lines = realloc(stage->lines, stage->size + size + 1);
    assert_non_null(stage->lines);
    memcpy(stage->lines + stage->size, line, size);
    stage->size += size;
    stage->lines[stage->size] = '\0';
}

/* Takes what arrived of a stream. 0 with the head line, or a code. */
static int fill_stage(struct puller *p, const char *stream, size_t size, bool cut)
{
    struct stage *stage = &p->stage;
    const char *at = stream, *end = stream + size;

    free(p->head_line);
    p->head_line = NULL;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        struct entry entry;
        if (!line_end)
            break;
        size_t length = (size_t)(line_end + 1 - at);
        if (strncmp(at, "{\"checkpoint\":", 14) == 0) {
            p->head_line = strndup(at, length);
            return KAART_OK;
        }
        if (entry_parse(at, length - 1, &entry, &fault))
            return KAART_SYNTAX;
        if (entry.seq < stage->next)
            return KAART_ORDER;
        stage_line(stage, at, length);
        stage->next = entry.seq + 1;
        at = line_end + 1;
    }
    return cut ? KAART_IO : KAART_SYNTAX;
}

static void commit(struct world *w, struct puller *p)
{
    struct replica *replica = w->nodes[p->node];
    struct stage *stage = &p->stage;
    const struct checkpoint *head = replica_head(replica);
    int code = KAART_OK;

    if (!stage->full && (!head || head->epoch != stage->epoch || head->size != stage->base)) {
        drop_stage(stage);
        hand(w, p, (struct pull_event){.type = PULL_COMMIT_REFUSED, .code = KAART_OVERTAKEN});
        return;
    }
    size_t note_size = strlen(p->head_line);
    char *stream = malloc(stage->size + note_size + 1), *out = stream;
    assert_non_null(stream);
    for (const char *line = stage->lines; line && *line;) { /* the floor's dead are left out [CP-9] */
        const char *end = strchr(line, '\n') + 1;
        struct entry entry;
        assert_ok(entry_parse(line, (size_t)(end - line) - 1, &entry, &fault));
        if (entry.op == ENTRY_ASSERT || entry.seq >= p->offered.floor) {
            memcpy(out, line, (size_t)(end - line));
            out += end - line;
        }
        line = end;
    }
    memcpy(out, p->head_line, note_size + 1);
    enum replica_outcome outcome =
        replica_offer(replica, stream, (size_t)(out - stream) + note_size, stage->full, &code, &fault);
    free(stream);
    drop_stage(stage);
    if (outcome == REPLICA_APPLIED || outcome == REPLICA_SAME) {
        struct pull_held held = {.held = true, .checkpoint = *replica_head(replica)};
        const uint64_t *known = &w->signed_sizes[held.checkpoint.size];
        assert_true(*known == digest(&held.checkpoint)); /* only what the origin signed is ever held */
        w->commits++;
        hand(w, p, (struct pull_event){.type = PULL_COMMITTED, .held = &held});
        for (size_t i = 0; i < w->puller_count; i++)
            if (w->pullers[i].node == p->node && &w->pullers[i] != p)
                hand(w, &w->pullers[i], (struct pull_event){.type = PULL_HELD_MOVED, .held = &held});
        return;
    }
    assert_int_not_equal(outcome, REPLICA_FORK); /* nobody forks here */
    if (outcome == REPLICA_BEHIND)
        code = KAART_OVERTAKEN;
    hand(w, p,
         (struct pull_event){
             .type = PULL_COMMIT_REFUSED, .code = code ? code : KAART_OVERTAKEN, .text = fault.text});
}

static int open_head(struct puller *p, const char *line, int signer)
{
    const struct verifier_key *with = signer ? &stranger.verifier : &key.verifier;
    cJSON *object = cJSON_Parse(line);
    const char *note = json_get_string(object, "checkpoint");
    int code = note ? checkpoint_open(note, strlen(note), FEED, with, 1, &p->offered, &fault) : KAART_SYNTAX;

    cJSON_Delete(object);
    return code;
}

static void answer_checkpoint(struct world *w, struct puller *p)
{
    const struct replica *replica = server(w, p->source);
    size_t size;
    char *line;
    int code;

    if (p->source == LIAR && w->lie == OLD && w->old) {
        line = strdup(strstr(w->old, "{\"checkpoint\":"));
    } else if (!replica_head(replica)) {
        hand(w, p, (struct pull_event){.type = PULL_ABSENT});
        return;
    } else {
        line = head_line(replica, &size);
        line = realloc(line, size + 1);
        line[size] = '\0';
    }
    code = open_head(p, line, p->source == LIAR && w->lie == STRANGER);
    free(line);
    if (code)
        hand(w, p, (struct pull_event){.type = PULL_FAILED, .code = code, .text = fault.text});
    else
        hand(w, p, (struct pull_event){.type = PULL_OFFERED, .checkpoint = &p->offered});
}

static void take_answer(struct world *w, struct puller *p, const char *stream, size_t size, bool cut,
                        bool foreign)
{
    int code = fill_stage(p, stream, size, cut);

    if (!code)
        code = open_head(p, p->head_line, foreign);
    if (code)
        hand(w, p, (struct pull_event){.type = PULL_FAILED, .code = code, .text = "in the stage"});
    else
        hand(w, p,
             (struct pull_event){
                 .type = PULL_HEAD_REACHED, .checkpoint = &p->offered, .entries = p->stage.size ? 1 : 0});
}

static void answer_to_changes(struct world *w, struct puller *p)
{
    const struct checkpoint *mine = replica_head(w->nodes[p->node]),
                            *theirs = replica_head(server(w, p->source));
    bool liar = p->source == LIAR, foreign = liar && w->lie == STRANGER, cut = liar && w->lie == CUT;
    size_t size;
    char *stream;

    if (p->asked.conditional && mine && theirs && mine->size == theirs->size &&
        mine->time_s == theirs->time_s && !(liar && w->lie == OLD)) {
        hand(w, p, (struct pull_event){.type = PULL_NOT_MODIFIED});
        return;
    }
    stream = answer_changes(w, p->source, p->asked.epoch, p->asked.since, &size);
    if (!stream) {
        hand(w, p, (struct pull_event){.type = PULL_ABSENT});
        return;
    }
    if (liar)
        lie_in(w, stream, &size);
    if (!w->peace && chance(w, 15))
        cut = true;
    if (cut)
        size = random_below(&w->random, size);
    if (p->stage.open) {
        take_answer(w, p, stream, size, cut, foreign);
    } else if (size > 14 && strncmp(stream, "{\"checkpoint\":", 14) != 0) {
        hand(w, p, (struct pull_event){.type = PULL_ENTRIES});
        if (p->stage.open && !p->answer) /* opened where it was asked for: the answer goes on */
            take_answer(w, p, stream, size, cut, foreign);
    } else if (cut || open_head(p, stream, foreign)) {
        hand(w, p, (struct pull_event){.type = PULL_FAILED, .code = cut ? KAART_IO : KAART_SIGNATURE});
    } else {
        hand(w, p, (struct pull_event){.type = PULL_OFFERED, .checkpoint = &p->offered});
        if (p->stage.open && !p->answer)
            take_answer(w, p, stream, size, false, foreign);
    }
    free(stream);
}

static void answer(struct world *w, struct puller *p)
{
    p->answer = 0;
    if (!w->peace && chance(w, 20))
        hand(w, p, (struct pull_event){.type = PULL_FAILED, .code = KAART_IO, .text = "lost"});
    else if (p->source == LIAR && w->lie == BUSY)
        hand(w, p, (struct pull_event){.type = PULL_FAILED, .code = KAART_BUSY, .retry_after_ms = 120000});
    else if (p->asked.action == PULL_ASK_CHECKPOINT)
        answer_checkpoint(w, p);
    else
        answer_to_changes(w, p);
    if (!w->peace && chance(w, 5)) /* an answer that comes twice is nobody's */
        hand(w, p, (struct pull_event){.type = PULL_NOT_MODIFIED});
}

static void hand(struct world *w, struct puller *p, struct pull_event event)
{
    struct pull_effect effect;

    event.now_ms = w->now;
    event.random = (uint32_t)random_next(&w->random);
    if (event.type == PULL_NOT_MODIFIED && p->asked.action == PULL_ASK_CHANGES && p->answer)
        return; /* it would be believed: that request is under way */
    pull_handle(p->pull, &event, &effect);
    assert_false(effect.freeze);
    if (effect.stage == PULL_STAGE_DROP)
        drop_stage(&p->stage);
    else if (effect.stage == PULL_STAGE_KEEP)
        p->stage.kept = true, p->stage.open = false;
    switch (effect.action) {
    case PULL_GO_ON:
    case PULL_TAKE:
        break;
    case PULL_WAIT:
        p->stage.open = false;
        p->answer = 0;
        p->alarm = effect.at_ms;
        assert_true(effect.at_ms > w->now - 1);
        assert_true(effect.at_ms - w->now <= 4 * 3600000LL);
        break;
    case PULL_ASK_CHECKPOINT:
    case PULL_ASK_CHANGES:
        p->alarm = 0;
        p->asked = effect;
        p->requests++;
        p->answer = w->now + 1 + (int64_t)random_below(&w->random, 2000);
        break;
    case PULL_OPEN_STAGE:
        open_stage(w, p, &effect);
        break;
    case PULL_COMMIT:
        commit(w, p);
        break;
    }
}

/* ---- the world ---- */

static void add_puller(struct world *w, int node, int source)
{
    const struct pull_options options = {.every_ms = EVERY_MS, .full_every_ms = FULL_MS};
    const struct pull_held nothing = {.held = false};
    struct puller *p = &w->pullers[w->puller_count++];

    p->node = node;
    p->source = source;
    p->pull = pull_new(&options, &nothing, NULL, w->now);
    assert_non_null(p->pull);
    hand(w, p, (struct pull_event){.type = PULL_TICK});
}

static void change_the_weather(struct world *w)
{
    w->lie = w->peace ? HONEST : (enum lie)random_below(&w->random, LIES);
    if (w->lie == OLD && (!w->old || chance(w, 30)) && replica_head(w->nodes[ORIGIN])) {
        free(w->old);
        assert_int_equal(replica_stream(w->nodes[ORIGIN], 0, &w->old, &w->old_size), KAART_OK);
        w->old = realloc(w->old, w->old_size + 1);
        w->old[w->old_size] = '\0';
    }
}

static void step(struct world *w)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < w->puller_count; i++) {
        struct puller *p = &w->pullers[i];
        if (p->alarm && p->alarm < next)
            next = p->alarm;
        if (p->answer && p->answer < next)
            next = p->answer;
    }
    if (next > w->now + 20000)
        next = w->now + 20000; /* the origin acts as well */
    if (next > w->now)
        w->now = next;
    for (size_t i = 0; i < w->puller_count; i++) {
        struct puller *p = &w->pullers[i];
        if (p->answer && p->answer <= w->now)
            answer(w, p);
        else if (p->alarm && p->alarm <= w->now)
            hand(w, p, (struct pull_event){.type = PULL_TICK});
        if (!w->peace && chance(w, 1)) /* hints, true or not, as often as they like */
            hand(w, p, (struct pull_event){.type = PULL_HINTED});
    }
    if (chance(w, 10))
        act_origin(w);
    if (chance(w, 2))
        change_the_weather(w);
}

static void check_bounds(struct world *w, int64_t passed_ms)
{
    for (size_t i = 0; i < w->puller_count; i++) {
        struct puller *p = &w->pullers[i];
        /* Each full sync needs its allowance; one that was cut off goes on with the one it had, a bounded number of times, and so does the first. */
        assert_true(p->fulls <= (unsigned)(PULL_BREAKS_MAX * (2 + passed_ms / FULL_MS)));
        assert_true(p->requests <= (unsigned)(passed_ms / 500));
    }
}

static void nodes_agree_in_the_end(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    (void)state;
    assert_non_null(w);
    w->random = random_start("simulation");
    w->now = START_MS;
    for (int i = 0; i < NODES; i++)
        w->nodes[i] = new_replica();
    append(w);
    start_origin(w, false);
    add_puller(w, HUB, ORIGIN);
    for (int node = FIRST; node <= THIRD; node++) {
        add_puller(w, node, HUB);
        add_puller(w, node, LIAR);
    }
    add_puller(w, SECOND, ORIGIN);
    add_puller(w, THIRD, ORIGIN);
    while (w->now < START_MS + TROUBLE_MS)
        step(w);
    check_bounds(w, TROUBLE_MS);
    w->peace = true;
    change_the_weather(w);
    while (w->now < START_MS + TROUBLE_MS + PEACE_MS)
        step(w);
    printf("# %u entries, %u restores, %u taken back, %u lies, %u commits\n", w->version, w->restores,
           w->taken_back, w->lies, w->commits);

    /* The origin rests; the others come to hold exactly its state. */
    int64_t rest = w->now + 10 * EVERY_MS;
    replica_free(w->backup);
    w->backup = NULL;
    while (w->now < rest) {
        for (size_t i = 0; i < w->puller_count; i++) {
            struct puller *p = &w->pullers[i];
            if (p->answer && p->answer <= w->now)
                answer(w, p);
            else if (p->alarm && p->alarm <= w->now)
                hand(w, p, (struct pull_event){.type = PULL_TICK});
        }
        w->now += 100;
    }
    assert_true(guard_may_sign(w->guard));
    assert_true(w->commits > 100);
    for (int i = HUB; i < NODES; i++)
        if (!replica_equal(w->nodes[i], w->nodes[ORIGIN]))
            fail_msg("node %d is not in step at the end", i);

    for (size_t i = 0; i < w->puller_count; i++) {
        drop_stage(&w->pullers[i].stage);
        free(w->pullers[i].head_line);
        pull_free(w->pullers[i].pull);
    }
    for (int i = 0; i < NODES; i++)
        replica_free(w->nodes[i]);
    guard_free(w->guard);
    free(w->old);
    free(w);
}

static int setup(void **state)
{
    uint8_t seed[ED25519_SIZE] = {1}, other[ED25519_SIZE] = {2};

    (void)state;
    return signing_key_from_seed(FEED, seed, &key, &fault) ||
           signing_key_from_seed(FEED, other, &stranger, &fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nodes_agree_in_the_end)};

    return cmocka_run_group_tests(tests, setup, NULL);
}
