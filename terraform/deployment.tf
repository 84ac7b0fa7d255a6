# The one bridge to the deploy program: by hand `terraform output -json deployment`, in Cloud Build the trigger's
# substitution _DEPLOYMENT. `environment` is laid over app.yaml's env_variables.
locals {
  deployment = {
    project                  = var.project
    region                   = var.region
    service_account          = google_service_account.web.email
    tasks_service_account    = google_service_account.tasks.email
    deploy_service_account   = google_service_account.deploy.email
    vpc_connector            = local.in_network ? google_vpc_access_connector.main[0].id : ""
    instance_connection_name = google_sql_database_instance.main.connection_name
    repository               = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.app.repository_id}"
    environment              = local.environment
  }

  # Not DB_USER: app.yaml names it beside the version of its password, since both change in one commit when that
  # is rotated (docs/operations.md), and what stands here would win.
  environment = merge(
    {
      CLOUD_TASKS_LOCATION = var.region
      DB_NAME              = google_sql_database.app.name
      DB_MAX_CONNECTIONS   = tostring(var.sql_max_connections)
      MEDIA_BUCKET         = google_storage_bucket.media.name
    },
    local.app_engine ? { APPSPOT_DOMAIN = google_app_engine_application.app[0].default_hostname } : {},
    var.domain != "" ? { ALLOWED_HOSTS = var.domain } : {},
    # The socket wins over DB_HOST, so it is emptied where the private address is to be used.
    var.sql_private_address ? {
      INSTANCE_CONNECTION_NAME = ""
      DB_HOST                  = google_sql_database_instance.main.private_ip_address
    } : { INSTANCE_CONNECTION_NAME = google_sql_database_instance.main.connection_name },
    var.static_bucket ? { STATIC_BUCKET = google_storage_bucket.static[0].name } : {},
    var.cache ? {
      REDIS_HOST = google_redis_instance.cache[0].host
      REDIS_PORT = tostring(google_redis_instance.cache[0].port)
    } : {},
    # webhooks: begin
    local.webhook_environment,
    # webhooks: end
  )
}
