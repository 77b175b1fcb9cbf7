/*
 * policy.c - who is believed for what: builder, canonical text, look-ups. spec/resolution.md, section
 * "Policy".
 *
 *     kaartd-policy/v1
 *     group contact stale-after=18m order=provider@home,editor@home,...       one line per group, in the
 * enum's order origin nieuwegein.example areas=GM0356 roles=* kinds=* steward=yes suspended=no origin
 * houten.example areas=GM0321 roles=contract,editor kinds=* steward=no suspended=no
 *
 * Origins stand in the order that the configuration gives them, since it decides ties between homes; within a
 * line lists are sorted. One policy has one text [POL-1], so that its hash can be compared.
 */
#include "protocol/policy.h"

#include "protocol/limits.h"
#include "protocol/record.h"
#include "protocol/syntax.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The Netherlands has 342 municipalities; regions, platforms and providers besides. Bounds a hostile text. */
#define ORIGINS_MAX 4096
/* All GM, WK and BU codes of one province fit. */
#define LIST_MAX 4096
#define PERIOD_MAX 1200
#define HEADER "kaartd-policy/v1\n"

enum role {
    ROLE_CONTRACT,
    ROLE_PROVIDER,
    ROLE_EDITOR,
    ROLE_COORDINATOR,
    ROLE_RESIDENT,
    ROLE_IMPORT,
    ROLE_COUNT
};
static const char *const role_names[ROLE_COUNT] = {"contract",    "provider", "editor",
                                                   "coordinator", "resident", "import"};

static const char *const group_names[GROUP_COUNT] = {"identity", "place",       "contact",        "hours",
                                                     "access",   "description", "classification", "status"};

/* [POL-6]. The reasons stand in spec/resolution.md. */
static const struct {
    const char *stale_after;
    const char *order;
} defaults[GROUP_COUNT] = {
    [GROUP_IDENTITY] = {"36m", "editor@home,contract@home,provider@home,coordinator@home,import@home,"
                               "editor,contract,provider,coordinator,import,resident@home,resident"},
    [GROUP_PLACE] = {"24m", "provider@home,editor@home,coordinator@home,contract@home,import@home,"
                            "provider,editor,coordinator,contract,import,resident@home,resident"},
    [GROUP_CONTACT] = {"18m", "provider@home,editor@home,coordinator@home,contract@home,import@home,"
                              "provider,editor,coordinator,contract,import,resident@home,resident"},
    [GROUP_HOURS] = {"12m", "provider@home,coordinator@home,editor@home,contract@home,import@home,"
                            "provider,coordinator,editor,contract,import,resident@home,resident"},
    [GROUP_ACCESS] = {"18m", "contract@home,editor@home,provider@home,coordinator@home,import@home,"
                             "provider,contract,editor,coordinator,import,resident@home,resident"},
    [GROUP_DESCRIPTION] = {"24m", "editor@home,provider@home,coordinator@home,contract@home,import@home,"
                                  "provider,editor,coordinator,contract,import,resident@home,resident"},
    [GROUP_CLASSIFICATION] = {"36m", "editor@home,coordinator@home,contract@home,provider@home,import@home,"
                                     "editor,coordinator,contract,provider,import,resident@home,resident"},
    [GROUP_STATUS] = {"12m", "provider@home,editor@home,contract@home,coordinator@home,import@home,"
                             "provider,editor,contract,coordinator,import,resident@home,resident"},
};

#define PLACES (2 * ROLE_COUNT) /* (role, home) pairs */

struct group_rule {
    unsigned count;
    uint8_t order[PLACES]; /* role * 2 + home */
    uint8_t rank[PLACES];  /* the inverse; `count` for what is unlisted */
    enum { PERIOD_NEVER, PERIOD_DAYS, PERIOD_MONTHS } unit;
    int period;
};

struct policy {
    atomic_uint holders;
    struct group_rule groups[GROUP_COUNT];
    struct policy_origin *origins;
    size_t origin_count;
    const struct policy_origin **by_name;
    char *text;
    size_t text_size;
    struct hash hash;
};

