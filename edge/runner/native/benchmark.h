// Single inferences timed inside the process.
#ifndef EDGECAT_BENCHMARK_H
#define EDGECAT_BENCHMARK_H

#include "classifier.h"
#include "frames.h"

enum { MAX_SAMPLES = (MAX_PAYLOAD - 32) / 8 };

// Measures what the frame asks for and writes the MEASUREMENT to the stream's payload. `gone`: nobody waits for it any
// more, so it was given up.
bool benchmark_run(Classifier *classifier, const Options *options, const Frame *frame, Stream *stream, size_t *length,
                   bool *gone, Fault *fault);

#endif
