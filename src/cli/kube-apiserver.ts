/** k3 called `kube-apiserver`: upstream's flags become options, options an API server. */
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { LoneApiServerOptions } from "../server/lone-api-server.ts";
import { nodeIpsOf } from "../server/own-address.ts";
import { ensureServingPair, type ServingPair } from "../server/serving-pair.ts";
import { k3Version } from "../server/version.ts";
import { accountTokenOptionsOf } from "./account-token-args.ts";
import { admissionOf } from "./admission-args.ts";
import { apiServerArgsOf } from "./apiserver-args.ts";
import { auditOptionsOf } from "./audit-args.ts";
import { authenticationOptionsOf } from "./authentication-args.ts";
import { authorizationOptionsOf } from "./authorization-args.ts";
import type { CommandContext } from "./command.ts";
import { flagHelp } from "./flag-help.ts";
import { bad, completeFlags, type FlagValues, parseArguments, UsageError } from "./flags.ts";
import { asServerFlags, kubeApiserverFlags } from "./kube-apiserver-flags.ts";
import { loggingOf } from "./logging.ts";
import { serviceRangesOf } from "./network-args.ts";
import { absolute, address, bindAddressOf, port } from "./node-options.ts";
import { portRange } from "./server-options.ts";
import { runUntilSignal } from "./until-signal.ts";

const command = "kube-apiserver";
const signingKey = "service-account-signing-key-file";

export async function runKubeApiserver(context: CommandContext): Promise<number> {
  const { args } = context;
  if (args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp(command, kubeApiserverFlags));
    return 0;
  }
  if (args.includes("--version") || args.includes("--version=true")) {
    context.out(`Kubernetes ${k3Version}\n`);
    return 0;
  }
  const given = parseArguments(kubeApiserverFlags, args, command);
  const flags = completeFlags(kubeApiserverFlags, asServerFlags(given), {});
  const runtime = createRuntime(loggingOf(flags));
  const options = await loneApiServerOptionsOf(flags, { ...runtime, cwd: process.cwd() });
  const { runLoneApiServer } = await import("../server/lone-api-server.ts");
  await runUntilSignal((signal) => runLoneApiServer(options, runtime, signal));
  return 0;
}

type World = Pick<Runtime, "files" | "clock"> & { readonly cwd: string };

/** Reads the files that flags name; every mistake is a UsageError. */
export async function loneApiServerOptionsOf(
  flags: FlagValues,
  world: World,
): Promise<LoneApiServerOptions> {
  const [etcdUrl = "", other] = flags.list("etcd-servers");
  if (!URL.canParse(etcdUrl) || other !== undefined)
    throw bad("etcd-servers", flags.list("etcd-servers").join(","), "it must be one URL");
  const advertised = flags.string("advertise-address");
  const advertiseAddress =
    advertised === ""
      ? (nodeIpsOf([], ["IPv4"])[0] ?? "")
      : address(advertised, "advertise-address");
  const apiServer = apiServerArgsOf(flags);
  const issuers = apiServer["service-account-issuer"];
  if (issuers.length === 0) throw missing("service-account-issuer");
  const complete = (path: string): string => absolute(path, world.cwd);
  const authentication = authenticationOptionsOf(apiServer, complete);
  const proxyKeyPem = await textOf(flags, "proxy-client-key-file", world);
  const proxyCertPem = await textOf(flags, "proxy-client-cert-file", world);
  return {
    etcdUrl,
    bindAddress: bindAddressOf(flags),
    port: port(flags, "secure-port"),
    advertiseAddress,
    serving: await servingOf(flags, advertiseAddress, world),
    clientCaPem: (await textOf(flags, "client-ca-file", world)) ?? "",
    frontProxy:
      proxyCertPem === undefined || proxyKeyPem === undefined
        ? undefined
        : { cert: proxyCertPem, key: proxyKeyPem },
    settings: {
      serviceCidrs: serviceRangesOf(flags, "service-cluster-ip-range", advertiseAddress),
      serviceNodePortRange: portRange(flags),
      apiServer,
      accountTokens: accountTokenOptionsOf(apiServer, { issuers, audiences: issuers.slice(0, 1) }),
      audit: auditOptionsOf(apiServer, complete),
      authentication: {
        ...authentication,
        // By itself kube-apiserver lets anybody ask, and authorization decides.
        anonymous: authentication.anonymous ?? true,
      },
      authorization: authorizationOptionsOf(apiServer, complete),
    },
    tokens: {
      keyPem: await readText(needed(flags, signingKey), signingKey, world),
      verificationPem: (
        await Promise.all(
          flags
            .list("service-account-key-file")
            .map((file) => readText(file, "service-account-key-file", world)),
        )
      ).join("\n"),
    },
    admission: admissionOf(apiServer, complete),
  };
}

function needed(flags: FlagValues, name: string): string {
  const value = flags.string(name);
  if (value === "") throw missing(name);
  return value;
}

function missing(name: string): UsageError {
  return new UsageError(`Cannot start ${command}: --${name} is missing`);
}

async function textOf(flags: FlagValues, name: string, world: World): Promise<string | undefined> {
  const file = flags.string(name);
  return file === "" ? undefined : await readText(file, name, world);
}

async function readText(file: string, flag: string, { files, cwd }: World): Promise<string> {
  const text = await files.readText(absolute(file, cwd)).catch(() => undefined);
  if (text === undefined || text.trim() === "")
    throw bad(flag, file, "it cannot be read, or is empty");
  return text;
}

async function servingOf(flags: FlagValues, ip: string, world: World): Promise<ServingPair> {
  const certPem = await textOf(flags, "tls-cert-file", world);
  const keyPem = await textOf(flags, "tls-private-key-file", world);
  if (certPem !== undefined && keyPem !== undefined) return { certPem, keyPem };
  const folder = absolute(flags.string("cert-dir"), world.cwd);
  return ensureServingPair(folder, ["127.0.0.1", ip], world);
}