struct policy_builder {
    struct group_rule groups[GROUP_COUNT];
    bool group_given[GROUP_COUNT];
    struct policy_origin *origins;
    size_t origin_count, origin_room;
};

const char *field_group_name(enum field_group group)
{
    return (unsigned)group < GROUP_COUNT ? group_names[group] : "?";
}

int field_group_parse(const char *name, size_t size, enum field_group *group)
{
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        if (strlen(group_names[i]) == size && memcmp(group_names[i], name, size) == 0) {
            *group = (enum field_group)i;
            return KAART_OK;
        }
    }
    return KAART_UNKNOWN;
}

static int role_parse(const char *name, size_t size)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strlen(role_names[i]) == size && memcmp(role_names[i], name, size) == 0)
            return i;
    return -1;
}

bool policy_role_known(const char *role)
{
    return role_parse(role, strlen(role)) >= 0;
}

/* ---- orders and periods ---- */

/* "role" or "role@home" [POL-3]. */
static int place_parse(const char *text, size_t size, struct fault *fault)
{
    const char *at = memchr(text, '@', size);
    size_t role_size = at ? (size_t)(at - text) : size;
    if (at && (size - role_size != 5 || memcmp(at, "@home", 5) != 0))
        return fault_set(fault, KAART_INVALID, "\"%.*s\" is neither ROLE nor ROLE@home [POL-3]", (int)size,
                         text);
    int role = role_parse(text, role_size);
    if (role < 0)
        return fault_set(
            fault, KAART_INVALID,
            "unknown role \"%.*s\": contract, provider, editor, coordinator, resident or import [POL-3]",
            (int)role_size, text);
    return role * 2 + (at != NULL);
}

static int order_add(struct group_rule *rule, const char *text, size_t size, struct fault *fault)
{
    int place = place_parse(text, size, fault);
    if (place < 0)
        return place;
    for (unsigned i = 0; i < rule->count; i++)
        if (rule->order[i] == place)
            return fault_set(fault, KAART_INVALID, "\"%.*s\" stands in the order twice [POL-3]", (int)size,
                             text);
    rule->order[rule->count++] = (uint8_t)place;
    return KAART_OK;
}

/* A comma-separated order; "-" is the empty one. */
static int order_parse(struct group_rule *rule, const char *text, size_t size, struct fault *fault)
{
    rule->count = 0;
    if (size == 1 && *text == '-')
        return KAART_OK;
    for (const char *end = text + size, *p = text;; p++) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        int code = order_add(rule, p, (size_t)(stop - p), fault);
        if (code)
            return code;
        if (!comma)
            return KAART_OK;
        p = comma;
    }
}

static void rule_rank(struct group_rule *rule)
{
    memset(rule->rank, (int)rule->count, sizeof rule->rank);
    for (unsigned i = 0; i < rule->count; i++)
        rule->rank[rule->order[i]] = (uint8_t)i;
}

static int period_number(const char *text, size_t size, int *out)
{
    uint64_t value;
    if (syntax_decimal_parse(text, size, PERIOD_MAX * 31, &value) || value == 0)
        return KAART_SYNTAX;
    *out = (int)value;
    return KAART_OK;
}

/* The canonical form: "18m", "30d", "never". */
static int period_parse_canonical(struct group_rule *rule, const char *text, size_t size)
{
    if (size == 5 && memcmp(text, "never", 5) == 0) {
        rule->unit = PERIOD_NEVER;
        rule->period = 0;
        return KAART_OK;
    }
    if (size < 2 || (text[size - 1] != 'm' && text[size - 1] != 'd') ||
        period_number(text, size - 1, &rule->period))
        return KAART_SYNTAX;
    rule->unit = text[size - 1] == 'm' ? PERIOD_MONTHS : PERIOD_DAYS;
    return rule->unit == PERIOD_MONTHS && rule->period > PERIOD_MAX ? KAART_SYNTAX : KAART_OK;
}

