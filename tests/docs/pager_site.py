"""A platform, a pager and the daemon between them, each in a thread or process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from anyio.from_thread import start_blocking_portal

from doc_pages import ROOT
from tocsin.emulator import Emulator, serve

PATIENCE = 15.0
"""Seconds that anything here may take."""


class Pager:
    """What the daemon pages: it takes notices, refuses them (`status`), or holds its answers (`held`)."""

    def __init__(self):
        self.taken = []
        self.refused = 0
        self.status = 200
        self.held = threading.Event()
        self.held.set()
        self._news = threading.Condition()
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = pager.take(notice)
                pager.held.wait(PATIENCE)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def take(self, notice):
        with self._news:
            status = self.status
            if status == 200:
                self.taken.append((notice["action"], notice["key"], notice["text"]))
            else:
                self.refused += 1
            self._news.notify_all()
        return status

    def wait(self, condition):
        with self._news:
            assert self._news.wait_for(lambda: condition(self), PATIENCE), (self.taken, self.refused)

    def count(self, action, identity):
        return sum(one[:2] == (action, f"t1/{identity}") for one in self.taken)

    def wait_for(self, action, identity):
        self.wait(lambda _: self.count(action, identity))

    @property
    def counts(self):
        return Counter((action, key.removeprefix("t1/")) for action, key, _ in self.taken)

    @contextmanager
    def open(self):
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.held.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join(PATIENCE)


class Daemon:
    """The example in a process of its own."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.decode().rstrip())
                self._news.notify_all()

    def wait_for(self, text):
        with self._news:
            seen = self._news.wait_for(lambda: any(text in line for line in self.lines), PATIENCE)
            assert seen, self.lines

    def end(self, number=None):
        """Sends a signal, if any, and gives the exit code."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stderr.close()
        return code


class Site:
    """The platform, and how a daemon is started that follows it.

    Args:
        url: Where the platform listens.
        emulator: The platform.
        pager: The pager.
        file: Where the daemon keeps what it has paged.
    """

    def __init__(self, url, emulator, pager, file):
        self.url = url
        self.emulator = emulator
        self.pager = pager
        self.file = file

    def add(self, kind, severity="CRITICAL"):
        alarm = {"type": kind, "text": kind, "severity": severity, "source": {"id": "4711"}}
        return self.emulator.store.create(alarm)["id"]

    @property
    def kept(self):
        return json.loads(self.file.read_bytes())["paged"]

    @contextmanager
    def daemon(self, *, password="demo"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("C8Y_")}
        environment |= {
            "C8Y_BASEURL": self.url, "C8Y_TENANT": "t1", "C8Y_USER": "demo", "C8Y_PASSWORD": password,
            "PAGER_URL": self.pager.url, "PYTHONWARNINGS": "error",
        }  # fmt: skip
        command = [sys.executable, str(ROOT / "examples" / "pager.py"), str(self.file)]
        daemon = Daemon(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
        try:
            yield daemon
        finally:
            if daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)


@contextmanager
def site(folder):
    """A platform with one device, and a pager."""
    emulator = Emulator()
    emulator.store.add_device(id="4711")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(emulator)) as server,
        Pager().open() as pager,
    ):
        yield Site(server.url, emulator, pager, folder / "paged.json")
