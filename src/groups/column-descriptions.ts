/**
 * What the columns of tables say about themselves, by kind and column: the documentation of a field
 * of the type table where it begins with `@`, else the text.
 */
import type { TypeName } from "../schema/type-table.ts";
import { fieldDoc } from "../schema/types.ts";

const descriptions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "admissionregistration.v1.MutatingAdmissionPolicy": {
    Mutations: "Mutation indicates the number of mutations rules defined in this configuration",
    ParamKind: "ParamKind specifies the kind of resources used to parameterize this policy",
  },
  "admissionregistration.v1.MutatingAdmissionPolicyBinding": {
    PolicyName: "PolicyName indicates the policy definition which the policy binding binded to",
    ParamRef: "ParamRef indicates the param resource which sets the configuration param",
  },
  "admissionregistration.v1.MutatingWebhookConfiguration": {
    Webhooks: "Webhooks indicates the number of webhooks registered in this configuration",
  },
  "admissionregistration.v1.ValidatingAdmissionPolicy": {
    Validations:
      "Validations indicates the number of validation rules defined in this " + "configuration",
    ParamKind: "ParamKind specifies the kind of resources used to parameterize this policy",
  },
  "admissionregistration.v1.ValidatingAdmissionPolicyBinding": {
    PolicyName: "PolicyName indicates the policy definition which the policy binding binded to",
    ParamRef: "ParamRef indicates the param resource which sets the configuration param",
  },
  "admissionregistration.v1.ValidatingWebhookConfiguration": {
    Webhooks: "Webhooks indicates the number of webhooks registered in this configuration",
  },
  "apiregistration.v1.APIService": {
    Service: "The reference to the service that hosts this API endpoint.",
    Available: "Whether this service is available.",
  },
  "apps.v1.ControllerRevision": {
    Controller: "Controller of the object",
    Revision: "@apps.v1.ControllerRevision.revision",
  },
  "apps.v1.DaemonSet": {
    Desired: "@apps.v1.DaemonSetStatus.desiredNumberScheduled",
    Current: "@apps.v1.DaemonSetStatus.currentNumberScheduled",
    Ready: "@apps.v1.DaemonSetStatus.numberReady",
    "Up-to-date": "@apps.v1.DaemonSetStatus.updatedNumberScheduled",
    Available: "@apps.v1.DaemonSetStatus.numberAvailable",
    "Node Selector": "@core.v1.PodSpec.nodeSelector",
    Selector: "@apps.v1.DaemonSetSpec.selector",
  },
  "apps.v1.Deployment": {
    "Up-to-date": "@apps.v1.DeploymentStatus.updatedReplicas",
    Available: "@apps.v1.DeploymentStatus.availableReplicas",
    Selector: "@apps.v1.DeploymentSpec.selector",
  },
  "apps.v1.ReplicaSet": {
    Desired: "@apps.v1.ReplicaSetSpec.replicas",
    Current: "@apps.v1.ReplicaSetStatus.replicas",
    Ready: "@apps.v1.ReplicaSetStatus.readyReplicas",
    Selector: "@apps.v1.ReplicaSetSpec.selector",
  },
  "apps.v1.StatefulSet": {
    Ready: "Number of the pod with ready state",
  },
  "autoscaling.v1.HorizontalPodAutoscaler": {
    Reference: "@autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef",
    Targets: "@autoscaling.v2.HorizontalPodAutoscalerSpec.metrics",
    MinPods: "@autoscaling.v1.HorizontalPodAutoscalerSpec.minReplicas",
    MaxPods: "@autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas",
    Replicas: "@autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas",
  },
  "autoscaling.v2.HorizontalPodAutoscaler": {
    Reference: "@autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef",
    Targets: "@autoscaling.v2.HorizontalPodAutoscalerSpec.metrics",
    MinPods: "@autoscaling.v1.HorizontalPodAutoscalerSpec.minReplicas",
    MaxPods: "@autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas",
    Replicas: "@autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas",
  },
  "batch.v1.CronJob": {
    Schedule: "@batch.v1.CronJobSpec.schedule",
    Timezone: "@batch.v1.CronJobSpec.timeZone",
    Suspend: "@batch.v1.CronJobSpec.suspend",
    Active: "@batch.v1.CronJobStatus.active",
    "Last Schedule": "@batch.v1.CronJobStatus.lastScheduleTime",
    Selector: "@batch.v1.JobSpec.selector",
  },
  "batch.v1.Job": {
    Status: "Status of the job.",
    Completions: "@batch.v1.JobStatus.succeeded",
    Duration: "Time required to complete the job.",
    Selector: "@batch.v1.JobSpec.selector",
  },
  "certificates.v1.CertificateSigningRequest": {
    SignerName:
      "Requested signer for the request. It is a qualified name in the form: " +
      "`scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a " +
      "kubelet client certificate, it is assigned\n    " +
      '"kubernetes.io/kube-apiserver-client-kubelet".\n 2. If it\'s a kubelet serving ' +
      'certificate, it is assigned\n    "kubernetes.io/kubelet-serving".\n 3. ' +
      'Otherwise, it is assigned "kubernetes.io/legacy-unknown".\nDistribution of ' +
      "trust for signers happens out of band. You can select on this field using " +
      "`spec.signerName`.",
    Requestor: "Base64-encoded PKCS#10 CSR data",
    RequestedDuration: "@certificates.v1.CertificateSigningRequestSpec.expirationSeconds",
    Condition: "Conditions applied to the request, such as approval or denial.",
  },
  "coordination.v1.Lease": {
    Holder: "@coordination.v1.LeaseSpec.holderIdentity",
  },
  "core.v1.ComponentStatus": {
    Status: "Status of the component conditions",
    Message: "Message of the component conditions",
    Error: "Error of the component conditions",
  },
  "core.v1.ConfigMap": {
    Data: "@core.v1.ConfigMap.data",
  },
  "core.v1.Endpoints": {
    Endpoints: "@core.v1.Endpoints.subsets",
  },
  "core.v1.Event": {
    "Last Seen": "@core.v1.Event.lastTimestamp",
    Type: "@core.v1.Event.type",
    Reason: "@core.v1.Event.reason",
    Object: "@core.v1.Event.involvedObject",
    Subobject: "@core.v1.ObjectReference.fieldPath",
    Source: "@core.v1.Event.source",
    Message: "@core.v1.Event.message",
    "First Seen": "@core.v1.Event.firstTimestamp",
    Count: "@core.v1.Event.count",
    Name: "@meta.v1.ObjectMeta.name",
  },
  "core.v1.Node": {
    Version: "@core.v1.NodeSystemInfo.kubeletVersion",
    "Internal-IP": "@core.v1.NodeStatus.addresses",
    "External-IP": "@core.v1.NodeStatus.addresses",
    "OS-Image": "@core.v1.NodeSystemInfo.osImage",
    "Kernel-Version": "@core.v1.NodeSystemInfo.kernelVersion",
    "Container-Runtime": "@core.v1.NodeSystemInfo.containerRuntimeVersion",
  },
  "core.v1.PersistentVolume": {
    Capacity: "@core.v1.PersistentVolumeSpec.capacity",
    "Access Modes": "@core.v1.PersistentVolumeSpec.accessModes",
    "Reclaim Policy": "@core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy",
    Status: "@core.v1.PersistentVolumeStatus.phase",
    Claim: "@core.v1.PersistentVolumeSpec.claimRef",
    StorageClass: "StorageClass of the pv",
    VolumeAttributesClass: "VolumeAttributesClass of the pv",
    Reason: "@core.v1.PersistentVolumeStatus.reason",
    VolumeMode: "@core.v1.PersistentVolumeSpec.volumeMode",
  },
  "core.v1.PersistentVolumeClaim": {
    Status: "@core.v1.PersistentVolumeClaimStatus.phase",
    Volume: "@core.v1.PersistentVolumeClaimSpec.volumeName",
    Capacity: "@core.v1.PersistentVolumeClaimStatus.capacity",
    "Access Modes": "@core.v1.PersistentVolumeClaimStatus.accessModes",
    StorageClass: "StorageClass of the pvc",
    VolumeAttributesClass: "VolumeAttributesClass of the pvc",
    VolumeMode: "@core.v1.PersistentVolumeClaimSpec.volumeMode",
  },
  "core.v1.Pod": {
    IP: "@core.v1.PodStatus.podIP",
    Node: "@core.v1.PodSpec.nodeName",
    "Nominated Node": "@core.v1.PodStatus.nominatedNodeName",
    "Readiness Gates": "@core.v1.PodSpec.readinessGates",
  },
  "core.v1.PodTemplate": {
    Containers: "Names of each container in the template.",
    Images: "Images referenced by each container in the template.",
    "Pod Labels": "The labels for the pod template.",
  },
  "core.v1.ReplicationController": {
    Desired: "@core.v1.ReplicationControllerSpec.replicas",
    Current: "@core.v1.ReplicationControllerStatus.replicas",
    Ready: "@core.v1.ReplicationControllerStatus.readyReplicas",
    Selector: "@core.v1.ReplicationControllerSpec.selector",
  },
  "core.v1.ResourceQuota": {
    Request: "Request represents a minimum amount of cpu/memory that a container may consume.",
    Limit:
      "Limits control the maximum amount of cpu/memory that a container may use " +
      "independent of contention on the node.",
  },
  "core.v1.Secret": {
    Type: "@core.v1.Secret.type",
    Data: "@core.v1.Secret.data",
  },
  "core.v1.Service": {
    Type: "@core.v1.ServiceSpec.type",
    "Cluster-IP": "@core.v1.ServiceSpec.clusterIP",
    "External-IP": "@core.v1.ServiceSpec.externalIPs",
    "Port(s)": "@core.v1.ServiceSpec.ports",
    Selector: "@core.v1.ServiceSpec.selector",
  },
  "discovery.v1.EndpointSlice": {
    AddressType: "@discovery.v1.EndpointSlice.addressType",
    Ports: "@discovery.v1.EndpointSlice.ports",
    Endpoints: "@discovery.v1.EndpointSlice.endpoints",
  },
  "events.v1.Event": {
    "Last Seen": "@core.v1.Event.lastTimestamp",
    Type: "@core.v1.Event.type",
    Reason: "@core.v1.Event.reason",
    Object: "@core.v1.Event.involvedObject",
    Subobject: "@core.v1.ObjectReference.fieldPath",
    Source: "@core.v1.Event.source",
    Message: "@core.v1.Event.message",
    "First Seen": "@core.v1.Event.firstTimestamp",
    Count: "@core.v1.Event.count",
    Name: "@meta.v1.ObjectMeta.name",
  },
  "flowcontrol.v1.FlowSchema": {
    PriorityLevel: "@flowcontrol.v1.PriorityLevelConfigurationReference.name",
    MatchingPrecedence: "@flowcontrol.v1.FlowSchemaSpec.matchingPrecedence",
    DistinguisherMethod: "@flowcontrol.v1.FlowSchemaSpec.distinguisherMethod",
    MissingPL: "references a broken or non-existent PriorityLevelConfiguration",
  },
  "flowcontrol.v1.PriorityLevelConfiguration": {
    Type: "@flowcontrol.v1.PriorityLevelConfigurationSpec.type",
    NominalConcurrencyShares:
      "@flowcontrol.v1.LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
    Queues: "@flowcontrol.v1.QueuingConfiguration.queues",
    HandSize: "@flowcontrol.v1.QueuingConfiguration.handSize",
    QueueLengthLimit: "@flowcontrol.v1.QueuingConfiguration.queueLengthLimit",
  },
  "networking.v1.IPAddress": {
    ParentRef: "@networking.v1.IPAddressSpec.parentRef",
  },
  "networking.v1.Ingress": {
    Class:
      "The name of the IngressClass resource that should be used for additional " + "configuration",
    Hosts: "Hosts that incoming requests are matched against before the ingress rule",
    Address: "Address is a list containing ingress points for the load-balancer",
    Ports: "Ports of TLS configurations that open",
  },
  "networking.v1.IngressClass": {
    Controller: "Controller that is responsible for handling this class",
    Parameters: "A reference to a resource with additional parameters",
  },
  "networking.v1.NetworkPolicy": {
    "Pod-Selector": "@networking.v1.NetworkPolicySpec.podSelector",
  },
  "networking.v1.ServiceCIDR": {
    CIDRs: "@networking.v1.ServiceCIDRSpec.cidrs",
  },
  "policy.v1.PodDisruptionBudget": {
    "Min Available": "The minimum number of pods that must be available.",
    "Max Unavailable": "The maximum number of pods that may be unavailable.",
    "Allowed Disruptions": "Calculated number of pods that may be disrupted at this time.",
  },
  "rbac.v1.ClusterRoleBinding": {
    Role:
      "RoleRef can only reference a ClusterRole in the global namespace. If the " +
      "RoleRef cannot be resolved, the Authorizer must return an error.",
    Users: "Users in the clusterRoleBinding",
    Groups: "Groups in the clusterRoleBinding",
    ServiceAccounts: "ServiceAccounts in the clusterRoleBinding",
  },
  "rbac.v1.RoleBinding": {
    Role:
      "RoleRef can reference a Role in the current namespace or a ClusterRole in the " +
      "global namespace. If the RoleRef cannot be resolved, the Authorizer must return " +
      "an error.",
    Users: "Users in the roleBinding",
    Groups: "Groups in the roleBinding",
    ServiceAccounts: "ServiceAccounts in the roleBinding",
  },
  "resource.v1.ResourceClaim": {
    State: "A summary of the current state (allocated, pending, reserved, etc.).",
  },
  "resource.v1.ResourceSlice": {
    Node: "@resource.v1.ResourceSliceSpec.nodeName",
    Driver: "@resource.v1.ResourceSliceSpec.driver",
    Pool: "@resource.v1.ResourcePool.name",
  },
  "scheduling.v1.PriorityClass": {
    Value: "@scheduling.v1.PriorityClass.value",
    "Global-Default": "@scheduling.v1.PriorityClass.globalDefault",
    PreemptionPolicy: "@scheduling.v1.PriorityClass.preemptionPolicy",
  },
  "storage.v1.CSIDriver": {
    AttachRequired: "@storage.v1.CSIDriverSpec.attachRequired",
    PodInfoOnMount: "@storage.v1.CSIDriverSpec.podInfoOnMount",
    StorageCapacity: "@storage.v1.CSIDriverSpec.storageCapacity",
    TokenRequests: "@storage.v1.CSIDriverSpec.tokenRequests",
    RequiresRepublish: "@storage.v1.CSIDriverSpec.requiresRepublish",
    Modes: "@storage.v1.CSIDriverSpec.volumeLifecycleModes",
  },
  "storage.v1.CSINode": {
    Drivers: "Drivers indicates the number of CSI drivers registered on the node",
  },
  "storage.v1.StorageClass": {
    Provisioner: "@storage.v1.StorageClass.provisioner",
    ReclaimPolicy: "@storage.v1.StorageClass.reclaimPolicy",
    VolumeBindingMode: "@storage.v1.StorageClass.volumeBindingMode",
    AllowVolumeExpansion: "@storage.v1.StorageClass.allowVolumeExpansion",
  },
  "storage.v1.VolumeAttachment": {
    Attacher: "@storage.v1.VolumeAttachmentSpec.attacher",
    PV: "@storage.v1.VolumeAttachmentSource.persistentVolumeName",
    Node: "@storage.v1.VolumeAttachmentSpec.nodeName",
    Attached: "@storage.v1.VolumeAttachmentStatus.attached",
  },
  "storage.v1.VolumeAttributesClass": {
    DriverName: "@storage.v1.VolumeAttributesClass.driverName",
  },
};

/** The description of one column of a built-in kind; undefined where the column has its own. */
export function columnDescription(type: TypeName, column: string): string | undefined {
  const text = descriptions[type.split(".").slice(-3).join(".")]?.[column];
  return text?.startsWith("@") ? docAt(text.slice(1)) : text;
}

/** The documentation of `core.v1.Pod.spec`. */
export function docAt(path: string): string {
  const dot = path.lastIndexOf(".");
  const prefix = path.startsWith("meta.") ? "io.k8s.apimachinery.pkg.apis." : "io.k8s.api.";
  const doc = fieldDoc(prefix + path.slice(0, dot), path.slice(dot + 1));
  // Only OpenAPI lists the values.
  return doc.replace(/\n\nPossible enum values:[\s\S]*$/, "");
}
