"""The WSGI application of the fake AWS: moto, with our mending around it. See `fake_aws.py`."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.exceptions import AccessDeniedError, SignatureDoesNotMatchError
from moto.ecr.models import ecr_backends
from moto.ecr.responses import ECRResponse
from moto.iam.access_control import IAMPolicy, IAMRequest, PermissionResult
from moto.iam.models import IAMBackend, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.utilities import utils
from werkzeug.wrappers import Request, Response

from tests.support.aws_roles_app import Refusal, Roles

ACCOUNT = "123456789012"
POLICY_NAME = "valohai-ecr-policy"

ECR_TARGET = "AmazonEC2ContainerRegistry_V20150921."
PUBLIC_TARGET = "SpencerFrontendService."
TOKEN_TARGETS = (
    ECR_TARGET + "GetAuthorizationToken",
    PUBLIC_TARGET + "GetAuthorizationToken",
)
# What lists: its target → the key of the list in its answer.
LISTS = {
    ECR_TARGET + "DescribeRepositories": "repositories",
    ECR_TARGET + "DescribeImages": "imageDetails",
}
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
LISTED_UNASKED = 100  # a page, where no maxResults is given
TOKEN_SECONDS = 12 * 3600
INVALID_TOKEN = "The security token included in the request is invalid."
NO_POLICY = " on resource: * because no identity-based policy allows the {action} action"
SOMEONE = f"User: arn:aws:iam::{ACCOUNT}:user/someone is not authorized to perform: {{action}}"

# What ECR answers: kind → status, __type, message. At AWS, too, a disabled region looks like an
# unknown key, and a wrong clock differs from a wrong secret in the text alone.
CANNED: dict[str, tuple[int, str, str]] = {
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
    "error500": (500, "ServerException", "These errors are usually caused by a server-side issue."),
    "unavailable": (503, "ServiceUnavailableException", "Service is unable to handle request."),
    "skew": (
        400,
        "InvalidSignatureException",
        "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z "
        "(20260101T001500Z - 5 min.)",
    ),
    "skew_ahead": (
        400,
        "InvalidSignatureException",
        "Signature not yet current: 20260101T003000Z is still later than 20260101T002000Z "
        "(20260101T001500Z + 5 min.)",
    ),
    "wrong_secret": (
        400,
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for details.",
    ),
    "unknown_key": (400, "UnrecognizedClientException", INVALID_TOKEN),
    "region_disabled": (400, "UnrecognizedClientException", INVALID_TOKEN),
    "expired_token": (
        400,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    ),
    "unsigned": (400, "MissingAuthenticationTokenException", "Missing Authentication Token"),
    "denied_by_organization": (
        400,
        "AccessDeniedException",
        SOMEONE.format(action="ecr:GetAuthorizationToken")
        + " on resource: * with an explicit deny in a service control policy",
    ),
    "denied": (
        400,
        "AccessDeniedException",
        (SOMEONE + NO_POLICY).format(action="ecr:GetAuthorizationToken"),
    ),
}
# Beside those answers: none for `seconds`, then a closed connection; a late one; a closed
# connection at once.
FAULT_KINDS = frozenset(CANNED) | {"hang", "slow", "drop"}


def _resource(response: ECRResponse) -> str:
    """What a request to ECR is authorized on: moto would say `*` of all.

    Listing repositories without names is on `repository/*` (service authorization reference
    of ECR; the guide's narrowed policy doesn't allow it).
    """
    if response._get_action() == "GetAuthorizationToken":
        return "*"
    account = response._get_param("registryId") or response.current_account
    name = response._get_param("repositoryName") or "*"
    return f"arn:{response.partition}:ecr:{response.region}:{account}:repository/{name}"


ECRResponse._determine_resource = _resource  # type: ignore[attr-defined]


# Partitions that botocore lists and moto doesn't.
for _prefix, _partition in (("eu-isoe-", "aws-iso-e"), ("us-isof-", "aws-iso-f")):
    utils.REGION_PREFIX_TO_PARTITION[_prefix] = _partition
    utils.PARTITION_NAMES.append(_partition)


@dataclasses.dataclass(frozen=True)
class Call:
    """One GetAuthorizationToken request as it arrived (retries of one caller are several calls)."""

    access_key_id: str
    region: str
    at: float  # seconds since the epoch


@dataclasses.dataclass
class Fault:
    kind: str
    seconds: float
    access_key_id: str | None  # None: everyone
    times: int | None  # how many more requests it hits; None: until cleared


class AwsApp:
    """The WSGI application. Its public methods are what `fake_aws.AwsControl` asks for."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._moto_lock = threading.Lock()  # moto's state is plain dictionaries, its answers quick
        self._faults: list[Fault] = []
        self._calls: list[Call] = []
        self._tokens: list[str] = []
        self._raw = False
        self._users: dict[str, IAMBackend] = {}  # user name → the account's tables it is in
        self._released = threading.Event()  # set: whoever waits in «hang» or «slow» goes on
        self.on_token: Callable[[str], object] | None = None
        self.roles = Roles(self._owner)
        self._opens: dict[str, Callable[[str, str], bool]] = {}  # password → what it may do

    # Administration writes moto's tables, not through its API: enforcement may stay on.

    def create_user(
        self, name: str, policy: dict[str, Any] | None, account: str, partition: str
    ) -> list[str]:
        with self._moto_lock:
            self._users[name] = iam_backends[account][partition]
            self._users[name].create_user(region_name="us-east-1", user_name=name)
        if policy is not None:
            self.put_policy(name, policy)
        return self.create_key(name)

    def put_policy(self, name: str, policy: dict[str, Any]) -> None:
        with self._moto_lock:
            self._users[name].put_user_policy(name, POLICY_NAME, json.dumps(policy))

    def remove_policy(self, name: str) -> None:
        with self._moto_lock:
            self._users[name].delete_user_policy(name, POLICY_NAME)

    def create_key(self, name: str) -> list[str]:
        with self._moto_lock:
            key = self._users[name].create_access_key(name)
        return [key.access_key_id, key.secret_access_key]

    def remove_key(self, access_key_id: str) -> None:
        with self._moto_lock:
            owner = next(
                tables for tables in self._users.values() if access_key_id in tables.access_keys
            )
            owner.delete_access_key_by_name(access_key_id)

    def push(
        self,
        repository: str,
        tags: list[str],
        pushed_at: float,
        size: int,
        account: str,
        region: str,
    ) -> None:
        backend = ecr_backends[account][region]
        with self._moto_lock:
            if repository not in backend.repositories:
                backend.create_repository(repository, account, None, None, "MUTABLE", [])
            # Each its own manifest, or moto would take it for the same image.
            name = f"{repository}{pushed_at}{tags}{len(backend.repositories[repository].images)}"
            manifest = {
                "layers": [{"digest": name}],
                "config": {"size": size},
            }
            for tag in tags or [None]:
                image = backend.put_image(repository, json.dumps(manifest), tag, MANIFEST_TYPE)
            image.image_pushed_at = int(pushed_at)

    def add_fault(self, **arguments: Any) -> None:
        self._faults.append(Fault(**arguments))

    def clear_faults(self) -> None:
        self._faults = []
        released, self._released = self._released, threading.Event()
        released.set()

    def get_calls(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(call) for call in self._calls]

    def reset_calls(self) -> None:
        self._calls = []

    def get_tokens(self) -> list[str]:
        return list(self._tokens)

    def get_raw(self) -> bool:
        return self._raw

    def set_raw(self, value: bool) -> None:
        self._raw = value

    # Requests

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith("/_"):
            response = self._control(request)
        elif request.headers.get("X-Amz-Target", "").startswith((ECR_TARGET, PUBLIC_TARGET)):
            response = self._ecr(request)
        elif b"Action=AssumeRole" in (body := _kept(request)) or b"Action=GetCaller" in body:
            with self._moto_lock:
                status, xml = self.roles.answer(body, _headers(request))
            response = Response(xml, status=status, content_type="text/xml")
        else:
            response = self._ask_moto(request)
        return response(environ, start_response)

    def _control(self, request: Request) -> Response:
        """GET /_calls, /_tokens, /_raw; POST /_<method of this class>, its arguments as JSON."""
        verb = request.path.removeprefix("/_")
        method = f"get_{verb}" if request.method == "GET" else verb
        if method.startswith("_") or method not in vars(type(self)):
            return _json({"error": f"no such control: {method}"}, 404)
        try:
            return _json(
                getattr(self, method)(**(request.get_json() if request.method == "POST" else {}))
            )
        except Exception as error:  # whoever asked should see it, not this server's log
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    def _ecr(self, request: Request) -> Response:
        target = request.headers["X-Amz-Target"]
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        if scope is None:
            return _refusal("unsigned")
        access_key_id, region = scope.groups()
        released = (
            self._released
        )  # read before the faults are: clear_faults() in between must not be missed
        fault = self._next_fault(access_key_id)
        if target in TOKEN_TARGETS:
            self._calls.append(Call(access_key_id, region, at=time.time()))
        if fault and fault.kind in ("hang", "slow"):
            released.wait(fault.seconds)
        if fault and fault.kind in ("hang", "drop"):
            raise ConnectionAbortedError  # werkzeug answers nothing: see connection_dropped
        if fault and fault.kind in CANNED:
            return _refusal(fault.kind)
        body = _kept(request)
        if access_key_id in self.roles.sessions:
            return self._by_session(request, body)
        if target.startswith(PUBLIC_TARGET):
            return self._public(request, body, access_key_id)
        answer = self._ask_moto(request)
        if answer.status_code == 403 and not self._raw:
            return _as_aws_says_it(answer.get_data(as_text=True))
        if answer.status_code == 200 and target in TOKEN_TARGETS:
            return self._with_real_tokens(json.loads(answer.get_data()))
        if answer.status_code == 200 and target in LISTS:
            return _page(json.loads(body), answer, LISTS[target])
        return answer

    def _public(self, request: Request, body: bytes, access_key_id: str) -> Response:
        """ECR Public, which moto hasn't: by its judgement of signatures and policies. One
        region, one operation, and a right of STS besides."""
        tables = next((t for t in self._users.values() if access_key_id in t.access_keys), None)
        if tables is None:
            return _refusal("unknown_key")
        target = request.headers["X-Amz-Target"]
        operation = target.removeprefix(PUBLIC_TARGET)
        for service, action in (("ecr-public", operation), ("sts", "GetServiceBearerToken")):
            with self._moto_lock:
                asked = IAMRequest(
                    account_id=tables.account_id,
                    method=request.method,
                    path=request.path,
                    data={},
                    body=body,
                    headers=dict(request.headers),
                    action=action,
                )
                try:
                    asked.check_signature()
                    if (asked._service, asked._region) != ("ecr-public", "us-east-1"):
                        return _refusal("wrong_secret")
                    asked._action = f"{service}:{action}"
                    asked.check_action_permitted("*")
                except SignatureDoesNotMatchError:
                    return _refusal("wrong_secret")
                except AccessDeniedError:
                    named = asked._access_key.arn
                    text = f"User: {named} is not authorized to perform: {service}:{action}"
                    text += NO_POLICY.format(action=f"{service}:{action}")
                    return _json({"__type": "AccessDeniedException", "message": text}, 400)
        if operation != "GetAuthorizationToken":
            return _json({"__type": "UnknownOperationException"}, 400)
        answer = self._with_real_tokens({"authorizationData": [{}]})
        (given,) = json.loads(answer.get_data())["authorizationData"]
        return _json({"authorizationData": given})

    def _by_session(self, request: Request, body: bytes) -> Response:
        """ECR, asked by a role's session: its own policies judge, and an administrator of the
        role's account asks moto."""
        operation = request.headers["X-Amz-Target"].removeprefix(ECR_TARGET)
        content = json.loads(body)
        try:
            arn, may, session = self.roles.caller(body, _headers(request), "ecr")
        except Refusal as refusal:
            kinds = {"InvalidClientTokenId": "unknown_key", "ExpiredToken": "expired_token"}
            return _refusal(kinds.get(refusal.code, "wrong_secret"))
        assert session is not None
        _, partition, _, _, account, _ = session.role.arn.split(":")
        region = _SCOPE.search(request.headers["Authorization"])[2]  # type: ignore[index]
        resource = "*"
        if operation != "GetAuthorizationToken":
            owner = content.get("registryId", account)
            name = content.get("repositoryName", "*")
            resource = f"arn:{partition}:ecr:{region}:{owner}:repository/{name}"
        if not may(f"ecr:{operation}", resource):
            text = f"User: {arn} is not authorized to perform: ecr:{operation}"
            text += NO_POLICY.format(action=f"ecr:{operation}")
            return _json({"__type": "AccessDeniedException", "message": text}, 400)
        if operation == "GetAuthorizationToken":
            return self._with_real_tokens({"authorizationData": [{}]}, may)
        target = request.headers["X-Amz-Target"]
        return _page(content, self._as_administrator(request, body, account, region), LISTS[target])

    def _as_administrator(
        self, request: Request, body: bytes, account: str, region: str
    ) -> Response:
        name = f"administrator-{account}"
        if name not in self._users:
            everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
            policy = {"Version": "2012-10-17", "Statement": [everything]}
            self.create_user(name, policy, account, "aws")
        key = self._users[name].list_access_keys(name)[0]
        signed = AWSRequest(
            "POST",
            request.url,
            data=body,
            headers={
                "Content-Type": request.headers["Content-Type"],
                "X-Amz-Target": request.headers["X-Amz-Target"],
            },
        )
        credentials = Credentials(key.access_key_id, key.secret_access_key)
        SigV4Auth(credentials, "ecr", region).add_auth(signed)
        request.environ.pop("HTTP_X_AMZ_SECURITY_TOKEN", None)
        for header, value in signed.headers.items():
            request.environ[f"HTTP_{header.upper().replace('-', '_')}"] = value
        return self._ask_moto(request)

    def _owner(self, key_id: str) -> tuple[str, str, Callable[[str, str], bool]] | None:
        """Whose an IAM user's key is; see `Roles`."""
        tables = next((t for t in self._users.values() if key_id in t.access_keys), None)
        if tables is None:
            return None
        key = tables.access_keys[key_id]
        user = key.user_name

        def may(action: str, resource: str) -> bool:
            names = tables.list_user_policies(user)
            own = [IAMPolicy(tables.get_user_policy(user, name)) for name in names]
            judged = {policy.is_action_permitted(action, resource) for policy in own}
            return PermissionResult.PERMITTED in judged and PermissionResult.DENIED not in judged

        partition = tables.partition
        return key.secret_access_key, f"arn:{partition}:iam::{tables.account_id}:user/{user}", may

    def may_pull(self, password: str, repository: str) -> bool:
        """Whether a password that was given opens a repository, as the registry would judge."""
        may = self._opens.get(password)
        return may is None or may("ecr:BatchGetImage", repository)

    def _next_fault(self, access_key_id: str) -> Fault | None:
        for fault in self._faults:
            if fault.access_key_id in (None, access_key_id) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def _ask_moto(self, request: Request) -> Response:
        with self._moto_lock:
            return Response.from_app(self._moto, request.environ, buffered=True)

    def _with_real_tokens(
        self, answer: dict[str, Any], may: Callable[[str, str], bool] | None = None
    ) -> Response:
        for item in answer["authorizationData"]:
            expires = time.time() + TOKEN_SECONDS
            password = _password(int(expires))
            self._tokens.append(password)
            if may is not None:
                self._opens[password] = may
            if self.on_token is not None:
                self.on_token(password)
            item["authorizationToken"] = base64.b64encode(f"AWS:{password}".encode()).decode()
            item["expiresAt"] = round(expires, 3)
        return _json(answer)


