/** The host that the load asks for; our sidecars route by it, the peers have one route only. */
export const HOST = "catalog";
