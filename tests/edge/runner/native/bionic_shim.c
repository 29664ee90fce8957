// What bionic has and glibc has not, or has otherwise, as far as TFLite's Android library and our runner ask for it.
// `bionic_shim.py` makes libc.so with a jump for every name; here it is decided where each one goes.
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const char *const shim_names[];
extern void *shim_slots[];

int __xpg_strerror_r(int error, char *text, size_t bytes);

static void start(void *stack, void (*at_exit)(void), int (*program)(int, char **, char **), void *structors) {
    (void)at_exit, (void)structors;
    int count = (int)*(long *)stack;
    char **words = (char **)stack + 1;
    exit(program(count, words, words + count + 1));
}

static size_t length(const char *text, size_t room) { return (void)room, strlen(text); }
static int property(const char *name, char *value) { return (void)name, *value = 0; }
static void last_words(const char *text) { dprintf(2, "%s\n", text); }

static int log_words(int level, const char *tag, const char *format, va_list values) {
    dprintf(2, "%d %s: ", level, tag);
    return vdprintf(2, format, values);
}

static long system_value(int name) {
    switch (name) {
        case 39:
        case 40: return sysconf(_SC_PAGESIZE);
        case 96: return sysconf(_SC_NPROCESSORS_CONF);
        case 97: return sysconf(_SC_NPROCESSORS_ONLN);
        case 98: return sysconf(_SC_PHYS_PAGES);
        default: return errno = EINVAL, -1;
    }
}

// bionic's standard streams are places in __sF.
extern char __sF[3 * 152];

static FILE *stream(FILE *given) {
    char *at = (char *)given;
    return at >= __sF && at < __sF + sizeof __sF ? stderr : given;
}

static int put_character(int character, FILE *to) { return fputc(character, stream(to)); }
static int put_values(FILE *to, const char *format, va_list values) { return vfprintf(stream(to), format, values); }
static size_t put_data(const void *data, size_t size, size_t count, FILE *to) {
    return fwrite(data, size, count, stream(to));
}

static int put_words(FILE *to, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int written = vfprintf(stream(to), format, values);
    va_end(values);
    return written;
}

static const struct {
    const char *name;
    void *function;
} own[] = {
    {"__libc_init", start},
    {"__errno", __errno_location},
    {"__strlen_chk", length},
    {"__system_property_get", property},
    {"android_set_abort_message", last_words},
    {"__android_log_vprint", log_words},
    {"strerror_r", __xpg_strerror_r},
    {"sysconf", system_value},
    {"fputc", put_character},
    {"vfprintf", put_values},
    {"fwrite", put_data},
    {"fprintf", put_words},
};

__attribute__((constructor)) static void find_names(void) {
    for (int i = 0; shim_names[i]; i++) {
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
            if (strcmp(own[k].name, shim_names[i]) == 0) shim_slots[i] = own[k].function;
        }
        if (!shim_slots[i]) shim_slots[i] = dlsym(RTLD_NEXT, shim_names[i]);
        if (shim_slots[i]) continue;
        dprintf(2, "glibc has no %s\n", shim_names[i]);
        _exit(99);
    }
}
