"""A file server on the loopback address that misbehaves on request."""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """One file and how the server sends it.

    Attributes:
        body: bytes of the file.
        ranges: whether the server supports Range.
        etag: whether it sends an ETag.
        failing: number of answers 503 before the first success.
        cut_at: one number for each request: the connection is dropped after that many bytes of the
            answer. Further requests are answered completely.
        after_cut: bytes of the file after a connection was dropped.
        stall_at: number of bytes after which the server sends nothing more.
        location: the server redirects to this address.
        chunked: the answer does not state its length.
        pace: seconds between blocks.
        kind: its content type.
        endless: the file is sent repeatedly without end.
    """

    body: bytes = b""
    ranges: bool = True
    etag: bool = True
    failing: int = 0
    cut_at: list = field(default_factory=list)
    after_cut: bytes | None = None
    stall_at: int | None = None
    location: str | None = None
    chunked: bool = False
    pace: float = 0.0
    kind: str = "application/octet-stream"
    endless: bool = False


class Server:
    """`files` are by path; `requests` are (path, Range header) in order of arrival."""

    def __init__(self):
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range")))
                server.answer(self, server.files.get(self.path.partition("?")[0]))

            def log_message(self, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the tests close connections on purpose

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler, file):
        if file is None:
            handler.send_error(404)
            return
        if file.failing:
            file.failing -= 1
            handler.send_error(503)
            return
        if file.location:
            handler.send_response(302)
            handler.send_header("Location", file.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        tag = f'"{hashlib.sha256(file.body).hexdigest()[:16]}"'
        start = self.start_of(handler, file, tag)
        if start and start >= len(file.body):
            handler.send_error(416)
            return
        body = file.body[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", file.kind)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/*")
        if file.etag:
            handler.send_header("ETag", tag)
        if file.chunked or file.endless:
            handler.close_connection = True
            handler.send_header("Connection", "close")
        else:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        self.send(handler, file, body)

    def start_of(self, handler, file, tag):
        asked = handler.headers.get("Range")
        wanted = handler.headers.get("If-Range", tag)
        if not (asked and file.ranges and wanted == tag):
            return 0
        return int(asked.removeprefix("bytes=").partition("-")[0])

    def send(self, handler, file, body):
        limit = file.cut_at.pop(0) if file.cut_at else None
        sent = 0
        while file.endless and not self.closing.is_set():
            handler.wfile.write(body)
        for block in (body[at : at + 32768] for at in range(0, len(body), 32768)):
            if file.stall_at is not None and sent + len(block) > file.stall_at:
                self.closing.wait(30)
                return
            if limit is not None and sent + len(block) > limit:
                handler.wfile.write(block[: limit - sent])
                file.body = file.after_cut or file.body
                handler.close_connection = True
                handler.connection.close()
                return
            handler.wfile.write(block)
            sent += len(block)
            if file.pace:
                time.sleep(file.pace)


def tree(folder):
    """Return every file and folder below `folder` with its content, without locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "locks" not in path.relative_to(folder).parts
    }
