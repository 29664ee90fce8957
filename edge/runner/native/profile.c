#include "profile.h"

// Of JSON: for a step without its times, for one of those, and for what stands around the steps.
enum { STEP_ROOM = 2 * STEP_NAME + 64, TIME_ROOM = 13, HEAD_ROOM = 128 };
enum { WARM_UP = 5 };

static const uint64_t longest_ns = 99999999999;

static const char *const scopes[] = {"inference", "operator", "delegate", "delegated"};

typedef struct {
    Profile *profile;
    uint32_t run, at;
    bool fits;
} Listener;

static void hear(void *to, const char *name, StepScope scope, uint64_t ns) {
    Listener *listener = to;
    Profile *profile = listener->profile;
    uint32_t at = listener->at++;
    if (at >= MAX_STEPS) {
        listener->fits = false;
        return;
    }
    ProfiledStep *step = &profile->steps[at];
    bool first = listener->run == 0;
    char cut[STEP_NAME];
    snprintf(cut, sizeof cut, "%s", name);
    if (first) {
        profile->count = at + 1;
        memcpy(step->name, cut, sizeof cut);
        step->scope = scope;
    } else if (at >= profile->count || step->scope != scope || strcmp(step->name, cut) != 0) {
        listener->fits = false;
    } else if (listener->run >= WARM_UP) {
        uint64_t *sample = &profile->ns[(size_t)at * profile->runs + listener->run - WARM_UP];
        *sample = ns < longest_ns ? ns : longest_ns;
    }
}

bool profile_make(Profile *profile, uint32_t runs, Fault *fault) {
    if (!engine_step_ns) return true;
    profile->runs = runs;
    profile->steps = calloc(MAX_STEPS, sizeof *profile->steps);
    if (!profile->steps) return refuse(fault, MODEL_REFUSED, "no memory for a profile");
    for (uint32_t run = 0; run < WARM_UP + runs; run++) {
        if (run == WARM_UP) {
            profile->ns = calloc((size_t)profile->count * runs, sizeof *profile->ns);
            if (!profile->ns) return refuse(fault, MODEL_REFUSED, "no memory for a profile");
        }
        Listener listener = {.profile = profile, .run = run, .fits = true};
        if (!engine_profile(hear, &listener, fault)) return fault->code = MODEL_REFUSED, false;
        if (!listener.fits || listener.at != profile->count) {
            return refuse(fault, MODEL_REFUSED, "no profile: over %d steps, or others at every inference", MAX_STEPS);
        }
    }
    return true;
}

void profile_free(Profile *profile) {
    free(profile->steps);
    free(profile->ns);
    profile->steps = NULL;
    profile->ns = NULL;
}

size_t profile_room(const Profile *profile) {
    return HEAD_ROOM + profile->count * (STEP_ROOM + (size_t)profile->runs * TIME_ROOM);
}

// As a JSON string's content. What is no ASCII becomes a question mark.
static size_t write_text(const char *text, char *json) {
    size_t at = 0;
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') json[at++] = '\\';
        json[at++] = *text >= ' ' && *text <= '~' ? *text : '?';
    }
    return at;
}

size_t profile_write(const Profile *profile, char *json) {
    if (!profile->steps) {
        memcpy(json, "null", 4);
        return 4;
    }
    size_t at = (size_t)snprintf(json, HEAD_ROOM, "{\"runs\": %u, \"resolution_ns\": %u, \"steps\": [", profile->runs,
                                 engine_step_ns);
    for (uint32_t i = 0; i < profile->count; i++) {
        const ProfiledStep *step = &profile->steps[i];
        at += (size_t)snprintf(json + at, STEP_ROOM, "%s{\"name\": \"", i ? ", " : "");
        at += write_text(step->name, json + at);
        at += (size_t)snprintf(json + at, STEP_ROOM, "\", \"scope\": \"%s\", \"ns\": [", scopes[step->scope]);
        const uint64_t *ns = profile->ns + (size_t)i * profile->runs;
        for (uint32_t run = 0; run < profile->runs; run++) {
            at += (size_t)snprintf(json + at, TIME_ROOM, "%s%llu", run ? "," : "", (unsigned long long)ns[run]);
        }
        memcpy(json + at, "]}", 2);
        at += 2;
    }
    memcpy(json + at, "]}", 2);
    return at + 2;
}
