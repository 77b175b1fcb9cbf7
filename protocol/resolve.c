/*
 * resolve.c - one record out of all live claims about it. spec/resolution.md.
 *
 *     claims -> standing: does it count at all?          [RES-1] to [RES-8]
 *            -> home: which origin speaks from there     [RES-7]
 *            -> owner: whom a provider may speak for     [RES-10]
 *            -> judgement: role, home, pin, freshness    [RES-8] to [RES-10]
 *            -> per field: the claims that have it, in the group's order; the first one supplies it [RES-11]
 *
 * Every comparison ends in a strict order, so nothing depends on the order in which claims are handed in.
 */
#include "protocol/resolve.h"

#include "protocol/json.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

struct work;

/* A claim that has a field. */
struct candidate {
    const struct work *work; /* for qsort, which takes no context */
    const char *name;
    const cJSON *value;
    size_t claim;
    enum field_group group;
};

/* Where a claim stands in its feed. */
struct place {
    const char *feed; /* borrowed from the claim */
    uint64_t seq;
    size_t claim;
};

struct work {
    const struct policy *policy;
    const struct claim *claims;
    size_t count;
    int32_t day;
    struct resolution *result;
    const struct policy_origin **origins; /* one per claim, NULL: not in the policy */
    int32_t *pin_ends;                    /* one per claim; of a pin, the day after its last */
    struct place *places;                 /* the claims by feed and seq */
    const struct policy_origin *home;
    struct candidate *candidates;
    size_t candidate_count;
};

const char *resolve_rule_name(enum resolve_rule rule)
{
    static const char *const names[] = {"only", "pin", "fresh", "rank", "later", "leaf", "feed"};
    return (unsigned)rule < sizeof names / sizeof *names ? names[rule] : "?";
}

const char *claim_standing_name(enum claim_standing standing)
{
    static const char *const names[] = {
        "counts",           "unknown-origin", "suspended",    "role-not-granted", "kind-not-granted",
        "area-not-granted", "invalid-body",   "unknown-kind", "from-the-future",  "pin-expired",
        "no-steward",       "unknown-role",   "too-many",     "repeated"};
    return (unsigned)standing < sizeof names / sizeof *names ? names[standing] : "?";
}

/* A day after today on which something changes by itself. */
static void change_on(struct work *work, int32_t day)
{
    if (day > work->day && (work->result->next_day == DAY_NONE || day < work->result->next_day))
        work->result->next_day = day;
}

/* ---- standing ---- */

/* [RES-6]: of the areas that a claim names, the origin must hold at least one; a claim that names none speaks
 * for none. */
static unsigned area_level(const struct policy_origin *origin, const cJSON *areas)
{
    unsigned best = 0;
    const cJSON *area;
    cJSON_ArrayForEach(area, areas)
    {
        unsigned level = cJSON_IsString(area) ? policy_origin_covers(origin, area->valuestring) : 0;
        best = level > best ? level : best;
    }
    return best;
}

/* [RES-8]: a pin has a known group, a steward, a reason and a last day. */
static enum claim_standing pin_standing(struct work *work, size_t index)
{
    const struct claim *claim = &work->claims[index];
    struct claim_judgement *judgement = &work->result->judgements[index];
    const char *group = claim->source + strlen(PIN_SOURCE_PREFIX);
    const char *reason = json_get_string(claim->body, "pin_reason"),
               *expires = json_get_string(claim->body, "pin_expires");
    int32_t last_day;
    if (field_group_parse(group, strlen(group), &judgement->pin_group) || !reason || !*reason || !expires ||
        syntax_day_parse(expires, strlen(expires), &last_day))
        return CLAIM_INVALID_BODY;
    if (!work->origins[index]->steward)
        return CLAIM_NO_STEWARD;
    if (last_day < work->day)
        return CLAIM_PIN_EXPIRED;
    judgement->pin = true;
    work->pin_ends[index] = last_day + 1;
    return CLAIM_COUNTS;
}

