/** The pipeline's own request and answer; HTTP is only one way to make them. */

import type { KubeObject } from "../schema/object.ts";
import type { AuditTrail } from "./audit/trail.ts";
import type { Frames } from "./http-exchange.ts";
import type { Pieces } from "./pieces.ts";

export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export type RequestVerb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "patch"
  | "delete"
  | "deletecollection"
  | "connect";

export interface ResourceRef {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

export interface ApiRequest {
  readonly verb: RequestVerb;
  readonly resource: ResourceRef;
  /** "" is the resource itself. */
  readonly subresource: string;
  readonly namespace: string;
  /** "" for collections. */
  readonly name: string;
  /** What follows the subresource in the path (proxy), with its slash. */
  readonly rest: string;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly accept: string;
  readonly userAgent: string;
  readonly user: User;
  /** An in-process caller hands the object over; HTTP hands bytes. */
  readonly body: Uint8Array | KubeObject | undefined;
  readonly contentType: string;
  /** All headers as sent, for what is passed on to nodes and pods; absent in process. */
  readonly headers?: Headers;
  /** The record that is made of this request; absent when there is none. */
  readonly audit?: AuditTrail | undefined;
  readonly signal: AbortSignal;
}

export type ApiResponse =
  | {
      readonly type: "object";
      readonly status: number;
      readonly object: KubeObject;
      /** The same as wire bytes, when they are at hand without encoding. */
      readonly json?: () => Uint8Array | Pieces;
      readonly warnings?: readonly string[];
    }
  | {
      readonly type: "bytes";
      readonly status: number;
      readonly contentType: string;
      readonly bytes: Uint8Array | Pieces;
      readonly warnings?: readonly string[];
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly type: "stream";
      readonly status: number;
      readonly contentType: string;
      readonly frames: ReadableStream<Uint8Array> | Frames;
      readonly warnings?: readonly string[];
      readonly headers?: Readonly<Record<string, string>>;
    };
