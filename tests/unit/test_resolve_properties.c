/*
 * test_resolve_properties.c - what holds for every set of claims, shown on random ones. spec/resolution.md.
 *
 *     order, grouping, repetition change nothing                     [RES-1] [RES-5]
 *     a peer gains nothing beyond its grants, nor by dates           [RES-3] [RES-4] [RES-6] to [RES-11]
 *     pin, link and suspension leave no trace once they are gone     [RES-8] [LINK-4] [POL-5]
 *     nothing changes by itself before the next day                  [RES-12]
 *
 * A failure prints its seed; KAARTD_SEED repeats it.
 */
#include "protocol/json.h"
#include "protocol/resolve.h"
#include "protocol/syntax.h"
#include "tests/unit/unit.h"

#define TODAY 20778 /* 2026-11-21 */
#define SET_MAX 256
#define OWNED_MAX 1024
#define TEXT_SIZE 262144
#define EVIL "evil.example/public"

static const char *const ids[] = {"0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a11",
                                  "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a12",
                                  "0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a13"};
static const char *const feeds[] = {"nieuwegein.example/public", "houten.example/public",
                                    "utrecht.example/public", "zorg.example/public"};
static const char *const roles[] = {"contract", "provider", "editor", "coordinator", "resident", "import"};
static const char *const areas[] = {"GM0356", "GM0321", "WK035601", "BU03560101", "GM0344", "WK034401"};
static const char *const groups[] = {"identity", "place",       "contact",        "hours",
                                     "access",   "description", "classification", "status"};

struct set {
    struct claim claims[SET_MAX];
    size_t count;
};

/* One round: its random numbers, and what is freed after it. */
static struct random rnd;
static uint64_t seed;
static cJSON *owned[OWNED_MAX];
static size_t owned_count;
static uint64_t next_seq;

static void start(const char *test)
{
    rnd = random_start(test);
    seed = rnd.state;
    next_seq = 0;
}

static size_t draw(size_t below)
{
    return (size_t)random_below(&rnd, below);
}

static cJSON *own(cJSON *value)
{
    assert_non_null(value);
    assert_true(owned_count < OWNED_MAX);
    return owned[owned_count++] = value;
}

static void end_round(void)
{
    while (owned_count)
        cJSON_Delete(owned[--owned_count]);
}

/* ---- random policies and claims ---- */

/* Some of a list, NULL-terminated, in its order. */
static void some(const char *const *from, size_t count, size_t percent, const char **out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (draw(100) < percent)
            out[used++] = from[i];
    out[used] = NULL;
}

static void random_group(struct policy_builder *builder, const char *group)
{
    static const char *const places[] = {"contract",      "provider",      "editor",      "coordinator",
                                         "resident",      "import",        "editor@home", "provider@home",
                                         "contract@home", "resident@home", "import@home", "coordinator@home"};
    const char *order[13], *swap;
    char period[24];
    struct fault fault = {""};
    some(places, 12, 80, order);
    for (size_t i = 0; order[i]; i++) {
        size_t j = draw(i + 1);
        swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    snprintf(period, sizeof period, "%d %s", 1 + (int)draw(30), draw(2) ? "months" : "days");
    assert_ok(policy_builder_group(builder, group, draw(3) ? NULL : order, draw(2) ? NULL : period, &fault));
}

enum grant { GRANT_NONE, GRANT_SUSPENDED, GRANT_NO_AREA, GRANT_FOREIGN_AREA, GRANT_AREA, GRANT_COUNT };

/* Four honest origins, and the adversary with what it was granted, at a random place among them. */
static struct policy *random_policy(enum grant evil)
{
    static const char *const kinds[] = {"organization", "service", "relation", "contract"};
    struct policy_builder *builder = policy_builder_new();
    struct policy *policy = NULL;
    struct fault fault = {""};
    size_t evil_place = draw(5);
    assert_non_null(builder);
    for (size_t i = 0; draw(2) && i < GROUP_COUNT; i++)
        random_group(builder, groups[i]);
    for (size_t i = 0, honest = 0; i < 5; i++) {
        const char *of_areas[7], *of_roles[7], *of_kinds[5];
        char name[64];
        bool is_evil = i == evil_place;
        const char *feed = is_evil ? EVIL : feeds[honest++];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(feed, "/"), feed);
        some(areas, 4, 35, of_areas);
        some(roles, 6, is_evil ? 50 : 85, of_roles);
        some(kinds, 4, 90, of_kinds);
        if (is_evil) {
            of_areas[0] = evil == GRANT_FOREIGN_AREA ? "GM0344" : of_areas[0];
            of_areas[evil == GRANT_FOREIGN_AREA || evil == GRANT_NO_AREA ? evil == GRANT_FOREIGN_AREA : 6] =
                NULL;
            if (evil == GRANT_NONE)
                continue;
        }
        assert_ok(policy_builder_origin(builder, name, of_areas, of_roles, of_kinds, !is_evil && draw(2),
                                        is_evil && evil == GRANT_SUSPENDED, &fault));
    }
    assert_ok(policy_builder_finish(builder, &policy, &fault));
    policy_builder_free(builder);
    return policy;
}

