"""The SDK's side of bench/opengradient/run: one process that makes calls of opengradient 1.1.4 when it is told to.

sdk.py VIEW: VIEW is the line that `seamline up --opengradient --json` printed. The protocol is that of the Rust
driver: prints `ready`, reads `plain N` and `stream N`, prints one line of JSON for each.
"""

import asyncio
import json
import os
import sys
import time

view = json.loads(sys.argv[1])
# The SDK reads this when it is imported.
os.environ["BASE_MAINNET_RPC"] = view["rpc_url"]
import opengradient as og  # noqa: E402

ASK = [{"role": "user", "content": "What is a receipt?"}]


def micros(started):
    return (time.perf_counter_ns() - started) // 1000


async def plain(llm):
    started = time.perf_counter_ns()
    answer = await llm.chat(og.TEE_LLM.GPT_5, ASK, max_tokens=100)
    return micros(started), None, answer.chat_output["content"]


async def stream(llm):
    started = time.perf_counter_ns()
    first, text = None, []
    async for chunk in await llm.chat(og.TEE_LLM.GPT_5, ASK, max_tokens=100, stream=True):
        for choice in chunk.choices:
            if choice.delta.content:
                first = first or micros(started)
                text.append(choice.delta.content)
    return micros(started), first, "".join(text)


async def main():
    llm = og.LLM(private_key=view["funded_key"], rpc_url=view["rpc_url"])
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    # In a thread, so that the SDK's own background work goes on between rounds as in an application.
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        kind, count = line.split()
        latencies, firsts, answer = [], [], ""
        for _ in range(int(count)):
            latency, first, answer = await (stream if kind == "stream" else plain)(llm)
            latencies.append(latency)
            if first is not None:
                firsts.append(first)
        print(json.dumps({"latency_us": latencies, "first_us": firsts, "answer": answer}), flush=True)
    await llm.close()


asyncio.run(main())
