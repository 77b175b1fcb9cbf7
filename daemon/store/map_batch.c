/*
 * map_batch.c - the records that a pass touched, each once, with the claims about them that are in memory already.
 */
#include "daemon/store/map_batch.h"

#include <stdlib.h>

static size_t *slot_of(struct batch *batch, int64_t record)
{
    size_t slot = (size_t)((uint64_t)record * 0x9e3779b97f4a7c15ULL) & (batch->slot_count - 1);
    while (batch->slots[slot] && batch->touched[batch->slots[slot] - 1].record != record)
        slot = (slot + 1) & (batch->slot_count - 1);
    return &batch->slots[slot];
}

static int grow_touched(struct batch *batch, struct fault *fault)
{
    size_t room = batch->touched_room ? batch->touched_room * 2 : 256;
    struct touched *grown = realloc(batch->touched, room * sizeof *grown);
    if (grown)
        batch->touched = grown;
    size_t *slots = calloc(room * 2, sizeof *slots);
    if (!grown || !slots) {
        free(slots);
        return fault_set(fault, KAART_NOMEM, "out of memory");
    }
    free(batch->slots);
    batch->slots = slots;
    batch->slot_count = room * 2;
    batch->touched_room = room;
    for (size_t i = 0; i < batch->touched_count; i++)
        *slot_of(batch, batch->touched[i].record) = i + 1;
    return KAART_OK;
}

int batch_touch(struct batch *batch, int64_t record, struct loaded *parsed, struct fault *fault)
{
    if (batch->touched_count == batch->touched_room) {
        int code = grow_touched(batch, fault);
        if (code)
            return code;
    }
    size_t *slot = slot_of(batch, record);
    if (!*slot) {
        batch->touched[batch->touched_count++] = (struct touched){record, NULL};
        *slot = batch->touched_count;
    }
    if (parsed) {
        parsed->next = batch->touched[*slot - 1].parsed;
        batch->touched[*slot - 1].parsed = parsed;
    }
    return KAART_OK;
}

void batch_forget_touched(struct batch *batch)
{
    for (size_t i = 0; i < batch->touched_count; i++) {
        for (struct loaded *item = batch->touched[i].parsed, *next; item; item = next) {
            next = item->next;
            loaded_clear(item);
            free(item);
        }
    }
    free(batch->touched);
    free(batch->slots);
    batch->touched = NULL;
    batch->slots = NULL;
    batch->touched_count = batch->touched_room = batch->slot_count = 0;
}

int batch_resolve_touched(struct batch *batch, struct fault *fault)
{
    int code = KAART_OK;
    for (size_t i = 0; i < batch->touched_count && !code; i++) {
        bool incomplete = false;
        code = map_resolve_record(batch->map, batch->touched[i].record, batch->policy, batch->day,
                                  batch->touched[i].parsed, &incomplete, fault);
    }
    batch_forget_touched(batch);
    return code;
}
