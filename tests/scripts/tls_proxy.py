"""Takes connections by TLS on one port of this machine and passes them on to another, without.

tls_proxy.py PORT TO: server.pem and server.key are in the folder in which it is run.
"""

import socket
import ssl
import sys
import threading


def pass_on(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(plain, context, to):
    try:
        client = context.wrap_socket(plain, server_side=True)
        service = socket.create_connection(("127.0.0.1", to))
    except OSError:
        plain.close()
        return
    threading.Thread(target=pass_on, args=(service, client), daemon=True).start()
    pass_on(client, service)


def main(port, to):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem", "server.key")
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=128)
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=serve, args=(plain, context, int(to)), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
