"""Result files and uploads, by blocking clients in worker threads."""

from __future__ import annotations

import contextlib
import functools
import math
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self

from kie_core._errors import ReadFailed
from kie_core._jobs.answer import Answer
from kie_core._network.addresses import NotPublic, Place, Resolve, check_place, is_own, looked_up, public_addresses
from kie_core._network.http import LARGEST_ANSWER, PACKED, TooLarge, decoded, hush, pause_of
from kie_core._network.library import httpx
from kie_core._network.transport import CONNECT_SECONDS, Context, proxy_for, said
from kie_core._secret import Secret, redacted

#: To how many hosts connections are kept: file hosts are few, but a client may live for months.
_HOSTS: Final = 8


class FileClient:
    """Fetches result files, blocking, for many worker threads at once. Never carries the key. To be closed.

    It connects to public addresses only, however they are reached. Behind a proxy of the environment, which
    connects in our place, only what the URL says can be checked.

    Args:
        version: Ours.
        seconds: To wait for the head of an answer, and for each next part of its body.
        api: The base URL: if the user set it to this machine, files may come from exactly there.
        resolve: Looks names up.
        context: For TLS; None: one of its own.
    """

    def __init__(
        self, *, version: str, seconds: float, api: str, resolve: Resolve = looked_up, context: Context | None = None
    ) -> None:
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"kie-core/{version}"}
        self._seconds = seconds
        self._timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        self._context = context or Context()
        self._own = place_of(api)
        self._resolve = resolve
        self._lock = threading.Lock()
        self._closed = False
        self._clients: dict[tuple[Place, str | None], tuple[httpx.Client, Cut]] = {}
        self._users: Counter[tuple[Place, str | None]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, those too on which a thread that was given up may wait: it ends at once."""
        with self._lock:
            self._closed = True
            for _, cut in self._clients.values():
                cut.cut()  # a thread does not notice that another one closed what it waits for
            self._close_idle(but=0)

    @contextlib.contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """Open *url*; yields the status, the headers and the body as it comes. Follows no redirect.

        Raises:
            NotPublic: The address must not be connected to.
            OSError: No connection can be set up as the environment says, or the client is closed.
            ReadFailed: The connection failed, at any point.
        """
        place = checked_place(url, self._own)
        try:
            with (
                self._client_for(place) as (client, cut),
                client.stream("GET", url, headers=headers, extensions={"trace": cut}) as response,
            ):
                encoding = response.headers.get("content-encoding", "").strip().lower()
                chunks = _uncut(response.iter_raw(), cut)
                yield response.status_code, response.headers, _unpacked(chunks) if encoding in PACKED else chunks
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            raise ReadFailed(said(error)) from None

    @contextlib.contextmanager
    def _client_for(self, place: Place) -> Iterator[tuple[httpx.Client, Cut]]:
        # One for each host: connections are shared by address, and TLS vouched for one host only.
        scheme, host, _, _ = place
        whose = (place, proxy_for(scheme, host))
        with self._lock:
            if self._closed:
                raise OSError("the client is closed")
            found = self._clients.pop(whose, None) or (self._made(*whose), Cut(self._seconds))
            self._clients[whose] = found  # the one used last is the last
            self._users[whose] += 1
        try:
            yield found
        finally:
            with self._lock:
                self._users[whose] -= 1
                self._close_idle(but=0 if self._closed else _HOSTS)
                self._users = +self._users

    def _close_idle(self, *, but: int) -> None:
        idle = [one for one in self._clients if not self._users[one]]
        for one in idle[: max(len(self._clients) - but, 0)]:
            self._clients.pop(one)[0].close()

    def _made(self, place: Place, proxy: str | None) -> httpx.Client:
        try:
            context = self._context.get(place[0])
            transport: httpx.BaseTransport = httpx.HTTPTransport(verify=context, proxy=proxy)
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            raise OSError(f"no connection can be set up as the environment says: {said(error)}") from error
        if proxy is None and not is_own(place, self._own):
            transport = GuardedTransport(transport, self._resolve)
        return httpx.Client(
            headers=self._headers, timeout=self._timeout, follow_redirects=False, trust_env=False, transport=transport
        )


class _Hearing(threading.local):
    """What a thread waits for: until when, and whether any of it came since it asked."""

    until = math.inf
    begun = False


class Cut:
    """Cuts connections off that wait for the other side: from another thread, or when that takes too long.

    Args:
        seconds: For the head of an answer, and for each part of its body, in however many pieces it drips in: the
            library knows a limit for each piece only.
    """

    def __init__(self, seconds: float) -> None:
        self.is_cut = False
        self.seconds = seconds
        self._hearing = _Hearing()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Listen to the transport, which tells what it connected, and how far it is."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._connected(info["return_value"])
        elif event.endswith("receive_response_headers.started"):
            self._hearing.begun = False
            self.go_on()
        elif event.endswith("receive_response_headers.complete"):
            if not self._hearing.begun:  # it came along with the last one
                raise httpx.RemoteProtocolError("an answer came that nobody had asked for")
            self.go_on()

    def go_on(self) -> None:
        """Wait for the next part of an answer from now on."""
        self._hearing.until = time.monotonic() + self.seconds

    def _connected(self, stream: Any) -> None:
        stream.read = functools.partial(self._read, stream.read)
        self.go_on()
        found = stream.get_extra_info("socket")
        if isinstance(found, socket.socket):
            with self._lock:  # those that were closed meanwhile are forgotten
                self._sockets = [*(one for one in self._sockets if one.fileno() >= 0), found]
        if self.is_cut:
            self.cut()

    def _read(self, read: Callable[..., bytes], max_bytes: int, timeout: float | None = None) -> bytes:
        self._hearing.begun = True
        left = self._hearing.until - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout(f"its answer takes longer than {self.seconds:g} s")
        return read(max_bytes, timeout=left if timeout is None else min(timeout, left))

    def cut(self) -> None:
        """End what is on its way, and whatever begins later."""
        self.is_cut = True
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):  # it has ended already
                    socket.socket.shutdown(one, socket.SHUT_RDWR)  # of TLS too only what lies below


class UploadClient:
    """Sends a file to the upload host, blocking, for worker threads. Use it in a ``with`` block.

    The key goes to that host and nowhere else: no redirect is followed, no answer decides where the next request goes.

    Args:
        url: Where uploads go.
        key: For the Authorization header.
        version: Ours.
        seconds: To wait until the next bytes are taken.
        context: For TLS.

    Raises:
        OSError: No connection can be set up as the environment says.
    """

    def __init__(self, url: str, key: Secret, *, version: str, seconds: float, context: Context) -> None:
        self._url = url
        self._key = key
        self._seconds = seconds
        scheme, host, _, _ = place_of(url)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"kie-core/{version}",
            "Authorization": f"Bearer {key.reveal()}",
        }
        try:
            transport = httpx.HTTPTransport(verify=context.get(scheme), proxy=proxy_for(scheme, host))
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            raise OSError(f"no connection can be set up as the environment says: {said(error)}") from error
        hush()
        self._client = httpx.Client(headers=headers, follow_redirects=False, trust_env=False, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(self, path: str, content: Iterator[bytes], *, content_type: str, size: int, cut: Cut) -> Answer:
        """Send *size* bytes as they come, and return what is answered; *cut* ends it from another thread.

        Raises:
            ReadFailed: The connection failed, at any point, or the answer is too large or takes too long.
            Exception: Whatever *content* raises; then the request was cut off.
        """
        # The host looks through the whole file before it answers: one second for each megabyte. UNVERIFIED.
        patience = self._seconds + size / 1_000_000
        cut.seconds = patience
        timeout = httpx.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds), read=patience)
        headers = {"Content-Type": content_type, "Content-Length": str(size)}
        try:
            with self._client.stream(
                "POST",
                f"{self._url}{path}",
                content=content,
                headers=headers,
                timeout=timeout,
                extensions={"trace": cut},
            ) as response:
                raw = bytearray()
                for chunk in response.iter_raw():
                    raw += chunk
                    if len(raw) > LARGEST_ANSWER:
                        raise ReadFailed("the answer is too large")
                text = redacted(decoded(bytes(raw), response.headers.get("Content-Encoding", "")), self._key)
                return Answer(response.status_code, text, pause_of(response.headers.get("Retry-After", "")))
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error, TooLarge) as error:
            raise ReadFailed(f"{said(error)} ({self._url})") from None


def place_of(url: str) -> tuple[str, str, int | None, bool]:
    """Return scheme, host, port and whether a user is named: of what the library would connect to, not of the text.

    Raises:
        ValueError: It is no URL.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    return parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port, bool(parsed.userinfo)


def checked_place(url: str, own: Place) -> Place:
    """Return where *url* lies, if one can see that it may be connected to.

    Raises:
        NotPublic: It must not be, or it is no URL.
    """
    try:
        place = place_of(url)
    except ValueError as error:
        raise NotPublic(f"its address is {error}") from None
    check_place(place, own)
    return place


class GuardedTransport(httpx.BaseTransport):
    """Looks a host up once, checks every address, and has *inner* connect to what was checked, never to the name.

    TLS still asks for the host by its name and verifies it.
    """

    def __init__(self, inner: httpx.BaseTransport, resolve: Resolve) -> None:
        self._inner = inner
        self._resolve = resolve

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        try:
            addresses = public_addresses(host, request.url.port or 443, self._resolve)
        except OSError as error:
            raise httpx.ConnectError(said(error)) from error
        failure: httpx.TransportError = httpx.ConnectError("no address")
        for address in addresses:
            try:
                return self._inner.handle_request(
                    httpx.Request(
                        request.method,
                        request.url.copy_with(host=address),
                        headers=request.headers,
                        stream=request.stream,
                        extensions={**request.extensions, "sni_hostname": host},
                    )
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    def close(self) -> None:
        self._inner.close()


def _uncut(chunks: Iterator[bytes], cut: Cut) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        cut.go_on()
    if cut.is_cut:  # what has no length ends with its connection, and would seem whole
        raise httpx.ReadError("the client is closed")


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=47)
    for chunk in chunks:
        rest = chunk
        while rest:  # a packed file may have several parts; what is none of them is an error, and is not kept
            if inflater.eof:
                inflater = zlib.decompressobj(wbits=47)
            yield inflater.decompress(rest)
            rest = inflater.unused_data
    if not inflater.eof:
        raise zlib.error("the packed file was cut")
