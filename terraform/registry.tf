# Images of the Cloud Run target. Half a GB is free, then about 0.10 USD a GB and month.
resource "google_artifact_registry_repository" "app" {
  #checkov:skip=CKV_GCP_84:the images hold what the repository holds, and no secret; Google's own key encrypts them
  project       = data.google_project.this.project_id
  location      = var.region
  repository_id = "app"
  format        = "DOCKER"

  docker_config {
    immutable_tags = true # a tag is a commit; what was deployed under it stays what it is
  }

  # What is to be kept wins: the last ten stay however old, so that a release can be rolled back.
  cleanup_policies {
    id     = "keep-the-last-ten"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-after-a-month"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.enabled]
}

# Where gcloud builds submit uploads what an image is built from: the name is gcloud's. Made here, since the
# account that deploys may make no buckets.
resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:nobody reads it but builds
  #checkov:skip=CKV_GCP_78:each upload has a name of its own
  count = local.app_engine ? 0 : 1

  project                     = data.google_project.this.project_id
  name                        = "${var.project}_cloudbuild"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.enabled]
}
