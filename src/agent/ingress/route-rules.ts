/** What an Ingress's annotations ask of a request before it may pass. */
import { type AnswerFields, type Decision, plainAnswer } from "./decision.ts";
import type { Request } from "./request-out.ts";
import type { Match } from "./route-matcher.ts";

export interface Asked {
  readonly request: Request;
  readonly match: Match;
  readonly path: string;
  /** With its question mark. */
  readonly query: string;
}

/** Lets pass by `forward`, which is given what the answer gets besides. */
export function checkRules(
  { request, match: { route }, path, query }: Asked,
  forward: (fields: AnswerFields) => Decision,
): Decision | Promise<Decision> {
  const { rules } = route;
  if (rules.refusal !== undefined) return plainAnswer(503, "no available server", route);
  if (rules.redirectsToTls && request.entryPoint === "web") {
    const host = request.host.replace(/:\d*$/, "");
    return redirect(308, `https://${host}${path}${query}`, route);
  }
  return forward([]);
}

function redirect(status: number, url: string, route: Match["route"]): Decision {
  return { type: "answer", status, fields: [["Location", url]], body: "", route };
}
