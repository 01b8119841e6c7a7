/** What stands before the API and lets requests in: by fair queues, or by two plain numbers. */
import type { RequestDigest } from "./rules.ts";

export interface Knock {
  readonly digest: RequestDigest;
  readonly query: URLSearchParams;
  /** How long the request may take in all. */
  readonly timeoutMs: number;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** The answer to a knock; `headers` go with the response in either case. */
export type Admittance =
  | {
      readonly admitted: true;
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** To be called once when the request was served; for a watch, when it has begun. */
      readonly leave: () => void;
    }
  | {
      readonly admitted: false;
      readonly headers: readonly (readonly [name: string, value: string])[];
      readonly retryAfterSeconds: number;
    };

export interface RequestGate {
  /** Answers at once where nothing is crowded. */
  enter(knock: Knock): Admittance | Promise<Admittance>;
}
