/** What the `audit-*` arguments of kube-apiserver say. */

export const auditModes = ["batch", "blocking", "blocking-strict"] as const;
export type AuditMode = (typeof auditModes)[number];

export const auditFormats = ["legacy", "json"] as const;
export type AuditFormat = (typeof auditFormats)[number];

export interface BatchOptions {
  /** Events that wait; what comes when so many wait is lost. */
  readonly bufferSize: number;
  readonly maxSize: number;
  readonly maxWaitMs: number;
  /** Batches per second. */
  readonly throttle: { readonly qps: number; readonly burst: number } | undefined;
}

export interface TruncateOptions {
  readonly batchBytesMax: number;
  readonly eventBytesMax: number;
}

/** What the log and the webhook have in common. */
export interface BackendOptions {
  readonly mode: AuditMode;
  readonly batch: BatchOptions;
  /** Undefined leaves long events as they are. */
  readonly truncate: TruncateOptions | undefined;
}

export interface AuditLogOptions extends BackendOptions {
  /** "-" is standard output. */
  readonly path: string;
  readonly format: AuditFormat;
  /** 0 keeps files of any age. */
  readonly ageDaysMax: number;
  /** 0 keeps any number of files. */
  readonly backupsMax: number;
  /** 0 never sets a file aside. */
  readonly megabytesMax: number;
  readonly compress: boolean;
}

export interface AuditWebhookOptions extends BackendOptions {
  /** A kubeconfig that names the receiver. */
  readonly configFile: string;
  readonly initialBackoffMs: number;
}

export interface AuditOptions {
  /** Without it nothing is recorded. */
  readonly policyFile: string | undefined;
  readonly log: AuditLogOptions | undefined;
  readonly webhook: AuditWebhookOptions | undefined;
}