static cJSON *random_body(const char *kind)
{
    static const char *const fields[] = {"name",   "phones",    "email",       "status", "fees", "schedules",
                                         "themes", "addresses", "description", "x-own",  "title"};
    static const char *const types[] = {"same-as", "not-same-as", "part-of"};
    static const char *const values[] = {"a", "b", "c"};
    cJSON *body = own(cJSON_CreateObject());
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (draw(2))
            continue;
        if (draw(6) == 0)
            cJSON_AddNullToObject(body, fields[i]);
        else
            cJSON_AddStringToObject(body, fields[i], values[draw(3)]);
    }
    if (strcmp(kind, "relation") == 0) {
        cJSON_AddStringToObject(body, "type", types[draw(3)]);
        cJSON_AddStringToObject(body, "from_id", ids[draw(2)]);
        cJSON_AddStringToObject(body, "to_id", ids[draw(2)]);
    } else if (draw(3)) {
        cJSON_AddStringToObject(body, "organization_id", ids[draw(2)]);
    }
    return body;
}

static cJSON *random_areas(size_t from, size_t count)
{
    cJSON *list = own(cJSON_CreateArray());
    for (size_t i = 0, n = draw(3); i < n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(areas[from + draw(count)]));
    return list;
}

/* Mostly in the last years, now and then in the near future. */
static int32_t random_day(void)
{
    return TODAY + 60 - (int32_t)draw(draw(2) ? 1200 : 200);
}

static void add_pin(cJSON *body, int32_t last_day)
{
    char text[DAY_TEXT_SIZE + 1];
    syntax_day_format(last_day, text);
    cJSON_AddStringToObject(body, "pin_reason", "called them");
    cJSON_AddStringToObject(body, "pin_expires", text);
}

static struct claim *add_claim(struct set *set, const char *feed, const char *kind, const char *id)
{
    static const char *const sources[] = {"desk",         "register",        "crawl",      "pin-contact",
                                          "pin-identity", "pin-description", "pin-status", "pin-colour"};
    struct claim *claim = &set->claims[set->count++];
    cJSON *body = random_body(kind);
    assert_true(set->count <= SET_MAX);
    *claim = (struct claim){.feed = feed, .seq = ++next_seq, .kind = kind, .id = id, .body = body};
    claim->source = sources[draw(3) ? draw(3) : draw(8)];
    claim->role = roles[draw(6)];
    claim->at_ms = (draw(2) ? random_day() : TODAY - 30) * MS_PER_DAY + (int64_t)draw(2) * 1000;
    claim->verified = draw(2) ? random_day() : DAY_NONE;
    claim->missing_since = draw(8) ? DAY_NONE : random_day();
    claim->confirmed = DAY_NONE;
    if (draw(3) == 0) {
        claim->confirmed = random_day();
        claim->confirmed_at_ms = random_day() * MS_PER_DAY;
        claim->excepted = draw(5) == 0;
    }
    claim->on_behalf_of = draw(4) ? ids[draw(2)] : NULL;
    claim->areas = draw(4) ? random_areas(0, 4) : NULL;
    claim->invalid = draw(20) == 0;
    memset(claim->leaf.bytes, (int)draw(3) * 0x7f, HASH_SIZE);
    if (strncmp(claim->source, "pin-", 4) == 0 && draw(8))
        add_pin(body, TODAY + (int32_t)draw(90) - 20);
    return claim;
}

static const char *random_kind(void)
{
    static const char *const kinds[] = {"organization", "service", "service", "relation", "contract"};
    return kinds[draw(5)];
}

static void random_set(struct set *set, const char *kind, const char *id, size_t count)
{
    set->count = 0;
    for (size_t i = 0; i < count; i++)
        (void)add_claim(set, feeds[draw(4)], kind, id);
}

static void shuffle(struct set *set)
{
    for (size_t i = set->count; i > 1; i--) {
        size_t j = draw(i);
        struct claim swap = set->claims[i - 1];
        set->claims[i - 1] = set->claims[j];
        set->claims[j] = swap;
    }
}

