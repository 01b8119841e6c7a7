/** What becomes of the listeners of a Gateway: which entry point serves them, with what. */
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import {
  type Gateway,
  type GatewayListener,
  gatewayGroup,
  type RouteKind,
} from "../../../schema/gateway-api.ts";
import type { EntryPoint, TlsCertificate } from "../route-table.ts";
import { tlsPairOf } from "../secret-data.ts";
import { type Finding, finding } from "./conditions.ts";
import { tableHost } from "./hostnames.ts";
import { isPermitted, targetOf } from "./references.ts";
import type { GatewayView } from "./view.ts";

export interface ListenerPlan {
  readonly listener: DeepReadonly<GatewayListener>;
  readonly entryPoint: EntryPoint | undefined;
  /** Routes of these may attach. */
  readonly kinds: readonly RouteKind[];
  readonly certificates: readonly TlsCertificate[];
  readonly findings: readonly Finding[];
  /** It serves. */
  readonly isOpen: boolean;
}

/** The ports of the node, and those that Traefik's chart has behind them. */
const entryPoints: Readonly<Record<string, Readonly<Record<number, EntryPoint>>>> = {
  HTTP: { 80: "web", 8000: "web" },
  HTTPS: { 443: "websecure", 8443: "websecure" },
};

const routeKinds = ["HTTPRoute", "GRPCRoute"] as const;

export function planListener(
  gateway: DeepReadonly<Gateway>,
  listener: DeepReadonly<GatewayListener>,
  view: GatewayView,
): ListenerPlan {
  const { protocol, port, tls } = listener;
  const ofProtocol = entryPoints[protocol];
  const entryPoint = ofProtocol?.[port];
  const { kinds, invalid } = kindsOf(listener, ofProtocol !== undefined);
  const found = protocol === "HTTPS" ? certificatesOf(gateway, listener, view) : [];
  const certificates = typeof found === "string" || "type" in found ? [] : found;
  const unresolved = "type" in found ? found : invalid;
  const accepted =
    ofProtocol === undefined
      ? finding("Accepted", false, "UnsupportedProtocol", `${protocol} is not served`)
      : entryPoint === undefined
        ? finding(
            "Accepted",
            false,
            "PortUnavailable",
            portProblem(protocol, port, tls !== undefined),
          )
        : finding("Accepted", true, "Accepted");
  const isOpen = entryPoint !== undefined && !("type" in found) && kinds.length > 0;
  return {
    listener,
    entryPoint,
    kinds,
    certificates,
    isOpen,
    findings: [
      accepted,
      finding("Conflicted", false, "NoConflicts"),
      unresolved ?? finding("ResolvedRefs", true, "ResolvedRefs"),
      isOpen ? finding("Programmed", true, "Programmed") : finding("Programmed", false, "Invalid"),
    ],
  };
}

function portProblem(protocol: string, port: number, hasTls: boolean): string {
  const served = Object.keys(entryPoints[protocol] ?? {}).join(" or ");
  const with_ = hasTls ? " with TLS" : "";
  return `port ${port} is not served${with_}: ${protocol} is on ${served}`;
}

function kindsOf(
  { allowedRoutes }: DeepReadonly<GatewayListener>,
  isServed: boolean,
): { readonly kinds: readonly RouteKind[]; readonly invalid: Finding | undefined } {
  const all = isServed ? routeKinds.map((kind) => ({ group: gatewayGroup, kind })) : [];
  const asked = allowedRoutes?.kinds ?? [];
  if (asked.length === 0) return { kinds: all, invalid: undefined };
  const isKnown = ({ group = gatewayGroup, kind }: RouteKind): boolean =>
    group === gatewayGroup && all.some((one) => one.kind === kind);
  const strange = asked.filter((one) => !isKnown(one)).map(({ kind }) => kind);
  const names = strange.join(", ");
  return {
    kinds: asked.filter(isKnown).map(({ kind }) => ({ group: gatewayGroup, kind })),
    invalid:
      strange.length === 0
        ? undefined
        : finding("ResolvedRefs", false, "InvalidRouteKinds", `${names} cannot be served here`),
  };
}

/** A finding tells what is wrong with one of them. */
function certificatesOf(
  { metadata }: DeepReadonly<Gateway>,
  { hostname, tls }: DeepReadonly<GatewayListener>,
  view: GatewayView,
): readonly TlsCertificate[] | Finding {
  const namespace = metadata.namespace ?? "";
  const hosts = [tableHost(hostname?.toLowerCase() ?? "")];
  const certificates: TlsCertificate[] = [];
  const wrong = (reason: string, message: string): Finding =>
    finding("ResolvedRefs", false, reason, message);
  for (const reference of tls?.certificateRefs ?? []) {
    const target = targetOf(reference, { kind: "Secret", namespace });
    const name = `Secret ${target.namespace}/${target.name}`;
    if (target.group !== "" || target.kind !== "Secret") {
      return wrong("InvalidCertificateRef", `${target.kind} ${target.name} is no Secret`);
    }
    if (!isPermitted({ kind: "Gateway", namespace }, target, view.grants)) {
      return wrong("RefNotPermitted", `${name} may not be used: no ReferenceGrant permits it`);
    }
    const secret = view.secret(`${target.namespace}/${target.name}`);
    const pair = secret === undefined ? "does not exist" : tlsPairOf(secret);
    if (typeof pair === "string") return wrong("InvalidCertificateRef", `${name} ${pair}`);
    certificates.push({ hosts, ...pair });
  }
  if (certificates.length > 0) return certificates;
  return wrong("InvalidCertificateRef", "there is no certificate");
}
