/**
 * The directory's events: what its entries and requests are called in the server's log lines. Of an
 * entry only the fields that are named here are told, so that nothing private gets out by accident.
 */

import { parseBase64 } from "../base/bytes.ts";
import { reportError } from "../base/errors.ts";
import type { Entry, EntryType } from "../log/entry.ts";
import type { Request, RequestType } from "../protocol/requests.ts";
import { parseIssuedFacts } from "../x509/certificate.ts";
import type { EventLog, LogEvent, LogFields } from "./log.ts";

/** Which event an entry is, and which of its fields are told. */
const ENTRIES: Readonly<
  Record<EntryType, { readonly event: string; readonly fields: readonly string[] }>
> = {
  registered: { event: "account.registered", fields: ["id", "address", "invitation"] },
  credentials: { event: "account.password", fields: ["id", "address", "invitation"] },
  disabled: { event: "account.disabled", fields: ["id"] },
  enabled: { event: "account.enabled", fields: ["id"] },
  deleted: { event: "account.deleted", fields: ["id"] },
  invited: { event: "invitation.made", fields: ["id", "isReset", "uses", "expiresMs"] },
  withdrawn: { event: "invitation.withdrawn", fields: ["withdrawn"] },
  issued: { event: "certificate.issued", fields: ["profile", "id", "name"] },
  published: { event: "certificate.published", fields: ["serial"] },
  revoked: { event: "certificate.revoked", fields: ["serial", "reason"] },
  restarted: { event: "log.restarted", fields: [] },
};

function isField(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** What an issued certificate is known by. */
function factsOf(certificate: unknown): LogFields {
  if (typeof certificate !== "string") return {};
  const { serial, notAfterMs } = parseIssuedFacts(parseBase64(certificate));
  return { serial, notAfter: new Date(notAfterMs).toISOString() };
}

/**
 * The event that an entry of the log is.
 * @param entry the number of the entry in the log
 * @param ownerOf whose certificate has a serial number, if it is somebody's
 */
export function describeEntry(
  { type, ...parts }: Entry,
  entry: number,
  ownerOf: (serial: string) => string | undefined,
): LogEvent {
  const { event, fields: names } = ENTRIES[type];
  const all = { ...parts.public, ...parts.private };
  const fields: Record<string, string | number | boolean> = { entry };
  for (const name of names) {
    const value = all[name];
    if (!isField(value)) continue;
    if (name === "withdrawn") fields["invitation"] = value;
    else if (name === "isReset") fields["reset"] = value;
    else if (name === "expiresMs") fields["expires"] = new Date(Number(value)).toISOString();
    else fields[name] = value;
  }
  if (type === "invited") fields["invitation"] = entry; // its number
  const { serial } = fields;
  const owner = typeof serial === "string" ? ownerOf(serial) : undefined;
  if (owner !== undefined) fields["id"] = owner;
  return {
    level: "info",
    event,
    fields: { ...fields, ...(type === "issued" ? factsOf(parts.public["certificate"]) : {}) },
  };
}

/** Requests that belong to a login or a registration. */
const LOGINS: readonly RequestType[] = ["LOGIN", "LOGIN_FINISH", "LOGIN_CERTIFICATE"];
const REGISTRATIONS: readonly RequestType[] = ["REGISTER", "REGISTER_FINISH"];

/** Who is at the other end. */
export interface Caller {
  readonly connection: number | undefined;
  readonly address: string;
  /** Who has logged in. */
  readonly user: string | undefined;
}

/** Tells of the requests of one connection. */
export class SessionEvents {
  readonly #log: EventLog;
  readonly #caller: () => Caller;
  readonly #onUnfinished: () => void;
  /** Whom somebody has started to log in as, or to register as, and not finished. */
  #attempt: { readonly id: string; readonly isLogin: boolean } | undefined;

  /** @param onUnfinished told when a login by password was begun and left */
  constructor(log: EventLog, caller: () => Caller, onUnfinished: () => void = () => {}) {
    this.#log = log;
    this.#caller = caller;
    this.#onUnfinished = onUnfinished;
  }

  /** A request was answered. */
  done(request: Request): void {
    const { type } = request;
    switch (type) {
      case "LOGIN":
      case "REGISTER":
        this.#leaveAttempt();
        this.#attempt = { id: request.id, isLogin: type === "LOGIN" };
        break;
      case "LOGIN_FINISH":
      case "LOGIN_CERTIFICATE": {
        this.#attempt = undefined;
        const by = type === "LOGIN_FINISH" ? "password" : "certificate";
        return this.#tell("info", "login.accepted", { by });
      }
      case "REGISTER_FINISH":
        this.#attempt = undefined; // its entry says that it succeeded
        break;
    }
    this.#tell("debug", "request.done", { type });
  }

  /** A request was refused, or failed. */
  failed(request: Request, error: unknown): void {
    const { type } = request;
    const { code, message: told } = reportError(error);
    const isOurs = code === "INTERNAL" || code === "STORAGE";
    const message = isOurs && error instanceof Error ? error.message : told;
    if (isOurs) {
      this.#log.log({
        level: "error",
        event: "request.failed",
        message,
        fields: { ...this.#who(), type, code },
      });
      return;
    }
    const isLogin = LOGINS.includes(type);
    const event = isLogin
      ? "login.refused"
      : REGISTRATIONS.includes(type)
      ? "registration.refused"
      : "request.refused";
    const id = type === "LOGIN" || type === "REGISTER" ? request.id : this.#attempt?.id;
    if (event !== "request.refused") this.#attempt = undefined;
    this.#log.log({
      level: "info",
      event,
      message,
      fields: { ...this.#who(), ...(id === undefined ? {} : { id }), type, code },
    });
  }

  /**
   * The connection is over, or something else begins: whoever tried a password that does not fit sees
   * it without the server, and says nothing more.
   */
  end(): void {
    this.#leaveAttempt();
  }

  #leaveAttempt(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (!attempt?.isLogin) return;
    this.#onUnfinished();
    this.#tell("info", "login.unfinished", { id: attempt.id });
  }

  #who(): LogFields {
    const { connection, address, user } = this.#caller();
    return { connection, address, ...(user === undefined ? {} : { id: user }) };
  }

  #tell(level: "info" | "debug", event: string, fields: LogFields): void {
    if (!this.#log.isLogged(level)) return;
    this.#log.log({ level, event, fields: { ...this.#who(), ...fields } });
  }
}
