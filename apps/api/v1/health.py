"""Is the API there? Nothing is asked of any store: /readyz does that."""

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.operations import operation
from apps.api.views import View


class Health(View):
    authentication_classes = ()
    permission_classes = ()

    @operation("v1.health.get", {204: None})
    def get(self, _: Request) -> Response:
        return Response(status=204)
