"""A web server of this machine that serves files, and misbehaves as it is told."""

import hashlib
import re
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Handler(BaseHTTPRequestHandler):
    """Answers with what ``server.answers`` holds for a path: a list whose first item is used up, but for the last."""

    def do_GET(self):
        asked = self.server.answers.get(self.path, [refuse(404)])
        self.server.asked.append((self.path, self.headers["Range"]))
        (asked.pop(0) if len(asked) > 1 else asked[0])(self)

    def log_message(self, *_):
        pass


def serve(body: bytes, cut: int | None = None, length: int | None = None, ranges: bool = True, careless=False):
    """An answer with ``body``, ended after ``cut`` bytes, said to be of a ``length``; ``careless`` of If-Range."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'

    def answer(handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "") if ranges else None
        start = int(wanted[1]) if wanted and (careless or handler.headers["If-Range"] == tag) else 0
        if start >= len(body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if ranges:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(body) - start if length is None else length))
        handler.end_headers()
        handler.wfile.write(body[start:][:cut])

    return answer


def refuse(status: int):
    return lambda handler: handler.send_error(status)


def redirect(to: str):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def started() -> ThreadingHTTPServer:
    """A running server; ``address`` is what its paths are appended to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked, server.address = {}, [], f"http://127.0.0.1:{server.server_port}"
    Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    return server
