import type { KubeletSettings } from "../agent/kubelet/kubelet-settings.ts";
import type { FlannelSettings, OverlayFiles } from "../agent/net/flannel/settings.ts";
import type { AdmissionSettings } from "../api/admission/admission-config.ts";
import type { AuditOptions } from "../api/audit/audit-options.ts";
import type { JwtSettings } from "../api/auth/authentication-config.ts";
import type { AuthorizerSettings } from "../api/auth/authorization-config.ts";
import type { RequestHeaders } from "../api/auth/front-proxy.ts";
import type { TokenWebhookSettings } from "../api/auth/webhook-tokens.ts";
import type { IpFamily } from "../lib/ip-range.ts";

/** Where and how the admin's kubeconfig is written. */
export interface KubeconfigFile {
  readonly path: string;
  /** For example 0o600. */
  readonly mode: number;
  /** Id of the group that it is given to. */
  readonly group: number | undefined;
  /** Of cluster, user and context. */
  readonly name: string;
}

/** Arguments of kube-controller-manager, by its own names (`--kube-controller-manager-arg`). */
export interface ControllerManagerArguments {
  readonly "allocate-node-cidrs": boolean;
  /** Prefix lengths of a node's ranges; 0: the usual one. */
  readonly "node-cidr-mask-size": number;
  readonly "node-cidr-mask-size-ipv4": number;
  readonly "node-cidr-mask-size-ipv6": number;
}

/** Arguments of kube-apiserver, by its own names (`--kube-apiserver-arg`). */
export interface ApiServerArguments {
  /** All of them as they would be given. */
  readonly flagz: Readonly<Record<string, string>>;
  readonly "enable-priority-and-fairness": boolean;
  /** Part of HTTP/2 requests whose client is asked to connect anew. */
  readonly "goaway-chance": number;
  /** 0 is the default. */
  readonly "http2-max-streams-per-connection": number;
  /** Milliseconds from the start in which what has not started yet counts as alive. */
  readonly "livez-grace-period": number;
  /** Requests at once; 0 is no bound. With priority and fairness the two make one sum. */
  readonly "max-requests-inflight": number;
  readonly "max-mutating-requests-inflight": number;
  /** Seconds that a watch lasts at least when its client names none. */
  readonly "min-request-timeout": number;
  /** Milliseconds that any other request may take. */
  readonly "request-timeout": number;
  /** Milliseconds that a server which is to stop still serves, no longer ready. */
  readonly "shutdown-delay-duration": number;
  /** Whether new requests get 429 with a Retry-After while it stops, instead of no connection. */
  readonly "shutdown-send-retry-after": boolean;
}

export interface AccountTokenOptions {
  /** The first one signs; tokens of all are believed. */
  readonly issuers: readonly string[];
  /** The API server's own. */
  readonly audiences: readonly string[];
  /** Where the keys are to be had, as discovery tells; undefined: below the issuer. */
  readonly jwksUri: string | undefined;
  /** Who asks for longer gets this. */
  readonly expirationSecondsMax: number | undefined;
  /** Whether tokens of pods work for a year, for programs that never read their file again. */
  readonly extendsExpiration: boolean;
}

export interface AuthenticationOptions {
  /** An AuthenticationConfiguration. */
  readonly configFile: string | undefined;
  /** The issuer of the `oidc-*` arguments; its authority is read from `caFile`. */
  readonly oidc:
    | { readonly settings: JwtSettings; readonly caFile: string | undefined }
    | undefined;
  readonly webhook: TokenWebhookSettings | undefined;
  readonly requestHeaders: RequestHeaders;
  /** Undefined leaves it to the file, or to k3. */
  readonly anonymous: boolean | undefined;
}

export interface AuthorizationOptions {
  /** An AuthorizationConfiguration; then `chain` is not used. */
  readonly configFile: string | undefined;
  readonly chain: readonly AuthorizerSettings[];
}

/** What concerns the node itself: both roles have it. */
export interface NodeOptions {
  /** K3s's `/var/lib/rancher/k3s`; absolute. */
  readonly dataDir: string;
  readonly nodeName: string;
  /** Empty: the machine's own choice (address of the default route). */
  readonly nodeIps: readonly string[];
  /** Beside the internal addresses: what the Node object tells. */
  readonly nodeAddresses: {
    readonly externalIps: readonly string[];
    readonly internalDns: readonly string[];
    readonly externalDns: readonly string[];
  };
  /** "" listens on all addresses. */
  readonly bindAddress: string;
  /** Undefined: on a server the token file, or a new one; on an agent the certificate it has. */
  readonly token: string | undefined;
  readonly kubelet: KubeletSettings;
  /** Programs that know passwords of registries, and what says which for what. */
  readonly credentialProviders: { readonly config: string; readonly binDir: string };
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** `key=value:Effect` as given. */
  readonly nodeTaints: readonly string[];
  readonly pauseImage: string;
  /** registries.yaml, and whether registries with mirrors are asked themselves too. */
  readonly registries: { readonly file: string; readonly noDefaultEndpoint: boolean };
  /** The resolv.conf that pods and the DNS build on; undefined chooses one of the host. */
  readonly resolvConf: string | undefined;
  readonly overlay: OverlayFiles;
  readonly debug: boolean;
}

/** What `k3 agent` was asked for. */
export interface AgentOptions extends NodeOptions {
  /** `https://host:port` of a server. */
  readonly server: string;
  /** On loopback, for the way to the servers. */
  readonly balancerPort: number;
}

/** The cluster's addresses: of one family, or of two, the one that counts first before. */
export interface NetworkRanges {
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  /** Prefix lengths of what a node gets of `clusterCidrs`. */
  readonly nodeCidrMaskSizes: Readonly<Record<IpFamily, number>>;
  /** Inside of `serviceCidrs`. */
  readonly clusterDns: readonly string[];
}

/** What `k3 server` was asked for, decoded once from flags, environment and config file. */
export interface ServerOptions extends NodeOptions, NetworkRanges {
  readonly httpsListenPort: number;
  readonly tlsSans: readonly string[];
  /** By which only agents join; undefined: the same as `token`. */
  readonly agentToken: string | undefined;
  readonly kubeconfig: KubeconfigFile;
  /** What the `kubernetes` Service leads to. */
  readonly advertise: { readonly address: string | undefined; readonly port: number };
  readonly clusterDomain: string;
  readonly serviceNodePortRange: { readonly first: number; readonly last: number };
  /** The SQLite file. */
  readonly databaseFile: string;
  /** K3s's names: coredns, servicelb, traefik, local-storage, metrics-server, runtimes. */
  readonly disable: ReadonlySet<string>;
  /** Where local volumes lie on every node that is told nothing else. */
  readonly localStoragePath: string;
  readonly disableAgent: boolean;
  readonly disableScheduler: boolean;
  /** A KubeSchedulerConfiguration; undefined for the default one. */
  readonly schedulerConfigFile: string | undefined;
  readonly disableControllerManager: boolean;
  readonly controllerManager: ControllerManagerArguments;
  readonly apiServer: ApiServerArguments;
  readonly accountTokens: AccountTokenOptions;
  readonly admission: AdmissionSettings;
  readonly audit: AuditOptions;
  readonly authentication: AuthenticationOptions;
  readonly authorization: AuthorizationOptions;
  readonly disableKubeProxy: boolean;
  readonly disableNetworkPolicy: boolean;
  readonly flannel: FlannelSettings;
  /** How the API server reaches kubelets and pods of other nodes. */
  readonly egressSelectorMode: string;
  /** Lifetime of issued certificates; undefined is K3s' year. */
  readonly leafDays: number | undefined;
}
