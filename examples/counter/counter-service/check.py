"""Starts the counter on a port of its own and holds it to what it promises."""

import concurrent.futures
import signal
import socket
import subprocess
import sys
import time

PORT = 18080


def talk(request, patience=10):
    """Sends bytes and returns all that comes back."""
    with socket.create_connection(("127.0.0.1", PORT), patience) as client:
        client.sendall(request)
        answer = b""
        while more := client.recv(4096):
            answer += more
        return answer.decode()


def get(page):
    head, _, body = talk(f"GET {page} HTTP/1.1\r\nHost: counter\r\n\r\n".encode()).partition("\r\n\r\n")
    return head.split(" ")[1], body


def at_once(count, page):
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        return list(pool.map(get, [page] * count))


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")
    print(f"ok    {what}")


def check():
    expect("it begins with nothing", get("/get_counter"), ("200", "0\n"))
    expect("an increment tells the new number", get("/increment_counter"), ("200", "1\n"))
    expect("get and increment tells the old number", get("/get_and_increment_counter?x=1"), ("200", "1\n"))
    expect("both have counted", get("/get_counter"), ("200", "2\n"))
    expect("a reset", get("/reset_counter"), ("200", "0\n"))

    numbers = sorted(int(body) for _, body in at_once(1000, "/get_and_increment_counter"))
    expect("of 1,000 requests at once none is lost and none counted twice", numbers, list(range(1000)))

    expect("another page", get("/other")[0], "404")
    expect("another method", talk(b"POST /reset_counter HTTP/1.1\r\n\r\n").split(" ")[1], "405")
    for bad in [b"\r\n\r\n", b"GET\r\n\r\n", b"GET /get_counter\r\n\r\n", b"GET get_counter HTTP/1.1\r\n\r\n", b"\0", b"GET / HTTP/3\n\n"]:
        expect(f"{bad!r} is refused", talk(bad).split(" ")[1], "400")
    endless = b"GET /" + b"x" * 100000
    expect("an endless request is refused", talk(endless).split(" ")[1], "431")
    expect("the number is as it was", get("/get_counter"), ("200", "1000\n"))

    idle = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(800)]
    for client in idle[::2]:
        client.sendall(b"GET /get_coun")
    start = time.monotonic()
    expect("800 clients that say little keep nobody waiting", get("/get_counter"), ("200", "1000\n"))
    expect("it answers at once", time.monotonic() - start < 1, True)
    expect("and they are hung up on", [client.recv(1) for client in idle], [b""] * len(idle))

    slow = b"GET /get_and_increment_counter HTTP/1.1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", PORT)) as client:
        for byte in slow:
            client.sendall(bytes([byte]))
        expect("a request that comes byte by byte counts once", client.recv(4096).decode().split("\n")[-2], "1000")
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", PORT)) as client:
            client.sendall(slow)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    expect("clients that leave with a reset do no harm", get("/get_counter")[0], "200")


def main():
    service = subprocess.Popen(["./counter", str(PORT)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", PORT)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        check()
        late = socket.create_connection(("127.0.0.1", PORT))
        late.sendall(b"GET /get_counter HTTP/1.1\r\n")
        time.sleep(0.2)
        service.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        late.sendall(b"\r\n")
        expect("whoever is in when it ends is served", b"200 OK" in late.recv(4096), True)
        # This one is still in, and says nothing more: it can keep the program for as long as a connection lasts.
        expect("it ends by SIGTERM", service.wait(6), 0)
    finally:
        service.kill()


main()