static struct resolution *resolve(const struct policy *policy, const struct set *set, int32_t day)
{
    struct resolution *result = NULL;
    assert_int_equal(resolve_record(policy, set->claims, set->count, day, &result), KAART_OK);
    return result;
}

/* ---- what was decided, as a text by feed and seq ---- */

struct text {
    char bytes[TEXT_SIZE];
    size_t size;
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    text->size += (size_t)vsnprintf(text->bytes + text->size, TEXT_SIZE - text->size, format, list);
    va_end(list);
    assert_true(text->size < TEXT_SIZE);
}

#define WITH_FIELDS 1u
#define WITH_NEXT_DAY 2u
#define WITH_STANDINGS 4u
#define WITH_COUNTING 8u /* the standings of those that count only */
#define WITH_ALL 7u

static void put_field(struct text *text, const struct set *set, const struct resolved_field *field)
{
    put(text, "%s %s %s%s %llu %s", field->name, resolve_rule_name(field->rule),
        cJSON_IsString(field->value) ? field->value->valuestring : "null", field->differs ? " differs" : "",
        (unsigned long long)set->claims[field->winner].seq, set->claims[field->winner].feed);
    for (size_t j = 0; j < field->other_count; j++)
        put(text, " %llu", (unsigned long long)set->claims[field->others[j]].seq);
    put(text, "\n");
}

/* Every claim once, in the order of seq, which is unique over all feeds here. */
static void put_standings(struct text *text, const struct set *set, const struct resolution *result,
                          bool counting_only)
{
    for (uint64_t after = 0;;) {
        size_t found = SIZE_MAX;
        for (size_t i = 0; i < set->count; i++)
            if (set->claims[i].seq > after && result->standings[i] != CLAIM_REPEATED &&
                (found == SIZE_MAX || set->claims[i].seq < set->claims[found].seq))
                found = i;
        if (found == SIZE_MAX)
            return;
        const struct claim_judgement *judgement = &result->judgements[found];
        after = set->claims[found].seq;
        if (counting_only && result->standings[found] != CLAIM_COUNTS)
            continue;
        put(text, "claim %llu %s", (unsigned long long)after, claim_standing_name(result->standings[found]));
        if (result->standings[found] == CLAIM_COUNTS)
            put(text, " %s %d %d %d", judgement->role, judgement->home, judgement->pin, judgement->verified);
        put(text, "\n");
    }
}

static void describe(struct text *text, const struct set *set, const struct resolution *result, unsigned what)
{
    text->size = 0;
    put(text, "home %s\n", result->home ? result->home : "-");
    if (what & WITH_NEXT_DAY)
        put(text, "next %d\n", result->next_day);
    for (size_t i = 0; i < result->field_count; i++)
        put_field(text, set, &result->fields[i]);
    if (what & (WITH_STANDINGS | WITH_COUNTING))
        put_standings(text, set, result, !(what & WITH_STANDINGS));
}

static void describe_on(struct text *text, const struct policy *policy, const struct set *set, int32_t day,
                        unsigned what)
{
    struct resolution *result = resolve(policy, set, day);
    describe(text, set, result, what);
    resolution_free(result);
}

static struct text before, after;

static void assert_same(const char *what, size_t round)
{
    if (before.size != after.size || memcmp(before.bytes, after.bytes, before.size) != 0)
        fail_msg("KAARTD_SEED=%llu round %zu: %s:\n%s--- is not\n%s", (unsigned long long)seed, round, what,
                 before.bytes, after.bytes);
}

#define assert_in_round(condition)                                                                           \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail_msg("KAARTD_SEED=%llu round %zu: not %s", (unsigned long long)seed, round, #condition);     \
    } while (0)

static const struct resolved_field *field_named(const struct resolution *result, const char *name)
{
    for (size_t i = 0; i < result->field_count; i++)
        if (strcmp(result->fields[i].name, name) == 0)
            return &result->fields[i];
    return NULL;
}

/* ---- order, grouping, repetition ---- */

