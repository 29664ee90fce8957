// How a bionic program begins without the NDK's crtbegin: the stack as the kernel made it goes to the C library.
#include <stddef.h>

int main(int count, char **words);

// Constructors and destructors for the C library to call: a C program has none.
typedef struct {
    void (**arrays[3])(void);
    size_t counts[3];
} Structors;

__attribute__((noreturn)) void __libc_init(void *stack, void (*at_exit)(void), int (*program)(int, char **),
                                           const Structors *structors);

__attribute__((used, noreturn)) void start_program(void *stack) {
    static const Structors none;
    __libc_init(stack, NULL, main, &none);
}

#if defined(__aarch64__)
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n mov x0, sp\n b start_program\n");
#elif defined(__x86_64__)
__asm__(".globl _start\n_start:\n xorl %ebp, %ebp\n movq %rsp, %rdi\n andq $-16, %rsp\n callq start_program\n");
#endif
