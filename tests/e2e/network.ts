/**
 * Two hosts and a router between them, as network namespaces of Linux, for tests of what a bad network
 * does: packets are lost (nftables), delayed (`packet_delay.py`, where the kernel has no netem), held
 * back by a slow line (tbf), or do not come through at all (the link is down). What goes to the router
 * itself, where a test has its `pki serve`, is not lost, and not delayed.
 *
 * Names are unique to the process; what a run has left that was killed is removed by the next one.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { hasProgram } from "./harness.ts";

/** Where a program runs: what stands before its command line, and where others reach it. */
export interface Host {
  /** For `within` of a program's options. */
  readonly within: readonly string[];
  readonly address: string;
  readonly address6: string;
  /** The router's address on this host's side. */
  readonly router: string;
}

/** A side of the router, by the name of its link there. */
type Side = "left" | "right";

/** Documentation's addresses (RFC 5737, RFC 3849): nobody's, wherever a packet might end up. */
const SIDES = {
  left: { prefix: "192.0.2.", prefix6: "2001:db8:1::" },
  right: { prefix: "198.51.100.", prefix6: "2001:db8:2::" },
} as const;

/** What tbf lets pass at once: a few packets; and what it holds before it drops. */
const TBF = ["burst", "8kb", "latency", "300ms"] as const;

/** The table of routes by which packets take the way round, through `packet_delay.py`. */
const DELAYED = "100";

const NAMESPACES = "/run/netns";
/** What `ip netns exec` puts in the place of files of /etc, by the namespace's name. */
const SETTINGS = "/etc/netns";
const DELAY_PROGRAM = join(import.meta.dirname ?? ".", "packet_delay.py");

let made = 0;

function run(command: string, args: readonly string[], input?: string): void {
  const { status, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    ...(input === undefined ? {} : { input }),
  });
  if (error || status !== 0) {
    throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
  }
}

/** Removes namespaces of processes that are no more. */
function removeLeftOvers(): void {
  if (!fs.existsSync(NAMESPACES)) return;
  for (const name of fs.readdirSync(NAMESPACES)) {
    const [, pid] = /^pki-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || fs.existsSync(`/proc/${pid}`)) continue;
    remove(name);
  }
}

function remove(name: string): void {
  spawnSync("ip", ["netns", "delete", name]);
  fs.rmSync(join(SETTINGS, name), { recursive: true, force: true });
}

export class Network {
  readonly left: Host;
  readonly right: Host;
  /** For `within` of what runs on the router. */
  readonly within: readonly string[];
  readonly #names: Readonly<Record<Side | "router", string>>;
  readonly #onExit = () => this.#remove();
  #delay: ChildProcess | undefined;

