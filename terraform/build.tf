# Deploys each push to main, where build_repository names one. cloudbuild.yaml says how. 2,500 build minutes a
# month are free, then about 0.006 USD a minute.
locals {
  # projects/P/locations/L/connections/C/repositories/R, or owner/name of the Cloud Build app on GitHub.
  build_is_connection = startswith(var.build_repository, "projects/")
}

resource "google_cloudbuild_trigger" "main" {
  count = var.build_repository != "" ? 1 : 0

  project         = data.google_project.this.project_id
  name            = "main"
  description     = "Deploys what is pushed to main"
  location        = local.build_is_connection ? split("/", var.build_repository)[3] : "global"
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.deploy.id

  substitutions = {
    _DEPLOYMENT = jsonencode(local.deployment)
    _TARGET     = var.target
  }

  dynamic "repository_event_config" {
    for_each = local.build_is_connection ? [var.build_repository] : []
    content {
      repository = repository_event_config.value
      push {
        branch = "^main$"
      }
    }
  }

  dynamic "github" {
    for_each = local.build_is_connection ? [] : [split("/", var.build_repository)]
    content {
      owner = github.value[0]
      name  = github.value[1]
      push {
        branch = "^main$"
      }
    }
  }

  depends_on = [google_project_service.enabled]
}
