/** Labels of instances that mean something to balancing. */

/** Those of Kubernetes' nodes; `--locality` sets them. */
export const REGION_LABEL = "topology.kubernetes.io/region";
export const ZONE_LABEL = "topology.kubernetes.io/zone";
/** An endpoint's share of calls; `--weight` sets it. */
export const WEIGHT_LABEL = "heddle.io/weight";
