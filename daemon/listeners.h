/*
 * listeners.h - the addresses on which the node answers: those of the configuration and the control socket.
 * Loop thread only.
 */
#ifndef KAARTD_DAEMON_LISTENERS_H
#define KAARTD_DAEMON_LISTENERS_H

#include "daemon/node.h"

struct listeners;

/* Starts all, or none. 0, KAART_IO, KAART_KEY or KAART_NOMEM with the address in the text. */
int listeners_start(struct node *node, struct listeners **out, struct fault *fault);
/* After node->config was replaced: new ones start, others stop, unchanged ones read their certificate anew.
 * What fails is logged and the rest goes on. */
void listeners_reload(struct listeners *listeners);
/* Stops listening, lets running answers end, then calls stopped(context); freed then. */
void listeners_stop(struct listeners *listeners, void (*stopped)(void *context), void *context);

#endif
