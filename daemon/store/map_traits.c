/*
 * map_traits.c - what of a record speaks for its being another one: identifiers, name and postcode, telephone numbers, websites,
 * each brought into one form. spec/resolution.md, section "Likely duplicates".
 */
#include "daemon/store/map_duplicates.h"

#include "protocol/json.h"
#include "protocol/limits.h"
#include "protocol/record.h"
#include "protocol/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A subscriber's number has 10 digits in the Netherlands, abroad up to 15; shorter ones (112, 14 030) are nobody's own. */
#define PHONE_DIGITS_MIN 9
#define PHONE_DIGITS_MAX 15
#define BIGRAMS_MAX TRAIT_SIZE_MAX
/* A word of all in another name says something from this size on. */
#define CONTAINED_SIZE_MIN 4
#define CONTAINED_SIMILARITY 80

/* Cuts before the first byte that is not UTF-8: a text that was cut may end in half a letter. */
static void whole_letters(char *text)
{
    size_t left = strlen(text), step;
    for (; left && (step = utf8_step(text, left, NULL)); left -= step)
        text += step;
    *text = '\0';
}

static void add(struct traits *traits, enum trait_type type, const char *prefix, const char *value)
{
    struct trait *trait = &traits->items[traits->count];
    if (traits->count == TRAITS_MAX || !*value)
        return;
    trait->type = type;
    snprintf(trait->value, sizeof trait->value, "%.32s%.120s", prefix, value);
    whole_letters(trait->value);
    if (!traits_have(traits, type, trait->value))
        traits->count++;
}

bool traits_have(const struct traits *traits, enum trait_type type, const char *value)
{
    for (size_t i = 0; i < traits->count; i++)
        if (traits->items[i].type == type && strcmp(traits->items[i].value, value) == 0)
            return true;
    return false;
}

/* ---- names ---- */

