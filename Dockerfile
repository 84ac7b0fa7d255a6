# The container of the second target, Cloud Run: the same code and settings as on App Engine.
# tests/functional/test_container.py carries these lines out where no image can be built.

# Tag and digest say the same image: the digest is that of the tag's index over all platforms. Both are
# renewed together, by hand: `docker buildx imagetools inspect python:3.13.16-slim-trixie` prints it.
FROM python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c AS base
WORKDIR /app
# No bytecode at run time: it is compiled below, and the user may write nowhere. TASKS_TARGET: whoever runs
# this image has no App Engine before it that removes forged headers.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=mysite.settings.production \
    TASKS_TARGET=http

FROM base AS build
COPY requirements.txt ./
# pip is that of the base image and stays out of /venv; wheels only, so that nothing is compiled or run here.
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
COPY main.py manage.py ./
COPY mysite mysite
COPY apps apps
# BUILD_MODE: placeholders for secrets, so that none is needed here and none can stay in a layer.
RUN BUILD_MODE=1 python manage.py collectstatic --no-input --verbosity 0 \
 && python -m whitenoise.compress --quiet static_root \
 && python -m compileall -q --invalidation-mode unchecked-hash main.py manage.py mysite apps

FROM base
COPY --from=build /venv /venv
COPY --from=build /app /app
# Nobody's: root owns the files, and nothing here may be written. A number, so that "not root" can be seen.
USER 10001:10001
# As app.yaml's entrypoint, without a shell, so that gunicorn itself gets SIGTERM; it binds to 0.0.0.0:$PORT.
# The one difference: Cloud Run kills 10 seconds after SIGTERM, so requests under way get 8.
CMD ["gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", "32", "--timeout", "0", "--no-control-socket", "--graceful-timeout", "8", "main:app"]
