#include "classifier.h"
#include "crc32.h"
#include "frames.h"
#include "model_file.h"
#include "options.h"
#include "session.h"

// Keeps stdout for frames alone: what libraries print goes to stderr.
static void take_streams(Stream *stream) {
    *stream = (Stream){.in = 0, .out = dup(1)};
    if (dup2(2, 1) < 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0) dup2(nowhere, 1);
    }
    // A host that is gone is told by `write`, not by a signal.
    signal(SIGPIPE, SIG_IGN);
}

static bool load(const Options *options, ModelFile *file, Classifier *classifier, Fault *fault) {
    if (strcmp(options->runtime, engine_runtime) != 0) {
        return refuse(fault, MODEL_REFUSED, "this runner has no runtime '%.80s', only %s", options->runtime,
                      engine_runtime);
    }
    // Before the runtime starts threads, which inherit it.
    unsigned long got[sizeof options->cpus / sizeof *options->cpus];
    if (options->pinned && !pin_process(options->cpus, got, sizeof got)) {
        return refuse(fault, MODEL_REFUSED, "not every processor of --cpus is there for this process");
    }
    if (!model_file_read(options->model, file, fault)) return false;
    if (strcmp(file->sha256, options->sha256) != 0) {
        return refuse(fault, WRONG_MODEL, "%.1000s has sha256 %s, asked for %.80s", options->model, file->sha256,
                      options->sha256);
    }
    return classifier_load(classifier, options, file->data, file->bytes, fault);
}

static int run(int count, char **words) {
    Stream stream;
    Options options;
    ModelFile file;
    Classifier classifier;
    Fault fault;
    take_streams(&stream);
    crc32_prepare();
    OptionsStatus status = options_read(count - 1, words + 1, &options, &fault);
    if (status == OPTIONS_USAGE) {
        long written = write(2, options_usage, strlen(options_usage));
        (void)written;
        return 2;
    }
    if (status == OPTIONS_REFUSED || !load(&options, &file, &classifier, &fault)) {
        stream_send_fault(&stream, 0, &fault);
        return 1;
    }
    session_serve(&(Session){&options, file.sha256, &classifier, &stream});
    return 0;
}

int main(int count, char **words) {
    // At once: a runtime's destructors could only fail now, and the system takes everything back.
    _exit(run(count, words));
}
