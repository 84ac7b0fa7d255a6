# What the webhook applications need; docs/start-your-own.md deletes this file.

# Every kind with expires_at (apps/deliveries/models.py): Datastore deletes an entity within a day after it. Each
# deletion is charged as one.
resource "google_firestore_field" "expires_at" {
  for_each = toset(["Attempt", "Delivery", "EventIdRecord", "IdempotencyRecord", "Message"])

  project    = data.google_project.this.project_id
  database   = google_firestore_database.default.name
  collection = each.key
  field      = "expires_at"

  ttl_config {}
}

# Payloads too large for an entity. Messages are kept 90 days; a week more covers the lag of TTL.
resource "google_storage_bucket" "payloads" {
  #checkov:skip=CKV_GCP_62:who read what is in the audit log where data access logging is on; a log bucket would keep it twice
  #checkov:skip=CKV_GCP_78:a payload is written once, and what is deleted after its time is to be gone
  project                     = data.google_project.this.project_id
  name                        = "${var.project}-payloads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = 97
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.enabled]
}

resource "google_storage_bucket_iam_member" "web_payloads" {
  bucket = google_storage_bucket.payloads.name
  role   = "roles/storage.objectUser" # stores, reads and deletes payloads
  member = google_service_account.web.member
}

locals {
  # More than so many in an hour raise the alert dead-letter-growth.
  dead_letters_an_hour = 10

  webhook_environment = { PAYLOADS_BUCKET = google_storage_bucket.payloads.name }

  webhook_log_metrics = {
    attempts = {
      description = "Requests to endpoints, by trigger and by what became of the delivery"
      filter      = "jsonPayload.event=\"attempt\""
      labels      = ["trigger", "delivery_status"]
    }
    attempt_duration = {
      description = "Milliseconds that requests to endpoints took"
      filter      = "jsonPayload.event=\"attempt\""
      value       = "EXTRACT(jsonPayload.duration_ms)"
      unit        = "ms"
    }
    attempt_lateness = {
      description = "Milliseconds from when an attempt was planned to when it began"
      filter      = "jsonPayload.event=\"attempt\" AND jsonPayload.late_ms>=0"
      value       = "EXTRACT(jsonPayload.late_ms)"
      unit        = "ms"
    }
    dead_letters = {
      description = "Deliveries whose retry schedule is exhausted"
      filter      = "jsonPayload.event=\"attempt\" AND jsonPayload.trigger=\"scheduled\" AND jsonPayload.delivery_status=\"failed\""
    }
    oldest_overdue = {
      description = "Seconds by which the oldest stranded delivery is overdue, once a sweep"
      filter      = "jsonPayload.event=\"sweep\""
      value       = "EXTRACT(jsonPayload.oldest_overdue_s)"
      unit        = "s"
    }
  }

  webhook_conditions = [
    {
      alert  = "dead-letter-growth"
      title  = "More than ${local.dead_letters_an_hour} deliveries an hour are given up"
      filter = "metric.type=\"${local.log_metric["dead_letters"]}\" AND ${local.log_filter}"
      per    = 3600
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_SUM"
      above  = local.dead_letters_an_hour
      lasts  = 0
    },
    # With the alert of this name on Cloud Tasks (alerts.tf): this one sees a queue that stands still, too.
    {
      alert  = "oldest-task-age"
      title  = "A delivery has been overdue for more than ${var.task_delay_seconds} s"
      filter = "metric.type=\"${local.log_metric["oldest_overdue"]}\" AND ${local.log_filter}"
      per    = 300
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_PERCENTILE_99"
      above  = var.task_delay_seconds
      lasts  = 0
    },
    {
      alert  = "failed-cron"
      title  = "The sweep, which runs each minute, was not heard of for a quarter of an hour"
      filter = "metric.type=\"${local.log_metric["oldest_overdue"]}\" AND ${local.log_filter}"
      absent = true
      per    = 60
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_COUNT"
      lasts  = 900
    },
  ]

  webhook_charts = [
    {
      title  = "Attempts a minute, by what became of the delivery"
      filter = "metric.type=\"${local.log_metric["attempts"]}\""
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_SUM"
      by     = ["metric.label.delivery_status"]
    },
    {
      title  = "Milliseconds of an attempt, 95 in 100"
      filter = "metric.type=\"${local.log_metric["attempt_duration"]}\""
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_PERCENTILE_95"
    },
    {
      title  = "Milliseconds that attempts begin late, 95 in 100"
      filter = "metric.type=\"${local.log_metric["attempt_lateness"]}\""
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_PERCENTILE_95"
    },
    {
      title  = "Dead letters a minute"
      filter = "metric.type=\"${local.log_metric["dead_letters"]}\""
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_SUM"
    },
    {
      title  = "Seconds by which the oldest stranded delivery is overdue"
      filter = "metric.type=\"${local.log_metric["oldest_overdue"]}\""
      align  = "ALIGN_DELTA"
      reduce = "REDUCE_PERCENTILE_99"
    },
  ]
}
