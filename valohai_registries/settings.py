"""The one settings file; every value comes from the environment, `.env` or `NAME_FILE`.

CONTRACT «Settings» lists the names. Nothing here is secret or has a secret default.
"""

from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF

from orgs.seen import logs

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

# A name already in the environment wins over the file, so one-off overrides work.
environ.Env.read_env(str(BASE_DIR / ".env"))
env = environ.FileAwareEnv()


def text(name: str, default: str = "") -> str:
    """A setting without the newline that a secret file usually ends in."""
    return env.str(name, default=default).strip()


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated setting, blanks and empty items dropped."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


DEBUG = env.bool("DEBUG", default=False)
# Missing keys are found by the system checks, which say what to do; see orgs/checks.py.
SECRET_KEY = text("SECRET_KEY") or None
FERNET_KEYS = words("FERNET_KEYS")
# With HKDF on, any short string would pass for a key.
FERNET_USE_HKDF = False

BASE_URL = text("BASE_URL", f"http://127.0.0.1:{text('PORT', '8000')}").rstrip("/")
_base = urlsplit(BASE_URL)
_https = _base.scheme == "https"
ALLOWED_HOSTS = words("ALLOWED_HOSTS", f"localhost,127.0.0.1,[::1],{_base.hostname or ''}")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS", f"{_base.scheme}://{_base.netloc}")
TRUSTED_PROXIES = words("TRUSTED_PROXIES")
METRICS_TOKEN = text("METRICS_TOKEN")
# What stands in for a provider in tests (registries.types.Provider).
AWS_ENDPOINT_URL = text("AWS_ENDPOINT_URL")
GOOGLE_ENDPOINT_URL = text("GOOGLE_ENDPOINT_URL")
AZURE_ENDPOINT_URL = text("AZURE_ENDPOINT_URL")
# What clouds are to know this server by, where that isn't BASE_URL (a copy of what they fetch
# lies there), and signing keys that were dropped: a database that is put back revives none.
OIDC_ISSUER = text("OIDC_ISSUER")
OIDC_DROPPED_KEYS = words("OIDC_DROPPED_KEYS")
# Whether this server's own identity at AWS may take the roles that customers name: the one
# exception to never using what lies around it.
AWS_SERVER_IDENTITY = env.bool("AWS_SERVER_IDENTITY", default=False)
# Private networks with registries that verifying may reach; never those of ECR's hosts.
OUTBOUND_ALLOWED_NETWORKS = words("OUTBOUND_ALLOWED_NETWORKS")
# Authorities that count besides the system's, and where registries of one's own have their
# logins go.
OUTBOUND_CA_FILE = text("OUTBOUND_CA_FILE")
OUTBOUND_SIGN_IN_HOSTS = words("OUTBOUND_SIGN_IN_HOSTS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "csp",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    # last: what others show in the admin, it takes out again
    "orgs.apps.OrgsConfig",
]
MIDDLEWARE = [
    "orgs.web.middleware.seen.Seen",
    "orgs.web.middleware.seen.Probes",
    "orgs.api.middleware.JsonOnly",
    "orgs.api.fast_login.FastLogins",
    "orgs.web.middleware.in_turn.InTurn",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "orgs.web.middleware.visitors.Visitors",
    "orgs.web.middleware.pages_only.Sessions",
    "django.middleware.common.CommonMiddleware",
    "orgs.web.middleware.bodies.Bodies",
    "django.middleware.csrf.CsrfViewMiddleware",
    "orgs.web.middleware.pages_only.Authentication",
    "orgs.web.middleware.time_zone.TimeZone",
    "orgs.web.middleware.pages_only.Messages",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "orgs.web.middleware.pages_only.ContentPolicy",
    "orgs.web.middleware.addresses.Readable",
    "orgs.web.middleware.trouble.Trouble",
]
ROOT_URLCONF = "valohai_registries.urls"
WSGI_APPLICATION = "valohai_registries.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "orgs.web.context.people",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
SILENCED_SYSTEM_CHECKS: list[str] = []

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR}/db.sqlite3")}
_database = DATABASES["default"]
SQLITE_TIMEOUT = 20_000  # milliseconds that a page or a command waits for another's writing
if _database["ENGINE"] == "django.db.backends.sqlite3":
    VAR_DIR.mkdir(exist_ok=True)
    # IMMEDIATE: a transaction that will write waits for its turn at the start
    # instead of failing in the middle; WAL: readers never wait for the writer;
    # secure_delete: what is deleted is overwritten, whatever SQLite was built with.
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": SQLITE_TIMEOUT / 1000,
        "init_command": f"PRAGMA busy_timeout={SQLITE_TIMEOUT}; PRAGMA journal_mode=WAL; "
        "PRAGMA secure_delete=ON;",
    }
else:
    # Its connections are kept by the process and lent to its threads: reconnecting for every
    # request cost a factor of 7 in throughput (FACTS).
    _database["ENGINE"] = "orgs.postgresql"
    _database["CONN_MAX_AGE"] = 0
    # Who can't connect within these is told so, instead of keeping a worker waiting; a
    # network that was cut is noticed.
    _database.setdefault("OPTIONS", {})
    _database["OPTIONS"] = {"connect_timeout": 2, "tcp_user_timeout": 5000} | _database["OPTIONS"]
