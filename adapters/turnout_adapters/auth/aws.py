"""AWS: Signature Version 4 with botocore's credentials (extra `bedrock`). Bearer keys need none of this."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from turnout_adapters.adapter import Fetch, HTTPRequest
from turnout_adapters.errors import AuthenticationError, ConfigError
from turnout_adapters.forks import Guard

NEEDED = "signing requests to AWS needs botocore: pip install 'turnout[bedrock]'; or give a Bedrock API key as api_key"


class AWSAuth:
    """Signs requests. Keys come from the parameters, or from where botocore finds them (environment, profile, role)."""

    def __init__(self, service: str, region: str, params: Mapping[str, Any], provider: str) -> None:
        self._service = service
        self._region = region
        self._provider = provider
        self._static = tuple(
            params.get(name) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        )
        self._profile = params.get("aws_profile_name")
        self._lock = Guard()
        self._source: Any = None
        self._frozen: Any = None

    def ready(self, now: float) -> bool:  # noqa: ARG002 (botocore has its own clock)
        """True if there are keys, and they are not about to expire."""
        return self._frozen is not None and not self._is_stale()

    def refresh(self, fetch: Fetch, now: float) -> None:  # noqa: ARG002 (botocore opens its own connections)
        """Finds or renews the keys."""
        with self._lock():
            if self.ready(now):
                return
            try:
                if self._source is None:
                    self._source = self._find()
                self._frozen = self._source.get_frozen_credentials()
            except ImportError:
                raise ConfigError(NEEDED) from None
            except AuthenticationError:
                raise
            except Exception as error:
                name = type(error).__name__
                raise AuthenticationError(
                    f"AWS credentials: botocore raised {name}", provider=self._provider
                ) from error

    def forget(self) -> None:
        """The keys were refused: the next call looks for fresh ones."""
        self._frozen = None
        if not self._static[0]:
            self._source = None

    def apply(self, request: HTTPRequest) -> HTTPRequest:
        """The request, signed over its final bytes."""
        sign, make = import_module("botocore.auth").SigV4Auth, import_module("botocore.awsrequest").AWSRequest
        headers = {name: value for name, value in request.headers if name != "authorization"}
        headers["host"] = urlsplit(request.url).netloc
        wanted: Any = make(method=request.method, url=request.url, data=request.body, headers=headers)
        signer: Any = sign(self._frozen, self._service, self._region)
        signer.add_auth(wanted)
        signed = [(name.lower(), value) for name, value in wanted.headers.items()]
        return replace(request, headers=[pair for pair in signed if pair[0] != "host"])

    def secrets(self) -> tuple[str, ...]:
        """The keys as given and as found."""
        frozen = self._frozen
        found = (getattr(frozen, name, None) for name in ("access_key", "secret_key", "token"))
        return tuple(one for one in (*self._static, *found) if one)

    def _is_stale(self) -> bool:
        stale = getattr(self._source, "refresh_needed", None)
        return bool(stale()) if callable(stale) else False

    def _find(self) -> Any:
        key, secret, token = self._static
        if key and secret:
            return import_module("botocore.credentials").Credentials(key, secret, token)
        session: Any = import_module("botocore.session").Session(profile=self._profile)
        found: Any = session.get_credentials()
        if found is None:
            fix = "set aws_access_key_id and aws_secret_access_key, a profile, or a Bedrock API key as api_key"
            raise AuthenticationError(f"no AWS credentials were found; {fix}", provider=self._provider)
        return found


def profile_region(profile: str | None) -> str | None:
    """The region of a profile in AWS's configuration file; None without a profile, or without botocore."""
    if profile is None:
        return None
    try:
        session: Any = import_module("botocore.session").Session(profile=profile)
        return session.get_config_variable("region")
    except ImportError:
        return None
    except import_module("botocore.exceptions").BotoCoreError as error:
        raise ConfigError(f"aws_profile_name: {profile!r} cannot be read ({type(error).__name__})") from None
