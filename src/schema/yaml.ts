/** YAML as Kubernetes writes it: keys sorted, lines never folded, safe for YAML 1.1 readers. */
import { stringify } from "yaml";

export function toYaml(value: unknown): string {
  return stringify(value, { sortMapEntries: true, version: "1.1", lineWidth: 0 });
}
