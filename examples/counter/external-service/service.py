"""A page that tells how often it was visited; the number is kept by the counter service."""

import logging
import signal
import sys
import urllib.parse

import flask
import requests
from werkzeug.serving import make_server

PORT = 8080
PATIENCE = 5  # seconds that the counter may take


def page(counter):
    """Makes the application that counts its visits at the URL `counter`."""
    app = flask.Flask(__name__)
    count = urllib.parse.urljoin(counter, "get_and_increment_counter")

    @app.get("/")
    def visit():
        answer = requests.get(count, timeout=PATIENCE)
        answer.raise_for_status()
        visits = int(answer.text) + 1
        return text(f"This page was visited {visits} time{'' if visits == 1 else 's'}.")

    @app.errorhandler(requests.RequestException)
    @app.errorhandler(ValueError)
    def uncounted(error):
        app.logger.warning("the counter at %s: %s", counter, error)
        return text("The counter does not answer.", 502)

    return app


def text(line, status=200):
    return flask.Response(line + "\n", status, {"Cache-Control": "no-store"}, mimetype="text/plain")


def main():
    if len(sys.argv) != 2 or urllib.parse.urlsplit(sys.argv[1]).scheme != "http":
        sys.exit("usage: service.py http://COUNTER:8080/")
    logging.basicConfig(format="%(message)s")
    # As the first process of a container it would not be ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    make_server("0.0.0.0", PORT, page(sys.argv[1]), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
