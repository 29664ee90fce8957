// libFuzzer target: a command line, then the bytes of a whole session, against a fake engine.
//
//     byte 0       element type of the model, and which CRC-32s to mend
//     byte 1       classes, and how many bytes a read gives at most
//     then         words of the command line, each ended by a newline; an empty line ends them
//     the rest     what the host sends
//
// A random CRC-32 is never right, so where byte 0 asks for it the harness puts the right one into every whole frame:
// without that nothing behind the check would ever be reached.
#include <sys/syscall.h>

#include "classifier.h"
#include "crc32.h"
#include "fake_engine.h"
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

static void serve(const Options *options, uint8_t *sent, size_t bytes) {
    Fault fault;
    Classifier classifier;
    Stream stream = {.in = in, .out = out};
    mend_checksums(sent, bytes);
    if (write(in, sent, bytes) != (long)bytes || lseek(in, 0, SEEK_SET) != 0) abort();
    if (classifier_load(&classifier, options, "model", 5, &fault)) {
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
        if (fake_engine_set(&options, (Element)(data[0] % 3), 1 + data[1] % 16)) serve(&options, (uint8_t *)text + at, size - at);
        options_free(&options);
    }
    free(text);
    return 0;
}
