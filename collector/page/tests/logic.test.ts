import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { about } from "../src/event.ts";
import { Lines, bytesOf, inflate } from "../src/decode.ts";
import { Processes, endOf, lineOf, nameOf } from "../src/processes.ts";
import { PRIORITIES, Store, instant } from "../src/store.ts";
import * as tables from "../src/tables.ts";
import { count, duration, pieces, plural, size, visible } from "../src/text.ts";
import { TALLEST, stretch } from "../src/list.ts";
import { label, step } from "../src/timeline.ts";
import { many, scene } from "./report.js";

function read(lines: readonly string[]) {
  const store = new Store();
  for (const line of lines) store.take(line);
  const processes = new Processes(store);
  return { store, processes, rows: Uint32Array.from({ length: store.length }, (_, event) => event) };
}

/** A line of an event, with the parts that every one has. */
function line(ms: number, event: string, pid: number, fields: object = {}): string {
  const time = `2026-12-01T00:00:00.${String(ms).padStart(3, "0")}000000Z`;
  return JSON.stringify({ time, event, pid, exe: "/bin/x", ...fields });
}

describe("a document that may end anywhere", () => {
  const text = many(5000).join("\n") + "\n";
  const base64 = gzipSync(text).toString("base64").replace(/(.{64})/g, "$1\n");
  const unpacked = async (bytes: Uint8Array<ArrayBuffer>) => {
    let all = "";
    const ending = await inflate(bytes, (piece) => (all += piece));
    return { all, ending };
  };

  test("a whole one gives everything", async () => {
    const { all, ending } = await unpacked(bytesOf(base64));

    expect(all).toBe(text);
    expect(ending.isWhole).toBe(true);
  });

  test.each([0.99, 0.5, 0.1])("of a stream that ends at %f everything before is there", async (share) => {
    const { all, ending } = await unpacked(bytesOf(base64.slice(0, Math.floor(base64.length * share))));

    expect(ending.isWhole).toBe(false);
    expect(text.startsWith(all)).toBe(true);
    // Deflate holds back a block at most.
    expect(all.length).toBeGreaterThan(text.length * (share - 0.2));
  });

  test("a damaged one gives what stands before the damage", async () => {
    const bytes = bytesOf(base64);
    bytes.fill(255, Math.floor(bytes.length / 2));

    const { all, ending } = await unpacked(bytes);

    expect(ending.isWhole).toBe(false);
    expect(all.length).toBeGreaterThan(text.length / 4);
  });

  test("nothing at all is no error", async () => {
    expect((await unpacked(bytesOf(""))).all).toBe("");
    expect(bytesOf("QU").length).toBe(0);
  });

  test("half a line does not count", () => {
    const got: string[] = [];
    const lines = new Lines((line) => got.push(line));
    lines.add('{"a"');
    lines.add(":1}\n\n{");

    expect(lines.end()).toBe(true);
    expect(got).toEqual(['{"a":1}']);
  });
});

describe("text", () => {
  test("what does not show, or turns text around, becomes an escape", () => {
    expect(visible("re\u202egpj.exe")).toBe("re\\u{202e}gpj.exe");
    expect(visible("a\n\u0000\u200b\u{e0001}\ud800")).toBe("a\\n\\u{0}\\u{200b}\\u{e0001}\\u{d800}");
    expect(visible("ä 日本 ü\\x")).toBe("ä 日本 ü\\x");
    expect(pieces("a\u202eb")).toEqual(["a", "\\u{202e}", "b"]);
  });

  test("numbers as people read them", () => {
    expect([0, 999, 1000, 1540, 20_400, 999_999].map(size)).toEqual(["0 B", "999 B", "1.0 kB", "1.5 kB", "20 kB", "1.0 MB"]);
    expect([12, 1540, 42e9, 200e9, 7510e9].map(duration)).toEqual(["12 ns", "1.5 µs", "42 s", "3 m 20 s", "2 h 05 m"]);
    expect(count(1_234_567)).toBe("1\u202f234\u202f567");
    expect(["file", "process", "search"].map((noun) => plural(2, noun))).toEqual(["2 files", "2 processes", "2 searches"]);
  });

  test("the axis is round and as exact as it is close", () => {
    expect([step(1000, 10), step(1_300_000, 12), step(7, 10)]).toEqual([100, 200_000, 1]);
    expect([label(0, 5), label(1_234_000_000, 1e6), label(3e9, 1e9)]).toEqual(["0", "1\u202f234 ms", "3 s"]);
  });

  test("a time keeps its nanoseconds", () => {
    expect(instant("2026-12-01T00:00:01.123456789Z")).toEqual([1796083201, 123_456_789]);
  });
});

