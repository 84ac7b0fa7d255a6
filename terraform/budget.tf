# Says when half, nine tenths and all of the month's amount is spent, and when it is going to be. It stops nothing.
resource "google_billing_budget" "month" {
  count = var.billing_account != "" ? 1 : 0

  billing_account = var.billing_account
  display_name    = "budget: ${var.project}" # the runbook is docs/operations.md#budget

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      units = tostring(var.budget) # in the currency of the billing account
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  # The administrators of the billing account get a mail in any case.
  dynamic "all_updates_rule" {
    for_each = google_monitoring_notification_channel.email[*].name
    content {
      monitoring_notification_channels = [all_updates_rule.value]
    }
  }

  depends_on = [google_project_service.enabled]
}
