#include "session.h"

#include "benchmark.h"
#include "portable.h"

enum { QUERY_HEAD = 8, ANSWER_HEAD = 16 };

// Often enough that a pipe of 64 KiB does not fill up meanwhile, seldom enough that it costs nothing.
static const uint64_t listen_every_ns = 200 * 1000;

static bool send_hello(Session *session) {
    const Options *options = session->options;
    const Classifier *classifier = session->classifier;
    char policy[POLICY_TEXT];
    policy_write(&options->policy, policy);
    enum { ROOM = 1024 };
    char *json = (char *)stream_payload(session->stream, ROOM + profile_room(&classifier->profile));
    if (!json) return false;
    size_t length =
        (size_t)snprintf(json, ROOM,
                         "{\"runner\": \"edgecat-native 1\", \"engine\": \"%.200s\", \"model_sha256\": \"%s\", "
                         "\"image_shape\": [%u, %u, %u], \"classes\": %u, \"policy\": \"%s\", \"threads\": %u, "
                         "\"load_ns\": %llu",
                         engine_version(), session->sha256, options->height, options->width, options->channels,
                         classifier->classes, policy, options->threads, (unsigned long long)classifier->load_ns);
    if (options->profile) {
        static const char key[] = ", \"profile\": ";
        memcpy(json + length, key, sizeof key - 1);
        length += sizeof key - 1;
        length += profile_write(&classifier->profile, json + length);
    }
    json[length++] = '}';
    return stream_send(session->stream, HELLO, 0, length);
}

static bool check_query(const Session *session, const Frame *frame, uint32_t *count, Fault *fault) {
    size_t expected = image_bytes(session->options);
    if (frame->length < QUERY_HEAD) return refuse(fault, WRONG_SHAPE, "a query without its counts");
    *count = get_u32(frame->payload);
    uint32_t bytes = get_u32(frame->payload + 4);
    if (bytes != expected || !*count) {
        return refuse(fault, WRONG_SHAPE, "a query of %u images of %u bytes, where %zu bytes are expected", *count,
                      bytes, expected);
    }
    if (frame->length - QUERY_HEAD != (uint64_t)*count * bytes) {
        return refuse(fault, WRONG_SHAPE, "a query of %u images carries %u bytes, not %llu", *count,
                      frame->length - QUERY_HEAD, (unsigned long long)*count * bytes);
    }
    uint64_t width = policy_width(&session->options->policy, session->classifier->classes);
    if (ANSWER_HEAD + *count * (4 + 6 * width) > MAX_PAYLOAD) {
        return refuse(fault, WRONG_SHAPE, "the answer to %u images does not fit a frame", *count);
    }
    return true;
}

// Where the parts of an answer stand, and how much of each belongs to one image.
typedef struct {
    uint8_t *times, *labels, *scores;
    size_t label_bytes, score_bytes;
} Parts;

static bool answer_images(Session *session, const uint8_t *image, uint32_t count, Parts parts, bool *gone,
                          Fault *fault) {
    Classifier *classifier = session->classifier;
    const Policy *policy = &session->options->policy;
    const size_t bytes = image_bytes(session->options);
    uint64_t listened = now_ns();
    for (uint32_t i = 0; i < count; i++, image += bytes) {
        input_table_apply(&classifier->table, image, classifier->input.data);
        uint64_t before = now_ns();
        if (!engine_run(fault)) return false;
        uint64_t after = now_ns(), spent = after - before;
        if (!classifier_logits(classifier, fault)) return false;
        put_u32(parts.times + 4 * (size_t)i, spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX);
        policy_apply(policy, classifier->logits, classifier->classes,
                     policy_wants_seed(policy) ? image_seed(image, bytes) : 0, classifier->room,
                     parts.labels + i * parts.label_bytes, parts.scores + i * parts.score_bytes);
        if (after - listened < listen_every_ns || i + 1 == count) continue;
        if (!stream_listen(session->stream)) return *gone = true, false;
        listened = after;
    }
    return true;
}

// `gone`: nobody waits for the answer any more, so it was given up.
static bool answer(Session *session, const Frame *frame, size_t *length, bool *gone, Fault *fault) {
    const Policy *policy = &session->options->policy;
    const size_t width = policy_width(policy, session->classifier->classes);
    uint32_t count;
    if (!check_query(session, frame, &count, fault)) return false;
    Parts parts = {.label_bytes = policy_tells_labels(policy) ? 2 * width : 0,
                   .score_bytes = policy_tells_scores(policy) ? 4 * width : 0};
    *length = ANSWER_HEAD + count * (4 + parts.label_bytes + parts.score_bytes);
    uint8_t *payload = stream_payload(session->stream, *length);
    if (!payload) return refuse(fault, INFERENCE_FAILED, "no memory for an answer of %zu bytes", *length);
    parts.times = payload + ANSWER_HEAD;
    parts.labels = parts.times + 4 * (size_t)count;
    parts.scores = parts.labels + parts.label_bytes * count;
    uint64_t start = now_ns();
    if (!answer_images(session, frame->payload + QUERY_HEAD, count, parts, gone, fault)) return false;
    uint8_t *at = put_u32(payload, count);
    *at++ = (uint8_t)policy->kind;
    *at++ = 0;
    put_u64(put_u16(at, (uint16_t)width), now_ns() - start);
    return true;
}

// False: the session is over.
static bool reply(Session *session, const Frame *frame) {
    Stream *stream = session->stream;
    size_t length = 0;
    bool gone = false, made;
    Fault fault;
    if (frame->kind == QUERY) {
        made = answer(session, frame, &length, &gone, &fault);
    } else if (frame->kind == BENCHMARK) {
        made = benchmark_run(session->classifier, session->options, frame, stream, &length, &gone, &fault);
    } else {
        made = refuse(&fault, UNSUPPORTED, "a runner takes no frame of kind %d", (int)frame->kind);
    }
    if (gone) return false;
    if (!made) return stream_send_fault(stream, frame->sequence, &fault);
    return stream_send(stream, frame->kind == QUERY ? ANSWER : MEASUREMENT, frame->sequence, length);
}

void session_serve(Session *session) {
    if (!send_hello(session)) return;
    for (;;) {
        Frame frame;
        Fault fault;
        FrameStatus status = stream_next(session->stream, &frame, &fault);
        if (status == FRAME_MALFORMED) stream_send_fault(session->stream, 0, &fault);
        if (status != FRAME_READ || frame.kind == BYE || !reply(session, &frame)) return;
    }
}
