// Builds trees over leaves that a seed determines with OpenZeppelin's library, and prints their roots and the digests of
// their dumps: spec/vectors/merkle/random.json. Run by scripts/merkle-oracle.
import { createHash } from "node:crypto";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const TYPES = ["bytes32", "bytes32", "bytes32", "bytes", "uint256"];
const SETS = 2000;
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// Leaf `index` of set `set`; in every seventh set each fifth leaf repeats the first.
export function leaf(set, index) {
  const which = set % 7 === 0 && index % 5 === 4 ? 0 : index;
  const hash = (field) => sha256(`seamline/merkle/${set}/${which}/${field}`);
  const signature = Array.from({ length: 8 }, (_, part) => hash(`signature${part}`)).join("");
  return ["0x" + hash("tee"), "0x" + hash("input"), "0x" + hash("output"), "0x" + signature, String(1763596800 + set + which)];
}

// Mostly batches as facilitators make them, some larger.
export function size(set) {
  return set % 100 === 99 ? 100 + (set % 257) : 1 + (set % 41);
}

const sets = [];
for (let set = 0; set < SETS; set++) {
  const values = Array.from({ length: size(set) }, (_, index) => leaf(set, index));
  const tree = StandardMerkleTree.of(values, TYPES);
  tree.validate();
  sets.push([values.length, tree.root, sha256(JSON.stringify(tree.dump()))]);
}
const about = "Trees over 2,000 leaf sets that a seed determines (interop/merkle/generate.mjs), by @openzeppelin/merkle-tree 1.0.8: number of leaves, root, SHA-256 of the compact JSON of the dump.";
console.log(`{"about":${JSON.stringify(about)},\n"sets":[\n${sets.map((it) => JSON.stringify(it)).join(",\n")}\n]}`);
