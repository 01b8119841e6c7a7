/**
 * The seccomp profile of every pod's pause process. The runtime's own profile serves any program
 * on three architectures; to compile it took 15 of the 250 ms of processor time of a pod's start.
 * A process that only waits needs a third of it: this allows no more than the runtime's does, and
 * what runc calls between its filter and the program.
 */

const memory = ["brk", "madvise", "mmap", "mprotect", "mremap", "munmap"];
const threads = [
  ...["arch_prctl", "exit", "exit_group", "futex", "get_robust_list", "getpid", "gettid"],
  ...["membarrier", "prctl", "restart_syscall", "rseq", "sched_getaffinity", "sched_yield"],
  ...["set_robust_list", "set_tid_address", "tgkill", "tkill"],
];
const time = [
  ...["clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday"],
  ...["nanosleep", "setitimer", "timer_create", "timer_delete", "timer_settime"],
];
const signals = [
  ...["kill", "pause", "pidfd_open", "pidfd_send_signal", "rt_sigaction", "rt_sigpending"],
  ...["rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack"],
  ...["signalfd", "signalfd4", "wait4", "waitid"],
];
const polling = [
  ...["epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait"],
  ...["eventfd", "eventfd2", "poll", "ppoll", "pselect6", "select"],
];
const files = [
  ...["access", "chdir", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2"],
  ...["fchdir", "fchown", "fcntl", "fstat", "fstatfs", "getcwd", "getdents", "getdents64", "ioctl"],
  ...["lseek", "lstat", "newfstatat", "open", "openat", "openat2", "pipe", "pipe2", "pread64"],
  ...["pwrite64", "read", "readlink", "readlinkat", "readv", "stat", "statfs", "statx", "umask"],
  ...["write", "writev"],
];
const sockets = [
  ...["getsockname", "getsockopt", "recvfrom", "recvmsg", "sendmsg", "sendto", "shutdown"],
  ...["setsockopt", "socketpair"],
];
const identity = [
  ...["capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp"],
  ...["getppid", "getresgid", "getresuid", "getrlimit", "getsid", "getuid", "prlimit64"],
  ...["setfsgid", "setfsuid", "setgid", "setgroups", "setpgid", "setregid", "setresgid"],
  ...["setresuid", "setreuid", "setrlimit", "setsid", "setuid", "sysinfo", "uname", "getrandom"],
];
const programs = ["execve", "execveat", "fork", "vfork"];

/** CLONE_NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWNS. */
const namespaceFlags = 0x7e020000;
const noSuchCall = 38;
const allow = "SCMP_ACT_ALLOW";
const refuse = "SCMP_ACT_ERRNO";

const profile = {
  defaultAction: refuse,
  syscalls: [
    {
      names: [memory, threads, time, signals, polling, files, sockets, identity, programs].flat(),
      action: allow,
    },
    {
      names: ["clone"],
      action: allow,
      args: [{ index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
    },
    // Its flags lie in memory, which a filter cannot read: callers fall back to clone.
    { names: ["clone3"], action: refuse, errnoRet: noSuchCall },
  ],
} as const;

export const pauseSeccomp = `${JSON.stringify(profile, null, 2)}\n`;
