resource "google_sql_database_instance" "main" {
  #checkov:skip=CKV_GCP_60:the public address is the /cloudsql socket's route: no network is authorized, IAM decides (docs/decisions/0018-infrastructure.md)
  #checkov:skip=CKV_GCP_79:the version is a variable, and an upgrade of it is a decision
  #checkov:skip=CKV_GCP_6:ENCRYPTED_ONLY refuses what is not encrypted; client certificates would be keys to keep, and the proxy brings its own
  #checkov:skip=CKV_GCP_108:a name server would be asked at each connection, about addresses of Google's own
  #checkov:skip=CKV_GCP_109:as below, of statements that fail; the site logs the exception
  #checkov:skip=CKV_GCP_110:pgAudit logs statements, which hold data of customers
  #checkov:skip=CKV_GCP_111:as above
  #checkov:skip=CKV2_GCP_13:a line for each statement; query insights has the durations
  project          = data.google_project.this.project_id
  name             = "main"
  region           = var.region
  database_version = var.sql_version

  # Twice: Terraform refuses, and Google does.
  deletion_protection = var.deletion_protection

  settings {
    # The default edition from PostgreSQL 16 on is Enterprise Plus, which has no small tiers.
    edition                     = "ENTERPRISE"
    tier                        = var.sql_tier
    availability_type           = var.sql_high_availability ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = 10
    disk_autoresize             = true
    deletion_protection_enabled = var.deletion_protection
    retain_backups_on_delete    = true

    ip_configuration {
      # No authorized_networks: who comes by this address comes through Google's proxy, with roles/cloudsql.client.
      ipv4_enabled    = var.sql_public_address
      private_network = var.sql_private_address ? one(google_compute_network.main[*].id) : null
      ssl_mode        = "ENCRYPTED_ONLY"
      server_ca_mode  = "GOOGLE_MANAGED_INTERNAL_CA"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00" # UTC
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = min(var.backup_days, 7)

      backup_retention_settings {
        retained_backups = var.backup_days
      }
    }

    maintenance_window {
      day          = 7 # Sunday
      hour         = 3 # UTC
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    database_flags {
      # Google's default grows with the tier (25 on db-f1-micro); this is the number that the alert and
      # `manage.py check --deploy` count with.
      name  = "max_connections"
      value = tostring(var.sql_max_connections)
    }
    # Who connected and who waited for whom. No statements: they hold data.
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "panic"
    }
  }

  depends_on = [google_project_service.enabled, google_service_networking_connection.google]

  lifecycle {
    ignore_changes = [settings[0].disk_size] # it grows by itself
  }
}

resource "google_sql_database" "app" {
  project         = data.google_project.this.project_id
  instance        = google_sql_database_instance.main.name
  name            = "app"
  deletion_policy = "ABANDON" # it goes with the instance
}

resource "google_sql_user" "app" {
  project  = data.google_project.this.project_id
  instance = google_sql_database_instance.main.name
  name     = "app"

  # The same value as the secret's first version. Later ones: docs/operations.md; this number then stays.
  password_wo         = ephemeral.random_password.first["db-password"].result
  password_wo_version = 1

  deletion_policy = "ABANDON" # owns the tables

  # The secret first: if the second write fails, version 1 has the password that the user is to get.
  depends_on = [google_secret_manager_secret_version.db_password]
}
