/**
 * Connects from one address after the other, keeps all that it gets, and says what each heard; a
 * program of its own, since it runs where these addresses are (`sites_test.ts`). Takes JSON as its
 * argument; prints a line of JSON.
 */

import { isIPv6 } from "node:net";
import process from "node:process";
import { connect } from "node:tls";
import { utf8 } from "../../lib/base/bytes.ts";
import { TLS_OPTIONS } from "../../lib/base/tls.ts";
import { encodeFrame, FrameReader } from "../../lib/protocol/frame.ts";
import { PROTOCOL } from "../../lib/protocol/message_fields.ts";

export interface SitesOptions {
  readonly port: number;
  /** Where the server is, by the family of the address. */
  readonly server: { readonly v4: string; readonly v6: string };
  readonly from: readonly string[];
}

const { port, server, from } = JSON.parse(process.argv[2] ?? "") as SitesOptions;

/** `OK`, the code of an error, or `cut`. */
function hear(localAddress: string): Promise<string> {
  const host = isIPv6(localAddress) ? server.v6 : server.v4;
  const place = { host, port, localAddress };
  const socket = connect({ ...TLS_OPTIONS, ...place, ALPNProtocols: [PROTOCOL] });
  const frames = new FrameReader();
  socket.once("secureConnect", () => socket.write(encodeFrame(utf8('{"seq":1,"type":"HELLO"}'))));
  return new Promise((resolve) => {
    socket.on("data", (chunk: Uint8Array) => {
      frames.push(new Uint8Array(chunk));
      const body = frames.read();
      if (!body) return;
      const { type, code } = JSON.parse(new TextDecoder().decode(body));
      resolve(code ?? type);
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => resolve("cut"));
  });
}

const heard: string[] = [];
for (const address of from) heard.push(await hear(address));
console.log(JSON.stringify(heard));
process.exit(0);
