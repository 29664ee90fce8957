// What an inference is made of, by the runtime's own profiler. Such inferences are slower: none of them is an answer.
#ifndef EDGECAT_PROFILE_H
#define EDGECAT_PROFILE_H

#include "engine.h"

// So many that even the longest profile fits a frame.
enum { MAX_STEPS = 2048, STEP_NAME = 96, MAX_PROFILE_RUNS = 1000 };

typedef struct {
    char name[STEP_NAME];
    StepScope scope;
} ProfiledStep;

typedef struct {
    uint32_t runs, count;
    ProfiledStep *steps;  // [count], in the order of one inference; NULL where none was asked for, or can be had
    uint64_t *ns;         // [count][runs]
} Profile;

// Runs the loaded model so often under the profiler, some times more to warm up. A runtime without a profiler is no
// fault: the profile stays empty.
bool profile_make(Profile *profile, uint32_t runs, Fault *fault);

void profile_free(Profile *profile);

// Bytes that `profile_write` needs at most.
size_t profile_room(const Profile *profile);

// The profile as JSON: an object, or null where there is none. Gives its length.
size_t profile_write(const Profile *profile, char *json);

#endif