/* [RES-1] [RES-5] [RES-11]: claims that come in another order, feed by feed or mixed, and more than once. */
static void order_and_repetition(void **state)
{
    (void)state;
    start("order_and_repetition");
    for (size_t round = 0; round < 1500; round++) {
        static struct set set;
        struct policy *policy = random_policy(GRANT_AREA);
        bool crowded = round % 50 == 0;
        random_set(&set, random_kind(), ids[0], crowded ? 90 : 1 + draw(9));
        for (size_t i = 0; crowded && i < 75; i++)
            set.claims[i].feed = feeds[0];
        describe_on(&before, policy, &set, TODAY, WITH_ALL);
        shuffle(&set);
        describe_on(&after, policy, &set, TODAY, WITH_ALL);
        assert_same("another order", round);
        for (size_t n = 1 + draw(crowded ? 80 : 6); n; n--) {
            set.claims[set.count] = set.claims[draw(set.count)];
            set.count++;
        }
        shuffle(&set);
        describe_on(&after, policy, &set, TODAY, WITH_ALL);
        assert_same("claims that were handed in twice", round);
        policy_release(policy);
        end_round();
    }
}

/* [RES-3]: what does not count might as well not be there. */
static void what_does_not_count_changes_nothing(void **state)
{
    (void)state;
    start("what_does_not_count_changes_nothing");
    for (size_t round = 0; round < 1500; round++) {
        static struct set set, counting;
        struct policy *policy = random_policy(GRANT_AREA);
        random_set(&set, random_kind(), ids[0], 1 + draw(9));
        struct resolution *result = resolve(policy, &set, TODAY);
        describe(&before, &set, result, WITH_FIELDS);
        counting.count = 0;
        for (size_t i = 0; i < set.count; i++)
            if (result->standings[i] == CLAIM_COUNTS)
                counting.claims[counting.count++] = set.claims[i];
        describe_on(&after, policy, &counting, TODAY, WITH_FIELDS);
        assert_same("left out what does not count", round);
        resolution_free(result);
        policy_release(policy);
        end_round();
    }
}

/* ---- a peer that wants more ---- */

static bool is_evil(const struct claim *claim)
{
    return strcmp(claim->feed, EVIL) == 0;
}

/* Chosen dates, sources, links and pins; what others said, relayed as its own; areas, roles and organisations of others. */
static void add_evil_claims(struct set *set, enum grant grant, const char *kind)
{
    static const int64_t odd_days[] = {-719162, 0, TODAY - 1, TODAY, TODAY + 1, TODAY + 40, 2932896};
    size_t honest = set->count;
    for (size_t n = 1 + draw(draw(40) ? 6 : 100); n; n--) {
        struct claim *claim = add_claim(set, EVIL, kind, ids[0]);
        const struct claim *victim = honest && draw(2) ? &set->claims[draw(honest)] : NULL;
        claim->areas = draw(4) == 0 ? NULL : random_areas(0, grant == GRANT_FOREIGN_AREA ? 4 : 6);
        claim->at_ms = draw(2) ? odd_days[draw(7)] * MS_PER_DAY : claim->at_ms;
        claim->verified = draw(2) ? (int32_t)odd_days[draw(7)] : claim->verified;
        if (draw(2)) {
            claim->confirmed = (int32_t)odd_days[draw(7)];
            claim->confirmed_at_ms = odd_days[draw(7)] * MS_PER_DAY;
        }
        memset(claim->leaf.bytes, draw(2) ? 0xff : 0, HASH_SIZE);
        claim->invalid = false;
        if (victim) {
            claim->body = victim->body;
            claim->source = draw(2) ? victim->source : claim->source;
            claim->role = draw(2) ? victim->role : claim->role;
            claim->on_behalf_of = victim->on_behalf_of;
            claim->areas = draw(2) && grant != GRANT_AREA ? victim->areas : claim->areas;
        }
    }
}

static const char *said_owner(const struct set *set, const struct resolution *result, size_t i)
{
    const struct claim *claim = &set->claims[i];
    bool relation = strcmp(claim->kind, "relation") == 0;
    if (result->standings[i] != CLAIM_COUNTS ||
        (result->judgements[i].pin && result->judgements[i].pin_group != GROUP_IDENTITY))
        return NULL;
    return json_get_string(claim->body, relation ? "from_id" : "organization_id");
}

static unsigned rank_of(const struct policy *policy, const struct set *set, const struct resolution *result,
                        size_t i, enum field_group group)
{
    return claim_place(policy, &set->claims[i], &result->judgements[i], group);
}

static bool owner_says(const char *role)
{
    return strcmp(role, "provider") != 0 && strcmp(role, "resident") != 0;
}

/*
 * Whether [RES-10] leaves the adversary no say in who the owner is: the record is its own owner, or somebody in a better place says
 * it, or somebody says it of whom more is asked than the adversary was granted.
 */
