// The command line (docs/protocol.md, "Starting a runner").
#ifndef EDGECAT_OPTIONS_H
#define EDGECAT_OPTIONS_H

#include "fault.h"
#include "policy.h"

enum { MAX_CPUS = 1024 };

typedef struct {
    const char *runtime, *model, *sha256;
    uint32_t height, width, channels;
    double *mean, *std;  // one for each channel
    bool planar;         // layout nchw
    Policy policy;
    uint32_t threads;
    uint32_t profile;  // inferences under the runtime's profiler; 0: none
    bool pinned;
    unsigned long cpus[MAX_CPUS / (8 * sizeof(unsigned long))];
} Options;

typedef enum {
    OPTIONS_READ,
    OPTIONS_USAGE,    // exit code 2, no frame
    OPTIONS_REFUSED,  // an ERROR frame
} OptionsStatus;

extern const char options_usage[];

// `words` are those after the program's name, and stay in use. What a failed call allocated is given back.
OptionsStatus options_read(int count, char **words, Options *options, Fault *fault);

void options_free(Options *options);

static inline size_t image_bytes(const Options *options) {
    return (size_t)options->height * options->width * options->channels;
}

#endif
