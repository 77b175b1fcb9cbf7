/*
 * control_proof.c - GET /control/v1/proof?feed=&seq=: a claim with its path and the signed head, which anybody with
 * the feed's key can verify (protocol/proof.h); without seq: the proof that was kept when the feed froze.
 */
#include "daemon/api/control_api_internal.h"
#include "daemon/store/feeds.h"
#include "protocol/proof.h"
#include "protocol/syntax.h"

#include <stdlib.h>
#include <string.h>

/* Path and entry are two reads; if the feed moves between them, they do not fit and are read again. */
#define READS_MAX 5

/* Whether the path leads to the head's root: 1 yes, 0 no, or an error. */
static int path_fits(const struct claim_proof *proof, const struct hash *leaf, const struct feed_head *head)
{
    struct hash root;
    struct hasher *hasher = hasher_new();
    int code =
        hasher ? tree_root_of_path(hasher, proof->position, leaf, proof->siblings, &root) : KAART_NOMEM;
    hasher_free(hasher);
    return code < 0 ? code : hash_equal(&root, &head->checkpoint.root);
}

/* 1: *text is the proof; 0: the feed moved meanwhile; else an error. */
static int read_proof(struct feeds *feeds, struct control_job *job, struct feed_head *head, char **text)
{
    struct claim_proof proof = {.position = job->seq};
    struct hash leaf;
    char *line = NULL;
    size_t size = 0;
    int code = feeds_path(feeds, job->feed, job->seq, proof.siblings, head, &job->fault);
    if (code < 0)
        return code;
    code = feeds_entry_at(feeds, head->id, head->generation, job->seq, &leaf, &line, &size, &job->fault);
    if (code == KAART_OVERTAKEN)
        return 0;
    if (code == KAART_UNKNOWN)
        return fault_set(&job->fault, code, "Position %llu of %s is not live (any more).",
                         (unsigned long long)job->seq, job->feed);
    if (code == 0)
        code = path_fits(&proof, &leaf, head);
    proof.line = (struct span){line, size};
    proof.note = (struct span){head->note, head->note_size};
    if (code == 1)
        code = claim_proof_format(&proof, text, &size) == 0 ? 1 : KAART_NOMEM;
    free(line);
    return code;
}

static void run_proof(struct node_readers *readers, struct control_job *job)
{
    char *text = NULL;
    struct feed_head *head = calloc(1, sizeof(*head));
    int code = head ? 0 : KAART_NOMEM;
    for (int read = 0; code == 0 && read < READS_MAX; read++)
        code = read_proof(readers->feeds, job, head, &text);
    if (code == 0)
        code = fault_set(&job->fault, KAART_BUSY, "The feed changes too fast at the moment; try again.");
    job->code = code < 0 ? code : 0;
    if (code > 0 && (job->result = cJSON_CreateObject())) {
        cJSON_AddStringToObject(job->result, "feed", job->feed);
        cJSON_AddNumberToObject(job->result, "seq", (double)job->seq);
        cJSON_AddStringToObject(job->result, "proof", text);
    }
    free(text);
    free(head);
}

static void run_kept(struct node_readers *readers, struct control_job *job)
{
    char *text = NULL;
    job->code = feeds_proof(readers->feeds, job->feed, &text, &job->fault);
    if (job->code == KAART_UNKNOWN)
        fault_set(&job->fault, job->code,
                  "There is no proof of two histories of %s; kaartctl feeds shows which are frozen.",
                  job->feed);
    if (job->code == 0 && (job->result = cJSON_CreateObject())) {
        cJSON_AddStringToObject(job->result, "feed", job->feed);
        cJSON_AddStringToObject(job->result, "proof", text);
    }
    free(text);
}

void control_proof(struct node *node, struct http_exchange *exchange)
{
    const char *feed = exchange_query(exchange, "feed"), *seq = exchange_query(exchange, "seq");
    uint64_t position = 0;
    if (!feed || !syntax_is_feed(feed, strlen(feed)) ||
        (seq && syntax_decimal_parse(seq, strlen(seq), SEQ_MAX, &position) < 0)) {
        control_problem(exchange, KAART_INVALID, "feed (origin/audience) or seq (a position) is not valid.");
        return;
    }
    struct control_job *job = control_job_new(node, exchange);
    if (!job || !control_job_take(job, &job->feed, feed))
        return;
    job->seq = position;
    job->run = seq ? run_proof : run_kept;
    control_job_post(job);
}
