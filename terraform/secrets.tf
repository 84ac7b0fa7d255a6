# Containers, and a first version of each. app.yaml pins versions (SECRETS): a new one counts once it is named
# there. Versions after the first are made by hand (docs/operations.md), never here.
locals {
  # Characters of each first value. Letters and digits: none needs quoting anywhere.
  secrets = {
    django-secret-key     = 64
    field-encryption-keys = 64
    db-password           = 48
  }
}

resource "google_secret_manager_secret" "app" {
  for_each = local.secrets

  project   = data.google_project.this.project_id
  secret_id = each.key

  # A version that is destroyed by mistake can be enabled again for a day.
  version_destroy_ttl = "86400s"

  replication {
    auto {}
  }

  depends_on = [google_project_service.enabled]
}

# Exists while Terraform runs; neither plan nor state holds it.
ephemeral "random_password" "first" {
  for_each = local.secrets

  length  = each.value
  special = false
}

resource "google_secret_manager_secret_version" "django_secret_key" {
  secret                 = google_secret_manager_secret.app["django-secret-key"].id
  secret_data_wo         = ephemeral.random_password.first["django-secret-key"].result
  secret_data_wo_version = 1
  deletion_policy        = "ABANDON"
}

# keyid:base64 of 32 bytes, which is what SHA-256 of 64 random characters comes to (apps/core/encryption.py).
resource "google_secret_manager_secret_version" "field_encryption_keys" {
  secret                 = google_secret_manager_secret.app["field-encryption-keys"].id
  secret_data_wo         = "k1:${base64sha256(ephemeral.random_password.first["field-encryption-keys"].result)}"
  secret_data_wo_version = 1
  deletion_policy        = "ABANDON"
}

resource "google_secret_manager_secret_version" "db_password" {
  secret                 = google_secret_manager_secret.app["db-password"].id
  secret_data_wo         = ephemeral.random_password.first["db-password"].result
  secret_data_wo_version = 1
  deletion_policy        = "ABANDON"
}
