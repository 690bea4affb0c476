/** Tells the called sidecar that nobody waits for this request. Only sidecars set it; no application gets it. */
export const MIRROR_FIELD = "x-heddle-mirror";