/* The letter without its accent, of Latin-1 and Latin Extended-A; 0: no letter of these. */
static char base_letter(uint32_t code)
{
    static const char latin1[] = "aaaaaaaceeeeiiiidnooooo0ouuuuytsaaaaaaaceeeeiiiidnooooo0ouuuuyty";
    static const char extended[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
                                   "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
    char letter = 0;
    if (code < 0x80)
        return isalnum((int)code) ? (char)tolower((int)code) : 0;
    if (code >= 0xc0 && code < 0xc0 + sizeof latin1 - 1)
        letter = latin1[code - 0xc0];
    else if (code >= 0x100 && code < 0x100 + sizeof extended - 1)
        letter = extended[code - 0x100];
    return letter == '0' ? 0 : letter;
}

static bool means_nothing(const char *word, size_t size)
{
    static const char *const words[] = {"stichting", "vereniging", "cooperatie", "bv",  "nv",  "vof",
                                        "de",        "het",        "een",        "the", "van", "en"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
            return true;
    return false;
}

/* Letters and digits in words with one blank between; a full stop or apostrophe joins ("B.V." is "bv"). Letters of other scripts stay as they are. */
static void plain_words(const char *text, char out[TRAIT_SIZE_MAX])
{
    size_t left = strlen(text), used = 0, step;
    uint32_t code = 0;
    for (; left && used + 5 < TRAIT_SIZE_MAX; text += step, left -= step) {
        step = utf8_step(text, left, &code);
        if (!step)
            break;
        char letter = base_letter(code);
        if (letter) {
            out[used++] = letter;
        } else if (code > 0x24f && code != 0x2019 && code != 0x2013 && code != 0x2014) {
            memcpy(out + used, text, step);
            used += step;
        } else if (code != '.' && code != '\'' && code != 0x2019 && used && out[used - 1] != ' ') {
            out[used++] = ' ';
        }
    }
    while (used && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}

void name_normalise(const char *text, char out[TRAIT_SIZE_MAX])
{
    char words[TRAIT_SIZE_MAX];
    size_t used = 0;
    plain_words(text, words);
    for (const char *word = words, *end; *word; word = *end ? end + 1 : end) {
        end = word + strcspn(word, " ");
        size_t size = (size_t)(end - word);
        if (means_nothing(word, size))
            continue;
        if (used)
            out[used++] = ' ';
        memcpy(out + used, word, size);
        used += size;
    }
    out[used] = '\0';
    if (!used) /* "De Vereniging" is a name too */
        memcpy(out, words, TRAIT_SIZE_MAX);
}

/* Whether all words of the shorter name are in the longer one. */
static bool contained(const char *words, const char *in)
{
    for (const char *word = words, *end; *word; word = *end ? end + 1 : end) {
        bool found = false;
        end = word + strcspn(word, " ");
        size_t size = (size_t)(end - word);
        for (const char *other = in, *stop; *other && !found; other = *stop ? stop + 1 : stop) {
            stop = other + strcspn(other, " ");
            found = (size_t)(stop - other) == size && memcmp(word, other, size) == 0;
        }
        if (!found)
            return false;
    }
    return true;
}

int name_similarity(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b), common = 0;
    bool taken[BIGRAMS_MAX] = {false};
    if (!a_size || !b_size)
        return 0;
    if (strcmp(a, b) == 0)
        return 100;
    if (a_size > b_size)
        return name_similarity(b, a);
    /* What is far longer cannot share enough, unless it has all the words. */
    bool within = a_size >= CONTAINED_SIZE_MIN && contained(a, b);
    for (size_t i = 0; a_size * 3 >= b_size && i + 1 < a_size; i++)
        for (size_t j = 0; j + 1 < b_size; j++)
            if (!taken[j] && a[i] == b[j] && a[i + 1] == b[j + 1]) {
                taken[j] = true;
                common++;
                break;
            }
    int dice = a_size + b_size > 2 ? (int)(200 * common / (a_size + b_size - 2)) : 0;
    if (dice > 99)
        dice = 99;
    return within && dice < CONTAINED_SIMILARITY ? CONTAINED_SIMILARITY : dice;
}

/* ---- numbers and sites ---- */

void phone_normalise(const char *text, char out[TRAIT_SIZE_MAX])
{
    char digits[TRAIT_SIZE_MAX];
    size_t count = 0;
    bool abroad = false;
    for (; *text && count < PHONE_DIGITS_MAX + 5; text++) {
        if (strncmp(text, "(0)", 3) == 0)
            text += 2;
        else if (*text == '+' && !count)
            abroad = true;
        else if (isdigit((unsigned char)*text))
            digits[count++] = *text;
        else if (isalpha((unsigned char)*text))
            break; /* "030 1234567 tst 12" */
    }
    digits[count] = '\0';
    out[0] = '\0';
    const char *from = digits;
    if (!abroad && strncmp(digits, "00", 2) == 0) {
        abroad = true;
        from += 2;
    }
    if (abroad && strncmp(from, "31", 2) == 0)
        snprintf(out, TRAIT_SIZE_MAX, "0%.20s", from[2] == '0' ? from + 3 : from + 2);
    else
        snprintf(out, TRAIT_SIZE_MAX, "%s%.24s", abroad ? "+" : "", from);
    if (strlen(out) < PHONE_DIGITS_MIN || strlen(out) > PHONE_DIGITS_MAX + 1)
        out[0] = '\0';
}

void website_normalise(const char *text, char out[TRAIT_SIZE_MAX])
{
    const char *scheme = strstr(text, "://");
    if (scheme)
        text = scheme + 3;
    if (strncasecmp(text, "www.", 4) == 0)
        text += 4;
    size_t size = strcspn(text, "?# "), host = strcspn(text, "/?# ");
    while (size && text[size - 1] == '/')
        size--;
    if (size >= TRAIT_SIZE_MAX)
        size = TRAIT_SIZE_MAX - 1;
    memcpy(out, text, size);
    out[size] = '\0';
    for (size_t i = 0; i < host && i < size; i++)
        out[i] = (char)tolower((unsigned char)out[i]);
    if (!memchr(text, '.', host))
        out[0] = '\0';
}

/* ---- of a record ---- */

static void add_identifiers(struct traits *traits, const char *kind, const cJSON *record)
{
    /* A location's KVK number is its organisation's; a BAG object has tenants [ID-3]. */
    static const char *const all[] = {"kvk", "rsin", "oin", "agb", "ura", "vestigingsnummer", NULL},
                             *const location[] = {"vestigingsnummer", "agb", NULL};
    for (const char *const *scheme = strcmp(kind, "location") == 0 ? location : all; *scheme; scheme++) {
        const char *value = record_identifier(record, *scheme);
        if (value && record_identifier_valid(*scheme, value)) {
            char prefix[NAME_MAX_SIZE + 1];
            snprintf(prefix, sizeof prefix, "%s ", *scheme);
            add(traits, TRAIT_IDENTIFIER, prefix, value);
        }
    }
}

static void add_phone(struct traits *traits, const char *number)
{
    char normal[TRAIT_SIZE_MAX];
    if (!number)
        return;
    phone_normalise(number, normal);
    add(traits, TRAIT_PHONE, "", normal);
}

static void add_website(struct traits *traits, const cJSON *site)
{
    char normal[TRAIT_SIZE_MAX];
    if (!cJSON_IsString(site))
        return;
    website_normalise(site->valuestring, normal);
    add(traits, TRAIT_WEBSITE, "", normal);
}

static void add_postcode(struct traits *traits, const char *text)
{
    char code[16];
    size_t used = 0;
    for (; text && *text && used < sizeof code - 1; text++)
        if (isalnum((unsigned char)*text))
            code[used++] = (char)toupper((unsigned char)*text);
    code[used] = '\0';
    if (used >= 4)
        add(traits, TRAIT_POSTCODE, "", code);
}

void traits_of(const char *kind, const cJSON *record, struct traits *out)
{
    const cJSON *item, *list;
    const char *name = record_name(kind, record);
    out->count = 0;
    out->name[0] = '\0';
    if (name)
        name_normalise(name, out->name);
    add_identifiers(out, kind, record);
    list = json_get(record, "addresses");
    cJSON_ArrayForEach(item, list)
    {
        add_postcode(out, json_get_string(item, "postal_code"));
    }
    list = json_get(record, "phones");
    cJSON_ArrayForEach(item, list)
    {
        add_phone(out, json_get_string(item, "number"));
    }
    add_website(out, json_get(record, "website"));
    add_website(out, json_get(record, "url"));
    list = json_get(record, "websites");
    cJSON_ArrayForEach(item, list)
    {
        add_website(out, item);
    }
}
