/** Certificate requests (PKCS#10, RFC 2986 §4), read for the one thing that is taken from them: a key and its proof. */

import { err, ok, type Result } from "../policy/result.ts";
import { contextTag, DerReader, TAG } from "./workload/der.ts";
import { decodePem } from "./workload/pem.ts";

/** Bytes of PEM or DER; a P-384 request with nothing in it but the key has some 400. */
export const REQUEST_BYTES_MAX = 8 * 1024;

interface Curve {
  readonly name: "P-256" | "P-384";
  /** Octets of each half of a signature. */
  readonly scalarBytes: number;
}

/** Object identifiers as the hex of their DER content. */
const EC_PUBLIC_KEY = "2a8648ce3d0201";
const CURVES: ReadonlyMap<string, Curve> = new Map([
  ["2a8648ce3d030107", { name: "P-256", scalarBytes: 32 }],
  ["2b81040022", { name: "P-384", scalarBytes: 48 }],
]);
const HASHES: ReadonlyMap<string, string> = new Map([
  ["2a8648ce3d040302", "SHA-256"],
  ["2a8648ce3d040303", "SHA-384"],
  ["2a8648ce3d040304", "SHA-512"],
]);
/** Names for what people bring in place of those. */
const OTHER_KEYS: ReadonlyMap<string, string> = new Map([
  ["2a864886f70d010101", "RSA"],
  ["2b6570", "Ed25519"],
  ["2b6571", "Ed448"],
  ["2b81040023", "P-521"],
  ["2b8104000a", "secp256k1"],
]);

interface Request {
  /** CertificationRequestInfo as signed. */
  readonly info: Uint8Array;
  readonly spki: Uint8Array;
  /** OID of the key's algorithm, and of its curve where it has one. */
  readonly keyOid: string;
  readonly curveOid: string | undefined;
  readonly signatureOid: string;
  readonly signature: Uint8Array;
}

/**
 * The public key of a request (PEM or DER) whose signature proves that the asker holds the private key. Names,
 * attributes and extensions are not read. The error is for the asker to read.
 */
export async function provenKey(csr: string | Uint8Array): Promise<Result<CryptoKey, string>> {
  if (csr.length > REQUEST_BYTES_MAX) return err(`the request is larger than ${REQUEST_BYTES_MAX} bytes`);
  const der = typeof csr === "string" ? onlyRequest(csr) : csr;
  const request = der === undefined ? undefined : readRequest(der);
  if (request === undefined) return err("the request is not a PKCS#10 certificate request in PEM or DER");

  const curve = request.keyOid === EC_PUBLIC_KEY ? CURVES.get(request.curveOid ?? "") : undefined;
  if (curve === undefined) {
    const oid = request.keyOid === EC_PUBLIC_KEY ? (request.curveOid ?? "") : request.keyOid;
    const found = OTHER_KEYS.get(oid) ?? "of another kind";
    return err(`the request's key is ${found}; only ECDSA keys on P-256 or P-384 are signed`);
  }
  const key = await verifiedKey(request, curve);
  return key === undefined ? err("the request is not signed by the key that it holds") : ok(key);
}

function onlyRequest(pem: string): Uint8Array | undefined {
  const [request, ...more] = decodePem("CERTIFICATE REQUEST", pem) ?? [];
  return more.length === 0 ? request : undefined;
}

function readRequest(der: Uint8Array): Request | undefined {
  const outer = new DerReader(der);
  const request = outer.read(TAG.sequence);
  const info = request?.readWhole(TAG.sequence);
  const signatureOid = request?.read(TAG.sequence)?.readOid();
  const signature = request?.read(TAG.bitString)?.rest;
  if (info === undefined || request?.done !== true || !outer.done) return undefined;
  // The first octet of a bit string counts its unused bits: none, as signatures are whole octets.
  if (signatureOid === undefined || signature?.[0] !== 0) return undefined;

  const body = new DerReader(info).read(TAG.sequence);
  const version = body?.read(TAG.integer)?.rest.toHex();
  const subject = body?.read(TAG.sequence);
  const spki = body?.readWhole(TAG.sequence);
  body?.read(contextTag(0));
  if (version !== "00" || subject === undefined || spki === undefined || body?.done !== true) return undefined;

  const algorithm = new DerReader(spki).read(TAG.sequence)?.read(TAG.sequence);
  const keyOid = algorithm?.readOid();
  if (keyOid === undefined) return undefined;
  return { info, spki, keyOid, curveOid: algorithm?.readOid(), signatureOid, signature: signature.subarray(1) };
}

/** Undefined for a point off the curve, an algorithm that does not go with the key, and a wrong signature alike. */
async function verifiedKey(request: Request, curve: Curve): Promise<CryptoKey | undefined> {
  const hash = HASHES.get(request.signatureOid);
  const signature = fixedSignature(request.signature, curve.scalarBytes);
  if (hash === undefined || signature === undefined) return undefined;
  try {
    const algorithm = { name: "ECDSA", namedCurve: curve.name };
    // WebCrypto is typed for views of a plain ArrayBuffer, hence the copies.
    const key = await crypto.subtle.importKey("spki", new Uint8Array(request.spki), algorithm, true, ["verify"]);
    const info = new Uint8Array(request.info);
    const verified = await crypto.subtle.verify({ name: "ECDSA", hash }, key, signature, info);
    return verified ? key : undefined;
  } catch {
    return undefined;
  }
}

/** From SEQUENCE of two INTEGERs (RFC 3279 §2.2.3) to the two halves end to end, as WebCrypto wants them. */
function fixedSignature(der: Uint8Array, scalarBytes: number): Uint8Array<ArrayBuffer> | undefined {
  const outer = new DerReader(der);
  const pair = outer.read(TAG.sequence);
  const halves = [pair?.readUnsigned(), pair?.readUnsigned()];
  if (pair?.done !== true || !outer.done) return undefined;
  const signature = new Uint8Array(2 * scalarBytes);
  for (const [index, half] of halves.entries()) {
    if (half === undefined || half.length > scalarBytes) return undefined;
    signature.set(half, (index + 1) * scalarBytes - half.length);
  }
  return signature;
}
