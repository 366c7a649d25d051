// Who holds how much of the two tokens: every cell says which balances it moves, to the unit, and that no other moved.

import { erc20Abi } from "viem";

/** Reads the balances of all roles, and of the contract that holds the channels' money, in both tokens. */
export async function balances({ reader, token, otherToken, escrow }, roles) {
  const holders = [...Object.entries(roles).map(([role, { address }]) => [role, address]), ["escrow", escrow]];
  const reads = holders.flatMap(([holder, address]) =>
    [["", token], ["other ", otherToken]].map(async ([which, asset]) => [
      `${which}${holder}`,
      await reader.readContract({ address: asset, abi: erc20Abi, functionName: "balanceOf", args: [address] }),
    ]),
  );
  return Object.fromEntries(await Promise.all(reads));
}

/** Says what moved between two readings, as one line of text; empty where nothing did. */
export function moved(before, after) {
  const changes = Object.keys(before).map(holder => [holder, after[holder] - before[holder]]);
  return movement(Object.fromEntries(changes));
}

/** Says what is expected to move, in the words of {@link moved}. */
export function movement(changes) {
  const named = Object.entries(changes).filter(([, change]) => change !== 0n);
  return named.map(([holder, change]) => `${holder} ${change > 0n ? "+" : ""}${change}`).sort().join(", ");
}
