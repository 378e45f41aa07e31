/** `pki doctor`: says what is wrong, and what to do about it. */

import { buildCommand } from "@stricli/core";
import { userInfo } from "node:os";
import { PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import type { Address } from "../lib/client/address.ts";
import type { Diagnosed } from "../lib/client/doctor.ts";
import type { Patient, Verdict } from "../lib/client/doctor_finding.ts";
import { loadOwnCertificate, type OwnCertificate } from "../lib/client/own_identity.ts";
import type { ServerSight } from "../lib/client/sight.ts";
import type { TrustAnchor } from "../lib/x509/chain.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag } from "./globals.ts";
import type { Paint } from "./paint.ts";
import { SETTING_NAMES, variableOf } from "./server_settings.ts";

interface DoctorFlags extends GlobalFlags {
  readonly offline?: boolean;
  readonly fix?: boolean;
}

/** The widest verdict, and space behind it. */
const VERDICT_CHARACTERS = "unchecked".length + 2;

/** Our user id; `undefined` where there are none. */
function findUid(): number | undefined {
  try {
    const { uid } = userInfo();
    return uid >= 0 ? uid : undefined;
  } catch {
    return undefined; // a user whom the system has no record of
  }
}

function findAddress(surroundings: Surroundings): Address | PkiError {
  try {
    return surroundings.serverAddress();
  } catch (error) {
    if (error instanceof PkiError) return error;
    throw error;
  }
}

/** Whether an option, the environment or an earlier command has named the server. */
function isAddressNamed({ flags, home, context }: Surroundings): boolean {
  if (flags.server !== undefined || context.process.env["PKI_SERVER"]) return true;
  try {
    return home.loadConfig().server !== undefined;
  } catch {
    return false; // the check of the configuration says what is wrong
  }
}

/** What can be asked about: certificates that are good but for their time. */
function findCertificates({ home, context }: Surroundings): readonly OwnCertificate[] {
  return home.listIds().flatMap((id) => {
    try {
      return [loadOwnCertificate(home, { id, nowMs: context.now() })];
    } catch (error) {
      if (error instanceof PkiError) return []; // the check of the identity says what is wrong
      throw error;
    }
  });
}

async function look(surroundings: Surroundings, address: Address): Promise<ServerSight> {
  const { home, context: { now, signal } } = surroundings;
  const { lookAtServer } = await import("../lib/client/sight.ts");
  let anchor: TrustAnchor | undefined;
  try {
    anchor = home.loadAnchor(now());
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    anchor = undefined; // the check of the pinned root says what is wrong
  }
  const certificates = findCertificates(surroundings);
  return await lookAtServer({ address, anchor, certificates, now, signal });
}

async function examine(surroundings: Surroundings, flags: DoctorFlags): Promise<Patient> {
  const { home, context } = surroundings;
  const { askServer } = await import("../lib/client/admin.ts");
  const { askAgent } = await import("../lib/client/agent.ts");
  const address = findAddress(surroundings);
  return {
    home,
    env: context.process.env,
    otherVariables: SETTING_NAMES.map(variableOf),
    nowMs: context.now(),
    uid: findUid(),
    password: surroundings.hasGivenPassword ? await surroundings.password("Password") : undefined,
    address,
    isAddressNamed: isAddressNamed(surroundings),
    sight: flags.offline || address instanceof PkiError
      ? undefined
      : await look(surroundings, address),
    findUnlocked: async () => (await askAgent(home.folder, "LIST", {}))?.kept ?? [],
    isServed: async (folder) =>
      await askServer(folder, "STATUS", {}, { signal: context.signal }) !== undefined,
  };
}

function show({ verdict, message, hint }: Diagnosed, paint: Paint): string {
  const painted: Readonly<Record<Verdict, (text: string) => string>> = {
    ok: paint.good,
    unchecked: paint.mark,
    warning: paint.warn,
    problem: paint.bad,
  };
  const label = painted[verdict](verdict) + " ".repeat(VERDICT_CHARACTERS - verdict.length);
  const indent = " ".repeat(VERDICT_CHARACTERS);
  return `${label}${printable(message)}\n` + (hint ? `${indent}-> ${printable(hint)}\n` : "");
}

export async function doctor(context: PkiContext, flags: DoctorFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { diagnose, worstOf } = await import("../lib/client/doctor.ts");
  if (flags.fix) {
    const { fixModes } = await import("../lib/client/doctor_home.ts");
    for (const path of fixModes(surroundings.home)) {
      surroundings.note(`nobody else can read "${path}" any more`);
    }
  }
  const found = await diagnose(await examine(surroundings, flags));
  const count = (verdict: Verdict) => found.filter((one) => one.verdict === verdict).length;
  const problems = count("problem");
  const warnings = count("warning");
  surroundings.result(
    { ok: problems === 0, home: surroundings.home.folder, problems, warnings, findings: found },
    found.map((one) => show(one, surroundings.paint)).join(""),
  );
  const worst = worstOf(found);
  if (worst === undefined) {
    surroundings.note(
      warnings === 0
        ? "nothing is wrong"
        : "nothing is wrong; the warnings say what could be better",
    );
    return;
  }
  const more = problems === 1 ? "" : ` (the worst of ${problems} problems)`;
  throw new PkiError(worst.kind ?? "internal", `${printable(worst.message)}${more}`, {
    ...(worst.hint === undefined ? {} : { hint: worst.hint }),
  });
}

export const doctorCommand = buildCommand<DoctorFlags, [], PkiContext>({
  func: async function (flags) {
    await doctor(this, flags);
  },
  parameters: {
    flags: {
      fix: switchFlag("First take from others what they can read or change in the home"),
      offline: switchFlag("Ask no server, and say what could not be checked"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--offline] [--fix] [options]"],
    brief: "Say what is wrong, and what to do",
    fullDescription:
      "Looks at the home folder and who can read it, the configuration, the environment,\n" +
      "the pinned root, each identity and its certificate, the server (can it be reached,\n" +
      "is it the trusted one, does its clock agree), and a data folder in the home. It\n" +
      "changes nothing (but modes, with --fix) and asks for no password; with one given\n" +
      "(--password-file) it also sees whether keys fit their certificates.\n\n" +
      "Exit codes: 0 nothing is wrong; else that of the worst problem: 6 something must not\n" +
      "be trusted; 9, 3 files or their modes are bad; 2, 5 something named is wrong or\n" +
      "missing; 7, 8 the server is not as it should be or away.\n\n" +
      "Examples:\n" +
      "  pki doctor\n" +
      "  pki doctor --offline\n" +
      "  pki doctor --json --quiet",
  },
});
