// A report as the collector writes it (collector/src/sinks/html), of lines that a test chooses.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const PAGE = new URL("../../src/sinks/html/page.html", import.meta.url);
export const OPEN = '<script type="application/octet-stream" class="events">\n';
export const CLOSE = "\n</script></body></html>\n";

/** The lines as one element holds them.
 * @param {readonly string[]} lines */
export function element(lines) {
  const text = gzipSync(lines.map((line) => `${line}\n`).join("")).toString("base64");
  return text.replace(/(.{4096})/g, "$1\n");
}

/** The whole document.
 * @param {readonly string[]} lines */
export function report(lines) {
  return `${readFileSync(PAGE, "utf8")}${OPEN}${element(lines)}${CLOSE}`;
}

/** A run in which something of everything happens.
 * @returns {string[]} */
export function scene() {
  const lines = [];
  let at = 0;
  const time = () => {
    at += 137_911;
    const ms = 500 + Math.floor(at / 1e6);
    return `2026-12-01T00:45:${String(53 + Math.floor(ms / 1000)).padStart(2, "0")}.${String((ms % 1000) * 1e6 + (at % 1e6)).padStart(9, "0")}Z`;
  };
  const who = (pid, ppid, exe) => ({ pid, tid: pid, ppid, exe, uid: 1000, euid: 1000 });
  const sh = who(100, 1, "/usr/bin/dash");
  const cat = who(101, 100, "/usr/bin/cat");
  const python = who(102, 100, "/usr/bin/python3.11");
  const sudo = who(103, 100, "/usr/bin/sudo");
  const add = (event, process, fields = {}) =>
    lines.push(JSON.stringify({ time: time(), event, ...process, ...fields }));
  const say = (object) => lines.push(JSON.stringify(object));
  say({
    begin: {
      version: "0.1.0", host: "web-1", kernel: "6.1.0", machine: "x86_64", is_resumed: false,
      reasons: { setuid: { why: "set-uid or set-gid: the loader ignores LD_PRELOAD", fix: "name the sensor in /etc/ld.so.preload" } },
    },
  });
  add("process.start", sh, { path: "/bin/sh", argv: ["sh", "-c", "cat /etc/shadow; python3 fetch.py"], cwd: "/srv", coverage: "hooked" });
  add("file.stat", sh, { call: "stat", ret: -1, error: "ENOENT", path: "/usr/local/bin/cat" });
  add("process.fork", sh, { call: "fork", child: 101 });
  add("process.start", cat, { path: "/usr/bin/cat", argv: ["cat", "/etc/shadow"], cwd: "/srv", coverage: "hooked" });
  add("file.open", cat, { call: "openat", ret: -1, error: "EACCES", path: "/etc/shadow", flags: ["O_RDONLY"] });
  say({
    alert: {
      rule: "Password hashes read", priority: "Warning", tags: ["T1003.008"], source: "syscall",
      output: "cat /etc/shadow read /etc/shadow (user you, parent sh)", fields: { "fd.name": "/etc/shadow" },
      ancestry: [
        { pid: 101, exe: "/usr/bin/cat", name: "cat", argv: ["cat", "/etc/shadow"] },
        { pid: 100, exe: "/usr/bin/dash", name: "sh", argv: ["sh"] },
        { pid: 50, exe: "/usr/sbin/sshd", name: "sshd", argv: ["sshd"] },
      ],
    },
  });
  add("process.exit", cat, { code: 1, user_ns: 800_000, system_ns: 200_000, max_rss: 2_000_000, sensor_ns: 30_000, calls: 9, events: 3, lost: 0 });
  add("process.fork", sh, { call: "fork", child: 102 });
  add("process.start", python, { path: "/usr/bin/python3", argv: ["python3", "fetch.py"], cwd: "/srv", coverage: "hooked" });
  add("dns.query", python, { call: "getaddrinfo", ret: 0, host: "db.example", answers: ["10.0.0.5"] });
  add("net.socket", python, { call: "socket", ret: 3, fd: 3, family: "AF_INET", type: "SOCK_STREAM" });
  add("net.connect", python, { call: "connect", ret: -1, error: "ECONNREFUSED", fd: 3, remote: "10.0.0.5:5432", host: "db.example", family: "AF_INET" });
  add("net.connect", python, { call: "connect", ret: 0, fd: 4, remote: "10.0.0.6:443", family: "AF_INET" });
  add("net.close", python, { call: "close", ret: 0, fd: 4, remote: "10.0.0.6:443", bytes_sent: 512, bytes_received: 40_960, open_ns: 9_000_000 });
  add("file.open", python, { call: "open", ret: 5, path: "/srv/out/re\u202egpj.exe", fd: 5, flags: ["O_WRONLY", "O_CREAT", "O_TRUNC"] });
  add("file.close", python, { call: "close", ret: 0, path: "/srv/out/re\u202egpj.exe", fd: 5, bytes_read: 0, bytes_written: 40_960, reads: 0, writes: 5, open_ns: 800_000 });
  add("file.open", python, { call: "open", ret: -1, error: "ENOENT", path: "/srv/<img src=x onerror=alert(1)>", flags: ["O_RDONLY"] });
  add("process.fork", sh, { call: "fork", child: 103 });
  add("sensor.blind", sudo, { path: "/usr/bin/sudo", reason: "setuid", argv: ["sudo", "-n", "id"] });
  add("process.exit", sudo, { code: 0, user_ns: 1_000_000, system_ns: 1_000_000, events: 0, lost: 0 });
  add("process.exit", python, { signal: 9, user_ns: 20_000_000, system_ns: 5_000_000, max_rss: 12_000_000, sensor_ns: 400_000, calls: 80, events: 9, lost: 7 });
  add("sensor.loss", python, { count: 7, reason: "ring_full" });
  add("process.exit", sh, { code: 0, user_ns: 900_000, system_ns: 300_000, max_rss: 1_900_000, sensor_ns: 50_000, calls: 12, events: 7, lost: 0 });
  say({ end: { restarts: 0, collector_ns: 12_000_000 } });
  return lines;
}