/* What people write: "18 months", "1 year", "30 days", "2 weeks", "never", and the canonical form [POL-4]. */
static int period_parse(struct group_rule *rule, const char *text, struct fault *fault)
{
    static const struct {
        const char *word;
        bool months;
        int factor;
    } units[] = {{"day", false, 1}, {"week", false, 7}, {"month", true, 1}, {"year", true, 12}};
    size_t size = strlen(text), digits = strspn(text, "0123456789");
    if (period_parse_canonical(rule, text, size) == KAART_OK)
        return KAART_OK;
    const char *word = text + digits + strspn(text + digits, " ");
    size_t word_size = strlen(word);
    if (word_size > 1 && word[word_size - 1] == 's')
        word_size--;
    int number;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strlen(units[i].word) != word_size || memcmp(units[i].word, word, word_size) != 0)
            continue;
        if (period_number(text, digits, &number) ||
            number > PERIOD_MAX / (units[i].months ? units[i].factor : 1))
            break;
        rule->unit = units[i].months ? PERIOD_MONTHS : PERIOD_DAYS;
        rule->period = number * units[i].factor;
        return KAART_OK;
    }
    return fault_set(fault, KAART_INVALID,
                     "stale-after \"%s\": write a number of days, weeks, months or years up to 1200 months, "
                     "or never [POL-4]",
                     text);
}

/* ---- lists ---- */

static void list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A sorted copy without repetition. */
static char **list_copy(const char *const *list)
{
    size_t count = 0, kept = 0;
    while (list && list[count])
        count++;
    char **copy = calloc(count + 1, sizeof *copy);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i]) {
            list_free(copy);
            return NULL;
        }
    }
    if (count > 1)
        qsort(copy, count, sizeof *copy, text_compare);
    for (size_t i = 0; i < count; i++) {
        if (kept && strcmp(copy[kept - 1], copy[i]) == 0)
            free(copy[i]);
        else
            copy[kept++] = copy[i];
    }
    if (count)
        copy[kept] = NULL;
    return copy;
}

static bool area_granted(const char *area)
{
    return strcmp(area, "NL") == 0 || syntax_is_area(area, strlen(area));
}

static int lists_check(const char *const *areas, const char *const *roles, const char *const *kinds,
                       struct fault *fault)
{
    size_t i = 0;
    for (; areas && areas[i]; i++)
        if (!area_granted(areas[i]))
            return fault_set(
                fault, KAART_INVALID,
                "area \"%s\" is not a CBS code (GM, WK or BU with 4, 6 or 8 digits) nor NL [POL-5]",
                areas[i]);
    if (i > LIST_MAX)
        return fault_set(fault, KAART_LIMIT, "more than %d areas [POL-5]", LIST_MAX);
    for (i = 0; roles && roles[i]; i++)
        if (!policy_role_known(roles[i]))
            return fault_set(
                fault, KAART_INVALID,
                "unknown role \"%s\": contract, provider, editor, coordinator, resident or import [POL-5]",
                roles[i]);
    for (i = 0; kinds && kinds[i]; i++)
        if (!record_kind_known(kinds[i]))
            return fault_set(fault, KAART_INVALID, "unknown kind \"%s\" (see spec/records.md) [POL-5]",
                             kinds[i]);
    return KAART_OK;
}

static void origin_clear(struct policy_origin *origin)
{
    free(origin->name);
    list_free(origin->areas);
    list_free(origin->roles);
    list_free(origin->kinds);
    memset(origin, 0, sizeof *origin);
}

/* ---- builder ---- */

struct policy_builder *policy_builder_new(void)
{
    struct policy_builder *builder = calloc(1, sizeof *builder);
    if (!builder)
        return NULL;
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        /* Our own constants: cannot fail. */
        (void)order_parse(&builder->groups[i], defaults[i].order, strlen(defaults[i].order), NULL);
        (void)period_parse_canonical(&builder->groups[i], defaults[i].stale_after,
                                     strlen(defaults[i].stale_after));
    }
    return builder;
}

void policy_builder_free(struct policy_builder *builder)
{
    if (!builder)
        return;
    for (size_t i = 0; i < builder->origin_count; i++)
        origin_clear(&builder->origins[i]);
    free(builder->origins);
    free(builder);
}

