/**
 * What the server's threads say to each other; `docs/architecture.md` draws the picture. What every
 * request takes with it is flat, of strings and numbers: engines copy that several times faster than
 * objects in objects or arrays of bytes.
 */

import type { MessagePort } from "node:worker_threads";
import type { ErrorReport, PackedError } from "../base/errors.ts";
import type { ServerLimits } from "../base/server_limits.ts";
import type { Certification } from "../ca/authority.ts";
import type { AdminAnswer, AdminBody, AdminType } from "../protocol/admin_messages.ts";
import type { DirectoryMeasured } from "../protocol/measured.ts";
import type { Registration } from "../protocol/message_fields.ts";
import type { OcspAnswer } from "../x509/ocsp.ts";
import type { Segment } from "../store/log_index.ts";
import type { LogEvent, LogLevel } from "./log.ts";

/** Who is at the other end of a connection, as the main thread saw it; from no message of the client. */
export interface Visitor {
  readonly address: string;
  /** Which of the server's connections it is, for lines of the log. */
  readonly connection?: number;
  /** SHA-256 of the leaf that the server showed on this connection. */
  readonly leafHash: Uint8Array;
  /** DER of the leaf that the client showed in TLS; empty if none. */
  readonly shown: readonly Uint8Array[];
}

/** The bounds that a connection worker keeps. */
export type ConnectionLimits = Pick<
  ServerLimits,
  | "helloSeconds"
  | "loginSeconds"
  | "frameSeconds"
  | "requestSeconds"
  | "idleSeconds"
  | "sessionSeconds"
  | "requestsInFlight"
  | "answersUnreadBytes"
>;

/** The bounds that the directory keeps; 0 is no bound. */
export interface DirectoryLimits {
  readonly requestsAtWork: number;
  /** How many times as much as an address a site may have, also turns. */
  readonly addressesPerSite: number;
  readonly statusesPerMinute: number;
  /** For whoever is on this machine. */
  readonly statusesPerMinuteOnLoopback: number;
  readonly entriesPerHour: number;
  readonly entriesPerHourOnLoopback: number;
  readonly connectionsPerUser: number;
  readonly connectionsPerUserOnLoopback: number;
}

/** Main thread to a connection worker. */
export type ToConnection =
  /** Bytes that the client sent, in Latin-1. */
  | string
  | {
    readonly type: "start";
    readonly directory: MessagePort;
    readonly limits: ConnectionLimits;
  }
  /** The client has taken so many bytes of the answers. */
  | { readonly type: "read"; readonly bytes: number }
  | { readonly type: "ping" }
  /** The server stops: finish what runs, take nothing more, close. */
  | { readonly type: "finish" };

/** A connection worker to the main thread. */
export type FromConnection =
  /** It has started. */
  | { readonly type: "ready" }
  /** Bytes for the client in Latin-1, and how many of those that it was given have been worked on. */
  | { readonly type: "bytes"; readonly text: string; readonly taken: number }
  /** So many have been worked on, and there is nothing for the client yet. */
  | { readonly type: "taken"; readonly taken: number }
  | { readonly type: "pong" }
  /** Everything has been said; the last word was an error with this code, if there was one. */
  | { readonly type: "close"; readonly code?: string };

/** Directory to a connection worker, in answer to a request of the protocol. */
export type Settled =
  /** The answer's fields as JSON, as `encodeFields` makes them. */
  | { readonly seq: number; readonly fields: string }
  | { readonly seq: number; readonly code: string; readonly message: string };

/** Directory to a connection worker: this session is over, say why and close. */
export interface SessionEnd {
  readonly end: ErrorReport;
}

export type FromSession = Settled | SessionEnd;

/** Main thread to the directory worker, as questions. */
export type ToDirectory =
  | {
    readonly type: "start";
    readonly folder: string;
    readonly passphrase: string;
    /** Where the newest checkpoint is remembered outside of the folder. */
    readonly witness: string;
    readonly acceptsLoss: boolean;
    readonly registration: Registration;
    /** From which level on events are wanted. */
    readonly logLevel: LogLevel;
    readonly limits: DirectoryLimits;
    readonly rootKeyPath?: string;
    readonly rootPassphrase?: string;
    /** One for each authority worker. */
    readonly authorities: readonly MessagePort[];
    /** For {@link DirectoryEvent}s. */
    readonly events: MessagePort;
  }
  | {
    readonly type: "open";
    readonly channel: number;
    readonly port: MessagePort;
    readonly visitor: Visitor;
  }
  | {
    readonly type: "closed";
    readonly channel: number;
    /** Why the server has closed it, if it was not the client. */
    readonly code?: string;
  }
  | { readonly type: "certify-server"; readonly spki: Uint8Array }
  | { readonly type: "describe" }
  | { readonly type: "measure" }
  /** Whether it is alive. */
  | { readonly type: "ping" }
  | { readonly type: "admin"; readonly request: DirectoryOrder }
  | {
    readonly type: "configure";
    readonly registration: Registration;
    readonly logLevel: LogLevel;
    readonly limits: DirectoryLimits;
  }
  /** The CAs or the profiles of the data folder have changed; the authority is told, too. */
  | { readonly type: "reload" }
  | { readonly type: "stop" };

