/** YAML as Kubernetes writes it: keys sorted, long lines kept, what YAML 1.1 readers misread quoted. */
import { stringify } from "yaml";

export function toYaml(value: unknown): string {
  return stringify(value, { sortMapEntries: true, version: "1.1", lineWidth: 0 });
}
