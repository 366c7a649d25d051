"""What every app of this folder has in common.

Its configuration is the first line of standard input, its readiness one line of JSON on standard output, and
it ends when standard input does.
"""

import asyncio
import json
import os
import socket
import sys
import threading


def read():
    """Returns the next line of standard input, parsed; ends the process where there is none."""
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    return json.loads(line)


def write(value):
    """Prints one line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def serve(app):
    """Serves an ASGI app on a free port of loopback, says where, and ends with standard input."""
    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))

    async def announce():
        while not server.started:
            await asyncio.sleep(0.01)
        write({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})

    async def run():
        announced = asyncio.create_task(announce())
        await server.serve(sockets=[listener])
        await announced

    threading.Thread(target=_end_with_input, daemon=True).start()
    asyncio.run(run())


def _end_with_input():
    while sys.stdin.readline():
        pass
    os._exit(0)
