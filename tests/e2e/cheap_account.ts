/**
 * Accounts whose passwords cost nothing to stretch, for tests that log in again and again: the half
 * second of Argon2id is the client's alone, and the server cannot see that it was left out. `./pki`
 * cannot log in to such an account.
 */

import assert from "node:assert/strict";
import * as opaque from "@serenity-kit/opaque";
import { encodeBase64 } from "../../lib/base/bytes.ts";
import { bindLogin } from "../../lib/protocol/opaque.ts";
import type { World } from "./harness.ts";
import { RawClient, withClient } from "./raw_client.ts";

const PASSWORD = "a password that costs nothing to stretch";
const CHEAP = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;

function identifiers(world: World, id: string) {
  return { client: id, server: world.server.fingerprint };
}

export async function registerCheaply(world: World, id: string): Promise<void> {
  await withClient(RawClient.open(world), async (client) => {
    await client.ok("HELLO");
    const start = opaque.client.startRegistration({ password: PASSWORD });
    const answer = await client.ok("REGISTER", { id, request: start.registrationRequest });
    const { registrationRecord } = opaque.client.finishRegistration({
      password: PASSWORD,
      registrationResponse: String(answer["response"]),
      clientRegistrationState: start.clientRegistrationState,
      identifiers: identifiers(world, id),
      keyStretching: CHEAP,
    });
    await client.ok("REGISTER_FINISH", { record: registrationRecord });
  });
}

/** Logs in, after HELLO. @param more fields of `LOGIN_FINISH` */
export async function logInCheaply(
  client: RawClient,
  { world, id, more = {} }: {
    readonly world: World;
    readonly id: string;
    readonly more?: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const start = opaque.client.startLogin({ password: PASSWORD });
  const answer = await client.ok("LOGIN", { id, request: start.startLoginRequest });
  const result = opaque.client.finishLogin({
    password: PASSWORD,
    loginResponse: String(answer["response"]),
    clientLoginState: start.clientLoginState,
    identifiers: identifiers(world, id),
    keyStretching: CHEAP,
  });
  assert.ok(result, `${id} is registered`);
  await client.ok("LOGIN_FINISH", {
    finish: result.finishLoginRequest,
    binding: encodeBase64(bindLogin(result.sessionKey, client.leafHash)),
    ...more,
  });
}

/** Opens a connection, greets and logs in. */
export async function loggedInCheaply(world: World, id: string): Promise<RawClient> {
  const client = await RawClient.open(world);
  await client.ok("HELLO");
  await logInCheaply(client, { world, id });
  return client;
}
