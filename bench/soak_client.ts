/**
 * One client of a long run. Besides what `pki bench` does it asks for statuses, takes certificates back,
 * and vanishes without a word at any point of a dialogue. Every answer is checked.
 */

import { Buffer } from "node:buffer";
import { encodeBase64, parseBase64 } from "../lib/base/bytes.ts";
import type { Account } from "../lib/load/account.ts";
import { LoadClient, type Operation } from "../lib/load/client.ts";
import type { Judge } from "../lib/load/judge.ts";
import type { Performer } from "../lib/load/run.ts";
import type { Connector } from "../lib/load/target.ts";
import { prepareRequest, type Wire, wrongAnswer } from "../lib/load/wire.ts";
import { parseAnswer, parseAnswerBody } from "../lib/protocol/answers.ts";
import { encodeRequest } from "../lib/protocol/requests.ts";
import { type Certificate, parseCertificate } from "../lib/x509/certificate.ts";
import { encodeOcspRequest } from "../lib/x509/ocsp.ts";
import { judgeOcspResponse } from "../lib/x509/ocsp_judge.ts";
import { parseCertificatesPem } from "../lib/x509/pem.ts";

export type SoakOperation = Operation | "status" | "revoke" | "vanish";

/** Of each hundred operations so many are this one: a busy group, and some whose network is bad. */
export const SOAK_WEIGHTS: Readonly<Record<SoakOperation, number>> = {
  lookup: 60,
  status: 15,
  visit: 12,
  issue: 4,
  revoke: 2,
  login: 4,
  vanish: 3,
};

const HELLO = encodeRequest(1, "HELLO", {});

/** What somebody has sent when they vanish, besides the handshake. */
const LAST_WORDS: readonly (readonly Uint8Array[])[] = [
  [],
  [HELLO.subarray(0, 2)],
  [HELLO.subarray(0, HELLO.length - 1)],
  [HELLO],
  [HELLO, encodeRequest(2, "LOGIN_CERTIFICATE", {})],
  [HELLO, encodeRequest(2, "LOGIN_CERTIFICATE", {}), encodeRequest(3, "CERTREQ", { id: "nobody" })],
];

export class SoakClient implements Performer<SoakOperation> {
  readonly #client: LoadClient;
  readonly #connector: Connector;
  readonly #who: Account;
  readonly #leaf: Certificate;
  readonly #issuing: Certificate;

  constructor(options: {
    readonly connector: Connector;
    readonly judge: Judge;
    readonly who: Account;
  }) {
    this.#client = new LoadClient(options);
    this.#connector = options.connector;
    this.#who = options.who;
    const [leaf, issuing] = parseCertificatesPem(options.who.identity.cert, "the account's")
      .map((der) => parseCertificate(der));
    if (!leaf || !issuing) throw new Error("an account has no certificate");
    this.#leaf = leaf;
    this.#issuing = issuing;
  }

  async perform(operation: SoakOperation): Promise<void> {
    switch (operation) {
      case "status":
        return await this.#checkStatus(this.#leaf, "good");
      case "revoke":
        return await this.#revoke();
      case "vanish":
        return await this.#vanish();
      default:
        return await this.#client.perform(operation);
    }
  }

  close(): void {
    this.#client.close();
  }

  /** OCSP, in the session that stays. */
  async #checkStatus(leaf: Certificate, wanted: "good" | "revoked"): Promise<void> {
    const wire = await this.#client.openLine();
    const request = encodeOcspRequest({ issuer: this.#issuing, serials: [leaf.serial] });
    const body = await wire.ask(prepareRequest("STATUS", { request: encodeBase64(request) }));
    const { response } = fieldsOf("STATUS", body);
    const { status } = judgeOcspResponse(parseBase64(response), {
      leaf,
      issuing: this.#issuing,
      nowMs: this.#connector.target.now(),
    });
    if (status !== wanted) throw wrongAnswer(`${leaf.serial} is ${status}, not ${wanted}`);
  }

  /** A certificate is issued, taken back, and said to be so. */
  async #revoke(): Promise<void> {
    const wire: Wire = await this.#client.openLine();
    const { certificate } = fieldsOf("CSR", await wire.ask(this.#who.csr));
    const leaf = parseCertificate(parseBase64(certificate));
    const { serial } = fieldsOf(
      "REVOKE",
      await wire.ask(prepareRequest("REVOKE", { serial: leaf.serial })),
    );
    if (serial !== leaf.serial) throw wrongAnswer(`${serial} was revoked, not ${leaf.serial}`);
    await this.#checkStatus(leaf, "revoked");
  }

  /** Connects, says something or not, and is gone. */
  async #vanish(): Promise<void> {
    const socket = await this.#connector.connect(this.#who.identity);
    const words = LAST_WORDS[Math.floor(Math.random() * LAST_WORDS.length)] ?? [];
    for (const bytes of words) socket.write(Buffer.from(bytes));
    // What was written is on its way; whether it arrives is nobody's concern.
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
  }
}

function fieldsOf<T extends "STATUS" | "CSR" | "REVOKE">(type: T, body: Buffer) {
  const answer = parseAnswer(body);
  if (!answer.ok) throw wrongAnswer("an error that is called OK");
  return parseAnswerBody(type, answer.body);
}
