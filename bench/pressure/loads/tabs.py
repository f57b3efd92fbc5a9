"""One organization's failing entries and hanging registry, beside another's work."""

from __future__ import annotations

import statistics
import time
from collections import Counter

from tests.support.fake_aws import RemoteFakeAws

from ..people import Person, together
from ..scene import HOST, Scene

ROUNDS = 5


def tabs(scene: Scene, seconds: float) -> dict[str, object]:
    """*Verify selected* over 500 failing entries, a page at a time, and 12 tabs on the images
    of an entry whose registry hangs; each opened again a second after its answer, or when
    that says so."""
    person = Person(scene.address, scene.theirs.admin)
    aws = RemoteFakeAws()
    aws.url = scene.aws
    aws.fault("hang", seconds=60, access_key_id=scene.theirs.key_id)
    root = f"/organizations/{scene.theirs.slug}/registries"
    pages = [scene.failing[at : at + 50] for at in range(0, len(scene.failing), 50)]
    until = time.monotonic() + seconds

    def one(number: int) -> str:
        if number < 12:
            answer = person.get(f"{root}/{scene.theirs.entry}/images/")
        else:
            chosen = {"action": "verify", "entry": pages[(number - 12) % len(pages)]}
            answer = person.post(f"{root}/selected/", chosen, page=root + "/")
        time.sleep(int(answer.headers.get("Retry-After", 1)))
        return f"{'images' if number < 12 else 'verify'}: {answer.status_code}"

    try:
        return {"answers": together(12 + len(pages), until, one)}
    finally:
        aws.clear_faults()


def tasks(scene: Scene) -> dict[str, object]:
    """Verify, images and a replaced key of `ours`: median and worst, in seconds, and what
    didn't work."""
    person = Person(scene.address, scene.ours.admin)
    root = f"/organizations/{scene.ours.slug}/registries/{scene.ours.entry}"
    fields = {
        "registry_type": "aws-ecr",
        "patterns": f"{HOST}/*",
        "region": "us-east-1",
        "access_key_id": scene.ours.key_id,
        "secret_access_key": scene.ours.secret,
        "enabled": "on",
    }
    works = {
        "verify": lambda: person.post(f"{root}/verify/", {"image": ""}, page=f"{root}/"),
        "images": lambda: person.get(f"{root}/images/"),
        "replace key": lambda: person.post(f"{root}/edit/", fields, page=f"{root}/edit/"),
    }
    found: dict[str, object] = {}
    for name, work in works.items():
        taken: list[float] = []
        wrong: Counter[str] = Counter()
        for _ in range(ROUNDS):
            began = time.monotonic()
            answer = work()
            taken.append(time.monotonic() - began)
            if answer.status_code != 200 or "Try again in a few seconds." in answer.text:
                wrong["busy" if answer.status_code == 200 else str(answer.status_code)] += 1
        found[name] = {
            "median": round(statistics.median(taken), 2),
            "worst": round(max(taken), 2),
            "wrong": dict(wrong),
        }
    return found