static bool owner_settled(const struct policy *policy, const struct set *set, const struct resolution *result)
{
    unsigned best_honest = UINT32_MAX, best_evil = UINT32_MAX;
    bool evil_other = false, evil_provider = false, honest_other = false, home_provider = false;
    if (strcmp(set->claims[0].kind, "organization") == 0)
        return true;
    for (size_t i = 0; i < set->count; i++) {
        const struct claim *claim = &set->claims[i];
        if (!said_owner(set, result, i))
            continue;
        bool other = owner_says(claim->role), provider = strcmp(claim->role, "provider") == 0;
        bool stale = result->judgements[i].stale >> GROUP_IDENTITY & 1;
        unsigned rank = rank_of(policy, set, result, i, GROUP_IDENTITY);
        evil_other = evil_other || (other && is_evil(claim));
        evil_provider = evil_provider || (provider && is_evil(claim));
        honest_other = honest_other || (other && !is_evil(claim));
        home_provider = home_provider || (provider && result->judgements[i].home && !is_evil(claim));
        if (other && is_evil(claim) && rank < best_evil)
            best_evil = rank;
        if (other && !is_evil(claim) && !stale && rank < best_honest)
            best_honest = rank;
    }
    if (evil_other)
        return best_honest < best_evil;
    return honest_other || home_provider || !evil_provider;
}

/* The home of a record changes only to the adversary, for an area that it was granted and names, and that is not less specific. */
static void check_home(const struct policy *policy, const struct set *set, const struct resolution *with,
                       enum grant grant, size_t round)
{
    const struct policy_origin *origin = policy_origin(policy, EVIL, strlen("evil.example"));
    bool named = false;
    assert_in_round(with->home && strcmp(with->home, "evil.example") == 0);
    assert_in_round(grant == GRANT_AREA);
    for (size_t i = 0; i < set->count; i++) {
        const cJSON *area;
        if (!is_evil(&set->claims[i]) || with->standings[i] != CLAIM_COUNTS || with->judgements[i].pin)
            continue;
        cJSON_ArrayForEach(area, set->claims[i].areas)
        {
            named = named || policy_origin_covers(origin, area->valuestring) > 0;
        }
    }
    assert_in_round(named);
}

/* What others say stands as it stood, and is weighed as it was. */
static void check_honest(const struct set *set, size_t honest, const struct resolution *without,
                         const struct resolution *with, bool roles_too, size_t round)
{
    for (size_t i = 0; i < honest; i++) {
        assert_in_round(set->claims[i].seq != 0 && without->standings[i] == with->standings[i]);
        if (with->standings[i] != CLAIM_COUNTS)
            continue;
        const struct claim_judgement *x = &without->judgements[i], *y = &with->judgements[i];
        assert_in_round(x->verified == y->verified && x->stale == y->stale && x->pin == y->pin);
        assert_in_round(!roles_too || (x->home == y->home && strcmp(x->role, y->role) == 0));
    }
}

/* Whether a claim names no area or at least one that its origin was granted [RES-6]. */
static bool areas_granted(const struct policy_origin *origin, const struct claim *claim)
{
    const cJSON *area;
    bool covered = cJSON_GetArraySize(claim->areas) == 0;
    cJSON_ArrayForEach(area, claim->areas)
    {
        covered = covered || policy_origin_covers(origin, area->valuestring) > 0;
    }
    return covered;
}

/* The adversary's claims that count do so within its grants, pin nothing, and are confirmed no later than today. */
static void check_evil(const struct policy *policy, const struct set *set, const struct resolution *with,
                       size_t round)
{
    const struct policy_origin *origin = policy_origin(policy, EVIL, strlen("evil.example"));
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct claim *claim = &set->claims[i];
        const struct claim_judgement *judgement = &with->judgements[i];
        if (!is_evil(claim) || with->standings[i] != CLAIM_COUNTS)
            continue;
        count++;
        assert_in_round(origin && !origin->suspended);
        assert_in_round(policy_origin_role(origin, claim->role) && policy_origin_kind(origin, claim->kind));
        assert_in_round(areas_granted(origin, claim));
        assert_in_round(!judgement->pin && strncmp(claim->source, "pin-", 4) != 0);
        assert_in_round(judgement->verified <= TODAY && syntax_day_of(claim->at_ms) <= TODAY);
        assert_in_round(strcmp(judgement->role, claim->role) == 0 ||
                        (strcmp(claim->role, "provider") == 0 && strcmp(judgement->role, "resident") == 0));
        for (unsigned group = 0; group < GROUP_COUNT; group++)
            assert_in_round(rank_of(policy, set, with, i, (enum field_group)group) >=
                            policy_rank(policy, (enum field_group)group, claim->role, judgement->home));
        if (strcmp(judgement->role, "provider") == 0)
            assert_in_round(claim->on_behalf_of != NULL);
        if (strcmp(judgement->role, "provider") == 0 && strcmp(claim->kind, "organization") == 0)
            assert_in_round(strcmp(claim->on_behalf_of, claim->id) == 0);
    }
    assert_in_round(count <= CLAIMS_PER_FEED_MAX);
}