static bool same_as_type(const struct claim *claim)
{
    const char *type = strcmp(claim->kind, "relation") == 0 ? json_get_string(claim->body, "type") : NULL;
    return type && (strcmp(type, "same-as") == 0 || strcmp(type, "not-same-as") == 0);
}

static enum claim_standing standing_of(struct work *work, size_t index)
{
    const struct claim *claim = &work->claims[index];
    const char *slash = strchr(claim->feed, '/');
    const struct policy_origin *origin =
        policy_origin(work->policy, claim->feed, slash ? (size_t)(slash - claim->feed) : strlen(claim->feed));
    work->origins[index] = origin;
    if (!record_kind_known(claim->kind))
        return CLAIM_UNKNOWN_KIND;
    if (!policy_role_known(claim->role))
        return CLAIM_UNKNOWN_ROLE;
    if (!origin)
        return CLAIM_UNKNOWN_ORIGIN;
    if (origin->suspended)
        return CLAIM_SUSPENDED;
    if (!policy_origin_role(origin, claim->role))
        return CLAIM_ROLE_NOT_GRANTED;
    if (!policy_origin_kind(origin, claim->kind))
        return CLAIM_KIND_NOT_GRANTED;
    if (cJSON_GetArraySize(claim->areas) > 0 && area_level(origin, claim->areas) == 0)
        return CLAIM_AREA_NOT_GRANTED;
    if (claim->invalid || !cJSON_IsObject(claim->body))
        return CLAIM_INVALID_BODY;
    if (syntax_day_of(claim->at_ms) > work->day) {
        change_on(work, syntax_day_of(claim->at_ms));
        return CLAIM_FROM_THE_FUTURE;
    }
    if (same_as_type(claim) && !origin->steward)
        return CLAIM_NO_STEWARD;
    if (strncmp(claim->source, PIN_SOURCE_PREFIX, strlen(PIN_SOURCE_PREFIX)) == 0)
        return pin_standing(work, index);
    return CLAIM_COUNTS;
}

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int feed = strcmp(x->feed, y->feed);
    if (feed)
        return feed;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->claim < y->claim ? -1 : x->claim > y->claim;
}

/* What is handed in again says nothing new [RES-1]; of the rest, those with the lowest seq of each feed count
 * [RES-5]. A claim that does not count anyway keeps its own reason [RES-3]. */
static void drop_surplus(struct work *work)
{
    size_t of_feed = 0;
    for (size_t i = 0; i < work->count; i++)
        work->places[i] = (struct place){work->claims[i].feed, work->claims[i].seq, i};
    if (work->count > 1)
        qsort(work->places, work->count, sizeof *work->places, place_compare);
    for (size_t i = 0; i < work->count; i++) {
        const struct place *before = i ? &work->places[i - 1] : NULL, *place = &work->places[i];
        bool same_feed = before && strcmp(before->feed, place->feed) == 0;
        bool repeated = same_feed && before->seq == place->seq;
        enum claim_standing *standing = &work->result->standings[place->claim];
        of_feed = same_feed ? of_feed + !repeated : 1;
        if (*standing != CLAIM_COUNTS)
            continue;
        if (repeated)
            *standing = CLAIM_REPEATED;
        else if (of_feed > CLAIMS_PER_FEED_MAX)
            *standing = CLAIM_TOO_MANY;
    }
}

/* [RES-4]: where stewards say whether two records are the same, nobody turns that statement into another one.
 */
static void guard_links(struct work *work)
{
    bool link = false;
    for (size_t i = 0; i < work->count; i++)
        link = link || (work->result->standings[i] == CLAIM_COUNTS && same_as_type(&work->claims[i]));
    for (size_t i = 0; link && i < work->count; i++)
        if (work->result->standings[i] == CLAIM_COUNTS && !same_as_type(&work->claims[i]))
            work->result->standings[i] = CLAIM_NO_STEWARD;
}

static void judge_standings(struct work *work)
{
    for (size_t i = 0; i < work->count; i++)
        work->result->standings[i] = standing_of(work, i);
    drop_surplus(work);
    guard_links(work);
    for (size_t i = 0; i < work->count; i++)
        if (work->result->standings[i] == CLAIM_COUNTS && work->result->judgements[i].pin)
            change_on(work, work->pin_ends[i]); /* [RES-12] */
}

