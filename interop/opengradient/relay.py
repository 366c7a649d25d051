"""A relay made of the SDK's own parts: it resolves the TEE that the client names, pays for the call, and sees ciphertext only."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MARKER = b"\n--opengradient-ohttp-billing-v1--\n"


class Relay:
    """Serves on a free port of this machine until it is closed. `bills` has the billing frames that it cut out."""

    def __init__(self, make_llm):
        self.bills = []
        self.seen = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.seen.append(body)
                status, kind, answer = asyncio.run(forward(make_llm, self.headers, body))
                if kind.startswith("message/ohttp-chunked-res"):
                    answer, bill = cut(answer)
                    relay.bills.append(bill)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


async def forward(make_llm, headers, body):
    llm = make_llm()
    try:
        tee = llm.resolve_tee_connection(headers["X-TEE-ID"])
        sent = {name: headers[name] for name in ("Content-Type", "Accept", "X-OHTTP-Stream") if headers[name]}
        sent["Authorization"] = "Bearer relay"
        answer = await tee.http_client.post(tee.endpoint + "/v1/ohttp", content=body, headers=sent, timeout=60)
        return answer.status_code, answer.headers.get("content-type", ""), await answer.aread()
    finally:
        await llm.close()


def cut(answer):
    """Takes the billing frame out, which stands in clear on the border before the last chunk."""
    at = 32  # the response's nonce
    while True:
        if answer.startswith(MARKER, at):
            size = int.from_bytes(answer[at + len(MARKER):at + len(MARKER) + 4])
            end = at + len(MARKER) + 4 + size
            return answer[:at] + answer[end:], answer[end - size:end]
        first = answer[at]
        width = 1 << (first >> 6)
        length = int.from_bytes(bytes([first & 0x3F]) + answer[at + 1:at + width])
        if length == 0:
            raise AssertionError("a stream without a bill")
        at += width + length
