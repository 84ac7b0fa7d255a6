# One account per role. No keys are made: App Engine, Cloud Run and Cloud Build run as these accounts. Each role
# has its reason beside it (tests/architecture/test_terraform.py).
resource "google_service_account" "web" {
  project      = data.google_project.this.project_id
  account_id   = "web"
  display_name = "The site, on App Engine or Cloud Run"

  depends_on = [google_project_service.enabled]
}

resource "google_service_account" "deploy" {
  project      = data.google_project.this.project_id
  account_id   = "deploy"
  display_name = "Cloud Build, or whoever runs make deploy as it"

  depends_on = [google_project_service.enabled]
}

# Has no role at all: its token only says who calls, and the site compares the name.
resource "google_service_account" "tasks" {
  project      = data.google_project.this.project_id
  account_id   = "tasks"
  display_name = "Cloud Tasks and Cloud Scheduler, calling Cloud Run"

  depends_on = [google_project_service.enabled]
}

resource "google_project_iam_member" "web" {
  for_each = toset([
    "roles/cloudsql.client",     # opens the /cloudsql socket, or the proxy's
    "roles/datastore.user",      # reads and writes entities
    "roles/cloudtasks.enqueuer", # creates tasks
    "roles/cloudtasks.viewer",   # /readyz asks for a queue
    "roles/cloudtrace.agent",    # writes spans
    "roles/logging.logWriter",   # writes the log, also that of App Engine's build, which runs as this account
  ])

  project = data.google_project.this.project_id
  role    = each.key
  member  = google_service_account.web.member
}

resource "google_service_account_iam_member" "web_signs" {
  service_account_id = google_service_account.web.name
  role               = "roles/iam.serviceAccountTokenCreator" # on itself: signBlob, for signed URLs without a key file
  member             = google_service_account.web.member
}

resource "google_service_account_iam_member" "web_acts_as_tasks" {
  count = local.app_engine ? 0 : 1

  service_account_id = google_service_account.tasks.name
  role               = "roles/iam.serviceAccountUser" # creates tasks that carry this account's token
  member             = google_service_account.web.member
}

resource "google_storage_bucket_iam_member" "web_media" {
  bucket = google_storage_bucket.media.name
  role   = "roles/storage.objectUser" # stores, reads and deletes files of this bucket
  member = google_service_account.web.member
}

resource "google_secret_manager_secret_iam_member" "web" {
  for_each = google_secret_manager_secret.app

  project   = data.google_project.this.project_id
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor" # read once, at the start
  member    = google_service_account.web.member
}

# App Engine builds an image from the upload, as the account of the version.
resource "google_storage_bucket_iam_member" "web_build" {
  count = local.app_engine ? 1 : 0

  bucket = google_app_engine_application.app[0].code_bucket
  role   = "roles/storage.objectViewer" # the build fetches the uploaded files
  member = google_service_account.web.member
}

resource "google_project_iam_member" "web_build" {
  count = local.app_engine ? 1 : 0

  project = data.google_project.this.project_id
  role    = "roles/artifactregistry.createOnPushWriter" # the build's image goes into a repository that App Engine names
  member  = google_service_account.web.member
}
