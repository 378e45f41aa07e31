/** Asks the server that runs on a data folder of this machine to do something. */

import type { Socket } from "node:net";
import { messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { connectUnix, isNobodyThere } from "../base/unix_socket.ts";
import {
  ADMIN_SOCKET_NAME,
  type AdminAnswer,
  type AdminBody,
  type AdminProgress,
  type AdminRequest,
  type AdminType,
  encodeAdminRequest,
  parseAdminResponse,
} from "../protocol/admin_messages.ts";
import { FrameReader } from "../protocol/frame.ts";

/** One request a connection. */
const SEQ = 1;

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** How long the server may keep silent, without answer or progress. */
  readonly silenceMs?: number;
  readonly onProgress?: (progress: AdminProgress) => void;
}

/**
 * Has the running server do something; `undefined` if no server listens there. The caller may then
 * take the folder's lock and do it itself; a server that is starting or hangs holds that.
 * @throws {PkiError} what the server says, `refused` if the folder is somebody else's, `timeout`,
 *   `truncated`, `protocol`, `interrupted`
 */
export async function askServer<T extends AdminType>(
  folder: string,
  type: T,
  body: AdminBody<T>,
  options: AskOptions = {},
): Promise<AdminAnswer<T> | undefined> {
  let socket: Socket;
  try {
    socket = await connectUnix({ folder, name: ADMIN_SOCKET_NAME });
  } catch (error) {
    if (isNobodyThere(error)) return undefined;
    if (error instanceof PkiError) throw error;
    throw new PkiError(
      "refused",
      `cannot ask the server of "${folder}": ${messageOf(error)}`,
      { cause: error, hint: "be the user whom the folder belongs to" },
    );
  }
  try {
    return await exchange(socket, { type, body }, options);
  } finally {
    socket.destroy();
  }
}

function exchange<T extends AdminType>(
  socket: Socket,
  { type, body }: { readonly type: T; readonly body: AdminBody<T> },
  { signal, silenceMs = LIMITS.answerMs, onProgress }: AskOptions,
): Promise<AdminAnswer<T>> {
  const frames = new FrameReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  return new Promise<AdminAnswer<T>>((resolve, reject) => {
    const awaitAnswer = () => {
      clearTimeout(timer);
      timer = setTimeout(
        () =>
          reject(
            new PkiError("timeout", `the server does not answer ${type}`, {
              hint: "see in its log whether it is busy; if it hangs, start it again",
            }),
          ),
        silenceMs,
      );
    };
    socket.on("data", (chunk: Uint8Array) => {
      try {
        frames.push(new Uint8Array(chunk));
        for (let frame = frames.read(); frame; frame = frames.read()) {
          const response = parseAdminResponse(frame, { seq: SEQ, type });
          if (response.type === "OK") return resolve(response.answer);
          if (response.type === "ERROR") return reject(response.error);
          awaitAnswer();
          onProgress?.(response.progress);
        }
      } catch (error) {
        reject(error);
      }
    });
    socket.once("close", () => {
      reject(
        new PkiError("truncated", `the server closed the connection before it answered`, {
          hint: "see in its log why, and try again",
        }),
      );
    });
    onAbort = () => reject(new PkiError("interrupted", "interrupted"));
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort);
    awaitAnswer();
    socket.write(encodeAdminRequest({ seq: SEQ, type, body } as AdminRequest));
  }).finally(() => {
    clearTimeout(timer);
    if (onAbort) signal?.removeEventListener("abort", onAbort);
  });
}
