/** `pki trust`: pins another root, or another issuing CA, on a person's word. */

import { buildCommand } from "@stricli/core";
import { parseFingerprint } from "../lib/client/first_contact.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import type { ServerFlags } from "./sign_in.ts";

export async function trust(context: PkiContext, flags: ServerFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { trustAnew } = await import("../lib/client/trust.ts");
  const { terminal } = context;
  const address = surroundings.serverAddress();
  const { anchor, before, evidence } = await trustAnew({
    home: surroundings.home,
    address,
    nowMs: context.now(),
    fingerprint: flags.fingerprint === undefined ? undefined : parseFingerprint(flags.fingerprint),
    ask: terminal && ((fingerprint, pinned) =>
      terminal.confirm(
        (pinned === undefined
          ? "No root is pinned yet."
          : pinned === fingerprint
          ? "This root is pinned already; its issuing CA will be pinned anew."
          : `ANOTHER ROOT THAN BEFORE. The pinned one is\n${pinned}`) +
          `\nThe fingerprint of the server's root is\n${fingerprint}\n` +
          "Compare it with what whoever runs the server tells you, on another way than this " +
          "network. Is it the same?",
      )),
    signal: context.signal,
  });
  const after = fingerprintOf(anchor.root.der);
  const issuers = [...anchor.issuers ?? []];
  surroundings.result(
    { event: "trusted", domain: anchor.domain, root: after, before: before ?? null, issuers },
    `trusted from now on: the root of ${anchor.domain}\n  root         ${
      surroundings.paint.mark(after)
    }\n` +
      issuers.map((issuer) => `  issuing CA   ${issuer}\n`).join(""),
  );
  if (before === undefined || before === after) return;
  // Also with --quiet: nobody shall miss that a root was replaced.
  surroundings.warn(
    `the root was replaced; the one before (${before}) and what was known of its ` +
      `log are kept in "${evidence}". Certificates under it are not believed any more: get new ` +
      "ones with pki csr",
  );
}

export const trustCommand = buildCommand<ServerFlags, [], PkiContext>({
  func: async function (flags) {
    await trust(this, flags);
  },
  parameters: {
    flags: {
      fingerprint: textFlag("The root's SHA-256, 64 hexadecimal digits", "HEX"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["--fingerprint HEX [--server HOST:PORT] [options]"],
    brief: "Trust another root or issuing CA than the pinned one",
    fullDescription:
      "Asks the server for its root and, if it has this fingerprint, pins it and the\n" +
      "issuing CA of the server's certificate in place of those that are pinned. Get the\n" +
      "fingerprint from whoever runs the server, on another way than this network. A new\n" +
      "issuing CA that the one before vouches for needs none of this. What was pinned\n" +
      "before is kept.\n\n" +
      "Examples:\n" +
      "  pki trust --fingerprint 5f1c…\n" +
      "  pki trust --server pki.example.org:7443",
  },
});