  constructor() {
    removeLeftOvers();
    const prefix = `pki-${process.pid}-${made++}`;
    this.#names = { left: `${prefix}-l`, router: `${prefix}-r`, right: `${prefix}-k` };
    const within = (name: string) => ["ip", "netns", "exec", name];
    const host = (side: Side): Host => ({
      within: within(this.#names[side]),
      address: `${SIDES[side].prefix}1`,
      address6: `${SIDES[side].prefix6}1`,
      router: `${SIDES[side].prefix}254`,
    });
    this.left = host("left");
    this.right = host("right");
    this.within = within(this.#names.router);
    process.once("exit", this.#onExit);
    try {
      this.#make();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #make(): void {
    const { router } = this.#names;
    for (const name of Object.values(this.#names)) {
      run("ip", ["netns", "add", name]);
      run("ip", ["-n", name, "link", "set", "lo", "up"]);
    }
    this.#inRouter(
      "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 " +
        "net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.all.forwarding=1",
    );
    for (const side of ["left", "right"] as const) {
      const host = this.#names[side];
      const { prefix, prefix6 } = SIDES[side];
      // One packet of the network is one packet here: what is lost is a segment, not a whole 64 KiB.
      const single = ["gso_max_segs", "1", "gso_max_size", "1500"];
      run("ip", [
        ...["-n", host, "link", "add", "eth0", ...single, "type", "veth"],
        ...["peer", "name", side, ...single, "netns", router],
      ]);
      const both = [[host, "eth0", "1"], [router, side, "254"]] as const;
      for (const [name, link, last] of both) {
        run("ip", ["-n", name, "address", "add", `${prefix}${last}/24`, "dev", link]);
        run("ip", ["-n", name, "address", "add", `${prefix6}${last}/64`, "dev", link, "nodad"]);
        run("ip", ["-n", name, "link", "set", link, "up"]);
      }
      this.#addRoutes(side);
    }
  }

  #addRoutes(side: Side): void {
    const { prefix, prefix6 } = SIDES[side];
    for (const [family, gateway] of [["-4", `${prefix}254`], ["-6", `${prefix6}254`]] as const) {
      run("ip", [
        ...["-n", this.#names[side], family, "route", "replace", "default", "via", gateway],
      ]);
    }
  }

  #inRouter(line: string): void {
    const [command = "", ...args] = [...this.within, ...line.split(" ")];
    run(command, args);
  }

  /** Loses so many of a hundred packets, in each direction, from now on. */
  lose(percent: number): void {
    const rule = percent === 0
      ? ""
      : `oifname { "left", "right" } numgen random mod 100 < ${percent} drop\n`;
    const [command = "", ...args] = [...this.within, "nft", "-f", "-"];
    run(
      command,
      args,
      "table inet loss\ndelete table inet loss\ntable inet loss {\n" +
        `chain forward {\ntype filter hook forward priority 0;\n${rule}}\n}\n`,
    );
  }

  /** A line of so many kbit/s in each direction from now on; without a rate, as fast as it goes. */
  limit(kbit?: number): void {
    for (const side of ["left", "right"] as const) {
      const where = ["-n", this.#names.router, "qdisc"];
      if (kbit === undefined) run("tc", [...where, "delete", "dev", side, "root"]);
      else {
        run("tc", [...where, "replace", "dev", side, "root", "tbf", "rate", `${kbit}kbit`, ...TBF]);
      }
    }
  }

  /** Every packet takes so much longer from one host to the other, in each direction. Once only. */
  async delay(ms: number): Promise<void> {
    assert.ok(!this.#delay, "it is delayed already");
    const { router } = this.#names;
    run("ip", ["-n", router, "tuntap", "add", "dev", "round", "mode", "tun"]);
    run("ip", ["-n", router, "link", "set", "round", "up"]);
    const [command = "", ...args] = [
      ...this.within,
      "python3",
      DELAY_PROGRAM,
      "round",
      String(ms),
    ];
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#delay = child;
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("exit", (code) => reject(new Error(`packet_delay.py has ended with ${code}`)));
    });
    for (const family of ["-4", "-6"]) {
      const ip = (...args: readonly string[]) => run("ip", ["-n", router, family, ...args]);
      ip("route", "add", "default", "dev", "round", "table", DELAYED);
      for (const side of ["left", "right"]) ip("rule", "add", "iif", side, "lookup", DELAYED);
    }
  }

  /** Packets of IPv6 go into a hole from now on, and nobody is told. */
  swallowIpv6(): void {
    const [command = "", ...args] = [...this.within, "nft", "-f", "-"];
    run(
      command,
      args,
      "table ip6 hole {\nchain forward {\ntype filter hook forward priority 0; policy drop;\n}\n}\n",
    );
  }

  /** What a host knows by a name: these addresses, and nothing else by any name but its own. */
  name(host: Side, name: string, addresses: readonly string[]): void {
    const folder = join(SETTINGS, this.#names[host]);
    fs.mkdirSync(folder, { recursive: true });
    const lines = ["127.0.0.1 localhost", ...addresses.map((address) => `${address} ${name}`)];
    fs.writeFileSync(join(folder, "hosts"), lines.map((line) => `${line}\n`).join(""));
  }

  /**
   * Nothing comes through any more: the right host's link is down. Its packets come to nothing; the
   * left one's do as far as the router, which can only say that there is no way.
   */
  cut(): void {
    run("ip", ["-n", this.#names.router, "link", "set", "right", "down"]);
  }

  /** Takes {@link cut} back. */
  mend(): void {
    const { router } = this.#names;
    run("ip", ["-n", router, "link", "set", "right", "up"]);
    // A link that goes down loses its addresses of IPv6.
    const address = `${SIDES.right.prefix6}254/64`;
    run("ip", ["-n", router, "address", "replace", address, "dev", "right", "nodad"]);
  }

  /** How many segments the TCP of a host has sent again, since nobody confirmed them. */
  resent({ within }: Host): number {
    const [command = "", ...args] = [...within, "cat", "/proc/net/snmp"];
    const { stdout } = spawnSync(command, args, { encoding: "utf8" });
    const [names = [], values = []] = stdout.split("\n").filter((line) => line.startsWith("Tcp:"))
      .map((line) => line.split(" "));
    return Number(values[names.indexOf("RetransSegs")]);
  }

  /** Removes all of it. Programs that run there have to be ended before. */
  close(): void {
    process.removeListener("exit", this.#onExit);
    this.#remove();
  }

  #remove(): void {
    this.#delay?.removeAllListeners("exit");
    this.#delay?.kill("SIGKILL");
    for (const name of Object.values(this.#names)) remove(name);
  }
}

/** The `skip` option of a test that needs a network: it takes root, Linux and some tools of Debian's. */
export function needsNetwork(...more: readonly string[]): { skip?: string } {
  const tools = ["ip", "tc", "nft", "sysctl", "python3", ...more];
  const missing = tools.filter((name) => !hasProgram(name));
  if (missing.length > 0) return { skip: `needs ${missing.join(", ")}` };
  if (process.getuid?.() !== 0) return { skip: "needs root, for network namespaces" };
  if (!fs.existsSync("/dev/net/tun")) return { skip: "needs /dev/net/tun" };
  try {
    const network = new Network();
    try {
      network.lose(1);
      network.limit(1000);
    } finally {
      network.close();
    }
  } catch (error) {
    return { skip: `no network namespaces here: ${(error as Error).message}` };
  }
  return {};
}

/** Runs a test's body with a network of its own. */
export async function inNetwork(body: (network: Network) => Promise<void>): Promise<void> {
  const network = new Network();
  try {
    await body(network);
  } finally {
    network.close();
  }
}
