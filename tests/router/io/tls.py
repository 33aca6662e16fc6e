"""Certificates of an authority of the tests' own."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs for one host, and says so in a file that SSL_CERT_FILE can name."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        authority = trustme.CA()
        self.file = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.file))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self.server)
