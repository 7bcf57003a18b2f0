// Text of programs, made safe to look at, and numbers as people read them.
//
// The same rules as the collector's: deploy/src/visible.rs for characters, collector/src/sinks/text.rs for
// numbers.

const HIDDEN_SET =
  "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\u{13430}-\\u{1343f}" +
  "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}\\u{d800}-\\u{dfff}";
const HIDDEN = new RegExp(`[${HIDDEN_SET}]`, "u");
const HIDDEN_ALL = new RegExp(`[${HIDDEN_SET}]`, "gu");
const PIECES = new RegExp(`([${HIDDEN_SET}]+)`, "u");

/** The escape of one hidden character. */
function escape(letter: string): string {
  switch (letter) {
    case "\n":
      return "\\n";
    case "\t":
      return "\\t";
    case "\r":
      return "\\r";
    default:
      return `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`;
  }
}

/** Text in one line, in which every character shows: controls, directions and joiners become escapes. */
export function visible(text: string): string {
  return HIDDEN.test(text) ? text.replace(HIDDEN_ALL, escape) : text;
}

/** The text in pieces: those at odd places are escapes of what does not show. */
export function pieces(text: string): string[] {
  if (!HIDDEN.test(text)) return [text];
  return text.split(PIECES).map((piece, place) => (place % 2 === 1 ? piece.replace(HIDDEN_ALL, escape) : piece));
}

/** The text, cut to `most` characters. */
export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** The last part of a path. */
export function base(path: string): string {
  const at = path.lastIndexOf("/", path.length - 2);
  return at < 0 ? path : path.slice(at + 1);
}

function scaled(number: number, units: readonly string[]): string {
  let unit = 0;
  while (number >= 999.5 && unit + 1 < units.length) {
    number /= 1000;
    unit += 1;
  }
  const shown = unit === 0 || number >= 9.95 ? number.toFixed(0) : number.toFixed(1);
  return `${shown} ${units[unit]}`;
}

/** A number of bytes: `999 B`, `1.5 kB`. */
export function size(bytes: number): string {
  return scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** A duration in nanoseconds: `12 ns`, `1.5 ms`, `3 m 20 s`, `2 h 05 m`. */
export function duration(ns: number): string {
  const seconds = Math.floor(ns / 1e9);
  const two = (number: number) => String(number).padStart(2, "0");
  if (seconds < 100) return scaled(Math.max(0, ns), ["ns", "µs", "ms", "s"]);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} m`;
}

/** A count with its digits in groups. */
export function count(number: number): string {
  return String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** `1 file`, `2 files`, `3 processes`. */
export function plural(number: number, noun: string): string {
  const ending = number === 1 ? "" : /(s|ch)$/.test(noun) ? "es" : "s";
  return `${count(number)} ${noun}${ending}`;
}

/** A share of a whole: `0.4 %`. */
export function percent(part: number, whole: number): string {
  if (!(whole > 0)) return "–";
  const share = (100 * part) / whole;
  return `${share >= 9.95 ? share.toFixed(0) : share.toFixed(1)} %`;
}

const SIGNALS: Record<number, string> = {
  1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
  9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
  16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
  23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
  30: "SIGPWR", 31: "SIGSYS",
};

/** A signal's name. */
export function signal(number: number): string {
  return SIGNALS[number] ?? `signal ${number}`;
}

/** Arguments as a shell would take them, for reading. */
export function command(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}
