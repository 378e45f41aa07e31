/** Peers made of openssl: `s_client` calls, `s_server` listens, and the frames are piped into them. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import type { Credential, Forge } from "./forge.ts";
import { type Running, until, type World } from "./harness.ts";
import { PEER_ALPN, RawPeer } from "./raw_peer.ts";
import { freePort } from "./terminal.ts";

export interface OpensslPeer {
  readonly running: Running;
  readonly peer: RawPeer;
}

function asPeer(running: Running, role: "caller" | "listener", status?: string): OpensslPeer {
  const { stdin, stdout } = running.child;
  assert.ok(stdin && stdout);
  return {
    running,
    peer: new RawPeer(stdout, stdin, { role, ...(status === undefined ? {} : { status }) }),
  };
}

function showing({ leafPath, keyPath, issuingPath }: Credential): readonly string[] {
  return ["-cert", leafPath, "-key", keyPath, "-cert_chain", issuingPath];
}

/** Calls a peer; without a credential it shows no certificate. */
export function callWithOpenssl(
  world: World,
  forge: Forge,
  { port, credential, args = ["-alpn", PEER_ALPN], isQuiet = true }: {
    readonly port: number;
    readonly credential?: Credential | undefined;
    readonly args?: readonly string[];
    readonly isQuiet?: boolean;
  },
): OpensslPeer {
  const running = world.start(
    [
      "s_client",
      "-connect",
      `127.0.0.1:${port}`,
      "-tls1_3",
      "-CAfile",
      forge.rootPath,
      ...(isQuiet ? ["-quiet"] : []),
      ...(credential ? showing(credential) : []),
      ...args,
    ],
    { program: "openssl", keepStdin: true },
  );
  return asPeer(running, "caller", credential?.status);
}

/** Whether somebody listens on a port of this machine; with `-quiet`, openssl does not say when it does. */
function isListening(port: number): boolean {
  const address = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A`;
  return fs.readFileSync("/proc/net/tcp", "utf8").includes(address);
}

/** Listens for one peer, and demands a certificate that openssl itself finds good. */
export async function listenWithOpenssl(
  world: World,
  forge: Forge,
  credential: Credential,
): Promise<OpensslPeer & { readonly port: number }> {
  const port = await freePort();
  const running = world.start(
    [
      ...["s_server", "-accept", `127.0.0.1:${port}`, "-naccept", "1", "-quiet", "-tls1_3"],
      ...["-alpn", PEER_ALPN, "-CAfile", forge.rootPath, "-Verify", "2", "-verify_return_error"],
      ...showing(credential),
    ],
    { program: "openssl", keepStdin: true },
  );
  await until(() => isListening(port), "openssl listens");
  return { ...asPeer(running, "listener", credential.status), port };
}