# Logins commit in steps around the call to AWS; a transaction per request would
# hold locks while AWS answers.
_database["ATOMIC_REQUESTS"] = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "orgs.User"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
PASSWORD_HASHERS = [
    "orgs.services.tenancy.passwords.Scrypt",
    "orgs.services.tenancy.passwords.PBKDF2",
]
_validation = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_validation}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_validation}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_validation}.CommonPasswordValidator"},
]

# django-allauth has the steps of signing in (docs/decisions/0024-sign-in.md). Its own limits
# are each process's and gone with a restart; ours are in the database (0013).
ACCOUNT_ADAPTER = "orgs.web.accounts.adapters.Account"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# Whose an address is, `User.email_verified` says, and links of ours find out.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 15 * 60  # seconds
ACCOUNT_REAUTHENTICATION_METHODS = {"password", "mfa"}
MFA_ADAPTER = "orgs.web.accounts.adapters.SecondSteps"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RATE_LIMITS = False
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be 30 s off
MFA_TOTP_ISSUER = "Valohai Registries"
MFA_RECOVERY_CODES_SHOW_ONCE = True
_steps = "orgs.web.accounts.second_steps"
_keys = "orgs.web.accounts.passkeys"
MFA_FORMS = {
    "authenticate": f"{_steps}.CodeForm",
    "reauthenticate": f"{_steps}.CodeAgainForm",
    "activate_totp": f"{_steps}.AppForm",
    "authenticate_webauthn": f"{_keys}.PasskeyForm",
    "reauthenticate_webauthn": f"{_keys}.PasskeyAgainForm",
    "login_webauthn": f"{_keys}.PasskeyAloneForm",
    "add_webauthn": f"{_keys}.NewPasskeyForm",
    "edit_webauthn": f"{_keys}.PasskeyNameForm",
}

# Sign-in with a company's own, by OpenID Connect, SAML or both; `orgs/company.py` reads and
# checks these (docs/decisions/0025-single-sign-on.md). Nothing set: there is none.
SSO_OIDC_ISSUER = text("SSO_OIDC_ISSUER")
SSO_OIDC_CLIENT_ID = text("SSO_OIDC_CLIENT_ID")
SSO_OIDC_CLIENT_SECRET = text("SSO_OIDC_CLIENT_SECRET")
SSO_OIDC_NAME = text("SSO_OIDC_NAME", "your company")
SSO_OIDC_SCOPES = words("SSO_OIDC_SCOPES", "openid,profile,email")
SSO_OIDC_GROUPS_CLAIM = text("SSO_OIDC_GROUPS_CLAIM", "groups")
SSO_SAML_METADATA = text("SSO_SAML_METADATA")
SSO_SAML_ENTITY_ID = text("SSO_SAML_ENTITY_ID")
SSO_SAML_URL = text("SSO_SAML_URL")
SSO_SAML_CERTIFICATE = text("SSO_SAML_CERTIFICATE")
SSO_SAML_NAME = text("SSO_SAML_NAME", "your company")
SSO_SAML_SUBJECT_ATTRIBUTE = text("SSO_SAML_SUBJECT_ATTRIBUTE")
SSO_SAML_EMAIL_ATTRIBUTE = text("SSO_SAML_EMAIL_ATTRIBUTE")
SSO_SAML_NAME_ATTRIBUTE = text("SSO_SAML_NAME_ATTRIBUTE")
SSO_SAML_GROUPS_ATTRIBUTE = text("SSO_SAML_GROUPS_ATTRIBUTE", "groups")
SSO_VERIFIED_DOMAINS = [domain.lower() for domain in words("SSO_VERIFIED_DOMAINS")]
SSO_ORGANIZATIONS = words("SSO_ORGANIZATIONS")
SOCIALACCOUNT_ADAPTER = "orgs.web.accounts.sso.Companies"
# Who somebody is, is asked once; nothing is done at the provider in their name.
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [("guide", BASE_DIR / "docs" / "guide" / "pictures")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds; Django's own is none at all
DEFAULT_FROM_EMAIL = text(
    "DEFAULT_FROM_EMAIL", f"Valohai Registries <registries@{_base.hostname or 'localhost'}>"
)
AUDIT_RETENTION_DAYS = env.int("AUDIT_RETENTION_DAYS", default=180)

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _https
SECURE_HSTS_SECONDS = 31536000 if _https else 0
# Whether the domains below ours have TLS, and whether browsers should know it beforehand, is
# for whoever has the domain to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# Forms of the largest legitimate size (a hundred patterns) are far below this.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
# One page has one file; orgs/web/middleware/bodies.py bounds the whole before any of it is read.
DATA_UPLOAD_MAX_NUMBER_FILES = 10
# Django's own would write larger files to a temporary one, secrets included.
FILE_UPLOAD_HANDLERS = ["orgs.web.middleware.uploads.InMemory"]

LOGGING = logs.CONFIG
# Error pages with DEBUG on show settings and local variables: name what to hide.
DEFAULT_EXCEPTION_REPORTER_FILTER = "orgs.sealed.SecretSafeReporterFilter"
