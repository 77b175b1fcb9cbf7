/*
 * documents.h - the records of a file of HSDS JSON, one by one, wherever they stand in it. Pure.
 *
 *   {...}                       one record
 *   [{...}, {...}]              an array of them
 *   {"contents":[{...}, ...]}   a page, or several after each other
 *   {...} LF {...} LF           NDJSON: a broken line spoils only itself
 *
 * The structure around the records is read leniently (trailing commas, byte order mark); the records are not looked into.
 */
#ifndef KAARTD_CTL_DOCUMENTS_H
#define KAARTD_CTL_DOCUMENTS_H

#include "protocol/json.h"

struct document {
    size_t number;       /* from 1 */
    size_t line;         /* of its first byte, from 1 */
    char pointer[32];    /* JSON Pointer to it in the file: "", "/12", "/contents/3" */
    struct span text;    /* empty where `problem` is set */
    const char *problem; /* what is wrong with the file here; NULL for a record */
};

/* Non-zero ends the walk with that code. */
typedef int document_function(void *context, const struct document *document);

/* Calls `each` for every record in order. 0 or what `each` returned. */
int documents_each(const char *text, size_t size, document_function *each, void *context);

#endif
