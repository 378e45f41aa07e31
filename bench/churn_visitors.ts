/**
 * Short connections to a server, so many at a time: TLS, `HELLO`, its answer, and gone. Says how much
 * memory, how many files and threads the server has after every so many.
 *
 * Run by bun, the engine of the executable; takes JSON as its argument, prints a line of JSON each time.
 */

import process from "node:process";
import { connect } from "node:tls";
import { TLS_OPTIONS } from "../lib/base/tls.ts";
import { PROTOCOL } from "../lib/protocol/message_fields.ts";
import { encodeRequest } from "../lib/protocol/requests.ts";
import { usageOf } from "./cpu.ts";

export interface ChurnOptions {
  readonly port: number;
  readonly pid: number;
  readonly visits: number;
  /** After how many visits the server is looked at. */
  readonly every: number;
  readonly atOnce: number;
}

export interface ChurnReading {
  readonly visits: number;
  readonly residentMiB: number;
  readonly files: number;
  readonly threads: number;
}

const { port, pid, visits, every, atOnce } = JSON.parse(process.argv[2] ?? "") as ChurnOptions;
const HELLO = encodeRequest(1, "HELLO", {});

function visit(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...TLS_OPTIONS, host: "127.0.0.1", port, ALPNProtocols: [PROTOCOL] });
    let isAnswered = false;
    socket.once("secureConnect", () => socket.write(HELLO));
    socket.once("data", () => {
      isAnswered = true;
      socket.destroy();
    });
    socket.once("error", reject);
    socket.once("close", () => isAnswered ? resolve() : reject(new Error("closed unanswered")));
  });
}

function read(done: number): ChurnReading {
  const { residentBytes, descriptors, threads } = usageOf(pid);
  return {
    visits: done,
    residentMiB: Math.round(residentBytes / 2 ** 20),
    files: descriptors,
    threads,
  };
}

let begun = 0;
let done = 0;
console.log(JSON.stringify(read(0)));
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (begun < visits) {
    begun++;
    await visit();
    if (++done % every === 0) console.log(JSON.stringify(read(done)));
  }
}));
