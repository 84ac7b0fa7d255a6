# Metrics made of the log: the events of docs/metrics.md and the requests of people and programs. Cloud Logging
# counts; the process does not. Charged as metrics are: what the few dozen series here come to is within the free
# 150 MB a month.
locals {
  # All lines of what runs the site.
  log_filter = "resource.type=\"${local.resource_type}\""

  # The two targets write their request log in different forms.
  request_log = local.app_engine ? {
    filter  = "logName:\"appengine.googleapis.com%2Frequest_log\" AND NOT protoPayload.resource=~\"^/(_tasks|_cron|_ah)/\""
    latency = "REGEXP_EXTRACT(protoPayload.latency, \"([0-9.]+)s\")"
    } : {
    filter  = "logName:\"run.googleapis.com%2Frequests\" AND NOT httpRequest.requestUrl=~\"://[^/]+/(_tasks|_cron|_ah)/\""
    latency = "REGEXP_EXTRACT(httpRequest.latency, \"([0-9.]+)s\")"
  }

  log_metrics = merge(
    {
      # Without tasks and cron, which may take as long as what they wait for.
      request_latency = {
        description = "Seconds that requests of people and programs took"
        filter      = local.request_log.filter
        value       = local.request_log.latency
        unit        = "s"
      }
      cron_runs = {
        description = "Runs of cron jobs, by job and outcome"
        filter      = "jsonPayload.event=\"cron\""
        labels      = ["job", "outcome"]
      }
      task_failures = {
        description = "Runs of tasks that did not succeed, by queue, task and outcome"
        filter      = "jsonPayload.event=\"task\""
        labels      = ["queue", "task", "outcome"]
      }
    },
    # webhooks: begin
    local.webhook_log_metrics,
    # webhooks: end
  )
}

resource "google_logging_metric" "event" {
  for_each = local.log_metrics

  project         = data.google_project.this.project_id
  name            = each.key
  description     = each.value.description
  filter          = "${local.log_filter} AND ${each.value.filter}"
  value_extractor = try(each.value.value, null)

  # Labels are fields of the event, of the same name.
  label_extractors = { for label in try(each.value.labels, []) : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = try(each.value.value, null) == null ? "INT64" : "DISTRIBUTION"
    unit        = try(each.value.unit, "1")

    dynamic "labels" {
      for_each = try(each.value.labels, [])
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  # From a hundredth of the unit to about two million of it, each bound 1.4 times the one before.
  dynamic "bucket_options" {
    for_each = try(each.value.value, null) == null ? [] : ["distribution"]
    content {
      exponential_buckets {
        num_finite_buckets = 57
        growth_factor      = 1.4
        scale              = 0.01
      }
    }
  }

  depends_on = [google_project_service.enabled]
}
