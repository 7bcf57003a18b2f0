// Why something is not here, in words. What `glassbox doctor` says of a program's file comes with the
// document (`begin`); these are the rest.

import type { Reason } from "./store.ts";

/** Reasons of `sensor.blind` that a process has, and not its file: docs/events.md. */
export const BLIND: Record<string, Reason> = {
  env_cleared: {
    why: "its environment does not ask for the sensor: the program that started it cleared LD_PRELOAD",
    fix: "let the environment through, or name the sensor in /etc/ld.so.preload",
  },
  env_crowded: {
    why: "arguments and environment left no room for the sensor's variables",
    fix: "shorten them, or name the sensor in /etc/ld.so.preload",
  },
  seccomp: { why: "a seccomp filter forbids what the sensor needs to begin", fix: "allow sendmsg, memfd_create and mmap" },
  out_of_reach: {
    why: "the sensor's file cannot be reached there: behind a chroot, in a sandbox, or without the right to it",
    fix: "make the sensor's file visible under the same path there, readable for that user",
  },
  switched_off: { why: "its environment has GLASSBOX=off", fix: "leave that variable out" },
  user_namespace: {
    why: "in its user namespace it cannot find out whose the collector is",
    fix: "map the collector's user into the namespace",
  },
  fd_limit: { why: "too few descriptors are allowed to make a ring (RLIMIT_NOFILE)", fix: "raise ulimit -n" },
  no_memory: { why: "memory for a ring was refused (RLIMIT_FSIZE, memory, seccomp)", fix: "raise the limit" },
  address_space: { why: "the address space is too small to map a ring (RLIMIT_AS)", fix: "raise ulimit -v" },
  limit: { why: "its user has used up the part of the collector that one user gets", fix: "see docs/operations.md" },
  not_loaded: {
    why: "it could have loaded the sensor, and did not",
    fix: "run 'glassbox doctor --pid' on it while it runs",
  },
  gone: { why: "it ended before it said anything, and before it could be looked at", fix: "none is needed if it was that short" },
};

/** Reasons of `sensor.loss`: docs/ledgers.md. */
export const LOSS: Record<string, string> = {
  ring_full: "the collector did not keep up, and the program does not wait",
  oversize: "a record longer than a ring takes",
  no_slot: "a forked child found all 255 slots of its ring taken",
  abandoned: "a signal handler jumped away while a record was written",
  ring_taken: "the program unmapped or protected its ring, or locked all its memory",
  killed_writer: "a thread was killed or cancelled while it wrote a record",
  corrupt_ring: "the process wrote over its ring",
  collector_died: "the collector that died had read the record and not delivered it",
  sink_full: "this output took events more slowly than they came; other outputs have them",
  limit: "the process's user has used up its part of the collector",
  over_share: "the outputs had almost no room, and this user's processes had put in more than that user's share",
  session_end: "the collector was told to end, and had no time to read the rest",
};

/** Reasons of `sensor.evasion`: docs/events.md. */
export const EVASION: Record<string, string> = {
  raw_call: "a system call was made by code that is neither libc's nor the sensor's",
  preload_lost: "a program was started without the sensor, though its environment had asked for it",
  exec_unseen: "the process runs another program, and no hook told of an exec",
  hook_changed: "the sensor's code is not what its file has",
  slot_changed: "a call of a module leads to libc instead of the sensor",
  mapping_changed: "the sensor's code is not mapped any more as it was, or may be written",
  ring_gone: "the memory that the sensor writes into is gone",
};
