locals {
  # Not /readyz: Cloud Run's front end keeps paths that end in z to itself.
  ready_path = "/ready"
}

# Three places ask once a minute: 130,000 checks a month, of a free million. Each asks SQL, Datastore, cache and
# queue: 4,320 of Datastore's 50,000 free reads a day.
resource "google_monitoring_uptime_check_config" "ready" {
  project          = data.google_project.this.project_id
  display_name     = "ready"
  period           = "60s"
  timeout          = "10s"
  selected_regions = ["EUROPE", "USA", "ASIA_PACIFIC"]

  http_check {
    path         = local.ready_path
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = local.host
    }
  }

  depends_on = [google_project_service.enabled]
}
