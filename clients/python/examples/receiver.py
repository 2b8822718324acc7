"""A downstream that takes only calls which Tidegate has signed, and each message once.

    TIDEGATE_SIGNING_SECRET=whsec_... python receiver.py [PORT]

Give the secrets with blanks between them while one is being changed.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tidegate import InvalidSignature, Webhook

webhook = Webhook(os.environ["TIDEGATE_SIGNING_SECRET"].split())
# A real one keeps the ids where its work is kept, in the same transaction.
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            call = webhook.verify(self.headers, body)
        except InvalidSignature as error:
            print(f"refused: {error}", flush=True)
            self.answer(401)
            return
        if call.id not in seen:
            seen.add(call.id)
            print(f"{call.id}: {call.text()}", flush=True)
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main()
