/** What a client did wrong, as Kubernetes' `Status` tells it (meta/v1 `StatusReason`). */
const reasons = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
  ServerTimeout: 504,
} as const;

export type Reason = keyof typeof reasons;

/** One entry of `details.causes`: `reason` is a `CauseType` such as FieldValueInvalid. */
export interface Cause {
  readonly reason: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** The wire form of meta/v1 `Status`. */
export interface StatusObject {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Record<string, unknown>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly reason: Reason | "";
  readonly details: StatusDetails | undefined;
  readonly code: number;
  /** What there was to warn about before the request failed. */
  warnings: readonly string[] = [];

  constructor(
    reason: Reason | "",
    message: string,
    options: {
      readonly details?: StatusDetails;
      readonly code?: number;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.details = options.details;
    this.code = options.code ?? (reason === "" ? 500 : reasons[reason]);
  }

  toStatus(): StatusObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason === "" ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }

  /** The error that a `Status` answer of another server tells. */
  static fromStatus(status: StatusObject, httpCode: number): ApiError {
    const reason =
      status.reason !== undefined && status.reason in reasons ? (status.reason as Reason) : "";
    return new ApiError(reason, status.message ?? `Server answered ${httpCode}`, {
      ...(status.details === undefined ? {} : { details: status.details }),
      code: status.code ?? httpCode,
    });
  }
}

/** True when `error` is an ApiError of that reason. */
export function isReason(error: unknown, reason: Reason): error is ApiError {
  return error instanceof ApiError && error.reason === reason;
}
