"""What every path of the API is: its working methods, those that answer 501, and 405 for the rest."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.credentials import Credential
from apps.api import scopes
from apps.api.exceptions import NotImplementedYet


class View(APIView):
    """A path. A method named get, post, put, patch or delete is an operation; it only translates."""

    metadata_class = None  # no answer to OPTIONS but 405
    planned: Sequence[str] = ()  # methods that are operations of the SDKs and do not work yet
    for_tokens: Mapping[str, scopes.Scope] = {}  # methods that application tokens may use

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who asks, and whether they may: before every operation, so none can forget it."""
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        scopes.check(cast(Credential | None, request.user), self.for_tokens.get(method), self.kwargs)

    @property
    def credential(self) -> Credential:
        """Who asks. The permission check has made sure that it is somebody."""
        return cast(Credential, self.request.user)

    @property
    def organization_id(self) -> str:
        return self.credential.organization_id

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> NoReturn:
        if request.method in self.planned:
            raise NotImplementedYet("This operation is not implemented yet.")
        super().http_method_not_allowed(self.request, *args, **kwargs)
        raise AssertionError("unreachable: the line above raises")