/* ---- home, owner ---- */

/* [RES-7]: how specific an area is follows from what the policy grants, never from what a claim names. A pin makes
 * nobody home: it would change the rank of fields that it does not speak for. */
static void find_home(struct work *work)
{
    unsigned best = 0;
    for (size_t i = 0; i < work->count; i++) {
        if (work->result->standings[i] != CLAIM_COUNTS || work->result->judgements[i].pin)
            continue;
        unsigned level = area_level(work->origins[i], work->claims[i].areas);
        if (level > best || (level && level == best && work->origins[i]->place < work->home->place)) {
            best = level;
            work->home = work->origins[i];
        }
    }
}

/* The organisation that a counting claim says its record belongs to; NULL: it does not say, or is a pin of something else. */
static const char *owner_said(const struct work *work, size_t index)
{
    const struct claim *claim = &work->claims[index];
    const struct claim_judgement *judgement = &work->result->judgements[index];
    if (work->result->standings[index] != CLAIM_COUNTS ||
        (judgement->pin && judgement->pin_group != GROUP_IDENTITY))
        return NULL;
    return json_get_string(claim->body, strcmp(claim->kind, "relation") == 0 ? "from_id" : "organization_id");
}

static bool claim_before(const struct work *work, size_t a, size_t b, enum field_group group,
                         enum resolve_rule *rule);

/* What the first of those says who are neither providers nor residents, in the order of identity. */
static const char *owner_by_others(const struct work *work)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < work->count; i++) {
        const char *role = work->claims[i].role;
        if (strcmp(role, "provider") == 0 || strcmp(role, "resident") == 0 || !owner_said(work, i))
            continue;
        if (best == SIZE_MAX || claim_before(work, i, best, GROUP_IDENTITY, NULL))
            best = i;
    }
    return best == SIZE_MAX ? NULL : owner_said(work, best);
}

/* What the providers' claims say, at home or elsewhere, if they all say the same; *any: there are such
 * claims. */
static const char *owner_by_providers(const struct work *work, bool home, bool *any)
{
    const char *owner = NULL;
    bool agree = true;
    *any = false;
    for (size_t i = 0; i < work->count; i++) {
        bool asked =
            strcmp(work->claims[i].role, "provider") == 0 && (work->origins[i] == work->home) == home;
        const char *said = asked ? owner_said(work, i) : NULL;
        if (!said)
            continue;
        agree = agree && (!owner || strcmp(owner, said) == 0);
        owner = said;
        *any = true;
    }
    return agree ? owner : NULL;
}

/* [RES-10]. An organisation's owner is itself, under whichever of its ids the claim was made. */
static const char *find_owner(const struct work *work)
{
    bool any;
    const char *owner = owner_by_others(work);
    if (owner)
        return owner;
    owner = owner_by_providers(work, true, &any);
    return any ? owner : owner_by_providers(work, false, &any);
}

static void judge_roles(struct work *work)
{
    const char *owner = NULL;
    bool looked = false;
    for (size_t i = 0; i < work->count; i++) {
        const struct claim *claim = &work->claims[i];
        struct claim_judgement *judgement = &work->result->judgements[i];
        judgement->role = claim->role;
        if (work->result->standings[i] != CLAIM_COUNTS || strcmp(claim->role, "provider") != 0)
            continue;
        if (!looked && strcmp(claim->kind, "organization") != 0)
            owner = find_owner(work);
        looked = true;
        const char *of = strcmp(claim->kind, "organization") == 0 ? claim->id : owner;
        if (!of || !claim->on_behalf_of || strcmp(of, claim->on_behalf_of) != 0)
            judgement->role = "resident";
    }
}

/* ---- freshness ---- */