_SCOPE = re.compile(r"Credential=([^/,]+)/\d{8}/([^/,]+)/")


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _kept(request: Request) -> bytes:
    """A request can be read once: moto gets a copy."""
    body = request.get_data()
    request.environ["wsgi.input"] = io.BytesIO(body)
    return body


def _password(expires: int) -> str:
    """A password made like ECR's: base64 of JSON around an opaque payload, some 2.5 KB."""
    payload, key = (base64.b64encode(secrets.token_bytes(size)).decode() for size in (1180, 184))
    envelope = {
        "payload": payload,
        "datakey": key,
        "version": "2",
        "type": "DATA_KEY",
        "expiration": expires,
    }
    return base64.b64encode(json.dumps(envelope).encode()).decode()


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status=status, content_type="application/x-amz-json-1.1")


def _page(asked: dict[str, Any], answer: Response, key: str) -> Response:
    """Filtered and cut into pages, which moto leaves out."""
    found = json.loads(answer.get_data())[key]
    wanted = asked.get("filter", {}).get("tagStatus", "ANY")
    if wanted != "ANY":
        found = [each for each in found if bool(each.get("imageTags")) == (wanted == "TAGGED")]
    start = int(asked.get("nextToken", 0))
    end = start + asked.get("maxResults", LISTED_UNASKED)
    more = {"nextToken": str(end)} if end < len(found) else {}
    return _json({key: found[start:end], **more})


def _refusal(kind: str) -> Response:
    status, error_type, message = CANNED[kind]
    return _json({"__type": error_type, "message": message}, status)


def _as_aws_says_it(xml: str) -> Response:
    """moto's verdict in ECR's words: its denial ends after the action, ECR adds where and why."""
    denied = re.search(
        r"<Message>(User: \S+ is not authorized to perform: ([\w:]+))</Message>", xml
    )
    if denied is None:
        return _refusal(
            "unknown_key" if "<Code>InvalidClientTokenId</Code>" in xml else "wrong_secret"
        )
    message = denied[1] + NO_POLICY.format(action=denied[2])
    return _json({"__type": "AccessDeniedException", "message": message}, 400)
