# One environment is one project is one workspace. Everything else depends on this.
resource "terraform_data" "environment" {
  input = var.project

  lifecycle {
    precondition {
      condition     = terraform.workspace == var.project
      error_message = "The workspace is ${terraform.workspace}, the project is ${var.project}: two states would claim the same things, or one would lose them. Run: terraform workspace select -or-create ${var.project}"
    }
    precondition {
      condition     = var.sql_public_address || var.sql_private_address
      error_message = "The Cloud SQL instance would have no address: set sql_public_address (the socket route) or sql_private_address."
    }
    precondition {
      condition     = var.access_policy == "" || var.target == "cloudrun"
      error_message = "VPC Service Controls do not support App Engine: set target = \"cloudrun\", or leave access_policy empty."
    }
  }
}

data "google_project" "this" {
  project_id = terraform_data.environment.input
}

locals {
  app_engine = var.target == "appengine"

  # What the log and the metrics call what runs the site.
  resource_type = local.app_engine ? "gae_app" : "cloud_run_revision"

  # Of Cloud Run the address is known before there is a service: name, project number, region.
  host = (
    var.domain != "" ? var.domain :
    local.app_engine ? google_app_engine_application.app[0].default_hostname :
    "web-${data.google_project.this.number}.${var.region}.run.app"
  )
}
