/** What a webhook is shown of a connection: the options in its URL, as an object. */
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext } from "../admission-plugin.ts";

const booleans: ReadonlySet<string> = new Set(["stdin", "stdout", "stderr", "tty"]);
const subresourceNames: Readonly<Record<string, string>> = {
  exec: "Exec",
  attach: "Attach",
  portforward: "PortForward",
  proxy: "Proxy",
};

/** PodExecOptions, PodAttachOptions, PodPortForwardOptions, or the options of a proxy. */
export function connectOptions(context: AdmissionContext): DeepReadonly<KubeObject> {
  const { definition, request, subresource } = context;
  const fields: Record<string, unknown> = {};
  for (const name of new Set(request.query.keys())) {
    const values = request.query.getAll(name);
    if (booleans.has(name)) fields[name] = values[0] === "true" || values[0] === "1";
    else if (name === "command") fields.command = values;
    else if (name === "ports") fields.ports = values.map(Number);
    else fields[name] = values[0];
  }
  if (subresource === "proxy") fields.path = request.rest;
  const options = {
    kind: `${definition.kind}${subresourceNames[subresource] ?? ""}Options`,
    apiVersion: "v1",
    ...fields,
  };
  return options as unknown as KubeObject;
}
