#include "benchmark.h"

enum { REQUEST = 24, HEAD = 32 };

static const uint64_t listen_every_ns = 100 * 1000 * 1000;

typedef struct {
    uint32_t warmup_runs, min_runs;
    double min_seconds, max_seconds;
} Request;

static bool read_request(const Frame *frame, Request *request, Fault *fault) {
    if (frame->length != REQUEST) {
        return refuse(fault, WRONG_SHAPE, "a benchmark request of %u bytes, not %d", frame->length, REQUEST);
    }
    request->warmup_runs = get_u32(frame->payload);
    request->min_runs = get_u32(frame->payload + 4);
    memcpy(&request->min_seconds, frame->payload + 8, 8);
    memcpy(&request->max_seconds, frame->payload + 16, 8);
    bool counts = request->warmup_runs <= MAX_SAMPLES && request->min_runs <= MAX_SAMPLES;
    bool finite = __builtin_isfinite(request->min_seconds) && __builtin_isfinite(request->max_seconds);
    if (counts && finite && request->min_seconds >= 0 && request->max_seconds >= 0) return true;
    return refuse(fault, WRONG_SHAPE, "a benchmark of %u and %u runs, %g and %g seconds cannot be made",
                  request->warmup_runs, request->min_runs, request->min_seconds, request->max_seconds);
}

// VmHWM; not ru_maxrss, which a child inherits from its parent. 0 where the system does not tell.
static uint64_t peak_bytes(void) {
    char status[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    long got = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
    if (fd >= 0) close(fd);
    if (got <= 0) return 0;
    status[got] = 0;
    for (const char *at = status; *at; at++) {
        if (strncmp(at, "VmHWM:", 6) != 0) continue;
        uint64_t kilobytes = 0;
        at += 6;
        while (*at == ' ' || *at == '\t') at++;
        for (; *at >= '0' && *at <= '9'; at++) kilobytes = 10 * kilobytes + (uint64_t)(*at - '0');
        return kilobytes * 1024;
    }
    return 0;
}

static double seconds_since(uint64_t start) { return (double)(now_ns() - start) / 1e9; }

// The input may have been a query's: a benchmark is of a black image.
static bool put_black_image(Classifier *classifier, const Options *options, Fault *fault) {
    uint8_t *black = calloc(image_bytes(options), 1);
    if (!black) return refuse(fault, INFERENCE_FAILED, "no memory for an image");
    input_table_apply(&classifier->table, black, classifier->input.data);
    free(black);
    return true;
}

static bool warm_up(const Request *request, Stream *stream, uint32_t *warmed, bool *gone, Fault *fault) {
    uint64_t start = now_ns(), listened = start;
    for (*warmed = 0; *warmed < request->warmup_runs && seconds_since(start) < request->max_seconds; ++*warmed) {
        if (!engine_run(fault)) return false;
        if (now_ns() - listened < listen_every_ns) continue;
        if (!stream_listen(stream)) return *gone = true, false;
        listened = now_ns();
    }
    return true;
}

static bool measure(const Request *request, Stream *stream, uint32_t *count, bool *gone, Fault *fault) {
    uint64_t start = now_ns(), listened = start;
    for (*count = 0;;) {
        uint8_t *payload = stream_payload(stream, HEAD + 8 * ((size_t)*count + 1));
        if (!payload) return refuse(fault, INFERENCE_FAILED, "no memory for %u samples", *count + 1);
        uint64_t before = now_ns();
        if (!engine_run(fault)) return false;
        uint64_t after = now_ns();
        put_u64(payload + HEAD + 8 * (size_t)(*count)++, after - before);
        double seconds = (double)(after - start) / 1e9;
        bool enough = *count >= request->min_runs && seconds >= request->min_seconds;
        if (enough || seconds >= request->max_seconds || *count == MAX_SAMPLES) return true;
        if (after - listened < listen_every_ns) continue;
        if (!stream_listen(stream)) return *gone = true, false;
        listened = after;
    }
}

bool benchmark_run(Classifier *classifier, const Options *options, const Frame *frame, Stream *stream, size_t *length,
                   bool *gone, Fault *fault) {
    Request request;
    uint32_t warmed, count;
    if (!read_request(frame, &request, fault) || !put_black_image(classifier, options, fault)) return false;
    if (!warm_up(&request, stream, &warmed, gone, fault)) return false;
    if (!measure(&request, stream, &count, gone, fault)) return false;
    *length = HEAD + 8 * (size_t)count;
    uint8_t *at = put_u64(stream_payload(stream, *length), classifier->load_ns);
    put_u32(put_u32(put_u64(put_u64(at, peak_bytes()), classifier->first_ns), warmed), count);
    return true;
}
