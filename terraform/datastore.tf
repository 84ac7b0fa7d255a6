# Firestore in Datastore mode. Its composite indexes stay in index.yaml.
resource "google_firestore_database" "default" {
  project     = data.google_project.this.project_id
  name        = "(default)" # NDB and App Engine look for this one
  location_id = var.datastore_location == "" ? var.region : var.datastore_location
  type        = "DATASTORE_MODE"

  # Plain optimistic, as the embedded Datastore of the tests is. TTL does not work with entity groups.
  concurrency_mode            = "OPTIMISTIC"
  app_engine_integration_mode = "DISABLED"

  # Any minute of the last seven days can be read and exported. Costs what the changes of a week take up.
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = "DELETE"

  depends_on = [google_project_service.enabled]
}

# Charged by size and time kept.
resource "google_firestore_backup_schedule" "daily" {
  project   = data.google_project.this.project_id
  database  = google_firestore_database.default.name
  retention = "${var.backup_days * 86400}s"

  daily_recurrence {}
}
