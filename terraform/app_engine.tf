locals {
  # App Engine calls two regions by their older names.
  app_engine_locations = {
    europe-west1 = "europe-west"
    us-central1  = "us-central"
  }
}

# An application can not be deleted nor moved: `terraform destroy` only forgets it. Idle it costs nothing.
resource "google_app_engine_application" "app" {
  count = local.app_engine ? 1 : 0

  project     = data.google_project.this.project_id
  location_id = lookup(local.app_engine_locations, var.region, var.region)

  # The database first: an application made without one might bring its own, in another mode.
  depends_on = [google_project_service.enabled, google_firestore_database.default]
}
