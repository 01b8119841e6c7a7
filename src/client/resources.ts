/** The identity of every built-in resource that v1.36 serves by default, and metrics. */
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhookConfiguration,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhookConfiguration,
} from "../gen/admissionregistration-v1.ts";
import type { CustomResourceDefinition } from "../gen/apiextensions-v1.ts";
import type { APIService } from "../gen/apiregistration-v1.ts";
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from "../gen/apps-v1.ts";
import type { SelfSubjectReview, TokenReview } from "../gen/authentication-v1.ts";
import type {
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
} from "../gen/authorization-v1.ts";
import type { HorizontalPodAutoscaler as HorizontalPodAutoscalerV1 } from "../gen/autoscaling-v1.ts";
import type { HorizontalPodAutoscaler } from "../gen/autoscaling-v2.ts";
import type { CronJob, Job } from "../gen/batch-v1.ts";
import type { CertificateSigningRequest } from "../gen/certificates-v1.ts";
import type { Lease } from "../gen/coordination-v1.ts";
import type {
  Binding,
  ComponentStatus,
  ConfigMap,
  Endpoints,
  Event,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
  Secret,
  Service,
  ServiceAccount,
} from "../gen/core-v1.ts";
import type { EndpointSlice } from "../gen/discovery-v1.ts";
import type { Event as EventsV1Event } from "../gen/events-v1.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../gen/flowcontrol-v1.ts";
import type { NodeMetrics, PodMetrics } from "../gen/metrics-v1beta1.ts";
import type {
  Ingress,
  IngressClass,
  IPAddress,
  NetworkPolicy,
  ServiceCIDR,
} from "../gen/networking-v1.ts";
import type { RuntimeClass } from "../gen/node-v1.ts";
import type { PodDisruptionBudget } from "../gen/policy-v1.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from "../gen/rbac-v1.ts";
import type {
  DeviceClass,
  ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
} from "../gen/resource-v1.ts";
import type { PriorityClass } from "../gen/scheduling-v1.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "../gen/storage-v1.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Resource } from "./client.ts";

function row<T extends KubeObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced: boolean,
): Resource<T> {
  return { group, version, plural, kind, namespaced };
}

