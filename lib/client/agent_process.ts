/**
 * Starts an agent: this very program, in the background, with no terminal, that outlives whoever has
 * started it. Its first key goes to it through a pipe; nothing secret is in its arguments or its
 * environment.
 */

import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { ownEnvironment, programWords } from "../base/own_program.ts";
import {
  type AgentAnswer,
  type AgentBody,
  encodeAgentRequest,
} from "../protocol/agent_messages.ts";
import { askAgent, checkAgentFolder } from "./agent.ts";
import type { Home } from "./home.ts";

/** The command that is an agent; it is in no list. */
export const AGENT_COMMAND = "agent";
/** What an agent says on stdout when it can be asked, or when another one can be. */
export const AGENT_READY = "ready\n";

/** Starts before it is given up that others end or replace it. */
const ATTEMPTS_MAX = 3;
const WHY_BYTES_MAX = 4096;

function startAgent(home: Home, first: AgentBody<"ADD">): Promise<void> {
  const [program, ...words] = programWords();
  const child = spawn(program, [...words, AGENT_COMMAND, "--home", resolve(home.folder)], {
    cwd: "/", // no folder is held by it
    detached: true,
    env: ownEnvironment(),
    stdio: ["pipe", "pipe", "ignore"],
  });
  let said = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<void>((resolve, reject) => {
    const fail = (why: string, cause?: unknown) =>
      reject(
        new PkiError("unreachable", `cannot start the agent: ${why}`, {
          cause,
          hint: "do without: commands ask for the password, or take it with --password-file",
        }),
      );
    timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail("it does not come to listen");
    }, LIMITS.agentStartMs);
    child.once("error", (error) => fail(error.message, error));
    child.stdin.on("error", () => {}); // it has ended: "close" says so
    child.stdout.on("data", (chunk: Uint8Array) => {
      said = (said + new TextDecoder().decode(chunk)).slice(0, WHY_BYTES_MAX);
      if (said === AGENT_READY) resolve();
    });
    child.once("close", () => fail(said.trim() || "it has ended"));
    child.stdin.end(encodeAgentRequest({ type: "ADD", body: first }));
  }).finally(() => {
    clearTimeout(timer);
    child.stdin.destroy();
    child.stdout.destroy();
    child.unref();
  });
}

/**
 * Hands a key to the agent of a home, which is started if there is none.
 * @throws {PkiError} `usage` where there are no agents, `untrusted`, `unreachable`, `timeout`
 */
export async function keepInAgent(
  home: Home,
  kept: AgentBody<"ADD">,
): Promise<AgentAnswer<"ADD">> {
  checkAgentFolder(home.folder); // before there is somebody with the key whom nobody asks
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    // Also after a start: only who answers at the socket has it for everybody.
    const answer = await askAgent(home.folder, "ADD", kept);
    if (answer) return answer;
    await startAgent(home, kept);
  }
  throw new PkiError("unreachable", "cannot keep the key: no agent stays", {
    hint: "try again; something takes its socket away",
  });
}
