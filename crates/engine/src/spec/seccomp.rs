//! The default seccomp list, and lists that users bring in Docker's form ([`parse_profile`]).
//!
//! The default refuses what it does not name (EPERM; calls newer than the list get ENOSYS from the compiler), and names
//! what Docker's default names, by subject: `ALWAYS` is allowed to everyone, `WITH_CAPABILITY` to those whose
//! capabilities would let them do it anyway, and a few calls by their arguments. What is left out is what containers
//! were broken out with, or what reaches past namespaces: keyrings, io_uring, userfaultfd, kexec, swap, new namespaces,
//! and the socket families VSOCK (it speaks to other guests of the host) and ALG (the kernel's cryptography).

mod profile;

use oci::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};

pub use profile::{ProfileError, parse_profile};

/// Returns the default list for a container with these capabilities, on the machine's architecture.
pub fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    default_profile_for(capabilities, runtime::plan::seccomp::native())
}

/// Returns the default list for a container with these capabilities, on the architecture `native`.
pub fn default_profile_for(capabilities: &Capabilities, native: Arch) -> LinuxSeccomp {
    let mut allowed: Vec<&str> = ALWAYS.iter().flat_map(|names| names.split_ascii_whitespace()).collect();
    for (capability, names) in WITH_CAPABILITY {
        if capabilities.contains(capability) {
            allowed.extend(names.split_ascii_whitespace());
        }
    }
    // Sorted, the list is quicker to look up, and a person finds a name in config.json.
    allowed.sort_unstable();
    allowed.dedup();
    let mut rules = vec![allow(allowed, vec![])];
    rules.extend(personality());
    rules.extend(socket());
    if !capabilities.contains(&Capability::SysAdmin) {
        rules.extend(clone(native));
    }
    let mut list = LinuxSeccomp::default();
    list.set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(family(native)))
        .set_syscalls(Some(rules));
    list
}

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// What everyone may call. A name that an architecture lacks does no harm there.
const ALWAYS: [&str; 13] = [
    // Files and directories, by path and by descriptor.
    "access chdir chmod chown chown32 creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 \
     fchownat fstat fstat64 fstatat64 fstatfs fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 lchown \
     lchown32 link linkat lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 \
     readlink readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statx symlink symlinkat truncate \
     truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes statmount listmount",
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr \
     lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    // Reading and writing.
    "_llseek cachestat close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fcntl fcntl64 fdatasync flock \
     fsync ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 \
     splice sync sync_file_range syncfs tee vmsplice write writev",
    // Waiting for many, and being told.
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd \
     eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents \
     io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd \
     signalfd4",
    // Memory.
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect \
     mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages",
    // Processes, threads and their limits. Since 4.8 a tracer cannot use ptrace to get around a filter.
    "execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list \
     get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid pidfd_open \
     pidfd_send_signal prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace restart_syscall rseq \
     set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid ugetrlimit uretprobe vfork wait4 \
     waitid waitpid",
    "ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
     sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
     sched_setscheduler sched_yield",
    // Who one is; the capabilities decide who one can become.
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid \
     getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp setfsgid setfsgid32 \
     setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid \
     setresuid32 setreuid setreuid32 setuid setuid32",
    // Signals.
    "kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
     rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill",
    // Time. Setting the clock is left to CAP_SYS_TIME; the kernel lets everyone ask adjtimex.
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
     clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete \
     timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
     timerfd_gettime64 timerfd_settime timerfd_settime64 times",
    // Sockets, but for making one. The 32-bit socketcall hides its arguments, so that way all families can be had.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg \
     send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
    // System V and POSIX interprocess communication, and what is left.
    "getrandom ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 \
     mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget \
     sysinfo uname",
    // What single architectures have of their own.
    "arch_prctl arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush modify_ldt riscv_flush_icache riscv_hwprobe \
     s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr set_tls swapcontext sync_file_range2",
];

/// What a capability brings with it.
const WITH_CAPABILITY: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd \
         setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module finit_module init_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "ioperm iopl"),
    (Capability::SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// Returns the rules for execution domains: Linux, Linux on 32 bits, each also as version 2.6, and asking.
fn personality() -> impl Iterator<Item = LinuxSyscall> {
    const UNAME26: u64 = 0x2_0000;
    const LINUX32: u64 = 0x8;
    const ASK: u64 = 0xffff_ffff;
    let domains = [0, LINUX32, UNAME26, UNAME26 | LINUX32, ASK];
    domains
        .into_iter()
        .map(|domain| allow(["personality"], vec![compare(0, LinuxSeccompOperator::ScmpCmpEq, domain, None)]))
}

/// Returns the rules for making sockets: below, between and above the two families that are left out.
///
/// They are several rules because comparisons of one argument within a rule are alternatives, in every runtime.
fn socket() -> impl Iterator<Item = LinuxSyscall> {
    const ALG: u64 = 38;
    const NFC: u64 = 39;
    const VSOCK: u64 = 40;
    use LinuxSeccompOperator::{ScmpCmpEq as Is, ScmpCmpGt as Above, ScmpCmpLt as Below};
    let families = [(Below, ALG), (Is, NFC), (Above, VSOCK)];
    families.into_iter().map(|(op, family)| allow(["socket"], vec![compare(0, op, family, None)]))
}

/// Returns the rules for new processes that make no namespaces. clone3 has its flags in memory, where no filter sees
/// them; told that it does not exist, programs turn to clone.
fn clone(native: Arch) -> [LinuxSyscall; 2] {
    // NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME cannot be asked of clone.
    const NAMESPACES: u64 = 0x7e02_0000;
    let flags = usize::from(matches!(native, Arch::ScmpArchS390 | Arch::ScmpArchS390x));
    let plain = compare(flags, LinuxSeccompOperator::ScmpCmpMaskedEq, NAMESPACES, Some(0));
    let mut clone3 = rule(["clone3"], LinuxSeccompAction::ScmpActErrno, vec![]);
    clone3.set_errno_ret(Some(ENOSYS));
    [allow(["clone"], vec![plain]), clone3]
}

/// Returns the architecture and those whose programs its kernel runs too.
fn family(native: Arch) -> Vec<Arch> {
    let others: &[Arch] = match native {
        Arch::ScmpArchX86_64 => &[Arch::ScmpArchX86, Arch::ScmpArchX32],
        Arch::ScmpArchAarch64 => &[Arch::ScmpArchArm],
        Arch::ScmpArchS390x => &[Arch::ScmpArchS390],
        Arch::ScmpArchMips64 => &[Arch::ScmpArchMips, Arch::ScmpArchMips64n32],
        Arch::ScmpArchMipsel64 => &[Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64n32],
        _ => &[],
    };
    [&[native], others].concat()
}

fn allow<'a>(names: impl IntoIterator<Item = &'a str>, arguments: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow, arguments)
}

fn rule<'a>(
    names: impl IntoIterator<Item = &'a str>,
    action: LinuxSeccompAction,
    arguments: Vec<LinuxSeccompArg>,
) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.into_iter().map(str::to_owned).collect()).set_action(action);
    rule.set_args((!arguments.is_empty()).then_some(arguments));
    rule
}

fn compare(index: usize, op: LinuxSeccompOperator, value: u64, second: Option<u64>) -> LinuxSeccompArg {
    let builder = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    let builder = second.into_iter().fold(builder, LinuxSeccompArgBuilder::value_two);
    builder.build().unwrap_or_default()
}
