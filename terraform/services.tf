locals {
  services = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "clouderrorreporting.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "cloudtrace.googleapis.com",
      "datastore.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com", # signBlob: signed URLs without a key file
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "secretmanager.googleapis.com",
      "sqladmin.googleapis.com",
      "storage.googleapis.com",
      "telemetry.googleapis.com", # takes the spans for Cloud Trace
    ],
    local.app_engine ? ["appengine.googleapis.com"] : ["run.googleapis.com"],
    local.in_network ? ["compute.googleapis.com", "servicenetworking.googleapis.com", "vpcaccess.googleapis.com"] : [],
    var.cache ? ["redis.googleapis.com"] : [],
    var.billing_account != "" ? ["billingbudgets.googleapis.com"] : [],
    var.access_policy != "" ? ["accesscontextmanager.googleapis.com"] : [],
  ))
}

resource "google_project_service" "enabled" {
  for_each = local.services

  project = data.google_project.this.project_id
  service = each.key

  # Somebody else in the project may use it too.
  disable_on_destroy = false
}
