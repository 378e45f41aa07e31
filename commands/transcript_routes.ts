/** `pki transcript`: what may be done with the file that `--transcript` has written. */

import { buildRouteMap } from "@stricli/core";
import { transcriptShowCommand } from "./transcript_show.ts";
import { transcriptVerifyCommand } from "./transcript_verify.ts";

export const transcriptRoutes = buildRouteMap({
  routes: { verify: transcriptVerifyCommand, show: transcriptShowCommand },
  docs: {
    brief: "Look after transcripts of talks: verify, show",
    fullDescription:
      "What both sides of a talk have signed: kept with --transcript, see pki connect --help.",
  },
});
