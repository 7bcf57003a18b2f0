// From the document's elements to lines: base64, gzip, UTF-8. Each may end anywhere: a collector that is
// killed leaves a file that stops in the middle of a group, a block or a line.

/** The bytes of base64 that may be cut; white space does not count. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  // `atob` passes over white space. What is no whole group at the end is left out.
  const tidy = text.replace(/[^A-Za-z0-9+/=]+/g, "");
  const whole = tidy.slice(0, tidy.length - (tidy.length % 4));
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let at = 0; at < whole.length; at += 1 << 20) {
    const binary = atob(whole.slice(at, at + (1 << 20)));
    const part = new Uint8Array(binary.length);
    for (let place = 0; place < binary.length; place += 1) part[place] = binary.charCodeAt(place);
    parts.push(part);
    length += part.length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** How a stream ended. */
export interface Ending {
  /** It has its end, and its checksum holds. */
  isWhole: boolean;
  /** Why it has not. */
  why: string;
}

/**
 * Gives the text of a gzip stream piece by piece.
 *
 * An error of the stream drops what its reader has not taken. So bytes go in a little at a time, each piece only
 * after everything before it was read, and the end, which may be the error, comes last.
 */
export async function inflate(bytes: Uint8Array<ArrayBuffer>, take: (text: string) => void): Promise<Ending> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const decoder = new TextDecoder();
  let why = "";
  const failed = (error: unknown) => {
    why ||= error instanceof Error ? error.message : String(error);
  };
  const reading = (async () => {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        take(decoder.decode(value as Uint8Array<ArrayBuffer>, { stream: true }));
      }
    } catch (error) {
      failed(error);
    }
  })();
  try {
    const STEP = 32 << 10;
    for (let at = 0; at < bytes.length; at += STEP) await writer.write(bytes.subarray(at, at + STEP));
    // Taken in only once everything before it was read.
    await writer.write(new Uint8Array(0));
    await writer.close();
  } catch (error) {
    failed(error);
  }
  await reading;
  take(decoder.decode());
  return { isWhole: why === "", why };
}

/** Divides text into lines; the last one counts only if its end is there. */
export class Lines {
  private rest = "";

  constructor(private readonly take: (line: string) => void) {}

  add(text: string): void {
    let from = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      if (end < 0) break;
      const line = this.rest + text.slice(from, end);
      this.rest = "";
      if (line !== "") this.take(line);
      from = end + 1;
    }
    this.rest += text.slice(from);
  }

  /** Begins anew; says whether half a line is thrown away. */
  end(): boolean {
    const isCut = this.rest !== "";
    this.rest = "";
    return isCut;
  }
}
