/**
 * Asks the agent of a home folder, which keeps unlocked keys (`agent_server.ts`). The socket is looked
 * at first: what others could have put there is not used.
 */

import { createPrivateKey, type KeyObject } from "node:crypto";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { encodeBase64, parseBase64, sha256, utf8 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { connectUnix, isNobodyThere } from "../base/unix_socket.ts";
import {
  AGENT_SOCKET_NAME,
  type AgentAnswer,
  type AgentBody,
  type AgentRequest,
  type AgentType,
  encodeAgentRequest,
  parseAgentAnswer,
} from "../protocol/agent_messages.ts";
import { FrameReader } from "../protocol/frame.ts";
import type { Home } from "./home.ts";

const OTHERS_WRITE = 0o022;
const OTHERS_ANYTHING = 0o077;

/** Whether this system has the sockets, owners and modes that an agent needs. */
export const CAN_HAVE_AGENT = typeof process.getuid === "function" && process.platform !== "win32";

function untrusted(path: string, why: string): PkiError {
  return new PkiError("untrusted", `cannot use the agent of "${path}": ${why}`, {
    hint: "socket and folder must be yours alone: chmod 700 for the folder, then pki unlock",
  });
}

/**
 * Checks that nobody else can put a socket into a home folder.
 * @throws {PkiError} `untrusted`; `usage` where the system does not tell
 */
export function checkAgentFolder(folder: string): void {
  if (!CAN_HAVE_AGENT) {
    throw new PkiError("usage", "cannot keep a key: this system has no sockets with owners", {
      hint: "do without: commands ask for the password, or take it with --password-file",
    });
  }
  const found = fs.statSync(folder, { throwIfNoEntry: false });
  if (!found) return; // there will be one, for its owner alone
  const path = join(folder, AGENT_SOCKET_NAME);
  if (found.uid !== process.getuid?.()) throw untrusted(path, "its folder belongs to another user");
  if ((found.mode & OTHERS_WRITE) !== 0) throw untrusted(path, "others can write in its folder");
}

/**
 * Whether there is a socket, made by this user in a folder where nobody else makes any.
 * @throws {PkiError} `untrusted` if somebody else could have put it there
 */
function isSocketOurs(folder: string): boolean {
  const path = join(folder, AGENT_SOCKET_NAME);
  const socket = fs.lstatSync(path, { throwIfNoEntry: false });
  if (!socket || !CAN_HAVE_AGENT) return false;
  if (!socket.isSocket()) throw untrusted(path, "it is no socket");
  if (socket.uid !== process.getuid?.()) throw untrusted(path, "it belongs to another user");
  if ((socket.mode & OTHERS_ANYTHING) !== 0) throw untrusted(path, "others can connect to it");
  checkAgentFolder(folder);
  return true;
}

/**
 * Has the agent do something; `undefined` if there is none.
 * @throws {PkiError} what the agent says, `untrusted`, `timeout`, `truncated`, `protocol`
 */
export async function askAgent<T extends AgentType>(
  folder: string,
  type: T,
  body: AgentBody<T>,
): Promise<AgentAnswer<T> | undefined> {
  if (!isSocketOurs(folder)) return undefined;
  let socket: Socket;
  try {
    socket = await connectUnix({ folder, name: AGENT_SOCKET_NAME });
  } catch (error) {
    if (isNobodyThere(error)) return undefined;
    if (error instanceof PkiError) throw error;
    throw new PkiError("unreachable", `cannot ask the agent: ${messageOf(error)}`, {
      cause: error,
      hint: "end the agent with pki lock, or say the password with --password-file",
    });
  }
  try {
    return parseAgentAnswer(await exchange(socket, { type, body } as AgentRequest), type);
  } finally {
    socket.destroy();
  }
}

function exchange(socket: Socket, request: AgentRequest): Promise<Uint8Array> {
  const frames = new FrameReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<Uint8Array>((resolve, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new PkiError("timeout", "the agent does not answer", {
            hint: "end it with pki lock, and unlock the key again",
          }),
        ),
      LIMITS.agentSilenceMs,
    );
    socket.on("data", (chunk: Uint8Array) => {
      try {
        frames.push(new Uint8Array(chunk));
        const frame = frames.read();
        if (frame) resolve(frame);
      } catch (error) {
        reject(error);
      }
    });
    socket.once("close", () => {
      reject(
        new PkiError("truncated", "the agent hung up before it answered", {
          hint: "unlock the key again with: pki unlock",
        }),
      );
    });
    socket.write(encodeAgentRequest(request));
  }).finally(() => clearTimeout(timer));
}

/** What names the content of a key's file. */
function hashOf(pem: string): string {
  return encodeBase64(sha256(utf8(pem)));
}

/** Whether the file of an identity's key has this content. */
export function isKeyCurrent(home: Home, id: string, pemHash: string): boolean {
  try {
    return hashOf(home.loadKeyPem(id)) === pemHash;
  } catch (error) {
    if (error instanceof PkiError) return false; // gone, or not to be read
    throw error;
  }
}

/** A key as the agent is given it. @param pem the content of the file that it was opened from */
export function describeKept(
  key: KeyObject,
  { id, pem, forMs }: { readonly id: string; readonly pem: string; readonly forMs: number },
): AgentBody<"ADD"> {
  const pkcs8 = key.export({ format: "der", type: "pkcs8" });
  const body = { id, key: encodeBase64(pkcs8), pemHash: hashOf(pem), forMs };
  pkcs8.fill(0);
  return body;
}

/**
 * An identity's key, if the agent keeps it and its file is still what it was opened from.
 * @param pem the content of the key's file
 * @throws {PkiError} as {@link askAgent}
 */
export async function fetchKey(
  home: Home,
  { id, pem }: { readonly id: string; readonly pem: string },
): Promise<KeyObject | undefined> {
  let kept: AgentAnswer<"KEY"> | undefined;
  try {
    kept = await askAgent(home.folder, "KEY", { id });
  } catch (error) {
    if (error instanceof PkiError && error.kind === "not-found") return undefined;
    throw error;
  }
  if (!kept || kept.pemHash !== hashOf(pem)) return undefined;
  const der = parseBase64(kept.key);
  try {
    return createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  } catch (cause) {
    throw new PkiError("protocol", "cannot read the agent's answer: it is no key", {
      cause,
      hint: "end the agent with pki lock, and unlock the key again",
    });
  } finally {
    der.fill(0);
  }
}
