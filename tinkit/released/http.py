"""One request to a host of files, from any byte on.

With the standard library: torch.hub and huggingface_hub, which come with the dependencies, do not resume a download of
any address, or not by a public function.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tinkit.errors import UserError

BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
"""What a connection that breaks off raises; an answer with an error's status is a UserError or a :class:`BusyError`."""
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_WHOLE = re.compile(r"bytes \*/(\d{1,18})")
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class PageError(UserError):
    """A host answers with a page in the place of the file; ``file`` is where it would have gone, where that is told."""

    def __init__(self, address: str, file: Path | None = None) -> None:
        instead = "" if file is None else f" (open it in a browser, save the file as {file}, and run the command again)"
        super().__init__(
            f"{address}: the host answers with a page of the web in the place of the file",
            expected="the bytes of a checkpoint",
            fix=f"download it by hand{instead}, or name a folder that has the file: --mirror DIR",
        )


class BusyError(Exception):
    """The host asks to be asked again later."""


class ShorterError(Exception):
    """The file has fewer bytes than are here of it, or another length than the host said before."""


@dataclass(frozen=True)
class Answer:
    """What a host serves: bytes from ``start`` on, of a file of ``length`` bytes (None: not stated)."""

    body: Any
    address: str
    """Where the bytes come from in the end, behind redirections."""
    start: int
    length: int | None
    version: str
    """What tells one version of the file from another: an entity tag or a date; empty where the host states none."""


@contextmanager
def ask(address: str, start: int, version: str, timeout: float) -> Iterator[Answer]:
    """The answer for the file at ``address`` from byte ``start`` on, if the host can and has the same ``version``
    still; else from 0.

    Raises :class:`~tinkit.errors.UserError` for an answer without the file, one of ``BROKEN``, :class:`BusyError` or
    :class:`ShorterError`.
    """
    headers = {"User-Agent": "tinkit", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": version} if version else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        answer = _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                yield _all_there(error, address, start, version)
                return
            raise _refused(address, error) from error
    except BROKEN:
        raise
    except OSError as error:  # of the connection, such as of its encryption
        raise ConnectionError(str(error)) from error
    with answer:
        yield _read_head(answer, address, start)


def _read_head(answer: Any, address: str, asked: int) -> Answer:
    headers = answer.headers
    if headers.get_content_type() == "text/html":
        raise PageError(address)
    if (coding := headers.get("Content-Encoding", "identity")) != "identity":
        raise UserError(f"{address}: the host sends the file compressed ({coding[:40]}), which was not asked for")
    tag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    version = date if not tag or tag.startswith("W/") else tag  # a weak tag is of no use to a range
    stated = headers.get("Content-Length", "")
    length = int(stated) if re.fullmatch(r"\d{1,18}", stated) else None
    if answer.status == 206:
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != asked:
            raise UserError(f"{address}: the host sends another part of the file than was asked for")
        return Answer(answer, answer.url, asked, int(found[3]), version)
    return Answer(answer, answer.url, 0, length, version)


def _all_there(error: urllib.error.HTTPError, address: str, start: int, version: str) -> Answer:
    """The answer where there is nothing from ``start`` on, if the file is as long as that."""
    found = _WHOLE.fullmatch(error.headers.get("Content-Range", ""))
    if found is not None and int(found[1]) == start:
        return Answer(error, address, start, start, version)
    raise ShorterError("the file is shorter than what is here of it")


def _refused(address: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in _BUSY:
        return BusyError(f"the host says {error.code} {error.reason}")
    what = "has no such file" if error.code in (404, 410) else "does not give the file"
    return UserError(
        f"{address}: the host {what} ({error.code} {str(error.reason)[:100]})",
        fix="name a folder or an address that has it: --mirror DIR|URL",
    )


class _Redirections(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow to other hosts, but never out of an encrypted connection."""
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise UserError(f"{req.full_url}: the host leads to {newurl[:200]}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """For HTTP alone: the standard opener would follow to files of this machine and to FTP too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirections(),
    ):
        opener.add_handler(handler)
    return opener
