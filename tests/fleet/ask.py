"""One process of a fleet: many threads ask for a login at once, as told by arguments.

`python -m tests.fleet.ask PROJECT IMAGE THREADS` with the settings in the
environment; prints one JSON document. Whoever is told «busy» asks again as told.
"""

import hashlib
import json
import sys
import threading
import time

import django

PATIENCE = 90.0  # seconds: how long it takes is told, and depends on what else runs here


def main(project_id: str, image_text: str, threads: int) -> None:
    django.setup()
    from django.db import connection

    from orgs.models import Project
    from orgs.registries.images import ImageReference
    from orgs.registries.problems import Failed
    from orgs.services.audit.events import Actor
    from orgs.services.logins import issuing

    project = Project.objects.select_related("organization").get(pk=project_id)
    image = ImageReference.parse(image_text)
    start = threading.Barrier(threads)
    served: list[float] = []
    errors: list[str] = []
    passwords: set[str] = set()
    busy: list[int] = []

    def ask() -> None:
        connection.ensure_connection()
        start.wait(60)
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            try:
                answer = issuing.login_for(project=project, image=image, actor=Actor("fleet"))
            except Failed as error:
                if error.code != "busy":
                    errors.append(error.code)
                    break
                busy.append(1)
                time.sleep(error.retry_after or 1)
                continue
            except Exception as error:
                errors.append(repr(error))
                break
            served.append(time.monotonic() - began)
            passwords.add(hashlib.sha256(answer.login.password.encode()).hexdigest())
            break
        else:
            errors.append("out of patience")
        connection.close()

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(
        json.dumps(
            {
                "served": len(served),
                "fastest": min(served, default=0.0),
                "slowest": max(served, default=0.0),
                "busy": len(busy),
                "errors": errors,
                "passwords": sorted(passwords),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
