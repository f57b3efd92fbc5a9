"""`python -m bench.memory`: what a server's processes hold after a working day in a minute.

20,000 mixed requests on PostgreSQL: logins over eight connections, pages, and previews of large
imports, refused and not, one after the other.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator

from . import table
from .http import burst, login_request, page_request
from .logins import worker_tokens
from .pressure.memory import family, resident
from .pressure.people import Person
from .pressure.scene import HOST, IMAGE, Scene
from .pressure.staging import serving, staged
from .table import Row

REQUESTS = 20_000
IMPORTS = 12
FILES = (
    "image_pattern,type,role_name\n"
    + "".join(f"{HOST}/r{n}/*,aws-ecr-role,Role\n" for n in range(10_000)),
    "image_pattern,type,username,password\n"
    + "".join(f"r{n}.example.com/{'x' * 200}/*,docker,u,{'p' * 600}\n" for n in range(9_000)),
    "image_pattern,type,note\n" + "".join(f"a.b/c:v{n},docker,{'n' * 300}\n" for n in range(9_000)),
)


def rows(rounds: int) -> Iterator[Row]:
    with staged() as (scene, _):
        its = dataclasses.replace(scene)
        with serving(its) as server:
            person = Person(its.address, its.ours.admin)
            logins, pages = _requests(its, person)
            burst(its.address, logins + pages, 3.0)
            _preview(person, FILES[0].splitlines()[0] + "\na.b/c,aws-ecr-role,Role\n")
            time.sleep(1)
            start, done = _each(server.pid), 0
            importing = threading.Thread(target=_import, args=(person,))
            importing.start()
            peak = 0.0
            while done < REQUESTS or importing.is_alive():
                answered, _ = burst(its.address, logins, 2.0)
                shown, _ = burst(its.address, pages, 1.0)
                done += len(answered) + len(shown)
                peak = max(peak, resident(server.pid))
            importing.join()
            time.sleep(2)
            end = _each(server.pid)
    yield Row("requests answered", done, "in all")
    yield Row("a process at its start", max(start), "MiB")
    yield Row("all processes at most", peak, "MiB", peak / sum(start), "their start")
    yield Row("all processes afterwards", sum(end), "MiB", sum(end) / sum(start), "their start",
              ("≤", 1.3))  # fmt: skip


def _each(pid: int) -> list[float]:
    """MiB of each process that serves."""
    return [resident(one) for one in family(pid)[1:]]


def _requests(its: Scene, person: Person) -> tuple[list[bytes], list[bytes]]:
    logins = [
        login_request(its.address, token, its.ours.project, IMAGE)
        for token in worker_tokens(its, 8)
    ]
    cookies = "; ".join(f"{each.name}={each.value}" for each in person.session.cookies)
    base = f"/organizations/{its.ours.slug}/"
    paths = (base, f"{base}registries/", f"{base}registries/{its.ours.entry}/", f"{base}audit/")
    return logins, [page_request(its.address, path, cookies) for path in paths]


def _import(person: Person) -> None:
    for number in range(IMPORTS):
        _preview(person, FILES[number % len(FILES)])


def _preview(person: Person, text: str) -> None:
    path = "/organizations/ours/registries/import/"
    answer = person.post(path, {}, files={"file": ("rows.csv", text, "text/csv")})
    if answer.status_code not in (200, 302, 503):
        raise SystemExit(f"A preview was answered with {answer.status_code}.")


if __name__ == "__main__":
    table.part(__doc__, rows)