/* [RES-9]: nobody confirms for a day after the one on which he says so, and nobody what is said later. */
int32_t claim_verified(const struct claim *claim, int32_t day, int32_t *changes)
{
    int32_t at = syntax_day_of(claim->at_ms), verified = at;
    if (changes)
        *changes = DAY_NONE;
    if (claim->verified != DAY_NONE && claim->verified < at)
        verified = claim->verified;
    if (claim->confirmed == DAY_NONE || claim->excepted || claim->missing_since != DAY_NONE ||
        claim->confirmed_at_ms < claim->at_ms)
        return verified;
    int32_t said = syntax_day_of(claim->confirmed_at_ms),
            confirmed = claim->confirmed < said ? claim->confirmed : said;
    if (said > day) {
        if (changes)
            *changes = said;
        return verified;
    }
    return confirmed > verified ? confirmed : verified;
}

static void judge_freshness(struct work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct claim_judgement *judgement = &work->result->judgements[i];
        if (work->result->standings[i] != CLAIM_COUNTS)
            continue;
        judgement->home = work->origins[i] == work->home;
        int32_t comes;
        judgement->verified = claim_verified(&work->claims[i], work->day, &comes);
        if (comes != DAY_NONE)
            change_on(work, comes);
        for (unsigned group = 0; group < GROUP_COUNT; group++) {
            int32_t from = policy_stale_from(work->policy, (enum field_group)group, judgement->verified);
            if (from != DAY_NONE && from <= work->day)
                judgement->stale |= 1u << group;
        }
    }
}

/* ---- order ---- */

unsigned claim_place(const struct policy *policy, const struct claim *claim,
                     const struct claim_judgement *judgement, enum field_group group)
{
    unsigned weighed = policy_rank(policy, group, judgement->role, judgement->home);
    unsigned spoken = policy_rank(policy, group, claim->role, judgement->home);
    return weighed > spoken ? weighed : spoken;
}

/* Whether claim `a` goes before `b` in a group, and by which rule. Strict for two different claims. [RES-11]
 */
static bool claim_before(const struct work *work, size_t a, size_t b, enum field_group group,
                         enum resolve_rule *rule)
{
    const struct claim *x = &work->claims[a], *y = &work->claims[b];
    const struct claim_judgement *jx = &work->result->judgements[a], *jy = &work->result->judgements[b];
    enum resolve_rule unused = RULE_ONLY;
    rule = rule ? rule : &unused;
    bool stale_x = jx->stale >> group & 1, stale_y = jy->stale >> group & 1;
    unsigned rank_x = claim_place(work->policy, x, jx, group);
    unsigned rank_y = claim_place(work->policy, y, jy, group);
    *rule = RULE_PIN;
    if (jx->pin != jy->pin)
        return jx->pin;
    *rule = RULE_FRESH;
    if (stale_x != stale_y)
        return stale_y;
    *rule = RULE_RANK;
    if (rank_x != rank_y)
        return rank_x < rank_y;
    *rule = RULE_LATER;
    if (x->at_ms != y->at_ms)
        return x->at_ms > y->at_ms;
    *rule = RULE_LEAF;
    int leaf = memcmp(x->leaf.bytes, y->leaf.bytes, HASH_SIZE);
    if (leaf)
        return leaf > 0;
    *rule = RULE_FEED;
    int feed = strcmp(x->feed, y->feed);
    return feed ? feed < 0 : x->seq < y->seq;
}

static int candidate_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int name = strcmp(x->name, y->name);
    if (name || x->claim == y->claim)
        return name;
    return claim_before(x->work, x->claim, y->claim, x->group, NULL) ? -1 : 1;
}

/* ---- fields ---- */

static int collect_candidates(struct work *work)
{
    size_t room = 0;
    for (size_t i = 0; i < work->count; i++)
        if (work->result->standings[i] == CLAIM_COUNTS)
            room += (size_t)cJSON_GetArraySize(work->claims[i].body);
    work->candidates = calloc(room + 1, sizeof *work->candidates);
    if (!work->candidates)
        return KAART_NOMEM;
    for (size_t i = 0; i < work->count; i++) {
        const struct claim_judgement *judgement = &work->result->judgements[i];
        if (work->result->standings[i] != CLAIM_COUNTS)
            continue;
        for (const cJSON *value = work->claims[i].body->child; value; value = value->next) {
            if (record_member_reserved(value->string))
                continue;
            enum field_group group = field_group_of(work->claims[i].kind, value->string);
            if (!judgement->pin || judgement->pin_group == group)
                work->candidates[work->candidate_count++] =
                    (struct candidate){work, value->string, value, i, group};
        }
    }
    if (work->candidate_count > 1)
        qsort(work->candidates, work->candidate_count, sizeof *work->candidates, candidate_compare);
    return KAART_OK;
}