describe("processes", () => {
  test("each stands under the one that made it, with its program, its end and its cost", () => {
    const { processes } = read(scene());

    const [sh, cat, python, sudo] = processes.list as [never, never, never, never];
    expect(processes.list.map((process) => [process.pid, process.parent])).toEqual([[100, -1], [101, 0], [102, 0], [103, 0]]);
    expect(processes.list.map((process) => endOf(process).text)).toEqual(["exit 0", "exit 1", "SIGKILL", "exit 0"]);
    expect([nameOf(sh), nameOf(cat), lineOf(python), lineOf(sudo)]).toEqual(["sh (dash)", "cat", "python3.11 fetch.py", "sudo -n id"]);
    expect(processes.at(3).blind).toBe("setuid");
    expect([processes.at(1).failures, processes.at(1).alerts]).toEqual([1, 1]);
  });

  test("a number that is used again is another process", () => {
    const { processes } = read([
      line(1, "process.start", 7, { argv: ["one"] }), line(2, "process.exit", 7, { code: 0 }),
      line(3, "process.start", 7, { argv: ["two"] }), line(4, "file.open", 7, { path: "/x" }),
    ]);

    expect(processes.list.map((process) => process.events)).toEqual([2, 2]);
  });

  test("a child that ended before its parent's fork returned is one process", () => {
    const { processes } = read([
      line(1, "process.start", 1, { argv: ["sh"] }), line(2, "process.start", 2, { ppid: 1, argv: ["true"] }),
      line(3, "process.exit", 2, { ppid: 1, code: 0 }), line(4, "process.fork", 1, { child: 2 }),
    ]);

    expect(processes.list.map((process) => process.parent)).toEqual([-1, 0]);
  });

  test("the same number in two namespaces is two processes", () => {
    const { processes } = read([line(1, "file.open", 1), line(2, "file.open", 1, { pid_ns: 4026532000 })]);

    expect(processes.list.length).toBe(2);
  });

  test("processes that claim to be each other's parents make no circle", () => {
    const { processes } = read([
      line(1, "file.open", 1, { ppid: 2 }), line(2, "file.open", 2, { ppid: 1 }), line(3, "process.fork", 1, { child: 2 }),
      line(4, "process.fork", 2, { child: 1 }),
    ]);

    expect(processes.roots.length).toBe(1);
    expect([...processes.below(1)].sort()).toEqual([0, 1]);
  });
});

describe("tables", () => {
  const chosen = read(scene());

  test("failures stand by name, the grave ones first, and a search that led somewhere last", () => {
    const rows = tables.failures(chosen).map((row) => `${row.error} ${row.what} by ${row.program}${row.isSearch ? " *" : ""}`);

    expect(rows).toEqual([
      "EACCES /etc/shadow by cat",
      "ECONNREFUSED 10.0.0.5:5432 (db.example) by python3.11",
      "ENOENT /srv/<img src=x onerror=alert(1)> by python3.11",
      "ENOENT /usr/local/bin/cat by sh (dash) *",
    ]);
  });

  test("bytes stand with their file and their peer", () => {
    const file = tables.files(chosen).find((row) => row.written > 0);
    const peers = tables.peers(chosen).map((row) => [row.address, row.times, row.failed, row.sent, row.received]);

    expect([file?.path, file?.written, file?.by]).toEqual(["/srv/out/re\u202egpj.exe", 40_960, "python3.11"]);
    expect(peers).toEqual([["10.0.0.5:5432", 0, 1, 0, 0], ["10.0.0.6:443", 1, 0, 512, 40_960]]);
    expect(tables.lookups(chosen).map((row) => [row.host, row.answers])).toEqual([["db.example", "10.0.0.5"]]);
  });

  test("a connection that failed later is no connection", () => {
    const [row] = tables.peers(read([
      line(1, "net.connect", 1, { remote: "1.2.3.4:5", pending: true }),
      line(2, "net.connected", 1, { remote: "1.2.3.4:5", error: "ETIMEDOUT" }),
    ]));

    expect([row?.times, row?.failed, row?.error]).toEqual([0, 1, "ETIMEDOUT"]);
  });

  test("losses, blindness and alerts are counted by reason and rule", () => {
    expect(tables.reasons(chosen, "sensor.loss").map((row) => [row.reason, row.times])).toEqual([["ring_full", 7]]);
    expect(tables.reasons(chosen, "sensor.blind").map((row) => [row.reason, row.program])).toEqual([["setuid", "/usr/bin/sudo"]]);
    expect(tables.rules(chosen, PRIORITIES).map((row) => [row.priority, row.rule, row.times])).toEqual([["Warning", "Password hashes read", 1]]);
  });

  test("every event has a line", () => {
    const { store } = chosen;
    const lines = Array.from({ length: store.length }, (_, event) => about(store, event));

    expect(lines).toContain("7 events lost: ring_full");
    expect(lines.every((text) => !text.includes("NaN") && !text.includes("undefined"))).toBe(true);
  });
});

test("lines that are no events are counted, and change nothing", () => {
  const { store } = read(["nonsense", "[]", "null", '{"x":1}', line(1, "file.open", 1)]);

  expect([store.length, store.malformed]).toEqual([1, 4]);
});

test("a number in one event and a text in the next are both kept", () => {
  const { store } = read([
    line(1, "x.y", 1, { mode: 420 }), line(2, "x.y", 1, { mode: ["R_OK"] }), line(3, "x.y", 1), line(4, "x.y", 1, { mode: 0 }),
  ]);

  expect([0, 1, 2, 3].map((event) => store.text(event, "mode"))).toEqual(["420", "R_OK", "", "0"]);
});

test("a hundred thousand events are filtered in 100 ms", async () => {
  const { Search, parse } = await import("../src/filter.ts");
  const { store, processes } = read(many(100_000));
  const search = new Search(store, processes);
  search.rows(parse("warm"));
  const taken = ["part-4999", "error=EACCES", "path~data/97 and not error=*"].map((typed) => {
    const times = Array.from({ length: 10 }, () => {
      const begun = performance.now();
      search.rows(parse(typed));
      return performance.now() - begun;
    });
    return Math.min(...times);
  });

  expect(Math.max(...taken)).toBeLessThan(100);
});

test("a file that the command names counts more than those that its program tries", () => {
  const rows = tables.failures(read([
    line(1, "process.start", 1, { argv: ["ls", "/nope"] }),
    ...[2, 3, 4].map((ms) => line(ms, "file.stat", 1, { error: "ENOENT", path: "/etc/tried" })),
    line(5, "file.stat", 1, { error: "ENOENT", path: "/nope" }),
  ]));

  expect(rows.map((row) => row.what)).toEqual(["/nope", "/etc/tried"]);
});

test("a name that is looked for in vain in many places is told once", () => {
  const rows = tables.failures(read([
    ...["/a/sudo", "/b/sudo", "/c/sudo"].map((path, ms) => line(ms, "file.stat", 1, { error: "ENOENT", path })),
    line(4, "file.stat", 1, { error: "ENOENT", path: "/a/other" }),
    line(5, "file.stat", 2, { exe: "/bin/y", error: "ENOENT", path: "/a/sudo" }),
  ]));

  expect(rows.map((row) => `${row.what} ${row.times} ${row.program}`)).toEqual([
    "sudo in 3 places 3 x", "/a/other 1 x", "/a/sudo 1 y",
  ]);
});

test("rows beyond what a browser can scroll are reached, the first and the last", () => {
  const [full, room] = [2_000_000 * 27, 700];

  expect(stretch(1000 * 27, room)).toBe(1);
  expect((TALLEST - room) * stretch(full, room)).toBeCloseTo(full - room, 3);
});