int policy_builder_group(struct policy_builder *builder, const char *group, const char *const *order,
                         const char *stale_after, struct fault *fault)
{
    enum field_group index;
    if (field_group_parse(group, strlen(group), &index))
        return fault_set(
            fault, KAART_INVALID,
            "unknown group \"%s\": identity, place, contact, hours, access, description, classification or "
            "status [POL-2]",
            group);
    if (builder->group_given[index])
        return fault_set(fault, KAART_INVALID, "group \"%s\" is given twice [POL-2]", group);
    struct group_rule rule = builder->groups[index];
    if (order && order[0]) {
        rule.count = 0;
        for (size_t i = 0; order[i]; i++) {
            int code = order_add(&rule, order[i], strlen(order[i]), fault);
            if (code)
                return code;
        }
    }
    if (stale_after) {
        int code = period_parse(&rule, stale_after, fault);
        if (code)
            return code;
    }
    builder->groups[index] = rule;
    builder->group_given[index] = true;
    return KAART_OK;
}

int policy_builder_origin(struct policy_builder *builder, const char *origin, const char *const *areas,
                          const char *const *roles, const char *const *kinds, bool steward, bool suspended,
                          struct fault *fault)
{
    if (!syntax_is_origin(origin, strlen(origin)))
        return fault_set(fault, KAART_INVALID, "\"%s\" is not an origin (a lower-case DNS name) [POL-5]",
                         origin);
    for (size_t i = 0; i < builder->origin_count; i++)
        if (strcmp(builder->origins[i].name, origin) == 0)
            return fault_set(fault, KAART_INVALID, "origin \"%s\" is given twice [POL-5]", origin);
    if (builder->origin_count >= ORIGINS_MAX)
        return fault_set(fault, KAART_LIMIT, "more than %d origins [POL-5]", ORIGINS_MAX);
    int code = lists_check(areas, roles, kinds, fault);
    if (code)
        return code;
    if (builder->origin_count == builder->origin_room) {
        size_t room = builder->origin_room ? builder->origin_room * 2 : 8;
        void *grown = realloc(builder->origins, room * sizeof *builder->origins);
        if (!grown)
            return fault_set(fault, KAART_NOMEM, "out of memory");
        builder->origins = grown;
        builder->origin_room = room;
    }
    struct policy_origin added = {.place = builder->origin_count, .steward = steward, .suspended = suspended};
    bool some_roles = roles && roles[0], some_kinds = kinds && kinds[0];
    added.name = strdup(origin);
    added.areas = list_copy(areas);
    added.roles = some_roles ? list_copy(roles) : NULL;
    added.kinds = some_kinds ? list_copy(kinds) : NULL;
    if (!added.name || !added.areas || (some_roles && !added.roles) || (some_kinds && !added.kinds)) {
        origin_clear(&added);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    builder->origins[builder->origin_count++] = added;
    return KAART_OK;
}

/* ---- canonical text ---- */

struct text {
    char *bytes;
    size_t size, room;
    bool failed;
};

static void put(struct text *text, const char *piece)
{
    size_t size = strlen(piece);
    if (!text->failed && text->size + size + 1 > text->room) {
        size_t room = (text->size + size + 1) * 2;
        char *grown = realloc(text->bytes, room);
        if (!grown) {
            text->failed = true;
            return;
        }
        text->bytes = grown;
        text->room = room;
    }
    if (!text->failed) {
        memcpy(text->bytes + text->size, piece, size + 1);
        text->size += size;
    }
}

static void put_list(struct text *text, const char *label, char *const *list, const char *none)
{
    put(text, label);
    if (!list || !list[0])
        put(text, none);
    for (size_t i = 0; list && list[i]; i++) {
        put(text, i ? "," : "");
        put(text, list[i]);
    }
}

static void put_group(struct text *text, const char *name, const struct group_rule *rule)
{
    char period[16] = "never";
    if (rule->unit != PERIOD_NEVER)
        snprintf(period, sizeof period, "%d%c", rule->period, rule->unit == PERIOD_MONTHS ? 'm' : 'd');
    put(text, "group ");
    put(text, name);
    put(text, " stale-after=");
    put(text, period);
    put(text, rule->count ? " order=" : " order=-");
    for (unsigned i = 0; i < rule->count; i++) {
        put(text, i ? "," : "");
        put(text, role_names[rule->order[i] / 2]);
        put(text, rule->order[i] % 2 ? "@home" : "");
    }
    put(text, "\n");
}

static int write_text(struct policy *policy)
{
    struct text text = {0};
    put(&text, HEADER);
    for (unsigned i = 0; i < GROUP_COUNT; i++)
        put_group(&text, group_names[i], &policy->groups[i]);
    for (size_t i = 0; i < policy->origin_count; i++) {
        const struct policy_origin *origin = &policy->origins[i];
        put(&text, "origin ");
        put(&text, origin->name);
        put_list(&text, " areas=", origin->areas, "-");
        put_list(&text, " roles=", origin->roles, "*");
        put_list(&text, " kinds=", origin->kinds, "*");
        put(&text, origin->steward ? " steward=yes" : " steward=no");
        put(&text, origin->suspended ? " suspended=yes\n" : " suspended=no\n");
    }
    policy->text = text.bytes;
    policy->text_size = text.size;
    return text.failed ? KAART_NOMEM : KAART_OK;
}

static int origin_compare(const void *a, const void *b)
{
    return strcmp((*(const struct policy_origin *const *)a)->name,
                  (*(const struct policy_origin *const *)b)->name);
}

int policy_builder_finish(struct policy_builder *builder, struct policy **out, struct fault *fault)
{
    struct hasher *hasher = hasher_new();
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy)
        atomic_init(&policy->holders, 1);
    if (!hasher || !policy)
        goto nomem;
    memcpy(policy->groups, builder->groups, sizeof policy->groups);
    for (unsigned i = 0; i < GROUP_COUNT; i++)
        rule_rank(&policy->groups[i]);
    policy->by_name = calloc(builder->origin_count + 1, sizeof *policy->by_name);
    if (!policy->by_name)
        goto nomem;
    policy->origins = builder->origins;
    policy->origin_count = builder->origin_count;
    builder->origins = NULL;
    builder->origin_count = builder->origin_room = 0;
    for (size_t i = 0; i < policy->origin_count; i++)
        policy->by_name[i] = &policy->origins[i];
    if (policy->origin_count > 1)
        qsort(policy->by_name, policy->origin_count, sizeof *policy->by_name, origin_compare);
    if (write_text(policy) || hasher_digest(hasher, policy->text, policy->text_size, &policy->hash))
        goto nomem;
    hasher_free(hasher);
    *out = policy;
    return KAART_OK;
nomem:
    hasher_free(hasher);
    policy_release(policy);
    return fault_set(fault, KAART_NOMEM, "out of memory");
}