/** As many events of a shell that opens files, with a few failures.
 * @param {number} events
 * @returns {string[]} */
export function many(events) {
  const lines = [JSON.stringify({ begin: { version: "0.1.0", host: "web-1", kernel: "6.1", machine: "x86_64", is_resumed: false, reasons: {} } })];
  const start = Date.UTC(2026, 11, 1);
  for (let number = 0; number < events; number += 1) {
    const at = number * 13_457;
    const time = `${new Date(start + Math.floor(at / 1e6)).toISOString().slice(0, 20)}${String(at % 1e9).padStart(9, "0")}Z`;
    const pid = 1000 + Math.floor(number / 200);
    const head = { pid, tid: pid, ppid: 999, exe: "/usr/bin/dash", uid: 0, euid: 0, seq: number % 200, via: "symbol" };
    const path = `/srv/data/${number % 977}/part-${number % 4999}.bin`;
    const line =
      number % 200 === 0
        ? { time, event: "process.start", ...head, path: "/bin/sh", argv: ["sh", "-c", `work ${pid}`], cwd: "/", coverage: "hooked" }
        : number % 200 === 199
          ? { time, event: "process.exit", ...head, code: 0, user_ns: 1e6, system_ns: 1e6, sensor_ns: 1e4, calls: 200, events: 200, lost: 0 }
          : number % 50 === 7
            ? { time, event: "file.open", call: "openat", ...head, ret: -1, error: "EACCES", path, flags: ["O_RDONLY", "O_CLOEXEC"] }
            : number % 2 === 0
              ? { time, event: "file.open", call: "openat", ...head, ret: 3, path, fd: 3, flags: ["O_RDONLY", "O_CLOEXEC"] }
              : { time, event: "file.close", call: "close", ...head, ret: 0, path, fd: 3, bytes_read: number % 8192, bytes_written: 0, reads: 2, writes: 0, open_ns: 4711 + (number % 1000) };
    lines.push(JSON.stringify(line));
  }
  lines.push(JSON.stringify({ end: { restarts: 0, collector_ns: 1e9 } }));
  return lines;
}
