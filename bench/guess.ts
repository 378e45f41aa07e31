/** What a guess at a password costs the server: one that is answered, and one that is over the limit. */

import { PkiError } from "../lib/base/errors.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { connectServer } from "../lib/client/server_connection.ts";
import { loadOpaque, startLogin } from "../lib/protocol/opaque.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { usageOf } from "./cpu.ts";
import { startBenchServer } from "./server.ts";

/** An address has so many; some are left for what comes before measuring. */
const ANSWERED = LIMITS.addressGuessesAtOnce - 20;
const REFUSED = 10_000;

export async function benchGuess(show: (what: string, figures: string) => void): Promise<void> {
  const { port, anchor, pid, stop } = await startBenchServer();
  try {
    await loadOpaque();
    const connection = await connectServer({ host: "127.0.0.1", port }, anchor, {
      nowMs: Date.now(),
    });
    const { request } = startLogin("a guess", {
      id: "nobody",
      rootFingerprint: fingerprintOf(anchor.root.der),
    });
    const guess = async (id: string): Promise<"answered" | "refused"> => {
      try {
        await connection.request("LOGIN", { id, request });
        return "answered";
      } catch (error) {
        if (error instanceof PkiError && error.kind === "busy") return "refused";
        throw error;
      }
    };
    const measure = async (count: number, wanted: "answered" | "refused") => {
      const before = usageOf(pid).cpuSeconds;
      for (let i = 0; i < count; i++) {
        // Another name each time: what refuses is the address.
        const outcome = await guess(`${wanted}-${i}`);
        if (outcome !== wanted) throw new Error(`a guess was ${outcome}`);
      }
      return (usageOf(pid).cpuSeconds - before) / count * 1000;
    };
    for (let i = 0; i < 10; i++) await guess(`before-${i}`); // the engine compiles what runs
    const answeredMs = await measure(ANSWERED, "answered");
    while (await guess("rest") === "answered"); // until its own limit, or the address's
    for (let i = 0; await guess(`rest-${i}`) === "answered";) i++;
    const refusedMs = await measure(REFUSED, "refused");
    show(
      "a guess, answered",
      `${answeredMs.toFixed(1)} ms of server CPU; over the limit ${refusedMs.toFixed(2)} ms`,
    );
    connection.close();
  } finally {
    await stop();
  }
}
