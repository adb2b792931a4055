"""The certificate of a server that speaks TLS."""

import ssl

from t5rank.serve.settings import ServerSettings


def check_certificate(settings: ServerSettings) -> None:
    """Reads the certificate and its key as the server will.

    Raises:
      ValueError: a file has no certificate or no key, or the two do not belong together.
    """
    if settings.ssl_certfile is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except OSError as error:
        files = " and ".join(filter(None, (settings.ssl_certfile, settings.ssl_keyfile)))
        raise ValueError(
            f"Certificate '{files}' cannot be read: {error}; expected PEM, with the key of the "
            "certificate."
        ) from error
