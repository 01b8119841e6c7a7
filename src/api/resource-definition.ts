/** One row per resource: everything the pipeline needs to serve a kind. Rows live in `groups/`. */
import type { Client, Resource } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveObject, LiveSets } from "../live/live-set.ts";
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Structural } from "../schema/structural/schema.ts";
import type { TypeName } from "../schema/type-table.ts";
import type { AuditTrail } from "./audit/trail.ts";
import type { Authorizer } from "./authorizer.ts";
import type { ApiRequest, ApiResponse, User } from "./request.ts";

/** What a column shows of an object. */
export type Cell = string | number | bigint | boolean | null;

export interface Column<T> {
  readonly name: string;
  /** OpenAPI type of the cell: string, integer, number, boolean, date. */
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description: string;
  /** 0 is always shown, more only with `-o wide`. */
  readonly priority: number;
  readonly value: (object: DeepReadonly<T>, now: Date) => Cell;
}

/** One wrong field: `type` is meta/v1 CauseType; `detail` follows Kubernetes' wording. */
export interface FieldError {
  readonly type:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueDuplicate"
    | "FieldValueNotSupported"
    | "FieldValueNotFound"
    | "FieldValueForbidden"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldValueTypeInvalid";
  readonly field: string;
  readonly value?: unknown;
  readonly detail: string;
}

export type FieldErrors = readonly FieldError[];

export interface WriteContext<T> {
  readonly verb: "create" | "update";
  /** "" for the main resource, else "status", "scale", ... */
  readonly subresource: string;
  readonly old: DeepReadonly<T> | undefined;
  readonly user: User;
  readonly dryRun: boolean;
  readonly now: Date;
  readonly runtime: Runtime;
  readonly live: LiveSets;
}

/** For rules that have to ask others. */
export interface PermitContext<T> extends WriteContext<T> {
  readonly authorizer: Authorizer;
  readonly request: ApiRequest;
}

/** Takes back what `allocate` took, when the write did not happen. */
export type Undo = () => Promise<void>;

export interface Strategy<T> {
  /** Drop status on create, bump generation, restore immutable parts. Mutates `object`. */
  prepare?(object: T, context: WriteContext<T>): void;
  /** A promise where it may take long: others have their turns in between. */
  validate?(object: DeepReadonly<T>, context: WriteContext<T>): FieldErrors | Promise<FieldErrors>;
  /** Errors that only others can tell: what the user may change, what a namespace allows. */
  permit?(object: DeepReadonly<T>, context: PermitContext<T>): Promise<readonly FieldError[]>;
  /** What is accepted, but hardly meant. */
  warn?(object: DeepReadonly<T>, context: WriteContext<T>): readonly string[];
  /** Cluster IPs and node ports. Mutates `object`. */
  allocate?(object: T, context: WriteContext<T>): Promise<Undo>;
  /** Gives allocations back when the object is gone. */
  release?(object: DeepReadonly<T>): Promise<void>;
  /** Graceful deletion: seconds until removal (pods); undefined or 0 removes at once. */
  graceSeconds?(object: DeepReadonly<T>, asked: number | undefined): number;
  /** True while something other than metadata.finalizers keeps a deleted object (namespaces). */
  holdsDeletion?(object: DeepReadonly<T>): boolean;
  /** Called once, when deletionTimestamp is set (a namespace becomes Terminating). Mutates. */
  markDeleted?(object: T): void;
  /**
   * True when an update only says that something is still alive (a renewed lease, a node's
   * heartbeat): it need not survive a crash, since it is repeated soon or goes stale anyway.
   */
  isSignOfLife?(object: DeepReadonly<T>, old: DeepReadonly<T>): boolean;
  /** PUT of an absent object creates it (leases, endpoints, ...: rest.CreateOnUpdate). */
  readonly createOnUpdate?: boolean;
  /** An update without resourceVersion is refused when false. Default true. */
  readonly unconditionalUpdate?: boolean;
}

/** What `action` and `stream` subresources may use besides the request. */
export interface ActionContext {
  readonly authorizer: Authorizer;
  /** The record of the request. */
  readonly audit: AuditTrail | undefined;
  readonly client: Client;
  readonly live: LiveSets;
  readonly runtime: Runtime;
  /**
   * Stores what `change` makes of the target's newest state, past strategy and admission, again on
   * a conflict (binding a pod, marking one for eviction). Throws NotFound when the target is gone.
   */
  change<T extends KubeObject>(target: LiveObject<T>, change: (object: T) => T): Promise<T>;
}

