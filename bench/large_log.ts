/**
 * Makes a data folder with many certificates: a server is set up, then entries are appended to its
 * log by the journal itself. Each has a certificate of the right form; only the first is signed, the
 * others are it with another serial number, which is all that start, memory and lookups depend on.
 */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { encodeBase64, encodeHex, parseBase64 } from "../lib/base/bytes.ts";
import type { Entry } from "../lib/log/entry.ts";
import { diskFiles } from "../lib/store/disk.ts";
import { startJournal } from "../lib/store/start_journal.ts";
import { LogIndex } from "../lib/store/log_index.ts";
import { readLog } from "../lib/store/segments.ts";
import { certificateOf } from "../lib/store/state.ts";
import { parseCertificate } from "../lib/x509/certificate.ts";

/** So many entries share a sync while the log is made. */
const BATCH = 4096;
const SERIAL_BYTES = 20;

/**
 * Appends certificates to the log of a server that has stopped, for as many users.
 * @param folder data folder with at least one certificate in its log
 * @param options.areRevoked whether each is revoked, too
 * @param options.users so many users have them in turn; as many as there are certificates without it
 * @param options.published so many of them, spread over all, are published by {@link publishedId}
 */
export async function growLog(
  folder: string,
  certificates: number,
  { areRevoked = false, users = certificates, published = 0 }: {
    readonly areRevoked?: boolean;
    readonly users?: number;
    readonly published?: number;
  } = {},
): Promise<void> {
  const log = join(folder, "log");
  const index = new LogIndex();
  let template: string | undefined;
  const reading = await readLog({
    files: diskFiles,
    folder: log,
    index,
    mode: "existing",
    onEntry: (entry) => {
      if (entry.type === "issued") template ??= certificateOf(entry);
    },
  });
  if (template === undefined) throw new Error("there is no certificate to make others from");
  const der = parseBase64(template);
  const serialAt = indexOf(der, parseCertificate(der).serial);
  const journal = await startJournal(reading, { files: diskFiles, folder: log, index });
  const serials: string[] = [];
  let others = 0;
  let plain = 0;
  for (let made = 0; made < certificates; made += BATCH) {
    const count = Math.min(BATCH, certificates - made);
    await Promise.all(Array.from({ length: count }, (_, i) => {
      const serial = randomBytes(SERIAL_BYTES);
      serial[0] = 0x40 | (serial[0] ?? 0) & 0x3f;
      der.set(serial, serialAt);
      serials.push(encodeHex(serial));
      const isPublished = Math.floor((made + i + 1) * published / certificates) > others;
      const id = isPublished ? publishedId(others++) : `user${plain++ % users}`;
      const issued: Entry = {
        type: "issued",
        timeMs: Date.now(),
        public: { profile: "user", id, certificate: encodeBase64(der) },
        private: null,
        salt: null,
      };
      const entries = isPublished
        ? [registered(id), issued, publication(encodeHex(serial))]
        : [issued];
      return Promise.all(entries.map((entry) => journal.append(entry)));
    }));
  }
  for (let made = 0; areRevoked && made < certificates; made += BATCH) {
    await Promise.all(
      serials.slice(made, made + BATCH).map((serial) =>
        journal.append({
          type: "revoked",
          timeMs: Date.now(),
          public: { serial },
          private: { reason: "superseded" },
          salt: new Uint8Array(randomBytes(32)),
        })
      ),
    );
  }
  await journal.close();
  // They stand for the log as it was.
  fs.rmSync(join(folder, "state.db"), { force: true });
}

/** Who has published a certificate, by a number; all are equally long. */
export function publishedId(number: number): string {
  return `known${String(number).padStart(6, "0")}`;
}

/** An account that nobody logs in to. */
function registered(id: string): Entry {
  return {
    type: "registered",
    timeMs: Date.now(),
    public: {},
    private: { id, credential: "none", record: "none", address: "127.0.0.1" },
    salt: new Uint8Array(randomBytes(32)),
  };
}

function publication(serial: string): Entry {
  return { type: "published", timeMs: Date.now(), public: { serial }, private: null, salt: null };
}

function indexOf(der: Uint8Array, serialHex: string): number {
  const at = encodeHex(der).indexOf(serialHex.toLowerCase()) / 2;
  if (!Number.isInteger(at)) throw new Error("the serial number was not found");
  return at;
}
