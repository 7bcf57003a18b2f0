// Builds the page into one file: `node build.mjs [FILE]`, by default the one that the collector embeds.
//
// The policy of the file allows its own program and style, by their hashes, and nothing else: no network, no other
// script, no frame, no form.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../src/sinks/html/page.html");

/** Everything that the file is made from, by name. `xtask/src/page.rs` has the same list. */
function sources() {
  const own = ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"];
  const program = readdirSync(join(here, "src")).map((name) => `src/${name}`);
  return [...own, ...program].sort();
}

function hashOfSources() {
  const hash = createHash("sha256");
  for (const name of sources()) {
    const bytes = readFileSync(join(here, name));
    hash.update(`${name}\n${bytes.length}\n`);
    hash.update(bytes);
  }
  return hash.digest("hex");
}

const policyHash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const result = await build({
  root: here,
  configFile: false,
  logLevel: "warn",
  build: {
    write: false,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: { input: join(here, "src/page.ts"), output: { format: "es", codeSplitting: false } },
  },
});
const output = (Array.isArray(result) ? result[0] : result).output;
const program = output.filter((file) => file.type === "chunk").map((file) => file.code.trim()).join("\n");
const style = output
  .filter((file) => file.type === "asset" && file.fileName.endsWith(".css"))
  .map((file) => String(file.source).trim())
  .join("\n");
if (output.filter((file) => file.type === "chunk").length !== 1 || style === "") {
  throw new Error(`not one program and one style: ${output.map((file) => file.fileName).join(" ")}`);
}
for (const text of [program, style]) {
  if (/<\/(script|style)|<!--/i.test(text)) throw new Error("the program or the style would end its own element");
}
const policy = [
  "default-src 'none'",
  `script-src ${policyHash(program)}`,
  `style-src ${policyHash(style)}`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const values = { POLICY: policy, SOURCES: hashOfSources(), STYLE: style, PROGRAM: program };
const page = readFileSync(join(here, "index.html"), "utf8").replace(/%([A-Z]+)%/g, (whole, name) => values[name] ?? whole);
writeFileSync(target, page);
console.log(`${target}: ${page.length} characters`);
