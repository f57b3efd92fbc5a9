"""Two views: `bare` looks the token up and answers; `floor` does all that a login must and
nothing more, for one image: no parsing, no rules, no refusals, no formats."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from orgs.registries.images import ImageReference
from orgs.registries.patterns import index_keys
from orgs.sealed import _keys

PASSWORD = "x" * 2_500  # about as long as ECR's

_TOKEN = "SELECT digest FROM orgs_workertoken WHERE key_id = %s"
_ALL = """
SELECT t.digest, t.name, t.expires_at, o.id, o.name, p.name, m.text, e.id, e.registry_type,
       c.login, c.expires_at
  FROM orgs_workertoken t
  JOIN orgs_organization o ON o.id = t.organization_id
  JOIN orgs_project p ON p.id = %s AND p.organization_id = o.id
  JOIN orgs_matchpattern m ON m.organization_id = o.id AND m.enabled
   AND m.host IN (%s, %s) AND m.prefix IN (%s, %s)
  JOIN orgs_registryentry e ON e.id = m.entry_id
  JOIN orgs_cachedlogin c ON c.entry_id = e.id AND c.scope = ''
   AND c.credentials_version = e.credentials_version
 WHERE t.key_id = %s AND t.revoked_at IS NULL
"""
_EVENT = """
INSERT INTO orgs_auditevent (actor, staff, action, organization_id, organization, project_id,
  project, subject_id, subject, code, properties, source_address)
VALUES (%s, %s, 'login.issued', %s, %s, %s, %s, %s, %s, 'ok', %s, %s)
"""


def _token(request: HttpRequest) -> tuple[str, str]:
    text = request.META["HTTP_AUTHORIZATION"].partition(" ")[2]
    return text.split("_")[1], hashlib.sha256(text.encode()).hexdigest()


@csrf_exempt
def bare(request: HttpRequest) -> JsonResponse:
    json.loads(request.body)
    key_id, digest = _token(request)
    with connection.cursor() as cursor:
        cursor.execute(_TOKEN, [key_id])
        (kept,) = cursor.fetchone()
    assert kept == digest
    return _answer("AWS", PASSWORD, "2026-01-01T12:00:00Z", "id", "aws-ecr", "pattern")


@csrf_exempt
def floor(request: HttpRequest) -> JsonResponse:
    asked = json.loads(request.body)
    key_id, digest = _token(request)
    hosts, prefixes = index_keys(ImageReference.parse(asked["image"]))
    project = asked["project"]
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        project = project.replace("-", "")
    with connection.cursor() as cursor:
        cursor.execute(_ALL, [project, *hosts, *prefixes, key_id])
        found: Any = cursor.fetchone()
        assert found[0] == digest
        username, password = json.loads(json.loads(_keys().decrypt(bytes(found[9])))[1])
        told = json.dumps({"pattern": found[6], "token": f"vrw_{key_id}"})
        cursor.execute(
            _EVENT,
            [
                *(f"worker {found[1]}", False, found[3], found[4], project, found[5]),
                *(str(found[7]), asked["image"], told, request.META["REMOTE_ADDR"] or None),
            ],
        )
    return _answer(username, password, str(found[10]), str(found[7]), found[8], found[6])


def _answer(
    username: str, password: str, expires_at: str, id_: str, type_: str, pattern: str
) -> JsonResponse:
    entry = {"id": id_, "type": type_, "image_pattern": pattern}
    times = {"expires_at": expires_at, "refresh_at": expires_at}
    login = {"kind": "docker", "server": "host", "username": username, "password": password}
    answer = JsonResponse(login | times | {"entry": entry})
    answer["Content-Length"] = str(len(answer.content))
    return answer
