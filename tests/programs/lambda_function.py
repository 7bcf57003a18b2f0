"""A Lambda function that opens a file, connects on loopback and starts a child, or does what is wrong."""

import os
import signal
import socket
import subprocess
import threading
import time


def later(file):
    # Over before the sandbox is thawed.
    time.sleep(0.3)
    open(file, "w").close()


def handler(event, context):
    if event["do"] == "hang":
        open(event["file"], "w").close()
        time.sleep(60)
    if event["do"] == "crash":
        open(event["file"], "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    if event["do"] == "raise":
        raise ValueError("wrong")
    if event["do"] == "answer and go on":
        threading.Thread(target=later, args=(event["file"],)).start()
        return None
    if event["do"] == "much":
        for _ in range(5000):
            open(event["file"], "w").close()
        return None
    with open(event["file"], "w") as file:
        file.write(event["text"])
    with socket.create_connection(("127.0.0.1", int(os.environ["PEER"]))) as connection:
        greeting = connection.recv(100).decode()
    child = subprocess.run(["/bin/echo", event["text"]], capture_output=True, text=True, check=True)
    return {"greeting": greeting, "child": child.stdout, "read": open(event["file"]).read()}
