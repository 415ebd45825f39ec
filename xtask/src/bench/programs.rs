//! The two programs that run in the measured containers: one that does nothing, one that waits.
//!
//! They have no library, so that what is measured is not theirs.

/// Leaves at once.
pub(super) const NOOP: &str = r#"
__attribute__((noreturn)) void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("xor %edi, %edi\n mov $231, %eax\n syscall");
#elif defined(__aarch64__)
    __asm__ volatile("mov x0, #0\n mov x8, #94\n svc #0");
#else
#error "say how a program leaves on this machine"
#endif
    __builtin_unreachable();
}
"#;

/// Waits for a signal for ever.
pub(super) const WAIT: &str = r#"
__attribute__((noreturn)) void _start(void) {
    for (;;) {
#if defined(__x86_64__)
        __asm__ volatile("mov $34, %%eax\n syscall" ::: "rax", "rcx", "r11", "memory");
#elif defined(__aarch64__)
        __asm__ volatile("mov x0, #0\n mov x1, #0\n mov x2, #0\n mov x3, #0\n mov x8, #73\n svc #0" ::: "x0", "x8", "memory");
#else
#error "say how a program waits on this machine"
#endif
    }
}
"#;
