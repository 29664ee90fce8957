// From an app's pixels to the model's input: one table of 256 values for each channel.
#ifndef EDGECAT_INPUT_TABLE_H
#define EDGECAT_INPUT_TABLE_H

#include "engine.h"
#include "options.h"

typedef struct {
    Element element;
    uint32_t channels;                // 1 where all channels share one table and stand in the image's order
    size_t pixels;                    // of each channel
    size_t channel_step, pixel_step;  // in the model's input
    bool shifts;                      // the table is a sum modulo 256: pixel + bytes[0]
    void *values;                     // uint8_t or float [channels][256]
} InputTable;

// False: no memory.
bool input_table_make(InputTable *table, const Options *options, const Tensor *input);

void input_table_free(InputTable *table);

// One image [height][width][channels] to the model's input.
void input_table_apply(const InputTable *table, const uint8_t *image, void *input);

#endif
