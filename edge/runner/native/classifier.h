// A loaded model that takes images and gives logits.
#ifndef EDGECAT_CLASSIFIER_H
#define EDGECAT_CLASSIFIER_H

#include "engine.h"
#include "input_table.h"
#include "options.h"
#include "profile.h"

typedef struct {
    Tensor input, output;
    InputTable table;
    uint32_t classes;
    float *logits;  // [classes], of the last image
    PolicyRoom room;
    uint64_t load_ns, first_ns;
    Profile profile;
} Classifier;

// Loads the model, checks that it fits the options and runs it once on a black image; profiles it if the options say so.
bool classifier_load(Classifier *classifier, const Options *options, const void *model, size_t bytes, Fault *fault);

// Of the engine; what it keeps itself stays.
void classifier_free(Classifier *classifier);

// The output of the engine's last run to `logits`; INFERENCE_FAILED where one is no finite number.
bool classifier_logits(Classifier *classifier, Fault *fault);

#endif