/** The directory's answers to the main thread. */
export interface FromDirectory {
  /** After `certify-server`: DER. */
  readonly certificate?: Uint8Array<ArrayBuffer>;
  /** After `describe`. */
  readonly durable?: DurableLog;
  /** After `measure`. */
  readonly measured?: DirectoryMeasured;
  /** After `admin`. */
  readonly answer?: AdminAnswer<AdminType>;
  /** After `start`: whether anybody was ever registered. */
  readonly hasAccounts?: boolean;
}

/** What an administrator asks of the directory, and not of the main thread. */
export const DIRECTORY_ORDERS = [
  "ISSUE",
  "LIST",
  "REVOKE",
  "INVITE",
  "INVITATIONS",
  "WITHDRAW",
  "USERS",
  "USER",
] as const satisfies readonly AdminType[];

type DirectoryOrderType = (typeof DIRECTORY_ORDERS)[number];

export type DirectoryOrder = {
  readonly [T in DirectoryOrderType]: { readonly type: T; readonly body: AdminBody<T> };
}[DirectoryOrderType];

/** What of the log is durable at a moment: everything that was acknowledged until then. */
export interface DurableLog {
  readonly checkpoint: string;
  readonly size: number;
  readonly segments: readonly Segment[];
  /** Another number whenever entries were redacted meanwhile: files that were read may not fit. */
  readonly redactions: number;
}

/** What the directory says without being asked. */
export type DirectoryEvent =
  | { readonly type: "warning"; readonly text: string }
  /** The same, and a connection worker has failed. */
  | { readonly type: "broken-worker"; readonly text: string }
  | { readonly type: "event"; readonly event: LogEvent }
  /** The directory has ended the session of a connection, whose worker was told so. */
  | { readonly type: "session-ended"; readonly channel: number }
  /** The server must not go on. */
  | { readonly type: "fault"; readonly error: PackedError };

/** Directory to the snapshot worker, as a question; it ends after the answer. */
export interface ToSnapshot {
  readonly logFolder: string;
  readonly snapshotPath: string;
  /** How far the log is durable, and the root of its tree there. */
  readonly segments: readonly Segment[];
  readonly size: number;
  readonly root: Uint8Array;
  /** Whether nothing may be left in it of what the tables held once. */
  readonly forgets: boolean;
  /** Whose copy in `certs/` is still to be written. */
  readonly missingCopies: readonly string[];
}

export interface FromSnapshot {
  /** How long the snapshot is. */
  readonly bytes: number;
}

/** Main thread and directory to the authority worker, as questions. DER is in Latin-1. */
export type ToAuthority =
  | {
    readonly type: "start";
    readonly folder: string;
    readonly passphrase: string;
    readonly directory: MessagePort;
  }
  | { readonly type: "certify" } & PackedCertification
  | { readonly type: "certify-server"; readonly spki: string }
  | { readonly type: "status"; readonly status: StatusToSign }
  | { readonly type: "list"; readonly list: ListToSign }
  /** Whether it is alive. */
  | { readonly type: "ping" }
  /** The CAs or the profiles of the data folder have changed: to be read, and used after `reload`. */
  | { readonly type: "prepare-reload" }
  | { readonly type: "reload" };

/** {@link Certification} with its DER in Latin-1. */
export type PackedCertification = Omit<Certification, "csr" | "spki"> & {
  readonly csr?: string;
  readonly spki?: string;
};

/**
 * Answers to an OCSP request. The authority writes what it signs itself, so that nobody can have it
 * sign a certificate by another name.
 */
export interface StatusToSign {
  /** Which of the CAs, by its key identifier in hex. */
  readonly issuerKeyId: string;
  readonly answers: readonly OcspAnswer[];
  readonly nonce?: Uint8Array;
}

/** A revocation list that is due. */
export interface ListToSign {
  readonly issuerKeyId: string;
  readonly number: bigint;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Encoded entries, one behind the other, in parts. */
  readonly entries: readonly Uint8Array<ArrayBuffer>[];
}

/** The authority's answers; DER is in Latin-1. */
export interface FromAuthority {
  /** After `certify` and `certify-server`. */
  readonly certificate?: string;
  /** After `certify`: the CA that signed it, and what was ignored of the request, if anything. */
  readonly issuer?: string;
  readonly ignored?: readonly string[];
  /** After `status` and `list`. */
  readonly signed?: string;
}