/* No field goes to the adversary for which somebody else has a fresh claim in a better place, or a pin; and none passes from one
 * honest claim to another. */
static void check_fields(const struct policy *policy, const struct set *set, const struct resolution *without,
                         const struct resolution *with, size_t round)
{
    for (size_t i = 0; i < without->field_count; i++) {
        const struct resolved_field *was = &without->fields[i], *is = field_named(with, was->name);
        assert_in_round(is != NULL);
        if (!is_evil(&set->claims[is->winner])) {
            assert_in_round(is->winner == was->winner);
            continue;
        }
        unsigned rank = rank_of(policy, set, with, is->winner, is->group);
        for (size_t j = 0; j <= was->other_count; j++) {
            size_t claim = j ? was->others[j - 1] : was->winner;
            bool stale = with->judgements[claim].stale >> is->group & 1;
            assert_in_round(!with->judgements[claim].pin);
            assert_in_round(stale || rank_of(policy, set, with, claim, is->group) >= rank);
        }
    }
}

static void a_peer_gains_nothing(void **state)
{
    size_t settled = 0, won = 0, captured = 0;
    (void)state;
    start("a_peer_gains_nothing");
    for (size_t round = 0; round < 4000; round++) {
        static struct set set;
        enum grant grant = (enum grant)draw(GRANT_COUNT);
        struct policy *policy = random_policy(grant);
        const char *kind = random_kind();
        random_set(&set, kind, ids[0], 1 + draw(7));
        size_t honest = set.count;
        struct resolution *without = resolve(policy, &set, TODAY);
        describe(&before, &set, without, WITH_FIELDS | WITH_NEXT_DAY);
        add_evil_claims(&set, grant, kind);
        struct resolution *with = resolve(policy, &set, TODAY);
        if (grant == GRANT_NONE || grant == GRANT_SUSPENDED) {
            describe(&after, &set, with, WITH_FIELDS | WITH_NEXT_DAY);
            assert_same("an origin that is unknown or suspended", round);
        }
        check_evil(policy, &set, with, round);
        bool same_home = without->home && with->home ? strcmp(without->home, with->home) == 0
                                                     : without->home == with->home;
        bool same_owner = owner_settled(policy, &set, with);
        check_honest(&set, honest, without, with, same_home && same_owner, round);
        if (!same_home) {
            check_home(policy, &set, with, grant, round);
            captured++;
        } else if (same_owner) {
            check_fields(policy, &set, without, with, round);
            settled++;
        }
        for (size_t i = 0; i < with->field_count; i++)
            won += is_evil(&set.claims[with->fields[i].winner]);
        resolution_free(without);
        resolution_free(with);
        policy_release(policy);
        end_round();
    }
    /* The generator is worth its time: most rounds prove something, and the adversary speaks up. */
    assert_true(settled > 2000);
    assert_true(won > 200);
    assert_true(captured > 20);
}

/* ---- inverses ---- */

/* Text of the fields that a pin has no say in. */
static void describe_others(struct text *text, const struct set *set, const struct resolution *result,
                            enum field_group group)
{
    text->size = 0;
    put(text, "home %s\n", result->home ? result->home : "-");
    for (size_t i = 0; i < result->field_count; i++)
        if (result->fields[i].group != group)
            put_field(text, set, &result->fields[i]);
}

