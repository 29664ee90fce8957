// Everything the runner asks of the system, in one place, so that one core serves glibc and bionic.
//
// On bionic there is no NDK and so no header: the prototypes below are written by hand, and `android/libc.c` gives the
// linker their names. All of them are in bionic since API 26 (most since API 1).
#ifndef EDGECAT_PLATFORM_H
#define EDGECAT_PLATFORM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ != 8
#error "the wire is little-endian and the runner copies it as it is: 64-bit little-endian processors only"
#endif

#ifndef EDGECAT_BIONIC

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#else

enum { O_RDONLY = 0, O_WRONLY = 1, O_CLOEXEC = 02000000, SEEK_SET = 0, SEEK_END = 2 };
enum { PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20 };
enum { CLOCK_MONOTONIC = 1, POLLIN = 1, POLLERR = 8, POLLHUP = 16, SIGPIPE = 13, EINTR = 4 };
#define MAP_FAILED ((void *)-1)
#define SIG_IGN ((void (*)(int))1)
#define errno (*__errno())

struct timespec {
    long tv_sec, tv_nsec;
};
struct pollfd {
    int fd;
    short events, revents;
};

int *__errno(void);
char *strerror(int error);
int open(const char *path, int flags, ...);
int close(int fd);
long read(int fd, void *data, size_t bytes);
long write(int fd, const void *data, size_t bytes);
long lseek(int fd, long offset, int whence);
int dup(int fd);
int dup2(int from, int to);
int poll(struct pollfd *fds, unsigned int count, int milliseconds);
void *mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset);
int munmap(void *address, size_t bytes);
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void free(void *memory);
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t bytes);
double strtod(const char *text, char **end);
int snprintf(char *to, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *to, size_t bytes, const char *format, va_list values);
int clock_gettime(int clock, struct timespec *time);
void (*signal(int number, void (*handler)(int)))(int);
int sched_setaffinity(int process, size_t bytes, const void *mask);
int sched_getaffinity(int process, size_t bytes, void *mask);
__attribute__((noreturn)) void _exit(int code);

typedef void cpu_set_t;

#endif

// Keeps the process to these processors; false where one of them cannot be had (the kernel passes over those).
static inline bool pin_process(const void *mask, void *got, size_t bytes) {
    memset(got, 0, bytes);
    if (sched_setaffinity(0, bytes, (const cpu_set_t *)mask) < 0) return false;
    return sched_getaffinity(0, bytes, (cpu_set_t *)got) >= 0 && memcmp(mask, got, bytes) == 0;
}

static inline uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif
