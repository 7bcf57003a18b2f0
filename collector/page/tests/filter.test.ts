import { describe, expect, test } from "vitest";
import { type Query, Search, Wrong, amount, parse, quoted } from "../src/filter.ts";
import { Processes } from "../src/processes.ts";
import { Store } from "../src/store.ts";
import { scene } from "./report.js";

const field = (field: string, op: string, value: string): Query =>
  ({ is: "field", field, op, value, at: expect.anything() }) as unknown as Query;
const text = (text: string): Query => ({ is: "text", text });

describe("what is typed", () => {
  test("words stand for text, and several for all of them", () => {
    expect(parse("shadow cat")).toEqual({ is: "and", left: text("shadow"), right: text("cat") });
    expect(parse("")).toEqual({ is: "all" });
  });

  test("a value goes to the next space, whatever is in it", () => {
    expect(parse("path=/a=b~c")).toEqual(field("path", "=", "/a=b~c"));
    expect(parse("remote=[::1]:443")).toEqual(field("remote", "=", "[::1]:443"));
    expect(parse("error != ENOENT")).toEqual(field("error", "!=", "ENOENT"));
    expect(parse('path="/a b (c)"')).toEqual(field("path", "=", "/a b (c)"));
  });

  test("and binds more tightly than or, not most tightly", () => {
    expect(parse("a b or not c")).toEqual({
      is: "or",
      left: { is: "and", left: text("a"), right: text("b") },
      right: { is: "not", of: text("c") },
    });
    expect(parse("a and (b or c)")).toEqual({
      is: "and", left: text("a"), right: { is: "or", left: text("b"), right: text("c") },
    });
  });

  test("words in quotes are text", () => {
    expect(parse('"or"')).toEqual(text("or"));
    expect(parse("'say \"no\"'")).toEqual(text('say "no"'));
  });

  test.each([
    ["(a", "parenthesis"], ["a)", "parenthesis"], ["a and", "missing"], ["or a", "missing"], ["path=", "value"],
    ["=x", "field"], ['"a', "quotation"], ["!", "no meaning"],
  ])("%s is refused", (typed, why) => {
    expect(() => parse(typed)).toThrow(Wrong);
    expect(() => parse(typed)).toThrow(why);
  });

  test("what is quoted reads back", () => {
    for (const value of ["/etc/passwd", "a b", 'a"b\\c', "", "x)", "or"]) {
      expect(parse(`path=${quoted(value)}`)).toEqual(field("path", "=", value));
    }
  });

  test("numbers have units", () => {
    expect(["20ms", "1.5kB", "10", "0x10", "x", "1 parsec"].map(amount)).toEqual([2e7, 1500, 10, 16, NaN, NaN]);
  });
});

describe("what meets it", () => {
  const store = new Store();
  for (const line of scene()) store.take(line);
  const search = new Search(store, new Processes(store));
  const found = (typed: string) =>
    [...search.rows(parse(typed))].map((event) => `${store.text(event, "pid")} ${store.kind(event).name}`);

  test.each([
    ["error=EACCES", ["101 file.open"]],
    ["error=eacces", ["101 file.open"]],
    ["path=/etc/shadow", ["101 file.open"]],
    ["/etc/SHADOW", ["100 process.start", "101 process.start", "101 file.open"]],
    ["argv=fetch.py", ["102 process.start"]],
    ["signal=9", ["102 process.exit"]],
    ["bytes_received>=40kB", ["102 net.close"]],
    ["rule~hashes", ["101 file.open"]],
    ["priority=warning", ["101 file.open"]],
    ["host=db.example error=*", ["102 net.connect"]],
    ["event=dns.query or reason=setuid", ["102 dns.query", "103 sensor.blind"]],
    ["program=cat event!=file.open", ["101 process.start", "101 process.exit"]],
    ["tree=101 not error=*", ["101 process.start", "101 process.exit"]],
    ["nothing has this", []],
  ])("%s", (typed, expected) => {
    expect(found(typed)).toEqual(expected);
  });

  test("no comparison is true of a field that is not there", () => {
    expect(found("error!=ENOENT")).toEqual(["101 file.open", "102 net.connect"]);
    expect(found("not error=ENOENT").length).toBe(store.length - 2);
  });

  test("time is counted from the first event", () => {
    expect(found("at=0ns")).toEqual(["100 process.start"]);
    expect(found("at>0ns").length).toBe(store.length - 1);
  });

  test("an unknown field is told, with one that is like it", () => {
    expect(() => found("pth=/x")).toThrow("did you mean 'path'?");
    expect(() => found("path<3")).not.toThrow();
    expect(() => found("pid<many")).toThrow("number");
  });
});