/* [RES-7] [RES-8]: a pin changes its group only; once it is taken away or has expired, all is as if it had never been. */
static void pin_and_unpin(void **state)
{
    (void)state;
    start("pin_and_unpin");
    for (size_t round = 0; round < 1500; round++) {
        static struct set set;
        static char source[32];
        struct policy *policy = random_policy(GRANT_AREA);
        const char *kind = draw(4) ? "organization" : "service";
        int32_t last_day = TODAY + (int32_t)draw(50);
        enum field_group group = (enum field_group)draw(GROUP_COUNT);
        random_set(&set, kind, ids[0], 1 + draw(7));
        struct resolution *plain = resolve(policy, &set, TODAY);
        size_t honest = set.count;
        struct claim *pin = add_claim(&set, feeds[draw(4)], kind, ids[0]);
        snprintf(source, sizeof source, "pin-%s", groups[group]);
        pin->source = source;
        pin->at_ms = TODAY * MS_PER_DAY;
        cJSON *body = random_body(kind);
        add_pin(body, last_day);
        pin->body = body;
        struct resolution *pinned = resolve(policy, &set, TODAY);
        if (group != GROUP_IDENTITY || strcmp(kind, "organization") == 0) {
            describe_others(&before, &set, plain, group);
            describe_others(&after, &set, pinned, group);
            assert_same("a pin of another group", round);
        }
        if (pinned->standings[honest] == CLAIM_COUNTS)
            assert_in_round(pinned->next_day != DAY_NONE && pinned->next_day <= last_day + 1);
        describe_on(&after, policy, &set, last_day + 1, WITH_FIELDS | WITH_NEXT_DAY);
        set.count = honest;
        describe_on(&before, policy, &set, last_day + 1, WITH_FIELDS | WITH_NEXT_DAY);
        assert_same("the day after the pin's last", round);
        describe(&before, &set, plain, WITH_ALL);
        shuffle(&set);
        describe_on(&after, policy, &set, TODAY, WITH_ALL);
        assert_same("unpinned", round);
        resolution_free(plain);
        resolution_free(pinned);
        policy_release(policy);
        end_round();
    }
}

/* The policy with one origin suspended or not. */
static struct policy *with_suspended(const struct policy *policy, const char *origin, bool suspended)
{
    size_t size;
    const char *text = policy_text(policy, &size);
    char line[64], *copy = calloc(1, size + 8);
    struct policy *changed = NULL;
    struct fault fault = {""};
    assert_non_null(copy);
    snprintf(line, sizeof line, "\norigin %s ", origin);
    const char *at = strstr(text, line);
    assert_non_null(at);
    at = strstr(at, " suspended=");
    assert_non_null(at);
    const char *rest = strchr(at, '\n');
    assert_non_null(rest);
    snprintf(copy, size + 8, "%.*s suspended=%s%s", (int)(at - text), text, suspended ? "yes" : "no", rest);
    assert_ok(policy_parse(copy, strlen(copy), &changed, &fault));
    free(copy);
    return changed;
}

/* [POL-5]: a suspended origin might as well have said nothing; resumed, it is back with the same hash of policy and the same map. */
static void suspend_and_resume(void **state)
{
    (void)state;
    start("suspend_and_resume");
    for (size_t round = 0; round < 1500; round++) {
        static struct set set, rest;
        struct policy *policy = random_policy(GRANT_AREA);
        const char *feed = feeds[draw(4)];
        char origin[64];
        snprintf(origin, sizeof origin, "%.*s", (int)strcspn(feed, "/"), feed);
        random_set(&set, random_kind(), ids[0], 1 + draw(9));
        struct policy *suspended = with_suspended(policy, origin, true);
        struct policy *resumed = with_suspended(suspended, origin, false);
        rest.count = 0;
        for (size_t i = 0; i < set.count; i++)
            if (strcmp(set.claims[i].feed, feed) != 0)
                rest.claims[rest.count++] = set.claims[i];
        describe_on(&before, suspended, &set, TODAY, WITH_FIELDS | WITH_NEXT_DAY);
        describe_on(&after, policy, &rest, TODAY, WITH_FIELDS | WITH_NEXT_DAY);
        assert_same("suspended", round);
        describe_on(&before, policy, &set, TODAY, WITH_ALL);
        describe_on(&after, resumed, &set, TODAY, WITH_ALL);
        assert_same("resumed", round);
        assert_memory_equal(policy_hash(policy)->bytes, policy_hash(resumed)->bytes, HASH_SIZE);
        policy_release(policy);
        policy_release(suspended);
        policy_release(resumed);
        end_round();
    }
}