const char *policy_text(const struct policy *policy, size_t *size)
{
    if (size)
        *size = policy->text_size;
    return policy->text;
}

const struct hash *policy_hash(const struct policy *policy)
{
    return &policy->hash;
}

/* ---- reading the canonical text ---- */

/* Takes " label=value" from the line and splits the value at commas into `items` (which point into the line).
 */
static int take_value(char **line, const char *label, char **value)
{
    size_t size = strlen(label);
    if ((*line)[0] != ' ' || strncmp(*line + 1, label, size) != 0 || (*line)[1 + size] != '=')
        return KAART_SYNTAX;
    *value = *line + 1 + size + 1;
    *line = *value + strcspn(*value, " ");
    return **value && *value != *line ? KAART_OK : KAART_SYNTAX;
}

/* Cuts a value of `size` bytes into a NULL-terminated list that points into it; `none` is the empty list. */
static int split_value(char *value, size_t size, const char *none, char ***out)
{
    size_t count = 1;
    if (strlen(none) == size && memcmp(value, none, size) == 0) {
        *out = calloc(1, sizeof **out);
        return *out ? KAART_OK : KAART_NOMEM;
    }
    for (size_t i = 0; i < size; i++)
        count += value[i] == ',';
    char **list = calloc(count + 1, sizeof *list);
    if (!list)
        return KAART_NOMEM;
    list[0] = value;
    for (size_t i = 0, n = 1; i < size; i++) {
        if (value[i] == ',') {
            value[i] = '\0';
            list[n++] = value + i + 1;
        }
    }
    value[size] = '\0';
    *out = list;
    return KAART_OK;
}