export const componentStatuses = row<ComponentStatus>(
  "",
  "v1",
  "componentstatuses",
  "ComponentStatus",
  false,
);
export const configMaps = row<ConfigMap>("", "v1", "configmaps", "ConfigMap", true);
export const endpoints = row<Endpoints>("", "v1", "endpoints", "Endpoints", true);
export const events = row<Event>("", "v1", "events", "Event", true);
export const limitRanges = row<LimitRange>("", "v1", "limitranges", "LimitRange", true);
export const namespaces = row<Namespace>("", "v1", "namespaces", "Namespace", false);
export const bindings = row<Binding>("", "v1", "bindings", "Binding", true);
export const persistentVolumeClaims = row<PersistentVolumeClaim>(
  "",
  "v1",
  "persistentvolumeclaims",
  "PersistentVolumeClaim",
  true,
);
export const pods = row<Pod>("", "v1", "pods", "Pod", true);
export const podTemplates = row<PodTemplate>("", "v1", "podtemplates", "PodTemplate", true);
export const replicationControllers = row<ReplicationController>(
  "",
  "v1",
  "replicationcontrollers",
  "ReplicationController",
  true,
);
export const resourceQuotas = row<ResourceQuota>("", "v1", "resourcequotas", "ResourceQuota", true);
export const secrets = row<Secret>("", "v1", "secrets", "Secret", true);
export const serviceAccounts = row<ServiceAccount>(
  "",
  "v1",
  "serviceaccounts",
  "ServiceAccount",
  true,
);
export const services = row<Service>("", "v1", "services", "Service", true);
export const nodes = row<Node>("", "v1", "nodes", "Node", false);
export const persistentVolumes = row<PersistentVolume>(
  "",
  "v1",
  "persistentvolumes",
  "PersistentVolume",
  false,
);
export const apiServices = row<APIService>(
  "apiregistration.k8s.io",
  "v1",
  "apiservices",
  "APIService",
  false,
);
export const controllerRevisions = row<ControllerRevision>(
  "apps",
  "v1",
  "controllerrevisions",
  "ControllerRevision",
  true,
);
export const daemonSets = row<DaemonSet>("apps", "v1", "daemonsets", "DaemonSet", true);
export const deployments = row<Deployment>("apps", "v1", "deployments", "Deployment", true);
export const replicaSets = row<ReplicaSet>("apps", "v1", "replicasets", "ReplicaSet", true);
export const statefulSets = row<StatefulSet>("apps", "v1", "statefulsets", "StatefulSet", true);
export const eventsV1 = row<EventsV1Event>("events.k8s.io", "v1", "events", "Event", true);
export const selfSubjectReviews = row<SelfSubjectReview>(
  "authentication.k8s.io",
  "v1",
  "selfsubjectreviews",
  "SelfSubjectReview",
  false,
);
export const tokenReviews = row<TokenReview>(
  "authentication.k8s.io",
  "v1",
  "tokenreviews",
  "TokenReview",
  false,
);
export const localSubjectAccessReviews = row<LocalSubjectAccessReview>(
  "authorization.k8s.io",
  "v1",
  "localsubjectaccessreviews",
  "LocalSubjectAccessReview",
  true,
);
export const selfSubjectAccessReviews = row<SelfSubjectAccessReview>(
  "authorization.k8s.io",
  "v1",
  "selfsubjectaccessreviews",
  "SelfSubjectAccessReview",
  false,
);
export const selfSubjectRulesReviews = row<SelfSubjectRulesReview>(
  "authorization.k8s.io",
  "v1",
  "selfsubjectrulesreviews",
  "SelfSubjectRulesReview",
  false,
);
export const subjectAccessReviews = row<SubjectAccessReview>(
  "authorization.k8s.io",
  "v1",
  "subjectaccessreviews",
  "SubjectAccessReview",
  false,
);
export const horizontalPodAutoscalersV1 = row<HorizontalPodAutoscalerV1>(
  "autoscaling",
  "v1",
  "horizontalpodautoscalers",
  "HorizontalPodAutoscaler",
  true,
);
export const horizontalPodAutoscalers = row<HorizontalPodAutoscaler>(
  "autoscaling",
  "v2",
  "horizontalpodautoscalers",
  "HorizontalPodAutoscaler",
  true,
);
export const cronJobs = row<CronJob>("batch", "v1", "cronjobs", "CronJob", true);
export const jobs = row<Job>("batch", "v1", "jobs", "Job", true);
export const certificateSigningRequests = row<CertificateSigningRequest>(
  "certificates.k8s.io",
  "v1",
  "certificatesigningrequests",
  "CertificateSigningRequest",
  false,
);
export const ingressClasses = row<IngressClass>(
  "networking.k8s.io",
  "v1",
  "ingressclasses",
  "IngressClass",
  false,
);
export const ingresses = row<Ingress>("networking.k8s.io", "v1", "ingresses", "Ingress", true);
export const ipAddresses = row<IPAddress>(
  "networking.k8s.io",
  "v1",
  "ipaddresses",
  "IPAddress",
  false,
);
export const networkPolicies = row<NetworkPolicy>(
  "networking.k8s.io",
  "v1",
  "networkpolicies",
  "NetworkPolicy",
  true,
);
export const serviceCIDRs = row<ServiceCIDR>(
  "networking.k8s.io",
  "v1",
  "servicecidrs",
  "ServiceCIDR",
  false,
);
export const podDisruptionBudgets = row<PodDisruptionBudget>(
  "policy",
  "v1",
  "poddisruptionbudgets",
  "PodDisruptionBudget",
  true,
);
export const clusterRoleBindings = row<ClusterRoleBinding>(
  "rbac.authorization.k8s.io",
  "v1",
  "clusterrolebindings",
  "ClusterRoleBinding",
  false,
);
export const clusterRoles = row<ClusterRole>(
  "rbac.authorization.k8s.io",
  "v1",
  "clusterroles",
  "ClusterRole",
  false,
);
export const roleBindings = row<RoleBinding>(
  "rbac.authorization.k8s.io",
  "v1",
  "rolebindings",
  "RoleBinding",
  true,
);
export const roles = row<Role>("rbac.authorization.k8s.io", "v1", "roles", "Role", true);
export const csiDrivers = row<CSIDriver>("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false);
export const csiNodes = row<CSINode>("storage.k8s.io", "v1", "csinodes", "CSINode", false);
export const csiStorageCapacities = row<CSIStorageCapacity>(
  "storage.k8s.io",
  "v1",
  "csistoragecapacities",
  "CSIStorageCapacity",
  true,
);
export const storageClasses = row<StorageClass>(
  "storage.k8s.io",
  "v1",
  "storageclasses",
  "StorageClass",
  false,
);
export const volumeAttachments = row<VolumeAttachment>(
  "storage.k8s.io",
  "v1",
  "volumeattachments",
  "VolumeAttachment",
  false,
);
export const volumeAttributesClasses = row<VolumeAttributesClass>(
  "storage.k8s.io",
  "v1",
  "volumeattributesclasses",
  "VolumeAttributesClass",
  false,
);
export const mutatingAdmissionPolicies = row<MutatingAdmissionPolicy>(
  "admissionregistration.k8s.io",
  "v1",
  "mutatingadmissionpolicies",
  "MutatingAdmissionPolicy",
  false,
);
export const mutatingAdmissionPolicyBindings = row<MutatingAdmissionPolicyBinding>(
  "admissionregistration.k8s.io",
  "v1",
  "mutatingadmissionpolicybindings",
  "MutatingAdmissionPolicyBinding",
  false,
);
export const mutatingWebhookConfigurations = row<MutatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "mutatingwebhookconfigurations",
  "MutatingWebhookConfiguration",
  false,
);
export const validatingAdmissionPolicies = row<ValidatingAdmissionPolicy>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingadmissionpolicies",
  "ValidatingAdmissionPolicy",
  false,
);
export const validatingAdmissionPolicyBindings = row<ValidatingAdmissionPolicyBinding>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingadmissionpolicybindings",
  "ValidatingAdmissionPolicyBinding",
  false,
);
export const validatingWebhookConfigurations = row<ValidatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingwebhookconfigurations",
  "ValidatingWebhookConfiguration",
  false,
);
export const customResourceDefinitions = row<CustomResourceDefinition>(
  "apiextensions.k8s.io",
  "v1",
  "customresourcedefinitions",
  "CustomResourceDefinition",
  false,
);
export const priorityClasses = row<PriorityClass>(
  "scheduling.k8s.io",
  "v1",
  "priorityclasses",
  "PriorityClass",
  false,
);
export const leases = row<Lease>("coordination.k8s.io", "v1", "leases", "Lease", true);
export const runtimeClasses = row<RuntimeClass>(
  "node.k8s.io",
  "v1",
  "runtimeclasses",
  "RuntimeClass",
  false,
);
export const endpointSlices = row<EndpointSlice>(
  "discovery.k8s.io",
  "v1",
  "endpointslices",
  "EndpointSlice",
  true,
);
export const deviceClasses = row<DeviceClass>(
  "resource.k8s.io",
  "v1",
  "deviceclasses",
  "DeviceClass",
  false,
);
export const resourceClaims = row<ResourceClaim>(
  "resource.k8s.io",
  "v1",
  "resourceclaims",
  "ResourceClaim",
  true,
);
export const resourceClaimTemplates = row<ResourceClaimTemplate>(
  "resource.k8s.io",
  "v1",
  "resourceclaimtemplates",
  "ResourceClaimTemplate",
  true,
);
export const resourceSlices = row<ResourceSlice>(
  "resource.k8s.io",
  "v1",
  "resourceslices",
  "ResourceSlice",
  false,
);
export const flowSchemas = row<FlowSchema>(
  "flowcontrol.apiserver.k8s.io",
  "v1",
  "flowschemas",
  "FlowSchema",
  false,
);
export const priorityLevelConfigurations = row<PriorityLevelConfiguration>(
  "flowcontrol.apiserver.k8s.io",
  "v1",
  "prioritylevelconfigurations",
  "PriorityLevelConfiguration",
  false,
);
export const nodeMetrics = row<NodeMetrics>(
  "metrics.k8s.io",
  "v1beta1",
  "nodes",
  "NodeMetrics",
  false,
);
export const podMetrics = row<PodMetrics>("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", true);
