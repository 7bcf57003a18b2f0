"""The demo's multi-process server where nginx is not installed: two workers accept on one socket.

Usage: prefork.py FOLDER PORT; ends with its workers on SIGTERM.
"""

import os
import pathlib
import signal
import socket
import sys

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
listener = socket.create_server(("127.0.0.1", port), backlog=64)


def work():
    while True:
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in (request := connection.recv(4096)) and request:
                pass
            body = (folder / "index.html").read_bytes()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + body)


workers = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        work()
    workers.append(child)


def stop(*_):
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    for worker in workers:
        os.waitpid(worker, 0)
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
while True:
    signal.pause()
