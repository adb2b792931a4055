"""An emulator of Google's storage, which is asked as the real one is: at www.googleapis.com."""

import contextlib
import functools
import http.server
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from gcp_storage_emulator import server as emulator

NAMES = "DNS:www.googleapis.com,DNS:storage.googleapis.com"


class Handler(emulator.RequestHandler):
    """The emulator, as a proxy for HTTPS, and with what it lacks of versions and long uploads."""

    protocol_version = "HTTP/1.1"
    certificate: ssl.SSLContext
    writing = threading.Lock()
    versioned = ""

    def do_CONNECT(self):
        self.send_response_only(200)
        self.end_headers()
        self.connection = self.certificate.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        name = urllib.parse.unquote(url.path.partition("/b/bucket/o/")[2])
        query = urllib.parse.parse_qs(url.query)
        if query.get("ifGenerationNotMatch") == [self.generation(name)]:
            self.send_error(http.HTTPStatus.NOT_MODIFIED)
        else:
            self.versioned = name
            super().do_GET()

    def log_message(self, *message):
        pass

    def end_headers(self):
        if self.versioned:
            self.send_header("x-goog-generation", self.generation(self.versioned))
        super().end_headers()

    def do_POST(self):
        self.versioned = ""
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        with self.writing:
            wanted = query.get("ifGenerationMatch")
            if wanted and wanted != [self.generation(query["name"][0])]:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_error(http.HTTPStatus.PRECONDITION_FAILED)
            else:
                super().do_POST()

    def generation(self, name):
        try:
            return self.storage.get_file_obj("bucket", name)["generation"]
        except emulator.objects.NotFound:
            return "0"

    def do_PUT(self):
        self.versioned = ""
        if self.headers["Transfer-Encoding"]:  # then the length is not that of what follows
            del self.headers["Content-Length"]
        super().do_PUT()

    def send_header(self, keyword, value):
        if keyword == "Location":
            value = value.replace("http://www.googleapis", "https://www.googleapis")
        super().send_header(keyword, value)


def certificate(folder: Path) -> ssl.SSLContext:
    names = ["-subj", "/CN=emulator", "-addext", f"subjectAltName={NAMES}"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Serves `gs://bucket`; gives the environment variables that lead there."""
    Handler.certificate = certificate(folder)
    storage = emulator.Storage(use_memory_fs=True)
    emulator.buckets.create_bucket("bucket", storage)
    read = emulator._read_data
    emulator._read_data = lambda *request: read(*request) or b""  # it gives None for an empty file
    handler = functools.partial(Handler, storage)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield {
            "TENSORSTORE_GCS_HTTP_URL": address,
            "STORAGE_EMULATOR_HOST": address,  # google-cloud-storage, which orbax asks
            "https_proxy": address,  # TensorFlow
            "CURL_CA_BUNDLE": str(folder / "cert.pem"),
            "NO_GCE_CHECK": "true",
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "anyone",
        }
        server.shutdown()
