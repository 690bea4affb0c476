/** Huffman-coded strings (RFC 7541 §5.2, Appendix B). */

/**
 * Code lengths in bits of the symbols 0 to 255 and EOS. The code is canonical: codes of one length are consecutive in
 * the order of their symbols, and each length goes on where the one before it ended. So the lengths are the code.
 */
export const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];

const EOS = 256;
/** Shortest code in bits: how many symbols a string can hold at most follows from it. */
const CODE_BITS_MIN = 5;

/**
 * The code tree, walked four bits at a time: row `state`, column the next four bits. A cell holds the next state in
 * its low byte, then the symbol in the byte above if one ended within these bits, and flags.
 */
const STEPS = new Uint32Array(256 * 16);
const NEXT_STATE = 0xff;
const SYMBOL_SHIFT = 8;
const EMITS = 1 << 16;
/** The bits since the last symbol are fewer than eight, all ones: allowed at the end as padding. */
const MAY_END = 1 << 17;
/** Leads into EOS, which must not stand in a string. */
const FAILS = 1 << 18;

/** A node of the code tree: an inner node has an index, a leaf a symbol. */
interface TreeNode {
  readonly depth: number;
  readonly allOnes: boolean;
  readonly children: [TreeNode | undefined, TreeNode | undefined];
  symbol: number;
  state: number;
}

function treeNode(depth: number, allOnes: boolean): TreeNode {
  return { depth, allOnes, children: [undefined, undefined], symbol: -1, state: -1 };
}

function child(node: TreeNode, bit: 0 | 1): TreeNode {
  const found = node.children[bit];
  if (found !== undefined) return found;
  const made = treeNode(node.depth + 1, node.allOnes && bit === 1);
  node.children[bit] = made;
  return made;
}

/** Builds the tree from the canonical code and numbers its inner nodes, the root 0: there are exactly 256. */
function buildTree(): TreeNode[] {
  const root = treeNode(0, true);
  const symbols = CODE_LENGTHS.map((length, symbol) => ({ length, symbol }));
  symbols.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  const inner: TreeNode[] = [root];
  root.state = 0;
  let code = 0;
  let codeLength = 0;
  for (const { length, symbol } of symbols) {
    code *= 2 ** (length - codeLength);
    codeLength = length;
    let node = root;
    for (let bit = length - 1; bit >= 0; bit--) {
      node = child(node, Math.floor(code / 2 ** bit) % 2 === 1 ? 1 : 0);
      if (bit > 0 && node.state < 0) node.state = inner.push(node) - 1;
    }
    node.symbol = symbol;
    code++;
  }
  return inner;
}

/** The cell for four bits from `from` on. */
function step(root: TreeNode, from: TreeNode, nibble: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = child(node, (nibble >>> bit) & 1 ? 1 : 0);
    if (node.symbol === EOS) return FAILS;
    if (node.symbol < 0) continue;
    emitted = EMITS | (node.symbol << SYMBOL_SHIFT);
    node = root;
  }
  return node.state | emitted | (node.depth < 8 && node.allOnes ? MAY_END : 0);
}

const nodes = buildTree();
for (const node of nodes) {
  for (let nibble = 0; nibble < 16; nibble++) STEPS[node.state * 16 + nibble] = step(nodes[0] ?? node, node, nibble);
}

/** Most bytes that `length` coded bytes can decode to. */
export function decodedBytesMax(length: number): number {
  return Math.floor((length * 8) / CODE_BITS_MIN);
}

/**
 * Decodes `bytes[start, end)` into `target`, which has room for `decodedBytesMax`. Returns the length, or -1 for a
 * string that is not validly coded: EOS within, padding longer than seven bits or not of ones (§5.2).
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let cell = MAY_END;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    cell = STEPS[((cell & NEXT_STATE) << 4) | (byte >>> 4)] ?? FAILS;
    if ((cell & EMITS) !== 0) {
      target[length] = cell >>> SYMBOL_SHIFT;
      length++;
    }
    if ((cell & FAILS) !== 0) return -1;
    cell = STEPS[((cell & NEXT_STATE) << 4) | (byte & 0xf)] ?? FAILS;
    if ((cell & EMITS) !== 0) {
      target[length] = cell >>> SYMBOL_SHIFT;
      length++;
    }
    if ((cell & FAILS) !== 0) return -1;
  }
  return (cell & MAY_END) !== 0 ? length : -1;
}
