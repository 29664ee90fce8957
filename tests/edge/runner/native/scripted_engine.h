#ifndef EDGECAT_SCRIPTED_ENGINE_H
#define EDGECAT_SCRIPTED_ENGINE_H

#include "engine.h"

// What a "model" of the scripted engine begins with; `rows` times `classes` outputs follow, of the output's type.
// Without rows the output is the input again, as far as it reaches, over and over.
typedef struct {
    uint32_t input_element, output_element;
    float input_scale;
    int32_t input_zero_point;
    float output_scale;
    int32_t output_zero_point;
    int32_t shape[4], classes;
    uint32_t rows;
    uint32_t failing_row;  // the runtime fails there
} Script;

#endif
