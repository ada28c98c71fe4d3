#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The real packets of the demonstrations: web requests and questions to port 53 between two machines.

    demo-traffic.py serve  HOST DOMAIN-PORT WEB-PORT    until it is killed
    demo-traffic.py client HOST DOMAIN-PORT WEB-PORT
"""
import http.server
import socket
import sys
import threading
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * (1000 + 700 * int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def answer(names):
    while True:
        question, client = names.recvfrom(512)
        names.sendto(question * 3, client)


def serve(host, domain, web):
    names = socket.socket(family(host), socket.SOCK_DGRAM)
    names.bind((host, domain))
    threading.Thread(target=answer, args=(names,), daemon=True).start()
    server = type("Server", (http.server.ThreadingHTTPServer,), {"address_family": family(host)})
    server((host, web), Handler).serve_forever()


def client(host, domain, web):
    url = f"http://{'[' + host + ']' if ':' in host else host}:{web}/"
    for i in range(25):
        urllib.request.urlopen(url + str(i), timeout=5).read()
    for i in range(40):
        with socket.socket(family(host), socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.sendto(b"question %d" % i, (host, domain))
            s.recv(2048)
    # The kernel hands captured packets over in blocks of 256 KiB: these fill the one that holds the last of the above.
    with socket.socket(family(host), socket.SOCK_DGRAM) as s:
        for _ in range(4000):
            s.sendto(b"discard", (host, 9))


if __name__ == "__main__":
    {"serve": serve, "client": client}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
