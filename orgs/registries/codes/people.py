"""Organizations, people and their tokens; signing in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .row import Code, field, signing_in

CODES: Mapping[str, Code] = MappingProxyType(
    {
        # --- organizations, people and their tokens ----------------------------------------
        "already_a_member": field("This person is a member already.", short="a member already"),
        "already_invited": field("This address is invited already.", short="invited already"),
        "invited_another": field(
            "The invitation is for another address.", short="for another address"
        ),
        "invitation_over": field("The invitation is over.", short="over"),
        "link_over": field("The link was used a moment ago.", short="used a moment ago"),
        "has_account": field("The address has an account.", short="has an account"),
        "unverified_email": field(
            "Nobody showed that the address is theirs.", short="not shown to be theirs"
        ),
        "not_an_admin": field("You're no org admin any more.", short="not an org admin's any more"),
        "no_mail": field("The server sends no mail.", short="no mail is sent"),
        "no_personal_projects": field(
            "An organization of theirs wants no personal projects.",
            short="no personal projects there",
        ),
        "mfa_needed": Code(
            "Org admins need two-step sign-in there.",
            403,
            field=True,
            short="needs two-step sign-in",
            fix="Whoever the token is of sets up two-step sign-in under *Your account*.",
        ),
        "superusers_only": field("Only superusers may do this.", short="for superusers only"),
        "only_way_in": field("There is no other way in.", short="the only way in"),
        "not_a_member": field("This person is no member.", short="not a member"),
        "last_admin": field("An organization keeps at least one admin.", short="the last admin"),
        "unknown_person": field(
            "There is nobody with this e-mail.", short="nobody with this e-mail"
        ),
        "duplicate_slug": field("The short name is taken.", short="taken"),
        "invalid_slug": field("This can't be a short name.", short="not a short name"),
        "environment_in_use": field(
            "Entries or tokens still use the environment.", short="still in use"
        ),
        "one_owner": field("A project has one owner.", short="two owners"),
        "invalid_name": field("This can't be a name.", short="not a name"),
        "invalid_expiry": field("A token can't expire then.", short="can't end then"),
        "two_reaches": field("A token has one reach.", short="more than one reach"),
        # --- what this server is to clouds -------------------------------------------------
        "invalid_issuer": field("Clouds take no such name for an issuer.", short="not a name"),
        "key_coming": field("Another key is to sign next.", short="one is to sign next already"),
        # --- signing in ---------------------------------------------------------------------
        "wrong_password": signing_in(
            "No account has this e-mail and password.", 200, short="not the right one"
        ),
        "account_paused": signing_in(
            "Too many wrong passwords for this account.", 429, short="too many wrong ones"
        ),
        "wrong_code": signing_in(
            "The code isn't right, or was used.", 200, short="not right, or used"
        ),
        "codes_paused": signing_in(
            "Too many wrong codes for this account.", 429, short="too many wrong ones"
        ),
        "wrong_passkey": signing_in(
            "The passkey isn't one of this account.", 200, short="not one of this account"
        ),
        "second_step_unreadable": signing_in(
            "The server's keys don't open the second step.", 200, short="can't be read"
        ),
        "address_paused": signing_in(
            "Too many wrong passwords from this address.", 429, short="too many wrong ones"
        ),
        "company_cancelled": signing_in("The sign-in at the company was broken off.", 200),
        "company_away": signing_in("The company's sign-in doesn't answer.", 503),
        "company_wrong_answer": signing_in("What came from the company can't be believed.", 403),
        "company_no_email": signing_in("The company names no e-mail that can be used.", 403),
        "company_unverified": signing_in("The company doesn't say that it's verified.", 403),
        "company_account_unverified": signing_in("Nobody showed that the address is theirs.", 403),
        "company_other_account": signing_in("The account is connected to another one.", 403),
        "company_not_invited": signing_in("Nobody here has invited this address.", 403),
    }
)
