"""Forwards TCP connections: `detour.py LISTEN_PORT TARGET_PORT`, both of 127.0.0.1. Standard library only.

A process of its own, so that a test can stop it (SIGSTOP): then the network between two
programs is gone without a word.
"""
import socket
import sys
import threading


def pass_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in source, target:
            end.close()


def main():
    listen_port, target_port = map(int, sys.argv[1:])
    with socket.create_server(('127.0.0.1', listen_port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(('127.0.0.1', target_port))
            for pair in (near, far), (far, near):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()


main()
