// libFuzzer target: a command line, then the bytes of a whole session, against the scripted engine.
//
//     byte 0       element types of the model's input and output
//     byte 1       classes, and how many bytes a read gives at most
//     then         words of the command line, each ended by a newline; an empty line ends them
//     the rest     what the host sends
//
// A random CRC-32 is never right, so the harness puts the right one into every whole frame, unless byte 0 says no:
// without that nothing behind the check would ever be reached.
#include <sys/syscall.h>

#include "classifier.h"
#include "crc32.h"
#include "scripted_engine.h"
#include "session.h"

enum { MAX_WORDS = 32, PREFIX = 20 };

static int in = -1, out = -1;
static size_t largest_read;

long __real_read(int fd, void *data, size_t bytes);
long __wrap_read(int fd, void *data, size_t bytes);

// Pipes and sockets give what is there, not what was asked for.
long __wrap_read(int fd, void *data, size_t bytes) {
    return __real_read(fd, data, fd == in && bytes > largest_read ? largest_read : bytes);
}

static void mend_checksums(uint8_t *data, size_t bytes) {
    while (bytes >= PREFIX) {
        size_t length = get_u32(data + 12);
        if (length > bytes - PREFIX) return;
        put_u32(data + 16, crc32_update(crc32_update(0, data, 16), data + PREFIX, length));
        // A benchmark may ask for a minute; no run of the fuzzer should.
        if (data[5] == BENCHMARK && length >= 24) {
            double seconds;
            memcpy(&seconds, data + PREFIX + 16, sizeof seconds);
            if (seconds > 0.001 || get_u32(data + PREFIX) > 1000) memset(data + PREFIX + 16, 0, sizeof seconds);
            put_u32(data + 16, crc32_update(crc32_update(0, data, 16), data + PREFIX, length));
        }
        data += PREFIX + length;
        bytes -= PREFIX + length;
    }
}

static Script write_script(const Options *options, uint8_t types, uint8_t classes) {
    int32_t height = (int32_t)options->height, width = (int32_t)options->width, channels = (int32_t)options->channels;
    Script script = {.input_element = types % 3, .output_element = types / 3 % 3, .classes = 1 + classes % 16};
    int32_t nhwc[4] = {1, height, width, channels}, nchw[4] = {1, channels, height, width};
    memcpy(script.shape, options->planar ? nchw : nhwc, sizeof nhwc);
    script.input_scale = types & 64 ? 0 : 1.0f / 255;
    script.input_zero_point = -128 * (script.input_element == INT8);
    script.output_scale = 0.25f;
    return script;
}

static void serve(const Options *options, const Script *script, uint8_t *sent, size_t bytes) {
    Fault fault;
    Classifier classifier;
    Stream stream = {.in = in, .out = out};
    if (write(in, sent, bytes) != (long)bytes || lseek(in, 0, SEEK_SET) != 0) abort();
    if (classifier_load(&classifier, options, script, sizeof *script, &fault)) {
        session_serve(&(Session){options, "00", &classifier, &stream});
    }
    classifier_free(&classifier);
    free(stream.data);
    free(stream.reply);
    if (lseek(in, 0, SEEK_SET) != 0 || ftruncate(in, 0) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (in < 0) {
        in = (int)syscall(SYS_memfd_create, "stdin", 0);
        out = open("/dev/null", O_WRONLY);
        crc32_prepare();
    }
    if (size < 3) return 0;
    char *text = malloc(size + 1), *words[MAX_WORDS];
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    int count = 0;
    size_t at = 2;
    while (count < MAX_WORDS && at < size) {
        char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        words[count] = text + at;
        words[count][length] = 0;
        at += length + (end != NULL);
        if (!length) break;
        count++;
    }
    Options options;
    Fault fault;
    largest_read = (size_t)1 << (data[1] >> 4);
    if (options_read(count, words, &options, &fault) == OPTIONS_READ) {
        Script script = write_script(&options, data[0], data[1]);
        uint8_t *sent = (uint8_t *)text + at;
        if (data[0] < 128) mend_checksums(sent, size - at);
        serve(&options, &script, sent, size - at);
        options_free(&options);
    }
    free(text);
    return 0;
}
