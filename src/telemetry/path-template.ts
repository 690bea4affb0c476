/**
 * Paths without what tells one object from another: `/orders/4711` is `/orders/{}`. Whoever sends requests chooses
 * their paths, so the number of templates is bounded whatever comes: by what looks like an id, and where names are not
 * ids but many (`/users/alice`), by how many follow one prefix.
 */

/** What stands for a segment that differs from call to call. */
export const ANY_SEGMENT = "{}";
/** The template of what has none of its own any more. */
export const ANY_PATH = "*";

/** Different names after one prefix; from the next one on they are taken for ids. */
const CHILDREN_MAX = 64;
/** Segments remembered in all: some 200 kB. */
const NODES_MAX = 2_048;
/** Deeper paths share the template of their beginning. */
const DEPTH_MAX = 12;
/** No name is longer. */
const NAME_LENGTH_MAX = 48;
/** Paths whose template is remembered, so that most requests cost one look-up. */
const REMEMBERED_MAX = 1_024;
const REMEMBERED_LENGTH_MAX = 256;

interface Node {
  readonly children: Map<string, Node>;
  /** So many names followed that they count as ids from now on. */
  folded: boolean;
}

export class PathTemplates {
  readonly #root: Node = { children: new Map(), folded: false };
  readonly #remembered = new Map<string, string>();
  #nodes = 0;

  /** The template of a normalised path, which may have a query; `*` where there is no room for another one. */
  of(target: string): string {
    const known = this.#remembered.get(target);
    if (known !== undefined) return known;
    const template = this.#fold(target);
    if (target.length <= REMEMBERED_LENGTH_MAX) {
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(target, template);
    }
    return template;
  }

  #fold(target: string): string {
    const query = target.indexOf("?");
    const path = query < 0 ? target : target.slice(0, query);
    if (path === "" || path === "/" || path === "*") return path;
    const segments = path.slice(1).split("/");
    if (segments.length > DEPTH_MAX) return ANY_PATH;
    let node = this.#root;
    let template = "";
    for (const segment of segments) {
      const name = this.#nameOf(node, segment);
      const child = this.#child(node, name);
      if (child === undefined) return ANY_PATH;
      template += `/${name}`;
      node = child;
    }
    return template;
  }

  #nameOf(node: Node, segment: string): string {
    if (segment === "" || node.children.has(segment)) return segment;
    if (node.folded || isId(segment)) return ANY_SEGMENT;
    if (node.children.size < CHILDREN_MAX) return segment;
    node.folded = true;
    return ANY_SEGMENT;
  }

  #child(node: Node, name: string): Node | undefined {
    const known = node.children.get(name);
    if (known !== undefined) return known;
    if (this.#nodes >= NODES_MAX) return undefined;
    this.#nodes++;
    const child: Node = { children: new Map(), folded: false };
    node.children.set(name, child);
    return child;
  }
}

/** A path of the template, to ask rules about. */
export function exampleOf(template: string): string {
  return template.replaceAll(ANY_SEGMENT, "1");
}

const VERSION = /^v\d{1,3}$/;
const HEX = /^[0-9a-f-]{4,}$/i;
/** Keys, tokens and hashes in base 64 or 32 mix digits and letters; names of things seldom do at that length. */
const TOKEN_LENGTH_MIN = 16;

/** Numbers, UUIDs, hashes, tokens and addresses, but not `v1`. */
function isId(segment: string): boolean {
  if (segment.length > NAME_LENGTH_MAX || segment.includes("@") || segment.includes("%")) return true;
  const digits = segment.replace(/\D/g, "").length;
  if (digits === 0 || VERSION.test(segment)) return false;
  return digits * 2 >= segment.length || HEX.test(segment) || segment.length >= TOKEN_LENGTH_MIN;
}