export type Subresource<T> =
  | { readonly type: "status" }
  | {
      readonly type: "scale";
      readonly replicas: string;
      readonly statusReplicas: string;
      readonly selector: string;
    }
  /** Writes the object itself through another door (ephemeralcontainers, resize, finalize). */
  | {
      readonly type: "part";
      readonly verbs: readonly ("get" | "patch" | "update")[];
      merge(old: DeepReadonly<T>, sent: T): T;
    }
  | {
      readonly type: "action";
      readonly verb: "create" | "get";
      /** Group/version/kind of the body or answer, as discovery shows it. */
      readonly kind: string;
      readonly group: string;
      readonly version: string;
      run(target: LiveObject<T>, request: ApiRequest, context: ActionContext): Promise<ApiResponse>;
    }
  | {
      readonly type: "stream";
      /** Kind of the options in discovery, for example PodExecOptions. */
      readonly kind: string;
      readonly verbs: readonly string[];
      /** Answers a request that asks for no upgrade (proxy); without it such a request is a 400. */
      fetch?(
        target: LiveObject<T>,
        request: ApiRequest,
        context: ActionContext,
      ): Promise<ApiResponse>;
      /** Takes over the connection of an upgrade, head already read (it is in `request`). */
      open(
        target: LiveObject<T>,
        request: ApiRequest,
        socket: ByteStream,
        context: ActionContext,
      ): Promise<void>;
    };

export type Convert = (
  objects: readonly KubeObject[],
  apiVersion: string,
) => Promise<readonly KubeObject[]>;

export interface ResourceDefinition<T extends KubeObject = KubeObject> extends Resource<T> {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Verbs of the main resource; the standard eight unless a row says less. */
  readonly verbs: readonly Verb[];
  /** Empty for custom resources, which have `custom` instead. */
  readonly typeName: TypeName;
  /** Told to everyone who uses the kind, for kinds that upstream has deprecated. */
  readonly deprecation?: string;
  readonly custom?: {
    readonly schema: Structural;
    /** Aborts when the definition is gone: watches end. */
    readonly removed: AbortSignal;
    /** The version that objects are stored in. */
    readonly storedAs: string;
    /**
     * Set when a webhook converts between versions: answers the objects, which may be of several
     * versions, in the order given as `apiVersion` wants them. They are the callee's to change.
     */
    readonly convert?: Convert;
  };
  /** Columns after upstream's printers, Name first and Age where upstream has it. */
  readonly columns: readonly Column<T>[];
  /** Selectable fields; metadata.name and metadata.namespace are always there. */
  readonly fields: Readonly<Record<string, (object: DeepReadonly<T>) => string>>;
  /** Computed defaults beyond the schema's `+default` markers. Mutates `object`. */
  readonly defaults: (object: T) => void;
  readonly strategy: Strategy<T>;
  readonly subresources: Readonly<Record<string, Subresource<T>>>;
  /** Where stored, under /registry; null for virtual kinds (reviews) that `virtual` serves. */
  readonly storagePrefix: string | null;
  /**
   * Between this version and the stored one, for groups that serve several versions of one
   * storage (autoscaling, events). Absent for the stored version itself. Both may mutate.
   */
  readonly conversion?: {
    /** The group version of the stored form. */
    readonly storedAs?: { readonly group: string; readonly version: string };
    toStorage(object: T): KubeObject;
    fromStorage(object: KubeObject): T;
  };
  /** Objects vanish this long after their last write (events). */
  readonly ttlSeconds?: number;
  /** Serves kinds that are never stored (reviews): answers a create. */
  readonly virtual?: (object: T, request: ApiRequest, context: ActionContext) => Promise<T>;
  /**
   * Set for kinds that are worked out when they are asked for (metrics): the objects of a
   * namespace, or of all for "". They can be got and listed, not watched.
   */
  readonly computed?: (namespace: string, context: ActionContext) => Promise<readonly T[]>;
}

export type Verb =
  | "create"
  | "delete"
  | "deletecollection"
  | "get"
  | "list"
  | "patch"
  | "update"
  | "watch";