/* [LINK-3] [LINK-4]: merged, the claims about an alias keep what they are worth of their own; apart again, both are as before. */
static void link_and_unlink(void **state)
{
    (void)state;
    start("link_and_unlink");
    for (size_t round = 0; round < 1500; round++) {
        static struct set alias, main_record, merged;
        static struct text first, second;
        struct policy *policy = random_policy(GRANT_AREA);
        const char *kind = draw(3) ? "organization" : "service";
        random_set(&alias, kind, ids[0], 1 + draw(5));
        random_set(&main_record, kind, ids[1], 1 + draw(5));
        struct resolution *alone = resolve(policy, &alias, TODAY);
        describe(&first, &alias, alone, WITH_ALL);
        describe_on(&second, policy, &main_record, TODAY, WITH_ALL);
        merged = main_record;
        memcpy(merged.claims + merged.count, alias.claims, alias.count * sizeof *alias.claims);
        merged.count += alias.count;
        struct resolution *one = resolve(policy, &merged, TODAY);
        for (size_t i = 0; i < alias.count && strcmp(kind, "organization") == 0; i++) {
            size_t at = main_record.count + i;
            assert_in_round(alone->standings[i] == one->standings[at]);
            if (one->standings[at] == CLAIM_COUNTS)
                assert_in_round(strcmp(alone->judgements[i].role, one->judgements[at].role) == 0);
        }
        for (size_t i = 0; i < alone->field_count; i++)
            assert_in_round(field_named(one, alone->fields[i].name) != NULL);
        describe(&before, &merged, one, WITH_ALL);
        shuffle(&merged);
        describe_on(&after, policy, &merged, TODAY, WITH_ALL);
        assert_same("merged the other way round", round);
        before = first;
        describe_on(&after, policy, &alias, TODAY, WITH_ALL);
        assert_same("the alias, unlinked", round);
        before = second;
        describe_on(&after, policy, &main_record, TODAY, WITH_ALL);
        assert_same("the main record, unlinked", round);
        resolution_free(alone);
        resolution_free(one);
        policy_release(policy);
        end_round();
    }
}

/* [RES-4] [LINK-1]: who is no steward can neither make nor end a link; a steward's not-same-as takes back his same-as. */
static void links_are_for_stewards(void **state)
{
    (void)state;
    start("links_are_for_stewards");
    for (size_t round = 0; round < 1000; round++) {
        static struct set set;
        struct policy *policy = random_policy(GRANT_NO_AREA);
        const struct policy_origin *origin;
        random_set(&set, "relation", ids[2], 1 + draw(4));
        describe_on(&before, policy, &set, TODAY, WITH_FIELDS);
        size_t honest = set.count;
        bool link = strstr(before.bytes, "type ") && strstr(before.bytes, "same-as");
        add_evil_claims(&set, GRANT_NO_AREA, "relation");
        struct resolution *result = resolve(policy, &set, TODAY);
        for (size_t i = 0; i < set.count; i++) {
            const char *type = json_get_string(set.claims[i].body, "type");
            origin = policy_origin(policy, set.claims[i].feed, strcspn(set.claims[i].feed, "/"));
            if (result->standings[i] == CLAIM_COUNTS && type && strstr(type, "same-as"))
                assert_in_round(origin && origin->steward);
        }
        if (link) {
            describe(&after, &set, result, WITH_FIELDS);
            assert_same("a link that somebody else tampers with", round);
        }
        assert_in_round(honest <= set.count);
        resolution_free(result);
        policy_release(policy);
        end_round();
    }
}

/* ---- next day ---- */

/* [RES-12], over more than a year, day by day. Only the reason why a claim does not count may become another one. */
static void nothing_changes_before_the_next_day(void **state)
{
    size_t changes = 0;
    (void)state;
    start("nothing_changes_before_the_next_day");
    for (size_t round = 0; round < 120; round++) {
        static struct set set;
        struct policy *policy = random_policy(GRANT_AREA);
        random_set(&set, random_kind(), ids[0], 1 + draw(8));
        struct resolution *result = resolve(policy, &set, TODAY);
        int32_t next = result->next_day;
        describe(&before, &set, result, WITH_FIELDS | WITH_NEXT_DAY | WITH_COUNTING);
        resolution_free(result);
        for (int32_t day = TODAY + 1; day < TODAY + 400; day++) {
            result = resolve(policy, &set, day);
            describe(&after, &set, result, WITH_FIELDS | WITH_NEXT_DAY | WITH_COUNTING);
            assert_in_round(result->next_day == DAY_NONE || result->next_day > day);
            if (next == DAY_NONE || day < next)
                assert_same("changed before its next day", round);
            changes += day == next;
            next = result->next_day;
            resolution_free(result);
            before = after;
        }
        policy_release(policy);
        end_round();
    }
    assert_true(changes > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_repetition),   cmocka_unit_test(what_does_not_count_changes_nothing),
        cmocka_unit_test(a_peer_gains_nothing),   cmocka_unit_test(pin_and_unpin),
        cmocka_unit_test(suspend_and_resume),     cmocka_unit_test(link_and_unlink),
        cmocka_unit_test(links_are_for_stewards), cmocka_unit_test(nothing_changes_before_the_next_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