static int yes_or_no(const char *value, size_t size, bool *out)
{
    *out = size == 3 && memcmp(value, "yes", 3) == 0;
    return *out || (size == 2 && memcmp(value, "no", 2) == 0) ? KAART_OK : KAART_SYNTAX;
}

static int parse_origin(struct policy_builder *builder, char *line, struct fault *fault)
{
    char *name = line, *value[5], **areas = NULL, **roles = NULL, **kinds = NULL;
    static const char *const labels[5] = {"areas", "roles", "kinds", "steward", "suspended"};
    size_t size[5];
    bool steward, suspended;
    line += strcspn(line, " ");
    char *name_end = line;
    for (int i = 0; i < 5; i++) {
        if (take_value(&line, labels[i], &value[i]))
            return fault_set(fault, KAART_SYNTAX, "%s= expected [POL-1]", labels[i]);
        size[i] = (size_t)(line - value[i]);
    }
    if (*line || yes_or_no(value[3], size[3], &steward) || yes_or_no(value[4], size[4], &suspended))
        return fault_set(fault, KAART_SYNTAX,
                         "an origin line ends in steward=yes|no suspended=yes|no [POL-1]");
    *name_end = '\0';
    int code = split_value(value[0], size[0], "-", &areas);
    if (!code)
        code = split_value(value[1], size[1], "*", &roles);
    if (!code)
        code = split_value(value[2], size[2], "*", &kinds);
    if (code)
        fault_set(fault, code, "out of memory");
    else
        code = policy_builder_origin(builder, name, (const char *const *)areas, (const char *const *)roles,
                                     (const char *const *)kinds, steward, suspended, fault);
    free(areas);
    free(roles);
    free(kinds);
    return code;
}

static int parse_group(struct policy_builder *builder, char *line, struct fault *fault)
{
    enum field_group group;
    char *period, *order;
    size_t name_size = strcspn(line, " ");
    if (field_group_parse(line, name_size, &group) || builder->group_given[group])
        return fault_set(fault, KAART_SYNTAX, "unknown or repeated group [POL-2]");
    line += name_size;
    if (take_value(&line, "stale-after", &period))
        return fault_set(fault, KAART_SYNTAX, "stale-after= expected [POL-1]");
    size_t period_size = (size_t)(line - period);
    if (take_value(&line, "order", &order) || *line)
        return fault_set(fault, KAART_SYNTAX, "order= expected at the end [POL-1]");
    if (period_parse_canonical(&builder->groups[group], period, period_size))
        return fault_set(fault, KAART_SYNTAX, "stale-after is <number>m, <number>d or never [POL-4]");
    builder->group_given[group] = true;
    return order_parse(&builder->groups[group], order, strlen(order), fault);
}

static int parse_line(struct policy_builder *builder, char *line, struct fault *fault)
{
    if (strncmp(line, "group ", 6) == 0)
        return parse_group(builder, line + 6, fault);
    if (strncmp(line, "origin ", 7) == 0)
        return parse_origin(builder, line + 7, fault);
    return fault_set(fault, KAART_SYNTAX, "neither a group nor an origin [POL-1]");
}

/* The number, from 1, of the first line in which two texts differ. */
static unsigned first_other_line(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned line = 1;
    for (size_t i = 0; i < a_size && i < b_size && a[i] == b[i]; i++)
        line += a[i] == '\n';
    return line;
}

