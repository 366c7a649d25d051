// The chain under the matrix: anvil or the embedded one, with the contracts that x402 needs and two tokens.

import { existsSync, readFileSync } from "node:fs";
import { createPublicClient, createWalletClient, defineChain, erc20Abi, http, toHex } from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { multicall3Bytecode } from "../node_modules/viem/_esm/constants/contracts.js";
import { Child, attended } from "./child.mjs";

// The one that x402 calls Base Sepolia: version 1 of the protocol knows chains by name.
export const CHAIN_ID = 84532;
export const NETWORK = `eip155:${CHAIN_ID}`;
export const NETWORK_V1 = "base-sepolia";

export const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
const CANONICAL = {
  Permit2: PERMIT2,
  X402ExactPermit2Proxy: "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
  X402UptoPermit2Proxy: "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
  X402BatchSettlement: "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003",
  ERC3009DepositCollector: "0x4020806089470a89826cB9fB1f4059150b550004",
  Permit2DepositCollector: "0x4020425FAf3B746C082C2f942b4E5159887B0005",
  Multicall3: "0xcA11bde05977b3631167028862bE2a173976CA11",
};
const SUPPLY = 10n ** 27n;
export const PURSE = 10n ** 18n;
const COINS = 10n ** 20n;

/** The accounts of the matrix. Their keys are the ones that every development chain uses: worth nothing. */
export function accounts() {
  const roles = ["operator", "tsPayer", "pyPayer", "ourPayer", "tsSettler", "pySettler", "ourSettler", "payTo", "authorizer", "stranger", "ourDesk"];
  return Object.fromEntries(
    roles.map((role, addressIndex) => {
      const account = mnemonicToAccount("test test test test test test test test test test test junk", { addressIndex });
      return [role, { account, address: account.address, key: toHex(account.getHdKey().privateKey) }];
    }),
  );
}

/** Starts `kind` ("anvil" or "embedded"); resolves with its endpoint and what stands on it. */
export async function startChain(kind, { root, binaries, roles }) {
  const artifact = name => {
    const path = `${root}/contracts/artifacts/${name}.json`;
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  };
  const rpcUrl = kind === "anvil" ? await startAnvil() : await startEmbedded(binaries, roles);
  const options = {
    chain: defineChain({ id: CHAIN_ID, name: "local", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [rpcUrl] } } }),
    transport: http(rpcUrl),
    pollingInterval: 20,
    cacheTime: 0,
  };
  const reader = createPublicClient(options);
  const wallet = account => createWalletClient({ ...options, account });
  const permit2 = kind === "anvil" ? await place(reader, roles, artifact) : "ours";

  // The same token twice: one that is asked for, and one that is not.
  const code = artifact("OPGToken");
  const operator = wallet(roles.operator.account);
  const done = hash => reader.waitForTransactionReceipt({ hash });
  const deploy = async () =>
    (await done(await operator.deployContract({ abi: code.abi, bytecode: code.bytecode, args: [roles.operator.address, SUPPLY] }))).contractAddress;
  const token = await deploy();
  const otherToken = await deploy();
  for (const payer of [roles.tsPayer, roles.pyPayer, roles.ourPayer]) {
    for (const address of [token, otherToken]) {
      await done(await operator.writeContract({ address, abi: erc20Abi, functionName: "transfer", args: [payer.address, PURSE] }));
      await done(await wallet(payer.account).writeContract({ address, abi: erc20Abi, functionName: "approve", args: [PERMIT2, PURSE] }));
    }
  }
  const approve = async (owner, amount) => {
    const call = { address: token, abi: erc20Abi, functionName: "approve", args: [PERMIT2, amount] };
    await done(await wallet(owner.account).writeContract(call));
  };
  const fund = async to => done(await operator.sendTransaction({ to, value: 10n ** 18n }));
  return { rpcUrl, reader, fund, token, otherToken, permit2, approve, escrow: CANONICAL.X402BatchSettlement };
}

async function startAnvil() {
  const binary = new URL("../node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil", import.meta.url).pathname;
  const args = ["--host", "127.0.0.1", "--port", "0", "--chain-id", String(CHAIN_ID)];
  const anvil = attended("anvil", existsSync(binary) ? binary : "anvil", args);
  for (;;) {
    const listening = /Listening on (\S+)/.exec(await anvil.line(30_000));
    if (listening) return `http://${listening[1]}`;
  }
}

async function startEmbedded(binaries, roles) {
  const funded = Object.values(roles).map(role => role.address);
  const chain = new Child("chain", `${binaries}/examples/chain`, [String(CHAIN_ID), roles.operator.address, ...funded]);
  return (await chain.start()).rpc_url;
}

/** Puts the contracts where x402 expects them; resolves with whose Permit2 it is. */
async function place(reader, roles, artifact) {
  const setCode = (address, code) => reader.request({ method: "anvil_setCode", params: [address, code] });
  for (const role of Object.values(roles)) {
    await reader.request({ method: "anvil_setBalance", params: [role.address, toHex(COINS)] });
  }
  for (const [name, address] of Object.entries(CANONICAL)) {
    const initCode = name === "Multicall3" ? multicall3Bytecode : artifact(name)?.bytecode;
    if (!initCode) continue;
    // The constructor runs at the address itself, so that what it keeps of its surroundings is right.
    await setCode(address, initCode);
    await setCode(address, (await reader.call({ to: address })).data);
  }
  const deployed = deployedPermit2();
  if (deployed) await setCode(PERMIT2, deployed);
  return deployed ? "deployed" : "ours";
}

/** The Permit2 that is deployed on public chains, out of a package's test helper; undefined where it is not there. */
function deployedPermit2() {
  const path = new URL("../node_modules/@uniswap/v4-periphery/lib/permit2/test/utils/DeployPermit2.sol", import.meta.url);
  if (!existsSync(path)) return undefined;
  const literal = /hex"([0-9a-f]{10000,})"/.exec(readFileSync(path, "utf8"));
  return literal ? `0x${literal[1]}` : undefined;
}
