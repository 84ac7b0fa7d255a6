"""What Cloud Tasks, cron, load balancers and App Engine itself call. Included at the root."""

from django.urls import path

from apps.appengine import cron, health
from apps.appengine.tasks import route

urlpatterns = [
    path("_tasks/<str:queue>/<str:path>", route.run_task),
    path("_cron/<str:name>", cron.run_job),
    path("_ah/warmup", health.warmup),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    # Another name, since Cloud Run lets no path that ends in z through; health.ProbeMiddleware has two more.
    path("ready", health.readyz),
]