int policy_parse(const char *text, size_t size, struct policy **out, struct fault *fault)
{
    struct policy_builder *builder = policy_builder_new();
    struct policy *policy = NULL;
    char *copy = strndup(text, size);
    int code = KAART_OK;
    unsigned number = 1;
    if (!builder || !copy) {
        code = fault_set(fault, KAART_NOMEM, "out of memory");
        goto out;
    }
    if (strlen(copy) != size || size == 0 || text[size - 1] != '\n' ||
        strncmp(copy, HEADER, strlen(HEADER)) != 0) {
        code = fault_set(fault, KAART_SYNTAX, "line 1: a policy begins with %.*s and ends with LF [POL-1]",
                         (int)strlen(HEADER) - 1, HEADER);
        goto out;
    }
    for (char *line = copy + strlen(HEADER), *end; *line && !code; line = end + 1) {
        number++;
        end = strchr(line, '\n');
        *end = '\0';
        code = parse_line(builder, line, fault);
    }
    if (code) {
        fault_prefix(fault, "line %u", number);
        code = code == KAART_NOMEM ? code : KAART_SYNTAX;
        goto out;
    }
    code = policy_builder_finish(builder, &policy, fault);
    if (!code && (policy->text_size != size || memcmp(policy->text, text, size) != 0)) {
        code = fault_set(fault, KAART_SYNTAX,
                         "line %u: not in canonical form: groups in order and complete, lists sorted [POL-1]",
                         first_other_line(policy->text, policy->text_size, text, size));
        policy_release(policy);
        policy = NULL;
    }
    if (!code)
        *out = policy;
out:
    policy_builder_free(builder);
    free(copy);
    return code;
}

/* ---- look-ups ---- */

const struct policy_origin *policy_origin(const struct policy *policy, const char *name, size_t size)
{
    size_t low = 0, high = policy->origin_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct policy_origin *origin = policy->by_name[middle];
        int order = strncmp(origin->name, name, size);
        if (order == 0 && origin->name[size])
            order = 1;
        if (order == 0)
            return origin;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool list_has(char *const *list, const char *name)
{
    for (size_t i = 0; list[i]; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

bool policy_origin_role(const struct policy_origin *origin, const char *role)
{
    return !origin->roles || list_has(origin->roles, role);
}

bool policy_origin_kind(const struct policy_origin *origin, const char *kind)
{
    return !origin->kinds || list_has(origin->kinds, kind);
}

/* The digits of a CBS code begin with those of the area that contains it: BU03560101 is in WK035601 is in
 * GM0356. */
static unsigned area_level(const char *area)
{
    return area[0] == 'B' ? 4 : area[0] == 'W' ? 3 : area[0] == 'G' ? 2 : 1;
}

unsigned policy_origin_covers(const struct policy_origin *origin, const char *area)
{
    unsigned best = 0, level = area_level(area);
    for (size_t i = 0; origin->areas[i]; i++) {
        const char *granted = origin->areas[i];
        unsigned granted_level = area_level(granted);
        if (granted_level <= best || granted_level > level)
            continue;
        if (granted_level == 1 || strncmp(granted + 2, area + 2, strlen(granted + 2)) == 0)
            best = granted_level;
    }
    return best;
}

unsigned policy_rank(const struct policy *policy, enum field_group group, const char *role, bool home)
{
    int index = role_parse(role, strlen(role));
    return index < 0 ? policy->groups[group].count : policy->groups[group].rank[index * 2 + home];
}

int32_t policy_stale_from(const struct policy *policy, enum field_group group, int32_t day)
{
    const struct group_rule *rule = &policy->groups[group];
    if (rule->unit == PERIOD_NEVER)
        return DAY_NONE;
    return (rule->unit == PERIOD_DAYS ? day + rule->period : syntax_day_add_months(day, rule->period)) + 1;
}

struct policy *policy_hold(const struct policy *policy)
{
    struct policy *held = (struct policy *)(uintptr_t)policy;
    atomic_fetch_add_explicit(&held->holders, 1, memory_order_relaxed);
    return held;
}

void policy_release(struct policy *policy)
{
    if (!policy || atomic_fetch_sub_explicit(&policy->holders, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < policy->origin_count; i++)
        origin_clear(&policy->origins[i]);
    free(policy->origins);
    free(policy->by_name);
    free(policy->text);
    free(policy);
}
