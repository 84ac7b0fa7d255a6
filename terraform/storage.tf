# Media: what people upload, private, handed out by signed URLs.
resource "google_storage_bucket" "media" {
  #checkov:skip=CKV_GCP_62:who read what is in the audit log where data access logging is on; a log bucket would keep it twice
  project                     = data.google_project.this.project_id
  name                        = "${var.project}-media"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true # an overwritten or deleted file can be had back ...
  }
  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30 # ... for 30 days
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.enabled]
}

# Static files, only where static_bucket asks for it: App Engine's handlers or the container serve them. They are
# what everybody who opens a page gets; this is the one thing here that is public.
resource "google_storage_bucket" "static" {
  #checkov:skip=CKV_GCP_114:holds collected static files only, which are public by nature
  #checkov:skip=CKV_GCP_62:nothing is to be learnt from who read a style sheet
  #checkov:skip=CKV_GCP_78:names hold a hash of the content, so that nothing is ever overwritten
  count = var.static_bucket ? 1 : 0

  project                     = data.google_project.this.project_id
  name                        = "${var.project}-static"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "inherited"

  cors {
    origin          = ["https://${local.host}"]
    method          = ["GET"]
    response_header = ["Content-Type"]
    max_age_seconds = 3600
  }

  depends_on = [google_project_service.enabled]
}

resource "google_storage_bucket_iam_member" "static_public" {
  #checkov:skip=CKV_GCP_28:as above: the files of every page
  count = var.static_bucket ? 1 : 0

  bucket = google_storage_bucket.static[0].name
  role   = "roles/storage.objectViewer" # browsers fetch style sheets, scripts and pictures without signing in
  member = "allUsers"
}
