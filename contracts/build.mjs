// Compiles src/ with the pinned solc and writes artifacts/**/<Name>.json, the same bytes on every machine.
// With --check it writes nothing and fails where an artifact differs from its source.
import { readFileSync, readdirSync, writeFileSync, mkdirSync, existsSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const root = dirname(fileURLToPath(import.meta.url));
const sourceDir = join(root, "src");
const artifactDir = join(root, "artifacts");
const check = process.argv.includes("--check");

// Files below `dir` with this ending, as paths relative to it.
function list(dir, ending) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(ending))
    .sort();
}

// An interface or an abstract contract has no bytecode and gets no artifact.
const sources = Object.fromEntries(
  list(sourceDir, ".sol").map((name) => [`src/${name}`, { content: readFileSync(join(sourceDir, name), "utf8") }]),
);

// The registry's functions have more arguments, and the hub's tensors more levels, than the first pipeline has stack for.
const viaIR = ["src/TEERegistry.sol", "src/InferenceHub.sol"];

const input = (ir) => ({
  language: "Solidity",
  sources,
  settings: {
    viaIR: ir,
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "cancun",
    // No metadata: the bytecode depends on the code alone, not on comments and paths.
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: Object.fromEntries(
      Object.keys(sources)
        .filter((path) => viaIR.includes(path) === ir)
        .map((path) => [path, { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] }]),
    ),
  },
});

function readImport(path) {
  const file = join(root, "node_modules", path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `not found: ${path}` };
}

const outputs = [false, true].map((ir) => JSON.parse(solc.compile(JSON.stringify(input(ir)), { import: readImport })));
const output = { contracts: Object.assign({}, ...outputs.map((one) => one.contracts)) };
// Warnings fail the build where they are about our own sources; a library's warnings are its own.
const problems = outputs.flatMap((one) => one.errors ?? []).filter(
  (entry) => entry.severity === "error" || (entry.sourceLocation?.file ?? "src/").startsWith("src/"),
);
if (problems.length > 0) {
  for (const entry of problems) console.error(entry.formattedMessage);
  process.exit(1);
}

const artifacts = new Map();
for (const path of Object.keys(sources)) {
  for (const [name, contract] of Object.entries(output.contracts[path] ?? {})) {
    const bytecode = contract.evm.bytecode.object;
    if (bytecode === "") continue;
    const artifact = {
      abi: contract.abi,
      bytecode: `0x${bytecode}`,
      deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
    };
    // src/test/Name.sol becomes artifacts/test/Name.json.
    const folder = dirname(path).slice("src".length + 1);
    artifacts.set(posix.join(folder, `${name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
  }
}

if (check) {
  const drift = [];
  for (const [name, text] of artifacts) {
    const file = join(artifactDir, name);
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) drift.push(name);
  }
  drift.push(...list(artifactDir, ".json").filter((name) => !artifacts.has(name)));
  if (drift.length > 0) {
    console.error(`artifacts differ from their sources: ${drift.sort().join(", ")}; run scripts/contracts`);
    process.exit(1);
  }
  console.log(`${artifacts.size} artifacts match their sources`);
} else {
  for (const [name, text] of artifacts) {
    const file = join(artifactDir, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  console.log(`wrote ${artifacts.size} artifacts`);
}