/* The days on which one of several claims about a field becomes stale. */
static void field_changes_on(struct work *work, const struct candidate *first, size_t count)
{
    for (size_t i = 0; i < count && count > 1; i++) {
        int32_t verified = work->result->judgements[first[i].claim].verified;
        int32_t from = policy_stale_from(work->policy, first[i].group, verified);
        if (from != DAY_NONE)
            change_on(work, from);
    }
}

static void decide_field(struct work *work, const struct candidate *first, size_t count,
                         struct resolved_field *field, size_t *others)
{
    field->name = first->name;
    field->value = first->value;
    field->group = first->group;
    field->rule = RULE_ONLY;
    field->winner = first->claim;
    field->others = others;
    field->other_count = count - 1;
    if (count > 1)
        (void)claim_before(work, first[0].claim, first[1].claim, first->group, &field->rule);
    for (size_t i = 1; i < count; i++) {
        others[i - 1] = first[i].claim;
        field->differs = field->differs || !json_equal(first->value, first[i].value);
    }
    field_changes_on(work, first, count);
}

static int decide_fields(struct work *work)
{
    struct resolution *result = work->result;
    result->fields = calloc(work->candidate_count + 1, sizeof *result->fields);
    result->pool = calloc(work->candidate_count + 1, sizeof *result->pool);
    if (!result->fields || !result->pool)
        return KAART_NOMEM;
    size_t pooled = 0;
    for (size_t i = 0, next; i < work->candidate_count; i = next) {
        for (next = i + 1; next < work->candidate_count; next++)
            if (strcmp(work->candidates[i].name, work->candidates[next].name) != 0)
                break;
        decide_field(work, &work->candidates[i], next - i, &result->fields[result->field_count++],
                     result->pool + pooled);
        pooled += next - i - 1;
    }
    return KAART_OK;
}

int resolve_record(const struct policy *policy, const struct claim *claims, size_t count, int32_t day,
                   struct resolution **out)
{
    struct work work = {.policy = policy, .claims = claims, .count = count, .day = day};
    struct resolution *result = work.result = calloc(1, sizeof *result);
    int code = KAART_NOMEM;
    if (!result)
        return KAART_NOMEM;
    result->next_day = DAY_NONE;
    result->standings = calloc(count + 1, sizeof *result->standings);
    result->judgements = calloc(count + 1, sizeof *result->judgements);
    work.origins = calloc(count + 1, sizeof *work.origins);
    work.pin_ends = calloc(count + 1, sizeof *work.pin_ends);
    work.places = calloc(count + 1, sizeof *work.places);
    if (!result->standings || !result->judgements || !work.origins || !work.pin_ends || !work.places)
        goto out;
    judge_standings(&work);
    find_home(&work);
    if (work.home && !(result->home = strdup(work.home->name)))
        goto out;
    for (size_t i = 0; i < count; i++)
        result->judgements[i].role = claims[i].role;
    judge_freshness(&work);
    judge_roles(&work);
    code = collect_candidates(&work);
    if (!code)
        code = decide_fields(&work);
out:
    free(work.candidates);
    free(work.origins);
    free(work.pin_ends);
    free(work.places);
    if (code)
        resolution_free(result);
    else
        *out = result;
    return code;
}

void resolution_free(struct resolution *resolution)
{
    if (!resolution)
        return;
    free(resolution->fields);
    free(resolution->pool);
    free(resolution->standings);
    free(resolution->judgements);
    free(resolution->home);
    free(resolution);
}
