/** Begins the record of requests that the policy wants recorded. */
import { ApiError } from "../../lib/api-error.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { ApiRequest, ApiResponse } from "../request.ts";
import { auditedCall } from "./audited-request.ts";
import type { AuditSink } from "./event.ts";
import type { EvaluateAudit } from "./policy.ts";
import { type AuditedRequest, AuditTrail } from "./trail.ts";

export interface AuditorOptions {
  readonly evaluate: EvaluateAudit;
  readonly sink: AuditSink;
  readonly runtime: Runtime;
}

export class Auditor {
  readonly #options: AuditorOptions;
  #events: () => void = () => {};
  #levels: (level: string) => void = () => {};
  #rejected: () => void = () => {};

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** Counts under upstream's names from now on. */
  countIn(metrics: Metrics): void {
    const events = metrics.counter(
      "apiserver_audit_event_total",
      "Counter of audit events generated and sent to the audit backend.",
    );
    const levels = metrics.counter(
      "apiserver_audit_level_total",
      "Counter of policy levels for audit events (1 per request).",
    );
    const rejected = metrics.counter(
      "apiserver_audit_requests_rejected_total",
      "Counter of apiserver requests rejected due to an error in audit logging backend.",
    );
    this.#events = () => events.add();
    this.#levels = (level) => levels.add({ level });
    this.#rejected = () => rejected.add();
  }

  /** Undefined when nothing of this request is recorded. */
  begin(request: AuditedRequest): AuditTrail | undefined {
    const { evaluate, sink, runtime } = this.#options;
    const audit = evaluate(request.attributes);
    this.#levels(audit.level);
    if (audit.level === "None") return undefined;
    return new AuditTrail({ request, audit, sink, runtime, count: () => this.#events() });
  }

  /** As `begin`, of a call of one of the server's own parts: it has been received. */
  async called(request: ApiRequest): Promise<AuditTrail | undefined> {
    const { clock, random } = this.#options.runtime;
    const audit = this.begin(auditedCall(request, random, clock.now()));
    await audit?.received();
    return audit;
  }

  /** Runs a call of one of the server's own parts, and records it as any other. */
  async record(
    request: ApiRequest,
    handle: (request: ApiRequest) => Promise<ApiResponse>,
  ): Promise<ApiResponse> {
    const audit = await this.called(request);
    if (audit === undefined) return handle(request);
    try {
      const answer = await handle({ ...request, audit });
      audit.responseCode(answer.status);
      await audit.complete();
      return answer;
    } catch (error) {
      if (!(error instanceof ApiError)) {
        await audit.panicked(error);
        throw error;
      }
      audit.failed(error);
      await audit.complete();
      throw error;
    }
  }

  /** A request is refused as its first event could not be stored (mode blocking-strict). */
  reject(): void {
    this.#rejected();
  }
}
