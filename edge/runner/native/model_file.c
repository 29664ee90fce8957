#include "model_file.h"

#include "sha256.h"

static bool read_whole(int fd, const char *path, ModelFile *file, Fault *fault) {
    long size = lseek(fd, 0, SEEK_END);
    // A read of nothing tells a directory from a file.
    if (size < 0 || lseek(fd, 0, SEEK_SET) < 0 || read(fd, file, 0) < 0) {
        return refuse(fault, MODEL_REFUSED, "model file %s: %s", path, strerror(errno));
    }
    if (size == 0) return refuse(fault, MODEL_REFUSED, "model file %s is empty", path);
    // Not a mapping of the file itself: that would change with the file, after it was hashed.
    void *data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return refuse(fault, MODEL_REFUSED, "no memory for the %ld bytes of %s", size, path);
    file->data = data;
    file->bytes = 0;
    while (file->bytes < (size_t)size) {
        long got = read(fd, (char *)data + file->bytes, (size_t)size - file->bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        file->bytes += (size_t)got;
    }
    if (file->bytes == (size_t)size) return true;
    munmap(data, (size_t)size);
    return refuse(fault, MODEL_REFUSED, "model file %s ends after %zu of %ld bytes", path, file->bytes, size);
}

bool model_file_read(const char *path, ModelFile *file, Fault *fault) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return refuse(fault, MODEL_REFUSED, "model file %s: %s", path, strerror(errno));
    bool whole = read_whole(fd, path, file, fault);
    close(fd);
    if (whole) sha256_hex(file->data, file->bytes, file->sha256);
    return whole;
}
