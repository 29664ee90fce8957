#include "options.h"

#include "frames.h"
#include "profile.h"

const char options_usage[] =
    "usage: runner --runtime=R --model=PATH --sha256=HEX --image=HEIGHT,WIDTH,CHANNELS --mean=M,... --std=S,...\n"
    "              --layout=nhwc|nchw [--policy=P] [--threads=N] [--cpus=0,2-3] [--profile=RUNS]\n";

enum { MAX_THREADS = 256 };

typedef enum { RUNTIME, MODEL, SHA256, IMAGE, MEAN, STD, LAYOUT, POLICY, THREADS, CPUS, PROFILE, OPTIONS } Name;

static const char *const names[OPTIONS] = {"runtime", "model",  "sha256",  "image", "mean",   "std",
                                           "layout",  "policy", "threads", "cpus",  "profile"};

static bool split(int count, char **words, const char *values[OPTIONS]) {
    for (int i = 0; i < count; i++) {
        if (strncmp(words[i], "--", 2) != 0) return false;
        const char *name = words[i] + 2;
        int known = 0;
        for (; known < OPTIONS; known++) {
            size_t length = strlen(names[known]);
            if (strncmp(name, names[known], length) == 0 && name[length] == '=') break;
        }
        if (known == OPTIONS) return false;
        values[known] = name + strlen(names[known]) + 1;
    }
    for (int required = RUNTIME; required <= LAYOUT; required++) {
        if (!values[required]) return false;
    }
    return true;
}

// Decimal digits up to `limit`; gives what follows them, or NULL where there is no such number.
static const char *read_number(const char *text, uint32_t limit, uint32_t *number) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = 10 * value + (uint64_t)(*at - '0');
        if (value > limit) return NULL;
    }
    *number = (uint32_t)value;
    return at == text ? NULL : at;
}

static bool read_image(const char *text, Options *options) {
    uint32_t *const sides[3] = {&options->height, &options->width, &options->channels};
    size_t bytes = 1;
    for (int side = 0; side < 3; side++) {
        text = read_number(text, MAX_PAYLOAD, sides[side]);
        if (!text || *text++ != (side < 2 ? ',' : 0)) return false;
        bytes *= *sides[side];
        // One image must fit a frame.
        if (bytes == 0 || bytes > MAX_PAYLOAD - 8) return false;
    }
    return true;
}

// `count` finite numbers and nothing else; NULL if not, or if there is no memory.
static double *read_reals(const char *text, uint32_t count) {
    // As many commas as numbers, before anything is allocated for them.
    uint32_t commas = 0;
    for (const char *at = text; *at; at++) commas += *at == ',';
    if (commas != count - 1) return NULL;
    double *reals = malloc(count * sizeof *reals);
    for (uint32_t i = 0; reals && i < count; i++) {
        char *end;
        reals[i] = strtod(text, &end);
        if (end == text || *end != (i + 1 < count ? ',' : 0) || !__builtin_isfinite(reals[i])) {
            free(reals);
            return NULL;
        }
        text = end + 1;
    }
    return reals;
}

static bool read_cpus(const char *text, Options *options) {
    const uint32_t bits = 8 * sizeof options->cpus[0];
    options->pinned = true;
    do {
        uint32_t first, last;
        text = read_number(text, MAX_CPUS - 1, &first);
        last = first;
        if (text && *text == '-') text = read_number(text + 1, MAX_CPUS - 1, &last);
        if (!text || last < first) return false;
        for (uint32_t cpu = first; cpu <= last; cpu++) options->cpus[cpu / bits] |= 1ul << cpu % bits;
    } while (*text++ == ',');
    return text[-1] == 0;
}

static bool read_values(const char *const values[OPTIONS], Options *options, Fault *fault) {
    if (!read_image(values[IMAGE], options)) {
        return refuse(fault, MODEL_REFUSED, "--image=%.80s is no height,width,channels that fits a frame",
                      values[IMAGE]);
    }
    options->mean = read_reals(values[MEAN], options->channels);
    options->std = read_reals(values[STD], options->channels);
    bool fits = options->mean && options->std;
    for (uint32_t c = 0; fits && c < options->channels; c++) fits = options->std[c] > 0;
    if (!fits) {
        return refuse(fault, MODEL_REFUSED, "image %.80s, mean %.80s and std %.80s do not fit each other",
                      values[IMAGE], values[MEAN], values[STD]);
    }
    if (!policy_read(values[POLICY] ? values[POLICY] : "label", &options->policy)) {
        return refuse(fault, MODEL_REFUSED, "unknown answer policy '%.80s': %s", values[POLICY], policies_known);
    }
    if (values[CPUS] && !read_cpus(values[CPUS], options)) {
        return refuse(fault, MODEL_REFUSED, "--cpus=%.80s is no list of processors like 0,2-3", values[CPUS]);
    }
    return true;
}

OptionsStatus options_read(int count, char **words, Options *options, Fault *fault) {
    const char *values[OPTIONS] = {0};
    memset(options, 0, sizeof *options);
    if (!split(count, words, values)) return OPTIONS_USAGE;
    options->planar = strcmp(values[LAYOUT], "nchw") == 0;
    if (!options->planar && strcmp(values[LAYOUT], "nhwc") != 0) return OPTIONS_USAGE;
    options->threads = 1;
    if (values[THREADS]) {
        const char *end = read_number(values[THREADS], MAX_THREADS, &options->threads);
        if (!end || *end || !options->threads) return OPTIONS_USAGE;
    }
    if (values[PROFILE]) {
        const char *end = read_number(values[PROFILE], MAX_PROFILE_RUNS, &options->profile);
        if (!end || *end || !options->profile) return OPTIONS_USAGE;
    }
    options->runtime = values[RUNTIME];
    options->model = values[MODEL];
    options->sha256 = values[SHA256];
    if (read_values(values, options, fault)) return OPTIONS_READ;
    options_free(options);
    return OPTIONS_REFUSED;
}

void options_free(Options *options) {
    free(options->mean);
    free(options->std);
    options->mean = options->std = NULL;
}
