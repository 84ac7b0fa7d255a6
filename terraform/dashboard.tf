locals {
  charts = concat(
    [
      {
        title  = "Requests a second, tasks included, by status"
        filter = local.requests.metric
        align  = "ALIGN_RATE"
        reduce = "REDUCE_SUM"
        by     = [local.app_engine ? "metric.label.response_code" : "metric.label.response_code_class"]
      },
      {
        title  = "Seconds of a request, 95 in 100"
        filter = "metric.type=\"${local.log_metric["request_latency"]}\""
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_PERCENTILE_95"
      },
      {
        title  = "Instances"
        filter = local.app_engine ? "metric.type=\"appengine.googleapis.com/system/instance_count\" AND resource.type=\"gae_app\"" : "metric.type=\"run.googleapis.com/container/instance_count\" AND resource.type=\"cloud_run_revision\""
        align  = "ALIGN_MEAN"
        reduce = "REDUCE_SUM"
      },
      {
        title  = "Tasks waiting, by queue"
        filter = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" AND resource.type=\"cloud_tasks_queue\""
        align  = "ALIGN_MEAN"
        reduce = "REDUCE_SUM"
        by     = ["resource.label.queue_id"]
      },
      {
        title  = "Milliseconds that tasks begin late, 95 in 100, by queue"
        filter = "metric.type=\"cloudtasks.googleapis.com/queue/task_attempt_delays\" AND resource.type=\"cloud_tasks_queue\""
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_PERCENTILE_95"
        by     = ["resource.label.queue_id"]
      },
      {
        title  = "Runs of tasks that did not succeed, by outcome"
        filter = "metric.type=\"${local.log_metric["task_failures"]}\""
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_SUM"
        by     = ["metric.label.outcome"]
      },
      {
        title  = "Runs of cron jobs, by outcome"
        filter = "metric.type=\"${local.log_metric["cron_runs"]}\""
        align  = "ALIGN_DELTA"
        reduce = "REDUCE_SUM"
        by     = ["metric.label.outcome"]
      },
      {
        title  = "Connections of the database"
        filter = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" AND resource.type=\"cloudsql_database\""
        align  = "ALIGN_MAX"
        reduce = "REDUCE_SUM"
      },
      {
        title  = "CPU of the database, share of one"
        filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" AND resource.type=\"cloudsql_database\""
        align  = "ALIGN_MEAN"
        reduce = "REDUCE_MAX"
      },
      {
        title  = "Operations of Datastore a second, by kind"
        filter = "metric.type=\"datastore.googleapis.com/api/request_count\" AND resource.type=\"datastore_request\""
        align  = "ALIGN_RATE"
        reduce = "REDUCE_SUM"
        by     = ["metric.label.api_method"]
      },
    ],
    # webhooks: begin
    local.webhook_charts,
    # webhooks: end
  )
}

resource "google_monitoring_dashboard" "site" {
  project = data.google_project.this.project_id

  dashboard_json = jsonencode({
    displayName = "Site"
    gridLayout = {
      columns = 2
      widgets = [for chart in local.charts : {
        title = chart.title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = {
                  alignmentPeriod    = "60s"
                  perSeriesAligner   = chart.align
                  crossSeriesReducer = chart.reduce
                  groupByFields      = try(chart.by, [])
                }
              }
            }
          }]
        }
      }]
    }
  })

  depends_on = [google_project_service.enabled]
}
