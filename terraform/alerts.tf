# The name of each alert is the anchor of its runbook in docs/operations.md. Error Reporting needs nothing here:
# it groups the exceptions that the log has in its form, and mails new ones to whoever turns that on in its page.
locals {
  # Log-based metrics, by name.
  log_metric = { for name, metric in google_logging_metric.event : name => "logging.googleapis.com/user/${metric.name}" }

  requests = local.app_engine ? {
    metric = "metric.type=\"appengine.googleapis.com/http/server/response_count\" AND resource.type=\"gae_app\""
    errors = "metric.labels.response_code>=500"
    } : {
    metric = "metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\""
    errors = "metric.labels.response_code_class=\"5xx\""
  }

  # Those of one alert are joined by OR. `per` seconds are looked at as one, and it `lasts` that many.
  conditions = concat(
    [
      {
        alert  = "uptime"
        title  = "Two places of the world or more get no good answer from ${local.ready_path}"
        filter = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.ready.uptime_check_id}\" AND resource.type=\"uptime_url\""
        per    = 300
        align  = "ALIGN_NEXT_OLDER"
        reduce = "REDUCE_COUNT_FALSE"
        above  = 1
        lasts  = 60
      },
      {
        alert       = "error-rate"
        title       = "More than 5 % of the requests, tasks included, end in 5xx"
        filter      = "${local.requests.metric} AND ${local.requests.errors}"
        denominator = local.requests.metric
        per         = 300
        align       = "ALIGN_RATE"
        reduce      = "REDUCE_SUM"
        above       = 0.05
        lasts       = 300
      },
      {
        alert  = "latency"
        title  = "One request in twenty takes longer than ${var.latency_seconds} s"
        filter = "metric.type=\"${local.log_metric["request_latency"]}\" AND ${local.log_filter}"
        per    = 300
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_PERCENTILE_95"
        above  = var.latency_seconds
        lasts  = 600
      },
      {
        alert = "oldest-task-age"
        # Cloud Tasks does not tell the age of what waits, but how late each task was that began.
        title  = "Tasks begin more than ${var.task_delay_seconds} s late"
        filter = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND resource.type=\"cloud_tasks_queue\""
        per    = 300
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_PERCENTILE_95"
        by     = ["resource.label.queue_id"]
        above  = var.task_delay_seconds * 1000
        lasts  = 300
      },
      {
        alert  = "failed-cron"
        title  = "A cron job failed"
        filter = "metric.type=\"${local.log_metric["cron_runs"]}\" AND ${local.log_filter} AND metric.labels.outcome=\"failed\""
        per    = 300
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_SUM"
        by     = ["metric.label.job"]
        above  = 0
        lasts  = 0
      },
      {
        alert  = "database-connections"
        title  = "More than 80 % of the database's ${var.sql_max_connections} connections are taken"
        filter = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" AND resource.type=\"cloudsql_database\" AND resource.labels.database_id=\"${var.project}:${google_sql_database_instance.main.name}\""
        per    = 60
        align  = "ALIGN_MAX"
        reduce = "REDUCE_SUM"
        above  = 0.8 * var.sql_max_connections
        lasts  = 300
      },
    ],
    # webhooks: begin
    local.webhook_conditions,
    # webhooks: end
  )

  alerts = { for condition in local.conditions : condition.alert => condition... }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project               = data.google_project.this.project_id
  display_name          = each.key
  combiner              = "OR"
  severity              = each.key == "uptime" ? "CRITICAL" : "ERROR"
  notification_channels = google_monitoring_notification_channel.email[*].name

  dynamic "conditions" {
    for_each = [for condition in each.value : condition if !try(condition.absent, false)]
    content {
      display_name = conditions.value.title

      condition_threshold {
        filter             = conditions.value.filter
        denominator_filter = try(conditions.value.denominator, null)
        comparison         = "COMPARISON_GT"
        threshold_value    = conditions.value.above
        duration           = "${conditions.value.lasts}s"

        aggregations {
          alignment_period     = "${conditions.value.per}s"
          per_series_aligner   = conditions.value.align
          cross_series_reducer = conditions.value.reduce
          group_by_fields      = try(conditions.value.by, [])
        }

        dynamic "denominator_aggregations" {
          for_each = try([conditions.value.denominator], [])
          content {
            alignment_period     = "${conditions.value.per}s"
            per_series_aligner   = conditions.value.align
            cross_series_reducer = conditions.value.reduce
          }
        }
      }
    }
  }

  # Nothing was heard for that long, of what was heard before.
  dynamic "conditions" {
    for_each = [for condition in each.value : condition if try(condition.absent, false)]
    content {
      display_name = conditions.value.title

      condition_absent {
        filter   = conditions.value.filter
        duration = "${conditions.value.lasts}s"

        aggregations {
          alignment_period     = "${conditions.value.per}s"
          per_series_aligner   = conditions.value.align
          cross_series_reducer = conditions.value.reduce
        }
      }
    }
  }

  documentation {
    subject   = "${each.key}: ${var.project}"
    mime_type = "text/markdown"
    content   = "What to do: ${var.runbooks}#${each.key}"
  }

  alert_strategy {
    auto_close = "1800s"
  }
}

# Without alert_email alerts are seen in the console only.
resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email != "" ? 1 : 0

  project      = data.google_project.this.project_id
  display_name = "Those who run the site"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.enabled]
}
