/** What becomes of a request: an answer of ours, or the way to a backend. */
import type { Balancer } from "./balancer.ts";
import type { Outgoing } from "./request-out.ts";
import type { FieldChange, Route } from "./route-table.ts";

export type AnswerFields = readonly (readonly [name: string, value: string])[];

/** What becomes of a request. */
export type Decision =
  | {
      readonly type: "answer";
      readonly status: number;
      readonly fields: AnswerFields;
      readonly body: string;
      readonly route: Route | undefined;
    }
  | Forward;

export interface Forward {
  readonly type: "forward";
  readonly route: Route;
  readonly balancer: Balancer;
  readonly outgoing: Outgoing;
  /** The endpoint that the client sticks to. */
  readonly preferred: string | undefined;
  /** What is done to the fields of the request, one after the other. */
  readonly requestFields: readonly FieldChange[];
  /** Added to the answer. */
  readonly fields: AnswerFields;
  /** Fields of the backend's answer that are left out, in lower case. */
  readonly dropped: readonly string[];
}

const plainText: AnswerFields = [
  ["Content-Type", "text/plain; charset=utf-8"],
  ["X-Content-Type-Options", "nosniff"],
];

export function plainAnswer(status: number, body: string, route?: Route): Decision {
  return { type: "answer", status, fields: plainText, body: `${body}\n`, route };
}
