"""What workers and scripts are answered, and what a worker's programs find out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .row import ISSUED, LOGIN, TOKEN, Code, Kind, Worker, login, on_worker, passing, reported

CODES: Mapping[str, Code] = MappingProxyType(
    {
        # --- no login: CONTRACT's table of statuses, by status -------------------------
        "invalid_request": Code(
            "The request isn't what the API takes.",
            400,
            worker=Worker.FAILS,
            fix="Compare it with `/api/v0/openapi.json`.",
        ),
        "invalid_image": Code(
            "This isn't an image reference.",
            400,
            worker=Worker.FAILS,
            field=True,
            short="not an image reference",
            fix="Write it as in `docker pull`.",
        ),
        # Its event: where the token is deleted while its worker waits. Else nobody is known.
        "not_authenticated": login(
            401,
            "There is no valid token in the request.",
            fix="Send a worker token; for managing entries, a person's API token.",
        ),
        "token_expired": Code(
            "The token has ended.",
            401,
            event=TOKEN,
            worker=Worker.DELETES,
            fix="Issue another, and set up with it what sends it.",
        ),
        "token_revoked": Code(
            "The token has ended.",
            401,
            event=TOKEN,
            worker=Worker.DELETES,
            fix="Issue another, and set up with it what sends it.",
        ),
        "personal_project": login(
            403,
            "The project is personal, and personal projects can't use private registries.",
            fix="Move it to an organization, or use a public image.",
        ),
        "environment_not_allowed": login(
            403,
            "The token is bound to another environment, or may not name one.",
            fix="Use that environment's token.",
        ),
        "project_not_found": login(
            404,
            "There is no such project, or it's another organization's, archived, or made up.",
            fix="Check the id under *Projects*.",
        ),
        "environment_not_found": Code(
            "The organization has no such environment.",
            404,
            Kind.NEITHER,
            LOGIN,
            Worker.DELETES,
            field=True,
            short="no such environment",
            certain=True,
            fix="Check its short name under *Environments*.",
            fix_at_field="Give slugs of the organization's environments.",
        ),
        "no_match": login(
            404,
            "No enabled entry of the organization serves the image.",
            worker=Worker.ANONYMOUS,
            fix="If it's private, add an entry; public images need none.",
        ),
        "entry_unusable": login(
            409,
            "The stored secret can't be opened with this server's keys, or the entry is "
            "incomplete.",
            fix="Enter the secret again, or put the former key back last in `FERNET_KEYS`.",
        ),
        "ambiguous_server": login(
            409,
            "Asked with a host only, and several entries stand on it.",
            fix="Ask with the image; on workers, set `VALOHAI_IMAGE`.",
        ),
        # The login was given, and its event is that of one.
        "instance_role_format": Code(
            "The login is an instance role's, which only a worker can complete.",
            409,
            event=ISSUED,
            worker=Worker.DELETES,
            fix="Use the worker's helper.",
        ),
        "too_large": Code(
            "The request is larger than any of its kind.",
            413,
            worker=Worker.FAILS,
            short="too large",
            fix="Send less.",
        ),
        "access_denied": login(
            422,
            "The cloud accepts the key, but its user may not have a login.",
            Kind.REFUSED,
            short="the key may have no login",
            fix="Attach the policy, wait a few seconds, and verify again.",
        ),
        "invalid_key": login(
            422,
            "The cloud doesn't know the key, or it's inactive; or the region isn't enabled there.",
            Kind.REFUSED,
            short="the key isn't known, or is inactive",
            fix="Check it where it was made, then enter it again.",
        ),
        "signature_mismatch": login(
            422,
            "The cloud knows whose key it is, but this secret isn't its own, or isn't any more.",
            Kind.REFUSED,
            short="the secret isn't the key's own",
            fix="Replace the secret; if it's lost, create a new key.",
        ),
        "identity_refused": login(
            422,
            "The cloud doesn't accept what this server says of itself for the entry.",
            Kind.REFUSED,
            short="the cloud doesn't trust this entry yet",
            fix="Set the other side up as the entry's page shows it, and verify again.",
        ),
        "external_id_not_enforced": login(
            422,
            "The role can be taken without the entry's own External ID, so anyone's entry could.",
            Kind.REFUSED,
            short="the role doesn't ask for the External ID",
            fix="Put the entry's External ID into the role's trust policy, and verify again.",
        ),
        "rate_limited": Code(
            "The token asks too often.",
            429,
            worker=Worker.OLDER_COPY,
            fix="Ask less often: keep a login until its `refresh_at`.",
        ),
        "server_error": Code(
            "The server met an error of its own, and has logged it.",
            500,
            worker=Worker.OLDER_COPY,
            fix="Try again; if it stays, look into the log.",
        ),
        "registry_unreachable": passing(
            "The registry didn't answer in time.",
            fix="Wait; if it lasts, check this server's way to it.",
        ),
        "issuer_unreachable": passing(
            "Clouds can't check at this moment who this server is.",
            fix="Wait; if it lasts, see that this server's identity is set up and can be reached.",
        ),
        "throttled": passing(
            "The cloud answers too many requests of this account already.",
            fix="Wait: it is asked again by itself.",
        ),
        "clock_skew": passing(
            "This server's clock differs from the cloud's by minutes, so it refuses its requests.",
            fix="Set the server's clock (NTP).",
        ),
        # These two have no event: one says «ask again», the other that none can be written.
        "busy": Code(
            "Many workers ask for this login at once, and it is being obtained.",
            503,
            worker=Worker.OLDER_COPY,
            fix="Ask again after `Retry-After`; the worker's helper does by itself.",
        ),
        "audit_unavailable": Code(
            "The event couldn't be written, so no login was given.",
            503,
            worker=Worker.OLDER_COPY,
            fix="Check the database, its disk above all.",
        ),
        # --- the API's other answers ------------------------------------------------------
        "admins_only": Code(
            "Only org admins may do this.",
            403,
            fix="Ask an org admin, or use an org admin's token.",
        ),
        "not_found": Code(
            "There is nothing at this address, or the token doesn't reach it.",
            404,
            worker=Worker.DELETES,
            fix="Compare the address with `/api/v0/openapi.json`, and its id with what the "
            "token reaches.",
        ),
        "entry_not_found": Code(
            "No such entry serves the token's workers.",
            404,
            fix="Report for the entry that the login named.",
        ),
        "method_not_allowed": Code(
            "The address doesn't answer to this method.",
            405,
            worker=Worker.FAILS,
            fix="Use the method that `/api/v0/openapi.json` names.",
        ),
        # --- on a worker ------------------------------------------------------------------
        "role_not_attached": reported("This instance doesn't have the role."),
        "role_access_denied": reported("The role may not obtain a login."),
        "not_on_ec2": reported(
            "This machine can't reach EC2 instance metadata.", Worker.OLDER_COPY
        ),
        "metadata_hop_limit": reported(
            "The metadata's answer doesn't get into the container.", Worker.OLDER_COPY
        ),
        "unsupported_source": on_worker("The process's AWS identity isn't an instance role."),
        "botocore_missing": on_worker("Completing an instance role needs botocore."),
        "server_unreachable": on_worker("The server can't be reached.", Worker.OLDER_COPY),
        "server_untrusted": on_worker("The server's certificate isn't trusted.", Worker.OLDER_COPY),
        "answer_refused": on_worker("The server's answer can't be one of its own."),
        "not_configured": on_worker("What the program needs to know isn't set, or isn't whole."),
        "not_implemented": on_worker("Logins are obtained, never stored."),
        "one_login_a_host": on_worker("Docker keeps one login a host, and several are wanted."),
        "internal_error": on_worker("The program met an error of its own."),
    }
)
