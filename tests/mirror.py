# SPDX-License-Identifier: BSD-3-Clause
"""A mirror for hosts that reach nothing else: HTTPS with a certificate of a private authority.

usage: mirror.py NAME ADDRESS FOLDER

It fetches ``/fetch/HOST/PATH`` from where this machine gets it, and notes each request in ``FOLDER/requests.log``.
``FOLDER/ca.crt`` is what its clients have to trust.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8443
HANDED_BACK = ("Content-Type", "Content-Range", "ETag", "Last-Modified")
PASSED_ON = ("Accept", "If-None-Match", "If-Modified-Since", "Range", "User-Agent")


def make_certificates(name: str, folder: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    # Python 3.13 and newer insist on the extensions that RFC 5280 asks for.
    authority = ("-subj", "/CN=A private authority", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", *authority)
    openssl("req", *key, "-keyout", "mirror.key", "-out", "mirror.csr", "-subj", "/CN=mirror")
    (folder / "extensions").write_text(f"subjectAltName=DNS:{name}\nauthorityKeyIdentifier=keyid\n")
    issue = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions", "-days", "30")
    openssl("x509", "-req", "-in", "mirror.csr", "-out", "mirror.crt", *issue)


class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        with (self.folder / "requests.log").open("a") as log:
            log.write(f"{self.path}\n")
        host, _, path = self.path.removeprefix("/fetch/").partition("/")
        scheme = "http" if re.search("/(dists|pool)/", path) else "https"
        headers = {name: value for name in PASSED_ON if (value := self.headers.get(name))}
        if path.startswith("simple/") or "/simple/" in path:
            headers["Accept"] = "text/html"
        try:
            answer = urllib.request.urlopen(
                urllib.request.Request(f"{scheme}://{host}/{path}", headers=headers, method=self.command), timeout=60
            )
        except urllib.error.HTTPError as error:
            answer = error
        except OSError as error:
            self.send_error(502, str(error))
            return
        with answer:
            is_page = (
                re.search("html|json", answer.headers.get_content_type()) or "Content-Length" not in answer.headers
            )
            page = self.with_links_here(answer.read()) if is_page else b""
            self.send_response(answer.status)
            for name in HANDED_BACK:
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(page)) if is_page else answer.headers["Content-Length"])
            self.end_headers()
            self.wfile.write(page)
            shutil.copyfileobj(answer, self.wfile)

    def with_links_here(self, page: bytes) -> bytes:
        """A page of an index whose files are to be fetched from here too."""
        here = f"https://{self.headers['Host']}/fetch/".encode()
        return re.sub(rb'((?:href=|"(?:tarball|url)": ?)")https?://', rb"\1" + here, page)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    name, address, folder = sys.argv[1:]
    Mirror.folder = Path(folder)
    make_certificates(name, Mirror.folder)
    server = ThreadingHTTPServer((address, PORT), Mirror)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Mirror.folder / "mirror.crt", Mirror.folder / "mirror.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
