/*
 * source_page.h - one page of a foreign listing: is it one, where are its rows, and which page comes next. No
 * I/O; any thread.
 */
#ifndef KAARTD_SOURCE_SOURCE_PAGE_H
#define KAARTD_SOURCE_SOURCE_PAGE_H

#include "daemon/source/mapping.h"
#include "protocol/json.h"

/* Pages of one run: 100,000 rows at ten a page. */
#define SOURCE_PAGES_MAX 10000
/* Length of a URL: what servers accept. */
#define SOURCE_URL_MAX 4096
/* Members of one object: rows by name among them. The check for duplicates compares them all, which bounds
 * what is sensible. */
#define SOURCE_MEMBERS_MAX 20000

/* How far a listing was read. */
struct page_walk {
    size_t pages, rows; /* read so far, this page included */
    size_t page_rows;   /* on this page */
};

/* The URL of the first page. `url` as configured. KAART_INVALID for one that is no URL. */
int page_first_url(const char *url, const struct mapping_listing *listing, char out[SOURCE_URL_MAX],
                   struct fault *fault);

/*
 * Checks a page's bytes and finds its rows. `content_type` may be NULL. KAART_INVALID: this is no listing
 * (HTML, no JSON, other shape), the text says what it looks like; KAART_NOMEM. `rows` points into `text`; each row of a list is still to be checked by json_check_document.
 */
int page_open(const char *text, size_t size, const char *content_type, const struct mapping_listing *listing,
              struct span *rows, struct fault *fault);

/* The next row; false at the end. Start with *offset 0. */
bool page_row(const struct mapping_listing *listing, struct span rows, size_t *offset, struct span *row);

/*
 * The URL of the next page, "" at the end. `url`: of this page; `link`: its Link header or NULL.
 * KAART_INVALID: another origin (the token would go there), no URL, or the end came too early or too late:
 * fewer rows than the register says it has.
 */
int page_next_url(const char *url, const char *text, size_t size, const char *link,
                  const struct mapping_listing *listing, const struct page_walk *walk,
                  char out[SOURCE_URL_MAX], struct fault *fault);

#endif
