# What a deployment may do. It reads no data but the log, and the secrets that migrations start with.
resource "google_project_iam_member" "deploy" {
  for_each = toset([
    "roles/cloudscheduler.admin",              # cron.yaml: App Engine's cron, or Cloud Scheduler's jobs
    "roles/cloudsql.client",                   # migrations go through the proxy
    "roles/cloudtasks.enqueuer",               # the smoke step creates one task ...
    "roles/cloudtasks.queueAdmin",             # queue.yaml
    "roles/cloudtasks.viewer",                 # ... and waits until it is gone
    "roles/datastore.indexAdmin",              # index.yaml
    "roles/logging.logWriter",                 # the build's own log
    "roles/logging.viewer",                    # looks for errors of the new version while its traffic grows
    "roles/serviceusage.serviceUsageConsumer", # gcloud asks which APIs are on, and uses them in the project's name
  ])

  project = data.google_project.this.project_id
  role    = each.key
  member  = google_service_account.deploy.member
}

resource "google_project_iam_member" "deploy_builds" {
  #checkov:skip=CKV_GCP_49:a build can run as an account that the caller may act as: web and tasks (below), no other
  project = data.google_project.this.project_id
  role    = "roles/cloudbuild.builds.editor" # gcloud app deploy and gcloud builds submit start builds
  member  = google_service_account.deploy.member
}

resource "google_project_iam_member" "deploy_app_engine" {
  for_each = local.app_engine ? toset([
    "roles/appengine.deployer",     # makes and deletes versions, traffic untouched
    "roles/appengine.serviceAdmin", # moves traffic to one, and back
  ]) : toset([])

  project = data.google_project.this.project_id
  role    = each.key
  member  = google_service_account.deploy.member
}

resource "google_storage_bucket_iam_member" "deploy_upload" {
  for_each = local.app_engine ? toset([
    "roles/storage.objectAdmin",        # gcloud app deploy uploads the files, and compares with what is there
    "roles/storage.legacyBucketReader", # it asks for the bucket first
  ]) : toset([])

  bucket = google_app_engine_application.app[0].code_bucket
  role   = each.key
  member = google_service_account.deploy.member
}

resource "google_project_iam_member" "deploy_cloud_run" {
  count = local.app_engine ? 0 : 1

  project = data.google_project.this.project_id
  role    = "roles/run.developer" # deploys the service and the job, runs the job, splits traffic
  member  = google_service_account.deploy.member
}

# What is in predefined roles only beside much else.
resource "google_project_iam_custom_role" "deploy_cloud_run" {
  count = local.app_engine ? 0 : 1

  project = data.google_project.this.project_id
  role_id = "deployCloudRun"
  title   = "Deploy to Cloud Run"
  permissions = [
    "run.services.getIamPolicy", # gcloud run deploy --allow-unauthenticated opens the service, as a site is ...
    "run.services.setIamPolicy", # ... and roles/run.admin would be the smallest role with these
    "storage.buckets.list",      # gcloud builds submit makes sure that its bucket is of this project
  ]
}

resource "google_project_iam_member" "deploy_cloud_run_custom" {
  count = local.app_engine ? 0 : 1

  project = data.google_project.this.project_id
  role    = google_project_iam_custom_role.deploy_cloud_run[0].name # as said there
  member  = google_service_account.deploy.member
}

resource "google_storage_bucket_iam_member" "deploy_source" {
  for_each = local.app_engine ? toset([]) : toset([
    "roles/storage.objectAdmin",        # gcloud builds submit uploads the source, and the build reads it
    "roles/storage.legacyBucketReader", # it asks for the bucket first
  ])

  bucket = google_storage_bucket.source[0].name
  role   = each.key
  member = google_service_account.deploy.member
}

resource "google_artifact_registry_repository_iam_member" "deploy" {
  project    = data.google_project.this.project_id
  location   = google_artifact_registry_repository.app.location
  repository = google_artifact_registry_repository.app.name
  role       = "roles/artifactregistry.writer" # pushes images to this repository
  member     = google_service_account.deploy.member
}

resource "google_secret_manager_secret_iam_member" "deploy" {
  for_each = google_secret_manager_secret.app

  project   = data.google_project.this.project_id
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor" # migrations start with the site's settings, which read all they name
  member    = google_service_account.deploy.member
}

resource "google_storage_bucket_iam_member" "deploy_static" {
  count = var.static_bucket ? 1 : 0

  bucket = google_storage_bucket.static[0].name
  role   = "roles/storage.objectUser" # collectstatic writes to this bucket
  member = google_service_account.deploy.member
}

resource "google_service_account_iam_member" "deploy_acts_as" {
  for_each = {
    web   = google_service_account.web.name
    tasks = google_service_account.tasks.name
  }

  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser" # starts versions as web; makes scheduler jobs and a task with a token of tasks
  member             = google_service_account.deploy.member
}
