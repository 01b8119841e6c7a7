/** What `k3 server` was asked for, decoded once from flags, environment and config file. */
export interface ServerOptions {
  /** K3s's `/var/lib/rancher/k3s`; absolute. */
  readonly dataDir: string;
  readonly nodeName: string;
  /** Empty: the machine's own choice (address of the default route). */
  readonly nodeIps: readonly string[];
  /** "" listens on all addresses. */
  readonly bindAddress: string;
  readonly httpsListenPort: number;
  readonly tlsSans: readonly string[];
  /** Undefined: the token file, or a new one. */
  readonly token: string | undefined;
  readonly writeKubeconfig: string;
  /** For example 0o600. */
  readonly writeKubeconfigMode: number;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly clusterDomain: string;
  readonly serviceNodePortRange: { readonly first: number; readonly last: number };
  /** "" is the SQLite file in the data dir. */
  readonly datastoreEndpoint: string;
  /** K3s's names: coredns, servicelb, traefik, local-storage, metrics-server, runtimes. */
  readonly disable: ReadonlySet<string>;
  readonly disableAgent: boolean;
  readonly disableScheduler: boolean;
  readonly disableControllerManager: boolean;
  readonly disableKubeProxy: boolean;
  readonly disableNetworkPolicy: boolean;
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** `key=value:Effect` as given. */
  readonly nodeTaints: readonly string[];
  readonly pauseImage: string;
  readonly debug: boolean;
}
