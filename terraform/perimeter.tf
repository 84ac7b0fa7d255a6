# VPC Service Controls: data of the project can be read from inside the perimeter, and by whom an access level
# lets in, even with stolen credentials. Needs an organization and its access policy; App Engine can not be in one.
locals {
  restricted_services = [
    "artifactregistry.googleapis.com",
    "cloudtasks.googleapis.com",
    "datastore.googleapis.com",
    "firestore.googleapis.com",
    "logging.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
  ]
}

resource "google_access_context_manager_service_perimeter" "project" {
  count = var.access_policy != "" ? 1 : 0

  parent = "accessPolicies/${var.access_policy}"
  name   = "accessPolicies/${var.access_policy}/servicePerimeters/${replace(var.project, "-", "_")}"
  title  = var.project

  # A dry run logs what would be refused. Read that for a week before perimeter_enforced.
  use_explicit_dry_run_spec = !var.perimeter_enforced

  dynamic "spec" {
    for_each = var.perimeter_enforced ? [] : ["dry run"]
    content {
      resources           = ["projects/${data.google_project.this.number}"]
      restricted_services = local.restricted_services
      access_levels       = var.access_levels
    }
  }

  dynamic "status" {
    for_each = var.perimeter_enforced ? ["enforced"] : []
    content {
      resources           = ["projects/${data.google_project.this.number}"]
      restricted_services = local.restricted_services
      access_levels       = var.access_levels
    }
  }

  depends_on = [google_project_service.enabled]
}
