/** flowcontrol.apiserver.k8s.io/v1; what the objects do is in `api/flowcontrol/`. */
import type { ResourceDefinition } from "../api/resource-definition.ts";
import { flowSchemas, priorityLevelConfigurations } from "../client/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../gen/flowcontrol-v1.ts";
import {
  conditionErrors,
  validateFlowSchema,
  validatePriorityLevel,
} from "./flowcontrol-validation.ts";
import { column, define } from "./row.ts";

const flowSchema = define<FlowSchema>(flowSchemas, {
  columns: [
    column("PriorityLevel", (one) => one.spec?.priorityLevelConfiguration?.name ?? ""),
    column("MatchingPrecedence", (one) => one.spec?.matchingPrecedence ?? 1000),
    column("DistinguisherMethod", (one) => one.spec?.distinguisherMethod?.type ?? "<none>"),
    column("MissingPL", (one) => {
      const found = (one.status?.conditions ?? []).find(({ type }) => type === "Dangling");
      return found?.status ?? "?";
    }),
  ],
  age: 3,
  status: true,
  generation: true,
  defaults({ spec }) {
    if (spec) spec.matchingPrecedence ||= 1000;
  },
  validate: (object) => [...validateFlowSchema(object), ...conditionErrors(object)],
  validateStatus: conditionErrors,
});

const priorityLevel = define<PriorityLevelConfiguration>(priorityLevelConfigurations, {
  columns: [
    column("Type", (one) => one.spec?.type ?? ""),
    column(
      "NominalConcurrencyShares",
      (one) => one.spec?.limited?.nominalConcurrencyShares ?? "<none>",
    ),
    column("Queues", (one) => one.spec?.limited?.limitResponse?.queuing?.queues ?? "<none>"),
    column("HandSize", (one) => one.spec?.limited?.limitResponse?.queuing?.handSize ?? "<none>"),
    column(
      "QueueLengthLimit",
      (one) => one.spec?.limited?.limitResponse?.queuing?.queueLengthLimit ?? "<none>",
    ),
  ],
  status: true,
  generation: true,
  defaults({ spec }) {
    if (spec?.exempt) {
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
    if (!spec?.limited) return;
    spec.limited.nominalConcurrencyShares ??= 30;
    spec.limited.lendablePercent ??= 0;
    const queuing = spec.limited.limitResponse?.queuing;
    if (!queuing) return;
    queuing.handSize ||= 8;
    queuing.queues ||= 64;
    queuing.queueLengthLimit ||= 50;
  },
  validate: (object) => [...validatePriorityLevel(object), ...conditionErrors(object)],
  validateStatus: conditionErrors,
});

export const flowcontrol: readonly ResourceDefinition[] = [flowSchema, priorityLevel];
